//! The recorded objects: one type per kind of address, and [`State`], which holds them all.
//!
//! A field is one recorded attribute. An effect that is the difference of no attribute would be lost by a crash, so
//! whatever a step does to the world stands here: see the step table in the planner's documentation.
//!
//! How they are kept is another thing: see the module `disk`.

mod platforms;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::address::{self, Address, DatabaseAddress, EndpointAddress, MadeAs, NodeAddress, SeedAddress, UserAddress};
use crate::json::Json;
use crate::lsn::SystemIdentifier;
use crate::name::{ClusterName, DatabaseName, NetworkName, NodeName, PlatformName};
use crate::place::{HostPort, Place};
use crate::position::Position;
use crate::sensitive::SecretName;
pub use crate::sync::ReplicationMode;
use crate::sync::SyncRule;

pub use self::server::{Image, ImageNames, Resources};

/// What runs on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    /// PostgreSQL.
    Postgresql,
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

/// Who leads a cluster, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    /// The number of this election.
    pub term: Term,
    /// The node that leads.
    pub primary: NodeName,
    /// What `primary =` said when it was held; only a different pin asks for another election.
    pub pin: Option<NodeName>,
    /// Why it was held.
    pub reason: ElectionReason,
    /// How the lead passed to the winner; absent until it has, and at birth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
}

/// Why an election was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ElectionReason {
    /// The cluster was born.
    Birth,
    /// The lead was to pass from a node that serves.
    Switchover,
    /// The node that led was lost.
    Failover,
}

/// How the lead passed from one node to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The timeline that the winner writes.
    pub timeline: u32,
    /// Where that timeline begins.
    pub point: Position,
    /// What became of the writes that were acknowledged before.
    pub verdict: Verdict,
}

/// What is known of the writes that were acknowledged before a role change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is lost: the former primary was shut down in order, its last record is this checkpoint, and the new
    /// timeline begins after it.
    Proven {
        /// The shutdown checkpoint.
        checkpoint: Position,
    },
    /// Nothing is lost as long as commits waited as they were told to: every one was confirmed by `waited` of the
    /// `listed` standbys, so by one of the `responders` that were asked (R + W > N), and the one that had most leads.
    Argued {
        /// Listed standbys that answered (R).
        responders: u32,
        /// How many of them a commit waited for (W).
        waited: u32,
        /// How many are listed (N).
        listed: u32,
    },
    /// Acknowledged writes may be lost.
    Unknown {
        /// At most this many bytes of the log, where that can be told.
        bytes: Option<u64>,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Proven { checkpoint } => {
                write!(
                    f,
                    "proven: nothing is lost, the former primary's last record {checkpoint} is there"
                )
            }
            Verdict::Argued {
                responders,
                waited,
                listed,
            } => write!(
                f,
                "argued: nothing is lost, commits waited for {waited} of {listed} standbys and {responders} answered"
            ),
            Verdict::Unknown { bytes: Some(bytes) } => write!(f, "unknown: up to {bytes} bytes may be lost"),
            Verdict::Unknown { bytes: None } => f.write_str("unknown: acknowledged writes may be lost"),
        }
    }
}

/// What a node is to its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It writes.
    Primary {
        /// The election that made it primary.
        term: Term,
    },
    /// It replays what another node writes.
    Standby {
        /// The node it streams from.
        follows: NodeName,
    },
    /// It led, and it is proven that it takes no writes any more.
    Fenced {
        /// The election that took the lead from it.
        term: Term,
        /// What shows it.
        proof: FenceProof,
        /// How it is known that nothing of its server runs any more.
        #[serde(default)]
        witness: Witness,
    },
}

/// How a platform knows that nothing of a server runs any more, and that the platform does not start it again by itself.
/// That a server cannot be reached is none of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The machine that alone could run it has no process of it.
    #[default]
    ProcessesGone,
    /// Its container has exited, and no other one has its data.
    ContainerExited,
    /// The node that ran its pod reported, while it was ready, that every container of it has ended.
    PodGone,
    /// Somebody attests that the machine it ran on is off.
    NodeFenced,
}

/// What shows that a former primary takes no writes. Both kinds leave it so that whoever starts it starts it read-only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceProof {
    /// Its server was shut down in order.
    ShutDown {
        /// Its last record.
        checkpoint: Position,
    },
    /// Every process that used its data was killed, and none is left. What it wrote last is not known.
    Killed,
}

impl Role {
    /// Returns the node it streams from, if it streams.
    pub fn follows(&self) -> Option<&NodeName> {
        match self {
            Role::Standby { follows } => Some(follows),
            Role::Primary { .. } | Role::Fenced { .. } => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Primary { .. } => "primary",
            Role::Standby { .. } => "standby",
            Role::Fenced { .. } => "fenced",
        })
    }
}

/// The data a node holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// Counts how often the node's data was made anew; names the directory (`data-1`), so that a new copy never touches
    /// an old one.
    pub generation: u32,
    /// Whose data it is.
    pub system_identifier: SystemIdentifier,
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

/// A login: `cluster.NAME.user.USER`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are PostgreSQL's own attributes of a role"
)]
pub struct User {
    /// Whether it may connect.
    pub login: bool,
    /// Whether it may stream the log.
    pub replication: bool,
    /// Counts its passwords.
    pub password_version: u32,
    /// A keyed digest of the password that the configuration gives it, so that another one is seen; absent where the
    /// password was made up.
    #[serde(default)]
    pub password_digest: Option<String>,
    /// Whether it may do anything.
    #[serde(default)]
    pub superuser: bool,
    /// Whether it may make databases.
    #[serde(default)]
    pub createdb: bool,
    /// Whether it may make roles.
    #[serde(default)]
    pub createrole: bool,
    /// Whether it has the privileges of the roles it is a member of.
    #[serde(default = "yes")]
    pub inherit: bool,
    /// How many sessions it may have at once; absent, any number.
    #[serde(default)]
    pub connection_limit: Option<u32>,
    /// The roles it is a member of.
    #[serde(default)]
    pub member_of: BTreeSet<String>,
    /// What its sessions begin with, by database; the empty name is for every database.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, Settings>,
}

/// Settings by name that sessions begin with: those of a role, of a database, or of a role in a database.
pub type Settings = BTreeMap<String, String>;

fn yes() -> bool {
    true
}

impl Default for User {
    /// Returns a login that may connect and nothing else.
    fn default() -> Self {
        Self {
            login: true,
            replication: false,
            password_version: 1,
            password_digest: None,
            superuser: false,
            createdb: false,
            createrole: false,
            inherit: true,
            connection_limit: None,
            member_of: BTreeSet::new(),
            settings: BTreeMap::new(),
        }
    }
}

impl User {
    /// Returns the name of its password. Each version has a name of its own, so that a new one is stored before the
    /// server is told of it, and the old one is still there if it never is.
    pub fn password(&self, address: &UserAddress) -> SecretName {
        SecretName::password_version(address, self.password_version, self.password_digest.as_deref())
    }
}

/// A database: `cluster.NAME.database.DATABASE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Database {
    /// The role that owns it.
    pub owner: String,
    /// Its encoding; absent, the cluster's.
    pub encoding: Option<String>,
    /// Its locale; absent, the cluster's.
    pub locale: Option<String>,
    /// What sessions in it begin with, whoever logs in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: Settings,
    /// Whether it may not be destroyed. Held here, so that deleting its block does not lift it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prevent_destroy: bool,
}

/// A file of SQL that has run once: `cluster.NAME.seed.SEED`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// The database it ran in.
    pub database: DatabaseName,
    /// The digest of the file as it was then.
    pub digest: String,
}

/// What an endpoint routes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointTarget {
    /// The node that writes.
    Primary,
    /// A node that only reads; the primary where there is none.
    Standby,
}

impl fmt::Display for EndpointTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndpointTarget::Primary => "primary",
            EndpointTarget::Standby => "standby",
        })
    }
}

/// An endpoint: `cluster.NAME.endpoint.ENDPOINT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What it routes to.
    pub target: EndpointTarget,
    /// The nodes it routes to, the preferred one first.
    pub nodes: Vec<NodeName>,
    /// Where clients reach them, in the same order. Where they go through a pooler, that is where they reach the pooler,
    /// and it says which node is meant.
    pub hosts: Vec<HostPort>,
    /// The pooler that clients go through, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler: Option<Pooler>,
}

/// For how long a client of a pooler keeps the same session of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    /// For one transaction.
    #[default]
    Transaction,
    /// As long as it is connected. Such clients cannot be made to wait: a switchover ends their sessions.
    Session,
    /// For one statement.
    Statement,
}

impl PoolMode {
    /// Returns whether clients can be made to wait between two transactions, while they stay connected.
    pub fn can_pause(self) -> bool {
        self != PoolMode::Session
    }
}

impl fmt::Display for PoolMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PoolMode::Transaction => "transaction",
            PoolMode::Session => "session",
            PoolMode::Statement => "statement",
        })
    }
}

/// A PgBouncer that the clients of an endpoint go through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pooler {
    /// Where it is.
    pub place: Place,
    /// For how long a client keeps a session of the server.
    pub pool_mode: PoolMode,
    /// The node it routes to.
    pub node: NodeName,
    /// Where it reaches that node.
    pub upstream: HostPort,
    /// Whether it runs.
    pub power: Power,
    /// Whether it may be holding clients up while the lead passes from one node to another.
    #[serde(default)]
    pub paused: bool,
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
    pub nodes: BTreeMap<NodeAddress, Node>,
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

    /// Returns the nodes of one cluster, by name.
    pub fn nodes_of<'a>(&'a self, cluster: &'a ClusterName) -> impl Iterator<Item = (&'a NodeAddress, &'a Node)> {
        address::nodes_of(&self.nodes, cluster)
    }
}
