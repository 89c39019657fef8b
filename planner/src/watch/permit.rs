//! Whether a plan that a decision led to may run without a person.

use simdb_state::address::{Address, NodeAddress};
use simdb_state::name::ClusterName;
use simdb_state::object::{ElectionReason, FailoverPolicy, Impact, Loss, MaxLoss, Verdict};
use simdb_state::position::Distance;

use super::decision::Decision;
use crate::plan::{Action, Evidence, Plan, Step};

/// Says why a plan may not run without a person, as a sentence; nothing where it may. `unseen` are the bytes that the primary
/// was last seen to be ahead of the node that takes over, where that is known.
pub fn permit(
    cluster: &ClusterName,
    decision: &Decision,
    policy: &FailoverPolicy,
    plan: &Plan,
    unseen: Option<u64>,
) -> Result<(), String> {
    if matches!(decision, Decision::Elect { .. }) && plan.steps.iter().any(hands_over) {
        return Err(format!("The primary of cluster {cluster} serves again."));
    }
    let costly = |step: &&Step| step.impact > policy.allow && !is_decided(cluster, decision, step);
    for step in plan.steps.iter().filter(costly) {
        match (&step.action, decision) {
            (Action::Promote { evidence, .. }, Decision::Elect { lossy: true, .. }) => {
                within(policy.max_loss, evidence, unseen)?;
            }
            _ => {
                return Err(format!(
                    "{} of {} has the impact {}, and failover.allow is \"{}\".",
                    step.action.name(),
                    step.address,
                    step.impact,
                    policy.allow
                ));
            }
        }
    }
    Ok(())
}

/// Returns whether a step lets a primary that serves hand over: what was lost is back.
fn hands_over(step: &Step) -> bool {
    matches!(&step.action, Action::Elect { election, .. } if election.reason == ElectionReason::Switchover)
}

/// Returns whether the decision itself asks for a step, whatever that costs: nothing more is lost by fencing a node that is lost
/// already, and a copy that is made anew replaces what it is to replace.
fn is_decided(cluster: &ClusterName, decision: &Decision, step: &Step) -> bool {
    let is_at = |node| {
        let address = NodeAddress {
            cluster: cluster.clone(),
            node: Clone::clone(node),
        };
        step.address == Address::Node(address)
    };
    match (decision, &step.action) {
        (Decision::Elect { .. } | Decision::Finish { .. } | Decision::GoBack { .. }, Action::Fence { .. }) => {
            step.impact <= Impact::Downtime
        }
        (Decision::Rebuild { node, .. } | Decision::Fence { node }, _) => {
            is_at(node) && step.impact <= Impact::Downtime
        }
        _ => false,
    }
}

fn within(max_loss: MaxLoss, evidence: &Evidence, unseen: Option<u64>) -> Result<(), String> {
    let MaxLoss::Bytes(most) = max_loss else { return Ok(()) };
    let Evidence::Verdict(Verdict::Unknown(Loss(at_stake))) = evidence else {
        return Ok(());
    };
    let bytes = match at_stake {
        Some(Distance::Transactions(_)) => None,
        Some(Distance::Bytes(bytes)) => Some(*bytes).max(unseen),
        None => unseen,
    };
    match bytes {
        Some(bytes) if bytes <= most => Ok(()),
        Some(bytes) => Err(format!(
            "Up to {bytes} bytes of acknowledged writes are at stake, and failover.max_loss is {most}."
        )),
        None => Err(format!(
            "Nobody knows how many acknowledged writes are at stake, and failover.max_loss is {most}."
        )),
    }
}
