//! Standbys whose data is copied anew because something changes that they name: `replace_triggered_by`.

use std::collections::BTreeMap;

use simdb_state::address::NodeAddress;
use simdb_state::object::{Node, Role};

use super::{Inputs, Planned, Proposal};
use crate::desired::{NodeSpec, Trigger};
use crate::diagnostic::Diagnostic;
use crate::plan::{Change, ChangeAction};

/// What a plan makes of the triggers.
#[derive(Debug, Default)]
pub(super) struct Triggered {
    /// The standbys, each with the reason.
    pub(super) standbys: BTreeMap<NodeAddress, String>,
    /// What is said of primaries, whose data cannot be copied from another node.
    pub(super) warnings: Vec<Diagnostic>,
}

impl Triggered {
    /// Returns what a command asks for and this beside it. Who moves roles or stops servers asks for that alone.
    pub(super) fn beside(self, proposal: Option<&Proposal>) -> Option<Proposal> {
        let named = match proposal {
            None => BTreeMap::new(),
            Some(Proposal::Resync(named)) => named.clone(),
            Some(Proposal::Power { .. } | Proposal::Election(_) | Proposal::Destroy) => return None,
        };
        let is_more = self.standbys.keys().any(|standby| !named.contains_key(standby));
        is_more.then(|| Proposal::Resync(self.standbys.into_iter().chain(named).collect()))
    }
}

/// Returns the nodes that name something that a plan changes. One that has no data yet gets new data anyway.
pub(super) fn triggered(planned: &Planned, inputs: Inputs<'_>) -> Triggered {
    let mut triggered = Triggered::default();
    for (cluster, spec) in &inputs.desired.clusters {
        for (name, node) in spec.nodes.iter().filter(|(_, node)| !node.triggers.is_empty()) {
            let address = NodeAddress {
                cluster: cluster.clone(),
                node: name.clone(),
            };
            let recorded = inputs.recorded.nodes.get(&address);
            let Some(recorded) = recorded.filter(|recorded| recorded.data.is_some()) else {
                continue;
            };
            let Some((trigger, change)) = cause(node, &planned.plan.changes) else {
                continue;
            };
            // One that the plan promotes must keep what it has.
            if is_primary(recorded) || planned.after.node(&address).is_some_and(is_primary) {
                triggered.warnings.push(of_primary(&address, trigger, change));
            } else {
                let reason = format!("replace_triggered_by names {}, which changes", change.address);
                triggered.standbys.insert(address, reason);
            }
        }
    }
    triggered
}

fn is_primary(node: &Node) -> bool {
    matches!(node.role, Some(Role::Primary { .. }))
}

/// Returns the first change that a node names.
fn cause<'a>(node: &'a NodeSpec, changes: &'a [Change]) -> Option<(&'a Trigger, &'a Change)> {
    let pairs = node
        .triggers
        .iter()
        .flat_map(|trigger| changes.iter().map(move |change| (trigger, change)));
    let mut fired = pairs.filter(|(trigger, change)| fires(trigger, change));
    fired.next()
}

/// Returns whether something is changed that was there before and stays.
fn fires(trigger: &Trigger, change: &Change) -> bool {
    change.action == ChangeAction::Update
        && trigger.covers(&change.address)
        && change
            .attributes
            .iter()
            .any(|attribute| trigger.names(&attribute.name) && attribute.before != attribute.after)
}

fn of_primary(address: &NodeAddress, trigger: &Trigger, change: &Change) -> Diagnostic {
    let detail = format!(
        "{} changes, for which the data of {address} would be copied anew. {} leads, or comes to lead, and the others are \
         copied from it, so it stays as it is.",
        change.address, address.node
    );
    Diagnostic::warning("Primary is not replaced", detail).at(trigger.span.clone())
}
