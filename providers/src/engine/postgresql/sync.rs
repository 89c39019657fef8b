//! Whom commits on a server wait for.

use std::time::{Duration, Instant};

use simdb_state::sync::SyncRule;
use tokio::time::sleep;

use super::connection::{ANSWER_LIMIT, Connection};
use super::{Cause, Log, POLL, PostgresqlError};
use crate::platform::Platform;

/// How long sessions that waited before may take to be released.
const RELEASE_LIMIT: Duration = Duration::from_secs(1);

/// Waits until a server shows this rule.
pub(crate) async fn wait_shown(connection: &Connection, rule: &SyncRule) -> Result<(), PostgresqlError> {
    const DOING: &str = "read synchronous_standby_names";
    let deadline = Instant::now() + ANSWER_LIMIT;
    loop {
        let shown = connection.required(DOING, "SHOW synchronous_standby_names").await?;
        if SyncRule::from(shown.as_str()) == *rule {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(connection.failure(DOING, Cause::Silence(ANSWER_LIMIT)));
        }
        sleep(POLL).await;
    }
}

/// Waits until enough standbys count, and whoever waited for others is released.
///
/// Commits that wait are released when a standby next answers, which on an idle server takes until its next status
/// report (10 s). A record in the log that is flushed here and waits for nobody makes all of them answer at once. It is
/// written again with every look: an answer that a sender got before it read its configuration counts by the old rules.
pub(crate) async fn wait_for_standbys(
    platform: &dyn Platform,
    connection: &Connection,
    awaited: u32,
    limit: Duration,
) -> Result<(), PostgresqlError> {
    const DOING: &str = "wait for standbys";
    const NUDGE: &str = "SELECT pg_logical_emit_message(true, 'simdb', 'nudge')";
    const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
        WHERE wait_event = 'SyncRep' AND state_change < pg_conf_load_time()";
    const STREAMING: &str = "SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'";
    let start = Instant::now();
    // Who counts from now on has what was acknowledged before anybody waited for it.
    let written = connection.required(DOING, NUDGE).await?;
    let count = format!(
        "SELECT count(*) FROM pg_stat_replication
        WHERE state = 'streaming' AND sync_state IN ('sync', 'quorum') AND flush_lsn >= '{written}'"
    );
    loop {
        connection.required(DOING, NUDGE).await?;
        let counted = connection.required(DOING, &count).await?;
        let enough = counted.parse().is_ok_and(|counted: u32| counted >= awaited);
        // Whoever waits for a standby that is still listed and away goes on waiting.
        if enough && (start.elapsed() >= RELEASE_LIMIT || connection.required(DOING, WAITING).await? == "0") {
            return Ok(());
        }
        if start.elapsed() >= limit {
            let streaming = connection.rows(DOING, STREAMING).await?;
            let streaming = streaming.into_iter().flatten().flatten().collect();
            return Err(PostgresqlError::NotSynchronous {
                node: connection.node().clone(),
                awaited,
                counted,
                others: Log::complaints(platform, connection.node(), &streaming).await,
                limit,
            });
        }
        sleep(POLL).await;
    }
}
