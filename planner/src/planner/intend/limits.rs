//! Settings that replay depends on: where a node gets less of one than it has, and which standbys lack one.

use simdb_state::address::NodeAddress;
use simdb_state::object::State;

use crate::engine::NodeContext;
use crate::engine::conf;
use crate::engine::replay::ReplayLimits;
use crate::observed::Observation;
use crate::planner::intended::{Intended, Lacking, Limits};
use crate::planner::{Inputs, before};

/// Compares what each node has with what it gets, and what each standby has with what its control data ask for.
pub(super) fn limits(inputs: Inputs<'_>, before: &State, intended: &Intended) -> Limits {
    let mut limits = Limits::default();
    for (name, cluster) in &intended.clusters {
        for (address, node) in intended.nodes_of(name) {
            let has = has(inputs, before, intended, address);
            let gets = gets(intended, address);
            if has.zip(gets).is_some_and(|(has, gets)| has.exceeds(&gets)) {
                limits.lowered.insert(name.clone());
                if intended.running_primary(name).is_none() && node.role.follows().is_some() {
                    limits.waiting.insert(address.clone());
                }
            }
            let server = before::server(inputs.observed, address).filter(|server| server.in_recovery);
            let Some((server, needs)) = server.and_then(|server| Some((server, server.needs?))) else {
                continue;
            };
            let own = ReplayLimits::of(cluster.cluster.version, &server.configured);
            let settings = needs.above(&own);
            if !settings.is_empty() {
                limits.lacking.insert(address.clone(), Lacking { settings, needs });
            }
        }
    }
    limits
}

/// Returns what a server has: as it says, as its control data say where it is down, else as is recorded.
fn has(inputs: Inputs<'_>, before: &State, intended: &Intended, node: &NodeAddress) -> Option<ReplayLimits> {
    let version = intended.clusters.get(&node.cluster)?.cluster.version;
    if let Some(server) = before::server(inputs.observed, node) {
        return Some(ReplayLimits::of(version, &server.configured));
    }
    let facts = inputs.observed.nodes.get(node).and_then(Observation::seen);
    if let Some(control) = facts.and_then(|facts| facts.control.seen()) {
        return Some(control.limits);
    }
    let recorded = before.nodes.get(node).filter(|node| node.data.is_some())?;
    let context = NodeContext {
        parameters: &recorded.parameters,
        ..context(intended, node)?
    };
    Some(ReplayLimits::of(version, &conf::settings(&context)))
}

/// Returns what a server is to have.
fn gets(intended: &Intended, node: &NodeAddress) -> Option<ReplayLimits> {
    let context = context(intended, node)?;
    Some(ReplayLimits::of(context.version, &conf::settings(&context)))
}

fn context<'a>(intended: &'a Intended, node: &'a NodeAddress) -> Option<NodeContext<'a>> {
    let cluster = intended.clusters.get(&node.cluster)?;
    Some(intended.context(node, intended.nodes.get(node)?, cluster))
}
