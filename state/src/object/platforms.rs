//! Which platforms the parts of a record are on.

use std::collections::BTreeSet;

use super::{Network, Node, State};
use crate::address::NodeAddress;
use crate::name::{ClusterName, PlatformName};
use crate::place::HostPort;

impl Network {
    /// Returns the platforms that have a part of it.
    pub fn platforms(&self) -> impl Iterator<Item = &PlatformName> {
        std::iter::once(&self.platform).chain(&self.also_on)
    }
}

impl Node {
    /// Returns where a node of the same cluster reaches its server, given the platform of that node where it is not the one of the
    /// cluster.
    pub fn reached_from(&self, platform: Option<&PlatformName>) -> Option<HostPort> {
        let place = self.place.clone()?;
        Some(if self.platform.as_ref() == platform {
            place.peers
        } else {
            place.from_elsewhere().peers
        })
    }
}

impl State {
    /// Returns the platform of a node whose server was placed on one.
    pub fn platform(&self, address: &NodeAddress) -> Option<&PlatformName> {
        let node = self.nodes.get(address).filter(|node| node.place.is_some())?;
        self.platform_of(address, node)
    }

    /// Returns the platforms that the servers of a cluster are on, with the one of the cluster itself.
    pub fn platforms_of<'a>(&'a self, cluster: &'a ClusterName) -> BTreeSet<&'a PlatformName> {
        let nodes = self.nodes_of(cluster).filter_map(|(_, node)| node.platform.as_ref());
        let own = self.clusters.get(cluster).map(|cluster| &cluster.platform);
        nodes.chain(own).collect()
    }

    fn platform_of<'a>(&'a self, address: &NodeAddress, node: &'a Node) -> Option<&'a PlatformName> {
        let own = || Some(&self.clusters.get(&address.cluster)?.platform);
        node.platform.as_ref().or_else(own)
    }
}
