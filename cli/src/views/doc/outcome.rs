//! What came of a run.

use serde::{Deserialize, Serialize};
use simdb_planner::plan::{Action, Plan, StepId};
use simdb_providers::executor::Outcome;
use simdb_state::address::Address;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Election, Node, Power, Role, State, Term, Verdict, Witness};
use simdb_state::position::Position;

use super::{Operation, Summary};

/// What came of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct OutcomeDoc {
    /// What it was for.
    pub operation: Operation,
    /// What it changed; absent where it did not come to its end.
    pub changes: Option<Summary>,
    /// Steps that are done.
    pub done: Vec<StepEnd>,
    /// Steps that failed.
    pub failed: Vec<StepEnd>,
    /// Steps that were never started.
    pub not_attempted: Vec<StepEnd>,
    /// Whether somebody asked to stop.
    pub cancelled: bool,
    /// What was proven.
    pub proofs: Vec<ProofDoc>,
    /// Who leads since.
    pub switches: Vec<SwitchDoc>,
}

/// A role change, and what became of the writes that were acknowledged before.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SwitchDoc {
    /// The cluster.
    pub cluster: ClusterName,
    /// Who leads.
    pub primary: NodeName,
    /// The term it was elected for.
    pub term: Term,
    /// The timeline it writes; absent where its engine has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// The position from which it writes.
    pub point: Position,
    /// What became of the writes that were acknowledged before.
    pub verdict: Verdict,
    /// The former primary, where a person answers for that it takes no writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unproven: Option<Unproven>,
}

/// A former primary that its platform did not prove to be down.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Unproven {
    /// The node.
    pub node: NodeName,
    /// What a person said of it.
    pub witness: Witness,
}

impl Unproven {
    /// Returns the node that an election took the lead from, where no platform proved that it is down.
    fn of(cluster: &ClusterName, election: &Election, recorded: &State) -> Option<Self> {
        let mut nodes = recorded.nodes_of(cluster);
        nodes.find_map(|(address, node)| match node.role {
            Some(Role::Fenced { term, witness, .. }) if term == election.term && !witness.is_proof() => Some(Self {
                node: address.node.clone(),
                witness,
            }),
            _ => None,
        })
    }
}

/// A step, and why it failed if it did.
#[derive(Clone, Debug, PartialEq)]
pub struct StepEnd {
    /// Its number, from 1.
    pub id: u32,
    /// What it was to do.
    pub name: &'static str,
    /// To what.
    pub address: Address,
    /// Why it failed, with all causes.
    pub cause: Option<String>,
}

/// Proof that every standby of a cluster received and replayed a marker that its primary committed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProofDoc {
    /// The cluster.
    pub cluster: ClusterName,
    /// How many standbys there are.
    pub standbys: usize,
    /// The term it was seen in.
    pub term: Term,
    /// Where the marker stands in the log.
    pub marker: Position,
}

impl ProofDoc {
    /// Returns the last proof of a cluster, where there is one.
    pub fn last(cluster: &ClusterName, recorded: &State) -> Option<Self> {
        let verified = recorded.clusters.get(cluster)?.verified.as_ref()?;
        let is_standby = |node: &Node| matches!(node.role, Some(Role::Standby { .. })) && node.power == Power::Running;
        Some(Self {
            cluster: cluster.clone(),
            standbys: recorded.nodes_of(cluster).filter(|(_, node)| is_standby(node)).count(),
            term: verified.term,
            marker: verified.marker.clone(),
        })
    }
}

impl OutcomeDoc {
    /// Tells what came of a plan, and what is recorded since.
    pub fn new(operation: Operation, plan: &Plan, outcome: &Outcome, recorded: &State) -> Self {
        let end = |&StepId(index): &StepId, cause: Option<&String>| {
            let step = &plan.steps[index as usize];
            StepEnd {
                id: index + 1,
                name: step.action.name(),
                address: step.address.clone(),
                cause: cause.cloned(),
            }
        };
        let complete = outcome.failed.is_empty() && outcome.not_attempted.is_empty();
        Self {
            operation,
            changes: complete.then(|| Summary::of(plan)),
            done: outcome.done.iter().map(|id| end(id, None)).collect(),
            failed: outcome.failed.iter().map(|(id, cause)| end(id, Some(cause))).collect(),
            not_attempted: outcome.not_attempted.iter().map(|id| end(id, None)).collect(),
            cancelled: outcome.cancelled,
            proofs: proofs(plan, outcome, recorded),
            switches: switches(plan, outcome, recorded),
        }
    }

    /// Returns whether every step is done.
    pub fn is_complete(&self) -> bool {
        self.changes.is_some()
    }
}

fn switches(plan: &Plan, outcome: &Outcome, recorded: &State) -> Vec<SwitchDoc> {
    let done = outcome.done.iter().map(|id| &plan.steps[id.index()].action);
    let promoted = done.filter_map(|action| match action {
        Action::Promote { server, .. } => Some(&server.node.cluster),
        _ => None,
    });
    let switch = |cluster: &ClusterName| {
        let election = recorded.elections.get(cluster)?;
        let switch = election.switch.as_ref()?;
        Some(SwitchDoc {
            cluster: cluster.clone(),
            primary: election.primary.clone(),
            term: election.term,
            timeline: switch.timeline,
            point: switch.point.clone(),
            verdict: switch.verdict.clone(),
            unproven: Unproven::of(cluster, election, recorded),
        })
    };
    promoted.filter_map(switch).collect()
}

fn proofs(plan: &Plan, outcome: &Outcome, recorded: &State) -> Vec<ProofDoc> {
    let done = outcome.done.iter().map(|id| &plan.steps[id.index()].action);
    done.filter_map(|action| {
        let Action::Verify { cluster, .. } = action else {
            return None;
        };
        ProofDoc::last(cluster, recorded)
    })
    .collect()
}
