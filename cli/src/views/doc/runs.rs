//! What the journal keeps of runs.

use serde::Serialize;
use simdb_planner::plan::Plan;
use simdb_state::address::Address;
use simdb_state::journal::{RunReport, RunSummary, StepReport};

use super::FORMAT_VERSION;

/// The runs that are kept, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunsDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// The runs.
    pub runs: Vec<RunSummary>,
}

impl RunsDoc {
    /// Makes the document of runs.
    pub fn new(runs: Vec<RunSummary>) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            runs,
        }
    }
}

/// What one run did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// Which one it was, and how far it got.
    pub run: RunSummary,
    /// The steps of its plan.
    pub steps: Vec<StepRunDoc>,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRunDoc {
    /// Its number in the plan, from 1 on.
    pub number: usize,
    /// What kind of step it was.
    pub kind: String,
    /// What it was about.
    pub address: Address,
    /// What became of it: `done`, `failed`, `started` (not seen to end) or `waiting` (not begun).
    pub status: &'static str,
    /// How long it took, where it is done.
    pub milliseconds: Option<u64>,
    /// Why it failed, in the words of what failed.
    pub cause: Option<String>,
}

impl RunDoc {
    /// Makes the document of a run. Steps of a plan that another version wrote in another way are left out.
    pub fn new(report: RunReport) -> Self {
        let plan: Plan = serde_json::from_value(report.plan).unwrap_or_default();
        let steps = plan.steps.iter().zip(0_u32..).map(|(step, number)| {
            let (status, milliseconds, cause) = match report.steps.get(&number) {
                None => ("waiting", None, None),
                Some(StepReport::Started) => ("started", None, None),
                Some(StepReport::Done(took)) => ("done", *took, None),
                Some(StepReport::Failed(cause)) => ("failed", None, Some(cause.clone())),
            };
            StepRunDoc {
                number: number as usize + 1,
                kind: step.action.name().to_owned(),
                address: step.address.clone(),
                status,
                milliseconds,
                cause,
            }
        });
        Self {
            format_version: FORMAT_VERSION,
            steps: steps.collect(),
            run: report.summary,
        }
    }
}
