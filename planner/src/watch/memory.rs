//! What a monitor remembers from one look to the next. It is told each time what time it is, as the time since the monitor
//! started, and so has no clock of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use simdb_state::name::NodeName;

use super::decision::{Alarm, Subject};
use super::evidence::{Attempt, History, NodeEvidence, Process, Said, Sign, Trend};

/// How far back failovers are remembered.
const REMEMBERED: Duration = Duration::from_hours(1);

/// How many bytes of log a standby may have yet to replay, and for how long, before it lags.
const LAG_BYTES: u64 = 10_000_000;
const LAG_TIME: Duration = Duration::from_secs(10);

/// After how much time without a try what was tried counts as having helped.
const FORGIVEN: Duration = Duration::from_mins(5);

/// Something that a monitor hears of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// Its process runs.
    Runs,
    /// Its process ended.
    Ended,
    /// Whether its data is in place.
    Data(bool),
    /// It answers on the session that is held open, and says this of itself.
    Answer(Said),
    /// It answers, and refuses what was asked: it lives, and says nothing of itself.
    Reply,
    /// A session ended, and a new one is refused.
    Refusal,
    /// It recovers, and lets no session in yet.
    Recovery,
    /// It let a new session in.
    Entry,
    /// It committed a mark.
    Commit,
    /// A guard beside it counted on.
    Beat,
    /// Its log arrives at a standby.
    Stream,
}

/// When something was last seen; watched from the first time on.
#[derive(Clone, Copy, Debug, Default)]
struct Seen(Option<Duration>);

impl Seen {
    fn sign(self, now: Duration, period: Duration) -> Sign {
        match self.0 {
            None => Sign::Unwatched,
            Some(last) if now.saturating_sub(last) <= period => Sign::Alive,
            Some(last) => Sign::Silent(now.saturating_sub(last)),
        }
    }
}

/// Since when something has been so.
fn since(at: &mut Option<Duration>, holds: bool, now: Duration) {
    if holds {
        at.get_or_insert(now);
    } else {
        *at = None;
    }
}

#[derive(Clone, Debug, Default)]
struct NodeMemory {
    /// When a monitor first asked it.
    asked: Option<Duration>,
    runs: bool,
    ended: Option<Duration>,
    has_data: Option<bool>,
    answer: Seen,
    refuses: bool,
    entry: Seen,
    commit: Seen,
    beat: Seen,
    stream: Seen,
    starting: Option<Duration>,
    said: Option<Said>,
    lags: Option<Duration>,
    keeps_up: Option<Duration>,
    away: Option<Duration>,
    caught_up: Option<Duration>,
    waits: Option<Duration>,
}

/// What a monitor remembers of one cluster.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    nodes: BTreeMap<NodeName, NodeMemory>,
    /// When failovers were, with how long ago that was by then.
    failovers: Vec<(Duration, Duration)>,
    tried: BTreeMap<Subject, (Duration, u32)>,
    alarms: BTreeSet<Alarm>,
    /// Whether a person paused the monitor for this cluster.
    pub paused: bool,
    /// Whether one of its maintenance windows is open.
    pub maintained: bool,
    /// Whether a run that changes who leads was cut off, and nobody has gone on since.
    pub cut_off: bool,
}

impl Memory {
    /// Notes that a node is asked: from now on its silence counts.
    pub fn ask(&mut self, node: &NodeName, now: Duration) {
        let node = self.nodes.entry(node.clone()).or_default();
        if node.asked.is_none() {
            (node.asked, node.answer) = (Some(now), Seen(Some(now)));
        }
    }

    /// Notes what is heard of a node.
    pub fn hear(&mut self, node: &NodeName, heard: Heard, now: Duration) {
        let node = self.nodes.entry(node.clone()).or_default();
        match heard {
            Heard::Runs => (node.runs, node.ended) = (true, None),
            Heard::Ended => {
                node.runs = false;
                node.ended.get_or_insert(now);
                (node.starting, node.refuses) = (None, false);
                node.away.get_or_insert(now);
                (node.caught_up, node.waits) = (None, None);
                if let Some(said) = &mut node.said {
                    (said.streams, said.waiting) = (false, 0);
                }
                // A server that starts anew is given its time anew.
                (node.entry, node.commit, node.stream) = (Seen(None), Seen(None), Seen(None));
            }
            Heard::Data(there) => node.has_data = Some(there),
            Heard::Answer(said) => node.answers(said, now),
            Heard::Reply => (node.answer, node.refuses) = (Seen(Some(now)), false),
            Heard::Refusal => node.refuses = true,
            Heard::Recovery => {
                node.starting.get_or_insert(now);
                (node.answer, node.refuses) = (Seen(Some(now)), false);
            }
            Heard::Entry => node.entry = Seen(Some(now)),
            Heard::Commit => node.commit = Seen(Some(now)),
            Heard::Beat => node.beat = Seen(Some(now)),
            Heard::Stream => node.stream = Seen(Some(now)),
        }
    }

    /// Forgets the nodes that are there no more.
    pub fn keep(&mut self, nodes: &BTreeSet<NodeName>) {
        self.nodes.retain(|node, _| nodes.contains(node));
    }

    /// Notes that another node leads by now. What the others said of writing before that is over, until they say it again: one that was
    /// stopped and started in between would be taken for a second writer.
    pub fn led_by(&mut self, leader: &NodeName) {
        for (_, node) in self.nodes.iter_mut().filter(|(name, _)| *name != leader) {
            if let Some(said) = &mut node.said {
                said.writes = false;
            }
        }
    }

    /// Gives every node its time anew: what is older than now counts for nothing, as after a sleep of the monitor.
    pub fn wake(&mut self, now: Duration) {
        for node in self.nodes.values_mut() {
            for seen in [
                &mut node.answer,
                &mut node.entry,
                &mut node.commit,
                &mut node.beat,
                &mut node.stream,
            ] {
                seen.0 = seen.0.map(|_| now);
            }
        }
    }

    /// Notes that the lead passed because a primary was lost, so long ago.
    pub fn failed_over(&mut self, ago: Duration, now: Duration) {
        self.failovers.push((now, ago));
        self.failovers
            .retain(|(at, ago)| *ago + now.saturating_sub(*at) < REMEMBERED);
    }

    /// Notes that something was tried; it counts as one that did not help until that is over, or helped.
    pub fn tried(&mut self, subject: Subject, now: Duration) {
        let times = self.tried.get(&subject).map_or(0, |(_, times)| *times);
        self.tried.insert(subject, (now, times + 1));
    }

    /// Notes that what was tried has helped.
    pub fn helped(&mut self, subject: &Subject) {
        self.tried.remove(subject);
    }

    /// Notes which alarms hold, and returns those that are new and those that are over.
    pub fn alarms(&mut self, now: &BTreeSet<Alarm>) -> (Vec<Alarm>, Vec<Alarm>) {
        let before = std::mem::replace(&mut self.alarms, now.clone());
        (
            now.difference(&before).cloned().collect(),
            before.difference(now).cloned().collect(),
        )
    }

    /// Returns the signs of life as they are now.
    pub fn evidence(&self, now: Duration) -> BTreeMap<NodeName, NodeEvidence> {
        self.nodes
            .iter()
            .map(|(name, node)| (name.clone(), node.evidence(now)))
            .collect()
    }

    /// Returns what happened, as it is now.
    pub fn history(&self, now: Duration) -> History {
        let ago = |at: Duration| now.saturating_sub(at);
        let tried = self.tried.iter().filter(|(_, (at, _))| ago(*at) < FORGIVEN);
        let attempt = |(at, times): (Duration, u32)| Attempt { ago: ago(at), times };
        History {
            paused: self.paused,
            maintained: self.maintained,
            cut_off: self.cut_off,
            failovers: self.failovers.iter().map(|(at, before)| *before + ago(*at)).collect(),
            tried: tried
                .map(|(subject, tried)| (subject.clone(), attempt(*tried)))
                .collect(),
            trends: self
                .nodes
                .iter()
                .map(|(name, node)| (name.clone(), node.trend(now)))
                .collect(),
            alarms: self.alarms.clone(),
        }
    }
}

impl NodeMemory {
    fn answers(&mut self, said: Said, now: Duration) {
        (self.answer, self.refuses, self.starting) = (Seen(Some(now)), false, None);
        let bytes = said.lag_bytes.unwrap_or_default();
        let late = said.lag.unwrap_or_default();
        since(&mut self.lags, bytes > LAG_BYTES || late > LAG_TIME, now);
        since(&mut self.keeps_up, bytes < LAG_BYTES / 2 && late < LAG_TIME / 2, now);
        since(&mut self.away, !said.streams && !said.writes, now);
        since(&mut self.caught_up, said.streams && bytes < LAG_BYTES, now);
        since(&mut self.waits, said.waiting > 0, now);
        self.said = Some(said);
    }

    fn evidence(&self, now: Duration) -> NodeEvidence {
        let period = super::PERIOD * 3 / 2;
        let second = Duration::from_millis(1_500);
        NodeEvidence {
            process: match self.ended {
                Some(at) => Process::Ended(now.saturating_sub(at)),
                None if self.runs => Process::Runs,
                None => Process::Unknown,
            },
            has_data: self.has_data,
            answer: self.answer.sign(now, period),
            refuses: self.refuses,
            entry: self.entry.sign(now, second),
            commit: self.commit.sign(now, second),
            beat: self.beat.sign(now, second),
            stream: self.stream.sign(now, period),
            starting: self.starting.map(|at| now.saturating_sub(at)),
            said: self.said.clone(),
        }
    }

    fn trend(&self, now: Duration) -> Trend {
        let ago = |at: Option<Duration>| at.map(|at| now.saturating_sub(at));
        // A standby that does not answer is away from the moment that it last did.
        let silent = match self.answer.sign(now, super::PERIOD + super::DEADLINE) {
            Sign::Silent(silent) => Some(silent),
            Sign::Unwatched | Sign::Alive => None,
        };
        Trend {
            lags: ago(self.lags),
            keeps_up: ago(self.keeps_up).filter(|_| silent.is_none()),
            away: ago(self.away).max(silent),
            caught_up: ago(self.caught_up).filter(|_| silent.is_none()),
            waits: ago(self.waits),
        }
    }
}
