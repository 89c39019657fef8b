//! The pipeline from facts to plan, one stage a module:
//!
//! ```text
//!   before ─► intend ─► diff ─► [Change]
//!      │         └────► lower ─► order ─► check ─► Plan
//!      └── recorded, corrected by what was observed
//! ```

mod astray;
mod before;
mod candidate;
mod check;
mod compared;
mod contradiction;
mod diff;
mod drift;
mod intend;
mod last_run;
mod lower;
mod order;
mod ports;
mod untried;
mod versions;

use std::collections::BTreeSet;

use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::instance::LOOPBACK;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Damage, Power, Role, State};

use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::engine::postgresql::instance::{REPLICATION_USER, user};
use crate::observed::{Observed, PlatformProblem};

pub use self::untried::untried;
use crate::plan::{FORMAT, Plan};

pub use compared::NotCompared;
pub use ports::DEFAULT_RANGE;

use intend::{DataGoal, Intended, IntendedNode};

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What the configuration declares; empty when everything is to be destroyed.
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
    /// Bring a node's data in line with the primary's again, whatever it holds.
    Resync(NodeAddress),
    /// Remove everything, whatever is declared.
    Destroy,
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
}

/// Makes the plan that leads from what is there to what is declared. Same inputs, same plan.
pub fn plan(inputs: Inputs<'_>) -> Planned {
    Planned {
        not_compared: compared::not_compared(inputs),
        ..planned(inputs)
    }
}

fn planned(inputs: Inputs<'_>) -> Planned {
    let mut diagnostics = unusable(inputs);
    let mut notes = Vec::new();
    let mut before = before::before(inputs.recorded, inputs.observed, &mut notes);
    let intended = intend::intend(inputs, &before, &mut diagnostics);
    before::remember(&mut before, inputs.recorded, &intended);
    diagnostics.extend(protected(&before, inputs.desired));
    notes.extend(held(&intended, &before));
    notes.extend(intend::replication::notes(&intended));
    notes.extend(damaged(&intended, &before));
    notes.extend(given_up(inputs, &intended));
    notes.extend(pins(inputs.desired, &intended));
    notes.extend(later(inputs, &intended, &before));
    notes.extend(intend::adopted(&before, &intended, inputs.observed));
    notes.extend(intend::replication::ignored(inputs.desired, &intended));
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Planned {
            diagnostics,
            after: before,
            ..Planned::default()
        };
    }
    let mut changes = diff::diff(&before, &intended);
    let drafts = lower::lower(inputs, &before, &intended);
    let mut steps = match order::order(drafts, &before, &intended, inputs.desired) {
        Ok(steps) => steps,
        Err(diagnostic) => {
            return Planned {
                diagnostics: vec![diagnostic],
                after: before,
                ..Planned::default()
            };
        }
    };
    // The rest needs what came of it alone, and a plan of thousands of nodes is large.
    drop(intended);
    steps.shrink_to_fit();
    diff::explain(&mut changes, &steps);
    let plan = Plan {
        format: FORMAT,
        changes,
        steps,
        notes,
    };
    diagnostics.extend(check::check(&plan));
    let after = fold(before, &plan);
    Planned {
        plan,
        after,
        diagnostics,
        not_compared: Vec::new(),
    }
}

/// A platform that cannot be used is no obstacle to an empty configuration without a record.
fn unusable(inputs: Inputs<'_>) -> Vec<Diagnostic> {
    if inputs.desired.clusters.is_empty() && inputs.recorded.nodes.is_empty() {
        return Vec::new();
    }
    let spans = &inputs.desired.local.spans;
    let problems = inputs.observed.platform.problems.iter();
    let diagnostic = |problem: &PlatformProblem| {
        let diagnostic = Diagnostic::error("Platform cannot be used", &problem.detail);
        match problem.argument.and_then(|argument| spans.get(&argument)) {
            Some(span) => diagnostic.at(span.clone()).within("provider \"local\""),
            None => diagnostic,
        }
    };
    problems.map(diagnostic).collect()
}

/// Clusters that may not be destroyed, and would be. The record holds the protection, so that deleting the block does not
/// lift it.
fn protected(before: &State, desired: &Desired) -> Vec<Diagnostic> {
    let going = before
        .clusters
        .iter()
        .filter(|(name, cluster)| cluster.prevent_destroy && !desired.clusters.contains_key(*name));
    let refusal = |(name, _)| {
        Diagnostic::error(
            "Cluster is protected",
            format!(
                "cluster.{name} has lifecycle.prevent_destroy set, and the plan would destroy it. To destroy it, set \
                 prevent_destroy = false in its lifecycle block, apply, and then remove it."
            ),
        )
    };
    going.map(refusal).collect()
}

/// Clusters that another node leads than the one their configuration names: only an edit or a command moves the lead.
fn pins(desired: &Desired, intended: &Intended) -> Vec<String> {
    let pinned = desired
        .clusters
        .iter()
        .filter_map(|(name, spec)| Some((name, spec.primary.as_ref()?)));
    let note = |(name, pin): (&ClusterName, &NodeName)| {
        let leads = &intended.clusters.get(name)?.election.primary;
        (leads != pin).then(|| {
            format!(
                "cluster.{name} is led by {leads}, since the lead was moved there, and its configuration says primary = \
                 \"{pin}\". To keep it so, set primary = \"{leads}\"; to move it back, run: simdb switchover {name} -to \
                 {pin}"
            )
        })
    };
    pinned.filter_map(note).collect()
}

/// What is declared and due with the next apply: one thing at a time.
fn later(inputs: Inputs<'_>, intended: &Intended, state: &State) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, spec) in &inputs.desired.clusters {
        let subnet = inputs.desired.subnet(spec);
        for (address, node) in intended.nodes_of(name) {
            let declared = spec.nodes.get(&address.node).and_then(|spec| spec.port);
            if let Some(port) = declared.filter(|port| *port != node.listen.port) {
                notes.push(format!(
                    "{address} stays on port {} while this plan runs, and moves to {port} with the next apply.",
                    node.listen.port
                ));
            }
            if !ports::belongs(subnet, node.listen.host) {
                let place = subnet.map_or_else(|| LOOPBACK.to_string(), |subnet| format!("an address of {subnet}"));
                notes.push(format!(
                    "{address} stays at {} while this plan runs, and moves to {place} with the next apply.",
                    node.listen.host
                ));
            }
            if before::is_halted(inputs.observed, address) && intended.restarts(address, state) {
                notes.push(format!(
                    "{address} was halted by a signal and goes on as it was; it is restarted for its other settings with the \
                     next apply."
                ));
            }
        }
        let declared = spec.access.replication_password_version.unwrap_or(1);
        let user = user(name, REPLICATION_USER);
        if intended
            .users
            .get(&user)
            .is_some_and(|user| user.password_version != declared)
        {
            notes.push(format!(
                "The password of {user} stays while this plan runs, and changes with the next apply."
            ));
        }
    }
    notes
}

/// Where a person says which branch of a cluster is kept: what each of them holds.
fn given_up(inputs: Inputs<'_>, intended: &Intended) -> Vec<String> {
    let Some(Proposal::Election(request)) = inputs.proposal else {
        return Vec::new();
    };
    let nodes = || inputs.recorded.nodes_of(&request.cluster);
    let torn = nodes().any(|(address, node)| astray::is_astray(address, Some(node), inputs.observed));
    match intended.primary(&request.cluster) {
        Some(kept) if request.settles() && torn => astray::notes(&kept, nodes(), inputs.observed),
        _ => Vec::new(),
    }
}

/// Nodes that keep data which a verification found to be different.
fn damaged(intended: &Intended, before: &State) -> Vec<String> {
    let note = |(address, node): (&NodeAddress, &IntendedNode)| {
        let Some(Damage::Differs(reason)) = &before.nodes.get(address)?.damage else {
            return None;
        };
        if !matches!(node.data, DataGoal::Keep(_)) {
            return None;
        }
        let (cluster, name) = (&address.cluster, &address.node);
        Some(match node.role {
            Role::Primary { .. } => format!(
                "{address} leads, and a verification found that it differs from all others ({reason}). Let another node \
                 lead with `simdb switchover {cluster}`, and then run: simdb resync {cluster} {name}"
            ),
            Role::Standby { .. } | Role::Fenced { .. } => format!(
                "A verification found that {address} differs from its primary ({reason}). It takes no lead until its data \
                 is made anew with: simdb resync {cluster} {name}"
            ),
        })
    };
    intended.nodes.iter().filter_map(note).collect()
}

fn held(intended: &Intended, before: &State) -> Vec<String> {
    let held = |address: &&NodeAddress| before.nodes.get(*address).is_some_and(|node| node.held);
    let stopped = intended
        .nodes
        .iter()
        .filter(|(_, node)| node.power == Power::Stopped)
        .map(|(address, _)| address);
    let note = |address: &NodeAddress| {
        format!(
            "{address} is stopped on request. To start it, run: simdb start {}.{}",
            address.cluster, address.node
        )
    };
    stopped.filter(held).map(note).collect()
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
mod tests;
