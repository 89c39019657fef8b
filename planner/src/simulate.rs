//! A world of values that runs steps and enforces the invariants, so that plans can be tried by the thousands.
//!
//! It folds the same deltas and asks the same guards as the executor. What it adds is the effect: what a step does to
//! homes, servers, slots and endpoints, with the rules of real servers where they matter to a plan (a server needs its
//! data, a standby needs a slot and an upstream that serves, a clone comes from a server that runs).

mod access;
mod effect;
mod invariant;
mod log;
mod observe;
mod role;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{EndpointAddress, NodeAddress, SeedAddress};
use simdb_state::instance::ServiceEntry;
use simdb_state::lsn::SystemIdentifier;
use simdb_state::object::{Listen, State};
use simdb_state::sensitive::SecretName;

use crate::guard;
use crate::observed::{DatabaseFacts, FileFacts, UserFacts};
use crate::plan::Plan;

pub use log::Log;

/// Where a run is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere.
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
    /// The homes of nodes.
    pub homes: BTreeMap<NodeAddress, Home>,
    /// The endpoints' entries.
    pub entries: BTreeMap<EndpointAddress, ServiceEntry>,
    /// Ports that others listen on.
    pub busy_ports: BTreeMap<u16, String>,
    /// What the data of each node holds, by generation.
    pub logs: BTreeMap<(NodeAddress, u32), Log>,
    /// The writes that somebody was told are safe.
    pub acknowledged: BTreeSet<u64>,
    made: u64,
}

/// A node's home.
#[derive(Clone, Debug, Default)]
pub struct Home {
    /// Complete data directories by generation, with whose data they hold.
    pub data: BTreeMap<u32, SystemIdentifier>,
    /// Whether an unfinished data directory is there.
    pub partial: bool,
    /// The server, where it runs.
    pub server: Option<Running>,
    /// Whether its data was sealed: a server that is started on it only replays.
    pub sealed: bool,
    /// Where the last server listened.
    pub listen: Option<Listen>,
    /// The settings the server was last given.
    pub configured: BTreeMap<String, String>,
    /// The files last written for it, and whether somebody edited them.
    pub files: BTreeMap<String, FileFacts>,
    /// Slots by name. They live in the data, and so outlive the server.
    pub slots: BTreeSet<String>,
    /// Slots whose log is gone: they were kept back too long.
    pub lost: BTreeSet<String>,
    /// Logins by name.
    pub users: BTreeMap<String, UserFacts>,
    /// The passwords of the logins by name.
    pub passwords: BTreeMap<String, SecretName>,
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
    /// Where it streams from; a server that streams from nowhere writes.
    pub upstream: Option<String>,
    /// Whether it was halted by a signal.
    pub frozen: bool,
    /// Whether somebody paused its replay.
    pub paused: bool,
}

impl World {
    /// Runs a plan until it is done, cut off or fails, and enforces the invariants after every step. An error is what a
    /// real step would say of something that could not be seen when the plan was made.
    ///
    /// # Panics
    /// Where a guard refuses, an effect cannot happen, or an invariant is broken: each is a defect of the planner.
    pub fn run(&mut self, plan: &Plan, cut: Cut) -> Result<(), String> {
        for (at, step) in plan.steps.iter().enumerate() {
            if let Err(refusal) = guard::check(step, &self.state) {
                panic!("{} of {} is refused: {refusal}", step.action.name(), step.address);
            }
            match cut {
                Cut::Before(last) if last == at => return Ok(()),
                Cut::Within(last) if last == at => {
                    self.begin(step);
                    return Ok(());
                }
                _ => {}
            }
            self.waited_for(step, plan);
            let outputs = self.effect(step)?;
            self.one_writer();
            if cut == Cut::After(at) {
                return Ok(());
            }
            self.state.apply(&step.delta, &outputs);
            self.truthful(step);
        }
        Ok(())
    }

    /// Stops a server as `kill -9` would.
    pub fn kill(&mut self, node: &NodeAddress) {
        self.homes.get_mut(node).expect("the node has a home").server = None;
    }
}
