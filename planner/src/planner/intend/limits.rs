//! Settings that replay depends on: where a node gets less of one than it has, and which standbys lack one.

use simdb_state::address::NodeAddress;
use simdb_state::object::State;

use crate::diagnostic::Diagnostic;
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

/// Returns a diagnostic for each standby that is declared to have less than the primary whose log it replays. What the plan
/// makes so is refused; where it is so already it is told, as a failover may have led there and must not be in the way.
pub(super) fn below_primary(inputs: Inputs<'_>, before: &State, intended: &Intended) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (name, spec) in &inputs.desired.clusters {
        let Some(primary) = intended.primary(name) else {
            continue;
        };
        let Some(of_primary) = declared(inputs, intended, &primary) else {
            continue;
        };
        for (address, node) in intended.nodes_of(name) {
            let own = declared(inputs, intended, address).filter(|_| node.role.follows().is_some());
            let Some(own) = own.filter(|own| of_primary.exceeds(own)) else {
                continue;
            };
            let values = |limits: &ReplayLimits| {
                let pairs = of_primary.above(&own).into_iter();
                let pairs = pairs.filter_map(|name| Some(format!("{name} = {}", limits.value(name)?)));
                pairs.collect::<Vec<_>>().join(", ")
            };
            let detail = format!(
                "{address} has {}, and {primary}, which leads, has {}. A standby that has less of these than the server whose log it \
                 replays pauses its replay. Give all nodes the same: set parameters in the engine block of cluster \"{name}\".",
                values(&own),
                values(&of_primary)
            );
            let stays = |node: &NodeAddress| {
                let recorded = before.nodes.get(node).map(|node| &node.parameters);
                recorded == spec.nodes.get(&node.node).map(|spec| &spec.parameters)
            };
            let title = "Standby has less than its primary";
            let diagnostic = if inputs.proposal.is_some() || (stays(address) && stays(&primary)) {
                Diagnostic::warning(title, detail)
            } else {
                Diagnostic::error(title, detail)
            };
            let at = spec.nodes.get(&address.node).map(|spec| spec.span.clone());
            diagnostics.extend(at.map(|at| diagnostic.at(at)));
        }
    }
    diagnostics
}

/// Returns what a node is declared to have, also where a plan gives it that later.
fn declared(inputs: Inputs<'_>, intended: &Intended, node: &NodeAddress) -> Option<ReplayLimits> {
    let spec = inputs.desired.clusters.get(&node.cluster)?.nodes.get(&node.node)?;
    intended.nodes.get(node)?;
    Some(ReplayLimits::with_parameters(
        version(intended, node)?,
        &spec.parameters,
    ))
}

/// Returns what a server has: as it says, as its control data say where it is down, else as is recorded.
fn has(inputs: Inputs<'_>, before: &State, intended: &Intended, node: &NodeAddress) -> Option<ReplayLimits> {
    let version = version(intended, node)?;
    if let Some(server) = before::server(inputs.observed, node) {
        return Some(ReplayLimits::of(version, &server.configured));
    }
    let facts = inputs.observed.nodes.get(node).and_then(Observation::seen);
    if let Some(control) = facts.and_then(|facts| facts.control.seen()) {
        return Some(control.limits);
    }
    let recorded = before.nodes.get(node).filter(|node| node.data.is_some())?;
    Some(ReplayLimits::with_parameters(version, &recorded.parameters))
}

/// Returns what a server is to have.
fn gets(intended: &Intended, node: &NodeAddress) -> Option<ReplayLimits> {
    let parameters = &intended.nodes.get(node)?.parameters;
    Some(ReplayLimits::with_parameters(version(intended, node)?, parameters))
}

fn version(intended: &Intended, node: &NodeAddress) -> Option<u16> {
    Some(intended.clusters.get(&node.cluster)?.cluster.version)
}
