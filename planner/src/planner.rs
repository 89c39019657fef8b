//! The pipeline from facts to plan, one stage a module:
//!
//! ```text
//!   ignored: what is declared, without what is ignored
//!   before ─► intend ─► diff ─► [Change]
//!      │         └────► lower ─► order ─► check ─► Plan
//!      └── recorded, corrected by what was observed
//! ```
//!
//! A stage imports no other one: what two of them share stands below both (`intended`, `route`, `pairs`).

pub(crate) mod addressing;
pub(crate) mod astray;
pub(crate) mod before;
mod candidate;
mod cause;
mod check;
mod compared;
pub(crate) mod contradiction;
mod diff;
mod differing;
pub(crate) mod drift;
pub(crate) mod found;
mod ignored;
pub(crate) mod imports;
pub(crate) mod intend;
pub(crate) mod intended;
pub(crate) mod lower;
mod notes;
pub(crate) mod order;
mod pairs;
mod refresh;
mod refused;
mod route;
pub mod scope;
mod triggered;
mod unmade;
mod untried;
mod unusable;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Power, State};

use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::engine;
use crate::observed::Observed;
use crate::plan::{FORMAT, Plan};

pub use addressing::DEFAULT_RANGE;
pub use compared::NotCompared;
pub use differing::Differing;
pub use found::Finding;
pub use ignored::is_ignored;
pub use refresh::refresh;
use scope::Scope;
pub use unmade::{Unmade, UnmadeServer, unmade};
pub use untried::untried;
use unusable::Unusable;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What the configuration declares; empty when the plan destroys everything.
    pub desired: &'a Desired,
    /// What the state holds.
    pub recorded: &'a State,
    /// What was seen.
    pub observed: &'a Observed,
    /// What a command asks for beside the configuration.
    pub proposal: Option<&'a Proposal>,
}

/// What a command asks for beside the configuration. It becomes part of the plan, and of the record once that has run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// Stop these nodes until they are started again, or start them.
    Power {
        /// The nodes.
        nodes: BTreeSet<NodeAddress>,
        /// What they are to be.
        power: Power,
    },
    /// Let another node lead.
    Election(ElectionRequest),
    /// Bring the data of these nodes in line with the primary's again, whatever it holds. Each has its reason.
    Resync(BTreeMap<NodeAddress, String>),
    /// Remove everything, whatever is declared.
    Destroy,
}

impl Proposal {
    /// Returns what a command asks for that brings the data of nodes in line again.
    pub fn resync(nodes: impl IntoIterator<Item = NodeAddress>) -> Self {
        let asked = |node| (node, "a resync copies its data anew".to_owned());
        Proposal::Resync(nodes.into_iter().map(asked).collect())
    }

    /// Returns why the data of a node is brought in line, where it is.
    pub(crate) fn resyncs(&self, node: &NodeAddress) -> Option<&str> {
        match self {
            Proposal::Resync(nodes) => nodes.get(node).map(String::as_str),
            Proposal::Power { .. } | Proposal::Election(_) | Proposal::Destroy => None,
        }
    }
}

/// What a command asks of an election.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionRequest {
    /// The cluster.
    pub cluster: ClusterName,
    /// Whether the node that leads serves, or is lost.
    pub kind: ElectionKind,
    /// Who is to lead; absent, whoever is best suited.
    pub to: Option<NodeName>,
    /// Whether acknowledged writes may be lost.
    pub lossy: bool,
    /// What has to show that the node that leads takes no writes, where it cannot be looked at.
    pub assurance: Assurance,
}

/// What has to show that a node takes no writes that its platform cannot look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Assurance {
    /// Its platform proves it.
    #[default]
    Proof,
    /// A person attests that the machine it ran on is off.
    Attested,
    /// Nothing: a person accepts that it may take writes, and that they are lost.
    Waived,
}

impl ElectionRequest {
    /// Returns whether somebody says which node's writes are kept, whatever that loses.
    pub(crate) fn settles(&self) -> bool {
        self.kind == ElectionKind::Failover && self.lossy && self.to.is_some()
    }
}

/// Whether the node that leads serves, or is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionKind {
    /// It serves, and is shut down in order.
    Switchover,
    /// It is lost, and is killed to be sure.
    Failover,
}

/// A plan, and everything that is wrong with making it. With an error among the diagnostics the plan must not run.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The record as it will be when every step is done, where it can be told now.
    pub after: State,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
    /// What the configuration could not be compared with: it may differ, whatever the plan says.
    pub not_compared: Vec<NotCompared>,
    /// What differs from the record, and the plan leaves as it is.
    pub found: Vec<Finding>,
    /// What differs and is no attribute of the record, by object: see [`Differing`].
    pub differing: Differing,
}

/// Makes the plan that leads from what is there to what is declared. Same inputs, same plan.
pub fn plan(inputs: Inputs<'_>) -> Planned {
    plan_within(inputs, &Scope::default())
}

/// Makes the plan of a part of what is declared.
pub fn plan_within(inputs: Inputs<'_>, scope: &Scope) -> Planned {
    let mut planned = plan_of(inputs, scope);
    let mut triggered = triggered::triggered(&planned, inputs);
    let warnings = std::mem::take(&mut triggered.warnings);
    if let Some(proposal) = triggered.beside(inputs.proposal) {
        let proposal = Some(&proposal);
        planned = plan_of(Inputs { proposal, ..inputs }, scope);
    }
    planned.diagnostics.extend(warnings);
    planned
}

/// Makes the plan of what is declared and asked for.
fn plan_of(inputs: Inputs<'_>, scope: &Scope) -> Planned {
    let mut diagnostics = scope.diagnostics(inputs.desired, inputs.recorded);
    let confined = (!scope.is_everything()).then(|| scope::confine(inputs.desired, inputs.recorded, scope));
    let (mut before, mut notes) = before::before(inputs.recorded, inputs.observed);
    let desired = ignored::kept(confined.as_ref().unwrap_or(inputs.desired), &before);
    let inputs = Inputs {
        desired: &desired,
        ..inputs
    };
    let observed = imports::observed(inputs);
    let inputs = Inputs {
        observed: observed.as_ref().unwrap_or(inputs.observed),
        ..inputs
    };
    let mut not_compared = compared::not_compared(inputs);
    not_compared.retain(|not_compared| scope.contains(&not_compared.address));
    let unusable = Unusable::of(inputs);
    // Errors are told after what is wrong with the platforms, which may have brought them about.
    let place = diagnostics.len();
    diagnostics.extend(refused::unplanned(inputs));
    diagnostics.extend(refused::taken(inputs));
    diagnostics.extend(refused::fixed(inputs));
    diagnostics.extend(refused::unlimited(inputs));
    diagnostics.extend(refused::shrinking(&before, inputs));
    let (intended, found) = intend::intend(inputs, &before);
    diagnostics.extend(found);
    let mut strays = engine::strays(inputs, &intended);
    strays.retain(|finding| scope.contains(&finding.address));
    let differing = differing::differing(inputs, &before, &intended);
    before::remember(&mut before, inputs.recorded, &intended);
    diagnostics.extend(refused::protected(&before, inputs));
    notes.extend(notes::notes(inputs, &before, &intended));
    diagnostics.extend(imports::refusals(inputs));
    let refused = |diagnostics, after| Planned {
        plan: Plan::default(),
        after,
        diagnostics,
        not_compared: not_compared.clone(),
        found: strays.clone(),
        differing: differing.clone(),
    };
    if unusable.is_all() || diagnostics.iter().any(Diagnostic::is_error) {
        diagnostics.splice(place..place, unusable.errors());
        return refused(diagnostics, before);
    }
    let drafts = scope.narrow(lower::lower(inputs, &before, &intended));
    let mut steps = match order::order(drafts, &before, &intended, inputs.desired) {
        Ok(steps) => steps,
        Err(diagnostic) => return refused(vec![diagnostic], before),
    };
    diagnostics.splice(place..place, unusable.judged(&steps, &before));
    if diagnostics.iter().any(Diagnostic::is_error) {
        return refused(diagnostics, before);
    }
    // Made last: what it takes to put thousands of steps in order is gone by then, and a plan of them is large.
    steps.shrink_to_fit();
    let mut changes = diff::diff(&before, &intended, inputs.desired);
    scope.keep_changes(&mut changes, &steps);
    if inputs.proposal.is_none() && scope.is_everything() {
        diagnostics.extend(refused::not_mended(&intended, &steps));
    }
    // The rest needs what came of it alone.
    drop(intended);
    diff::explain(&mut changes, &steps);
    let plan = Plan {
        format: FORMAT,
        moves: Vec::new(),
        changes,
        steps,
        notes,
    };
    diagnostics.extend(check::check(&plan));
    Planned {
        after: fold(before, &plan),
        plan,
        diagnostics,
        not_compared,
        found: strays,
        differing,
    }
}

/// Returns the record after all steps. What only a step can find out stays out of it.
fn fold(mut state: State, plan: &Plan) -> State {
    for step in &plan.steps {
        state.apply(&step.delta, &Outputs::default());
    }
    state
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;
