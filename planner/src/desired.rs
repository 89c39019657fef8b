//! What the configuration declares, valid by construction: the output of `config::load`, the input of the planner.

pub mod access;
mod platforms;
mod recorded;
pub(crate) mod resources;

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::name::{ClusterName, EndpointName, NetworkName, NodeName, PlatformName};
use simdb_state::object::{
    CommitLevel, EndpointTarget, EngineKind, FailoverPolicy, Image, MAX_LAG, OnStandbyLoss, PoolMode, ReplicationMode,
    Resources, State,
};
use simdb_state::relocation::Move;

use crate::diagnostic::Span;
use crate::observed::ProviderArgument;

use self::access::{AccessSpec, database_address, seed_address, user_address};

/// Everything one configuration declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Desired {
    /// How the local platform is set up.
    pub local: LocalSettings,
    /// The networks by name.
    pub networks: BTreeMap<NetworkName, NetworkSpec>,
    /// The clusters by name.
    pub clusters: BTreeMap<ClusterName, ClusterSpec>,
    /// What may drift without being reported: addresses, or attributes of them, in which `*` stands for any text.
    pub ignored_drift: Vec<String>,
    /// The servers that were made without simdb and become nodes; each of these nodes is declared.
    pub imports: BTreeMap<NodeAddress, ImportSpec>,
    /// What is declared no more and stays where it is, each with the place that says so: users, databases and seeds.
    pub forgotten: BTreeMap<Address, Span>,
    /// What is at another address than before, in the order in which it moves.
    pub moved: Vec<Move>,
}

/// A server that an `import` block names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportSpec {
    /// What it is known by on its platform: the directory of its data, or where it listens.
    pub id: String,
    /// Where it is declared.
    pub span: Span,
}

impl Desired {
    /// Returns the addresses that the nodes of a cluster get, where each has its own.
    pub fn subnet(&self, cluster: &ClusterSpec) -> Option<Ipv4Net> {
        self.networks.get(&cluster.network)?.subnet
    }

    /// Declares no other nodes of a cluster than these. Commits wait for no more standbys than are left.
    pub(crate) fn keep_nodes(&mut self, name: &ClusterName, stays: impl Fn(&NodeName) -> bool) {
        let Some(cluster) = self.clusters.get_mut(name) else {
            return;
        };
        cluster.nodes.retain(|node, _| stays(node));
        let left: BTreeSet<NodeName> = cluster.nodes.keys().cloned().collect();
        if let Some(first) = left.first().filter(|_| !left.contains(&cluster.first)) {
            cluster.first = first.clone();
        }
        cluster.primary = cluster.primary.take().filter(|node| left.contains(node));
        for node in cluster.nodes.values_mut() {
            node.follows = node.follows.take().filter(|node| left.contains(node));
        }
        if cluster.replication.synchronous_standbys as usize >= left.len() {
            cluster.replication = ReplicationSpec::of(left.len());
        }
    }

    /// Returns the address of everything that is declared.
    pub(crate) fn addresses(&self) -> BTreeSet<Address> {
        let networks = self.networks.keys().cloned().map(Address::Network);
        let clusters = self.clusters.iter().flat_map(|(name, spec)| spec.addresses(name));
        networks.chain(clusters).collect()
    }

    /// Returns the moves that are yet to be made in a record, in order: something is at the first address, and nothing at the second.
    pub fn pending_moves(&self, recorded: &State) -> Vec<Move> {
        if self.moved.is_empty() {
            return Vec::new();
        }
        let mut there = recorded.addresses();
        let mut pending = Vec::new();
        for moved in &self.moved {
            if there.contains(&moved.from) && !there.contains(&moved.to) {
                there = there.iter().map(|address| moved.relocated(address)).collect();
                pending.push(moved.clone());
            }
        }
        pending
    }

    /// Returns whether an object stays where it is and the record forgets it: a `removed` block says so, and its cluster is
    /// declared.
    pub(crate) fn forgets(&self, address: &Address) -> bool {
        let stays = address
            .cluster()
            .is_some_and(|cluster| self.clusters.contains_key(cluster));
        stays && self.forgotten.contains_key(address)
    }

    /// Returns where something is declared. What a cluster has without a declaration of its own is declared with it.
    pub fn declaration(&self, address: &Address) -> Option<&Span> {
        if let Address::Network(name) = address {
            return self.networks.get(name).map(|network| &network.span);
        }
        let cluster = self.clusters.get(address.cluster()?)?;
        let access = &cluster.access;
        let own = match address {
            Address::Node(node) => cluster.nodes.get(&node.node).map(|node| &node.span),
            Address::Endpoint(endpoint) => cluster.endpoints.get(&endpoint.endpoint).map(|endpoint| &endpoint.span),
            Address::User(user) => access.users.get(&user.user).map(|user| &user.span),
            Address::Database(database) => access.databases.get(&database.database).map(|database| &database.span),
            Address::Seed(seed) => access
                .seeds
                .iter()
                .find(|other| other.name == seed.seed)
                .map(|seed| &seed.span),
            Address::Network(_) | Address::Cluster(_) => None,
        };
        Some(own.unwrap_or(&cluster.spans.cluster))
    }
}

/// An entry of `lifecycle { replace_triggered_by = [cluster.orders.node.a.parameters] }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The address of an object, or of a block that stands for several.
    pub subject: String,
    /// The attributes of it, as plans call them, one of which has to change: what is declared of it, not how it fares.
    pub attributes: Vec<String>,
    /// Where it stands.
    pub span: Span,
}

impl Trigger {
    /// Returns whether it names an attribute, or what that is a part of.
    pub(crate) fn names(&self, attribute: &str) -> bool {
        let is_within = |named: &String| {
            let rest = attribute.strip_prefix(named.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.attributes.iter().any(is_within)
    }

    /// Returns whether it names an object.
    pub(crate) fn covers(&self, address: &Address) -> bool {
        let address = address.to_string();
        let rest = address.strip_prefix(&self.subject);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
    }
}

/// What a block leaves as it is on record: `lifecycle { ignore_changes = [port, parameters["work_mem"]] }`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ignored {
    /// The attributes, as they are written.
    pub attributes: BTreeSet<String>,
    /// Single parameters.
    pub parameters: BTreeSet<String>,
}

/// The `provider` blocks, that of `provider "local"` in full; every value has a default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalSettings {
    /// The system user that servers run as where simdb is root; absent, the usual one of the engine.
    pub run_as: Option<String>,
    /// Where data lives; absent, `.simdb` beside the configuration, or `/var/lib/simdb/<lineage>` as root.
    pub data_root: Option<String>,
    /// The first and last TCP port that nodes without a `port` may get; absent, the planner's default range.
    pub ports: Option<(u16, u16)>,
    /// Where to look for the engines' programs before the usual places.
    pub binaries: Vec<String>,
    /// The arguments of the blocks of other platforms, by platform and name: each platform reads its own.
    pub others: BTreeMap<String, BTreeMap<String, String>>,
    /// Where those arguments stand that are given.
    pub spans: BTreeMap<ProviderArgument, Span>,
}

impl LocalSettings {
    /// Returns the first and the last TCP port that servers of a platform may get, where that is declared.
    pub(crate) fn range(&self, platform: &PlatformName) -> Option<(u16, u16)> {
        match self.others.get(platform.as_str()) {
            Some(arguments) => port_range(arguments.get(PORT_RANGE)?),
            None => self.ports,
        }
    }
}

/// The argument of a `provider` block that says which ports its servers may get.
pub(crate) const PORT_RANGE: &str = "port_range";

/// Reads the first and the last port of a range: `15432-15532`.
pub(crate) fn port_range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    (1 <= first && first <= last).then_some((first, last))
}

/// Says what a range of ports should be.
pub(crate) fn no_port_range(value: &str) -> String {
    format!(
        "\"{PORT_RANGE}\" is the first and the last port, as in \"15432-15532\", each from 1 to 65535; {value:?} is not."
    )
}

/// A `network` block.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSpec {
    /// The platform that it is on.
    pub platform: PlatformName,
    /// The addresses of this machine that its nodes get, one each, and the default port; absent, they share 127.0.0.1.
    pub subnet: Option<Ipv4Net>,
    /// Whether servers of one platform reach those of another one where that publishes them.
    pub reachable: bool,
    /// Where it is declared.
    pub span: Span,
}

/// A `cluster` block. It has at least one node, and `primary`, where given, is one of them.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterSpec {
    /// The platform that its servers run on.
    pub platform: PlatformName,
    /// The network its nodes are in; it is declared.
    pub network: NetworkName,
    /// What it runs.
    pub engine: EngineKind,
    /// The engine's major version; absent, the newest found, then kept.
    pub version: Option<u16>,
    /// How it replicates.
    pub replication: ReplicationSpec,
    /// What a monitor may do with it by itself.
    pub failover: FailoverPolicy,
    /// The nodes, `count` expanded, in the order of their names.
    pub nodes: BTreeMap<NodeName, NodeSpec>,
    /// The node declared first: the primary of a new cluster without a pin.
    pub first: NodeName,
    /// The `primary` attribute.
    pub primary: Option<NodeName>,
    /// Whether it may not be destroyed: `lifecycle { prevent_destroy = true }`.
    pub prevent_destroy: bool,
    /// What stays as it is on record.
    pub ignored: Ignored,
    /// What of it may drift without being reported.
    pub ignored_drift: Vec<String>,
    /// The clusters that are made before this one.
    pub depends_on: BTreeSet<ClusterName>,
    /// The logins, databases and seeds.
    pub access: AccessSpec,
    /// The endpoints by name.
    pub endpoints: BTreeMap<EndpointName, EndpointSpec>,
    /// Where it is declared.
    pub spans: ClusterSpans,
}

impl ClusterSpec {
    /// Returns the address of everything that a cluster of that name declares, its own included.
    pub(crate) fn addresses(&self, name: &ClusterName) -> BTreeSet<Address> {
        let node = |node: &NodeName| NodeAddress {
            cluster: name.clone(),
            node: node.clone(),
        };
        let endpoint = |endpoint: &EndpointName| EndpointAddress {
            cluster: name.clone(),
            endpoint: endpoint.clone(),
        };
        let AccessSpec {
            users,
            databases,
            seeds,
            replication_password_version: _,
        } = &self.access;
        let mut addresses = BTreeSet::from([Address::Cluster(name.clone())]);
        addresses.extend(self.nodes.keys().map(|name| node(name).into()));
        addresses.extend(users.keys().map(|user| user_address(name, user).into()));
        addresses.extend(databases.keys().map(|database| database_address(name, database).into()));
        addresses.extend(seeds.iter().map(|seed| seed_address(name, &seed.name).into()));
        addresses.extend(self.endpoints.keys().map(|name| endpoint(name).into()));
        addresses
    }
}

/// The `replication` block of a cluster; every value has a default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicationSpec {
    /// When a commit is acknowledged.
    pub mode: ReplicationMode,
    /// How many standbys a commit waits for: 0 in mode async, else from 1 to all other nodes of the cluster.
    pub synchronous_standbys: u32,
    /// How far they must have come with it.
    pub synchronous_commit: CommitLevel,
    /// What becomes of commits while fewer are there.
    pub on_standby_loss: OnStandbyLoss,
    /// How many bytes of log a standby may be behind and still be called healthy.
    pub max_lag: u64,
}

impl ReplicationSpec {
    /// Returns what a cluster of so many nodes has without a `replication` block: a commit waits for one standby where
    /// there is one.
    pub fn of(nodes: usize) -> Self {
        let (mode, synchronous_standbys) = if nodes > 1 {
            (ReplicationMode::Sync, 1)
        } else {
            (ReplicationMode::Async, 0)
        };
        Self {
            mode,
            synchronous_standbys,
            synchronous_commit: CommitLevel::default(),
            on_standby_loss: OnStandbyLoss::default(),
            max_lag: MAX_LAG,
        }
    }
}

/// Where the parts of a cluster are declared, for the planner's diagnostics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterSpans {
    /// Its `provider` attribute.
    pub provider: Option<Span>,
    /// The `cluster` block's header.
    pub cluster: Span,
    /// The `version` attribute of its engine.
    pub version: Option<Span>,
    /// The `primary` attribute.
    pub primary: Option<Span>,
    /// The `synchronous_standbys` attribute.
    pub synchronous_standbys: Option<Span>,
}

/// One node of a cluster, with the cluster's settings merged in.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeSpec {
    /// The platform that its server runs on; absent where that is the one of its cluster.
    pub platform: Option<PlatformName>,
    /// The TCP port; absent, the planner takes the lowest free one.
    pub port: Option<u16>,
    /// The node it streams from; absent, the primary. Other nodes that follow it never lead back to it. Of no meaning
    /// while the node is the primary.
    pub follows: Option<NodeName>,
    /// How long it waits before it replays what it has received: as the engine writes a duration.
    pub apply_delay: Option<String>,
    /// The engine's parameters, the node's over the cluster's. Values are written as a user would write them.
    pub parameters: BTreeMap<String, String>,
    /// The image that its server is made from; absent, the one that its platform has for its version.
    pub image: Option<Image>,
    /// How much of its machine its server may take.
    pub resources: Resources,
    /// Where that is said.
    pub resources_span: Option<Box<Span>>,
    /// Where each of the parameters is declared.
    pub parameter_spans: BTreeMap<String, Span>,
    /// Where it is declared.
    pub span: Span,
    /// The `provider` attribute.
    pub provider_span: Option<Box<Span>>,
    /// The `port` attribute.
    pub port_span: Option<Span>,
    /// The `follows` attribute.
    pub follows_span: Option<Span>,
    /// Whether it may not be removed: `lifecycle { prevent_destroy = true }`.
    pub prevent_destroy: bool,
    /// What stays as it is on record.
    pub ignored: Ignored,
    /// The changes for which its data is copied anew while it is a standby.
    pub triggers: Vec<Trigger>,
}

/// An `endpoint` block.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSpec {
    /// What it leads to.
    pub target: EndpointTarget,
    /// The pooler that its clients go through, if they do.
    pub pooler: Option<PoolerSpec>,
    /// Where it is declared.
    pub span: Span,
}

/// The pooler of an endpoint with `via`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolerSpec {
    /// The TCP port; absent, the planner takes the lowest free one.
    pub port: Option<u16>,
    /// For how long a client keeps a session of the server.
    pub pool_mode: PoolMode,
    /// The `port` attribute.
    pub port_span: Option<Span>,
}
