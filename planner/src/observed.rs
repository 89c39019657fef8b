//! What was seen of the world: facts, without a verdict.
//!
//! *Unknown* is a value of its own: what could not be looked at never causes a change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::identity::DataIdentity;
use simdb_state::lsn::Lsn;
use simdb_state::name::{NetworkName, PlatformName};
use simdb_state::object::{EngineKind, Image, Resources, Settings};
use simdb_state::place::{Bind, HostPort};
use simdb_state::position::Progress;
use simdb_state::route::Hints;

pub use crate::engine::facts::{Control, ControlData, ReceiverFacts, SenderFacts, SlotFacts};
use crate::engine::replay::ReplayLimits;

/// Everything that was seen, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// What each platform offers. One without an entry was not looked at, and offers nothing.
    pub platforms: BTreeMap<PlatformName, PlatformFacts>,
    /// The networks that were looked at.
    #[serde(default)]
    pub networks: BTreeMap<NetworkName, Observation<NetworkFacts>>,
    /// The nodes that were looked at. A node without an entry was not looked at.
    pub nodes: BTreeMap<NodeAddress, Observation<NodeFacts>>,
    /// What platforms tell of nodes on record that they could not look at, or have nothing of.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hidden: BTreeMap<NodeAddress, Hidden>,
    /// The endpoints that were looked at.
    pub endpoints: BTreeMap<EndpointAddress, Observation<RouteFacts>>,
    /// The poolers of the endpoints that were looked at.
    #[serde(default)]
    pub poolers: BTreeMap<EndpointAddress, Observation<PoolerFacts>>,
    /// The parameters that were tried.
    #[serde(default)]
    pub tried: Vec<TriedParameters>,
    /// The servers that are to become nodes, by node.
    #[serde(default)]
    pub imports: BTreeMap<NodeAddress, Observation<ImportFacts>>,
}

/// The data of a server that was made without simdb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImportFacts {
    /// The directory that it is in.
    pub directory: String,
    /// The engine's major version.
    pub version: u16,
    /// The server; absent where it is down, or runs as the node's already.
    pub server: Option<UnmanagedServer>,
}

/// A server that runs as it was made without simdb.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UnmanagedServer {
    /// Its process number.
    pub pid: u32,
    /// Where it listens.
    pub listen: Bind,
    /// The directory in which it listens to the users of its machine.
    pub socket: String,
    /// The role that the servers' user has there.
    pub role: String,
    /// What it says of itself.
    pub facts: ServerFacts,
    /// The settings that it has and that are no defaults, as it shows them.
    pub settings: BTreeMap<String, String>,
}

/// What a platform offers that was not looked at.
static NOTHING: PlatformFacts = PlatformFacts {
    engines: BTreeMap::new(),
    images: BTreeMap::new(),
    obtainable: false,
    searched: Vec::new(),
    remedy: None,
    busy_ports: BTreeMap::new(),
    lowest_port: 0,
    reach: Reach::Unknown,
    remedies: BTreeMap::new(),
    unlimited: None,
    problems: BTreeSet::new(),
};

impl Observed {
    /// Returns what a platform offers.
    pub fn platform(&self, name: &PlatformName) -> &PlatformFacts {
        self.platforms.get(name).unwrap_or(&NOTHING)
    }
}

/// A network as its platform has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkFacts {
    /// Its addresses in CIDR notation, where the platform gives each network addresses of its own.
    pub subnet: Option<String>,
    /// The addresses of its parts on other platforms, each as far as it could be looked at. Its own platform is among them where that
    /// alone lost it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub elsewhere: BTreeMap<PlatformName, Observation<Option<String>>>,
}

/// What a server of some version says of parameters that no node has yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TriedParameters {
    /// The platform they were tried on.
    pub platform: PlatformName,
    /// The major version.
    pub version: u16,
    /// The parameters by name.
    pub parameters: BTreeMap<String, String>,
    /// What it does not accept of them.
    pub refusals: Observation<Vec<ParameterRefusal>>,
}

/// Why a server does not accept its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParameterRefusal {
    /// The parameter that it is about, where the server says so.
    pub parameter: Option<String>,
    /// What the server says, as a fragment.
    pub words: String,
}

/// What came of looking at something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Observation<T> {
    /// It could not be looked at, and why not.
    Unknown(String),
    /// There is nothing.
    Absent,
    /// There it is.
    Seen(T),
}

impl<T> Observation<T> {
    /// Returns what was seen, where anything was.
    pub fn seen(&self) -> Option<&T> {
        match self {
            Observation::Seen(facts) => Some(facts),
            Observation::Unknown(_) | Observation::Absent => None,
        }
    }
}

/// What a platform tells of a node on record that it could not look at, or has nothing of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hidden {
    /// Its platform reaches its machine: it can end the server and prove that, and start it again.
    Provable,
    /// Its server may run, and nothing that the platform does would prove that it ended: what a person can do, in sentences.
    Lost(String),
}

/// What the platform offers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PlatformFacts {
    /// The major versions whose programs were found, per engine, with where (a directory, an image).
    pub engines: BTreeMap<EngineKind, BTreeMap<u16, String>>,
    /// What the servers of these versions are made from, where the platform has images: the names of an image, the first of
    /// which new servers get.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<EngineKind, BTreeMap<u16, Vec<Image>>>,
    /// Whether other versions are fetched where they are needed.
    #[serde(default)]
    pub obtainable: bool,
    /// Where programs were looked for, for messages.
    pub searched: Vec<String>,
    /// What makes a version be found that is missing, as a sentence; absent where the usual ways do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What makes programs of an engine be found that are missing, where that is no matter of versions: a clause, and the sentence after
    /// it up to its last choice.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub remedies: BTreeMap<EngineKind, String>,
    /// TCP ports that something listens on, by address, with who where that is known (`nginx (pid 812)`). Who listens on
    /// the unspecified address does on all of them.
    pub busy_ports: BTreeMap<u16, BTreeMap<IpAddr, String>>,
    /// The lowest TCP port that the servers' user may listen on.
    #[serde(default)]
    pub lowest_port: u16,
    /// How clients reach its servers.
    #[serde(default)]
    pub reach: Reach,
    /// Why the platform cannot limit what servers take of its machine, as a sentence; absent where it can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unlimited: Option<String>,
    /// Why the platform cannot be used as it is.
    pub problems: BTreeSet<PlatformProblem>,
}

/// How clients that are no servers of a platform reach those that are, simdb included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// Nobody looked: what is recorded stays.
    #[default]
    Unknown,
    /// Where they listen.
    Direct,
    /// At ports of this address, which the platform publishes.
    Published(IpAddr),
    /// By the name of the server in this domain: each listens on every address that it has, and has all ports for itself.
    Named(String),
}

/// One reason why the platform cannot be used as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PlatformProblem {
    /// The argument of the `provider` block that it is about, where it is about one.
    pub argument: Option<ProviderArgument>,
    /// A sentence with a way out.
    pub detail: String,
}

/// An argument of the `provider` block whose value only the machine can judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProviderArgument {
    /// The user that servers run as.
    RunAs,
    /// Where data lives.
    DataRoot,
    /// Where programs are looked for.
    Binaries,
    /// The ports that servers get.
    PortRange,
}

impl PlatformFacts {
    /// Returns the names of the image that servers of a version are made from; none where they are made from no image, or that
    /// is not known yet.
    pub fn images(&self, engine: EngineKind, version: u16) -> &[Image] {
        let images = self.images.get(&engine).and_then(|images| images.get(&version));
        images.map_or(&[], Vec::as_slice)
    }

    /// Returns who keeps a server from listening there.
    pub fn listener(&self, at: Bind) -> Option<&str> {
        let owners = self.busy_ports.get(&at.port)?;
        let everywhere = owners.iter().find(|(host, _)| host.is_unspecified());
        let owner = owners.get(&at.host).or(everywhere.map(|(_, owner)| owner))?;
        Some(owner)
    }
}

/// What is on one node. Its instance directory is the one that the platform gave it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NodeFacts {
    /// Its server process.
    pub process: ProcessFacts,
    /// Where the server that was last started from this instance directory listens, as the platform noted it.
    pub listen: Option<Bind>,
    /// The address of its platform's machine that leads there, where the platform publishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Bind>,
    /// The image that its server was made from, where the platform has images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<Image>,
    /// How much of its machine its server may take, where the platform tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// The generations of complete data directories found (`data-1` is 1).
    pub generations: BTreeSet<u32>,
    /// Whether an unfinished data directory was found.
    pub partial: bool,
    /// The directory of the newest data, where that was imported.
    #[serde(default)]
    pub outside: Option<String>,
    /// The files that were last written for its server, by path below the instance directory.
    #[serde(default)]
    pub files: BTreeMap<String, FileFacts>,
    /// The control data of the newest complete data directory, where its server is down.
    #[serde(default)]
    pub control: Control,
    /// What the running server says of itself; unknown where it does not answer.
    pub server: Option<Observation<ServerFacts>>,
}

/// Where an endpoint was seen to route to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteFacts {
    /// Where clients find its servers, the preferred one first.
    pub hosts: Vec<HostPort>,
    /// What clients are told beside that.
    pub hints: Hints,
}

/// What is in the instance directory of an endpoint's pooler.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PoolerFacts {
    /// Its process.
    pub process: ProcessFacts,
    /// Where the process that was last started listens, as the platform noted it.
    pub listen: Option<Bind>,
    /// The address of its platform's machine that leads there, where the platform publishes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<Bind>,
    /// The files that were last written for it.
    pub files: BTreeMap<String, FileFacts>,
}

/// A file that was written for a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// The digest of the text it was written from (`FileText::digest`).
    pub digest: String,
    /// Whether it no longer holds what was written: somebody edited or removed it.
    pub edited: bool,
}

/// A node's server process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessFacts {
    /// None runs.
    #[default]
    Down,
    /// It runs.
    Running {
        /// Its process number.
        pid: u32,
    },
    /// It was halted, and answers nobody until that is undone.
    Frozen {
        /// Its process number.
        pid: u32,
        /// What halted it.
        #[serde(default)]
        by: Halt,
    },
    /// It was told to stop, and has not ended yet: it lets nobody in, and will be down.
    Stopping {
        /// Its process number.
        pid: u32,
    },
    /// A server runs on the node's data that was not started by simdb: it may have other settings.
    Foreign {
        /// Its process number.
        pid: u32,
    },
}

/// What keeps a server that runs from answering.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Halt {
    /// A signal (SIGSTOP).
    #[default]
    Signal,
    /// Its platform, which lets none of its processes go on.
    Pause,
    /// It is not in its network, so that nobody reaches it.
    Detached,
}

impl ProcessFacts {
    /// Returns the number of the process that uses the node's data.
    pub fn pid(&self) -> Option<u32> {
        match self {
            ProcessFacts::Down => None,
            ProcessFacts::Running { pid }
            | ProcessFacts::Frozen { pid, .. }
            | ProcessFacts::Stopping { pid }
            | ProcessFacts::Foreign { pid } => Some(*pid),
        }
    }

    /// Returns whether a process uses the node's data.
    pub fn is_alive(&self) -> bool {
        self.pid().is_some()
    }
}

/// What a running server says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServerFacts {
    /// Whether it only replays.
    pub in_recovery: bool,
    /// Whose data it serves.
    pub system_identifier: DataIdentity,
    /// The timeline it writes or replays.
    pub timeline: u32,
    /// The last position it wrote (a primary) or received or replayed, whichever is further (a standby).
    pub position: Lsn,
    /// The last position it replayed; on a primary the same as `position`.
    pub replayed: Lsn,
    /// Whether replay is paused.
    pub replay_paused: bool,
    /// What its control data ask for, where its replay is paused: it may have paused by itself, for it has less.
    #[serde(default)]
    pub needs: Option<ReplayLimits>,
    /// Seconds since the last replayed transaction; absent on a primary and where nothing is behind.
    pub replay_lag_seconds: Option<f64>,
    /// Those who stream from it, by identifier.
    pub senders: BTreeMap<String, SenderFacts>,
    /// What it retains for its standbys, by name.
    pub slots: BTreeMap<String, SlotFacts>,
    /// What it streams from.
    pub receiver: Option<ReceiverFacts>,
    /// The oldest position of the log it still has.
    #[serde(default)]
    pub oldest: Option<Lsn>,
    /// Whether it has replayed all the log it has, and waits for more.
    #[serde(default)]
    pub exhausted: bool,
    /// Where the timeline it writes branched off; absent on a standby, and on the first timeline.
    #[serde(default)]
    pub fork: Option<Lsn>,
    /// The settings it took from files, by name, as it shows them. Settings that nobody set are not among them.
    #[serde(default)]
    pub configured: BTreeMap<String, String>,
    /// The attributes of its logins by name.
    pub users: BTreeMap<String, UserFacts>,
    /// Its databases by name.
    #[serde(default)]
    pub databases: BTreeMap<String, DatabaseFacts>,
    /// What every session begins with, whoever logs in where.
    #[serde(default)]
    pub settings_of_all: Settings,
}

impl ServerFacts {
    /// Returns how far the server has come.
    pub fn progress(&self) -> Progress {
        Progress {
            timeline: self.timeline,
            position: self.position.into(),
        }
    }
}

/// A login or role, as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "they are the attributes of a role")]
pub struct UserFacts {
    /// Whether it may connect.
    pub login: bool,
    /// Whether it may stream the log.
    pub replication: bool,
    /// Whether it may do anything.
    pub superuser: bool,
    /// Whether it may make databases.
    pub createdb: bool,
    /// Whether it may make roles.
    pub createrole: bool,
    /// Whether it has the privileges of the roles it is a member of.
    pub inherit: bool,
    /// How many sessions it may have at once; -1 for any number.
    pub connection_limit: i64,
    /// The roles it is a member of.
    pub member_of: BTreeSet<String>,
    /// Whether its password is the one on record.
    pub password: PasswordFacts,
    /// What could not be without it, by database; the empty name is for what is in none: databases themselves.
    pub holds: BTreeMap<String, u64>,
    /// What its sessions begin with, by database; the empty name is for every database. Those of extensions and
    /// applications, whose names have a dot, are not among them.
    pub settings: BTreeMap<String, Settings>,
}

/// Whether a role has the password that the record says it has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PasswordFacts {
    /// It could not be compared, or nobody knows what it should be.
    #[default]
    Unknown,
    /// It is that one.
    Recorded,
    /// It is another one, or there is none.
    Other,
    /// It lets nobody in any more, for its time is over.
    Expired,
}

/// A database, as the server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// The role that owns it.
    pub owner: String,
    /// The seeds that have run in it, each with the digest of its file: settings of the database that are made in the
    /// transaction of the seed.
    pub seeds: BTreeMap<String, String>,
    /// What sessions in it begin with, whoever logs in.
    #[serde(default)]
    pub settings: Settings,
}
