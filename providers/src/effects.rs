//! Does one step: what its action says, and nothing that it does not say.
//!
//! Every function here may run again after a crash in its middle, and then ends in the same state.

mod pooler;
mod role;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use simdb_planner::plan::{self, Action, Server, Step};
use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::lsn::SystemIdentifier;
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};
use thiserror::Error;

use crate::pgbouncer::PgbouncerError;
use crate::platform::{Directory, Platform, PlatformError, StopMode};
use crate::postgresql::connection::Connection;
use crate::postgresql::control::ControlError;
use crate::postgresql::replication::Stream;
use crate::postgresql::seed::{self, Seed, SeedError};
use crate::postgresql::verify::Expected;
use crate::postgresql::{
    Activity, PostgresqlError, database, observe, ready, replication, settings, sync, user, verify,
};

/// Why a step failed.
#[derive(Debug, Error)]
pub enum StepError {
    /// A secret that the step needs is not there.
    #[error("find the password of {0}: the state does not hold it")]
    MissingSecret(SecretName),
    /// The step says too little to be done.
    #[error("copy data to {0}: the task runs no command, so its engine's version is not known")]
    EmptyTask(NodeAddress),
    /// A server did not shut down; it was killed, and nothing was promoted.
    #[error("shut down {node}: it was not down after {limit:?} and was killed; nobody was promoted in its place")]
    Hung {
        /// The node.
        node: NodeAddress,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A server ended without having written and sent everything.
    #[error(
        "shut down {node}: its data says {state:?}, so it may not have sent all it wrote; nobody was promoted in its place"
    )]
    NotShutDown {
        /// The node.
        node: NodeAddress,
        /// `pg_controldata`'s word for its state.
        state: String,
    },
    /// The platform could not do its part.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// A server did not do its part.
    #[error(transparent)]
    Postgresql(Box<PostgresqlError>),
    /// A seed did not run.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// A pooler did not do its part.
    #[error(transparent)]
    Pgbouncer(#[from] PgbouncerError),
    /// A copy's control data makes no sense.
    #[error("look at the data copied to {node}")]
    Control {
        /// The node.
        node: NodeAddress,
        /// What is wrong with it.
        #[source]
        source: ControlError,
    },
}

impl From<PostgresqlError> for StepError {
    fn from(error: PostgresqlError) -> Self {
        StepError::Postgresql(Box::new(error))
    }
}

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
    /// Until a primary that hands over is down. Writes wait, so one that hangs is better taken back.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ready: Duration::from_mins(1),
            streaming: Duration::from_secs(30),
            verification: Duration::from_secs(30),
            pause: Duration::from_secs(10),
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Does steps on a platform and the servers it runs.
#[derive(Clone, Debug)]
pub struct ProviderEffects {
    /// Where servers run.
    pub platform: Arc<dyn Platform>,
    /// Where endpoints are entered.
    pub directory: Arc<dyn Directory>,
    /// Where the files are that steps name.
    pub files: PathBuf,
    /// How long to wait for servers.
    pub limits: Limits,
}

#[async_trait]
impl Effects for ProviderEffects {
    #[expect(clippy::too_many_lines, reason = "one short arm for each kind of step")]
    async fn run(&self, step: &Step, secrets: &Secrets) -> Result<Outputs, StepError> {
        match &step.action {
            Action::Primary {
                initdb,
                instance,
                server,
            } => return self.primary(initdb, instance, server, secrets).await,
            Action::Basebackup { node, task, data } => return self.basebackup(node, task, data, secrets).await,
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
            Action::Promote {
                instance,
                server,
                survivors,
                evidence,
            } => return self.promote(instance, server, survivors, evidence, secrets).await,
            Action::Rewind {
                node,
                task,
                data,
                source,
            } => return self.rewind(node, task, data, source, secrets).await,
            Action::VerifySync {
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
                let marker = verify::verify_sync(primary, expected, secrets, limit).await?;
                return Ok(Outputs {
                    marker: Some(marker),
                    ..Outputs::default()
                });
            }
            Action::ReplicationUser {
                user,
                attributes,
                password,
                server,
                streams,
            } => {
                let connection = Connection::open(server, secrets).await?;
                let password = secret(secrets, password)?;
                user::ensure(&connection, &user.user, attributes, &BTreeSet::new(), Some(password)).await?;
                self.stream_anew(streams, secrets).await?;
            }
            Action::User {
                user,
                attributes,
                leaves,
                password,
                server,
            } => {
                let connection = Connection::open(server, secrets).await?;
                let password = password.as_ref().map(|name| secret(secrets, name)).transpose()?;
                user::ensure(&connection, &user.user, attributes, leaves, password).await?;
            }
            Action::Database {
                database,
                attributes,
                server,
            } => {
                let connection = Connection::open(server, secrets).await?;
                database::ensure(&connection, &database.database, attributes).await?;
            }
            Action::Seed {
                seed,
                file,
                digest,
                database,
                owner,
                server,
            } => {
                let connection = Connection::open_in(server, database.as_str(), secrets).await?;
                let seed = Seed {
                    name: &seed.seed,
                    file,
                    digest,
                    database,
                    owner,
                };
                seed::run(&connection, seed, &self.files).await?;
            }
            Action::DropUser {
                user,
                server: Some(server),
            } => {
                let connection = Connection::open(server, secrets).await?;
                user::drop(&connection, &user.user).await?;
            }
            Action::DropDatabase {
                database,
                server: Some(server),
            } => {
                let connection = Connection::open(server, secrets).await?;
                database::drop(&connection, &database.database).await?;
            }
            Action::Slot { node: _, slot, server } => {
                let connection = Connection::open(server, secrets).await?;
                replication::ensure_slot(&connection, &slot.name).await?;
            }
            Action::DropSlot { node: _, slot, server } => {
                let connection = Connection::open(server, secrets).await?;
                replication::drop_slot(&connection, &slot.name).await?;
            }
            Action::Standby {
                instance,
                server,
                upstream,
                application_name,
            } => {
                let standby = self.start(instance, server, Activity::Replays, secrets).await?;
                self.wait_streaming(upstream, &standby, application_name, secrets)
                    .await?;
            }
            Action::Start {
                instance,
                server,
                in_recovery,
            } => drop(self.start(instance, server, (*in_recovery).into(), secrets).await?),
            Action::Stop { node } => self.platform.stop(&node.into(), StopMode::Fast).await?,
            Action::Configure {
                instance,
                server,
                restart,
                in_recovery,
                replays,
                upstream,
            } => {
                let expected = (*in_recovery).into();
                if !restart {
                    drop(self.reload(instance, server, expected, secrets).await?);
                    return Ok(Outputs::default());
                }
                if let Some(primary) = replays {
                    self.wait_replayed(server, primary, secrets).await?;
                }
                self.platform.stop(&(&server.node).into(), StopMode::Fast).await?;
                let connection = self.start(instance, server, expected, secrets).await?;
                if let Some(upstream) = upstream {
                    let name = server.node.node.identifier();
                    self.wait_streaming(upstream, &connection, &name, secrets).await?;
                }
            }
            Action::Resume { server } => {
                let connection = Connection::open(server, secrets).await?;
                replication::resume(&connection).await?;
            }
            Action::SyncNames {
                cluster: _,
                names,
                instance,
                server,
                in_recovery,
                awaited,
            } => {
                let expected = (*in_recovery).into();
                let connection = self.reload(instance, server, expected, secrets).await?;
                sync::wait_shown(&connection, names).await?;
                if !in_recovery {
                    sync::wait_for_standbys(&connection, *awaited, self.limits.streaming).await?;
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
            Action::Pooler {
                instance,
                console,
                restart,
            } => {
                if *restart {
                    let home = (&console.endpoint).into();
                    self.platform.stop(&home, StopMode::Fast).await?;
                }
                self.lead(instance, console, secrets).await?;
            }
            Action::Repoint { instance, console } => self.lead(instance, console, secrets).await?,
            Action::Pause { console, server } => self.pause(console, server, secrets).await?,
            Action::Unpause { console } => self.resume(console, secrets).await?,
            Action::StopPooler { endpoint } => self.platform.stop(&endpoint.into(), StopMode::Fast).await?,
            Action::DropPooler { endpoint } => Platform::drop(&*self.platform, &endpoint.into()).await?,
            Action::DropNode { node } => Platform::drop(&*self.platform, &node.into()).await?,
            Action::Endpoint { endpoint: _, entry } => self.directory.publish(entry).await?,
            Action::DropEndpoint { endpoint: _, name } => self.directory.withdraw(name).await?,
            // These are in the record alone: logins and databases go with their server, and processes of one machine need
            // no network.
            Action::Elect { .. }
            | Action::Degrade { .. }
            | Action::Network { .. }
            | Action::Cluster { .. }
            | Action::DropUser { server: None, .. }
            | Action::DropDatabase { server: None, .. }
            | Action::DropSeed { .. }
            | Action::DropCluster { .. }
            | Action::DropNetwork { .. } => {}
        }
        Ok(Outputs::default())
    }
}

impl ProviderEffects {
    /// Does steps on a platform, with the usual limits.
    pub fn new(platform: Arc<dyn Platform>, directory: Arc<dyn Directory>, files: PathBuf) -> Self {
        Self {
            platform,
            directory,
            files,
            limits: Limits::default(),
        }
    }

    async fn primary(
        &self,
        initdb: &TaskSpec,
        instance: &InstanceSpec,
        server: &Server,
        secrets: &Secrets,
    ) -> Result<Outputs, StepError> {
        self.platform.run_task(&(&server.node).into(), initdb, secrets).await?;
        let connection = self.start(instance, server, Activity::Writes, secrets).await?;
        let seen = observe::snapshot(&connection).await?;
        Ok(identified(seen.facts.system_identifier))
    }

    async fn basebackup(
        &self,
        node: &NodeAddress,
        task: &TaskSpec,
        data: &str,
        secrets: &Secrets,
    ) -> Result<Outputs, StepError> {
        let version = role::version_of(node, task)?;
        self.platform.run_task(&node.into(), task, secrets).await?;
        let control = self.control_data(node, version, data, secrets).await?;
        Ok(identified(control.system_identifier))
    }

    async fn wait_streaming(
        &self,
        upstream: &Server,
        standby: &Connection,
        application_name: &str,
        secrets: &Secrets,
    ) -> Result<(), PostgresqlError> {
        let connection = Connection::open(upstream, secrets).await?;
        let stream = Stream {
            upstream: &connection,
            listen: upstream.listen,
            standby,
            application_name,
        };
        replication::wait_streaming(&*self.platform, stream, self.limits.streaming).await
    }

    /// Writes the new password into the files of all servers, then lets each stream begin anew with it, one after the
    /// other, so that commits that wait for standbys never wait for all of them.
    async fn stream_anew(&self, streams: &[plan::Stream], secrets: &Secrets) -> Result<(), StepError> {
        for stream in streams {
            self.platform
                .ensure(&(&stream.server.node).into(), &stream.instance, secrets)
                .await?;
        }
        for stream in streams {
            let Some(upstream) = &stream.upstream else { continue };
            let name = &stream.application_name;
            replication::end_stream(&Connection::open(upstream, secrets).await?, name).await?;
            let standby = Connection::open(&stream.server, secrets).await?;
            self.wait_streaming(upstream, &standby, name, secrets).await?;
        }
        Ok(())
    }

    /// Starts a server where it is down, and waits until it lets somebody in.
    async fn start(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        expected: Activity,
        secrets: &Secrets,
    ) -> Result<Connection, StepError> {
        self.platform.ensure(&(&server.node).into(), instance, secrets).await?;
        let limit = self.limits.ready;
        Ok(ready::wait(&*self.platform, server, secrets, expected, limit).await?)
    }

    /// Waits until a standby has replayed all that its primary has now.
    async fn wait_replayed(&self, standby: &Server, primary: &Server, secrets: &Secrets) -> Result<(), StepError> {
        let primary = Connection::open(primary, secrets).await?;
        let position = observe::snapshot(&primary).await?.facts.position;
        let standby = Connection::open(standby, secrets).await?;
        Ok(replication::wait_replayed(&standby, position, self.limits.streaming).await?)
    }

    /// Lets a server read its files again. It is told so by the platform first, because the files that it has may keep
    /// simdb out.
    async fn reload(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        expected: Activity,
        secrets: &Secrets,
    ) -> Result<Connection, StepError> {
        self.platform.ensure(&(&server.node).into(), instance, secrets).await?;
        self.platform.reload(&(&server.node).into()).await?;
        let limit = self.limits.ready;
        let connection = ready::wait_admitted(&*self.platform, server, secrets, expected, limit).await?;
        settings::reload(&connection).await?;
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
