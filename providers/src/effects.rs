//! Does one step: what its action says, and nothing that it does not say.
//!
//! Every function here may run again after a crash in its middle, and then ends in the same state.

mod access;
mod error;
mod role;
mod server;
mod standby;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use simdb_planner::plan::{Action, Server, Step};
use simdb_state::delta::Outputs;
use simdb_state::lsn::SystemIdentifier;
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};
use simdb_state::store::Grant;

pub use self::error::StepError;
use crate::engine::postgresql::connection::Connection;
use crate::engine::postgresql::verify::Expected;
use crate::engine::postgresql::{Activity, PostgresqlError, verify};
use crate::platform::{Dial, Endpoints, Platform, StopMode, World};
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
    /// Where endpoints are entered.
    pub endpoints: Arc<dyn Endpoints>,
    /// Where the files are that steps name.
    pub files: PathBuf,
    /// How long to wait for servers.
    pub limits: Limits,
    /// What lets them be changed. A server that is asked by SQL keeps no token: the grant is looked at right before.
    pub grant: Grant,
}

#[async_trait]
impl Effects for ProviderEffects {
    #[expect(clippy::too_many_lines, reason = "one short arm for each kind of step")]
    async fn run(&self, step: &Step, secrets: &Secrets) -> Result<Outputs, StepError> {
        self.grant.check().await?;
        match &step.action {
            Action::Primary {
                birth,
                instance,
                server,
            } => return self.primary(birth, instance, server, secrets).await,
            Action::Clone { node, task, data } => return self.basebackup(node, task, data, secrets).await,
            Action::Fence {
                server,
                version,
                data,
                seal,
                method,
            } => {
                let fence = role::Fence {
                    server,
                    version: *version,
                    data: data.as_deref(),
                    seal: seal.as_ref(),
                };
                return self.fence(&fence, *method, secrets).await;
            }
            Action::Elect {
                handover: Some(handover),
                ..
            } => self.hand_over(handover, secrets).await?,
            Action::Promote {
                instance,
                server,
                survivors,
                evidence,
            } => return self.promote(instance, server, survivors, evidence, secrets).await,
            Action::Rejoin {
                node,
                task,
                data,
                source,
            } => return self.rewind(node, task, data, source, secrets).await,
            Action::Verify {
                cluster: _,
                primary,
                standbys,
                synchronous,
                awaited,
                commit,
            } => {
                let expected = Expected {
                    standbys,
                    synchronous,
                    awaited: *awaited,
                    commit: *commit,
                };
                let limit = self.limits.verification;
                let marker = match verify::verify_sync(primary, expected, &self.sessions(secrets), limit).await {
                    Ok(marker) => marker,
                    Err(error) => return Err(error.with_logs(&*self.platform).await.into()),
                };
                return Ok(Outputs {
                    marker: Some(marker.into()),
                    ..Outputs::default()
                });
            }
            Action::ReplicationUser { .. }
            | Action::User { .. }
            | Action::Database { .. }
            | Action::Seed { .. }
            | Action::DropUser { .. }
            | Action::DropDatabase { .. } => self.access(&step.action, secrets).await?,
            Action::Join {
                instance,
                server,
                upstream,
                application_name,
            } => {
                let upstream = Some((upstream, application_name.as_str()));
                self.start_standby(instance, server, upstream, secrets).await?;
            }
            Action::Start {
                instance,
                server,
                in_recovery: true,
            } => self.start_standby(instance, server, None, secrets).await?,
            Action::Start {
                instance,
                server,
                in_recovery: false,
            } => drop(self.start(instance, server, secrets).await?),
            Action::Stop { node } => drop(self.platform.stop(&node.into(), StopMode::Fast).await?),
            Action::Configure {
                instance,
                server,
                restart,
                in_recovery,
                upstream,
            } => {
                if !*restart {
                    drop(self.reload(instance, server, (*in_recovery).into(), secrets).await?);
                } else if *in_recovery {
                    let name = server.node.node.identifier();
                    let upstream = upstream.as_ref().map(|upstream| (upstream, name.as_str()));
                    self.restart_standby(instance, server, upstream, secrets).await?;
                } else {
                    self.platform.stop(&(&server.node).into(), StopMode::Fast).await?;
                    drop(self.start(instance, server, secrets).await?);
                }
            }
            Action::Follow {
                instance,
                server,
                upstream,
                application_name,
            } => {
                let standby = self.reload(instance, server, Activity::Replays, secrets).await?;
                self.wait_streaming(upstream, &standby, application_name, secrets)
                    .await?;
            }
            Action::Engine(action) => self.engine(action, secrets).await?,
            Action::DropNode { node } => Platform::drop(&*self.platform, &node.into()).await?,
            Action::Endpoint { endpoint: _, entry } => self.endpoints.publish(entry).await?,
            Action::DropEndpoint { endpoint, name: _ } => self.endpoints.withdraw(endpoint).await?,
            // These are in the record alone: logins and databases go with their server, and processes of one machine need
            // no network.
            Action::Elect { .. }
            | Action::Degrade { .. }
            | Action::Network { .. }
            | Action::Cluster { .. }
            | Action::DropSeed { .. }
            | Action::DropCluster { .. }
            | Action::DropNetwork { .. } => {}
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
            providers: _,
        } = world;
        Self {
            platform,
            endpoints,
            files,
            limits: Limits::default(),
            grant,
        }
    }

    pub(crate) fn sessions<'a>(&self, secrets: &'a Secrets) -> Sessions<'a> {
        Sessions::new(Arc::clone(&self.platform) as Arc<dyn Dial>, secrets)
    }

    /// Opens a session that looks at a server.
    pub(crate) async fn open(&self, server: &Server, secrets: &Secrets) -> Result<Connection, PostgresqlError> {
        Connection::open(&self.sessions(secrets), server).await
    }

    /// Opens a session that changes a server, if the lock of the record is still held: opening it may have taken long.
    pub(crate) async fn session(&self, server: &Server, secrets: &Secrets) -> Result<Connection, StepError> {
        let connection = self.open(server, secrets).await?;
        self.grant.check().await?;
        Ok(connection)
    }
}

fn secret<'a>(secrets: &'a Secrets, name: &SecretName) -> Result<&'a Sensitive<String>, StepError> {
    secrets.get(name).ok_or_else(|| StepError::MissingSecret(name.clone()))
}

fn identified(system_identifier: SystemIdentifier) -> Outputs {
    Outputs {
        system_identifier: Some(system_identifier),
        ..Outputs::default()
    }
}
