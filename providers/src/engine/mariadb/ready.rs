//! Waits until a server that was started lets simdb in.

use std::time::Duration;

use simdb_planner::observed::{Observation, ProcessFacts};
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use tokio::time::{Instant, sleep};

use super::connection::Connection;
use super::error::Activity;
use super::{MariadbError, POLL};
use crate::engine::log::Log;
use crate::platform::Platform;
use crate::sessions::Sessions;

/// The error of a login that is not let in.
const ACCESS_DENIED: u16 = 1045;

/// Waits until a server lets simdb in, and checks that it takes writes, or refuses them, as it was started for. Gives up at once where its
/// process has ended, or where it refuses simdb for good.
pub async fn wait(
    platform: &dyn Platform,
    server: &Server,
    sessions: &Sessions<'_>,
    expected: Option<Activity>,
    limit: Duration,
) -> Result<Connection, MariadbError> {
    let deadline = Instant::now() + limit;
    let mut connection = loop {
        let error = match Connection::open(sessions, server).await {
            Ok(connection) => break connection,
            Err(error) => error,
        };
        // Asked before the refusal is judged: where the server ended, another one may be listening in its place.
        if has_ended(platform, &server.node).await? {
            return Err(MariadbError::Ended {
                node: server.node.clone(),
                log: Log::read(platform, &server.node).await,
            });
        }
        if matches!(error, MariadbError::MissingSecret(_)) || error.code() == Some(ACCESS_DENIED) {
            return Err(error);
        }
        if Instant::now() >= deadline {
            return Err(MariadbError::NotReady {
                node: server.node.clone(),
                limit,
                log: Log::read(platform, &server.node).await,
                cause: Box::new(error),
            });
        }
        sleep(POLL).await;
    };
    let found = activity(&mut connection).await?;
    match expected {
        Some(expected) if expected != found => Err(MariadbError::WrongRole {
            node: server.node.clone(),
            found,
            expected,
        }),
        _ => Ok(connection),
    }
}

/// Returns whether a server takes writes.
pub async fn activity(connection: &mut Connection) -> Result<Activity, MariadbError> {
    let read_only = connection.required("read the role", "SELECT @@read_only + 0").await?;
    Ok(if read_only == "0" {
        Activity::Writes
    } else {
        Activity::Closed
    })
}

async fn has_ended(platform: &dyn Platform, node: &NodeAddress) -> Result<bool, MariadbError> {
    Ok(match platform.inspect(&node.into()).await? {
        Observation::Seen(directory) => directory.process == ProcessFacts::Down,
        Observation::Absent => true,
        Observation::Unknown(_) => false,
    })
}
