//! Proof that replication works: a marker is committed, and every standby has it, replayed, and takes no writes.
//!
//! Positions alone prove nothing on a quiet cluster; the marker makes the primary write, every sender send and every
//! standby answer. That it could be committed proves that the primary writes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::sensitive::Secrets;
use tokio::time::{sleep, timeout};

use super::connection::Connection;
use super::observe::{Snapshot, snapshot};
use super::{Cause, POLL, PostgresqlError, condition};
use crate::executor::chain;

/// How long one standby may take to answer once, so that one that hangs does not keep the others from being looked at.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Commits at full level, and thus waits for the standbys that commits wait for.
const MARKER: &str = "BEGIN; SET LOCAL synchronous_commit = on; \
    SELECT pg_logical_emit_message(true, 'simdb', 'verify'); COMMIT";

/// SQLSTATE of a write that is refused because the server only replays.
const READ_ONLY: &str = "25006";

/// Proves that every standby is in sync, and returns where the marker stands.
pub async fn verify_sync(
    primary: &Server,
    standbys: &BTreeMap<String, Server>,
    secrets: &Secrets,
    limit: Duration,
) -> Result<Lsn, PostgresqlError> {
    let deadline = Instant::now() + limit;
    let primary = Connection::open(primary, secrets).await?;
    let marker = emit_marker(&primary, limit).await?;
    let mut standbys: Vec<Standby<'_>> = standbys
        .iter()
        .map(|(name, server)| Standby::new(name, server))
        .collect();
    loop {
        let looks = join_all(standbys.iter_mut().map(|standby| standby.look(secrets))).await;
        // Read after the standbys, so that it knows whatever they had confirmed.
        let there = snapshot(&primary).await?;
        let judged = standbys.iter().zip(looks).map(|(standby, look)| {
            let unmet = look.map_or_else(
                |reason| vec![reason],
                |here| condition::in_sync(standby.name, &there, &here, marker),
            );
            (standby.server.node.clone(), unmet)
        });
        let unmet = failures(judged);
        if unmet.is_empty() {
            break;
        }
        if Instant::now() >= deadline {
            return Err(not_in_sync(&primary, limit, unmet));
        }
        sleep(POLL).await;
    }
    let probes = join_all(standbys.iter().map(Standby::probe)).await;
    let unmet = failures(standbys.iter().map(|standby| standby.server.node.clone()).zip(probes));
    if unmet.is_empty() {
        Ok(marker)
    } else {
        Err(not_in_sync(&primary, limit, unmet))
    }
}

async fn emit_marker(primary: &Connection, limit: Duration) -> Result<Lsn, PostgresqlError> {
    const DOING: &str = "commit a marker";
    let Ok(answer) = timeout(limit, primary.required(DOING, MARKER)).await else {
        // No timeout of the server's ends a commit that waits for standbys.
        primary.cancel().await;
        return Err(primary.failure(DOING, Cause::Silence(limit)));
    };
    let answer = answer?;
    answer
        .parse()
        .map_err(|error| primary.failure(DOING, Cause::Position(error)))
}

fn failures(judged: impl Iterator<Item = (NodeAddress, Vec<String>)>) -> BTreeMap<NodeAddress, Vec<String>> {
    judged.filter(|(_, unmet)| !unmet.is_empty()).collect()
}

fn not_in_sync(primary: &Connection, limit: Duration, unmet: BTreeMap<NodeAddress, Vec<String>>) -> PostgresqlError {
    PostgresqlError::NotInSync {
        primary: primary.node().clone(),
        limit,
        unmet,
    }
}

/// A standby that is looked at until it is in sync; it may come and go meanwhile.
struct Standby<'a> {
    name: &'a str,
    server: &'a Server,
    connection: Option<Connection>,
}

impl<'a> Standby<'a> {
    fn new(name: &'a str, server: &'a Server) -> Self {
        Self {
            name,
            server,
            connection: None,
        }
    }

    /// Looks at it once; what keeps it from answering is one more thing that does not hold.
    async fn look(&mut self, secrets: &Secrets) -> Result<Snapshot, String> {
        match timeout(LOOK_LIMIT, self.ask(secrets)).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("it does not answer within {LOOK_LIMIT:?}")),
        }
    }

    async fn ask(&mut self, secrets: &Secrets) -> Result<Snapshot, PostgresqlError> {
        let connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => Connection::open(self.server, secrets).await?,
        };
        let connection = self.connection.insert(connection);
        snapshot(connection).await
    }

    /// Tries to write. A server that lets it happen forgets the temporary table with the session.
    async fn probe(&self) -> Vec<String> {
        let Some(connection) = &self.connection else {
            return vec!["it is no longer connected".to_owned()];
        };
        match connection
            .execute("try to write", "CREATE TEMPORARY TABLE simdb_probe ()")
            .await
        {
            Err(error) if error.sqlstate() == Some(READ_ONLY) => Vec::new(),
            Err(error) => vec![chain(&error)],
            Ok(()) => vec!["it accepts writes".to_owned()],
        }
    }
}
