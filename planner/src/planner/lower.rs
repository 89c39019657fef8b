//! Changes to steps: what each difference takes, with its delta, its impact and its reason. Order comes later.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{Address, EndpointAddress, NodeAddress, UserAddress};
use simdb_state::delta::{Delta, Edit};
use simdb_state::instance::ServiceEntry;
use simdb_state::name::ClusterName;
use simdb_state::object::{Cluster, Data, Endpoint, EndpointTarget, Node, Power, Role, State, User};
use simdb_state::sensitive::SecretName;

use super::diff::pairs;
use super::intend::{DataGoal, Intended, IntendedCluster, IntendedNode};
use crate::engine::postgresql::instance::{self, NodeContext, Upstream, replication_password, superuser_password};
use crate::engine::postgresql::settings;
use crate::observed::Observed;
use crate::plan::{Action, Impact, Server};

const ORPHAN: &str = "an interrupted run left it, and the configuration does not declare it";

/// A step before it has a place.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) address: Address,
    pub(super) action: Action,
    pub(super) impact: Impact,
    pub(super) reason: String,
    pub(super) delta: Delta,
    pub(super) generates: BTreeSet<SecretName>,
}

impl Draft {
    fn new(address: impl Into<Address>, action: Action, reason: impl Into<String>, delta: Vec<Edit>) -> Self {
        Self {
            address: address.into(),
            action,
            impact: Impact::None,
            reason: reason.into(),
            delta: Delta(delta),
            generates: BTreeSet::new(),
        }
    }

    fn costing(mut self, impact: Impact) -> Self {
        self.impact = impact;
        self
    }

    fn generating(mut self, secret: SecretName) -> Self {
        self.generates.insert(secret);
        self
    }
}

/// Returns the steps that lead from what is there to what should be.
pub(super) fn lower(before: &State, intended: &Intended, observed: &Observed) -> Vec<Draft> {
    let lowering = Lowering {
        before,
        intended,
        drafts: Vec::new(),
    };
    lowering.all(observed)
}

struct Lowering<'a> {
    before: &'a State,
    intended: &'a Intended,
    drafts: Vec<Draft>,
}

impl<'a> Lowering<'a> {
    fn all(mut self, observed: &Observed) -> Vec<Draft> {
        self.networks();
        for (address, old, new) in pairs(&self.before.nodes, &self.intended.nodes) {
            match new {
                Some(new) => self.node(address, old, new),
                None => self.drop_node(address, old),
            }
        }
        self.orphans(observed);
        self.orphaned_entries(observed);
        for (address, old, new) in pairs(&self.before.users, &self.intended.users) {
            self.user(address, old, new);
        }
        for (address, old, new) in pairs(&self.before.endpoints, &self.intended.endpoints) {
            self.endpoint(address, old, new);
        }
        let cleared: BTreeSet<ClusterName> = self
            .drafts
            .iter()
            .flat_map(|draft| &draft.delta.0)
            .filter_map(cleared)
            .collect();
        for (name, _, new) in pairs(&self.before.clusters, &self.intended.clusters) {
            self.cluster(name, new, cleared.contains(name));
        }
        self.drafts
    }

    fn push(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    fn networks(&mut self) {
        for (name, old, new) in pairs(&self.before.networks, &self.intended.networks) {
            let address = Address::Network(name.clone());
            match (old, new) {
                (old, Some(new)) if old != Some(new) => {
                    let delta = vec![Edit::Network(name.clone(), new.clone())];
                    let action = Action::Network { network: name.clone() };
                    self.push(Draft::new(address, action, "the configuration declares it", delta));
                }
                (Some(_), None) => {
                    let delta = vec![Edit::Drop(address.clone())];
                    let action = Action::DropNetwork { network: name.clone() };
                    self.push(Draft::new(
                        address,
                        action,
                        "the configuration no longer declares it",
                        delta,
                    ));
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, address: &NodeAddress, old: Option<&Node>, new: &IntendedNode) {
        let Some(cluster) = self.intended.clusters.get(&address.cluster) else {
            return;
        };
        match &new.role {
            Role::Primary { .. } => self.primary(address, old, new, cluster),
            Role::Standby { .. } => self.standby(address, old, new, cluster),
        }
    }

    fn primary(&mut self, address: &NodeAddress, old: Option<&Node>, new: &IntendedNode, cluster: &IntendedCluster) {
        let context = context(self.intended, address, new, cluster);
        let DataGoal::Make { generation, origin } = &new.data else {
            return self.kept(address, old, new, &context);
        };
        let name = &address.cluster;
        let delta = vec![
            Edit::Cluster(
                name.clone(),
                Cluster {
                    verified: None,
                    ..cluster.cluster.clone()
                },
            ),
            Edit::Election(name.clone(), cluster.election.clone()),
            Edit::Data {
                node: address.clone(),
                generation: *generation,
                origin: origin.clone(),
            },
            instance_edit(address, new),
            Edit::Role(address.clone(), new.role.clone()),
            Edit::Power(address.clone(), Power::Running),
        ];
        let action = Action::Primary {
            initdb: instance::initdb(&context),
            instance: instance::server(&context),
            server: server(address, new),
        };
        // Every node's passfile holds the replication password, so it is made up before the first server starts.
        let draft = Draft::new(
            address.clone(),
            action,
            format!("cluster {name} is new, and {} leads it", address.node),
            delta,
        )
        .generating(superuser_password(name))
        .generating(replication_password(name));
        self.push(draft);
    }

    fn standby(&mut self, address: &NodeAddress, old: Option<&Node>, new: &IntendedNode, cluster: &IntendedCluster) {
        let context = context(self.intended, address, new, cluster);
        let Some(upstream) = &context.upstream else { return };
        let Some(upstream_node) = self.intended.nodes.get(&upstream.address) else {
            return;
        };
        let upstream_server = server(&upstream.address, upstream_node);
        let follows = &upstream.address.node;
        if let (Some(slot), true) = (&new.slot, old.and_then(|old| old.slot.as_ref()) != new.slot.as_ref()) {
            let delta = vec![Edit::Slot(address.clone(), Some(slot.clone()))];
            let action = Action::Slot {
                node: address.clone(),
                slot: slot.clone(),
                server: upstream_server.clone(),
            };
            let reason = format!("{follows} keeps the log that {} has yet to receive", address.node);
            self.push(Draft::new(address.clone(), action, reason, delta));
        }
        let DataGoal::Make { generation, origin } = &new.data else {
            if old.is_some_and(|old| old.role.is_some()) {
                return self.kept(address, old, new, &context);
            }
            return self.start_standby(address, new, &context, upstream_server);
        };
        let task = instance::basebackup(&context, upstream);
        let delta = vec![Edit::Data {
            node: address.clone(),
            generation: *generation,
            origin: origin.clone(),
        }];
        let action = Action::Basebackup {
            node: address.clone(),
            task,
            data: Data::directory(*generation),
        };
        self.push(Draft::new(
            address.clone(),
            action,
            format!("{} has no copy of {follows}'s data", address.node),
            delta,
        ));
        self.start_standby(address, new, &context, upstream_server);
    }

    fn start_standby(
        &mut self,
        address: &NodeAddress,
        new: &IntendedNode,
        context: &NodeContext<'_>,
        upstream: Server,
    ) {
        let delta = vec![
            instance_edit(address, new),
            Edit::Role(address.clone(), new.role.clone()),
            Edit::Power(address.clone(), Power::Running),
            Edit::Unverified(address.cluster.clone()),
        ];
        let reason = format!("{} is to stream from {}", address.node, upstream.node.node);
        let action = Action::Standby {
            instance: instance::server(context),
            server: server(address, new),
            upstream,
            application_name: address.node.identifier(),
        };
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    /// A node that keeps its data and role: it may be down, or get other parameters.
    fn kept(&mut self, address: &NodeAddress, old: Option<&Node>, new: &IntendedNode, context: &NodeContext<'_>) {
        let Some(old) = old else { return };
        let in_recovery = matches!(new.role, Role::Standby { .. });
        let (instance, server) = (instance::server(context), server(address, new));
        let cluster = address.cluster.clone();
        let mut delta = vec![
            instance_edit(address, new),
            Edit::Power(address.clone(), Power::Running),
        ];
        if old.power == Power::Stopped {
            delta.push(Edit::Unverified(cluster));
            let action = Action::Start {
                instance,
                server,
                in_recovery,
            };
            // It is down already: starting it ends the downtime, it causes none.
            self.push(Draft::new(
                address.clone(),
                action,
                "its server is down, and starts on the data it has",
                delta,
            ));
        } else if old.parameters != new.parameters {
            let impact = parameters_impact(context.version, &old.parameters, &new.parameters);
            if impact == Impact::Restart {
                delta.push(Edit::Unverified(cluster));
            }
            let reason = parameters_reason(&old.parameters, &new.parameters);
            let action = Action::Configure {
                instance,
                server,
                restart: impact == Impact::Restart,
                in_recovery,
            };
            let restarts_writer = impact == Impact::Restart && !in_recovery;
            let impact = if restarts_writer { Impact::Downtime } else { impact };
            self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
        }
    }

    fn drop_node(&mut self, address: &NodeAddress, old: Option<&Node>) {
        let cluster_stays = self.intended.clusters.contains_key(&address.cluster);
        let has_data = old.is_some_and(|old| old.data.is_some());
        // A standby's data is a copy; with the whole cluster, the last one goes.
        let impact = if has_data && !cluster_stays {
            Impact::DataLoss
        } else {
            Impact::None
        };
        let reason = "the configuration no longer declares it";
        let action = Action::DropNode { node: address.clone() };
        let delta = vec![Edit::Drop(address.clone().into())];
        self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
        let Some(slot) = old.and_then(|old| old.slot.clone()) else {
            return;
        };
        let upstream = NodeAddress {
            cluster: address.cluster.clone(),
            node: slot.upstream.clone(),
        };
        let Some(upstream_node) = self.intended.nodes.get(&upstream) else {
            return;
        };
        let server = server(&upstream, upstream_node);
        let reason = format!("nobody will read it once {} is gone", address.node);
        let action = Action::DropSlot {
            node: address.clone(),
            slot,
            server,
        };
        self.push(Draft::new(address.clone(), action, reason, Vec::new()));
    }

    /// Homes that neither the record nor the configuration knows: a run was killed before it could record them.
    fn orphans(&mut self, observed: &Observed) {
        for (address, observation) in &observed.nodes {
            let known = self.before.nodes.contains_key(address) || self.intended.nodes.contains_key(address);
            let Some(facts) = observation.seen().filter(|_| !known) else {
                continue;
            };
            let impact = if facts.generations.is_empty() {
                Impact::None
            } else {
                Impact::DataLoss
            };
            let action = Action::DropNode { node: address.clone() };
            let delta = vec![Edit::Drop(address.clone().into())];
            self.push(Draft::new(address.clone(), action, ORPHAN, delta).costing(impact));
        }
    }

    /// Entries that neither the record nor the configuration knows.
    fn orphaned_entries(&mut self, observed: &Observed) {
        for (address, observation) in &observed.endpoints {
            let known = self.before.endpoints.contains_key(address) || self.intended.endpoints.contains_key(address);
            let Some(entry) = observation.seen().filter(|_| !known) else {
                continue;
            };
            let action = Action::DropEndpoint {
                endpoint: address.clone(),
                name: entry.name.clone(),
            };
            let delta = vec![Edit::Drop(address.clone().into())];
            self.push(Draft::new(address.clone(), action, ORPHAN, delta));
        }
    }

    fn user(&mut self, address: &UserAddress, old: Option<&User>, new: Option<&User>) {
        match (old, new) {
            (old, Some(new)) if old != Some(new) => {
                let Some(server) = self.primary_server(&address.cluster) else {
                    return;
                };
                let password = SecretName::password(address);
                let action = Action::ReplicationUser {
                    user: address.clone(),
                    attributes: new.clone(),
                    password: password.clone(),
                    server,
                };
                let delta = vec![Edit::User(address.clone(), new.clone())];
                let reason = "standbys stream with it, and with it alone";
                self.push(Draft::new(address.clone(), action, reason, delta).generating(password));
            }
            (Some(_), None) => {
                let delta = vec![Edit::Drop(address.clone().into())];
                let action = Action::DropUser { user: address.clone() };
                self.push(Draft::new(address.clone(), action, "it goes with its cluster", delta));
            }
            _ => {}
        }
    }

    fn endpoint(&mut self, address: &EndpointAddress, old: Option<&Endpoint>, new: Option<&Endpoint>) {
        let name = address.service();
        match (old, new) {
            (old, Some(new)) if old != Some(new) => {
                let reason = match old {
                    None => format!("{name} is to lead to the {}", new.target),
                    Some(_) => format!("{name} leads elsewhere"),
                };
                let action = Action::Endpoint {
                    endpoint: address.clone(),
                    entry: entry(address, name, new),
                };
                let delta = vec![Edit::Endpoint(address.clone(), new.clone())];
                self.push(Draft::new(address.clone(), action, reason, delta));
            }
            (Some(_), None) => {
                let delta = vec![Edit::Drop(address.clone().into())];
                let action = Action::DropEndpoint {
                    endpoint: address.clone(),
                    name,
                };
                self.push(Draft::new(
                    address.clone(),
                    action,
                    "the configuration no longer declares it",
                    delta,
                ));
            }
            _ => {}
        }
    }

    /// A cluster is proven anew whenever its topology is another, or a step cleared the last proof.
    fn cluster(&mut self, name: &ClusterName, new: Option<&IntendedCluster>, cleared: bool) {
        let address = Address::Cluster(name.clone());
        let Some(IntendedCluster {
            cluster,
            election,
            topology,
        }) = new
        else {
            let delta = vec![Edit::Drop(address.clone())];
            let action = Action::DropCluster { cluster: name.clone() };
            return self.push(Draft::new(
                address,
                action,
                "the configuration no longer declares it",
                delta,
            ));
        };
        let proven = cluster
            .verified
            .as_ref()
            .is_some_and(|verified| verified.topology == *topology && verified.term == election.term);
        let Some(primary) = self.primary_server(name).filter(|_| cleared || !proven) else {
            return;
        };
        let delta = vec![Edit::Verified {
            cluster: name.clone(),
            topology: topology.clone(),
            term: election.term,
        }];
        let standbys: BTreeMap<String, Server> = self
            .intended
            .nodes_of(name)
            .filter(|(_, node)| matches!(node.role, Role::Standby { .. }))
            .map(|(address, node)| (address.node.identifier(), server(address, node)))
            .collect();
        let reason = match standbys.len() {
            0 => "the primary must take writes before it is called ready".to_owned(),
            _ => "every standby must be seen to replay what the primary commits".to_owned(),
        };
        let action = Action::VerifySync {
            cluster: name.clone(),
            primary,
            standbys,
        };
        self.push(Draft::new(address, action, reason, delta));
    }

    fn primary_server(&self, cluster: &ClusterName) -> Option<Server> {
        let primary = self.intended.primary(cluster)?;
        let node = self.intended.nodes.get(&primary)?;
        Some(server(&primary, node))
    }
}

fn context<'a>(
    intended: &Intended,
    address: &'a NodeAddress,
    node: &'a IntendedNode,
    cluster: &IntendedCluster,
) -> NodeContext<'a> {
    let upstream = match (&node.role, &node.slot) {
        (Role::Standby { follows }, Some(slot)) => {
            let address = NodeAddress {
                cluster: address.cluster.clone(),
                node: follows.clone(),
            };
            let listen = intended.nodes.get(&address).map(|upstream| upstream.listen);
            listen.map(|listen| Upstream {
                address,
                listen,
                slot: slot.name.clone(),
            })
        }
        _ => None,
    };
    NodeContext {
        address,
        version: cluster.cluster.version,
        listen: node.listen,
        parameters: &node.parameters,
        generation: node.data.generation(),
        upstream,
    }
}

fn server(address: &NodeAddress, node: &IntendedNode) -> Server {
    Server {
        node: address.clone(),
        listen: node.listen,
        password: superuser_password(&address.cluster),
    }
}

/// The cluster whose last proof an edit clears.
fn cleared(edit: &Edit) -> Option<ClusterName> {
    match edit {
        Edit::Unverified(cluster) => Some(cluster.clone()),
        _ => None,
    }
}

fn instance_edit(address: &NodeAddress, node: &IntendedNode) -> Edit {
    Edit::Instance {
        node: address.clone(),
        listen: node.listen,
        parameters: node.parameters.clone(),
    }
}

fn entry(address: &EndpointAddress, name: String, endpoint: &Endpoint) -> ServiceEntry {
    let session = match endpoint.target {
        EndpointTarget::Primary => "read-write",
        EndpointTarget::Standby => "prefer-standby",
    };
    ServiceEntry {
        endpoint: address.clone(),
        name,
        hosts: endpoint.hosts.clone(),
        database: "postgres".to_owned(),
        session: session.to_owned(),
    }
}

fn changed<'a>(
    old: &'a BTreeMap<String, String>,
    new: &'a BTreeMap<String, String>,
) -> impl Iterator<Item = &'a String> {
    pairs(old, new)
        .filter(|(_, old, new)| old != new)
        .map(|(name, _, _)| name)
}

fn parameters_impact(version: u16, old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> Impact {
    changed(old, new)
        .map(|name| settings::impact(version, name))
        .max()
        .unwrap_or(Impact::Reload)
}

fn parameters_reason(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> String {
    let names: Vec<&str> = changed(old, new).map(String::as_str).collect();
    format!("the configuration changes {}", names.join(", "))
}
