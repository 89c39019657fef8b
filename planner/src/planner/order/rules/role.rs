//! A change of role: what can be done before writes wait, and what comes after the new primary.

use simdb_state::address::NodeAddress;
use simdb_state::object::Role;

use super::Rules;

impl Rules<'_> {
    pub(crate) fn promote(&self, node: &NodeAddress) -> Vec<usize> {
        let index = &self.index;
        let earlier = [
            index.elect.get(&node.cluster),
            index.start.get(node),
            index.fence.get(&node.cluster),
        ];
        let astray = index.astray.get(&node.cluster).into_iter().flatten();
        earlier.into_iter().flatten().chain(astray).copied().collect()
    }

    /// Whoever is about to replay from another primary is left alone until that one is promoted: it is asked what it has,
    /// and commits wait for it.
    pub(crate) fn asked_by(&self, node: &NodeAddress) -> Option<usize> {
        let (promoted, at) = self.index.promote.get(&node.cluster)?;
        (promoted != node).then_some(*at)
    }

    /// Returns whether a node is to be promoted, and is known to replay until then.
    pub(crate) fn replays(&self, node: &NodeAddress) -> bool {
        let promoted = self.index.promote.get(&node.cluster);
        let role = self.before.nodes.get(node).and_then(|node| node.role.as_ref());
        promoted.is_some_and(|(promoted, _)| promoted == node)
            && (matches!(role, Some(Role::Standby { .. })) || self.index.start.contains_key(node))
    }

    /// Returns what is recorded of an election, and the start of a server that was elected while it was down.
    pub(crate) fn elected(&self, node: &NodeAddress) -> Vec<usize> {
        let elect = self.index.elect.get(&node.cluster);
        elect.into_iter().chain(self.index.start.get(node)).copied().collect()
    }

    /// Returns all that can be done while the former primary still writes: from when it is fenced, writes wait.
    pub(crate) fn before_the_pause(&self, node: &NodeAddress) -> Vec<usize> {
        let slots = self
            .index
            .slot_on
            .iter()
            .filter(|(server, _)| self.replays(server) && server.cluster == node.cluster);
        let mut earlier = self.elected(node);
        earlier.extend(slots.flat_map(|(_, slots)| slots.iter().copied()));
        earlier
    }
}
