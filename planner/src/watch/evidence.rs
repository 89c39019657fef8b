//! What a monitor collects: signs of life with how long they have been silent, and what servers last said of themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use simdb_state::name::NodeName;
use simdb_state::position::Progress;

use super::decision::{Alarm, Subject};
use super::work::Work;

/// How often a monitor asks a server.
pub const PERIOD: Duration = Duration::from_millis(200);

/// How long it waits for each answer.
pub const DEADLINE: Duration = Duration::from_millis(500);

/// After how much delay of its own a monitor discards a round.
const LATE: Duration = Duration::from_millis(100);

/// How long a monitor only looks after it started.
pub const WARM_UP: Duration = Duration::from_secs(5);

/// One sign of life of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sign {
    /// It is not watched: it says nothing either way.
    #[default]
    Unwatched,
    /// It was seen when it was last due.
    Alive,
    /// It was last seen so long ago; where it was never seen, the monitor began to look so long ago.
    Silent(Duration),
}

impl Sign {
    /// Returns whether it has been silent for at least so long.
    pub(super) fn is_silent_for(self, limit: Duration) -> bool {
        matches!(self, Sign::Silent(silent) if silent >= limit)
    }

    /// Returns whether it does not speak for a node's life: it is silent for at least so long, or nobody watches it.
    pub(super) fn allows_death(self, limit: Duration) -> bool {
        self == Sign::Unwatched || self.is_silent_for(limit)
    }
}

/// What the platform says of a server's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Process {
    /// It does not say, or cannot be asked.
    #[default]
    Unknown,
    /// It runs.
    Runs,
    /// It ended, so long ago: none of its platform runs it any more.
    Ended(Duration),
}

/// The signs of life of one node.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeEvidence {
    /// Its server's process.
    pub process: Process,
    /// Whether its data is in place; absent where that is not known.
    pub has_data: Option<bool>,
    /// Answers to statements on a session that is held open.
    pub answer: Sign,
    /// Whether that session ended and a new one is refused.
    pub refuses: bool,
    /// New sessions that it lets in.
    pub entry: Sign,
    /// Commits of marks, which need its disk and no standby.
    pub commit: Sign,
    /// The beat of the guard beside it, as the store shows it.
    pub beat: Sign,
    /// Its log, as its standbys see it arrive.
    pub stream: Sign,
    /// For how long it has been recovering, where it says so.
    pub starting: Option<Duration>,
    /// What it last said of itself.
    pub said: Option<Said>,
}

/// What becomes of the log that a standby has yet to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlotState {
    /// It is retained.
    #[default]
    Kept,
    /// Less than a quarter of what is retained at most is left until it goes.
    AtRisk,
    /// It is gone.
    Lost,
}

/// What a server said of itself.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are signs that a server shows apart from each other"
)]
pub struct Said {
    /// Whether it takes writes.
    pub writes: bool,
    /// How far it has come.
    pub progress: Progress,
    /// Whether it streams, as its upstream sees it.
    pub streams: bool,
    /// How many bytes of the primary's log it has yet to replay; absent where that is not known, and on a primary.
    pub lag_bytes: Option<u64>,
    /// How long ago the last thing was written that it has yet to replay; 0 where nothing is.
    pub lag: Option<Duration>,
    /// Its slot.
    pub slot: SlotState,
    /// Whether its branch of the log is another one than the primary's.
    pub diverged: bool,
    /// Whether it archives its log, and the last file of it could not be archived.
    pub archive_fails: bool,
    /// How many commits wait for standbys; 0 on a standby.
    pub waiting: u32,
}

/// What was tried before, and how often in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How long ago the last one was.
    pub ago: Duration,
    /// How many there were.
    pub times: u32,
}

impl Attempt {
    /// Returns how long to wait before the next one: doubled each time, between two limits.
    pub(super) fn left(self, first: Duration, most: Duration) -> Option<Duration> {
        let doubled = first.saturating_mul(1 << self.times.saturating_sub(1).min(16));
        doubled.min(most).checked_sub(self.ago).filter(|left| !left.is_zero())
    }
}

/// For how long something has been so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trend {
    /// A standby lags by more than it may.
    pub lags: Option<Duration>,
    /// It lags by less than half of that.
    pub keeps_up: Option<Duration>,
    /// It does not stream.
    pub away: Option<Duration>,
    /// It streams and has what the primary has.
    pub caught_up: Option<Duration>,
    /// Commits wait for standbys.
    pub waits: Option<Duration>,
}

/// What happened to a cluster before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Whether a person paused the monitor for this cluster.
    pub paused: bool,
    /// Whether one of its maintenance windows is open.
    pub maintained: bool,
    /// Whether a run that changes who leads was cut off, and nobody has gone on since.
    pub cut_off: bool,
    /// How long ago the lead passed because a primary was lost, each time.
    pub failovers: Vec<Duration>,
    /// What was tried in a row and did not help yet.
    pub tried: BTreeMap<Subject, Attempt>,
    /// How nodes have fared.
    pub trends: BTreeMap<NodeName, Trend>,
    /// The alarms that hold.
    pub alarms: BTreeSet<Alarm>,
}

/// Whether a monitor may decide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// It holds the right to.
    #[default]
    Decides,
    /// It only observes; why, as a clause.
    Observes(String),
}

/// How the monitor itself is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// How long ago it started.
    pub running: Duration,
    /// Whether it has asked every server at least once.
    pub complete: bool,
    /// By how much its round came too late.
    pub late: Duration,
    /// Whether it may decide.
    pub standing: Standing,
    /// Whether any node of any cluster answers.
    pub hears: bool,
    /// What somebody else does on the cluster.
    pub at_work: Option<Work>,
}

impl Round {
    pub(super) fn is_late(&self) -> bool {
        self.late > LATE
    }

    pub(super) fn is_warm(&self) -> bool {
        self.complete && self.running >= WARM_UP
    }
}
