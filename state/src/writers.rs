//! Which nodes of a cluster may write: one rule, asked by whatever plans, guards, judges or simulates.

use crate::address::NodeAddress;
use crate::name::ClusterName;
use crate::object::{Node, Role, State, Term};

/// Returns whether a node may write while another one does.
///
/// A cluster has one writer: the node that was elected. A cluster that declares several is told from others here.
pub fn may_write_beside(node: &NodeAddress, other: &NodeAddress) -> bool {
    node == other || node.cluster != other.cluster
}

impl Role {
    /// Returns the election under which the node writes, if it writes.
    pub fn writes(&self) -> Option<Term> {
        match self {
            Role::Primary { term } => Some(*term),
            Role::Standby { .. } | Role::Fenced { .. } => None,
        }
    }
}

impl Node {
    /// Returns whether the node writes, as far as is recorded.
    pub fn writes(&self) -> bool {
        self.role.as_ref().is_some_and(|role| role.writes().is_some())
    }
}

impl State {
    /// Returns the nodes of a cluster that write, as far as is recorded.
    pub fn writers<'a>(&'a self, cluster: &'a ClusterName) -> impl Iterator<Item = &'a NodeAddress> {
        let writers = self.nodes_of(cluster).filter(|(_, node)| node.writes());
        writers.map(|(address, _)| address)
    }

    /// Returns the node that writes, as far as is recorded: not the one elected last where that election was cut off.
    pub fn leader<'a>(&'a self, cluster: &'a ClusterName) -> Option<&'a NodeAddress> {
        self.writers(cluster).next()
    }

    /// Returns a node that is recorded to write, and beside which another one must not.
    pub fn writer_against<'a>(&'a self, node: &'a NodeAddress) -> Option<&'a NodeAddress> {
        self.writers(&node.cluster)
            .find(|writer| !may_write_beside(node, writer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_has_one_writer() {
        let node = |text: &str| text.parse::<NodeAddress>().unwrap();
        let [a, b, other] = ["cluster.orders.node.a", "cluster.orders.node.b", "cluster.stock.node.a"].map(node);
        assert!(may_write_beside(&a, &a) && may_write_beside(&a, &other));
        assert!(!may_write_beside(&a, &b) && !may_write_beside(&b, &a));
        let mut state = State::default();
        let writes = Node {
            role: Some(Role::Primary { term: Term(1) }),
            ..Node::default()
        };
        state.nodes.insert(b.clone(), Node::default().into());
        state.nodes.insert(other.clone(), writes.clone().into());
        assert_eq!((state.leader(&a.cluster), state.writer_against(&b)), (None, None));
        state.nodes.insert(a.clone(), writes.into());
        assert_eq!(state.leader(&a.cluster), Some(&a));
        assert_eq!((state.writer_against(&a), state.writer_against(&b)), (None, Some(&a)));
    }
}
