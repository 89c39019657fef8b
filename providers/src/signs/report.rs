//! What a server answers to a monitor, in the words of no engine.

use std::collections::BTreeMap;
use std::time::Duration;

use simdb_planner::watch::SlotState;
use simdb_state::position::{Position, Progress};

/// What a server says of itself, in one round trip.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Whether it takes writes.
    pub writes: bool,
    /// How far it has come: written, or received.
    pub progress: Progress,
    /// How far it has replayed; what it has written where it writes.
    pub replayed: Position,
    /// How long ago the last transaction was that it replayed; absent where it has nothing left to replay, and where it writes.
    pub behind: Option<Duration>,
    /// Whether its replay is paused.
    pub paused: bool,
    /// Whether it is connected with its upstream.
    pub receives: bool,
    /// Those who stream from it, by identifier.
    pub senders: BTreeMap<String, Sender>,
    /// What becomes of the log that its slots are for, by name.
    pub slots: BTreeMap<String, Slot>,
    /// Whether its log is archived; absent where it archives none.
    pub archived: Option<bool>,
    /// How many commits wait for standbys.
    pub waiting: u32,
    /// When it started, as seconds since 1970 by its own clock, for people.
    pub started: Option<i64>,
    /// Its version, as it numbers it.
    pub version: Option<u32>,
}

/// What a server retains of its log for one who is yet to receive it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Slot {
    /// What becomes of that log.
    pub state: SlotState,
    /// Whether it is streamed through.
    pub active: bool,
    /// How many bytes are retained for it; absent where nothing was reserved yet.
    pub retained: Option<u64>,
    /// How many more may be written before the log that it needs goes; absent where there is no limit.
    pub safe: Option<u64>,
    /// How many are retained at most; absent where there is no limit.
    pub limit: Option<u64>,
}

/// One who streams from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Whether it has caught up and streams.
    pub streams: bool,
    /// `async`, `potential`, `sync` or `quorum`.
    pub sync_state: String,
    /// Up to where it has flushed.
    pub flushed: Option<Position>,
    /// Up to where it has replayed.
    pub replayed: Option<Position>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// The server answered.
    Said(T),
    /// It answered that it does not do what it was asked, such as that it has no session left; why, as a clause.
    Replied(String),
    /// It starts, recovers or ends, and lets no session in.
    Starting,
    /// Nobody listens there.
    Refused(String),
    /// It did not answer in time, or not as it should; why, as a clause.
    Silent(String),
}

impl<T> Answer<T> {
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Answer::Said(value) => Answer::Said(with(value)),
            Answer::Replied(why) => Answer::Replied(why),
            Answer::Starting => Answer::Starting,
            Answer::Refused(why) => Answer::Refused(why),
            Answer::Silent(why) => Answer::Silent(why),
        }
    }
}
