//! Slots and streams: what replication stands on.

use std::time::{Duration, Instant};

use simdb_state::lsn::Lsn;
use simdb_state::place::HostPort;
use tokio::time::sleep;

use super::connection::{Connection, literal};
use super::observe::snapshot;
use super::ruin::Since;
use super::{Cause, Log, POLL, PostgresqlError, condition, ready};
use crate::platform::Platform;

/// How long a standby that was stopped may hold its slot before its sender is ended.
const SLOT_GRACE: Duration = Duration::from_secs(2);

/// How long dropping a slot may take in all.
const SLOT_LIMIT: Duration = Duration::from_secs(10);

/// How often a standby that has yet to replay is asked: where it is about to lead, writes wait for the answer.
const REPLAY_POLL: Duration = Duration::from_millis(3);

/// How long a sender may take to end.
const STREAM_END: Duration = Duration::from_secs(10);

/// SQLSTATE of a slot that somebody took between the look and the drop.
const OBJECT_IN_USE: &str = "55006";

/// SQLSTATE of a slot that somebody dropped between the look and the drop.
const UNDEFINED_OBJECT: &str = "42704";

/// Makes a slot that keeps the log from now on. One that keeps none (any more) is made again.
pub(crate) async fn ensure_slot(connection: &Connection, name: &str) -> Result<(), PostgresqlError> {
    let doing = format!("make slot {name:?}");
    connection.alone(&doing, &format!("slot {name}")).await?;
    let useless = format!(
        "SELECT restart_lsn IS NULL OR wal_status = 'lost' FROM pg_replication_slots
         WHERE slot_name = {} AND slot_type = 'physical'",
        literal(name)
    );
    match connection.value(&doing, &useless).await?.as_deref() {
        Some("f") => return Ok(()),
        Some(_) => drop_slot(connection, name).await?,
        None => {}
    }
    let create = format!("SELECT pg_create_physical_replication_slot({}, true)", literal(name));
    connection.value(&doing, &create).await?;
    Ok(())
}

/// Drops a slot, where it is there. Who still streams through it is given some time to go, and then sent away.
pub(crate) async fn drop_slot(connection: &Connection, name: &str) -> Result<(), PostgresqlError> {
    let doing = format!("drop slot {name:?}");
    let user = format!(
        "SELECT coalesce(active_pid, 0) FROM pg_replication_slots WHERE slot_name = {}",
        literal(name)
    );
    let drop = format!("SELECT pg_drop_replication_slot({})", literal(name));
    let start = Instant::now();
    while let Some(pid) = connection.value(&doing, &user).await? {
        if pid == "0" {
            match connection.value(&doing, &drop).await {
                Err(error) if !matches!(error.sqlstate(), Some(OBJECT_IN_USE | UNDEFINED_OBJECT)) => return Err(error),
                _ => continue,
            }
        }
        if start.elapsed() >= SLOT_LIMIT {
            return Err(PostgresqlError::SlotInUse {
                slot: name.to_owned(),
                node: connection.node().clone(),
                pid,
                limit: SLOT_LIMIT,
            });
        }
        if start.elapsed() >= SLOT_GRACE {
            let terminate = format!("SELECT pg_terminate_backend({pid})");
            connection.value(&doing, &terminate).await?;
        }
        sleep(POLL).await;
    }
    Ok(())
}

/// Lets a standby replay again.
pub(crate) async fn resume(connection: &Connection) -> Result<(), PostgresqlError> {
    connection
        .execute("resume replay", "SELECT pg_wal_replay_resume()")
        .await
}

/// Two servers, one of which is to stream from the other.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stream<'a> {
    /// The server that is streamed from.
    pub upstream: &'a Connection,
    /// Where the other one reaches it.
    pub at: &'a HostPort,
    /// The server that streams.
    pub standby: &'a Connection,
    /// The name under which its upstream sees it, and of its slot there.
    pub application_name: &'a str,
}

/// Ends the stream of a standby, which then comes back by itself, with the password that its files hold now.
pub(crate) async fn end_stream(upstream: &Connection, application_name: &str) -> Result<(), PostgresqlError> {
    let doing = format!("let {application_name:?} stream anew");
    let sql = format!(
        "SELECT pg_terminate_backend(pid, {}) FROM pg_stat_replication WHERE application_name = {}",
        STREAM_END.as_millis(),
        literal(application_name)
    );
    upstream.value(&doing, &sql).await.map(drop)
}

/// Waits until a standby has replayed all that is before a position.
pub(crate) async fn wait_replayed(
    connection: &Connection,
    position: Lsn,
    limit: Duration,
) -> Result<(), PostgresqlError> {
    let deadline = Instant::now() + limit;
    loop {
        let replayed = replayed(connection).await?;
        if replayed >= position {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(PostgresqlError::Lacks {
                node: connection.node().clone(),
                replayed,
                position,
                limit,
            });
        }
        sleep(REPLAY_POLL).await;
    }
}

async fn replayed(connection: &Connection) -> Result<Lsn, PostgresqlError> {
    const DOING: &str = "read the replay position";
    let answer = connection
        .required(DOING, "SELECT coalesce(pg_last_wal_replay_lsn(), '0/0')")
        .await?;
    answer
        .parse()
        .map_err(|error| connection.failure(DOING, Cause::Position(error)))
}

/// Waits until a standby streams from its upstream, from where it is reached, on its timeline, under its own name and
/// through its own slot.
pub(crate) async fn wait_streaming(
    platform: &dyn Platform,
    stream: Stream<'_>,
    limit: Duration,
) -> Result<(), PostgresqlError> {
    let Stream {
        upstream,
        at,
        standby,
        application_name,
    } = stream;
    let deadline = Instant::now() + limit;
    let since = Since::now(platform, standby.node()).await;
    loop {
        let seen = tokio::try_join!(snapshot(upstream), snapshot(standby));
        let unmet = match seen {
            Ok((there, here)) => {
                if let Some(reason) = condition::starved(upstream.node(), &there.facts, &here.facts) {
                    return Err(ready::unrecoverable(platform, standby.node(), reason).await);
                }
                let mut unmet = condition::streaming(application_name, &there, &here);
                unmet.extend(condition::elsewhere(at, &there, &here));
                unmet
            }
            Err(error) if !platform.is_down(&standby.node().into()).await? => return Err(error),
            Err(_) => return Err(ready::ended(platform, standby.node(), Some(&since)).await),
        };
        if unmet.is_empty() {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(PostgresqlError::NotStreaming {
                node: standby.node().clone(),
                upstream: upstream.node().clone(),
                limit,
                unmet,
                log: Log::read(platform, standby.node()).await,
                upstream_log: Log::read(platform, upstream.node()).await,
            });
        }
        sleep(POLL).await;
    }
}
