//! Waits until a server that was started lets somebody in.

use std::time::{Duration, Instant};

use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use tokio::time::sleep;

use super::connection::Connection;
use super::ruin::Since;
use super::{Activity, Log, POLL, PostgresqlError};
use crate::platform::Platform;
use crate::sessions::Sessions;

/// Waits until a server lets simdb in, and checks that it does what it was started for.
///
/// Gives up at once when the server's process has ended, when it refuses simdb for good, or when its data makes it
/// another kind of server than expected: none of these is mended by waiting.
/// Of a standby, of which another copy can be had, it is also found out whether its data is beyond recovery, by what it
/// said `since` it was started.
pub(crate) async fn wait(
    platform: &dyn Platform,
    server: &Server,
    sessions: &Sessions<'_>,
    expected: Activity,
    since: Option<&Since>,
    limit: Duration,
) -> Result<Connection, PostgresqlError> {
    let deadline = Instant::now() + limit;
    let mut heard = Instant::now();
    let connection = loop {
        let error = match Connection::open(sessions, server).await {
            Ok(connection) => break connection,
            Err(error) => error,
        };
        // Asked before the refusal is judged: where the server ended, another one may be listening in its place.
        if platform.is_down(&(&server.node).into()).await? {
            return Err(ended(platform, &server.node, since).await);
        }
        if is_final(&error) {
            return Err(error);
        }
        if let Some(since) = since.filter(|_| heard.elapsed() >= LISTEN) {
            heard = Instant::now();
            if let Some(reason) = since.why_waiting(platform, &server.node).await {
                return Err(unrecoverable(platform, &server.node, reason).await);
            }
        }
        if Instant::now() >= deadline {
            return Err(PostgresqlError::NotReady {
                node: server.node.clone(),
                limit,
                log: Log::read(platform, &server.node).await,
                cause: Box::new(error),
            });
        }
        sleep(POLL).await;
    };
    check(&connection, expected).await?;
    Ok(connection)
}

/// How often the log of a standby that refuses connections is read.
const LISTEN: Duration = Duration::from_millis(500);

/// How long a server that was told to read its files may keep simdb out as the old ones say.
const ADMISSION_LIMIT: Duration = Duration::from_secs(5);

/// Waits like [`wait`] for a server that was told to read its files again: until it has, it may refuse simdb.
pub(crate) async fn wait_caught_up(
    platform: &dyn Platform,
    server: &Server,
    sessions: &Sessions<'_>,
    expected: Activity,
    limit: Duration,
) -> Result<Connection, PostgresqlError> {
    let deadline = Instant::now() + ADMISSION_LIMIT.min(limit);
    loop {
        match wait(platform, server, sessions, expected, None, limit).await {
            Err(error) if is_refusal(&error) && Instant::now() < deadline => sleep(POLL).await,
            result => return result,
        }
    }
}

/// Checks that a server writes, or replays, as it should.
async fn check(connection: &Connection, expected: Activity) -> Result<(), PostgresqlError> {
    let answer = connection
        .required("read the role", "SELECT pg_is_in_recovery()")
        .await?;
    let found = Activity::from(answer == "t");
    if found == expected {
        return Ok(());
    }
    Err(PostgresqlError::WrongRole {
        node: connection.node().clone(),
        found,
        expected,
    })
}

/// Makes the error about a server whose process is gone.
pub(crate) async fn ended(platform: &dyn Platform, node: &NodeAddress, since: Option<&Since>) -> PostgresqlError {
    let reason = match since {
        Some(since) => since.why_ended(platform, node).await,
        None => None,
    };
    match reason {
        Some(reason) => unrecoverable(platform, node, reason).await,
        None => PostgresqlError::Ended {
            node: node.clone(),
            log: Log::read(platform, node).await,
        },
    }
}

/// Makes the error about a standby that only another copy helps.
pub(crate) async fn unrecoverable(platform: &dyn Platform, node: &NodeAddress, reason: String) -> PostgresqlError {
    PostgresqlError::Unrecoverable {
        node: node.clone(),
        reason,
        log: Some(Log::read(platform, node).await),
    }
}

/// Returns whether a server refuses connections because it is starting up or shutting down: `cannot_connect_now`.
pub(super) fn is_starting(error: &PostgresqlError) -> bool {
    error.sqlstate().is_some_and(|code| code == "57P03")
}

/// Returns whether waiting does not help.
fn is_final(error: &PostgresqlError) -> bool {
    matches!(error, PostgresqlError::MissingSecret(_)) || is_refusal(error)
}

/// Returns whether a server lets simdb in for no longer: class 28 is a wrong password or no matching line in
/// `pg_hba.conf`.
fn is_refusal(error: &PostgresqlError) -> bool {
    error.sqlstate().is_some_and(|code| code.starts_with("28"))
}
