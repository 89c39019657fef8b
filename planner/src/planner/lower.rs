//! Changes to steps: what each difference takes, with its delta, its impact and its reason. Order comes later.

mod node;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{Address, EndpointAddress, NodeAddress, UserAddress};
use simdb_state::delta::{Delta, Edit};
use simdb_state::instance::ServiceEntry;
use simdb_state::name::ClusterName;
use simdb_state::object::{Cluster, Endpoint, EndpointTarget, Power, Role, State, User};
use simdb_state::sensitive::SecretName;

use super::diff::pairs;
use super::intend::{Intended, IntendedCluster, IntendedNode};
use crate::engine::postgresql::instance::superuser_password;
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
        observed,
        drafts: Vec::new(),
    };
    lowering.all()
}

struct Lowering<'a> {
    before: &'a State,
    intended: &'a Intended,
    observed: &'a Observed,
    drafts: Vec<Draft>,
}

impl Lowering<'_> {
    fn all(mut self) -> Vec<Draft> {
        self.networks();
        for (address, old, new) in pairs(&self.before.nodes, &self.intended.nodes) {
            match new {
                Some(new) => self.node(address, old, new),
                None => self.drop_node(address, old),
            }
        }
        self.orphans();
        self.orphaned_entries();
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

    /// Homes that neither the record nor the configuration knows: a run was killed before it could record them.
    fn orphans(&mut self) {
        for (address, observation) in &self.observed.nodes {
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
    fn orphaned_entries(&mut self) {
        for (address, observation) in &self.observed.endpoints {
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
        let recorded = self.before.clusters.get(name);
        let proven = cluster
            .verified
            .as_ref()
            .is_some_and(|verified| verified.topology == *topology && verified.term == election.term);
        let differs = recorded.is_some_and(|recorded| recorded != cluster);
        let due = cleared || !proven || differs;
        let Some(primary) = self.primary_server(name).filter(|_| due) else {
            return;
        };
        let unproven = Cluster {
            verified: None,
            ..cluster.clone()
        };
        let proof = Edit::Verified {
            cluster: name.clone(),
            topology: topology.clone(),
            term: election.term,
        };
        let delta = if differs {
            vec![Edit::Cluster(name.clone(), unproven), proof]
        } else {
            vec![proof]
        };
        let standbys: BTreeMap<String, Server> = self
            .intended
            .nodes_of(name)
            .filter(|(_, node)| matches!(node.role, Role::Standby { .. }) && node.power == Power::Running)
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
        let (primary, node) = self.intended.running_primary(cluster)?;
        Some(server(&primary, node))
    }
}

fn server(address: &NodeAddress, node: &IntendedNode) -> Server {
    Server {
        node: address.clone(),
        listen: node.listen,
        password: superuser_password(&address.cluster),
    }
}

/// A server that starts has yet to prove that it is in sync.
fn cleared_by_start(address: &NodeAddress) -> Edit {
    Edit::Unverified(address.cluster.clone())
}

/// The cluster whose last proof an edit clears.
fn cleared(edit: &Edit) -> Option<ClusterName> {
    match edit {
        Edit::Unverified(cluster) => Some(cluster.clone()),
        _ => None,
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
