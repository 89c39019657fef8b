//! Configuration, election and facts in; what every object should be, out. The only place that decides who leads.

use std::collections::BTreeMap;

use simdb_state::address::{EndpointAddress, NodeAddress, UserAddress};
use simdb_state::digest::sha256;
use simdb_state::name::{ClusterName, NetworkName, NodeName};
use simdb_state::object::{
    Cluster, Data, Election, ElectionReason, Endpoint, EndpointTarget, Listen, Network, Node, Origin, Power, Role,
    Slot, State, Term, User,
};

use super::before::{self, next_generation, unrecorded_generation};
use super::contradiction::contradiction;
use super::drift::{self, Drift};
use super::ports::Ports;
use super::{Inputs, Proposal, versions};
use crate::desired::{ClusterSpec, NodeSpec};
use crate::diagnostic::Diagnostic;
use crate::engine::postgresql::instance::{NodeContext, REPLICATION_USER, Upstream, user};
use crate::engine::postgresql::settings;
use crate::observed::{NodeFacts, Observation};

/// What every object should be.
#[derive(Clone, Debug, Default)]
pub(super) struct Intended {
    pub(super) networks: BTreeMap<NetworkName, Network>,
    pub(super) clusters: BTreeMap<ClusterName, IntendedCluster>,
    pub(super) nodes: BTreeMap<NodeAddress, IntendedNode>,
    pub(super) users: BTreeMap<UserAddress, User>,
    pub(super) endpoints: BTreeMap<EndpointAddress, Endpoint>,
    /// What the running servers' configurations differ in, where they do.
    pub(super) drift: BTreeMap<NodeAddress, Drift>,
}

/// What a cluster should be.
#[derive(Clone, Debug)]
pub(super) struct IntendedCluster {
    pub(super) cluster: Cluster,
    pub(super) election: Election,
    /// The digest of who is in it, where, and what they are to each other: what a verification proves.
    pub(super) topology: String,
}

/// What a node should be.
#[derive(Clone, Debug)]
pub(super) struct IntendedNode {
    pub(super) listen: Listen,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) data: DataGoal,
    pub(super) role: Role,
    pub(super) slot: Option<Slot>,
    pub(super) power: Power,
}

/// What should become of a node's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum DataGoal {
    /// It stays as it is.
    Keep(Data),
    /// It is made, unless its directory is there already: then it is looked at and recorded.
    Make { generation: u32, origin: Origin },
}

impl DataGoal {
    pub(super) fn generation(&self) -> u32 {
        match self {
            DataGoal::Keep(data) => data.generation,
            DataGoal::Make { generation, .. } => *generation,
        }
    }
}

impl Intended {
    /// Returns the node that leads a cluster.
    pub(super) fn primary(&self, cluster: &ClusterName) -> Option<NodeAddress> {
        let election = &self.clusters.get(cluster)?.election;
        Some(NodeAddress {
            cluster: cluster.clone(),
            node: election.primary.clone(),
        })
    }

    /// Returns the node that leads a cluster, where it is meant to run.
    pub(super) fn running_primary(&self, cluster: &ClusterName) -> Option<(NodeAddress, &IntendedNode)> {
        let primary = self.primary(cluster)?;
        let node = self.nodes.get(&primary).filter(|node| node.power == Power::Running)?;
        Some((primary, node))
    }

    /// Returns what the server of a node depends on.
    pub(super) fn context<'a>(
        &self,
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
                let listen = self.nodes.get(&address).map(|upstream| upstream.listen);
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

    /// Returns the nodes of one cluster.
    pub(super) fn nodes_of<'a>(
        &'a self,
        cluster: &'a ClusterName,
    ) -> impl Iterator<Item = (&'a NodeAddress, &'a IntendedNode)> {
        let first = NodeAddress {
            cluster: cluster.clone(),
            node: NodeName::single("a".parse().expect("a is a name")),
        };
        self.nodes
            .range(first..)
            .take_while(move |(address, _)| address.cluster == *cluster)
    }
}

/// Returns what every object should be. A cluster that cannot be told gets diagnostics, and is left out.
pub(super) fn intend(inputs: Inputs<'_>, before: &State, diagnostics: &mut Vec<Diagnostic>) -> Intended {
    let mut intended = Intended::default();
    for (name, spec) in &inputs.desired.networks {
        intended.networks.insert(
            name.clone(),
            Network {
                subnet: spec.subnet.clone(),
            },
        );
    }
    let mut ports = Ports::new(inputs.desired, before, inputs.observed);
    for (name, spec) in &inputs.desired.clusters {
        let found = Draft {
            inputs,
            before,
            name,
            spec,
        }
        .cluster(&mut ports, &mut intended);
        diagnostics.extend(found);
    }
    intended.drift = drifts(inputs, &intended);
    intended
}

/// Looks for drift on every node that stays what it is and runs.
fn drifts(inputs: Inputs<'_>, intended: &Intended) -> BTreeMap<NodeAddress, Drift> {
    let mut drifts = BTreeMap::new();
    for (address, observation) in &inputs.observed.nodes {
        let (Some(facts), Some(node)) = (observation.seen(), intended.nodes.get(address)) else {
            continue;
        };
        let Some(cluster) = intended.clusters.get(&address.cluster) else {
            continue;
        };
        if matches!(node.data, DataGoal::Keep(_)) {
            let found = drift::drift(&intended.context(address, node, cluster), facts);
            drifts.extend(found.map(|drift| (address.clone(), drift)));
        }
    }
    drifts
}

/// One cluster on its way from declaration to intention.
struct Draft<'a> {
    inputs: Inputs<'a>,
    before: &'a State,
    name: &'a ClusterName,
    spec: &'a ClusterSpec,
}

impl Draft<'_> {
    fn cluster(&self, ports: &mut Ports<'_>, intended: &mut Intended) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        let mut keep = |result: Result<(), Diagnostic>| diagnostics.extend(result.err());
        let version = versions::choose(self.name, self.spec, self.before, &self.inputs.observed.platform);
        let election = self.election();
        keep(self.same_network());
        keep(version.as_ref().map(|_| ()).map_err(Clone::clone));
        keep(election.as_ref().map(|_| ()).map_err(Clone::clone));
        let mut nodes = BTreeMap::new();
        for (node, spec) in &self.spec.nodes {
            let address = self.address(node);
            match ports.listen(&address, spec, self.before) {
                Ok(listen) => drop(nodes.insert(node.clone(), (address, spec, listen))),
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }
        if let Ok(version) = version {
            diagnostics.extend(self.parameters(version));
        }
        if let (Ok(version), Ok(election)) = (version, election) {
            for (address, spec, listen) in nodes.into_values() {
                let node = self.node(&address, spec, listen, &election);
                match node {
                    Ok(node) => drop(intended.nodes.insert(address, node)),
                    Err(diagnostic) => diagnostics.push(diagnostic),
                }
            }
            self.finish(version, election, intended);
        }
        diagnostics
    }

    /// Checks the declared parameters against those that the version has; one that several nodes share is told once.
    fn parameters(&self, version: u16) -> Vec<Diagnostic> {
        let mut problems = BTreeMap::new();
        for node in self.spec.nodes.values() {
            for (name, value) in &node.parameters {
                let Err(problem) = settings::check(version, name, value) else {
                    continue;
                };
                let hint = problem.hint().map(|hint| format!(" {hint}")).unwrap_or_default();
                let detail = format!("The {problem}.{hint}");
                let span = node.parameter_spans.get(name).unwrap_or(&node.span).clone();
                problems.insert(
                    (span.clone(), name),
                    Diagnostic::error("Parameter is not accepted", detail).at(span),
                );
            }
        }
        problems.into_values().collect()
    }

    fn address(&self, node: &NodeName) -> NodeAddress {
        NodeAddress {
            cluster: self.name.clone(),
            node: node.clone(),
        }
    }

    /// Returns the last election, or the first one. Nothing here moves a role yet: a plan that would need it says so.
    fn election(&self) -> Result<Election, Diagnostic> {
        let Some(last) = self.before.elections.get(self.name) else {
            return Ok(Election {
                term: Term(1),
                primary: self.spec.primary.clone().unwrap_or_else(|| self.spec.first.clone()),
                pin: self.spec.primary.clone(),
                reason: ElectionReason::Birth,
            });
        };
        let refuse = |detail: String, span| Err(Diagnostic::error("Primary cannot be moved", detail).at(span));
        if !self.spec.nodes.contains_key(&last.primary) {
            let detail = format!(
                "Node {} leads cluster {}, so it cannot be removed. Moving the primary to another node is not supported \
                 by this version; declare the node again.",
                last.primary, self.name
            );
            return refuse(detail, self.spec.spans.cluster.clone());
        }
        match &self.spec.primary {
            Some(pin) if *pin != last.primary && last.pin.as_ref() != Some(pin) => {
                let detail = format!(
                    "Node {} leads cluster {}. Moving the primary to {pin} is not supported by this version; set \
                     primary = \"{}\".",
                    last.primary, self.name, last.primary
                );
                refuse(
                    detail,
                    self.spec
                        .spans
                        .primary
                        .clone()
                        .unwrap_or_else(|| self.spec.spans.cluster.clone()),
                )
            }
            _ => Ok(last.clone()),
        }
    }

    fn same_network(&self) -> Result<(), Diagnostic> {
        match self.before.clusters.get(self.name) {
            Some(cluster) if cluster.network != self.spec.network => Err(Diagnostic::error(
                "Network cannot be changed",
                format!(
                    "Cluster {} is in network.{}. Moving it to another network is not supported by this version; set \
                     network = network.{}.",
                    self.name, cluster.network, cluster.network
                ),
            )
            .at(self.spec.spans.cluster.clone())),
            _ => Ok(()),
        }
    }

    fn node(
        &self,
        address: &NodeAddress,
        spec: &NodeSpec,
        listen: Listen,
        election: &Election,
    ) -> Result<IntendedNode, Diagnostic> {
        self.same_port(address, spec, listen)?;
        let old = self.before.nodes.get(address);
        let facts = self.inputs.observed.nodes.get(address).and_then(Observation::seen);
        if let Some(diagnostic) = old
            .zip(facts)
            .and_then(|(old, facts)| contradiction(address, old, facts))
        {
            return Err(diagnostic.at(spec.span.clone()));
        }
        let leads = address.node == election.primary;
        let role = if leads {
            Role::Primary { term: election.term }
        } else {
            Role::Standby {
                follows: election.primary.clone(),
            }
        };
        let slot = (!leads).then(|| Slot {
            upstream: election.primary.clone(),
            name: address.node.identifier(),
        });
        let recorded = old.and_then(|node| node.data.clone());
        let data = match recorded {
            Some(data) => DataGoal::Keep(data),
            None if leads => self.new_data(address)?,
            None => self.clone_of(address, election),
        };
        Ok(IntendedNode {
            listen,
            parameters: spec.parameters.clone(),
            data,
            role,
            slot,
            power: self.power(address, old),
        })
    }

    /// A node runs unless it was stopped on request; a request of now counts more than one of the past.
    fn power(&self, address: &NodeAddress, old: Option<&Node>) -> Power {
        match self.inputs.proposal {
            Some(Proposal::Power { nodes, power }) if nodes.contains(address) => *power,
            _ if old.is_some_and(|old| old.held) => Power::Stopped,
            _ => Power::Running,
        }
    }

    fn same_port(&self, address: &NodeAddress, spec: &NodeSpec, listen: Listen) -> Result<(), Diagnostic> {
        let serving = self.before.nodes.get(address).filter(|node| node.role.is_some());
        match serving.and_then(|node| node.listen) {
            Some(has) if has != listen => Err(Diagnostic::error(
                "Port cannot be changed",
                format!(
                    "{address} listens on port {}. Changing the port of a node that is there is not supported by this \
                     version; set port = {}.",
                    has.port, has.port
                ),
            )
            .at(spec.port_span.clone().unwrap_or_else(|| spec.span.clone()))),
            _ => Ok(()),
        }
    }

    /// Data is made empty only for a cluster that nobody has recorded: empty data for one that was there would be the
    /// loss of everything in it.
    fn new_data(&self, address: &NodeAddress) -> Result<DataGoal, Diagnostic> {
        if self.before.clusters.contains_key(self.name) {
            let detail = format!(
                "{address} leads the cluster, and its data directory is gone. simdb makes no empty one in its place. \
                 Put the directory back, or destroy the cluster and create it anew."
            );
            return Err(Diagnostic::error("Primary has lost its data", detail).at(self.spec.spans.cluster.clone()));
        }
        let generation = unrecorded_generation(self.inputs.observed, address, |_| true).unwrap_or(1);
        Ok(DataGoal::Make {
            generation,
            origin: Origin::Initialized,
        })
    }

    /// A complete copy that nobody recorded is taken over where it is this cluster's data and its slot kept the log
    /// since; else a new one is made.
    fn clone_of(&self, address: &NodeAddress, election: &Election) -> DataGoal {
        let observed = self.inputs.observed;
        let primary = self.address(&election.primary);
        let identifier = self
            .before
            .nodes
            .get(&primary)
            .and_then(|node| Some(node.data.as_ref()?.system_identifier));
        let has_slot = self.before.nodes.get(address).is_some_and(|node| node.slot.is_some());
        let same = |facts: &NodeFacts| {
            let control = facts.control.as_ref().map(|control| control.system_identifier);
            let served = before::server(observed, address).map(|server| server.system_identifier);
            has_slot && identifier.is_some() && control.or(served) == identifier
        };
        let generation =
            unrecorded_generation(observed, address, same).unwrap_or_else(|| next_generation(observed, address));
        DataGoal::Make {
            generation,
            origin: Origin::Cloned {
                from: election.primary.clone(),
            },
        }
    }

    fn finish(&self, version: u16, election: Election, intended: &mut Intended) {
        // Also where nobody streams yet: adding a standby then changes nothing but its own.
        let attributes = User {
            login: true,
            replication: true,
            password_version: 1,
        };
        intended.users.insert(user(self.name, REPLICATION_USER), attributes);
        for (name, spec) in &self.spec.endpoints {
            let endpoint = endpoint(self.name, spec.target, intended);
            let address = EndpointAddress {
                cluster: self.name.clone(),
                endpoint: name.clone(),
            };
            intended.endpoints.insert(address, endpoint);
        }
        let topology = topology(self.name, intended);
        let verified = self
            .before
            .clusters
            .get(self.name)
            .and_then(|cluster| cluster.verified.clone());
        let cluster = Cluster {
            network: self.spec.network.clone(),
            engine: self.spec.engine,
            version,
            replication: self.spec.replication,
            synchronous_standby_names: String::new(),
            verified,
            prevent_destroy: self.spec.prevent_destroy,
        };
        intended.clusters.insert(
            self.name.clone(),
            IntendedCluster {
                cluster,
                election,
                topology,
            },
        );
    }
}

/// An endpoint leads to the nodes of its role, then to the others, so that it stays of use when roles change before the
/// next apply: clients skip those that do not fit.
fn endpoint(cluster: &ClusterName, target: EndpointTarget, intended: &Intended) -> Endpoint {
    let fits = |node: &IntendedNode| matches!(node.role, Role::Primary { .. }) == (target == EndpointTarget::Primary);
    let (mut first, rest): (Vec<_>, Vec<_>) = intended.nodes_of(cluster).partition(|(_, node)| fits(node));
    first.extend(rest);
    Endpoint {
        target,
        nodes: first.iter().map(|(address, _)| address.node.clone()).collect(),
        hosts: first.iter().map(|(_, node)| node.listen).collect(),
    }
}

/// Returns a short digest of who is in a cluster, where, and what they are to each other.
fn topology(cluster: &ClusterName, intended: &Intended) -> String {
    let mut text = String::new();
    for (address, IntendedNode { listen, role, data, .. }) in intended.nodes_of(cluster) {
        let follows = match role {
            Role::Primary { .. } => "",
            Role::Standby { follows } => &follows.to_string(),
        };
        let line = format!("{} {listen} {role} {follows} {}\n", address.node, data.generation());
        text.push_str(&line);
    }
    // Half of it is enough to tell topologies apart, and fits a line of a plan.
    sha256(text)[..16].to_owned()
}
