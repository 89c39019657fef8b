//! The session that a monitor holds open, and what it asks there.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use simdb_planner::engine::postgresql::instance::superuser_password;
use simdb_planner::plan::Server;
use simdb_planner::watch::SlotState;
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::place::Place;
use simdb_state::position::Progress;
use tokio::time::timeout;

use super::connection::Connection;
use super::ready::is_starting;
use super::{Cause, PostgresqlError};
use crate::executor::chain;
use crate::sessions::Sessions;
use crate::signs::report::{Answer, Report, Sender, Slot};

/// What a monitor asks each time. It takes no lock and reads no table of a user. The mark is about 100 bytes of log; it is no
/// commit, so it waits for nothing.
const REPORT: &str = "
SELECT json_build_object(
  'standby', standby,
  'mark', CASE WHEN NOT standby THEN pg_logical_emit_message(false, 'simdb', 'beat') END,
  'timeline', CASE
    WHEN standby THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
      (SELECT greatest(timeline_id, min_recovery_end_timeline) FROM pg_control_checkpoint(), pg_control_recovery()))
    ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END,
  'position', CASE
    WHEN standby THEN coalesce(greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()), '0/0')
    ELSE pg_current_wal_lsn() END,
  'replayed', CASE WHEN standby THEN coalesce(pg_last_wal_replay_lsn(), '0/0') ELSE pg_current_wal_lsn() END,
  'behind', CASE WHEN standby AND pg_last_wal_receive_lsn() > pg_last_wal_replay_lsn()
    THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp()) END,
  'paused', CASE WHEN standby THEN pg_get_wal_replay_pause_state() <> 'not paused' ELSE false END,
  'receives', EXISTS (SELECT FROM pg_stat_wal_receiver WHERE status = 'streaming'),
  'senders', (SELECT coalesce(json_object_agg(application_name, json_build_object(
      'state', state, 'sync_state', sync_state, 'flushed', flush_lsn, 'replayed', replay_lsn)), '{}')
    FROM pg_stat_replication),
  'slots', (SELECT coalesce(json_object_agg(slot_name, json_build_object(
      'status', wal_status, 'active', active, 'safe', safe_wal_size,
      'retained', CASE WHEN NOT standby THEN greatest(pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn), 0) END,
      'limit', (SELECT CASE WHEN setting::bigint > 0 THEN setting::bigint * 1048576 END
        FROM pg_settings WHERE name = 'max_slot_wal_keep_size'))), '{}')
    FROM pg_replication_slots WHERE slot_type = 'physical'),
  'archived', (SELECT coalesce(last_failed_time <= last_archived_time, last_failed_time IS NULL) FROM pg_stat_archiver
    WHERE current_setting('archive_mode') = 'always' OR current_setting('archive_mode') = 'on' AND NOT standby),
  'waiting', (SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'),
  'started', extract(epoch FROM pg_postmaster_start_time())::bigint,
  'version', current_setting('server_version_num')::int)
FROM (SELECT pg_is_in_recovery() AS standby) AS role";

/// A commit that waits for no standby: sessions of simdb have `synchronous_commit = local`.
const COMMIT: &str = "SELECT pg_logical_emit_message(true, 'simdb', 'mark')";

/// The answer, in the words of the server.
#[derive(Debug, Deserialize)]
struct Told {
    standby: bool,
    timeline: u32,
    position: Lsn,
    replayed: Lsn,
    behind: Option<f64>,
    paused: bool,
    receives: bool,
    senders: BTreeMap<String, ToldSender>,
    slots: BTreeMap<String, ToldSlot>,
    archived: Option<bool>,
    waiting: u32,
    started: Option<i64>,
    version: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct ToldSender {
    state: String,
    sync_state: String,
    flushed: Option<Lsn>,
    replayed: Option<Lsn>,
}

#[derive(Debug, Deserialize)]
struct ToldSlot {
    status: Option<String>,
    #[serde(default)]
    active: bool,
    retained: Option<i64>,
    safe: Option<i64>,
    limit: Option<i64>,
}

impl ToldSlot {
    fn state(&self) -> SlotState {
        match (self.status.as_deref(), self.safe, self.limit) {
            (Some("lost"), ..) => SlotState::Lost,
            (Some("unreserved"), ..) => SlotState::AtRisk,
            (_, Some(safe), Some(limit)) if safe < limit / 4 => SlotState::AtRisk,
            _ => SlotState::Kept,
        }
    }
}

impl From<ToldSlot> for Slot {
    fn from(told: ToldSlot) -> Self {
        let bytes = |bytes: i64| u64::try_from(bytes).unwrap_or_default();
        Slot {
            state: told.state(),
            active: told.active,
            retained: told.retained.map(bytes),
            safe: told.safe.map(bytes),
            limit: told.limit.map(bytes),
        }
    }
}

impl From<Told> for Report {
    fn from(told: Told) -> Self {
        let sender = |(name, sender): (String, ToldSender)| {
            let seen = Sender {
                streams: sender.state == "streaming",
                sync_state: sender.sync_state,
                flushed: sender.flushed.map(Into::into),
                replayed: sender.replayed.map(Into::into),
            };
            (name, seen)
        };
        let behind = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Report {
            writes: !told.standby,
            progress: Progress {
                timeline: told.timeline,
                position: told.position.into(),
            },
            replayed: told.replayed.into(),
            behind: told.behind.map(behind),
            paused: told.paused,
            receives: told.receives,
            senders: told.senders.into_iter().map(sender).collect(),
            slots: told.slots.into_iter().map(|(name, slot)| (name, slot.into())).collect(),
            archived: told.archived,
            waiting: told.waiting,
            started: told.started,
            version: told.version,
        }
    }
}

/// A session that is held open.
#[derive(Debug)]
pub(crate) struct Held(Connection);

impl Held {
    /// Opens a session with a server.
    pub(crate) async fn open(
        sessions: &Sessions<'_>,
        node: &NodeAddress,
        place: &Place,
        limit: Duration,
    ) -> Answer<Self> {
        let server = Server {
            node: node.clone(),
            place: Box::new(place.clone()),
            password: superuser_password(&node.cluster),
        };
        answer(limit, Connection::open(sessions, &server)).await.map(Held)
    }

    /// Returns whether it is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    /// Asks the server of itself.
    pub(crate) async fn report(&self, limit: Duration) -> Answer<Report> {
        const DOING: &str = "look for signs of life";
        let asked = async {
            let text = self.0.required(DOING, REPORT).await?;
            let told: Told =
                serde_json::from_str(&text).map_err(|error| self.0.failure(DOING, Cause::Answer(error)))?;
            Ok(Report::from(told))
        };
        answer(limit, asked).await
    }

    /// Commits a mark.
    pub(crate) async fn commit(&self, limit: Duration) -> Answer<()> {
        answer(limit, async {
            self.0.required("commit a mark", COMMIT).await.map(drop)
        })
        .await
    }
}

async fn answer<T>(limit: Duration, question: impl Future<Output = Result<T, PostgresqlError>>) -> Answer<T> {
    match timeout(limit, question).await {
        Err(_) => Answer::Silent(format!("no answer within {limit:?}")),
        Ok(Ok(said)) => Answer::Said(said),
        Ok(Err(error)) if is_starting(&error) => Answer::Starting,
        Ok(Err(error)) if error.sqlstate().is_some() => Answer::Replied(chain(&error)),
        Ok(Err(error)) if is_refused(&error) => Answer::Refused(chain(&error)),
        Ok(Err(error)) => Answer::Silent(chain(&error)),
    }
}

/// Returns whether nobody listens where the server should.
fn is_refused(error: &PostgresqlError) -> bool {
    let refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
    matches!(error, PostgresqlError::Connect { cause: Cause::Unreached(error), .. } if refused(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_at_risk_before_its_log_is_gone() {
        let slot = |status: &str, safe, limit| {
            let slot = ToldSlot {
                status: Some(status.to_owned()),
                active: true,
                retained: None,
                safe,
                limit,
            };
            slot.state()
        };
        assert_eq!(slot("lost", None, None), SlotState::Lost);
        assert_eq!(slot("unreserved", Some(0), Some(100)), SlotState::AtRisk);
        assert_eq!(slot("reserved", Some(24), Some(100)), SlotState::AtRisk);
        assert_eq!(slot("reserved", Some(25), Some(100)), SlotState::Kept);
        assert_eq!(slot("reserved", None, None), SlotState::Kept);
    }
}
