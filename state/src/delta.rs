//! What one step changes in the record.
//!
//! A step carries its delta from the moment it is planned. The executor commits it, filled with what the step found out
//! ([`Outputs`]), when the effect is done; the simulator folds the same delta; so neither can drift from the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::address::{Address, DatabaseAddress, EndpointAddress, NodeAddress, SeedAddress, UserAddress};
use crate::identity::DataIdentity;
use crate::name::{ClusterName, NetworkName, NodeName, PlatformName};
use crate::object::{
    Cluster, Damage, Data, Database, Election, Endpoint, EndpointTarget, FenceProof, Image, Network, Node, Origin,
    PendingSyncRule, Pooler, Power, Resources, Role, Seed, Settings, Slot, State, Switch, Term, User, Verified,
    Witness,
};
use crate::place::Place;
use crate::position::Position;
use crate::sync::SyncRule;

/// The new value of one recorded attribute. What is large and rare is boxed: a plan holds several of them for every node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// The network exists.
    Network(NetworkName, Network),
    /// The cluster exists, and is this. Whom its commits wait for, with the rules that are pending, and its proof have
    /// edits of their own: those of a cluster that exists already stay as they are.
    Cluster(ClusterName, Box<Cluster>),
    /// The commits of the cluster wait for these standbys, and those that count have what was acknowledged before.
    #[serde(rename = "synchronous_standby_names")]
    SyncRule(ClusterName, SyncRule),
    /// Whether the node may have what whoever leads now never had, so that its data is to be made anew.
    NeedsRebuild(NodeAddress, bool),
    /// Something is wrong with the node's data, or no longer.
    Damage(NodeAddress, Option<Damage>),
    /// The node writes instead of the former one, and its commits wait for these standbys. These may lack what the former
    /// one acknowledged, until the cluster is proven or its commits wait for others.
    Succession {
        /// The node that writes now.
        node: NodeAddress,
        /// The node that wrote before it.
        former: NodeName,
        /// Whom its commits wait for.
        #[serde(rename = "names")]
        rule: SyncRule,
    },
    /// The cluster is led by this election's winner.
    Election(ClusterName, Election),
    /// The node holds new data; whose data that is comes from [`Outputs::identity`].
    Data {
        /// The node.
        node: NodeAddress,
        /// The number of its data directory.
        generation: u32,
        /// Where the data came from.
        origin: Origin,
        /// The directory that holds it, where that is not below the node's instance directory.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outside: Option<String>,
    },
    /// The node's server is there, as this says.
    Instance(Box<Instance>),
    /// Commits wait for fewer standbys than they are to from this position on, or for all again.
    Degraded(ClusterName, Option<Position>),
    /// The node has this role.
    Role(NodeAddress, Role),
    /// The node led, and no longer takes writes; its proof and its witness come from [`Outputs`].
    Fenced(NodeAddress, Term),
    /// The lead of the cluster has passed to whom it was to; how it did comes from [`Outputs::switch`].
    Switched(ClusterName),
    /// The node has this slot on its upstream, or none.
    Slot(NodeAddress, Option<Slot>),
    /// The node has, or is about to, come to stream through another slot; this one is yet to be dropped.
    SlotLeft(NodeAddress, Slot),
    /// A slot that the node left is dropped.
    SlotGone(NodeAddress, Slot),
    /// The node's server runs, or does not.
    Power(NodeAddress, Power),
    /// The node was stopped on request, or is no longer.
    StoppedByRequest(NodeAddress, bool),
    /// Nothing is left of the node but its slot on another one.
    Emptied(NodeAddress, Slot),
    /// The login exists, and is this.
    User(UserAddress, User),
    /// The database exists, and is this.
    Database(DatabaseAddress, Database),
    /// The seed has run.
    Seed(SeedAddress, Seed),
    /// The sessions in the database, or of the login that owns it, begin with what a seed of the database set for them; that
    /// comes from [`Outputs::session`].
    Session(Address),
    /// The node may not be removed, or may.
    Protected(NodeAddress, bool),
    /// The endpoint routes there. Its pooler has an edit of its own: that of an endpoint that exists already stays as it is.
    Endpoint(EndpointAddress, Box<Endpoint>),
    /// The clients of the endpoint go through this pooler, or through none. Whether it holds them up has an edit of its own:
    /// a pooler that exists already goes on as it does.
    Pooler(EndpointAddress, Option<Box<Pooler>>),
    /// The endpoint's pooler holds clients up, or does not.
    Paused(EndpointAddress, bool),
    /// Replication was proven on this topology; the marker comes from [`Outputs::marker`].
    Verified {
        /// The cluster.
        cluster: ClusterName,
        /// The digest of the topology.
        topology: String,
        /// The term.
        term: Term,
    },
    /// The last proof no longer holds.
    Unverified(ClusterName),
    /// Nothing is at the address any more. A cluster's election goes with it.
    Drop(Address),
}

/// The server of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// The node.
    pub node: NodeAddress,
    /// The platform that it runs on; absent where that is the one of its cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformName>,
    /// Where it is.
    #[serde(rename = "listen")]
    pub place: Place,
    /// The image that it is made from; absent where it has none, or where that comes from [`Outputs::image`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// How much of its machine it may take.
    #[serde(default, skip_serializing_if = "Resources::is_unlimited")]
    pub resources: Resources,
    /// The declared parameters.
    pub parameters: BTreeMap<String, String>,
}

/// What one step changes in the record, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Delta(pub Vec<Edit>);

/// What a step found out while it ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outputs {
    /// Whose data was made or copied.
    #[serde(rename = "system_identifier")]
    pub identity: Option<DataIdentity>,
    /// Where the marker of a verification stands.
    pub marker: Option<Position>,
    /// What shows that a node takes no writes any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<FenceProof>,
    /// How it is known that nothing of the node's server runs any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub witness: Option<Witness>,
    /// The image that a node's server was made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Box<Image>>,
    /// How the lead passed to a node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Box<Switch>>,
    /// What sessions begin with since a seed has run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SeededSettings>,
}

/// The settings that a seed has changed, by which sessions begin with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeededSettings {
    /// Those of sessions in its database.
    pub database: Settings,
    /// Those of the sessions of the database's owner, by database; the empty name is for every database.
    pub owner: BTreeMap<String, Settings>,
}

impl Edit {
    /// Returns what the edit changes.
    pub fn address(&self) -> Address {
        match self {
            Edit::Network(name, _) => Address::Network(name.clone()),
            Edit::Cluster(name, _)
            | Edit::SyncRule(name, _)
            | Edit::Degraded(name, _)
            | Edit::Election(name, _)
            | Edit::Switched(name)
            | Edit::Unverified(name) => Address::Cluster(name.clone()),
            Edit::Verified { cluster, .. } => Address::Cluster(cluster.clone()),
            Edit::Succession { node, .. } => Address::Cluster(node.cluster.clone()),
            Edit::Instance(instance) => instance.node.clone().into(),
            Edit::Data { node, .. }
            | Edit::Role(node, _)
            | Edit::Fenced(node, _)
            | Edit::Slot(node, _)
            | Edit::SlotLeft(node, _)
            | Edit::SlotGone(node, _)
            | Edit::StoppedByRequest(node, _)
            | Edit::NeedsRebuild(node, _)
            | Edit::Damage(node, _)
            | Edit::Emptied(node, _)
            | Edit::Protected(node, _)
            | Edit::Power(node, _) => node.clone().into(),
            Edit::User(user, _) => user.clone().into(),
            Edit::Database(database, _) => database.clone().into(),
            Edit::Seed(seed, _) => seed.clone().into(),
            Edit::Endpoint(endpoint, _) | Edit::Pooler(endpoint, _) | Edit::Paused(endpoint, _) => {
                endpoint.clone().into()
            }
            Edit::Session(address) | Edit::Drop(address) => address.clone(),
        }
    }
}

impl Delta {
    /// Returns the edits that may hold as soon as the step starts, whether its end is ever recorded or not, and that
    /// nobody can look up afterwards.
    pub fn beginning(&self) -> impl Iterator<Item = &Edit> {
        let begins = |edit: &&Edit| {
            matches!(
                edit,
                Edit::SyncRule(..) | Edit::Succession { .. } | Edit::Paused(_, true)
            )
        };
        self.0.iter().filter(begins)
    }
}

impl State {
    /// Notes, in memory, what may hold as soon as a step with this delta starts.
    pub fn begin(&mut self, delta: &Delta) {
        for edit in delta.beginning() {
            match edit {
                Edit::SyncRule(name, rule) => self.begin_rule(name, rule),
                Edit::Succession { node, rule, .. } => self.begin_rule(&node.cluster, rule),
                _ => self.apply_edit(edit, &Outputs::default()),
            }
        }
    }

    fn begin_rule(&mut self, name: &ClusterName, rule: &SyncRule) {
        if let Some(cluster) = self.clusters.get_mut(name)
            && let Some(election) = self.elections.get(name)
            && cluster.sync_rule != *rule
        {
            cluster.pending_sync_rules.insert(PendingSyncRule {
                node: election.primary.clone(),
                rule: rule.clone(),
            });
        }
    }

    /// Folds a delta into the record, in memory.
    pub fn apply(&mut self, delta: &Delta, outputs: &Outputs) {
        for edit in &delta.0 {
            self.apply_edit(edit, outputs);
        }
    }

    #[expect(clippy::too_many_lines, reason = "one short arm for each recorded attribute")]
    fn apply_edit(&mut self, edit: &Edit, outputs: &Outputs) {
        match edit {
            Edit::Network(name, network) => {
                self.networks.insert(name.clone(), network.clone());
            }
            Edit::Cluster(name, cluster) => {
                let mut cluster = (**cluster).clone();
                if let Some(old) = self.clusters.remove(name) {
                    cluster.sync_rule = old.sync_rule;
                    cluster.pending_sync_rules = old.pending_sync_rules;
                    cluster.verified = old.verified;
                }
                self.clusters.insert(name.clone(), cluster);
            }
            Edit::SyncRule(name, rule) => {
                if let Some(cluster) = self.clusters.get_mut(name) {
                    cluster.sync_rule.clone_from(rule);
                    cluster.pending_sync_rules.clear();
                }
            }
            Edit::Succession { node, former, rule } => self.apply_succession(node, former, rule),
            Edit::Election(name, election) => {
                self.elections.insert(name.clone(), election.clone());
            }
            Edit::Data {
                node,
                generation,
                origin,
                outside,
            } => self.apply_data(node, *generation, (origin, outside.as_deref()), outputs),
            Edit::Instance(instance) => {
                let Instance {
                    node,
                    platform,
                    place,
                    image,
                    resources,
                    parameters,
                } = &**instance;
                let node = self.node_mut(node);
                node.platform.clone_from(platform);
                node.place = Some(place.clone());
                node.image = image.as_ref().or(outputs.image.as_deref()).cloned();
                node.resources = *resources;
                node.parameters.clone_from(parameters);
            }
            Edit::Degraded(cluster, since) => {
                if let Some(cluster) = self.clusters.get_mut(cluster) {
                    cluster.degraded.clone_from(since);
                }
            }
            Edit::Role(node, role) => self.node_mut(node).role = Some(role.clone()),
            Edit::NeedsRebuild(node, needs_rebuild) => self.node_mut(node).needs_rebuild = *needs_rebuild,
            Edit::Damage(node, damage) => {
                // A node that is gone meanwhile does not come back by it.
                if let Some(node) = self.nodes.get_mut(node) {
                    node.damage.clone_from(damage);
                }
            }
            Edit::Slot(node, slot) => {
                let node = self.node_mut(node);
                node.left_slots.retain(|left| Some(left) != slot.as_ref());
                node.slot.clone_from(slot);
            }
            Edit::SlotLeft(node, slot) => {
                let node = self.node_mut(node);
                if !node.left_slots.contains(slot) {
                    node.left_slots.push(slot.clone());
                }
            }
            Edit::SlotGone(node, slot) => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.left_slots.retain(|left| left != slot);
                    node.slot.take_if(|own| own == slot);
                }
            }
            Edit::Fenced(node, term) => {
                // Without a proof nothing is fenced, whatever was done to it.
                if let (Some(proof), Some(witness)) = (outputs.proof.clone(), outputs.witness) {
                    let term = *term;
                    self.node_mut(node).role = Some(Role::Fenced { term, proof, witness });
                }
            }
            Edit::Switched(cluster) => {
                if let Some(election) = self.elections.get_mut(cluster) {
                    election.switch = outputs.switch.as_deref().cloned();
                }
            }
            Edit::Power(node, power) => self.node_mut(node).power = *power,
            Edit::StoppedByRequest(node, stopped) => self.node_mut(node).stopped_by_request = *stopped,
            Edit::Emptied(node, slot) => {
                let node = self.node_mut(node);
                *node = Node {
                    slot: Some(slot.clone()),
                    left_slots: std::mem::take(&mut node.left_slots),
                    ..Node::default()
                };
            }
            Edit::User(address, user) => drop(self.users.insert(address.clone(), user.clone())),
            Edit::Database(address, database) => drop(self.databases.insert(address.clone(), database.clone())),
            Edit::Seed(address, seed) => drop(self.seeds.insert(address.clone(), seed.clone())),
            Edit::Session(address) => self.apply_session(address, outputs.session.as_ref()),
            Edit::Protected(node, protected) => {
                // One that is gone meanwhile needs no protection.
                if let Some(node) = self.nodes.get_mut(node) {
                    node.prevent_destroy = *protected;
                }
            }
            Edit::Endpoint(address, endpoint) => {
                let mut endpoint = (**endpoint).clone();
                endpoint.pooler = self.endpoints.remove(address).and_then(|old| old.pooler);
                self.endpoints.insert(address.clone(), endpoint);
            }
            Edit::Pooler(address, pooler) => self.apply_pooler(address, pooler.as_deref()),
            Edit::Paused(address, paused) => {
                let endpoint = self.endpoints.get_mut(address);
                if let Some(pooler) = endpoint.and_then(|endpoint| endpoint.pooler.as_mut()) {
                    pooler.paused = *paused;
                }
            }
            Edit::Verified {
                cluster,
                topology,
                term,
            } => self.apply_verified(cluster, topology, *term, outputs),
            Edit::Unverified(cluster) => {
                if let Some(cluster) = self.clusters.get_mut(cluster) {
                    cluster.verified = None;
                }
            }
            Edit::Drop(address) => self.remove(address),
        }
    }

    fn apply_succession(&mut self, node: &NodeAddress, former: &NodeName, rule: &SyncRule) {
        let Some(cluster) = self.clusters.get_mut(&node.cluster) else {
            return;
        };
        let begun = |pending: &PendingSyncRule| pending.node == node.node && pending.rule == *rule;
        cluster.pending_sync_rules.retain(|pending| !begun(pending));
        let before = std::mem::replace(&mut cluster.sync_rule, rule.clone());
        if before != *rule {
            cluster.pending_sync_rules.insert(PendingSyncRule {
                node: former.clone(),
                rule: before,
            });
        }
    }

    fn apply_data(
        &mut self,
        node: &NodeAddress,
        generation: u32,
        (origin, outside): (&Origin, Option<&str>),
        outputs: &Outputs,
    ) {
        // A step that makes data always says whose; without it the record would name data nobody has seen.
        if let Some(identity) = outputs.identity.clone() {
            let node = self.node_mut(node);
            node.data = Some(Data {
                generation,
                identity,
                origin: origin.clone(),
                outside: outside.map(str::to_owned),
            });
            node.needs_rebuild = false;
            node.damage = None;
            // What a server on this data is to its cluster is known when one has been started on it.
            node.role = None;
        }
    }

    /// What a seed sets for sessions is simdb's own.
    fn apply_session(&mut self, address: &Address, session: Option<&SeededSettings>) {
        let Some(SeededSettings { database, owner }) = session else {
            return;
        };
        match address {
            Address::Database(address) => {
                if let Some(recorded) = self.databases.get_mut(address) {
                    recorded.settings.extend(database.clone());
                }
            }
            Address::User(address) => {
                if let Some(recorded) = self.users.get_mut(address) {
                    for (of, settings) in owner {
                        let recorded = recorded.settings.entry(of.clone()).or_default();
                        recorded.extend(settings.clone());
                    }
                }
            }
            _ => {}
        }
    }

    /// A pooler is there before the endpoint has a route to it.
    fn apply_pooler(&mut self, address: &EndpointAddress, pooler: Option<&Pooler>) {
        match (self.endpoints.get_mut(address), pooler) {
            (Some(endpoint), pooler) => {
                let paused = endpoint.pooler.as_ref().is_some_and(|old| old.paused);
                endpoint.pooler = pooler.cloned().map(|pooler| Pooler { paused, ..pooler });
            }
            (None, Some(pooler)) => {
                let endpoint = Endpoint {
                    target: EndpointTarget::Primary,
                    nodes: Vec::new(),
                    hosts: Vec::new(),
                    pooler: Some(pooler.clone()),
                };
                self.endpoints.insert(address.clone(), endpoint);
            }
            (None, None) => {}
        }
    }

    fn apply_verified(&mut self, cluster: &ClusterName, topology: &str, term: Term, outputs: &Outputs) {
        if let (Some(cluster), Some(marker)) = (self.clusters.get_mut(cluster), outputs.marker.clone()) {
            cluster.pending_sync_rules.clear();
            cluster.verified = Some(Verified {
                topology: topology.to_owned(),
                term,
                marker,
            });
        }
    }

    fn node_mut(&mut self, address: &NodeAddress) -> &mut Node {
        self.nodes.entry(address.clone()).or_default()
    }

    fn remove(&mut self, address: &Address) {
        match address {
            Address::Network(name) => drop(self.networks.remove(name)),
            Address::Cluster(name) => {
                self.clusters.remove(name);
                self.elections.remove(name);
            }
            Address::Node(address) => {
                self.nodes.remove(address);
                self.made_as.remove(&address.into());
            }
            Address::User(address) => drop(self.users.remove(address)),
            Address::Database(address) => {
                self.databases.remove(address);
                let users = self
                    .users
                    .iter_mut()
                    .filter(|(user, _)| user.cluster == address.cluster);
                for (_, user) in users {
                    user.settings.remove(address.database.as_str());
                }
            }
            Address::Seed(address) => drop(self.seeds.remove(address)),
            Address::Endpoint(address) => {
                self.endpoints.remove(address);
                self.made_as.remove(&address.into());
            }
        }
    }
}
