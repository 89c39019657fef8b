//! What a monitor shows to others (an HTTP API, metrics, a dashboard): its last round as one value, and events as they happen.
//! Whoever reads holds up nothing: a reader that is too slow misses events, and is told how many.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use simdb_planner::watch::{History, Judgement, NodeEvidence, Standing};
use simdb_providers::signs::Report;
use simdb_state::claim::Pause;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{State, Term};
use tokio::sync::{broadcast, watch};

/// How many events are kept for those who come later.
const KEPT_EVENTS: usize = 1_000;

/// How far a reader of events may be behind.
const BACKLOG: usize = 256;

/// What a monitor saw in one round.
#[derive(Clone, Debug)]
pub struct Round {
    /// Counts the rounds of this monitor.
    pub number: u64,
    /// When it was, by the wall clock.
    pub at: Timestamp,
    /// When the monitor started, by the wall clock.
    pub started: Timestamp,
    /// Who runs the monitor: `user@host`.
    pub who: String,
    /// Whether it may decide.
    pub standing: Standing,
    /// Who else is at work, with the lock of the record.
    pub at_work: Option<String>,
    /// By how much the round came too late.
    pub late: Duration,
    /// How long the round took.
    pub took: Duration,
    /// The record, as it was read last.
    pub state: Arc<State>,
    /// How often the record had been written by then.
    pub serial: u64,
    /// Why the record cannot be read at present; absent where it can.
    pub store_away: Option<String>,
    /// The clusters.
    pub clusters: BTreeMap<ClusterName, Watched>,
}

/// One cluster in a round.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// The signs of life of its nodes.
    pub evidence: BTreeMap<NodeName, NodeEvidence>,
    /// What the monitor makes of them: conditions, what it does or would do and why not, and the alarms.
    pub judgement: Judgement,
    /// What happened before.
    pub history: History,
    /// What each server said of itself last, and when that was.
    pub reports: BTreeMap<NodeName, (Report, Timestamp)>,
    /// That a person paused the monitor for it.
    pub pause: Option<Pause>,
    /// What the monitor does with it at this moment.
    pub acting: Option<Acting>,
}

/// What a monitor does with a cluster.
#[derive(Clone, Debug)]
pub struct Acting {
    /// What, as a clause: `fail over from a: its process ended`.
    pub what: String,
    /// Whether it is about who leads.
    pub is_role_change: bool,
    /// Since when.
    pub since: Timestamp,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The monitor started to watch.
    Started,
    /// The monitor may decide from now on.
    TookOver,
    /// It may not any more.
    Passive,
    /// A node does not answer.
    Suspected,
    /// A node does not do its part any more.
    Lost,
    /// A node does its part again.
    Returned,
    /// The monitor began to do something.
    Decided,
    /// A person asked the monitor for something, and it began to do it.
    Ordered,
    /// A failover is over, and another node leads.
    FailedOver,
    /// What the monitor began is done.
    Done,
    /// The planner, or the policy, refused what the monitor was to do.
    Refused,
    /// What the monitor began failed.
    Failed,
    /// What the monitor would do is held back; told where the reason changes.
    Held,
    /// Something that a person should know began to hold.
    Alarm,
    /// It holds no more.
    Clear,
    /// The monitor was paused for a cluster.
    Paused,
    /// It goes on.
    Unpaused,
    /// The record cannot be read.
    StoreAway,
    /// It can be read again.
    StoreBack,
    /// Someone could not be told of events.
    Untold,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 20] = [
        Kind::Started,
        Kind::TookOver,
        Kind::Passive,
        Kind::Suspected,
        Kind::Lost,
        Kind::Returned,
        Kind::Decided,
        Kind::Ordered,
        Kind::FailedOver,
        Kind::Done,
        Kind::Refused,
        Kind::Failed,
        Kind::Held,
        Kind::Alarm,
        Kind::Clear,
        Kind::Paused,
        Kind::Unpaused,
        Kind::StoreAway,
        Kind::StoreBack,
        Kind::Untold,
    ];

    /// Returns its name, as it stands in lines and documents.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Started => "started",
            Kind::TookOver => "took-over",
            Kind::Passive => "passive",
            Kind::Suspected => "suspected",
            Kind::Lost => "lost",
            Kind::Returned => "returned",
            Kind::Decided => "decided",
            Kind::Ordered => "ordered",
            Kind::FailedOver => "failed-over",
            Kind::Done => "done",
            Kind::Refused => "refused",
            Kind::Failed => "failed",
            Kind::Held => "held",
            Kind::Alarm => "alarm",
            Kind::Clear => "clear",
            Kind::Paused => "paused",
            Kind::Unpaused => "unpaused",
            Kind::StoreAway => "store-away",
            Kind::StoreBack => "store-back",
            Kind::Untold => "untold",
        }
    }
}

/// One event.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// Counts the events of this monitor.
    pub number: u64,
    /// When, by the wall clock.
    pub at: Timestamp,
    /// What.
    pub kind: Kind,
    /// The cluster that it is about.
    pub cluster: Option<ClusterName>,
    /// The node that it is about.
    pub node: Option<NodeName>,
    /// The election that was the last one then.
    pub term: Option<Term>,
    /// A sentence without its full stop.
    pub text: String,
}

/// What is yet to be numbered.
#[derive(Clone, Debug)]
pub(crate) struct News {
    pub(crate) kind: Kind,
    pub(crate) cluster: Option<ClusterName>,
    pub(crate) node: Option<NodeName>,
    pub(crate) term: Option<Term>,
    pub(crate) text: String,
}

/// What readers hold. Cloning it makes another reader.
#[derive(Clone, Debug)]
pub struct Board {
    rounds: watch::Receiver<Arc<Round>>,
    events: broadcast::Sender<Arc<Event>>,
    kept: Arc<Mutex<VecDeque<Arc<Event>>>>,
}

impl Board {
    /// Returns the last round.
    pub fn round(&self) -> Arc<Round> {
        Arc::clone(&self.rounds.borrow())
    }

    /// Returns what is told of every round from now on.
    pub fn rounds(&self) -> watch::Receiver<Arc<Round>> {
        self.rounds.clone()
    }

    /// Returns what is told of every event from now on.
    pub fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }

    /// Returns the events that are kept after a number, the oldest first.
    pub fn events_after(&self, number: u64) -> Vec<Arc<Event>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().filter(|event| event.number > number).cloned().collect()
    }
}

/// What the monitor writes.
#[derive(Debug)]
pub(crate) struct Publisher {
    rounds: watch::Sender<Arc<Round>>,
    board: Board,
    events: u64,
}

impl Publisher {
    /// Makes a board that shows a first round.
    pub(crate) fn new(first: Round) -> Self {
        let (rounds, reader) = watch::channel(Arc::new(first));
        let board = Board {
            rounds: reader,
            events: broadcast::Sender::new(BACKLOG),
            kept: Arc::default(),
        };
        Self {
            rounds,
            board,
            events: 0,
        }
    }

    /// Returns what readers hold.
    pub(crate) fn board(&self) -> Board {
        self.board.clone()
    }

    /// Shows a round.
    pub(crate) fn show(&self, round: Round) {
        self.rounds.send_replace(Arc::new(round));
    }

    /// Tells of something that happened, and returns it with its number.
    pub(crate) fn tell(&mut self, news: News) -> Arc<Event> {
        self.events += 1;
        let News {
            kind,
            cluster,
            node,
            term,
            text,
        } = news;
        let event = Arc::new(Event {
            number: self.events,
            at: Timestamp::now(),
            kind,
            cluster,
            node,
            term,
            text,
        });
        let mut kept = self.board.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(Arc::clone(&event));
        if kept.len() > KEPT_EVENTS {
            kept.pop_front();
        }
        drop(kept);
        // Nobody may be reading.
        let _ = self.board.events.send(Arc::clone(&event));
        event
    }
}

#[cfg(test)]
mod tests {
    use simdb_planner::config::MONITOR_EVENTS;

    use super::*;

    #[test]
    fn a_configuration_can_name_every_kind_of_event() {
        assert_eq!(Kind::ALL.map(Kind::name), MONITOR_EVENTS);
    }
}
