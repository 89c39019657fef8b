//! Whom commits wait for: tightened once a standby streams, loosened before one goes.

use simdb_state::address::NodeAddress;
use simdb_state::object::{Node, Power, Role};

use super::Rules;
use crate::plan::Action;
use crate::plan::fact::Fact;
use crate::planner::intended::IntendedNode;
use crate::planner::lower::Draft;

impl Rules<'_> {
    /// Commits no longer wait for standbys that were lost before a server is configured.
    pub(super) fn without_lost(&self, draft: &Draft) -> Vec<usize> {
        let Action::Configure { server, .. } = &draft.action else {
            return Vec::new();
        };
        let cluster = &server.node.cluster;
        let degrades = self.givers(Fact::Degraded(cluster)).next().is_some();
        // Of two changes of the rule, the first one leaves out those who were lost.
        let first = self.givers(Fact::CommitRule(cluster)).next();
        first.filter(|_| degrades).into_iter().collect()
    }

    /// A standby that commits wait for no longer, or not while nothing writes, is let go before it stops or moves.
    pub(super) fn let_go(&self, draft: &Draft) -> Vec<usize> {
        match &draft.action {
            Action::Follow { server, .. } => {
                let mut steps = self.loosened(&server.node);
                steps.extend(self.waited_for(&server.node));
                steps
            }
            Action::Stop { node } => self.leaving(node),
            _ => Vec::new(),
        }
    }

    /// Returns the step after which no commit waits for a node any more, where it leaves those that commits wait for.
    fn loosened(&self, node: &NodeAddress) -> Vec<usize> {
        let stays = |identifier: &str| {
            let cluster = self.intended.clusters.get(&node.cluster);
            cluster.is_none_or(|cluster| cluster.sync.standbys.contains(identifier))
        };
        if stays(&node.node.identifier()) {
            return Vec::new();
        }
        self.givers(Fact::CommitRule(&node.cluster)).collect()
    }

    /// A node that stops on request, and not to make room for a start, first lets those go that wait for it or follow it.
    fn leaving(&self, node: &NodeAddress) -> Vec<usize> {
        let stopped = |intended: &IntendedNode| intended.power == Power::Stopped;
        if !self.intended.nodes.get(node).is_some_and(stopped) {
            return Vec::new();
        }
        let followed = |old: &Node| matches!(&old.role, Some(Role::Standby { follows }) if *follows == node.node);
        let moved = self
            .before
            .nodes_of(&node.cluster)
            .filter(|(other, old)| followed(old) && self.upstream(other).as_ref() != Some(node));
        let moved = moved.flat_map(|(other, _)| self.givers(Fact::Serves(other)));
        moved.chain(self.loosened(node)).chain(self.waited_for(node)).collect()
    }

    /// Commits may wait for a node that streamed from another one when that was recorded: the node that writes stops before
    /// it stops or moves.
    fn waited_for(&self, node: &NodeAddress) -> Vec<usize> {
        let primary = self.intended.primary(&node.cluster).filter(|primary| primary != node);
        let cluster = self.intended.clusters.get(&node.cluster);
        let Some((primary, cluster)) = primary.zip(cluster) else {
            return Vec::new();
        };
        if !cluster.sync.before.standbys.contains(&node.node.identifier()) {
            return Vec::new();
        }
        self.givers(Fact::Stopped(&primary)).collect()
    }
}
