//! What the steps wait for that only PostgreSQL has, beside what they need.

use simdb_state::address::NodeAddress;
use simdb_state::name::ClusterName;
use simdb_state::sync::SyncRule;

use super::Action;
use crate::plan;
use crate::plan::fact::Fact;
use crate::planner::order::Rules;

impl Rules<'_> {
    pub(crate) fn postgresql(&self, action: &Action) -> Vec<usize> {
        match action {
            Action::Resume { .. } => Vec::new(),
            Action::Slot { server, .. } => self.slot(&server.node),
            Action::SyncNames { cluster, rule, .. } if self.loses(cluster, rule) => {
                self.givers(Fact::Degraded(cluster)).collect()
            }
            Action::SyncNames { cluster, server, .. } => self.sync_names(cluster, &server.node),
            Action::Open { server, awaited, .. } => self.open(&server.node, *awaited),
            Action::DropSlot { node, .. } => self.drop_slot(node),
        }
    }

    /// A slot can be made before its server writes, and then no write waits for it while nothing writes.
    fn slot(&self, keeper: &NodeAddress) -> Vec<usize> {
        if !self.replays(keeper) {
            return self.givers(Fact::Serves(keeper)).collect();
        }
        let decided = self.givers(Fact::Decided(&keeper.cluster));
        decided.chain(self.givers(Fact::Started(keeper))).collect()
    }

    /// A slot goes when its node streams through another one, leads, or is gone.
    fn drop_slot(&self, node: &NodeAddress) -> Vec<usize> {
        let moved = [
            Fact::Gone(node),
            Fact::Retained(node),
            Fact::Serves(node),
            // A node that leads again without having been away has left its slot when that is recorded.
            Fact::Decided(&node.cluster),
        ];
        moved.into_iter().flat_map(|fact| self.givers(fact)).collect()
    }

    /// Returns whether a rule is the one that commits follow while others are lost.
    fn loses(&self, cluster: &ClusterName, rule: &SyncRule) -> bool {
        let intended = &self.intended.clusters[cluster].sync;
        intended.lost.is_some() && intended.before == *rule
    }

    /// A standby that newly counts, or counts among more, streams before commits wait for it. One that was waited for
    /// already is not waited for here: a change that lets commits wait for fewer must not wait for one that is down.
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
        let streams = |node| [Fact::Serves(node), Fact::Retained(node)];
        let facts = std::iter::once(primary).chain(standbys).flat_map(streams);
        let others = [
            Fact::Settings(cluster),
            Fact::Rotated(cluster),
            // Where commits stop waiting for those who were lost first, that comes first.
            Fact::CommitRule(cluster),
        ];
        let mut waits: Vec<usize> = facts.chain(others).flat_map(|fact| self.givers(fact)).collect();
        waits.extend(self.opened(cluster));
        waits
    }

    /// Clients are let in before commits wait for others, where enough of those they wait for stay. These come up beside
    /// this step, which waits for enough of them: one that does not come must not keep clients out.
    fn open(&self, primary: &NodeAddress, awaited: u32) -> Vec<usize> {
        let cluster = &primary.cluster;
        if self.intended.keeps_standbys(cluster, awaited) {
            return Vec::new();
        }
        let listed = &self.intended.clusters[cluster].sync.before.standbys;
        let made = self.intended.nodes_of(cluster).filter(|(address, node)| {
            node.role.follows() == Some(&primary.node) && listed.contains(&address.node.identifier())
        });
        let made = made.map(|(address, _)| Fact::Serves(address));
        let facts = made.chain([Fact::CommitRule(cluster)]);
        facts.flat_map(|fact| self.givers(fact)).collect()
    }

    /// The step that writes all files of the primary, those that let clients in among them.
    fn opened(&self, cluster: &ClusterName) -> Option<usize> {
        let at = self.givers(Fact::Opened(cluster)).next()?;
        let awaited = match &self.drafts[at].action {
            plan::Action::Engine(crate::engine::Action::Postgresql(Action::Open { awaited, .. })) => *awaited,
            _ => return None,
        };
        self.intended.keeps_standbys(cluster, awaited).then_some(at)
    }
}
