//! Does what steps ask of PostgreSQL servers: those that every engine has, and those of PostgreSQL alone.

mod access;
mod import;
mod role;
mod server;
mod standby;

use simdb_planner::engine::postgresql;
use simdb_planner::plan::{Action, Server};
use simdb_state::delta::Outputs;
use simdb_state::identity::DataIdentity;
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};
use tokio::time::{Instant, sleep};

use super::connection::Connection;
use super::verify::{self, Expected};
use super::{Activity, POLL, PostgresqlError, ready, replication, sync};
use crate::effects::{ProviderEffects, StepError};
use crate::platform::StopMode;

impl ProviderEffects {
    /// Does its part of a step that every engine has.
    #[expect(clippy::too_many_lines, reason = "one short arm for each kind of step")]
    pub(crate) async fn postgresql_serves(&self, action: &Action, secrets: &Secrets) -> Result<Outputs, StepError> {
        match action {
            Action::Primary {
                birth,
                instance,
                server,
            } => return self.primary(birth, instance, server, secrets).await,
            Action::Import {
                instance,
                server,
                identity,
                login,
                link,
                upstream,
            } => {
                let import = import::Import {
                    instance,
                    server,
                    login: login.as_deref(),
                    link,
                    upstream: upstream.as_ref(),
                };
                self.import(&import, secrets).await?;
                return Ok(identified(identity.clone()));
            }
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
                    seal: seal.as_deref(),
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
            | Action::DropDatabase { .. } => return self.access(action, secrets).await,
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
            // These are the platform's, or in the record alone: logins and databases go with their server.
            Action::Engine(_)
            | Action::Stop { .. }
            | Action::DropNode { .. }
            | Action::Endpoint { .. }
            | Action::DropEndpoint { .. }
            | Action::Elect { .. }
            | Action::Degrade { .. }
            | Action::Network { .. }
            | Action::Cluster { .. }
            | Action::Record {}
            | Action::DropSeed { .. }
            | Action::DropCluster { .. }
            | Action::DropNetwork { .. } => {}
        }
        Ok(Outputs::default())
    }

    /// Does a step that only PostgreSQL has.
    pub(crate) async fn postgresql(&self, action: &postgresql::Action, secrets: &Secrets) -> Result<(), StepError> {
        match action {
            postgresql::Action::Slot { node: _, slot, server } => {
                let connection = self.session(server, secrets).await?;
                replication::ensure_slot(&connection, &slot.name).await?;
            }
            postgresql::Action::DropSlot { node: _, slot, server } => {
                let connection = self.session(server, secrets).await?;
                replication::drop_slot(&connection, &slot.name).await?;
            }
            postgresql::Action::Open {
                instance,
                server,
                awaited,
            } => {
                let connection = self.open(server, secrets).await?;
                sync::wait_for_standbys(&*self.platform, &connection, *awaited, self.limits.streaming).await?;
                drop(self.reload(instance, server, Activity::Writes, secrets).await?);
            }
            postgresql::Action::Resume { server } => {
                let connection = self.session(server, secrets).await?;
                replication::resume(&connection).await?;
            }
            postgresql::Action::SyncNames {
                cluster: _,
                rule,
                instance,
                server,
                in_recovery,
                awaited,
            } => {
                let expected = (*in_recovery).into();
                let connection = self.reload(instance, server, expected, secrets).await?;
                sync::wait_shown(&connection, rule).await?;
                if !in_recovery {
                    sync::wait_for_standbys(&*self.platform, &connection, *awaited, self.limits.streaming).await?;
                }
            }
        }
        Ok(())
    }

    /// Opens a session with a server; one that is starting up is waited for, as it may recover from a crash.
    pub(crate) async fn open(&self, server: &Server, secrets: &Secrets) -> Result<Connection, PostgresqlError> {
        let sessions = self.sessions(secrets);
        let deadline = Instant::now() + self.limits.ready;
        loop {
            match Connection::open(&sessions, server).await {
                Err(error) if ready::is_starting(&error) && Instant::now() < deadline => sleep(POLL).await,
                opened => return opened,
            }
        }
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

fn identified(identity: DataIdentity) -> Outputs {
    Outputs {
        identity: Some(identity),
        ..Outputs::default()
    }
}
