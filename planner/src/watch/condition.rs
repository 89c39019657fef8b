//! Whether a node is alive: the rules against false alarms.

use std::fmt;
use std::time::Duration;

use super::evidence::{DEADLINE, NodeEvidence, PERIOD, Process, Sign};

/// After how long without an answer a node is suspected: the next question and its deadline.
const SUSPECT: Duration = PERIOD.saturating_add(DEADLINE);

/// After how long without an answer a node may be lost: two deadlines in a row.
const SILENT: Duration = SUSPECT.saturating_add(DEADLINE);

/// After how long without a beat, or without its log at any standby, a node may be lost.
const STILL: Duration = Duration::from_secs(1);

/// After how long without a new session a node that answers on an old one is lost.
const ENTRY: Duration = Duration::from_secs(5);

/// After how long without a commit a node that answers is lost. A disk under load may be slow; one that hangs does not end.
const COMMIT: Duration = Duration::from_secs(10);

/// Whether a node is alive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is known of it yet.
    #[default]
    Unknown,
    /// It answers.
    Alive,
    /// It recovers, and lets no session in yet.
    Starting,
    /// It has not answered for so long, and something else shows that it lives, or may.
    Suspect(Duration),
    /// It does not do its part any more.
    Lost(LostBy),
}

/// By what it is known that a node is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostBy {
    /// Its process ended, so long ago.
    Ended(Duration),
    /// Every sign of life that is watched is silent, for at least so long.
    Silence(Duration),
    /// It answers, and lets no new session in.
    Entry(Duration),
    /// It answers, and commits nothing.
    Commit(Duration),
    /// It recovers for longer than it may.
    Recovery(Duration),
}

impl LostBy {
    /// Returns for how long it has been lost.
    pub fn since(self) -> Duration {
        match self {
            LostBy::Ended(since)
            | LostBy::Silence(since)
            | LostBy::Entry(since)
            | LostBy::Commit(since)
            | LostBy::Recovery(since) => since,
        }
    }

    /// Returns whether that is certain, however little the monitor hears.
    pub fn is_certain(self) -> bool {
        matches!(self, LostBy::Ended(_))
    }
}

impl fmt::Display for LostBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.since().as_secs_f64();
        match self {
            LostBy::Ended(_) => f.write_str("its process ended"),
            LostBy::Silence(_) => write!(f, "no sign of life for {seconds:.1} s"),
            LostBy::Entry(_) => write!(f, "it has let no session in for {seconds:.1} s"),
            LostBy::Commit(_) => write!(f, "it has committed nothing for {seconds:.1} s"),
            LostBy::Recovery(_) => write!(f, "it has been recovering for {seconds:.1} s"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Unknown => f.write_str("unknown"),
            Condition::Alive => f.write_str("alive"),
            Condition::Starting => f.write_str("starting"),
            Condition::Suspect(_) => f.write_str("suspect"),
            Condition::Lost(_) => f.write_str("lost"),
        }
    }
}

/// Judges one node. A process that ended is certain; everything else takes every sign that is watched.
pub fn condition(evidence: &NodeEvidence, restart_within: Duration) -> Condition {
    if let Process::Ended(ago) = evidence.process {
        return Condition::Lost(LostBy::Ended(ago));
    }
    if let Some(recovering) = evidence.starting {
        return if recovering > restart_within {
            Condition::Lost(LostBy::Recovery(recovering))
        } else {
            Condition::Starting
        };
    }
    match evidence.answer {
        Sign::Unwatched => Condition::Unknown,
        Sign::Alive => hangs(evidence).map_or(Condition::Alive, Condition::Lost),
        Sign::Silent(silent) => silence(evidence, silent),
    }
}

/// A server whose sessions go on may still let nobody in, or write nothing to its disk.
fn hangs(evidence: &NodeEvidence) -> Option<LostBy> {
    match (evidence.entry, evidence.commit) {
        (Sign::Silent(silent), _) if silent >= ENTRY => Some(LostBy::Entry(silent)),
        (_, Sign::Silent(silent)) if silent >= COMMIT => Some(LostBy::Commit(silent)),
        _ => None,
    }
}

fn silence(evidence: &NodeEvidence, silent: Duration) -> Condition {
    // A process that is known to run refuses sessions while it starts and ends; only one of which nothing is known is gone then.
    let refuses = evidence.refuses && evidence.process == Process::Unknown;
    let others_are_still = evidence.beat.allows_death(STILL) && evidence.stream.allows_death(STILL);
    if (refuses || silent >= SILENT) && others_are_still {
        Condition::Lost(LostBy::Silence(silent))
    } else if refuses || silent >= SUSPECT {
        Condition::Suspect(silent)
    } else {
        hangs(evidence).map_or(Condition::Alive, Condition::Lost)
    }
}
