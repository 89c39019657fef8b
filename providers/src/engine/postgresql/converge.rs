//! Waits until all servers of a cluster hold what its primary held at one moment.
//!
//! The moment is a marker in the log: whatever was committed before it is on every server that has replayed it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use thiserror::Error;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::{Cause, POLL, PostgresqlError};
use crate::executor::chain;
use crate::sessions::Sessions;

/// How long one server may take to answer once: one that hangs does not keep the others from being asked.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Commits on the primary alone, as every session of simdb does, and so flushes whatever was committed before.
const MARKER: &str = "SELECT pg_logical_emit_message(true, 'simdb', 'converge')";

/// Why it cannot be said where servers should converge.
#[derive(Debug, Error)]
pub enum ConvergeError {
    /// Nobody writes.
    #[error("find the server that writes within {limit:?}{}", Listing(.reasons))]
    NoWriter {
        /// How long it was looked for.
        limit: Duration,
        /// What each server said last.
        reasons: BTreeMap<NodeAddress, String>,
    },
    /// Several write.
    #[error("find the server that writes: {} all do, which is a split brain", names(.0))]
    SplitBrain(Vec<NodeAddress>),
    /// The one that writes did not do its part.
    #[error(transparent)]
    Postgresql(#[from] PostgresqlError),
}

/// Servers that hold the same.
#[derive(Debug)]
pub(crate) struct Converged {
    /// The one that writes.
    pub(crate) primary: NodeAddress,
    /// Where the marker stands in the log.
    pub(crate) marker: Lsn,
    /// A session with each server that has replayed the marker, and for the others why they have not.
    pub(crate) servers: BTreeMap<NodeAddress, Result<Connection, String>>,
}

/// Waits until every server has replayed what was committed before now. A server that does not within the limit is an
/// entry of the answer, not an error.
pub(crate) async fn converge(
    servers: &[Server],
    database: &str,
    sessions: &Sessions<'_>,
    limit: Duration,
) -> Result<Converged, ConvergeError> {
    let deadline = Instant::now() + limit;
    let servers = doors(servers, database, sessions);
    let primary = find_writer(&servers, limit).await?;
    let marker = mark(&primary).await?;
    Ok(Converged {
        primary: primary.node().clone(),
        marker,
        servers: arrivals(&servers, marker, deadline).await,
    })
}

/// Makes the ways into one database of each server.
pub(super) fn doors<'a>(servers: &'a [Server], database: &'a str, sessions: &'a Sessions<'a>) -> Vec<Door<'a>> {
    let door = |server| Door {
        server,
        database,
        sessions,
    };
    servers.iter().map(door).collect()
}

/// Waits for every server that replays to have replayed a marker.
pub(super) async fn arrivals(
    servers: &[Door<'_>],
    marker: Lsn,
    deadline: Instant,
) -> BTreeMap<NodeAddress, Result<Connection, String>> {
    let arrived = join_all(servers.iter().map(|door| door.arrive(marker, deadline))).await;
    let nodes = servers.iter().map(|door| door.server.node.clone());
    nodes.zip(arrived).collect()
}

/// Finds the server that writes. One that is just being promoted, or restarts, is waited for.
pub(super) async fn find_writer(servers: &[Door<'_>], limit: Duration) -> Result<Connection, ConvergeError> {
    let deadline = Instant::now() + limit;
    loop {
        let mut writers = Vec::new();
        let mut reasons = BTreeMap::new();
        for (door, seen) in servers.iter().zip(join_all(servers.iter().map(Door::look)).await) {
            match seen {
                Ok((connection, Seen { in_recovery: false, .. })) => writers.push(connection),
                Ok(_) => drop(reasons.insert(door.server.node.clone(), "it only replays".to_owned())),
                Err(reason) => drop(reasons.insert(door.server.node.clone(), reason)),
            }
        }
        match (writers.len(), writers.pop()) {
            (1, Some(writer)) => return Ok(writer),
            (0, _) | (_, None) => {}
            (_, Some(last)) => {
                let others = writers.iter().map(Connection::node);
                let all = others.chain([last.node()]).cloned().collect();
                return Err(ConvergeError::SplitBrain(all));
            }
        }
        if Instant::now() >= deadline {
            return Err(ConvergeError::NoWriter { limit, reasons });
        }
        sleep(POLL).await;
    }
}

/// Commits a marker, and returns where it stands.
pub(super) async fn mark(primary: &Connection) -> Result<Lsn, PostgresqlError> {
    const DOING: &str = "commit a marker";
    let answer = primary.required(DOING, MARKER).await?;
    answer
        .parse()
        .map_err(|error| primary.failure(DOING, Cause::Position(error)))
}

/// One server, and what it takes to be let in.
pub(super) struct Door<'a> {
    server: &'a Server,
    database: &'a str,
    sessions: &'a Sessions<'a>,
}

/// How far a server is.
struct Seen {
    in_recovery: bool,
    replayed: Lsn,
}

impl Door<'_> {
    /// Connects, and asks once.
    async fn look(&self) -> Result<(Connection, Seen), String> {
        let looked = timeout(LOOK_LIMIT, async {
            let connection = Connection::open_in(self.sessions, self.server, self.database).await?;
            let seen = ask(&connection).await?;
            Ok((connection, seen))
        });
        match looked.await {
            Ok(seen) => seen.map_err(|error: PostgresqlError| chain(&error)),
            Err(_) => Err(format!("it does not answer within {LOOK_LIMIT:?}")),
        }
    }

    /// Waits until the server has replayed the marker; it may come and go meanwhile.
    async fn arrive(&self, marker: Lsn, deadline: Instant) -> Result<Connection, String> {
        let mut session = None;
        loop {
            let looked = match session.take() {
                Some(connection) => look_again(connection).await,
                None => self.look().await,
            };
            let reason = match looked {
                Ok((connection, seen)) if !seen.in_recovery || seen.replayed >= marker => return Ok(connection),
                Ok((connection, seen)) => {
                    session = Some(connection);
                    format!("it has replayed up to {}, and the marker is at {marker}", seen.replayed)
                }
                Err(reason) => reason,
            };
            if Instant::now() >= deadline {
                return Err(reason);
            }
            sleep(POLL).await;
        }
    }
}

async fn look_again(connection: Connection) -> Result<(Connection, Seen), String> {
    match timeout(LOOK_LIMIT, ask(&connection)).await {
        Ok(Ok(seen)) => Ok((connection, seen)),
        Ok(Err(error)) => Err(chain(&error)),
        Err(_) => Err(format!("it does not answer within {LOOK_LIMIT:?}")),
    }
}

async fn ask(connection: &Connection) -> Result<Seen, PostgresqlError> {
    const DOING: &str = "read how far it has replayed";
    const POSITION: &str = "SELECT pg_is_in_recovery() || ' ' || coalesce(pg_last_wal_replay_lsn(), '0/0')";
    let answer = connection.required(DOING, POSITION).await?;
    let (in_recovery, replayed) = answer.split_once(' ').unwrap_or_default();
    let replayed = replayed
        .parse()
        .map_err(|error| connection.failure(DOING, Cause::Position(error)))?;
    Ok(Seen {
        in_recovery: in_recovery == "true",
        replayed,
    })
}

fn names(nodes: &[NodeAddress]) -> String {
    let names: Vec<String> = nodes.iter().map(ToString::to_string).collect();
    names.join(" and ")
}

/// Shows reasons, one server a line.
struct Listing<'a>(&'a BTreeMap<NodeAddress, String>);

impl std::fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0
            .iter()
            .try_for_each(|(node, reason)| write!(f, "\n    {node}: {reason}"))
    }
}
