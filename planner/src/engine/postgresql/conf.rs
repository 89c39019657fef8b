//! Renders the files of a server: `postgresql.conf`, `pg_hba.conf` and the passfile.
//!
//! They live outside the data directory, so that neither a clone nor a rewind carries one node's settings to another.
//! A setting has the value that a topology wants unless told otherwise, else the one the configuration gives it, else the
//! one that simdb owns (the configuration refuses those by name).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;

use simdb_state::instance::{FilePart, FileText, InstanceSpec, LOOPBACK};
use simdb_state::place::{Host, HostPort, Place};
use simdb_state::sensitive::SecretName;

use super::logins::{DATABASE, REPLICATION_USER, SUPERUSER};
use crate::engine::node::{NodeContext, Upstream};

/// The passfile, as the server finds it: a server's working directory is its data directory, and that is one below the
/// instance directory. A relative path needs no quoting, whatever the instance directory is called.
const PASSFILE_FROM_DATA: &str = "../passfile";

/// The settings that say what a standby streams from.
pub(crate) const UPSTREAM: [&str; 2] = ["primary_conninfo", "primary_slot_name"];

/// Returns the slot that a standby with these settings streams through.
pub(crate) fn slot(settings: &BTreeMap<String, String>) -> Option<&str> {
    let [_, slot] = UPSTREAM;
    settings.get(slot).map(String::as_str).filter(|slot| !slot.is_empty())
}

/// The file with a server's settings, relative to the instance directory.
pub const CONF: &str = "postgresql.conf";

/// Settings that a topology wants and the configuration may change.
const DEFAULTS: &[(&str, &str)] = &[
    // A slot nobody reads keeps all log from its position on, until the disk is full; a standby that far behind is
    // cheaper to clone again.
    ("max_slot_wal_keep_size", "10GB"),
    // Elsewhere the segments of a server that is killed and never started again stay until the machine goes down; in the
    // data directory they go with it.
    ("dynamic_shared_memory_type", "mmap"),
    ("log_line_prefix", "%m [%p] %q%u@%d %a "),
];

/// Settings that simdb owns, the same on every node.
const OWNED: &[(&str, &str)] = &[
    // Socket paths are limited to about 100 bytes; TCP has no such limit and authenticates by password.
    ("unix_socket_directories", ""),
    // Enough for change data capture, so that adding it later restarts nothing.
    ("wal_level", "logical"),
    // Generous, so that adding standbys never restarts a primary.
    ("max_wal_senders", "64"),
    ("max_replication_slots", "64"),
    ("hot_standby", "on"),
    // Lets a former primary be rewound; only pages with hints or checksums can be compared.
    ("wal_log_hints", "on"),
    ("password_encryption", "scram-sha-256"),
    // Standbys come back this soon after their upstream; the default of 5 s is what commits wait after a role change.
    ("wal_retrieve_retry_interval", "100ms"),
];

/// Returns a setting's value as `postgresql.conf` reads it.
fn quote(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "''"))
}

fn connection(at: &HostPort, passfile: &str, application_name: &str) -> String {
    format!(
        "host={} port={} user={REPLICATION_USER}{passfile} application_name={application_name}{}",
        at.host,
        at.port,
        patience(at)
    )
}

/// Returns what makes a connection end soon whose server is no longer there. A name may lead to an address that is gone, of which nothing
/// says so: without this the system waits for two minutes, and a standby for as long as its primary has come back elsewhere.
pub(super) fn patience(at: &HostPort) -> &'static str {
    match at.host {
        Host::Name(_) => {
            " connect_timeout=5 keepalives_idle=5 keepalives_interval=2 keepalives_count=3 tcp_user_timeout=5000"
        }
        Host::Ip(_) => "",
    }
}

/// Returns the settings of a node by name: what stands in its `postgresql.conf`, and what its server must say it has.
pub fn settings(node: &NodeContext<'_>) -> BTreeMap<String, String> {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut settings: BTreeMap<String, String> = DEFAULTS.iter().map(pair).collect();
    settings.extend(node.parameters.clone());
    settings.extend(OWNED.iter().map(pair));
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    set("synchronous_standby_names", node.sync_rule.to_string());
    set("listen_addresses", listen_addresses(node));
    set("port", node.place.bind.port.to_string());
    set(
        "cluster_name",
        format!("{}-{}", node.made_as.cluster, node.made_as.node.host()),
    );
    if let Some(Upstream { at, slot, .. }) = &node.upstream {
        // Elsewhere the server's environment names it.
        let passfile = if node.outside {
            String::new()
        } else {
            format!(" passfile={PASSFILE_FROM_DATA}")
        };
        set(
            "primary_conninfo",
            connection(at, &passfile, &node.address.node.identifier()),
        );
        set("primary_slot_name", slot.clone());
    }
    settings
}

/// Settings that simdb derives from where a node is and from what it is to its cluster.
const DERIVED: [&str; 6] = [
    "synchronous_standby_names",
    "synchronous_commit",
    "recovery_min_apply_delay",
    "listen_addresses",
    "port",
    "cluster_name",
];

/// Returns the value of a setting that every server has, whatever its parameters are.
pub(super) fn fixed(name: &str) -> Option<&'static str> {
    let fixed = OWNED.iter().find(|(owned, _)| *owned == name);
    fixed.map(|(_, value)| *value)
}

/// Returns whether a setting is simdb's, whatever the configuration says.
pub(crate) fn is_owned(name: &str) -> bool {
    DERIVED.contains(&name) || UPSTREAM.contains(&name) || OWNED.iter().any(|(owned, _)| *owned == name)
}

/// Returns a file with parameters among those that every node has, to be tried before any node gets it.
pub(super) fn trial_conf(parameters: &BTreeMap<String, String>) -> String {
    let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let mut settings: BTreeMap<String, String> = DEFAULTS.iter().map(pair).collect();
    settings.extend(parameters.clone());
    settings.extend(OWNED.iter().map(pair));
    // A trial runs nobody's commands.
    settings.remove("ssl_passphrase_command");
    render(&settings)
}

/// Returns a node's `postgresql.conf`.
pub(super) fn postgresql_conf(node: &NodeContext<'_>) -> FileText {
    FileText::text(render(&settings(node)))
}

/// Returns the settings that stand in the `postgresql.conf` of a server, by name.
pub(crate) fn read(instance: &InstanceSpec) -> BTreeMap<String, String> {
    let parts = instance.files.get(CONF).into_iter().flat_map(|file| &file.0);
    let text: String = parts
        .filter_map(|part| match part {
            FilePart::Text(text) => Some(text.as_str()),
            FilePart::InstanceDirectory
            | FilePart::Secret(_)
            | FilePart::ScramVerifier(_)
            | FilePart::NativeVerifier(_) => None,
        })
        .collect();
    let unquoted = |value: &str| value.trim_matches('\'').replace("''", "'").replace("\\\\", "\\");
    text.lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, value)| (name.to_owned(), unquoted(value)))
        .collect()
}

fn render(settings: &BTreeMap<String, String>) -> String {
    let mut text = String::from("# Written by simdb from the configuration; edits made here are undone.\n");
    for (name, value) in settings {
        writeln!(text, "{name} = {}", quote(value)).expect("writing to a String cannot fail");
    }
    text
}

/// Returns on which addresses a server listens. One with an address of its own may have others in other networks, where clients
/// are, and nobody else listens on any of them.
fn listen_addresses(node: &NodeContext<'_>) -> String {
    let host = node.place.bind.host;
    match origin(host, node.outside).as_str() {
        "samenet" | "all" => "*".to_owned(),
        _ => host.to_string(),
    }
}

/// Returns a node's `pg_hba.conf`: SCRAM for everybody, from this machine or from the network of the node only, and for clients
/// from wherever its platform publishes it to.
///
/// `all` in the database column does not match physical replication, which therefore has a line of its own.
pub(super) fn pg_hba_conf(node: &NodeContext<'_>) -> FileText {
    hba(&node.place, node.outside, Standbys::of(node), "all")
}

/// Returns a `pg_hba.conf` that lets in standbys and simdb alone.
pub(super) fn pg_hba_conf_without_clients(place: &Place, outside: bool, standbys: Standbys) -> FileText {
    hba(place, outside, standbys, SUPERUSER)
}

/// Where the standbys of a server may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standbys {
    /// On its own machine, or in its own network.
    Near,
    /// On other machines as well.
    Elsewhere,
}

impl Standbys {
    pub(super) const ALL: [Self; 2] = [Self::Near, Self::Elsewhere];

    pub(super) fn of(node: &NodeContext<'_>) -> Self {
        if node.has_peers_elsewhere {
            Self::Elsewhere
        } else {
            Self::Near
        }
    }
}

/// Returns where those come from that connect to a server. One that was imported listens where it did, and lets in its own
/// machine. One with an address of its own is in a network that was made for its cluster. Those of one that is found by its name are
/// in networks that nothing here knows.
fn origin(host: IpAddr, outside: bool) -> String {
    match host {
        // Who connects to any of this machine's own addresses comes from the first of them.
        host if host.is_loopback() && host.is_ipv4() => format!("{LOOPBACK}/32"),
        host if host.is_unspecified() => "all".to_owned(),
        _ if !outside => "samenet".to_owned(),
        host => format!("{host}/{}", if host.is_ipv4() { 32 } else { 128 }),
    }
}

fn hba(place: &Place, outside: bool, standbys: Standbys, user: &str) -> FileText {
    let origin = origin(place.bind.host, outside);
    if place.is_named() {
        return hba_of_all(user);
    }
    // Who comes through a port of the platform's machine from another one keeps its address.
    let clients = match place.published() {
        Some(at) if !at.host.is_loopback() => "all",
        _ => &origin,
    };
    // A standby on another machine comes from an address of that machine: its engine translates the one of the container (NAT). Which
    // of them that is follows from the routes there, which nothing here tells, so its login is let in from everywhere, with its
    // password, and no other one.
    let replicas = match standbys {
        Standbys::Near => &origin,
        Standbys::Elsewhere => "all",
    };
    FileText::text(format!(
        "# Written by simdb from the configuration; edits made here are undone.\n\
         # TYPE DATABASE USER ADDRESS METHOD\n\
         host replication {REPLICATION_USER} {replicas} scram-sha-256\n\
         host all {user} {clients} scram-sha-256\n"
    ))
}

/// Returns a `pg_hba.conf` that lets users in from everywhere, and the superuser from the server's own machine alone, where simdb's
/// sessions come from.
fn hba_of_all(user: &str) -> FileText {
    let clients = if user == SUPERUSER {
        String::new()
    } else {
        format!("host all {SUPERUSER} all reject\nhost all {user} all scram-sha-256\n")
    };
    FileText::text(format!(
        "# Written by simdb from the configuration; edits made here are undone.\n\
         # TYPE DATABASE USER ADDRESS METHOD\n\
         host replication {REPLICATION_USER} all scram-sha-256\n\
         host {DATABASE} {REPLICATION_USER} all scram-sha-256\n\
         host all {SUPERUSER} 127.0.0.1/32 scram-sha-256\n\
         host all {SUPERUSER} ::1/128 scram-sha-256\n\
         {clients}"
    ))
}

/// Returns a passfile with the password of one user.
pub(super) fn passfile(user: &str, password: SecretName) -> FileText {
    FileText(vec![
        FilePart::Text(format!("*:*:*:{user}:")),
        FilePart::Secret(password),
        FilePart::Text("\n".to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_postgresql_conf() {
        assert_eq!(quote(r"it's C:\x"), r"'it''s C:\\x'");
    }
}
