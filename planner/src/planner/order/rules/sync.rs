//! Whom commits wait for: tightened once a standby streams, loosened before one goes.

use simdb_state::address::NodeAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::{Node, Power, Role};
use simdb_state::sync::SyncRule;

use super::Rules;
use crate::planner::intended::IntendedNode;

impl Rules<'_> {
    /// The step after which commits no longer wait for who was lost: files written later leave them out, too.
    pub(crate) fn without_lost(&self, cluster: &ClusterName) -> Option<usize> {
        self.index.degrade.get(cluster)?;
        let first = self.index.degraded.get(cluster).or(self.index.sync_names.get(cluster));
        first.copied()
    }

    /// Returns whether a rule is the one that commits follow while others are lost.
    pub(crate) fn loses(&self, cluster: &ClusterName, rule: &SyncRule) -> bool {
        let intended = &self.intended.clusters[cluster].sync;
        intended.lost.is_some() && intended.before == *rule
    }

    /// Whoever newly counts, or counts among more, streams before commits wait for it. Who was waited for already is not
    /// waited for here: a change that lets commits wait for fewer must not wait for one that is down.
    pub(crate) fn sync_names(&self, cluster: &ClusterName, primary: &NodeAddress) -> Vec<usize> {
        let sync = &self.intended.clusters[cluster].sync;
        let SyncRule {
            number,
            standbys: listed,
            ..
        } = &sync.before;
        let standbys = self
            .intended
            .nodes_of(cluster)
            .map(|(address, _)| address)
            .filter(|address| sync.standbys.contains(&address.node.identifier()))
            .filter(|address| sync.awaited > *number || !listed.contains(&address.node.identifier()));
        // One whose slot was dropped behind it goes on by itself once that is there again.
        let streams = |node| [self.index.serves.get(node), self.index.slot.get(node)];
        std::iter::once(primary)
            .chain(standbys)
            .flat_map(streams)
            .flatten()
            .copied()
            .chain(self.index.settings.get(cluster).copied())
            .chain(self.index.degraded.get(cluster).copied())
            .collect()
    }

    /// Clients are let in before commits wait for others, where enough of those they wait for stay. These come up beside
    /// this step, which waits for enough of them: one that does not come must not keep clients out.
    pub(crate) fn admit(&self, primary: &NodeAddress, awaited: u32) -> Vec<usize> {
        let cluster = &primary.cluster;
        let serves = |node: &NodeAddress| self.index.serves.get(node).copied();
        let mut waits: Vec<usize> = serves(primary).into_iter().collect();
        if self.intended.keeps_standbys(cluster, awaited) {
            return waits;
        }
        waits.extend(self.index.sync_names.get(cluster));
        let listed = &self.intended.clusters[cluster].sync.before.standbys;
        let made = self
            .intended
            .nodes_of(cluster)
            .filter(|(address, node)| {
                node.role.follows() == Some(&primary.node) && listed.contains(&address.node.identifier())
            })
            .filter_map(|(address, _)| serves(address));
        waits.extend(made);
        waits
    }

    /// It writes all files of the primary, those that let clients in among them.
    pub(crate) fn admitted(&self, cluster: &ClusterName) -> Option<usize> {
        let (awaited, at) = self.index.admit.get(cluster)?;
        self.intended.keeps_standbys(cluster, *awaited).then_some(*at)
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
