//! Which platforms all that is on record or declared is on.

use std::collections::{BTreeMap, BTreeSet};

use simdb_planner::desired::Desired;
use simdb_providers::platform::Known;
use simdb_state::address::NodeAddress;
use simdb_state::name::{NetworkName, PlatformName};
use simdb_state::object::{Node, State};

/// Returns the platform of every cluster and network: what is there stays where it is, whatever is declared.
pub(crate) fn platforms(recorded: &State, desired: &Desired) -> Known {
    let clusters = recorded.clusters.iter();
    let clusters = clusters.map(|(name, cluster)| (name.clone(), cluster.platform.clone()));
    let networks = recorded.networks.iter();
    let networks = networks.map(|(name, network)| (name.clone(), network.platform.clone()));
    let declared = desired.clusters.iter();
    let declared = declared.map(|(name, cluster)| (name.clone(), cluster.platform.clone()));
    let declared_networks = desired.networks.iter();
    let declared_networks = declared_networks.map(|(name, network)| (name.clone(), network.platform.clone()));
    Known {
        clusters: declared.chain(clusters).collect(),
        nodes: nodes_elsewhere(recorded, desired),
        networks: declared_networks.chain(networks).collect(),
        parts: parts(recorded, desired),
        placed: placed(recorded).map(|(address, _)| address.clone()).collect(),
        made_as: recorded.made_as.clone(),
    }
}

/// Returns the nodes whose server was placed on a platform.
fn placed(recorded: &State) -> impl Iterator<Item = (&NodeAddress, &Node)> {
    let nodes = recorded.nodes.iter().map(|(address, node)| (address, &**node));
    nodes.filter(|(_, node)| node.place.is_some())
}

/// Returns the platforms of the nodes that are not on that of their cluster: on record, else as they are declared.
fn nodes_elsewhere(recorded: &State, desired: &Desired) -> BTreeMap<NodeAddress, PlatformName> {
    let mut elsewhere = BTreeMap::new();
    for (cluster, spec) in &desired.clusters {
        let nodes = spec.nodes.iter();
        elsewhere.extend(nodes.filter_map(|(node, spec)| {
            let address = NodeAddress {
                cluster: cluster.clone(),
                node: node.clone(),
            };
            Some((address, spec.platform.clone()?))
        }));
    }
    for (address, node) in placed(recorded) {
        match &node.platform {
            Some(platform) => drop(elsewhere.insert(address.clone(), platform.clone())),
            None => drop(elsewhere.remove(address)),
        }
    }
    elsewhere
}

/// Returns the platforms beside their own that networks have parts on, or are to have.
fn parts(recorded: &State, desired: &Desired) -> BTreeMap<NetworkName, BTreeSet<PlatformName>> {
    let mut parts: BTreeMap<NetworkName, BTreeSet<PlatformName>> = BTreeMap::new();
    for (name, network) in &recorded.networks {
        parts
            .entry(name.clone())
            .or_default()
            .extend(network.also_on.iter().cloned());
    }
    for name in desired.networks.keys() {
        parts.entry(name.clone()).or_default().extend(desired.also_on(name));
    }
    parts.retain(|_, platforms| !platforms.is_empty());
    parts
}
