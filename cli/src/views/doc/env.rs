//! The variables that lead programs to a cluster. The only document that holds a secret: who asks for it wants it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use simdb_state::address::EndpointAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::{Endpoint, EndpointTarget, Role, State};
use simdb_state::place::HostPort;
use simdb_state::sensitive::Sensitive;

use super::FORMAT_VERSION;

/// The database that endpoints lead to.
const MAINTENANCE_DATABASE: &str = "postgres";

/// The variables that lead programs to a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnvDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// Their values by name.
    pub variables: BTreeMap<&'static str, String>,
}

/// Who connects, and to which database.
pub struct Login<'a> {
    /// The login.
    pub user: &'a str,
    /// Its password, where that is known.
    pub password: Option<&'a Sensitive<String>>,
    /// The database.
    pub database: &'a str,
}

impl EnvDoc {
    /// Makes the variables that lead to an endpoint of a cluster; without one, to its primary.
    pub fn new(
        state: &State,
        cluster: &ClusterName,
        endpoint: Option<(&EndpointAddress, &Endpoint)>,
        login: &Login<'_>,
        service_file: &Path,
    ) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            variables: variables(state, cluster, endpoint, login, service_file),
        }
    }
}

fn variables(
    state: &State,
    cluster: &ClusterName,
    endpoint: Option<(&EndpointAddress, &Endpoint)>,
    login: &Login<'_>,
    service_file: &Path,
) -> BTreeMap<&'static str, String> {
    let (mut writers, readers) = hosts(state, cluster);
    if let Some((_, through)) = endpoint.filter(|(_, endpoint)| endpoint.pooler.is_some()) {
        writers.clone_from(&through.hosts);
    }
    let target = endpoint.map_or(EndpointTarget::Primary, |(_, endpoint)| endpoint.target);
    let (hosts, session) = match target {
        EndpointTarget::Primary => (&writers, session(EndpointTarget::Primary)),
        EndpointTarget::Standby => (&readers, session(EndpointTarget::Standby)),
    };
    let list = |part: fn(&HostPort) -> String| hosts.iter().map(part).collect::<Vec<_>>().join(",");
    let mut variables = BTreeMap::from([
        ("DATABASE_URL", url(&writers, EndpointTarget::Primary, login)),
        ("DATABASE_REPLICA_URL", url(&readers, EndpointTarget::Standby, login)),
        ("PGHOST", list(|at| at.host.to_string())),
        ("PGPORT", list(|at| at.port.to_string())),
        ("PGUSER", login.user.to_owned()),
        ("PGDATABASE", login.database.to_owned()),
        ("PGTARGETSESSIONATTRS", session.to_owned()),
        ("PGSERVICEFILE", service_file.display().to_string()),
    ]);
    if let Some(password) = login.password {
        variables.insert("PGPASSWORD", password.expose().clone());
    }
    // What a service says outranks the variables, and it names a database.
    if let Some((address, _)) = endpoint.filter(|_| login.database == MAINTENANCE_DATABASE) {
        variables.insert("PGSERVICE", address.service());
    }
    variables
}

/// Returns where clients reach the nodes of a cluster: the primary first, and the standbys first.
fn hosts(state: &State, cluster: &ClusterName) -> (Vec<HostPort>, Vec<HostPort>) {
    let listening = |leads: bool| {
        let nodes = state.nodes_of(cluster).map(|(_, node)| node);
        nodes
            .filter(move |node| matches!(node.role, Some(Role::Primary { .. })) == leads)
            .filter_map(|node| node.place.as_ref()?.clients.clone())
    };
    let writers = listening(true).chain(listening(false));
    let readers = listening(false).chain(listening(true));
    (writers.collect(), readers.collect())
}

/// Returns what libpq is to look for among hosts.
fn session(target: EndpointTarget) -> &'static str {
    match target {
        EndpointTarget::Primary => "read-write",
        EndpointTarget::Standby => "prefer-standby",
    }
}

fn url(hosts: &[HostPort], target: EndpointTarget, login: &Login<'_>) -> String {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let password = login
        .password
        .map(|password| format!(":{}", encoded(password.expose())));
    format!(
        "postgresql://{}{}@{}/{}?target_session_attrs={}",
        encoded(login.user),
        password.unwrap_or_default(),
        hosts.join(","),
        encoded(login.database),
        session(target)
    )
}

/// Writes a part of a URL: whatever may mean something there is encoded.
fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
