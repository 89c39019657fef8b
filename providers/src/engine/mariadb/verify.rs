//! Proof that replication works: a marker is committed, and every standby has it, applied, and takes no writes.
//!
//! Positions alone prove nothing: a server that was made anew with the `server_id` of its former data leaves its own former
//! transactions out, and says that it has them. So the *content* of a row is compared, which nobody could foresee.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use simdb_planner::engine::mariadb::facts::ServerFacts;
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::gtid::GtidPosition;
use simdb_state::place::HostPort;
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Connection, literal};
use super::observe::{Known, snapshot};
use super::stream::reaches;
use super::{Cause, MariadbError, POLL};
use crate::executor::chain;
use crate::password;
use crate::sessions::Sessions;

/// How long one standby may take to answer once, so that one that hangs does not keep the others from being looked at.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// The table of markers: one row for each server that writes, so that two of them never write the same row.
const TABLE: &str = "CREATE TABLE simdb.marker (writer INT UNSIGNED PRIMARY KEY, mark CHAR(32) NOT NULL) \
    ENGINE = InnoDB CHARACTER SET ascii";

/// A standby that is to be proven in sync.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// How it is reached.
    pub server: &'a Server,
    /// Where it streams from.
    pub upstream: &'a HostPort,
    /// Whether it acknowledges what the primary commits.
    pub acknowledges: bool,
}

/// A marker that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Marker {
    /// The `server_id` of the server that wrote it.
    writer: u32,
    /// What it wrote.
    mark: String,
    /// Where it stands.
    pub position: GtidPosition,
}

/// Proves that every standby is in sync, and returns where the marker stands.
pub async fn verify_sync(
    primary: &Server,
    standbys: &[Expected<'_>],
    sessions: &Sessions<'_>,
    limit: Duration,
) -> Result<GtidPosition, MariadbError> {
    let deadline = Instant::now() + limit;
    let mut connection = Connection::open(sessions, primary).await?;
    let there = snapshot(&mut connection, &Known::new()).await?;
    let marker = match mark(&mut connection, limit).await {
        Ok(marker) => marker,
        Err(error) => {
            // The marker may wait for an acknowledgement, and would for as long as its session is there.
            let session = connection.session();
            if connection.is_closed() {
                Connection::open(sessions, primary).await?.kill(session).await?;
            }
            let unmet = judge(standbys, &there, None, sessions).await;
            return Err(if unmet.is_empty() {
                error
            } else {
                not_in_sync(primary, limit, unmet, &chain(&error))
            });
        }
    };
    loop {
        let unmet = judge(standbys, &there, Some(&marker), sessions).await;
        if unmet.is_empty() {
            return Ok(marker.position);
        }
        if Instant::now() >= deadline {
            return Err(MariadbError::NotInSync {
                primary: primary.node.clone(),
                limit,
                unmet,
            });
        }
        sleep(POLL).await;
    }
}

fn not_in_sync(
    primary: &Server,
    limit: Duration,
    mut unmet: BTreeMap<NodeAddress, Vec<String>>,
    reason: &str,
) -> MariadbError {
    unmet.entry(primary.node.clone()).or_default().push(reason.to_owned());
    MariadbError::NotInSync {
        primary: primary.node.clone(),
        limit,
        unmet,
    }
}

/// Commits a marker as clients commit: where their commits wait for an acknowledgement, so does this one.
pub async fn mark(connection: &mut Connection, limit: Duration) -> Result<Marker, MariadbError> {
    const DOING: &str = "commit a marker";
    const EXISTS: &str =
        "SELECT 1 FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'simdb' AND TABLE_NAME = 'marker'";
    let mark = password::generate()
        .map_err(|error| connection.failure(DOING, Cause::Answer(format!("no random source: {error}"))))?;
    let mark = mark.expose().clone();
    if connection.value(DOING, EXISTS).await?.is_none() {
        connection.ask(DOING, TABLE, limit).await?;
    }
    let write = format!("REPLACE INTO simdb.marker VALUES (@@server_id, {})", literal(&mark));
    connection.ask(DOING, &write, limit).await?;
    let rows = connection.rows(DOING, "SELECT @@server_id, @@last_gtid").await?;
    let told = rows.into_iter().next().and_then(|row| {
        let mut columns = row.into_iter().flatten();
        Some((columns.next()?.parse().ok()?, columns.next()?.parse().ok()?))
    });
    let (writer, position) = told.ok_or_else(|| {
        let reason = "the marker has no place in the log".to_owned();
        connection.failure(DOING, Cause::Answer(reason))
    })?;
    Ok(Marker { writer, mark, position })
}

/// Returns whether a server has a marker, by its content.
pub async fn arrived(connection: &mut Connection, marker: &Marker) -> Result<bool, MariadbError> {
    /// There is no such table, or no such database.
    const MISSING: [u16; 2] = [1146, 1049];
    let read = format!("SELECT mark FROM simdb.marker WHERE writer = {}", marker.writer);
    match connection.value("read the marker", &read).await {
        Ok(mark) => Ok(mark.as_ref() == Some(&marker.mark)),
        Err(error) if error.code().is_some_and(|code| MISSING.contains(&code)) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Says of every standby what keeps it from being in sync.
async fn judge(
    standbys: &[Expected<'_>],
    primary: &ServerFacts,
    marker: Option<&Marker>,
    sessions: &Sessions<'_>,
) -> BTreeMap<NodeAddress, Vec<String>> {
    let looks = standbys.iter().map(|expected| async move {
        match timeout(LOOK_LIMIT, look(expected, primary, marker, sessions)).await {
            Ok(Ok(unmet)) => unmet,
            Ok(Err(error)) => vec![chain(&error)],
            Err(_) => vec![format!("it does not answer within {LOOK_LIMIT:?}")],
        }
    });
    let looks = join_all(looks).await;
    let nodes = standbys.iter().map(|expected| expected.server.node.clone());
    nodes.zip(looks).filter(|(_, unmet)| !unmet.is_empty()).collect()
}

async fn look(
    expected: &Expected<'_>,
    primary: &ServerFacts,
    marker: Option<&Marker>,
    sessions: &Sessions<'_>,
) -> Result<Vec<String>, MariadbError> {
    let mut connection = Connection::open(sessions, expected.server).await?;
    let here = snapshot(&mut connection, &Known::new()).await?;
    let mut unmet = condition(expected, primary, &here);
    if let Some(marker) = marker
        && unmet.is_empty()
        && !arrived(&mut connection, marker).await?
    {
        let position = &marker.position;
        unmet.push(if reaches(&here.applied, position) {
            format!("it says that it has applied {position}, and does not have what that wrote")
        } else {
            format!("it has applied {}, and the marker is {position}", here.applied)
        });
    }
    connection.close().await;
    Ok(unmet)
}

/// Says what keeps a standby from being one that follows.
fn condition(expected: &Expected<'_>, primary: &ServerFacts, here: &ServerFacts) -> Vec<String> {
    let mut unmet = Vec::new();
    if !here.read_only {
        unmet.push("it takes writes".to_owned());
    }
    if here.lineage != primary.lineage {
        unmet.push("its data is that of another cluster".to_owned());
    }
    if here.server_id == primary.server_id {
        unmet.push(format!("it has the server_id of the primary, {}", here.server_id));
    }
    if here.acknowledgement.waits {
        unmet.push("its commits wait for acknowledgements, which holds up what it applies".to_owned());
    }
    match here.streams.get("") {
        None => unmet.push("it follows no server".to_owned()),
        Some(stream) => {
            let (host, port) = (expected.upstream.host.to_string(), expected.upstream.port);
            if (&stream.host, stream.port) != (&host, port) {
                unmet.push(format!("it follows {}:{}", stream.host, stream.port));
            }
            if stream.receives != "Yes" {
                unmet.push(format!(
                    "it does not receive ({}): {}",
                    stream.receives, stream.receive_error
                ));
            }
            if !stream.applies {
                unmet.push(format!("it does not apply: {}", stream.apply_error));
            }
            if expected.acknowledges && !here.acknowledgement.acknowledging {
                unmet.push("it does not acknowledge what it receives".to_owned());
            }
        }
    }
    unmet
}
