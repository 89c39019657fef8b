//! Who confirms the commits of a primary, and how long a commit waits for that: semi-synchronous replication.
//!
//! A commit waits for any one of the servers that acknowledge. Waiting on a server that follows another one would hold up what it
//! applies, so that a server waits while it takes writes, and acknowledges while it follows.

use std::time::Duration;

use simdb_state::gtid::GtidPosition;
use tokio::time::{Instant, sleep};

use super::connection::Connection;
use super::observe::streams;
use super::{Cause, MariadbError, POLL};

/// What a commit waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// How many servers that acknowledge must stream before commits are to wait for one of them.
    pub awaited: u32,
    /// How long a commit waits before it goes on without; absent where it waits until it is acknowledged.
    pub patience: Option<Duration>,
}

/// Milliseconds that no commit waits out.
const FOR_EVER: u64 = 1 << 63;

/// Lets a server acknowledge what it receives, or not. That counts from the next start of its stream on, so a stream that runs is begun
/// anew, and nothing that was received is lost.
pub async fn count(connection: &mut Connection, acknowledges: bool) -> Result<(), MariadbError> {
    const DOING: &str = "set whether the server acknowledges";
    const LOOK: &str = "SELECT @@rpl_semi_sync_slave_enabled, VARIABLE_VALUE = 'ON' \
        FROM information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_SLAVE_STATUS'";
    let rows = connection.rows(DOING, LOOK).await?;
    let row: Vec<bool> = rows
        .iter()
        .flatten()
        .map(|value| value.as_deref() == Some("1"))
        .collect();
    let [enabled, acknowledging] = row[..] else {
        return Err(connection.failure(DOING, Cause::Answer("it has no such status".to_owned())));
    };
    if enabled != acknowledges {
        let set = format!("SET GLOBAL rpl_semi_sync_slave_enabled = {}", u8::from(acknowledges));
        connection.execute(DOING, &set).await?;
    }
    let receives = streams(connection)
        .await?
        .values()
        .any(|stream| stream.receives == "Yes");
    if receives && acknowledging != acknowledges {
        connection.execute(DOING, "STOP SLAVE IO_THREAD").await?;
        connection.execute(DOING, "START SLAVE IO_THREAD").await?;
    }
    Ok(())
}

/// Lets the commits of a server wait for one of the servers that acknowledge, once so many of those stream.
pub async fn wait(
    connection: &mut Connection,
    acknowledgement: Acknowledgement,
    limit: Duration,
) -> Result<(), MariadbError> {
    let Acknowledgement { awaited, patience } = acknowledgement;
    let timeout = patience.map_or(Ok(FOR_EVER), |patience| u64::try_from(patience.as_millis()));
    let set = format!(
        "SET GLOBAL rpl_semi_sync_master_timeout = {}, GLOBAL rpl_semi_sync_master_wait_no_slave = ON, \
         GLOBAL rpl_semi_sync_master_wait_point = AFTER_SYNC, GLOBAL rpl_semi_sync_master_enabled = ON",
        timeout.unwrap_or(FOR_EVER)
    );
    connection.execute("let commits wait", &set).await?;
    wait_for_clients(connection, awaited, limit).await
}

/// Waits until so many servers that acknowledge stream from a server.
pub async fn wait_for_clients(connection: &mut Connection, awaited: u32, limit: Duration) -> Result<(), MariadbError> {
    const DOING: &str = "count the servers that acknowledge";
    const CLIENTS: &str = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS \
        WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_CLIENTS'";
    let deadline = Instant::now() + limit;
    loop {
        let counted = connection.required(DOING, CLIENTS).await?;
        let counted: u32 = counted
            .parse()
            .map_err(|_| connection.failure(DOING, Cause::Answer(format!("{counted:?} is no number"))))?;
        if counted >= awaited {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(MariadbError::NotAcknowledging {
                node: connection.node().clone(),
                awaited,
                counted,
                limit,
            });
        }
        sleep(POLL).await;
    }
}

/// Returns how far a server has written, before its commits stop to wait: what comes after that may be on this server alone.
pub async fn written(connection: &mut Connection) -> Result<GtidPosition, MariadbError> {
    const DOING: &str = "read the last transactions";
    let position = connection.required(DOING, "SELECT @@gtid_binlog_pos").await?;
    position
        .parse()
        .map_err(|error| connection.failure(DOING, Cause::Answer(format!("{error}"))))
}

/// Lets the commits of a server wait for nobody. Those that wait right now succeed, acknowledged or not.
pub async fn wait_for_nobody(connection: &mut Connection) -> Result<(), MariadbError> {
    let set = "SET GLOBAL rpl_semi_sync_master_enabled = OFF";
    connection.execute("let commits wait for nobody", set).await
}
