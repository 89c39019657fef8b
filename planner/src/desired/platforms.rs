//! Which platforms all that is declared is on.

use std::collections::BTreeSet;

use simdb_state::name::{ClusterName, NetworkName, PlatformName};

use super::{ClusterSpec, Desired, NodeSpec};

impl Desired {
    /// Returns the platform of a cluster, as far as it is declared.
    pub fn platform(&self, cluster: &ClusterName) -> Option<&PlatformName> {
        self.clusters.get(cluster).map(|cluster| &cluster.platform)
    }

    /// Returns the platforms beside its own that a network has a part on: those of the nodes in it.
    pub fn also_on(&self, name: &NetworkName) -> BTreeSet<PlatformName> {
        let own = self.networks.get(name).map(|network| &network.platform);
        let clusters = self.clusters.values().filter(|cluster| cluster.network == *name);
        let platforms = clusters.flat_map(ClusterSpec::platforms);
        platforms.filter(|platform| Some(*platform) != own).cloned().collect()
    }
}

impl ClusterSpec {
    /// Returns the platform of a node that is declared.
    pub fn platform_of<'a>(&'a self, node: &'a NodeSpec) -> &'a PlatformName {
        node.platform.as_ref().unwrap_or(&self.platform)
    }

    /// Returns the platforms that its nodes are on, with its own.
    pub fn platforms(&self) -> BTreeSet<&PlatformName> {
        let nodes = self.nodes.values().filter_map(|node| node.platform.as_ref());
        nodes.chain([&self.platform]).collect()
    }
}
