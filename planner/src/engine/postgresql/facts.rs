//! What is seen of PostgreSQL's data and of its replication.

use serde::{Deserialize, Serialize};
use simdb_state::identity::DataIdentity;
use simdb_state::lsn::Lsn;

use super::replay::ReplayLimits;

/// What came of reading the control data of a node whose server is down.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Control {
    /// There is no data, or a server runs on it and speaks for it.
    #[default]
    Absent,
    /// It could not be read, and why not.
    Unknown(String),
    /// It was read, and is not what a server wrote: nobody can say whose data it is, and no server starts on it.
    Damaged,
    /// It was read.
    Seen(ControlData),
}

impl Control {
    /// Returns what was read, where anything was.
    pub fn seen(&self) -> Option<&ControlData> {
        match self {
            Control::Seen(control) => Some(control),
            Control::Absent | Control::Unknown(_) | Control::Damaged => None,
        }
    }

    /// Returns whether the last server on the data is known to have been shut down in order. What could not be read
    /// counts as crashed.
    pub fn was_shut_down(&self) -> bool {
        self.seen()
            .is_some_and(|control| matches!(control.state.as_str(), "shut down" | "shut down in recovery"))
    }

    /// Returns whether the last server on the data only replayed, where the data says so.
    pub fn replays(&self) -> Option<bool> {
        match self.seen()?.state.as_str() {
            "in archive recovery" | "shut down in recovery" => Some(true),
            "in production" | "shut down" | "shutting down" | "in crash recovery" => Some(false),
            _ => None,
        }
    }
}

/// The part of `pg_controldata` that matters: what a data directory is, without its server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlData {
    /// Whose data it is.
    pub system_identifier: DataIdentity,
    /// `Database cluster state`: `in production`, `shut down`, `in archive recovery`, …
    pub state: String,
    /// The timeline of the last checkpoint.
    pub timeline: u32,
    /// The last checkpoint.
    pub checkpoint: Lsn,
    /// Where its log must reach at least for the data to be consistent; a standby has flushed that much of it.
    #[serde(default)]
    pub consistent: Option<Lsn>,
    /// What the log that was replayed so far, or was written last, asks of a standby.
    #[serde(default)]
    pub limits: ReplayLimits,
}

impl ControlData {
    /// Returns a position up to which the log of a standby that is down is known to reach. It may reach further.
    pub fn reaches(&self) -> Lsn {
        self.checkpoint.max(self.consistent.unwrap_or(self.checkpoint))
    }
}

/// One row of `pg_stat_replication`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SenderFacts {
    /// `startup`, `catchup`, `streaming`, …
    pub state: String,
    /// `async`, `potential`, `sync` or `quorum`.
    pub sync_state: String,
    /// What it has flushed.
    pub flushed: Option<Lsn>,
    /// What it has replayed.
    pub replayed: Option<Lsn>,
}

/// One row of `pg_replication_slots`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotFacts {
    /// Whether somebody streams through it.
    pub active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// The oldest position of the log that it keeps.
    #[serde(default)]
    pub restart: Option<Lsn>,
    /// The database whose changes it decodes; absent where it is physical.
    #[serde(default)]
    pub database: Option<String>,
    /// Whether it goes by itself: with the session that made it, or with the slot that it mirrors.
    #[serde(default)]
    pub transient: bool,
}

/// The row of `pg_stat_wal_receiver`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverFacts {
    /// `streaming`, `waiting`, …
    pub status: String,
    /// The host it streams from.
    pub host: String,
    /// The port it streams from.
    pub port: u16,
    /// The slot it streams through.
    pub slot: Option<String>,
}
