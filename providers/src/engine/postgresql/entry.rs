//! What an entry of libpq's connection service file says of a route.

use simdb_planner::engine::postgresql::client::{target_session_attrs, wanted};
use simdb_planner::observed::RouteFacts;
use simdb_state::place::{Host, HostPort};
use simdb_state::route::Hints;

/// The keys of an entry.
const HOST: &str = "host";
const PORT: &str = "port";
const DATABASE: &str = "dbname";
const SESSION: &str = "target_session_attrs";

/// Returns the keys of an entry and their values.
pub(crate) fn of(hosts: &[HostPort], hints: &Hints) -> [(&'static str, String); 4] {
    let join = |part: fn(&HostPort) -> String| hosts.iter().map(part).collect::<Vec<_>>().join(",");
    [
        (HOST, join(|at| at.host.to_string())),
        (PORT, join(|at| at.port.to_string())),
        (DATABASE, hints.database.clone()),
        (SESSION, target_session_attrs(hints.wanted).to_owned()),
    ]
}

/// Reads an entry from the values of its keys. One that simdb did not write that way says nothing.
pub(crate) fn read<'a>(value: impl Fn(&str) -> Option<&'a str>) -> Option<RouteFacts> {
    let hosts: Vec<Host> = value(HOST)?.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    let ports: Vec<u16> = value(PORT)?.split(',').map(str::parse).collect::<Result<_, _>>().ok()?;
    if hosts.len() != ports.len() {
        return None;
    }
    let hosts = hosts.into_iter().zip(ports);
    Some(RouteFacts {
        hosts: hosts.map(|(host, port)| HostPort { host, port }).collect(),
        hints: Hints {
            database: value(DATABASE)?.to_owned(),
            wanted: wanted(value(SESSION)?)?,
        },
    })
}
