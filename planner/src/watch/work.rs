//! What somebody else does on a cluster, and whether that ends where the primary is lost meanwhile.

use std::collections::BTreeSet;

use simdb_state::address::Address;
use simdb_state::backend::Token;
use simdb_state::journal::StepReport;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::State;
use simdb_state::store::{self, RunId};

use crate::plan::{Plan, Step};

/// What somebody else does on a cluster, under its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Who, and with which command.
    pub who: String,
    /// Whether it ends where the primary is lost: [`Trace::yields`].
    pub yields: bool,
}

/// How far work has come at the server of the primary: while it is the same, the work has done nothing there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    token: Token,
    run: Option<RunId>,
    begun: BTreeSet<u32>,
    ended: BTreeSet<u32>,
    /// Whether another node leads once it is done, or whether that cannot be told.
    changes_lead: bool,
}

impl Trace {
    /// Returns how far work has come at the primary of a cluster.
    pub fn of(cluster: &ClusterName, recorded: &State, work: &store::Work) -> Self {
        let mut trace = Self {
            token: work.lease.token,
            run: work.run.as_ref().map(|run| run.summary.id.clone()),
            begun: BTreeSet::new(),
            ended: BTreeSet::new(),
            changes_lead: false,
        };
        let Some(run) = &work.run else { return trace };
        // What a plan of another version says is not known.
        let Ok(plan) = serde_json::from_value::<Plan>(run.plan.clone()) else {
            trace.changes_lead = true;
            return trace;
        };
        let leader = recorded.leader(cluster).map(|leader| &leader.node);
        let steps = (0_u32..).zip(&plan.steps);
        for (number, step) in steps.filter(|(_, step)| step.address.cluster() == Some(cluster)) {
            let report = run.steps.get(&number);
            let is_over = matches!(report, Some(StepReport::Done(_) | StepReport::Failed(_)));
            trace.changes_lead |= !is_over && step.action.changes_lead();
            if is_at(step, leader) {
                trace.begun.extend(report.map(|_| number));
                trace.ended.extend(is_over.then_some(number));
            }
        }
        trace
    }

    /// Returns whether the work ends where the primary is lost. A plan that is being made or read does, and so does a run between two of
    /// its steps, and in one that is about other servers. A run that lets another node lead does not, for it mends the loss itself;
    /// nor one that is at the primary's server at this moment, for it may be what ended it.
    pub fn yields(&self) -> bool {
        !self.changes_lead && self.begun == self.ended
    }
}

fn is_at(step: &Step, node: Option<&NodeName>) -> bool {
    matches!(&step.address, Address::Node(address) if Some(&address.node) == node)
}
