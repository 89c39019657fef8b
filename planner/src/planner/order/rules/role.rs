//! A change of role: what is done before writes wait, and what comes after the new primary.

use simdb_state::address::NodeAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::Role;

use super::Rules;
use crate::plan::fact::Fact;
use crate::plan::{Action, FenceMethod};
use crate::planner::lower::Draft;

impl Rules<'_> {
    /// A node that is about to replay from another primary is left alone until that one is promoted: the promotion asks
    /// it what it has, and commits wait for it.
    pub(super) fn asked_first(&self, draft: &Draft) -> Vec<usize> {
        let node = match &draft.action {
            Action::Clone { node, .. } | Action::Rejoin { node, .. } => node,
            Action::Stop { node } if !draft.is_astray() => node,
            Action::Join { server, .. } | Action::Follow { server, .. } | Action::Configure { server, .. } => {
                &server.node
            }
            _ => return Vec::new(),
        };
        let is_promoted = self.intended.primary(&node.cluster).as_ref() == Some(node);
        let promoted = self.givers(Fact::Promoted(&node.cluster));
        promoted.filter(|_| !is_promoted).collect()
    }

    /// From when a primary that serves is fenced, writes wait: what can be done before that is, also a restart of the node that is
    /// promoted, which streams from the former primary again first.
    pub(super) fn before_the_pause(&self, draft: &Draft) -> Vec<usize> {
        let Action::Fence { server, .. } = &draft.action else {
            return Vec::new();
        };
        let cluster = &server.node.cluster;
        let mut steps = self.slots_before_the_pause(cluster);
        let winner = self.winner_beside_a_primary(cluster);
        steps.extend(winner.into_iter().flat_map(|winner| self.configures_of(&winner)));
        steps
    }

    /// Returns the steps that make slots on the node that is promoted, where writes go on until they are made.
    pub(crate) fn slots_before_the_pause(&self, cluster: &ClusterName) -> Vec<usize> {
        let winner = self.winner_beside_a_primary(cluster);
        winner.map_or_else(Vec::new, |winner| self.givers(Fact::Retains(&winner)).collect())
    }

    /// Returns the standby that is promoted, where the former primary serves until it is fenced. Where that one is lost, writes wait
    /// already, and no step that the promotion does without comes before it.
    fn winner_beside_a_primary(&self, cluster: &ClusterName) -> Option<NodeAddress> {
        let fencing = self.intended.clusters.get(cluster)?.fencing;
        let winner = self.intended.primary(cluster).filter(|winner| self.replays(winner));
        winner.filter(|_| fencing == FenceMethod::ShutDown)
    }

    /// Returns whether a node is promoted, and is known to replay until then.
    pub(crate) fn replays(&self, node: &NodeAddress) -> bool {
        let promoted = self.givers(Fact::Promoted(&node.cluster)).next().is_some()
            && self.intended.primary(&node.cluster).as_ref() == Some(node);
        let role = self.before.nodes.get(node).and_then(|node| node.role.as_ref());
        promoted && (matches!(role, Some(Role::Standby { .. })) || self.givers(Fact::Started(node)).next().is_some())
    }
}
