//! Does one step: what its action says, and nothing that it does not say.
//!
//! Every function here may run again after a crash in its middle, and then ends in the same state.

mod error;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use simdb_planner::plan::{Action, Step};
use simdb_state::delta::{Edit, Outputs};
use simdb_state::object::Image;
use simdb_state::sensitive::Secrets;
use simdb_state::store::Grant;

pub use self::error::StepError;
use crate::platform::{Dial, Endpoints, Fabric, Platform, StopMode, World};
use crate::sessions::Sessions;

/// Does steps. Every step is safe to do again.
#[async_trait]
pub trait Effects: fmt::Debug + Send + Sync {
    /// Does one step to its end.
    async fn run(&self, step: &Step, secrets: &Secrets) -> Result<Outputs, StepError>;
}

/// How long steps wait for what servers do by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Until a server that was started lets somebody in. One that recovers from a crash takes its time.
    pub ready: Duration,
    /// Until a standby that lets somebody in streams.
    pub streaming: Duration,
    /// Until every standby has replayed a marker.
    pub verification: Duration,
    /// Until the clients of a pooler have finished what they are at. All others wait as long, so one that does not finish
    /// is better let go on.
    pub pause: Duration,
    /// Until the standby that takes over has replayed what the primary had written when it was asked to hand over.
    /// Nothing waits for it.
    pub handover: Duration,
    /// Until a primary that hands over is down, and until the last of it is replayed. Writes wait, so one that hangs is
    /// better taken back.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ready: Duration::from_mins(1),
            streaming: Duration::from_secs(30),
            verification: Duration::from_secs(30),
            pause: Duration::from_secs(10),
            handover: Duration::from_secs(10),
            shutdown: Duration::from_secs(15),
        }
    }
}

/// Does steps on a platform and the servers it runs.
#[derive(Clone, Debug)]
pub struct ProviderEffects {
    /// Where servers run.
    pub platform: Arc<dyn Platform>,
    /// Where endpoints are routed.
    pub endpoints: Arc<dyn Endpoints>,
    /// What connects servers with each other.
    pub fabric: Arc<dyn Fabric>,
    /// Where the files are that steps name.
    pub files: PathBuf,
    /// How long to wait for servers.
    pub limits: Limits,
    /// What lets them be changed. A server that is asked by SQL keeps no token: the grant is looked at right before.
    pub grant: Grant,
}

#[async_trait]
impl Effects for ProviderEffects {
    async fn run(&self, step: &Step, secrets: &Secrets) -> Result<Outputs, StepError> {
        self.grant.check().await?;
        match &step.action {
            Action::Engine(action) => self.engine(action, secrets).await?,
            Action::Stop { node } => drop(self.platform.stop(&node.into(), StopMode::Fast).await?),
            Action::DropNode { node } => Platform::drop(&*self.platform, &node.into()).await?,
            Action::Endpoint { endpoint: _, route } => self.endpoints.publish(route).await?,
            Action::Network { network, attributes } => self.fabric.ensure_network(network, attributes).await?,
            Action::DropNetwork { network, on } if on.is_empty() => self.fabric.drop_network(network).await?,
            Action::DropNetwork { network, on } => self.fabric.leave_network(network, on).await?,
            Action::DropEndpoint { endpoint, name: _ } => self.endpoints.withdraw(endpoint).await?,
            action => {
                let mut outputs = self.serve(action, secrets).await?;
                outputs.image = self.image(step).await.map(Box::new);
                return Ok(outputs);
            }
        }
        Ok(Outputs::default())
    }
}

impl ProviderEffects {
    /// Does steps on a platform, with the usual limits.
    pub fn new(world: World, files: PathBuf, grant: Grant) -> Self {
        let World {
            platform,
            endpoints,
            fabric,
            providers: _,
        } = world;
        Self {
            platform,
            endpoints,
            fabric,
            files,
            limits: Limits::default(),
            grant,
        }
    }

    /// Returns the image of the server that a step has started, where nobody knew it before. The step is done, whether it can be
    /// seen or not.
    async fn image(&self, step: &Step) -> Option<Image> {
        let unknown = step.delta.0.iter().find_map(|edit| match edit {
            Edit::Instance(instance) if instance.image.is_none() => Some(&instance.node),
            _ => None,
        });
        self.platform.made_from(&unknown?.into()).await.unwrap_or_default()
    }

    pub(crate) fn sessions<'a>(&self, secrets: &'a Secrets) -> Sessions<'a> {
        Sessions::new(Arc::clone(&self.platform) as Arc<dyn Dial>, secrets)
    }
}
