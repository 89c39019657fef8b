//! Where things run. A platform knows instance directories, files, processes and tasks, and no word of any engine.

pub mod bridge;
pub mod dial;
#[cfg(feature = "docker")]
mod docker;
mod error;
mod holder;
#[cfg(feature = "kubernetes")]
pub(crate) mod kubernetes;
pub mod local;
pub mod registry;
#[cfg(any(feature = "docker", feature = "kubernetes"))]
mod requests;
mod router;
pub mod tcp;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use simdb_planner::observed::{FileFacts, Hidden, NetworkFacts, Observation, PlatformFacts, ProcessFacts, RouteFacts};
use simdb_planner::planner::Unmade;
use simdb_state::address::{EndpointAddress, InstanceAddress};
use simdb_state::cluster_event::ClusterEvent;
use simdb_state::instance::{InstanceSpec, TaskSpec, TrialSpec};
use simdb_state::name::{NetworkName, PlatformName};
use simdb_state::object::{Image, Network, Resources, Witness};
use simdb_state::place::Bind;
use simdb_state::route::Route;
use simdb_state::sensitive::Secrets;

pub use self::dial::{Dial, Stream};
pub use self::error::PlatformError;
pub use self::holder::Holder;
use self::router::Router;
pub use self::router::{Known, Providers};
use crate::sessions::Sessions;

/// What is in a node's instance directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstanceFacts {
    /// The server started from it.
    pub process: ProcessFacts,
    /// Where that server listens, as noted when it was last started, or as seen where somebody else started it.
    pub listen: Option<Bind>,
    /// The address of the platform's machine that leads there, where the platform publishes it.
    pub published: Option<Bind>,
    /// The image that the server was made from, where the platform has images.
    pub image: Option<Image>,
    /// How much of its machine the server may take, where the platform limits that.
    pub resources: Option<Resources>,
    /// Directories in it, such as `data-1` and `data-2.partial`.
    pub directories: BTreeSet<String>,
    /// Those of them that are links to data outside of it, with where that is.
    pub outside: BTreeMap<String, PathBuf>,
    /// The files last written for its server, by path below the instance directory.
    pub files: BTreeMap<String, FileFacts>,
}

/// Data that was made without simdb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmanaged {
    /// The directory that it is in, without symbolic links.
    pub directory: String,
    /// The process that uses it; absent where none does.
    pub process: Option<u32>,
    /// Where that listens.
    pub listen: Option<Bind>,
    /// The user whose data it is, as whom servers run.
    pub owner: String,
    /// Those of the files that were asked for that are there, by name.
    pub files: BTreeMap<String, String>,
}

/// How a server is told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopMode {
    /// Sessions end, everything is written, then the server ends.
    Fast,
    /// Processes end at once, whatever is lost (SIGKILL).
    Immediate,
}

/// A command of a trial that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The program.
    pub program: String,
    /// What it wrote to its standard error.
    pub said: String,
}

/// How long looking at a node may take where that is a matter of files and processes.
pub const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// A server that simdb made, or what is left of one, of any project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surveyed {
    /// What tells its project from others; absent where its directory was removed.
    pub lineage: Option<String>,
    /// The directory of its project's configuration, where that was noted.
    pub project: Option<PathBuf>,
    /// Which node or pooler it is; absent where its directory was removed.
    pub address: Option<InstanceAddress>,
    /// What runs.
    pub process: ProcessFacts,
    /// Where it listens.
    pub listen: Option<Bind>,
    /// Where its data is, as the platform's users would say it.
    pub data: String,
}

/// The servers that simdb made, of all projects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The servers, sorted by where their data is.
    pub servers: Vec<Surveyed>,
    /// Why there may be more of them.
    pub unseen: Vec<String>,
}

/// Something that a project made and that its platform shares with others, such as a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// What tells its project from others.
    pub lineage: String,
    /// The directory of its project's configuration, where that is one of this machine.
    pub project: Option<PathBuf>,
    /// What it is, in the words of the platform.
    pub kind: &'static str,
    /// What the platform calls it.
    pub name: String,
    /// What it was made for.
    pub address: Option<String>,
    /// Whether it runs.
    pub runs: bool,
}

/// What a platform says of what it has yet to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rehearsed {
    /// What it would not make, each as a sentence with a way out.
    pub refusals: Vec<String>,
    /// What could not be found out, each as a sentence.
    pub doubts: Vec<String>,
}

/// What keeps an instance directory from being changed by anybody else.
pub type Held = Box<dyn fmt::Debug + Send + Sync>;

/// Runs servers and tasks, each on the instance directory of a node.
///
/// Every call is idempotent and safe to repeat after a crash of the caller.
///
/// Whoever lost the lock of the record changes nothing more, however late it finds out: a platform is opened with the
/// grant of the lock's holder, or only to be looked at. Looking is what returns facts, logs, and what a task prints that
/// is a question. It takes no lock, leaves nothing where servers live, and is in the way of nothing: what is removed while
/// it is looked at is absent, or unknown, and gone.
#[async_trait]
pub trait Platform: Dial {
    /// Returns the nodes that have an instance directory here.
    async fn list(&self) -> Result<BTreeSet<InstanceAddress>, PlatformError>;

    /// Returns how long looking at a node's instance directory may take: beyond it the node is unknown.
    fn look_limit(&self, _: &InstanceAddress) -> Duration {
        LOOK_LIMIT
    }

    /// Looks at a node's instance directory.
    async fn inspect(&self, node: &InstanceAddress) -> Result<Observation<InstanceFacts>, PlatformError>;

    /// Returns whether nothing of a node's server runs. One that cannot be looked at is not known to be down. Those who wait for a server
    /// ask often.
    async fn is_down(&self, node: &InstanceAddress) -> Result<bool, PlatformError> {
        Ok(match self.inspect(node).await? {
            Observation::Seen(facts) => facts.process == ProcessFacts::Down,
            Observation::Absent => true,
            Observation::Unknown(_) => false,
        })
    }

    /// Looks for data that was made without simdb, by what the platform knows it by, and reads files of it. What cannot become
    /// a node's is unknown, with the reason.
    async fn unmanaged(
        &self,
        node: &InstanceAddress,
        id: &str,
        files: &[&str],
    ) -> Result<Observation<Unmanaged>, PlatformError>;

    /// Writes the files of an instance and starts its server if it is down. Never restarts a server that runs. Whether it
    /// gets ready, or ends instead, is for the engine to find out. What a task left unfinished is removed.
    async fn ensure(&self, node: &InstanceAddress, spec: &InstanceSpec, secrets: &Secrets)
    -> Result<(), PlatformError>;

    /// Returns the image that a node's server was made from last, where the platform has images.
    async fn made_from(&self, _: &InstanceAddress) -> Result<Option<Image>, PlatformError> {
        Ok(None)
    }

    /// Returns where this process can read what is at a path below a node's instance directory; an error where the platform's files are not
    /// those of this machine. Nothing may be changed there.
    async fn files(&self, node: &InstanceAddress, _: &str) -> Result<PathBuf, PlatformError> {
        Err(PlatformError::OtherMachine(node.clone()))
    }

    /// Tells a node's server, where it runs, to read its files again.
    async fn reload(&self, node: &InstanceAddress) -> Result<(), PlatformError>;

    /// Stops a node's server, and returns when nothing of it runs any more, with how that is known. Where the platform
    /// cannot know it, because it does not reach the place where the server runs, that is [`PlatformError::Unprovable`].
    async fn stop(&self, node: &InstanceAddress, mode: StopMode) -> Result<Witness, PlatformError>;

    /// Returns what is known of a node on record that could not be looked at, or that the platform has nothing of; absent where the
    /// platform knows nothing more. Changes nothing.
    async fn hidden(&self, _: &InstanceAddress) -> Result<Option<Hidden>, PlatformError> {
        Ok(None)
    }

    /// Has the server of a node that cannot be reached end as soon as the platform reaches it, and not start again by itself, as far as the
    /// platform can see to that. Whether it runs is as unknown afterwards as before.
    async fn condemn(&self, _: &InstanceAddress) -> Result<(), PlatformError> {
        Ok(())
    }

    /// Runs a task to its end and returns what it wrote to its standard output.
    async fn run_task(
        &self,
        node: &InstanceAddress,
        task: &TaskSpec,
        secrets: &Secrets,
    ) -> Result<String, PlatformError>;

    /// Keeps a node's instance directory from being changed by anybody else, until what is returned is dropped; absent where there is no
    /// instance directory. Nothing that was begun there under an earlier lock of the record goes on meanwhile, or afterwards.
    async fn hold(&self, node: &InstanceAddress) -> Result<Option<Held>, PlatformError>;

    /// Stops whatever runs in a node's instance directory and removes the instance directory with all data in it.
    async fn drop(&self, node: &InstanceAddress) -> Result<(), PlatformError>;

    /// Tells those who look at the platform itself what happened to a cluster or a node. The record is what counts: where it cannot be told,
    /// nothing comes of it.
    async fn announce(&self, _: &ClusterEvent) {}

    /// Waits until a node's server ends that runs now; returns at once where none runs. Where the platform is told nothing of that, it is
    /// an error.
    async fn ended(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        Err(PlatformError::Untold(node.clone()))
    }

    /// Returns the last lines of a node's log, oldest first.
    async fn log(&self, node: &InstanceAddress, lines: usize) -> Result<Vec<String>, PlatformError>;
}

/// Routes clients to servers by name: the endpoints of a project.
#[async_trait]
pub trait Endpoints: fmt::Debug + Send + Sync {
    /// Looks a route up.
    async fn lookup(&self, endpoint: &EndpointAddress) -> Result<Observation<RouteFacts>, PlatformError>;

    /// Returns the endpoints that have a route here.
    async fn routes(&self) -> Result<BTreeSet<EndpointAddress>, PlatformError>;

    /// Routes an endpoint to servers, atomically.
    async fn publish(&self, route: &Route) -> Result<(), PlatformError>;

    /// Removes a route.
    async fn withdraw(&self, endpoint: &EndpointAddress) -> Result<(), PlatformError>;

    /// Removes what leads clients on the platform itself, where that is beside what leads those on this machine.
    async fn withdraw_part(&self, _: &EndpointAddress) -> Result<(), PlatformError> {
        Ok(())
    }
}

/// Makes networks, looks at them and removes them. Every call is idempotent.
///
/// A platform whose servers all share the network of one machine has every network from the start, and makes and removes
/// none.
#[async_trait]
pub trait Fabric: fmt::Debug + Send + Sync {
    /// Returns the networks that were made here for this project.
    async fn networks(&self) -> Result<BTreeSet<NetworkName>, PlatformError>;

    /// Looks at a network.
    async fn network(&self, name: &NetworkName) -> Result<Observation<NetworkFacts>, PlatformError>;

    /// Makes a network that is not there, or tells why its addresses cannot be used here.
    async fn ensure_network(&self, name: &NetworkName, network: &Network) -> Result<(), PlatformError>;

    /// Removes a network, with which nothing is connected any more.
    async fn drop_network(&self, name: &NetworkName) -> Result<(), PlatformError>;

    /// Removes the parts of a network that are on these platforms. A single platform has one part, which is the whole.
    async fn leave_network(&self, name: &NetworkName, _: &BTreeSet<PlatformName>) -> Result<(), PlatformError> {
        self.drop_network(name).await
    }
}

/// One kind of place where things run, with all that it offers.
#[async_trait]
pub trait Provider: Platform + Endpoints + Fabric {
    /// Looks at what the platform offers. What keeps it from being used is a problem in the answer, not an error.
    async fn facts(&self) -> PlatformFacts;

    /// Says what keeps the platform from making servers and endpoints that are not there yet. Makes nothing.
    async fn rehearse(&self, _: &Unmade) -> Rehearsed {
        Rehearsed::default()
    }

    /// Looks for the servers of every project, those included whose state is lost. A server that is down is found where its
    /// directory is below the data root of a project that is known, or of one that runs.
    async fn survey(&self) -> Result<Survey, PlatformError>;

    /// Looks for the objects of every project that stand beside those of others and outlive their record. A platform that has
    /// everything in directories of the project has none.
    async fn leftovers(&self) -> Result<Vec<Leftover>, PlatformError> {
        Ok(Vec::new())
    }

    /// Removes all such objects of a lineage, with the data in them. Nobody holds the lock of a record that is lost.
    async fn discard(&self, _: &str) -> Result<(), PlatformError> {
        Ok(())
    }

    /// Runs commands in a directory that is made for them, belongs to no node and goes with them. Returns the first that
    /// failed, where one did.
    async fn try_out(&self, trial: &TrialSpec) -> Result<Option<Failure>, PlatformError>;
}

/// Where things run.
#[derive(Clone, Debug)]
pub struct World {
    /// Runs servers.
    pub platform: Arc<dyn Platform>,
    /// Routes clients to servers.
    pub endpoints: Arc<dyn Endpoints>,
    /// Connects servers with each other.
    pub fabric: Arc<dyn Fabric>,
    /// What there is, by name.
    pub providers: Providers,
}

impl World {
    /// Makes a world of platforms, for clusters and networks whose platforms are known. One that none of them is on is no part of
    /// it: what keeps it from being used is nobody's problem.
    pub fn new(mut providers: Providers, known: Known) -> Self {
        let used = known.platforms();
        providers.retain(|name, _| used.contains(name));
        let router = Arc::new(Router::new(providers.clone(), known));
        let platform: Arc<dyn Platform> = Arc::clone(&router) as _;
        Self {
            platform,
            fabric: Arc::clone(&router) as _,
            endpoints: router,
            providers,
        }
    }

    /// Looks at what each platform offers, side by side.
    pub async fn facts(&self) -> BTreeMap<PlatformName, PlatformFacts> {
        let facts = join_all(self.providers.values().map(|provider| provider.facts())).await;
        self.providers.keys().cloned().zip(facts).collect()
    }

    /// Asks each platform what keeps it from making what it has yet to make.
    pub async fn rehearse(&self, unmade: &BTreeMap<PlatformName, Unmade>) -> Vec<Rehearsed> {
        let asked = unmade.iter().filter_map(|(name, unmade)| {
            let is_empty = unmade.servers.is_empty() && unmade.endpoints.is_empty();
            let provider = self.providers.get(name).filter(|_| !is_empty)?;
            Some(provider.rehearse(unmade))
        });
        join_all(asked).await
    }

    /// Returns what opens sessions with servers.
    pub fn sessions<'a>(&self, secrets: &'a Secrets) -> Sessions<'a> {
        Sessions::new(Arc::clone(&self.platform) as Arc<dyn Dial>, secrets)
    }
}
