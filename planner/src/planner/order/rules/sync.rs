//! Whom commits wait for: tightened once a standby streams, loosened before one goes.

use simdb_state::address::NodeAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::{Node, Power, Role};

use super::Rules;
use crate::planner::intended::IntendedNode;

impl Rules<'_> {
    /// The step after which commits no longer wait for who was lost: files written later leave them out, too.
    pub(crate) fn without_lost(&self, cluster: &ClusterName) -> Option<usize> {
        self.index.degrade.get(cluster)?;
        let first = self.index.degraded.get(cluster).or(self.index.sync_names.get(cluster));
        first.copied()
    }

    /// The step after which no commit waits for a node any more, where it is to leave those that commits wait for.
    pub(crate) fn loosened(&self, node: &NodeAddress) -> Option<usize> {
        let sync = &self.intended.clusters.get(&node.cluster)?.sync;
        let stays = sync.standbys.contains(&node.node.identifier());
        self.index.sync_names.get(&node.cluster).copied().filter(|_| !stays)
    }

    /// Who stops on request, and not to make room for a start, first lets those go that wait for it or follow it.
    pub(crate) fn leaving(&self, node: &NodeAddress) -> Vec<usize> {
        let held = |intended: &IntendedNode| intended.power == Power::Stopped;
        if !self.intended.nodes.get(node).is_some_and(held) {
            return Vec::new();
        }
        let followed = |old: &Node| matches!(&old.role, Some(Role::Standby { follows }) if *follows == node.node);
        let moved = self
            .before
            .nodes_of(&node.cluster)
            .filter(|(other, old)| followed(old) && self.upstream(other).as_ref() != Some(node));
        let moved = moved.filter_map(|(other, _)| self.index.serves.get(other).copied());
        moved.chain(self.loosened(node)).chain(self.waited_for(node)).collect()
    }

    /// Commits may wait for a node that streamed from another one when that was recorded: who writes stops before it stops
    /// or moves.
    pub(crate) fn waited_for(&self, node: &NodeAddress) -> Option<usize> {
        let primary = self.intended.primary(&node.cluster).filter(|primary| primary != node)?;
        let stop = self.index.stop.get(&primary).copied()?;
        let listed = &self.intended.clusters.get(&node.cluster)?.sync.before.standbys;
        listed.contains(&node.node.identifier()).then_some(stop)
    }
}
