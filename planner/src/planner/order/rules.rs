//! What each kind of step waits for.

mod access;
mod role;
mod sync;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{self, EndpointAddress, NodeAddress};
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::State;

use super::index::{Index, is_astray};
use crate::plan::Action;
use crate::planner::intended::Intended;
use crate::planner::lower::Draft;

/// What the rules look at.
pub(crate) struct Rules<'a> {
    pub(crate) index: Index,
    pub(crate) before: &'a State,
    pub(crate) intended: &'a Intended,
    pub(super) verify: BTreeMap<ClusterName, usize>,
    /// The steps that drop a slot and keep the record of its node.
    pub(crate) left: BTreeSet<usize>,
    /// The node that is given other parameters just before another one.
    pub(super) rolling: BTreeMap<NodeAddress, usize>,
}

impl Rules<'_> {
    /// Returns what one step waits for.
    pub(super) fn waits_for(&self, draft: &Draft) -> Vec<usize> {
        let serves = |node: &NodeAddress| self.index.serves.get(node).copied();
        let index = &self.index;
        match &draft.action {
            Action::Network { .. } | Action::Elect { .. } | Action::Degrade { .. } | Action::DropSeed { .. } => {
                Vec::new()
            }
            Action::Cluster { cluster } => self.network_of(cluster).into_iter().collect(),
            Action::Primary { server, .. } => self
                .network_of(&server.node.cluster)
                .into_iter()
                .chain(index.stop.get(&server.node).copied())
                .collect(),
            Action::Fence { server, .. } => {
                let mut waits = self.before_the_pause(&server.node);
                waits.extend(index.pause.get(&server.node.cluster).into_iter().flatten());
                waits
            }
            Action::DropEndpoint { endpoint, .. } => index.drop_pooler.get(endpoint).copied().into_iter().collect(),
            Action::Promote { server, .. } => self.promote(&server.node),
            // Streams get another password before anybody moves.
            Action::ReplicationUser { server, streams, .. } if streams.is_empty() => {
                serves(&server.node).into_iter().collect()
            }
            Action::ReplicationUser { server, .. } => index.up.get(&server.node).copied().into_iter().collect(),
            Action::User { .. } | Action::Database { .. } | Action::Seed { .. } => self.access(&draft.action),
            // Standbys of a cluster that stops receive the primary's last words before they stop too.
            Action::Stop { node } => self
                .upstream(node)
                .and_then(|upstream| index.stop.get(&upstream).copied())
                .into_iter()
                .chain(self.leaving(node))
                .chain(self.asked_by(node).filter(|_| !is_astray(draft)))
                .chain(index.elect.get(&node.cluster).copied().filter(|_| is_astray(draft)))
                .collect(),
            Action::Follow { server, upstream, .. } => [
                index.slot.get(&server.node).copied(),
                index.replication_user.get(&server.node.cluster).copied(),
                index.starts.get(&server.node).copied(),
                self.asked_by(&server.node),
                self.loosened(&server.node),
                self.waited_for(&server.node),
                serves(&upstream.node),
            ]
            .into_iter()
            .flatten()
            .chain(self.moves_above(&server.node))
            .collect(),
            Action::Clone { node, .. } | Action::Rejoin { node, .. } => [
                index.stop.get(node).copied(),
                index.slot.get(node).copied(),
                index.replication_user.get(&node.cluster).copied(),
                self.asked_by(node),
                self.upstream(node).and_then(|upstream| serves(&upstream)),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Action::Join { server, upstream, .. } => [
                index.stop.get(&server.node).copied(),
                index.data.get(&server.node).copied(),
                index.slot.get(&server.node).copied(),
                index.replication_user.get(&server.node.cluster).copied(),
                self.asked_by(&server.node),
                serves(&upstream.node),
                self.lowered(&server.node.cluster),
            ]
            .into_iter()
            .flatten()
            .chain(self.moves_above(&server.node))
            .collect(),
            // It is started to be shut down in order, or to lead.
            Action::Start {
                server,
                in_recovery: false,
                ..
            } => index.elect.get(&server.node.cluster).copied().into_iter().collect(),
            Action::Start { server, .. } => self
                .upstream(&server.node)
                .and_then(|upstream| serves(&upstream))
                .into_iter()
                .chain(index.slot.get(&server.node).copied())
                .chain(self.password_of(&server.node))
                .chain(self.lowered(&server.node.cluster))
                .collect(),
            Action::Configure { server, .. } => self.configure(&server.node),
            Action::Endpoint { endpoint, .. } => self.endpoint(endpoint),
            Action::Verify { cluster, .. } => index.builds.get(cluster).cloned().unwrap_or_default(),
            Action::Engine(action) => self.engine(action, draft),
            Action::DropNode { node } => self.drop_node(node),
            Action::DropUser { user, server } => self.drop_user(user, server.as_ref()),
            Action::DropDatabase { database, server } => self.drop_database(database, server.as_ref()),
            Action::DropCluster { cluster } => index.drops.get(cluster).cloned().unwrap_or_default(),
            Action::DropNetwork { .. } => {
                let moved = index.settings.values().copied();
                index.drop_clusters.iter().copied().chain(moved).collect()
            }
        }
    }

    /// Clients are to find a new primary as soon as there is one; those that are to replay come back later.
    fn endpoint(&self, endpoint: &EndpointAddress) -> Vec<usize> {
        if let Some(pooler) = self.index.pooler.get(endpoint) {
            return vec![*pooler];
        }
        if let Some((_, promote)) = self.index.promote.get(&endpoint.cluster) {
            return vec![*promote];
        }
        let serves = |node: &NodeName| {
            let address = NodeAddress {
                cluster: endpoint.cluster.clone(),
                node: node.clone(),
            };
            self.index.serves.get(&address).copied()
        };
        let entry = self.intended.endpoints.get(endpoint);
        let nodes = entry.into_iter().flat_map(|entry| &entry.nodes);
        nodes.filter_map(serves).collect()
    }

    pub(crate) fn primary_serves(&self, cluster: &ClusterName) -> Option<usize> {
        self.index.serves.get(&self.intended.primary(cluster)?).copied()
    }

    fn network_of(&self, cluster: &ClusterName) -> Option<usize> {
        let cluster = &self.intended.clusters.get(cluster)?.cluster;
        self.index.network.get(&cluster.network).copied()
    }

    fn upstream(&self, node: &NodeAddress) -> Option<NodeAddress> {
        let follows = self.intended.nodes.get(node)?.role.follows()?;
        Some(NodeAddress {
            cluster: node.cluster.clone(),
            node: follows.clone(),
        })
    }

    fn node_drops<'a>(&'a self, cluster: &'a ClusterName) -> impl Iterator<Item = (&'a NodeAddress, usize)> {
        address::nodes_of(&self.index.drop_node, cluster).map(|(node, at)| (node, *at))
    }

    /// Returns what makes sure that everything is built: the proof of it where there is one.
    fn built(&self, cluster: &ClusterName) -> Vec<usize> {
        match self.verify.get(cluster) {
            Some(verify) => vec![*verify],
            None => self.index.builds.get(cluster).cloned().unwrap_or_default(),
        }
    }

    /// One server after the other is given other settings, each with everything that it needs to come back.
    fn configure(&self, node: &NodeAddress) -> Vec<usize> {
        let index = &self.index;
        [
            self.asked_by(node),
            self.without_lost(&node.cluster),
            self.rolling.get(node).copied(),
            index.rotation.get(&node.cluster).copied(),
        ]
        .into_iter()
        .flatten()
        .chain(self.replays_for_less(node))
        .collect()
    }

    /// The steps after which a standby can stream that is to replay until its log asks for less.
    fn replays_for_less(&self, node: &NodeAddress) -> impl Iterator<Item = usize> {
        let lowered = self.intended.limits.lowered.contains(&node.cluster);
        let upstream = self.upstream(node).filter(|_| lowered);
        let serves = upstream.and_then(|upstream| self.index.serves.get(&upstream).copied());
        let slot = self.index.slot.get(node).copied().filter(|_| lowered);
        serves.into_iter().chain(slot)
    }

    /// The step that gives the primary less of what replay depends on: a standby that starts after it gets less at once.
    fn lowered(&self, cluster: &ClusterName) -> Option<usize> {
        self.intended.limits.lowered.get(cluster)?;
        let primary = self.intended.primary(cluster)?;
        self.index.configure.get(&primary).copied()
    }

    /// A standby that starts is to find the password it streams with.
    fn password_of(&self, node: &NodeAddress) -> Option<usize> {
        self.upstream(node)?;
        self.index.rotation.get(&node.cluster).copied()
    }

    /// Whoever stands above a node streams from where it should first, so that nobody follows a circle.
    fn moves_above(&self, node: &NodeAddress) -> impl Iterator<Item = usize> {
        let above = std::iter::successors(self.upstream(node), |node| self.upstream(node));
        above.filter_map(|node| self.index.moves.get(&node).copied())
    }

    /// A node goes after everything that is built, after the proof that the rest does without it, after the endpoints
    /// that led to it, and after the nodes that stream from it.
    fn drop_node(&self, node: &NodeAddress) -> Vec<usize> {
        let index = &self.index;
        let cluster = &node.cluster;
        let leads = self
            .before
            .elections
            .get(cluster)
            .is_some_and(|election| election.primary == node.node);
        let others = leads.then(|| self.node_drops(cluster)).into_iter().flatten();
        let followers = others.filter(|(other, _)| *other != node).map(|(_, at)| at);
        let endpoints = index.drop_endpoints.get(cluster).cloned().unwrap_or_default();
        followers.chain(self.built(cluster)).chain(endpoints).collect()
    }
}
