//! Watching: what a monitor makes of the signs of life that it collects. Policy, evidence and elapsed times in, decisions out;
//! no clock.
//!
//! ```text
//!   Evidence ─► condition ─► Condition of each node ─┐
//!   State (recorded, policy included) ───────────────┼─► primary ─► Decision, or why it is held
//!   History, Round (elapsed times) ──────────────────┘   standby ─► Decision
//!                                                        trend   ─► alerts
//! ```
//!
//! A decision is no plan: it becomes one through [`Decision::proposal`] and the ordinary planner, which refuses what cannot be
//! done safely. [`permit`] says whether the plan that came of it may run without a person.
//!
//! What is unknown decides nothing: silence makes a node lost only where every sign of life that is watched is silent, and a
//! monitor that hears nothing at all takes itself for blind.

mod condition;
mod decision;
mod evidence;
mod held;
mod memory;
mod permit;
mod primary;
mod standby;
mod trend;
mod work;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::State;

pub use self::condition::{Condition, LostBy, condition};
pub use self::decision::{Alarm, Decision, Held, Subject};
pub use self::evidence::{
    Attempt, DEADLINE, History, NodeEvidence, PERIOD, Process, Round, Said, Sign, SlotState, Standing, Trend, WARM_UP,
};
pub use self::memory::{Heard, Memory};
pub use self::permit::permit;
pub use self::work::{Trace, Work};

/// One cluster, as a monitor sees it at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The cluster.
    pub cluster: &'a ClusterName,
    /// The record, which holds the policy.
    pub recorded: &'a State,
    /// The signs of life of its nodes.
    pub evidence: &'a BTreeMap<NodeName, NodeEvidence>,
    /// What happened before.
    pub history: &'a History,
    /// How the monitor itself is.
    pub round: &'a Round,
}

/// What a monitor makes of one cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The condition of each node.
    pub conditions: BTreeMap<NodeName, Condition>,
    /// What is to be done now; at most one thing at a time.
    pub decision: Option<Decision>,
    /// What would be done, and why it is not.
    pub held: Option<(Decision, Held)>,
    /// The alarms that hold; those that are new or over the history tells.
    pub alarms: BTreeSet<Alarm>,
}

/// Judges a cluster. Same inputs, same judgement.
pub fn judge(case: Case<'_>) -> Judgement {
    // What a monitor saw while it was late may be long over: its own delay looks like the silence of others.
    if case.round.is_late() {
        return Judgement {
            alarms: case.history.alarms.clone(),
            ..Judgement::default()
        };
    }
    let policy = case
        .recorded
        .clusters
        .get(case.cluster)
        .map(|cluster| &cluster.failover);
    let Some(policy) = policy else {
        return Judgement::default();
    };
    let conditions: BTreeMap<NodeName, Condition> = case
        .evidence
        .iter()
        .map(|(node, evidence)| (node.clone(), condition(evidence, policy.restart_within)))
        .collect();
    let wanted = primary::wanted(case, policy, &conditions).or_else(|| standby::wanted(case, policy, &conditions));
    let (decision, held) = match wanted {
        None => (None, None),
        Some((decision, reason)) => match held::held(case, policy, &decision).or(reason) {
            None => (Some(decision), None),
            Some(held) => (None, Some((decision, held))),
        },
    };
    let alarms = trend::alarms(case, &conditions);
    Judgement {
        conditions,
        decision,
        held,
        alarms,
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
