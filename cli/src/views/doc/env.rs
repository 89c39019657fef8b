//! The variables that lead programs to a cluster. The only document that holds a secret: who asks for it wants it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use simdb_planner::engine::postgresql::client::{self, Login};
use simdb_state::address::EndpointAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::{Endpoint, EndpointTarget, Role, State};
use simdb_state::place::HostPort;
use simdb_state::route::Wanted;

use super::FORMAT_VERSION;

/// The database that endpoints route to.
const MAINTENANCE_DATABASE: &str = "postgres";

/// The variables that lead programs to a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnvDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// Their values by name.
    pub variables: BTreeMap<&'static str, String>,
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
    let hosts = match target {
        EndpointTarget::Primary => &writers,
        EndpointTarget::Standby => &readers,
    };
    let list = |part: fn(&HostPort) -> String| hosts.iter().map(part).collect::<Vec<_>>().join(",");
    let mut variables = BTreeMap::from([
        ("DATABASE_URL", client::url(&writers, Wanted::Writer, login)),
        ("DATABASE_REPLICA_URL", client::url(&readers, Wanted::Reader, login)),
        ("PGHOST", list(|at| at.host.to_string())),
        ("PGPORT", list(|at| at.port.to_string())),
        ("PGUSER", login.user.to_owned()),
        ("PGDATABASE", login.database.to_owned()),
        (
            "PGTARGETSESSIONATTRS",
            client::target_session_attrs(target.into()).to_owned(),
        ),
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

#[cfg(test)]
mod tests;
