//! PgBouncer, as far as it can be told without a process: what to run, and with which files.
//!
//! ```text
//!   clients ──► PgBouncer (pgbouncer.ini, userlist.txt) ──► the server that writes
//!                  ▲ console: PAUSE, RELOAD, RECONNECT, RESUME
//!                simdb
//! ```
//!
//! Clients log in as the cluster's own users: PgBouncer asks the server for their verifiers, as a login of its own that
//! may read and nothing else. Up to 1.18 it asks in the database that the client wants, so that a function with the
//! rights of its owner would have to be in every one of them, also in those that are made later. The same login with the
//! same password opens its console; no server knows of that.

pub mod action;
mod before;
mod intend;
mod lower;
mod order;
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulate;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use simdb_state::address::EndpointAddress;
use simdb_state::instance::{Argument, Command, FilePart, FileText, InstanceSpec, Stop, StopSignal};
use simdb_state::name::ClusterName;
use simdb_state::object::{EngineKind, Pooler, Resources, User};
use simdb_state::sensitive::SecretName;

use crate::engine::instance::user;

pub use self::action::{Action, Console};
pub(crate) use self::before::correct_poolers;

/// The login that PgBouncer looks up users with, and that its console lets in.
pub const USER: &str = "pgbouncer";

/// Ends it at once. The other signal waits until the last client has gone.
pub const STOP: Stop = Stop {
    signal: StopSignal::Terminate,
    within: Duration::from_mins(1),
};

/// What that login is for, as a fragment that follows "because".
pub(super) const PURPOSE: &str = "PgBouncer looks up other logins with it";

/// How the program is installed.
pub(super) const INSTALLATION: &str = "on Debian: apt-get install pgbouncer";

/// The file with its settings.
const SETTINGS: &str = "pgbouncer.ini";

/// The file with the password of its own login.
const USERS: &str = "userlist.txt";

/// Looks up the verifier of a login that may connect. The owner of a database may set the search path of all who connect
/// to it, so operators have their schema too: another's function would run as a role that may read everything.
const LOOKUP: &str = "SELECT rolname, rolpassword FROM pg_catalog.pg_authid \
                      WHERE rolname OPERATOR(pg_catalog.=) $1 AND rolcanlogin \
                      AND (rolvaliduntil IS NULL OR rolvaliduntil OPERATOR(pg_catalog.>) pg_catalog.now())";

/// Returns what PgBouncer's own login may: read.
pub fn login() -> User {
    User {
        member_of: BTreeSet::from(["pg_read_all_data".to_owned()]),
        ..User::default()
    }
}

/// Returns the name of the password of PgBouncer's own login.
fn password(cluster: &ClusterName) -> SecretName {
    login().password(&user(cluster, USER))
}

/// Returns how the console of an endpoint's pooler is reached.
pub fn console(endpoint: &EndpointAddress, pooler: &Pooler) -> Console {
    Console {
        endpoint: endpoint.clone(),
        place: Box::new(pooler.place.clone()),
        password: password(&endpoint.cluster),
    }
}

/// Returns what is run for an endpoint's pooler.
pub fn server(endpoint: &EndpointAddress, pooler: &Pooler, version: u16) -> InstanceSpec {
    let users = FileText(vec![
        FilePart::Text(format!("\"{USER}\" \"")),
        FilePart::Secret(password(&endpoint.cluster)),
        FilePart::Text("\"\n".to_owned()),
    ]);
    InstanceSpec {
        command: Command {
            engine: EngineKind::Pgbouncer,
            version,
            program: "pgbouncer".to_owned(),
            arguments: vec![Argument::below_directory("", SETTINGS)],
        },
        files: [(SETTINGS.to_owned(), settings(pooler)), (USERS.to_owned(), users)]
            .into_iter()
            .collect(),
        data: String::new(),
        listen: pooler.place.bind,
        published: pooler.place.published(),
        image: None,
        resources: Resources::default(),
        probe: None,
        present: Vec::new(),
        absent: Vec::new(),
        environment: BTreeMap::new(),
        stop: STOP,
    }
}

/// Returns on which addresses it listens. One with an address of its own has others in other networks, where clients are.
fn listen_addr(host: IpAddr) -> String {
    if host.is_loopback() {
        host.to_string()
    } else {
        "*".to_owned()
    }
}

fn settings(pooler: &Pooler) -> FileText {
    let Pooler {
        place,
        pool_mode,
        node: _,
        upstream,
        power: _,
        paused: _,
    } = pooler;
    let before = format!(
        "; Written by simdb from the configuration; edits made here are undone.\n\
         [databases]\n\
         * = host={} port={}\n\
         \n\
         [pgbouncer]\n\
         listen_addr = {}\n\
         listen_port = {}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         auth_file = ",
        upstream.host,
        upstream.port,
        listen_addr(place.bind.host),
        place.bind.port
    );
    // A server that comes back is tried again at once, and not after the 15 s that are the default. Drivers of Java send
    // extra_float_digits, and are turned away otherwise.
    let after = format!(
        "/{USERS}\n\
         auth_user = {USER}\n\
         auth_query = {LOOKUP}\n\
         admin_users = {USER}\n\
         pool_mode = {pool_mode}\n\
         max_client_conn = 1000\n\
         server_login_retry = 0.2\n\
         ignore_startup_parameters = extra_float_digits\n\
         log_stats = 0\n"
    );
    FileText(vec![
        FilePart::Text(before),
        FilePart::InstanceDirectory,
        FilePart::Text(after),
    ])
}
