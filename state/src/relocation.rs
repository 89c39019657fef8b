//! Moves what is recorded to other addresses.
//!
//! What runs stays where it is: its platform goes on knowing it by the address that it had when it was made, which the record
//! notes ([`State::made_as`]). Names that servers have for each other (slots, `application_name`) are those of before, too, until
//! a plan changes them.

use serde::{Deserialize, Serialize};

use crate::address::{
    Address, DatabaseAddress, EndpointAddress, InstanceAddress, NodeAddress, SeedAddress, UserAddress,
};
use crate::name::{ClusterName, NodeName};
use crate::object::{Data, Node, Origin, Role, State};
use crate::sensitive::SecretName;

/// An object that is at another address than before, with all that belongs to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// Where it was.
    pub from: Address,
    /// Where it is.
    pub to: Address,
}

impl Move {
    /// Returns where something is after the move.
    #[must_use]
    pub fn relocated(&self, address: &Address) -> Address {
        match (&self.from, &self.to) {
            (from, to) if from == address => to.clone(),
            (Address::Cluster(from), Address::Cluster(to)) if address.cluster() == Some(from) => within(address, to),
            _ => address.clone(),
        }
    }

    fn renamed(&self, secret: &SecretName) -> Option<SecretName> {
        let (Address::Cluster(from), Address::Cluster(to)) = (&self.from, &self.to) else {
            return None;
        };
        let rest = secret.as_str().strip_prefix(&format!("cluster.{from}."))?;
        Some(SecretName::from_stored(&format!("cluster.{to}.{rest}")))
    }
}

/// Returns what a secret is called after some moves.
pub fn renamed(secret: &SecretName, moves: &[Move]) -> SecretName {
    let step = |name: SecretName, moved: &Move| moved.renamed(&name).unwrap_or(name);
    moves.iter().fold(secret.clone(), step)
}

/// Returns the address of what belongs to a cluster, in another cluster.
fn within(address: &Address, cluster: &ClusterName) -> Address {
    let cluster = cluster.clone();
    match address.clone() {
        Address::Network(name) => Address::Network(name),
        Address::Cluster(_) => Address::Cluster(cluster),
        Address::Node(address) => Address::Node(NodeAddress { cluster, ..address }),
        Address::User(address) => Address::User(UserAddress { cluster, ..address }),
        Address::Database(address) => Address::Database(DatabaseAddress { cluster, ..address }),
        Address::Seed(address) => Address::Seed(SeedAddress { cluster, ..address }),
        Address::Endpoint(address) => Address::Endpoint(EndpointAddress { cluster, ..address }),
    }
}

impl State {
    /// Moves what is recorded at an address, and all that belongs to it. Both addresses are of one kind, within one cluster unless
    /// they are clusters; nothing is recorded at the second.
    pub fn relocate(&mut self, moved: &Move) {
        match (&moved.from, &moved.to) {
            (Address::Network(from), Address::Network(to)) => {
                if let Some(network) = self.networks.remove(from) {
                    self.networks.insert(to.clone(), network);
                }
                let clusters = self.clusters.values_mut();
                for cluster in clusters.filter(|cluster| cluster.network == *from) {
                    cluster.network = to.clone();
                }
            }
            (Address::Cluster(from), Address::Cluster(to)) => self.relocate_cluster(from, to),
            (Address::Node(from), Address::Node(to)) => self.relocate_node(from, to),
            (Address::Seed(from), Address::Seed(to)) => {
                if let Some(seed) = self.seeds.remove(from) {
                    self.seeds.insert(to.clone(), seed);
                }
            }
            (Address::Endpoint(from), Address::Endpoint(to)) => {
                // Clients know a route by its name, and one of the new name is yet to be made: what moves is the pooler.
                let endpoint = self.endpoints.remove(from);
                if let Some(mut endpoint) = endpoint.filter(|endpoint| endpoint.pooler.is_some()) {
                    endpoint.nodes.clear();
                    endpoint.hosts.clear();
                    self.endpoints.insert(to.clone(), endpoint);
                    self.keep_made_as(&from.into(), to.into());
                }
            }
            _ => {}
        }
    }

    /// Notes by which address its platform goes on knowing an instance.
    fn keep_made_as(&mut self, from: &InstanceAddress, to: InstanceAddress) {
        let made_as = self.made_as.remove(from).unwrap_or_else(|| from.clone());
        if made_as != to {
            self.made_as.insert(to, made_as);
        }
    }

    fn relocate_cluster(&mut self, from: &ClusterName, to: &ClusterName) {
        if let Some(cluster) = self.clusters.remove(from) {
            self.clusters.insert(to.clone(), cluster);
        }
        if let Some(election) = self.elections.remove(from) {
            self.elections.insert(to.clone(), election);
        }
        let addresses = self.addresses().into_iter();
        let of_cluster: Vec<Address> = addresses.filter(|address| address.cluster() == Some(from)).collect();
        for address in of_cluster {
            match (within(&address, to), address) {
                (Address::Node(to), Address::Node(from)) => {
                    if let Some(node) = self.nodes.remove(&from) {
                        self.nodes.insert(to.clone(), node);
                        self.keep_made_as(&(&from).into(), (&to).into());
                    }
                }
                (Address::User(to), Address::User(from)) => {
                    if let Some(user) = self.users.remove(&from) {
                        self.users.insert(to, user);
                    }
                }
                (Address::Database(to), Address::Database(from)) => {
                    if let Some(database) = self.databases.remove(&from) {
                        self.databases.insert(to, database);
                    }
                }
                (to, from) => self.relocate(&Move { from, to }),
            }
        }
    }

    fn relocate_node(&mut self, from: &NodeAddress, to: &NodeAddress) {
        let Some(node) = self.nodes.remove(from) else { return };
        self.nodes.insert(to.clone(), node);
        self.keep_made_as(&from.into(), to.into());
        let rename = |name: &mut NodeName| {
            if *name == from.node {
                name.clone_from(&to.node);
            }
        };
        for (_, node) in self
            .nodes
            .iter_mut()
            .filter(|(address, _)| address.cluster == to.cluster)
        {
            rename_in(node, rename);
        }
        if let Some(election) = self.elections.get_mut(&to.cluster) {
            rename(&mut election.primary);
            election.pin.as_mut().map(rename);
        }
        if let Some(cluster) = self.clusters.get_mut(&to.cluster) {
            let pending = std::mem::take(&mut cluster.pending_sync_rules).into_iter();
            let renamed = pending.map(|mut pending| {
                rename(&mut pending.node);
                pending
            });
            cluster.pending_sync_rules = renamed.collect();
            let priorities = &mut cluster.failover.priorities;
            if let Some(priority) = priorities.remove(&from.node) {
                priorities.insert(to.node.clone(), priority);
            }
        }
        let endpoints = self.endpoints.iter_mut();
        for (_, endpoint) in endpoints.filter(|(address, _)| address.cluster == to.cluster) {
            endpoint.nodes.iter_mut().for_each(rename);
            endpoint.pooler.iter_mut().for_each(|pooler| rename(&mut pooler.node));
        }
    }
}

/// Renames the nodes that a node's record names.
fn rename_in(node: &mut Node, rename: impl Fn(&mut NodeName)) {
    if let Some(Role::Standby { follows }) = &mut node.role {
        rename(follows);
    }
    for slot in node.slot.iter_mut().chain(&mut node.left_slots) {
        rename(&mut slot.upstream);
    }
    if let Some(Data {
        origin: Origin::Cloned { from } | Origin::Rewound { from },
        ..
    }) = &mut node.data
    {
        rename(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::node_made_as;
    use crate::object::{Election, ElectionReason, Endpoint, EndpointTarget, Seed, Slot, Term};

    fn address(text: &str) -> Address {
        text.parse().unwrap()
    }

    fn node(text: &str) -> NodeAddress {
        text.parse().unwrap()
    }

    fn moved(from: &str, to: &str) -> Move {
        Move {
            from: address(from),
            to: address(to),
        }
    }

    /// A cluster whose node a leads, and whose standby follows it.
    fn pair() -> State {
        let mut state = State::default();
        let name: NodeName = "a".parse().unwrap();
        let standby = Node {
            role: Some(Role::Standby { follows: name.clone() }),
            slot: Some(Slot {
                upstream: name.clone(),
                name: "r_0".to_owned(),
            }),
            ..Node::default()
        };
        state.nodes.insert(node("cluster.c.node.a"), Node::default().into());
        state.nodes.insert(node("cluster.c.node.r[0]"), standby.into());
        let election = Election {
            term: Term(1),
            primary: name.clone(),
            pin: Some(name.clone()),
            reason: ElectionReason::Birth,
            chosen: false,
            switch: None,
        };
        state.elections.insert("c".parse().unwrap(), election);
        let endpoint = Endpoint {
            target: EndpointTarget::Primary,
            nodes: vec![name],
            hosts: Vec::new(),
            pooler: None,
        };
        state
            .endpoints
            .insert("cluster.c.endpoint.rw".parse().unwrap(), endpoint);
        state
    }

    #[test]
    fn a_node_keeps_its_place_and_is_called_by_its_new_name() {
        let mut state = pair();
        state.relocate(&moved("cluster.c.node.a", "cluster.c.node.first"));
        let first: NodeName = "first".parse().unwrap();
        let standby = &state.nodes[&node("cluster.c.node.r[0]")];
        assert_eq!(standby.role, Some(Role::Standby { follows: first.clone() }));
        assert_eq!(standby.slot.as_ref().unwrap().upstream, first);
        let election = &state.elections[&"c".parse().unwrap()];
        assert_eq!((&election.primary, election.pin.as_ref()), (&first, Some(&first)));
        assert_eq!(state.endpoints.values().next().unwrap().nodes, [first]);
        let made_as = node_made_as(&state.made_as, &node("cluster.c.node.first"));
        assert_eq!(made_as, node("cluster.c.node.a"));
        state.relocate(&moved("cluster.c.node.first", "cluster.c.node.a"));
        assert_eq!(state, pair(), "there and back");
    }

    #[test]
    fn a_cluster_moves_with_all_that_it_has() {
        let mut state = pair();
        state.relocate(&moved("cluster.c", "cluster.d"));
        let addresses: Vec<String> = state.addresses().iter().map(ToString::to_string).collect();
        // A route is known by its name, and is made anew.
        assert_eq!(addresses, ["cluster.d", "cluster.d.node.a", "cluster.d.node.r[0]"]);
        assert!(state.elections.contains_key(&"d".parse().unwrap()));
        let made_as: Vec<String> = state.made_as.values().map(ToString::to_string).collect();
        assert_eq!(made_as, ["cluster.c.node.a", "cluster.c.node.r[0]"]);
        // A second move keeps the first address.
        state.relocate(&moved("cluster.d", "cluster.e"));
        assert!(state.made_as.values().all(|address| address.cluster().as_str() == "c"));
        state.relocate(&moved("cluster.e", "cluster.c"));
        assert_eq!((&state.nodes, &state.elections), (&pair().nodes, &pair().elections));
    }

    #[test]
    fn a_seed_is_known_by_its_new_name_and_has_run() {
        let mut state = State::default();
        let seed = Seed {
            database: "app".parse().unwrap(),
            digest: "e3b0".to_owned(),
        };
        state.seeds.insert("cluster.c.seed.a".parse().unwrap(), seed.clone());
        state.relocate(&moved("cluster.c.seed.a", "cluster.c.seed.b"));
        assert_eq!(state.seeds, [("cluster.c.seed.b".parse().unwrap(), seed)].into());
    }

    #[test]
    fn a_secret_goes_with_its_cluster() {
        let moves = [moved("cluster.c", "cluster.d"), moved("cluster.d", "cluster.e")];
        let renamed = |name: &str| renamed(&SecretName::from_stored(name), &moves).to_string();
        assert_eq!(renamed("cluster.c.user.app#2"), "cluster.e.user.app#2");
        assert_eq!(renamed("cluster.cc.user.app"), "cluster.cc.user.app");
        assert_eq!(renamed("output.url"), "output.url");
    }
}
