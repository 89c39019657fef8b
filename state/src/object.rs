//! The recorded objects: one type per kind of address, and [`State`], which holds them all.
//!
//! A field is one recorded attribute. An effect that is the difference of no attribute would be lost by a crash, so
//! whatever a step does to the world stands here: see the step table in the planner's documentation.
//!
//! How they are kept is another thing: see the module `disk`.

mod access;
mod endpoint;
mod failover;
mod platforms;
mod role;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::{self, Address, DatabaseAddress, EndpointAddress, MadeAs, NodeAddress, SeedAddress, UserAddress};
use crate::identity::DataIdentity;
use crate::json::Json;
use crate::name::{ClusterName, NetworkName, NodeName, PlatformName};
use crate::place::Place;
use crate::position::Position;
use crate::shared::Shared;
pub use crate::sync::ReplicationMode;
use crate::sync::SyncRule;

pub use self::access::{Database, Seed, Settings, User};
pub use self::endpoint::{Endpoint, EndpointTarget, PoolMode, Pooler};
pub use self::failover::{
    FAILOVER_PRIORITY, FailoverMode, FailoverPolicy, Impact, MaintenanceWindow, MaxLoss, Prefer, Weekday,
};
pub use self::role::{Election, ElectionReason, FenceProof, Loss, Role, Switch, Verdict, Witness};
pub use self::server::{Image, ImageNames, Resources};

/// What runs on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// PostgreSQL.
    Postgresql,
    /// MariaDB.
    Mariadb,
    /// PgBouncer, which stands between clients and a PostgreSQL server.
    Pgbouncer,
}

impl EngineKind {
    /// The engine that poolers of endpoints run.
    pub const POOLER: EngineKind = EngineKind::Pgbouncer;
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EngineKind::Postgresql => "postgresql",
            EngineKind::Mariadb => "mariadb",
            EngineKind::Pgbouncer => "pgbouncer",
        })
    }
}

/// Counts the elections of one cluster. An action that carries an older term is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where the nodes of a record are: how the local platform was set up when they were last worked on. Whoever looks at
/// them finds them there, also where the configuration cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderSettings {
    /// Where data lives; relative to the directory of the configuration.
    pub data_root: String,
    /// The system user that servers run as.
    #[serde(default)]
    pub run_as: Option<String>,
    /// Where the engines' programs are looked for first.
    #[serde(default)]
    pub binaries: Vec<String>,
    /// How other platforms were set up: the arguments of their blocks, by platform and name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<String, BTreeMap<String, String>>,
}

/// A network: `network.NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// The platform that it is on.
    #[serde(default = "first_platform")]
    pub platform: PlatformName,
    /// The addresses nodes get, one each, in CIDR notation (`127.20.0.0/24`); absent, they share the platform's default.
    pub subnet: Option<String>,
    /// The other platforms that have a part of it, with the same addresses: those on which nodes are.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub also_on: BTreeSet<PlatformName>,
}

/// How far a standby must have come with a commit that waits for it: PostgreSQL's `synchronous_commit`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CommitLevel {
    /// It has flushed it to disk.
    #[default]
    On,
    /// Its operating system has it.
    RemoteWrite,
    /// Its readers see it.
    RemoteApply,
    /// Nowhere: the primary's disk is enough, whatever the mode. Sessions may ask for more.
    Local,
}

impl fmt::Display for CommitLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CommitLevel::On => "on",
            CommitLevel::RemoteWrite => "remote_write",
            CommitLevel::RemoteApply => "remote_apply",
            CommitLevel::Local => "local",
        })
    }
}

/// What becomes of commits while fewer standbys are there than they wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnStandbyLoss {
    /// They wait.
    #[default]
    Block,
    /// They wait for those that are left.
    Degrade,
}

impl fmt::Display for OnStandbyLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            OnStandbyLoss::Block => "block",
            OnStandbyLoss::Degrade => "degrade",
        })
    }
}

/// How many bytes of log a standby may be behind and still be called healthy, unless the configuration says.
pub const MAX_LAG: u64 = 16 * 1024 * 1024;

/// The platform of clusters that were recorded when there was no other one, and of those that name none.
pub fn first_platform() -> PlatformName {
    "local".parse().expect("it is a name")
}

fn max_lag() -> u64 {
    MAX_LAG
}

/// A cluster: `cluster.NAME`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// The platform that its servers run on.
    pub platform: PlatformName,
    /// The network its nodes are in.
    pub network: NetworkName,
    /// What it runs.
    pub engine: EngineKind,
    /// The engine's major version.
    pub version: u16,
    /// When a commit is acknowledged.
    pub replication: ReplicationMode,
    /// How many standbys a commit waits for; 0 where it waits for none.
    #[serde(default)]
    pub synchronous_standbys: u32,
    /// How far they must have come with it.
    #[serde(default)]
    pub synchronous_commit: CommitLevel,
    /// What becomes of commits while fewer are there.
    #[serde(default)]
    pub on_standby_loss: OnStandbyLoss,
    /// How many bytes of log a standby may be behind and still be called healthy.
    #[serde(default = "max_lag")]
    pub max_lag: u64,
    /// Whom commits wait for.
    #[serde(default, rename = "synchronous_standby_names")]
    pub sync_rule: SyncRule,
    /// Other rules that something acknowledged may have waited for: steps that were to bring them about have started, and
    /// none has ended since; or a former primary had them, and the standbys of this one are yet to be proven.
    #[serde(
        default,
        rename = "pending_standby_names",
        skip_serializing_if = "BTreeSet::is_empty"
    )]
    pub pending_sync_rules: BTreeSet<PendingSyncRule>,
    /// From which position on commits did not wait for all that they were to, because standbys were lost: who lacks what
    /// comes after it must not lead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Position>,
    /// The last proof that replication works; cleared by every change of topology or term.
    #[serde(default)]
    pub verified: Option<Verified>,
    /// Whether it may not be destroyed. Held here, so that deleting its block does not lift it.
    #[serde(default)]
    pub prevent_destroy: bool,
    /// What a monitor may do with it by itself.
    #[serde(default, skip_serializing_if = "FailoverPolicy::is_default")]
    pub failover: FailoverPolicy,
}

impl Cluster {
    /// Makes a cluster whose commits wait for nobody, and whose other settings are the defaults.
    pub fn new(platform: PlatformName, network: NetworkName, engine: EngineKind, version: u16) -> Self {
        Self {
            platform,
            network,
            engine,
            version,
            replication: ReplicationMode::Async,
            synchronous_standbys: 0,
            synchronous_commit: CommitLevel::default(),
            on_standby_loss: OnStandbyLoss::default(),
            max_lag: MAX_LAG,
            sync_rule: SyncRule::default(),
            pending_sync_rules: BTreeSet::new(),
            degraded: None,
            verified: None,
            prevent_destroy: false,
            failover: FailoverPolicy::default(),
        }
    }
}

/// A rule that a node may have: what it acknowledged may have waited for the standbys of that.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PendingSyncRule {
    /// The node, which was elected to lead then.
    pub node: NodeName,
    /// The rule.
    #[serde(rename = "names")]
    pub rule: SyncRule,
}

/// Proof that every standby of a topology received and replayed a marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// The digest of the topology it was seen on.
    pub topology: String,
    /// The term it was seen in.
    pub term: Term,
    /// Where the marker stands in the log.
    pub marker: Position,
}

/// The data a node holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// Counts how often the node's data was made anew; names the directory (`data-1`), so that a new copy never touches
    /// an old one.
    pub generation: u32,
    /// Whose data it is.
    #[serde(rename = "system_identifier")]
    pub identity: DataIdentity,
    /// Where it came from.
    pub origin: Origin,
    /// The directory that holds it, where that is not below the node's instance directory: data that was imported stays
    /// where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outside: Option<String>,
}

impl Data {
    /// Returns the directory of a generation, below the node's instance directory.
    pub fn directory(generation: u32) -> String {
        format!("data-{generation}")
    }
}

/// Where a node's data came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was made empty.
    Initialized,
    /// It was there before simdb knew of it.
    Imported,
    /// It was copied from another node.
    Cloned {
        /// The node it was copied from.
        from: NodeName,
    },
    /// It was the node's own, taken back to where another node's log branches off, and brought up to it.
    Rewound {
        /// The node whose log it follows now.
        from: NodeName,
    },
}

/// A replication slot that keeps a standby's log on its upstream. It is named for the standby.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Slot {
    /// The node that keeps it.
    pub upstream: NodeName,
    /// Its name there.
    pub name: String,
}

/// Whether a server runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// It does not.
    #[default]
    Stopped,
    /// It does.
    Running,
}

impl fmt::Display for Power {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Power::Stopped => "stopped",
            Power::Running => "running",
        })
    }
}

/// A node: `cluster.NAME.node.NODE`. Attributes are absent until the step that makes them is done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The platform that its server runs on; absent where that is the one of its cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<PlatformName>,
    /// Where its server is.
    pub place: Option<Place>,
    /// The image that its server was made from, where its platform has images; absent where nobody noted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// How much of its machine its server may take.
    #[serde(default, skip_serializing_if = "Resources::is_unlimited")]
    pub resources: Resources,
    /// The declared parameters its server runs with.
    #[serde(default)]
    pub parameters: BTreeMap<String, String>,
    /// The data it holds.
    pub data: Option<Data>,
    /// Its slot on the node it follows.
    pub slot: Option<Slot>,
    /// Slots on nodes it followed before, which are yet to be dropped there.
    #[serde(default)]
    pub left_slots: Vec<Slot>,
    /// What it is to its cluster.
    pub role: Option<Role>,
    /// Whether its server runs.
    #[serde(default)]
    pub power: Power,
    /// Whether it was stopped on request: then a server that is down is no drift.
    #[serde(default)]
    pub stopped_by_request: bool,
    /// Whether a failover left it behind with what the winner may never have had: its data is to be made anew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_rebuild: bool,
    /// What was found to be wrong with its data, until that is made anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub damage: Option<Damage>,
    /// Whether it may not be removed. Held here, so that deleting its block does not lift it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prevent_destroy: bool,
}

/// What was found to be wrong with the data of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// A verification found that it holds something else than the others; what, as a fragment.
    Differs(String),
    /// No server can go on with it; why, as a fragment.
    Unrecoverable(String),
}

impl Damage {
    /// Returns what is wrong, as a fragment.
    pub fn reason(&self) -> &str {
        match self {
            Damage::Differs(reason) | Damage::Unrecoverable(reason) => reason,
        }
    }
}

/// The value of an `output` block, recorded when an apply ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Output {
    /// A value anybody may see.
    #[serde(rename = "value")]
    Value(Json),
    /// The value is a secret, stored as JSON text under [`crate::sensitive::SecretName::output`].
    #[serde(rename = "sensitive")]
    Sensitive,
}

/// Everything that is recorded, in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// `network.*`
    pub networks: BTreeMap<NetworkName, Network>,
    /// `cluster.*`
    pub clusters: BTreeMap<ClusterName, Cluster>,
    /// Who leads each cluster.
    pub elections: BTreeMap<ClusterName, Election>,
    /// `cluster.*.node.*`
    pub nodes: BTreeMap<NodeAddress, Shared<Node>>,
    /// `cluster.*.user.*`
    pub users: BTreeMap<UserAddress, User>,
    /// `cluster.*.database.*`
    pub databases: BTreeMap<DatabaseAddress, Database>,
    /// `cluster.*.seed.*`
    pub seeds: BTreeMap<SeedAddress, Seed>,
    /// `cluster.*.endpoint.*`
    pub endpoints: BTreeMap<EndpointAddress, Endpoint>,
    /// The values of the `output` blocks by name.
    pub outputs: BTreeMap<String, Output>,
    /// The addresses by which platforms know instances that were moved since they were made.
    pub made_as: MadeAs,
}

impl State {
    /// Returns every address at which something is recorded.
    pub fn addresses(&self) -> BTreeSet<Address> {
        let State {
            networks,
            clusters,
            elections,
            nodes,
            users,
            databases,
            seeds,
            endpoints,
            outputs: _,
            made_as: _,
        } = self;
        let clusters = clusters.keys().chain(elections.keys()).cloned();
        let mut addresses: BTreeSet<Address> = clusters.map(Address::Cluster).collect();
        addresses.extend(networks.keys().cloned().map(Address::Network));
        addresses.extend(nodes.keys().cloned().map(Address::Node));
        addresses.extend(users.keys().cloned().map(Address::User));
        addresses.extend(databases.keys().cloned().map(Address::Database));
        addresses.extend(seeds.keys().cloned().map(Address::Seed));
        addresses.extend(endpoints.keys().cloned().map(Address::Endpoint));
        addresses
    }

    /// Returns what is recorded of a node.
    pub fn node(&self, address: &NodeAddress) -> Option<&Node> {
        self.nodes.get(address).map(|node| &**node)
    }

    /// Returns the nodes of one cluster, by name.
    pub fn nodes_of<'a>(&'a self, cluster: &'a ClusterName) -> impl Iterator<Item = (&'a NodeAddress, &'a Node)> {
        address::nodes_of(&self.nodes, cluster).map(|(address, node)| (address, &**node))
    }
}
