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
    /// What kind of step it was; absent where another version wrote the plan in a way that this one does not read.
    pub kind: Option<String>,
    /// What it was about; absent where its kind is.
    pub address: Option<Address>,
    /// What became of it: `done`, `failed`, `started` (not seen to end) or `waiting` (not begun).
    pub status: &'static str,
    /// How long it took, where it is done.
    pub milliseconds: Option<u64>,
    /// Why it failed, in the words of what failed.
    pub cause: Option<String>,
}

impl RunDoc {
    /// Makes the document of a run.
    pub fn new(report: RunReport) -> Self {
        let plan: Plan = serde_json::from_value(report.plan).unwrap_or_default();
        let steps = (0..report.summary.steps).map(|number| {
            let step = plan.steps.get(number as usize);
            let (status, milliseconds, cause) = match report.steps.get(&number) {
                None => ("waiting", None, None),
                Some(StepReport::Started) => ("started", None, None),
                Some(StepReport::Done(took)) => ("done", *took, None),
                Some(StepReport::Failed(cause)) => ("failed", None, Some(cause.clone())),
            };
            StepRunDoc {
                number: number as usize + 1,
                kind: step.map(|step| step.action.name().to_owned()),
                address: step.map(|step| step.address.clone()),
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;
    use simdb_state::journal::RunStatus;
    use simdb_state::store::RunId;

    use super::*;

    #[test]
    fn steps_of_a_plan_that_cannot_be_read_are_told_by_their_numbers() {
        let report = RunReport {
            summary: RunSummary {
                id: RunId("00000001".to_owned()),
                operation: "apply".to_owned(),
                status: RunStatus::Failed,
                steps: 2,
                began: String::new(),
                ended: None,
                who: None,
            },
            plan: json!({ "steps": [{ "written": "by another version" }] }),
            steps: BTreeMap::from([(0, StepReport::Failed("no space is left".to_owned()))]),
        };
        let run = RunDoc::new(report);
        let told: Vec<_> = run.steps.iter().map(|step| (step.number, step.status)).collect();
        assert_eq!(told, [(1, "failed"), (2, "waiting")]);
        assert!(
            run.steps
                .iter()
                .all(|step| step.kind.is_none() && step.address.is_none())
        );
    }
}
