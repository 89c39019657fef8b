//! Where things run. A platform knows homes, files, processes and tasks, and no word of any engine.

pub mod local;

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use simdb_planner::observed::{Observation, PlatformFacts, ProcessFacts};
use simdb_state::address::NodeAddress;
use simdb_state::instance::{InstanceSpec, ServiceEntry, TaskSpec};
use simdb_state::object::Listen;
use simdb_state::sensitive::Secrets;
use thiserror::Error;

/// What is in a node's home.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HomeFacts {
    /// The server started from it.
    pub process: ProcessFacts,
    /// Where that server listens, as noted when it was last started.
    pub listen: Option<Listen>,
    /// Directories in it, such as `data-1` and `data-2.partial`.
    pub directories: BTreeSet<String>,
}

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Sessions end, everything is written, then the server ends (SIGINT: PostgreSQL's fast shutdown).
    Fast,
    /// Processes end at once, whatever is lost (SIGKILL).
    Immediate,
}

/// Why a platform could not do what it was asked.
#[derive(Debug, Error)]
pub enum PlatformError {}

/// Runs servers and tasks, each on the home of a node.
///
/// Every call is idempotent and safe to repeat after a crash of the caller.
#[async_trait]
pub trait Platform: fmt::Debug + Send + Sync {
    /// Looks at what the platform offers. What keeps it from being used is a problem in the answer, not an error.
    async fn facts(&self) -> PlatformFacts;

    /// Returns the nodes that have a home here.
    async fn list(&self) -> Result<BTreeSet<NodeAddress>, PlatformError>;

    /// Looks at a node's home.
    async fn inspect(&self, node: &NodeAddress) -> Result<Observation<HomeFacts>, PlatformError>;

    /// Writes the files of an instance and starts its server if it is down. Never restarts a server that runs.
    async fn ensure(&self, node: &NodeAddress, spec: &InstanceSpec, secrets: &Secrets) -> Result<(), PlatformError>;

    /// Stops a node's server and returns when no process of it is left.
    async fn stop(&self, node: &NodeAddress, mode: StopMode) -> Result<(), PlatformError>;

    /// Runs a task to its end and returns what it wrote to its standard output.
    async fn run_task(&self, node: &NodeAddress, task: &TaskSpec, secrets: &Secrets) -> Result<String, PlatformError>;

    /// Stops whatever runs in a node's home and removes the home with all data in it.
    async fn drop(&self, node: &NodeAddress) -> Result<(), PlatformError>;

    /// Returns the last lines of a node's log, oldest first.
    async fn log(&self, node: &NodeAddress, lines: usize) -> Result<Vec<String>, PlatformError>;
}

/// Lets names lead to servers: the endpoints of a project.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync {
    /// Looks an entry up.
    async fn lookup(&self, name: &str) -> Result<Observation<ServiceEntry>, PlatformError>;

    /// Lets a name lead to the entry's servers, atomically.
    async fn publish(&self, entry: &ServiceEntry) -> Result<(), PlatformError>;

    /// Removes a name.
    async fn withdraw(&self, name: &str) -> Result<(), PlatformError>;
}
