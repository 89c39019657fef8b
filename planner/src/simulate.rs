//! A world of values that runs steps and enforces the invariants, so that plans can be tried by the thousands.
//!
//! It folds the same deltas and asks the same guards as the executor. What it adds is the effect: what a step does to
//! instance directories, servers, slots and endpoints, with the rules of real servers where they matter to a plan (a server needs its
//! data, a standby needs a slot and an upstream that serves, a clone comes from a server that runs).

mod access;
mod effect;
mod fault;
mod invariant;
mod observe;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{EndpointAddress, NodeAddress, SeedAddress};
use simdb_state::identity::DataIdentity;
use simdb_state::name::{ClusterName, NetworkName, PlatformName};
use simdb_state::object::{Image, Network, Resources, State};
use simdb_state::place::Bind;
use simdb_state::sensitive::{Secrets, Sensitive};

use crate::engine::replay::ReplayLimits;
use crate::observed::{DatabaseFacts, FileFacts, Reach, RouteFacts, UserFacts};
use crate::plan::Plan;

pub use crate::engine::simulated::{Log, Pooler};
pub(crate) use effect::{write_files, written};
pub use fault::Fault;
pub use schedule::Schedule;

/// What every password that the simulator makes up begins with, so that it is recognised wherever it must not be.
pub const PASSWORD: &str = "hush";

/// Where a run is cut off, by how many steps came before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere.
    #[default]
    Never,
    /// The step was started, and nothing of it happened.
    Before(usize),
    /// The step's data was begun and not finished; for a step without data the same as [`Cut::Before`].
    Within(usize),
    /// The step happened, and was not recorded.
    After(usize),
}

/// Everything that is there, and what is recorded of it.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The record.
    pub state: State,
    /// The networks that the platform has.
    pub networks: BTreeMap<NetworkName, Network>,
    /// The instance directories of nodes.
    pub directories: BTreeMap<NodeAddress, InstanceDirectory>,
    /// Where the endpoints route to.
    pub routes: BTreeMap<EndpointAddress, RouteFacts>,
    /// The instance directories of endpoints' poolers.
    pub poolers: BTreeMap<EndpointAddress, Pooler>,
    /// Ports that others listen on, on all addresses.
    pub busy_ports: BTreeMap<u16, String>,
    /// How clients reach servers.
    pub reach: Reach,
    /// The platforms beside the first, with how clients reach the servers there.
    pub elsewhere: BTreeMap<PlatformName, Reach>,
    /// The names of the image that servers are made from, where there are images.
    pub images: Vec<Image>,
    /// The passwords that steps made up, and those that the configuration gave.
    pub secrets: Secrets,
    /// What the data of each node holds, by generation.
    pub logs: BTreeMap<(NodeAddress, u32), Log>,
    /// The writes that somebody was told are safe.
    pub acknowledged: BTreeSet<(ClusterName, u64)>,
    /// Whether somebody has accepted that acknowledged writes are lost.
    pub lossy: bool,
    /// The nodes whose machines cannot be reached: nobody sees what runs there, and no step does anything there.
    pub unreachable: BTreeSet<NodeAddress>,
    /// The nodes that something happened to since the run began: a step that fails there has met a fault, no defect.
    pub(crate) faulted: BTreeSet<NodeAddress>,
    /// The nodes that did not write when the run began, or could not be asked: what is in their catalogs no plan knew.
    pub(crate) unasked: BTreeSet<NodeAddress>,
    pub(crate) made: u64,
}

/// A node's instance directory.
#[derive(Clone, Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact that holds beside the others"
)]
pub struct InstanceDirectory {
    /// Complete data directories by generation, with whose data they hold.
    pub data: BTreeMap<u32, DataIdentity>,
    /// Whether an unfinished data directory is there.
    pub partial: bool,
    /// The server, where it runs.
    pub server: Option<Running>,
    /// Whether its data was sealed: a server that is started on it only replays.
    pub sealed: bool,
    /// Whether the last server on its data wrote.
    pub led: bool,
    /// Whether somebody promoted it by hand: what it writes counts for nothing until a plan keeps it.
    pub by_hand: bool,
    /// Where the last server listened.
    pub listen: Option<Bind>,
    /// Where it was published.
    pub published: Option<Bind>,
    /// The image that the last server was made from.
    pub image: Option<Image>,
    /// How much of its machine the last server may take.
    pub resources: Resources,
    /// The settings the server was last given.
    pub configured: BTreeMap<String, String>,
    /// The files last written for it, and whether somebody edited them.
    pub files: BTreeMap<String, FileFacts>,
    /// Slots by name. They live in the data, and so outlive the server.
    pub slots: BTreeSet<String>,
    /// Slots whose log is gone: they were kept back too long.
    pub lost: BTreeSet<String>,
    /// How many of the first writes it holds it no longer has the log of.
    pub forgotten: usize,
    /// Logins by name.
    pub users: BTreeMap<String, UserFacts>,
    /// The passwords of the logins by name.
    pub passwords: BTreeMap<String, Sensitive<String>>,
    /// Databases by name.
    pub databases: BTreeMap<String, DatabaseFacts>,
    /// Seeds in the order in which they ran.
    pub ran: Vec<SeedAddress>,
}

/// A server that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// The generation of the data it serves.
    pub generation: u32,
    /// Whether it only replays; a server that does not writes.
    pub replays: bool,
    /// Whether a signal halted it.
    pub frozen: bool,
    /// Whether somebody paused its replay.
    pub paused: bool,
    /// What it has of the settings that replay depends on.
    pub limits: ReplayLimits,
    /// What the log asked for when the server paused its replay by itself, because it has less than that.
    pub lacking: Option<ReplayLimits>,
    /// The writes whose sessions wait for standbys. They end with the server.
    pub waiting: BTreeSet<u64>,
}

impl World {
    /// Runs a plan in its own order until it is done, cut off or fails, as [`World::follow`] does.
    pub fn run(&mut self, plan: &Plan, cut: Cut) -> Result<(), String> {
        let schedule = Schedule {
            cut,
            ..Schedule::default()
        };
        self.follow(plan, &schedule)
    }
}
