//! What keeps a plan from being made, whatever its clusters should be.

use std::collections::BTreeSet;

use simdb_state::address::{Address, DatabaseAddress, InstanceAddress, NodeAddress};
use simdb_state::name::{ClusterName, NetworkName, PlatformName};
use simdb_state::object::{Cluster, State};
use simdb_state::relocation::Move;

use super::intended::{Intended, IntendedCluster};
use super::{Inputs, before};
use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::engine::{self, settings};
use crate::observed::{Observation, Observed};
use crate::plan::Step;

/// Clusters of an engine that this version of simdb knows by name alone. Only the record can hold one: a later version made it.
pub(super) fn unplanned(inputs: Inputs<'_>) -> Vec<Diagnostic> {
    let clusters = inputs.recorded.clusters.iter();
    let foreign = clusters.filter(|(_, cluster)| !engine::is_planned(cluster.engine));
    let refusal = |(name, cluster): (&ClusterName, &Cluster)| {
        let engine = engine::title(cluster.engine);
        let detail = format!(
            "Cluster {name} on record runs {engine}, for which this version of simdb makes no plans. Use the version that made the \
             cluster."
        );
        let diagnostic = Diagnostic::error("Engine cannot be planned", detail);
        match inputs.desired.clusters.get(name) {
            Some(spec) => diagnostic.at(spec.spans.cluster.clone()),
            None => diagnostic,
        }
    };
    foreign.map(refusal).collect()
}

/// Limits of servers on a platform that cannot hold them.
pub(super) fn unlimited(inputs: Inputs<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for spec in inputs.desired.clusters.values() {
        let mut told: BTreeSet<&PlatformName> = BTreeSet::new();
        for node in spec.nodes.values().filter(|node| !node.resources.is_unlimited()) {
            let platform = spec.platform_of(node);
            let reason = inputs.observed.platform(platform).unlimited.as_ref();
            if let Some(reason) = reason.filter(|_| told.insert(platform)) {
                let span = node.resources_span.as_deref().unwrap_or(&node.span);
                let diagnostic = Diagnostic::error("Servers cannot be limited there", reason);
                diagnostics.push(diagnostic.at(span.clone()));
            }
        }
    }
    diagnostics
}

/// Volumes that are declared smaller than they are: they stay as they are.
pub(super) fn shrinking(before: &State, inputs: Inputs<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (name, spec) in &inputs.desired.clusters {
        for (node, node_spec) in &spec.nodes {
            let address = NodeAddress {
                cluster: name.clone(),
                node: node.clone(),
            };
            let has = before.nodes.get(&address).and_then(|node| node.resources.storage);
            let (Some(has), Some(wanted)) = (has, node_spec.resources.storage) else {
                continue;
            };
            if has > wanted {
                let (has, wanted) = (settings::show_bytes(has), settings::show_bytes(wanted));
                let detail = format!(
                    "The volume of {address} has {has}, and none gets smaller than it is, so that it stays. Declare storage = \"{has}\" in place \
                     of \"{wanted}\", or make the node anew under another name."
                );
                let span = node_spec.resources_span.as_deref().unwrap_or(&node_spec.span);
                diagnostics.push(Diagnostic::warning("Volume does not get smaller", detail).at(span.clone()));
            }
        }
    }
    diagnostics
}

/// What would be made where something else is that was moved away: its platform knows that by the same address.
pub(super) fn taken(inputs: Inputs<'_>) -> Vec<Diagnostic> {
    let Inputs { desired, recorded, .. } = inputs;
    if recorded.made_as.is_empty() {
        return Vec::new();
    }
    let (declared, there) = (desired.addresses(), recorded.addresses());
    let by_place = recorded.made_as.iter().map(|(instance, made_as)| (made_as, instance));
    let refusal = |(made_as, instance): (&InstanceAddress, &InstanceAddress)| {
        let address = Address::from(made_as.clone());
        let is_new = declared.contains(&address) && !there.contains(&address);
        is_new.then(|| {
            let detail = format!(
                "{instance} was {made_as} before it moved, and still has the place of that name on its platform. Give what is new \
                 another name."
            );
            let diagnostic = Diagnostic::error("Place is taken", detail);
            match desired.declaration(&address) {
                Some(span) => diagnostic.at(span.clone()),
                None => diagnostic,
            }
        })
    };
    by_place.filter_map(refusal).collect()
}

/// Networks that moved, and that their platform knows by the name that they had.
pub(super) fn fixed(inputs: Inputs<'_>) -> Vec<Diagnostic> {
    let is_there = |name: &NetworkName| {
        let network = inputs.observed.networks.get(name);
        network.and_then(Observation::seen).is_some()
    };
    let refusal = |moved: &Move| match (&moved.from, &moved.to) {
        (Address::Network(from), Address::Network(to)) if is_there(from) && !is_there(to) => {
            let detail = format!(
                "The platform of network.{from} knows it by that name, with all servers that are in it. Declare it by that name again, \
                 and remove the moved block."
            );
            Some(Diagnostic::error("Network cannot move", detail))
        }
        _ => None,
    };
    inputs.desired.moved.iter().filter_map(refusal).collect()
}

/// What may not be destroyed, and would be. The record holds the protection, so that deleting the block does not lift it. A
/// cluster is protected with its databases; what goes with a protected cluster is not told again.
pub(super) fn protected(before: &State, inputs: Inputs<'_>) -> Vec<Diagnostic> {
    let goes = |address: &Address| !declares(inputs.desired, address);
    let cluster = |name: &ClusterName| Address::Cluster(name.clone());
    let keeps = |name: &ClusterName| before.clusters.get(name).is_some_and(|cluster| cluster.prevent_destroy);
    let stays = |name: &ClusterName| !keeps(name) || !goes(&cluster(name));
    let clusters = before
        .clusters
        .keys()
        .filter(|name| keeps(name))
        .map(|name| (cluster(name), None));
    let nodes = before.nodes.iter().filter(|(_, node)| node.prevent_destroy);
    let nodes = nodes.map(|(address, _)| (Address::from(address.clone()), None));
    let databases = before.databases.iter().filter(|(address, database)| {
        (database.prevent_destroy || keeps(&address.cluster)) && !is_gone(address, before, inputs.observed)
    });
    let databases = databases.map(|(address, database)| {
        let by = (!database.prevent_destroy).then(|| cluster(&address.cluster));
        (Address::from(address.clone()), by)
    });
    let within = nodes.chain(databases);
    let within = within.filter(|(address, _)| address.cluster().is_some_and(stays));
    let all = clusters
        .chain(within)
        .filter(|(address, _)| goes(address) && !inputs.desired.forgets(address));
    all.map(|(address, by)| refusal(&address, by.as_ref())).collect()
}

/// Returns whether something is declared that can be protected: a cluster, a node or a database.
fn declares(desired: &Desired, address: &Address) -> bool {
    let cluster = address.cluster().and_then(|name| desired.clusters.get(name));
    cluster.is_some_and(|cluster| match address {
        Address::Node(node) => cluster.nodes.contains_key(&node.node),
        Address::Database(database) => cluster.access.databases.contains_key(&database.database),
        _ => true,
    })
}

/// Returns whether a database is known to be gone: forgetting it destroys nothing.
fn is_gone(address: &DatabaseAddress, before: &State, observed: &Observed) -> bool {
    let server = before::primary_server(before, observed, &address.cluster);
    server.is_some_and(|server| !server.databases.contains_key(address.database.as_str()))
}

fn refusal(address: &Address, by: Option<&Address>) -> Diagnostic {
    let mut kind = address.kind().to_owned();
    kind[..1].make_ascii_uppercase();
    let detail = match by {
        None => format!(
            "{address} has lifecycle.prevent_destroy set, and the plan would destroy it. To destroy it, set prevent_destroy = \
             false in its lifecycle block, apply, and then remove it."
        ),
        Some(by) => format!(
            "{by} has lifecycle.prevent_destroy set, which covers its databases, and the plan would destroy {address}. To destroy \
             it, set prevent_destroy = false in the lifecycle block of {by}, apply, and then remove it."
        ),
    };
    Diagnostic::error(format!("{kind} is protected"), detail)
}

/// Nodes that `primary` names and that cannot take over, of clusters in which the plan mends nothing.
pub(super) fn not_mended(intended: &Intended, steps: &[Step]) -> Vec<Diagnostic> {
    let mended: BTreeSet<&ClusterName> = steps.iter().filter_map(|step| step.address.cluster()).collect();
    let left = intended.clusters.iter().filter(|(name, _)| !mended.contains(name));
    let refusal = |(_, cluster): (_, &IntendedCluster)| Some(cluster.postponed.as_ref()?.refusal.clone());
    left.filter_map(refusal).collect()
}
