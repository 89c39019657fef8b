//! Closes servers to writes, with a proof, and opens them.

use std::time::Duration;

use simdb_planner::plan::Server;
use simdb_state::gtid::GtidPosition;
use tokio::time::{Instant, sleep};

use super::acknowledgement::{self, Acknowledgement};
use super::connection::{Connection, identifier, literal};
use super::observe::{Known, snapshot};
use super::{Cause, LOGIN, MariadbError, POLL};
use crate::sessions::Sessions;

/// A session that waits for a lock gives up on the server before it is given up here.
const SERVER_GIVES_UP: Duration = Duration::from_secs(1);

/// The sessions that may write, or hold what was written: all but simdb's, those of the server itself, and those that stream from it.
const OTHERS: &str = "SELECT ID FROM information_schema.PROCESSLIST \
    WHERE USER NOT IN ('system user', 'event_scheduler', 'simdb') AND COMMAND NOT LIKE 'Binlog Dump%'";

/// Closes a server that runs: from then on it takes no writes, nobody's session is left but simdb's, and it has written its last, which
/// is returned. Nobody but simdb may pass `read_only`, or this would show nothing.
///
/// An open transaction does not delay it, and its commit is refused. A lock on tables, a statement that writes, and a commit that waits
/// for an acknowledgement do; where they last longer than the limit, the server is open as before.
pub async fn close(sessions: &Sessions<'_>, server: &Server, limit: Duration) -> Result<GtidPosition, MariadbError> {
    let mut connection = Connection::open(sessions, server).await?;
    let before = snapshot(&mut connection, &Known::new()).await?;
    let logins: Vec<String> = before.privileged(LOGIN).into_iter().map(str::to_owned).collect();
    if !logins.is_empty() {
        return Err(MariadbError::Privileged {
            node: server.node.clone(),
            logins,
        });
    }
    // The events of a definer that passes read_only would go on writing.
    connection
        .execute("stop events", "SET GLOBAL event_scheduler = OFF")
        .await?;
    let session = connection.session();
    let closed = refuse_writes(&mut connection, limit).await;
    if let Err(error) = closed {
        let mut other = Connection::open(sessions, server).await?;
        // It must not be closed some time later, when nobody expects it any more.
        other.kill(session).await?;
        if !before.read_only {
            other.execute("take writes", "SET GLOBAL read_only = OFF").await?;
        }
        if before.events {
            other.execute("start events", "SET GLOBAL event_scheduler = ON").await?;
        }
        return Err(MariadbError::NotClosed {
            node: server.node.clone(),
            reason: format!("it still takes writes ({})", crate::executor::chain(&error)),
            limit,
        });
    }
    end_others(&mut connection, limit).await?;
    last_written(&mut connection, limit).await
}

async fn refuse_writes(connection: &mut Connection, limit: Duration) -> Result<(), MariadbError> {
    const DOING: &str = "refuse writes";
    let patience = limit.saturating_sub(SERVER_GIVES_UP).as_secs().max(1);
    let set = format!("SET SESSION lock_wait_timeout = {patience}");
    connection.execute(DOING, &set).await?;
    connection
        .ask(DOING, "SET GLOBAL read_only = ON", limit)
        .await
        .map(drop)
}

/// Ends the sessions of everybody else.
async fn end_others(connection: &mut Connection, limit: Duration) -> Result<(), MariadbError> {
    const DOING: &str = "end the sessions of others";
    let deadline = Instant::now() + limit;
    loop {
        let others = connection.rows(DOING, OTHERS).await?;
        if others.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            let reason = format!("{} sessions of others are left", others.len());
            return Err(connection.failure(DOING, Cause::Answer(reason)));
        }
        for id in others.into_iter().flatten().flatten() {
            let id = id
                .parse()
                .map_err(|_| connection.failure(DOING, Cause::Answer(format!("{id:?} is no session"))))?;
            connection.kill(id).await?;
        }
        sleep(POLL).await;
    }
}

/// Returns the last transactions of a server that refuses writes: the same twice, with time in between.
async fn last_written(connection: &mut Connection, limit: Duration) -> Result<GtidPosition, MariadbError> {
    const DOING: &str = "read the last transactions";
    const POSITION: &str = "SELECT IF(@@read_only, @@gtid_binlog_pos, NULL)";
    let deadline = Instant::now() + limit;
    let mut before = connection.required(DOING, POSITION).await?;
    loop {
        sleep(POLL).await;
        let after = connection.required(DOING, POSITION).await?;
        if after == before {
            return after
                .parse()
                .map_err(|error| connection.failure(DOING, Cause::Answer(format!("{error}"))));
        }
        if Instant::now() >= deadline {
            let reason = format!("it went on from {before} to {after} after it was closed");
            return Err(connection.failure(DOING, Cause::Answer(reason)));
        }
        before = after;
    }
}

/// What a server that is opened does by itself from then on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduler<'a> {
    /// Nothing: its event scheduler stays off.
    Off,
    /// It runs events, these among them, which the former primary ran: a server that follows another one disables them.
    Runs(&'a [Event]),
}

/// Opens a server that follows nobody: first its commits wait for acknowledgements, where they are to, then it takes writes. One that takes
/// writes already goes on with that.
pub async fn open(
    connection: &mut Connection,
    counting: Option<Acknowledgement>,
    scheduler: Scheduler<'_>,
    limit: Duration,
) -> Result<(), MariadbError> {
    match counting {
        Some(counting) => acknowledgement::wait(connection, counting, limit).await?,
        None => acknowledgement::wait_for_nobody(connection).await?,
    }
    connection.execute("take writes", "SET GLOBAL read_only = OFF").await?;
    let Scheduler::Runs(events) = scheduler else {
        return Ok(());
    };
    for event in events {
        connection.execute("enable an event", &event.enable()).await?;
    }
    connection
        .execute("start events", "SET GLOBAL event_scheduler = ON")
        .await
}

/// An event of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The database.
    pub database: String,
    /// Its name there.
    pub name: String,
    /// The login whose rights it runs with, as `user@host`.
    pub definer: String,
}

impl Event {
    /// Returns what enables it. Without its definer it would run as simdb from then on, which may do anything.
    fn enable(&self) -> String {
        let (user, host) = self.definer.rsplit_once('@').unwrap_or((&self.definer, "%"));
        format!(
            "ALTER DEFINER = {}@{} EVENT {}.{} ENABLE",
            literal(user),
            literal(host),
            identifier(&self.database),
            identifier(&self.name)
        )
    }
}

/// Returns the events that run on a server, or would if its event scheduler did.
pub async fn enabled_events(connection: &mut Connection) -> Result<Vec<Event>, MariadbError> {
    const LIST: &str = "SELECT EVENT_SCHEMA, EVENT_NAME, DEFINER FROM information_schema.EVENTS \
        WHERE STATUS = 'ENABLED' ORDER BY 1, 2";
    let rows = connection.rows("list events", LIST).await?;
    let events = rows.into_iter().filter_map(|row| {
        let mut columns = row.into_iter().flatten();
        Some(Event {
            database: columns.next()?,
            name: columns.next()?,
            definer: columns.next()?,
        })
    });
    Ok(events.collect())
}
