//! When the steps come that only PostgreSQL has.

use simdb_state::address::NodeAddress;
use simdb_state::delta::Edit;
use simdb_state::name::ClusterName;
use simdb_state::sync::SyncRule;

use super::Action;
use crate::plan::Server;
use crate::planner::lower::Draft;
use crate::planner::order::{Index, Rules};

impl Index {
    pub(crate) fn add_postgresql(&mut self, at: usize, action: &Action) {
        match action {
            Action::SyncNames { cluster, .. } => {
                // Where commits stop waiting for who was lost first, that comes first.
                let last = self.sync_names.insert(cluster.clone(), at);
                self.degraded.extend(last.map(|first| (cluster.clone(), first)));
            }
            Action::Open { server, awaited, .. } => {
                self.open.insert(server.node.cluster.clone(), (*awaited, at));
            }
            Action::DropSlot { node, .. } => self.drop_slots.entry(node.clone()).or_default().push(at),
            Action::Slot { node, server, .. } => {
                self.slot.insert(node.clone(), at);
                self.slot_on.entry(server.node.clone()).or_default().push(at);
            }
            Action::Resume { .. } => {}
        }
    }
}

impl Rules<'_> {
    pub(crate) fn postgresql(&self, action: &Action, draft: &Draft) -> Vec<usize> {
        let index = &self.index;
        match action {
            Action::Resume { .. } => Vec::new(),
            // A slot can be made before its server writes, and then nobody waits for it while nobody writes.
            Action::Slot { server, .. } if self.replays(&server.node) => self.elected(&server.node),
            Action::Slot { server, .. } => index.serves.get(&server.node).copied().into_iter().collect(),
            Action::SyncNames { cluster, rule, .. } if self.loses(cluster, rule) => {
                index.degrade.get(cluster).copied().into_iter().collect()
            }
            Action::SyncNames { cluster, server, .. } => {
                let mut waits = self.sync_names(cluster, &server.node);
                waits.extend(index.rotation.get(cluster));
                waits.extend(self.opened(cluster));
                waits
            }
            Action::Open { server, awaited, .. } => self.open(&server.node, *awaited),
            Action::DropSlot { node, server, .. } => self.drop_slot(node, server, draft),
        }
    }

    /// A slot goes when its node streams through another one, or is gone; the last one takes the node's record along.
    fn drop_slot(&self, node: &NodeAddress, server: &Server, draft: &Draft) -> Vec<usize> {
        let index = &self.index;
        let last = draft.delta.0.iter().any(|edit| matches!(edit, Edit::Drop(_)));
        let others = index.drop_slots.get(node).into_iter().flatten();
        let others = others.copied().filter(|at| last && self.left.contains(at));
        let moved = [
            index.drop_node.get(node),
            index.slot.get(node),
            index.serves.get(node),
            // Whoever leads again without having been away has left its slot when that is recorded.
            index.elect.get(&node.cluster),
            index.serves.get(&server.node),
        ];
        moved.into_iter().flatten().copied().chain(others).collect()
    }

    /// Returns whether a rule is the one that commits follow while others are lost.
    fn loses(&self, cluster: &ClusterName, rule: &SyncRule) -> bool {
        let intended = &self.intended.clusters[cluster].sync;
        intended.lost.is_some() && intended.before == *rule
    }

    /// Whoever newly counts, or counts among more, streams before commits wait for it. Who was waited for already is not
    /// waited for here: a change that lets commits wait for fewer must not wait for one that is down.
    fn sync_names(&self, cluster: &ClusterName, primary: &NodeAddress) -> Vec<usize> {
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
    fn open(&self, primary: &NodeAddress, awaited: u32) -> Vec<usize> {
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
    fn opened(&self, cluster: &ClusterName) -> Option<usize> {
        let (awaited, at) = self.index.open.get(cluster)?;
        self.intended.keeps_standbys(cluster, *awaited).then_some(*at)
    }
}
