//! What somebody else does on a cluster, and whether that ends where the primary is lost meanwhile.

use simdb_state::address::Address;
use simdb_state::journal::StepReport;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::State;
use simdb_state::store;

use crate::plan::{Action, Plan, Step};

/// What somebody else does on a cluster, under its lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Who, and with which command.
    pub who: String,
    /// Whether it ends where the primary is lost: [`yields`].
    pub yields: bool,
}

/// Returns whether what is done under a lock ends where the primary of a cluster is lost. A plan that is being made or read does, and so
/// does a run between two of its steps, and in one that is about other servers. A run does not that is to let another node lead, for it
/// mends the loss itself; nor one that is at the primary's server at this moment, for it may be what ended it.
pub fn yields(cluster: &ClusterName, recorded: &State, work: &store::Work) -> bool {
    let Some(run) = &work.run else { return true };
    // What a plan of another version says is not known.
    let Ok(plan) = serde_json::from_value::<Plan>(run.plan.clone()) else {
        return false;
    };
    let leader = recorded.leader(cluster).map(|leader| &leader.node);
    let steps = (0_u32..).zip(&plan.steps);
    let mut steps = steps.filter(|(_, step)| step.address.cluster() == Some(cluster));
    steps.all(|(number, step)| match run.steps.get(&number) {
        Some(StepReport::Done(_) | StepReport::Failed(_)) => true,
        Some(StepReport::Started) => !changes_lead(step) && !is_at(step, leader),
        None => !changes_lead(step),
    })
}

/// Returns whether a step is part of another node's becoming the primary.
fn changes_lead(step: &Step) -> bool {
    matches!(
        step.action,
        Action::Elect { .. } | Action::Fence { .. } | Action::Promote { .. }
    )
}

fn is_at(step: &Step, node: Option<&NodeName>) -> bool {
    matches!(&step.address, Address::Node(address) if Some(&address.node) == node)
}
