//! Lets a standby write, and finds out where its log branches off.

use std::time::{Duration, Instant};

use futures_util::future::{join, join_all};
use simdb_planner::plan::Server;
use simdb_state::lsn::Lsn;
use tokio::time::sleep;

use super::connection::Connection;
use super::observe::snapshot;
use super::{Cause, PostgresqlError};
use crate::sessions::Sessions;

/// How often a standby that is about to write is asked: writes wait for the answer.
const POLL: Duration = Duration::from_millis(3);

/// How long a standby whose upstream is gone may take to notice: writes wait.
const RECEIVER_LIMIT: Duration = Duration::from_secs(2);

/// Writes everything to the data files. What comes next then has little to do: a shutdown, or a rewind, which takes two
/// timelines for one as long as the new one has no checkpoint (up to 15).
pub(crate) async fn checkpoint(connection: &Connection) -> Result<(), PostgresqlError> {
    connection.execute("make a checkpoint", "CHECKPOINT").await
}

/// Returns whether a server only replays.
pub(crate) async fn replays(connection: &Connection) -> Result<bool, PostgresqlError> {
    let answer = connection
        .required("read the role", "SELECT pg_is_in_recovery()")
        .await?;
    Ok(answer == "t")
}

/// Waits until no standby receives anything any more, and checks that no other standby has more than this one. All are asked at once: writes
/// wait.
pub(crate) async fn most_advanced(
    connection: &Connection,
    others: &[Server],
    sessions: &Sessions<'_>,
) -> Result<(), PostgresqlError> {
    let ask = async |other: &Server| {
        let other = Connection::open(sessions, other).await?;
        settled(&other).await
    };
    let (own, theirs) = join(settled(connection), join_all(others.iter().map(ask))).await;
    let own = own?;
    for (other, theirs) in others.iter().zip(theirs) {
        let theirs = theirs?;
        if theirs > own {
            return Err(PostgresqlError::Behind {
                node: connection.node().clone(),
                other: other.node.clone(),
                bytes: theirs.1.ahead_of(own.1),
            });
        }
    }
    Ok(())
}

/// Returns the timeline and position of a standby once it receives nothing any more.
///
/// The node that led is fenced, so every receiver ends by itself. One that hangs is not waited for: what it confirmed it
/// had written before, so that its position holds every write that was acknowledged on its word.
async fn settled(connection: &Connection) -> Result<(u32, Lsn), PostgresqlError> {
    let deadline = Instant::now() + RECEIVER_LIMIT;
    loop {
        let facts = snapshot(connection).await?.facts;
        let receives = facts.receiver.is_some_and(|receiver| receiver.status == "streaming");
        if !receives || Instant::now() >= deadline {
            return Ok((facts.timeline, facts.position));
        }
        sleep(POLL).await;
    }
}

/// Checks that no other node writes already. One that does not answer has no session that could promote it.
pub(crate) async fn only_writer(
    connection: &Connection,
    others: &[Server],
    sessions: &Sessions<'_>,
) -> Result<(), PostgresqlError> {
    let writes = async |other: &Server| match Connection::open(sessions, other).await {
        Ok(other) => Ok(!replays(&other).await?),
        Err(_) => Ok(false),
    };
    let answers: Vec<Result<bool, PostgresqlError>> = join_all(others.iter().map(writes)).await;
    for (other, writes) in others.iter().zip(answers) {
        if writes? {
            return Err(PostgresqlError::OtherWrites {
                node: connection.node().clone(),
                other: other.node.clone(),
            });
        }
    }
    Ok(())
}

/// Lets a standby write, and returns once it does. `pg_promote` would wait in steps of a tenth of a second.
pub(crate) async fn promote(connection: &Connection, limit: Duration) -> Result<(), PostgresqlError> {
    let deadline = Instant::now() + limit;
    connection
        .required("promote", "SELECT pg_promote(wait => false)")
        .await?;
    while replays(connection).await? {
        if Instant::now() >= deadline {
            return Err(PostgresqlError::NotPromoted {
                node: connection.node().clone(),
                limit,
            });
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Returns the timeline a server writes, and where it branches off, as its history file says.
pub(crate) async fn switch_point(connection: &Connection) -> Result<(u32, Lsn), PostgresqlError> {
    const DOING: &str = "read the timeline history";
    const TIMELINE: &str = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";
    let timeline = connection.required(DOING, TIMELINE).await?;
    let timeline: u32 = timeline.parse().map_err(|_| connection.failure(DOING, Cause::Empty))?;
    let history = format!("SELECT pg_read_file('pg_wal/{timeline:08X}.history')");
    let history = connection.required(DOING, &history).await?;
    let last = history.lines().rev().find(|line| !line.trim().is_empty());
    let point = last.and_then(|line| line.split_whitespace().nth(1));
    let point = point.ok_or_else(|| connection.failure(DOING, Cause::Empty))?;
    let point = point
        .parse()
        .map_err(|error| connection.failure(DOING, Cause::Position(error)))?;
    Ok((timeline, point))
}
