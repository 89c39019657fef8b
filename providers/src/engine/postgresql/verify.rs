//! Proof that replication works: a marker is committed, and every standby has it, replayed, and takes no writes.
//!
//! Positions alone prove nothing on a quiet cluster; the marker makes the primary write, every sender send and every
//! standby answer. That it could be committed proves that the primary writes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use simdb_planner::plan::{Checked, Server};
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::object::CommitLevel;
use tokio::time::{sleep, timeout};

use super::condition::{self, Target};
use super::connection::Connection;
use super::observe::{Snapshot, snapshot};
use super::{Cause, POLL, PostgresqlError, restart_point};
use crate::executor::chain;
use crate::sessions::Sessions;

/// How long one standby may take to answer once, so that one that hangs does not keep the others from being looked at.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// How often standbys are looked at while the marker waits for them. Most markers wait for no such look.
const WATCH: Duration = Duration::from_secs(1);

/// SQLSTATE of a write that is refused because the server only replays.
const READ_ONLY: &str = "25006";

/// What is to be proven.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The standbys by `application_name`.
    pub standbys: &'a BTreeMap<String, Checked>,
    /// Those that commits wait for.
    pub synchronous: &'a BTreeSet<String>,
    /// How many of them a commit waits for.
    pub awaited: u32,
    /// How far the marker's commit waits for them.
    pub commit: CommitLevel,
}

/// Proves that every standby is in sync, and returns where the marker stands.
pub async fn verify_sync(
    primary: &Server,
    expected: Expected<'_>,
    sessions: &Sessions<'_>,
    limit: Duration,
) -> Result<Lsn, PostgresqlError> {
    let deadline = Instant::now() + limit;
    let server = primary;
    let primary = Connection::open(sessions, server).await?;
    let mut standbys: Vec<Standby<'_>> = expected
        .standbys
        .iter()
        .map(|(name, checked)| Standby::new(name, checked))
        .collect();
    let marker = tokio::select! {
        marker = emit_marker(&primary, expected.commit, limit) => marker?,
        // The marker waits for standbys, one of which may never come.
        error = watch(server, expected.standbys, sessions) => {
            primary.cancel().await;
            return Err(error);
        }
    };
    let Some(marker) = marker else {
        let looks = join_all(standbys.iter_mut().map(|standby| standby.look(sessions))).await;
        let there = snapshot(&primary).await?;
        let mut unmet = judge(&standbys, &looks, &there, Lsn(0));
        if let Some(problem) = condition::too_few(expected.synchronous, expected.awaited, &there) {
            unmet.entry(primary.node().clone()).or_default().push(problem);
        }
        return Err(PostgresqlError::NotAcknowledged {
            primary: primary.node().clone(),
            limit,
            unmet,
        });
    };
    loop {
        let looks = join_all(standbys.iter_mut().map(|standby| standby.look(sessions))).await;
        // Read after the standbys, so that it knows whatever they had confirmed.
        let there = snapshot(&primary).await?;
        let mut unmet = judge(&standbys, &looks, &there, marker);
        if let Some(problem) = condition::too_few(expected.synchronous, expected.awaited, &there) {
            unmet.entry(primary.node().clone()).or_default().push(problem);
        }
        if unmet.is_empty() {
            break;
        }
        if let Some(error) = starved(&standbys, &looks, (primary.node(), &there)) {
            return Err(error);
        }
        if Instant::now() >= deadline {
            return Err(not_in_sync(&primary, limit, unmet));
        }
        sleep(POLL).await;
    }
    let probes = join_all(standbys.iter().map(Standby::probe)).await;
    let unmet = failures(
        standbys
            .iter()
            .map(|standby| standby.checked.server.node.clone())
            .zip(probes),
    );
    if unmet.is_empty() {
        Ok(marker)
    } else {
        Err(not_in_sync(&primary, limit, unmet))
    }
}

/// Says of every standby what keeps it from being in sync.
fn judge(
    standbys: &[Standby<'_>],
    looks: &[Result<Snapshot, String>],
    primary: &Snapshot,
    marker: Lsn,
) -> BTreeMap<NodeAddress, Vec<String>> {
    let seen: BTreeMap<&str, &Snapshot> = standbys
        .iter()
        .zip(looks)
        .filter_map(|(standby, look)| Some((standby.name, look.as_ref().ok()?)))
        .collect();
    let judged = standbys.iter().zip(looks).map(|(standby, look)| {
        let upstream = match &standby.checked.upstream {
            None => Ok(primary),
            Some(name) => seen.get(name.as_str()).copied().ok_or(name),
        };
        let unmet = match (look, upstream) {
            (Err(reason), _) => vec![reason.clone()],
            (Ok(_), Err(name)) => vec![format!("{name}, which it streams from, does not answer")],
            (Ok(here), Ok(upstream)) => {
                let target = Target {
                    upstream,
                    primary,
                    marker,
                    delayed: standby.checked.delayed,
                };
                condition::in_sync(standby.name, target, here)
            }
        };
        (standby.checked.server.node.clone(), unmet)
    });
    failures(judged)
}

/// Looks from time to time for a standby that can never be in sync, and returns once there is one.
async fn watch(primary: &Server, standbys: &BTreeMap<String, Checked>, sessions: &Sessions<'_>) -> PostgresqlError {
    let mut standbys: Vec<Standby<'_>> = standbys
        .iter()
        .map(|(name, checked)| Standby::new(name, checked))
        .collect();
    loop {
        sleep(WATCH).await;
        let looks = join_all(standbys.iter_mut().map(|standby| standby.look(sessions))).await;
        // What cannot be asked now says nothing.
        let Ok(connection) = Connection::open(sessions, primary).await else {
            continue;
        };
        let Ok(there) = snapshot(&connection).await else {
            continue;
        };
        if let Some(error) = starved(&standbys, &looks, (connection.node(), &there)) {
            return error;
        }
    }
}

/// Makes the error about a standby that can never be in sync.
fn starved(
    standbys: &[Standby<'_>],
    looks: &[Result<Snapshot, String>],
    (primary_node, primary): (&NodeAddress, &Snapshot),
) -> Option<PostgresqlError> {
    let seen = |name: &str| {
        let mut all = standbys.iter().zip(looks);
        let (standby, look) = all.find(|(standby, _)| standby.name == name)?;
        Some((&standby.checked.server.node, look.as_ref().ok()?))
    };
    standbys.iter().zip(looks).find_map(|(standby, look)| {
        let here = look.as_ref().ok()?;
        let node = &standby.checked.server.node;
        let (upstream, there) = match &standby.checked.upstream {
            Some(name) => seen(name)?,
            None => (primary_node, primary),
        };
        let reason = condition::starved(upstream, &there.facts, &here.facts)?;
        Some(PostgresqlError::Unrecoverable {
            node: node.clone(),
            reason,
            log: None,
        })
    })
}

/// Commits at a level of its own, for simdb's sessions wait for nobody, and thus waits for the standbys that commits wait
/// for. Returns where the marker stands; nothing where that was not acknowledged in time.
async fn emit_marker(
    primary: &Connection,
    level: CommitLevel,
    limit: Duration,
) -> Result<Option<Lsn>, PostgresqlError> {
    const DOING: &str = "commit a marker";
    let marker = format!(
        "BEGIN; SET LOCAL synchronous_commit = {level}; SELECT pg_logical_emit_message(true, 'simdb', 'verify'); COMMIT"
    );
    let Ok(answer) = timeout(limit, primary.required(DOING, &marker)).await else {
        // No timeout of the server's ends a commit that waits for standbys.
        primary.cancel().await;
        return Ok(None);
    };
    let answer = answer?;
    answer
        .parse()
        .map(Some)
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
    checked: &'a Checked,
    connection: Option<Connection>,
}

impl<'a> Standby<'a> {
    fn new(name: &'a str, checked: &'a Checked) -> Self {
        Self {
            name,
            checked,
            connection: None,
        }
    }

    /// Looks at it once; what keeps it from answering is one more thing that does not hold.
    async fn look(&mut self, sessions: &Sessions<'_>) -> Result<Snapshot, String> {
        match timeout(LOOK_LIMIT, self.ask(sessions)).await {
            Ok(Ok(seen)) => Ok(seen),
            Ok(Err(error)) => Err(chain(&error)),
            Err(_) => Err(format!("it does not answer within {LOOK_LIMIT:?}")),
        }
    }

    async fn ask(&mut self, sessions: &Sessions<'_>) -> Result<Snapshot, PostgresqlError> {
        let connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => Connection::open(sessions, &self.checked.server).await?,
        };
        let connection = self.connection.insert(connection);
        snapshot(connection).await
    }

    /// Compares its data with its log, and tries to write. A server that lets it happen forgets the temporary table with
    /// the session.
    async fn probe(&self) -> Vec<String> {
        let Some(connection) = &self.connection else {
            return vec!["it is no longer connected".to_owned()];
        };
        if let Err(error) = restart_point::check(connection).await {
            return vec![chain(&error)];
        }
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
