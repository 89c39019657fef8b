//! The journal: which steps of a run were started, done or failed.
//!
//! ```text
//!   run   running ─► done | failed | cancelled         by the writer that began it
//!                 └► abandoned                         by the next run, when the writer was killed or preempted
//!   step  (absent) ─► started ─► done | failed
//! ```
//!
//! A step is journalled as started before anything happens, and as done in the commit that records its effect. So a step
//! that is started and no more is in doubt: somebody has to look. Nothing is ever undone or resumed from here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::Address;
use crate::backend::{Key, Lease, Token};
use crate::delta::Outputs;
use crate::object::Term;
use crate::position::Position;
use crate::run::{RunEnd, RunId, Took};

/// How many runs are kept. Older ones go when a new one begins.
pub(crate) const KEPT_RUNS: u64 = 20;

/// What stands in `run/<id>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRow {
    pub(crate) operation: String,
    pub(crate) status: RunStatus,
    /// How many steps the plan has.
    pub(crate) steps: u32,
    /// The lock it ran under: a run whose lock is held goes on at this moment.
    pub(crate) token: Token,
    /// By the wall clock, for people.
    pub(crate) began: String,
    #[serde(default)]
    pub(crate) ended: Option<String>,
    /// Who began it, `user@host`; absent for runs of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) who: Option<String>,
}

impl RunRow {
    /// Returns whether somebody is at work on it who is not known to be gone.
    pub(crate) fn goes_on(&self, held: &[Lease]) -> bool {
        let mut held = held.iter();
        self.status == RunStatus::Running && held.any(|lease| lease.token == self.token && !lease.owner.is_dead())
    }
}

/// How far a run got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunStatus {
    /// It has not ended, and nobody has looked after it since.
    Running,
    /// Every step is done.
    Done,
    /// A step failed.
    Failed,
    /// It was asked to stop.
    Cancelled,
    /// It was killed, or a failover took its lock over, and a later run went on from there.
    Abandoned,
}

/// A run that is kept in the journal, as documents tell it too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RunSummary {
    /// Its id.
    pub id: RunId,
    /// What it was: `apply`, `destroy`.
    pub operation: String,
    /// How far it got.
    pub status: RunStatus,
    /// How many steps its plan has.
    pub steps: u32,
    /// When it began, by the wall clock, for people.
    pub began: String,
    /// When it ended; absent where it never did.
    pub ended: Option<String>,
    /// Who began it, `user@host`; absent for runs of earlier versions.
    pub who: Option<String>,
}

impl RunSummary {
    pub(crate) fn new(id: RunId, row: RunRow) -> Self {
        let RunRow {
            operation,
            status,
            steps,
            token: _,
            began,
            ended,
            who,
        } = row;
        Self {
            id,
            operation,
            status,
            steps,
            began,
            ended,
            who,
        }
    }
}

/// What a run did, as the journal tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunReport {
    /// Which one it was, and how far it got.
    pub summary: RunSummary,
    /// Its plan, as the document it was given.
    pub plan: serde_json::Value,
    /// What became of the steps that were started, by number.
    pub steps: BTreeMap<u32, StepReport>,
}

/// What became of a step that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepReport {
    /// It was not seen to end.
    Started,
    /// It is done, and took so many milliseconds; absent for runs of earlier versions.
    Done(Option<u64>),
    /// It failed, and why.
    Failed(String),
}

impl From<RunEnd> for RunStatus {
    fn from(end: RunEnd) -> Self {
        match end {
            RunEnd::Done => RunStatus::Done,
            RunEnd::Failed => RunStatus::Failed,
            RunEnd::Cancelled => RunStatus::Cancelled,
        }
    }
}

/// What stands in `run/<id>/step/<n>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "lowercase")]
pub(crate) enum StepRow {
    Started,
    Done {
        outputs: Outputs,
        /// Absent for runs of earlier versions.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        took: Option<Took>,
    },
    Failed {
        cause: String,
    },
}

/// Something that happened, as it is kept in `event/<n>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, by the wall clock, for people.
    pub at: String,
    /// In which run; absent for what was seen outside of one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// What.
    pub kind: EventKind,
    /// The step, where it is about one.
    #[serde(default)]
    pub step: Option<u32>,
    /// What changed in the record; for what happened to a cluster, whom it happened to.
    #[serde(default)]
    pub addresses: Vec<Address>,
    /// The position of the log that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The election that it follows from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<Term>,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A run began.
    RunBegan,
    /// A step was started.
    StepStarted,
    /// A step is done.
    StepDone,
    /// A step failed.
    StepFailed,
    /// A run ended, and every step is done.
    RunDone,
    /// A run ended because a step failed.
    RunFailed,
    /// A run ended because it was asked to.
    RunCancelled,
    /// A node became a standby that was none before.
    StandbyCreated,
    /// Every standby of a cluster was seen to replay a marker.
    SyncEstablished,
    /// A standby had more to replay than it may.
    LagDetected,
    /// A cluster's lead passed to another node as planned.
    Switchover,
    /// A cluster's lead passed to another node because the one that had it was lost.
    Failover,
    /// A standby began to take writes.
    Promoted,
    /// A cluster goes on with fewer standbys than commits are to wait for.
    Degraded,
    /// A node that led before follows now.
    Rejoined,
    /// More than one node of a cluster took writes.
    SplitBrain,
}

impl EventKind {
    /// Returns its name, as it stands in documents.
    pub fn name(self) -> &'static str {
        match self {
            EventKind::RunBegan => "run_began",
            EventKind::StepStarted => "step_started",
            EventKind::StepDone => "step_done",
            EventKind::StepFailed => "step_failed",
            EventKind::RunDone => "run_done",
            EventKind::RunFailed => "run_failed",
            EventKind::RunCancelled => "run_cancelled",
            EventKind::StandbyCreated => "standby_created",
            EventKind::SyncEstablished => "sync_established",
            EventKind::LagDetected => "lag_detected",
            EventKind::Switchover => "switchover",
            EventKind::Failover => "failover",
            EventKind::Promoted => "promoted",
            EventKind::Degraded => "degraded",
            EventKind::Rejoined => "rejoined",
            EventKind::SplitBrain => "split_brain",
        }
    }

    /// Returns whether it is about a cluster, and not about a run of simdb.
    pub fn is_of_cluster(self) -> bool {
        match self {
            EventKind::RunBegan
            | EventKind::StepStarted
            | EventKind::StepDone
            | EventKind::StepFailed
            | EventKind::RunDone
            | EventKind::RunFailed
            | EventKind::RunCancelled => false,
            EventKind::StandbyCreated
            | EventKind::SyncEstablished
            | EventKind::LagDetected
            | EventKind::Switchover
            | EventKind::Failover
            | EventKind::Promoted
            | EventKind::Degraded
            | EventKind::Rejoined
            | EventKind::SplitBrain => true,
        }
    }
}

impl From<RunEnd> for EventKind {
    fn from(end: RunEnd) -> Self {
        match end {
            RunEnd::Done => EventKind::RunDone,
            RunEnd::Failed => EventKind::RunFailed,
            RunEnd::Cancelled => EventKind::RunCancelled,
        }
    }
}

/// The prefix of the rows of events.
pub(crate) const EVENTS: &str = "event/";

pub(crate) fn run_key(run: &RunId) -> Key {
    Key::new(format!("run/{}", run.0))
}

pub(crate) fn plan_key(run: &RunId) -> Key {
    Key::new(format!("run/{}/plan", run.0))
}

pub(crate) fn steps_prefix(run: &RunId) -> String {
    format!("run/{}/step/", run.0)
}

pub(crate) fn step_key(run: &RunId, step: u32) -> Key {
    Key::new(format!("{}{step:06}", steps_prefix(run)))
}

pub(crate) fn event_key(number: u64) -> Key {
    Key::new(format!("{EVENTS}{number:012}"))
}

/// Where a step stands; absent, it was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It was started.
    Started,
    /// It is done.
    Done,
    /// It failed.
    Failed,
}

/// Why an entry does not belong into the journal. It is a mistake of the caller; nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JournalError {
    /// No run was begun.
    #[error("no run was begun")]
    NoRun,
    /// The run before has no end.
    #[error("run {:?} has not ended", .0.0)]
    Running(RunId),
    /// The plan has no such step.
    #[error("step {step} is not among the {steps} steps of the run")]
    NoStep {
        /// The step.
        step: u32,
        /// How many there are.
        steps: u32,
    },
    /// The step stands elsewhere.
    #[error("step {step} cannot go from {from:?} to {to:?}")]
    Step {
        /// The step.
        step: u32,
        /// Where it stands.
        from: Option<Progress>,
        /// Where it was to go.
        to: Progress,
    },
    /// A run is done when every step is.
    #[error("the run is not done: {done} of {steps} steps are")]
    NotDone {
        /// How many steps are done.
        done: u32,
        /// How many there are.
        steps: u32,
    },
}

/// Decides whether a step may go from where it stands.
fn advance(step: u32, from: Option<Progress>, to: Progress) -> Result<(), JournalError> {
    match (from, to) {
        (None, Progress::Started) | (Some(Progress::Started), Progress::Done | Progress::Failed) => Ok(()),
        (from, to) => Err(JournalError::Step { step, from, to }),
    }
}

/// The run that is going on.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) id: RunId,
    pub(crate) row: RunRow,
    progress: BTreeMap<u32, Progress>,
    done: u32,
}

impl Run {
    pub(crate) fn new(id: RunId, row: RunRow) -> Self {
        Self {
            id,
            row,
            progress: BTreeMap::new(),
            done: 0,
        }
    }

    /// Checks moves that are to be committed together, in order, and returns where each step ends up.
    pub(crate) fn check(&self, moves: &[(u32, Progress)]) -> Result<BTreeMap<u32, Progress>, JournalError> {
        let mut ends = BTreeMap::new();
        for &(step, to) in moves {
            let steps = self.row.steps;
            if step >= steps {
                return Err(JournalError::NoStep { step, steps });
            }
            let from = ends.get(&step).or_else(|| self.progress.get(&step)).copied();
            advance(step, from, to)?;
            ends.insert(step, to);
        }
        Ok(ends)
    }

    /// Makes checked moves that were committed.
    pub(crate) fn make(&mut self, ends: BTreeMap<u32, Progress>) {
        for (step, to) in ends {
            self.progress.insert(step, to);
            self.done += u32::from(to == Progress::Done);
        }
    }

    /// Decides whether the run may end so.
    pub(crate) fn check_end(&self, end: RunEnd) -> Result<(), JournalError> {
        let (done, steps) = (self.done, self.row.steps);
        if end == RunEnd::Done && done < steps {
            return Err(JournalError::NotDone { done, steps });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(steps: u32) -> Run {
        let row = RunRow {
            operation: "apply".to_owned(),
            status: RunStatus::Running,
            steps,
            token: Token(1),
            began: String::new(),
            ended: None,
            who: None,
        };
        Run::new(RunId("00000001".to_owned()), row)
    }

    #[test]
    fn a_step_goes_from_started_to_done_or_failed_and_no_other_way() {
        use Progress::{Done, Failed, Started};
        let legal = [(None, Started), (Some(Started), Done), (Some(Started), Failed)];
        for from in [None, Some(Started), Some(Done), Some(Failed)] {
            for to in [Started, Done, Failed] {
                let allowed = advance(0, from, to).is_ok();
                assert_eq!(allowed, legal.contains(&(from, to)), "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn moves_of_one_commit_build_on_each_other() {
        let mut run = run(2);
        let ends = run.check(&[(0, Progress::Started), (0, Progress::Done)]).unwrap();
        run.make(ends);
        assert!(run.check(&[(1, Progress::Done)]).is_err(), "it was not started");
        assert!(run.check(&[(2, Progress::Started)]).is_err(), "there is no third step");
    }

    #[test]
    fn a_run_is_done_only_when_every_step_is() {
        let mut run = run(1);
        assert!(run.check_end(RunEnd::Failed).is_ok());
        assert_eq!(
            run.check_end(RunEnd::Done),
            Err(JournalError::NotDone { done: 0, steps: 1 })
        );
        let ends = run.check(&[(0, Progress::Started), (0, Progress::Done)]).unwrap();
        run.make(ends);
        assert!(run.check_end(RunEnd::Done).is_ok());
    }
}
