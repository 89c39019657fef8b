//! Does what steps ask of MariaDB servers.
//!
//! A file of an instance says what its server is to be: what is not in it, a server has not after its next start. So files are written
//! first where a server is closed, and last where it is opened: a crash in between leaves it closed.

mod access;
mod role;
mod salvage;
mod server;

use std::collections::BTreeMap;

use simdb_planner::plan::{Action, Checked, Server};
use simdb_state::delta::Outputs;
use simdb_state::gtid::GtidPosition;
use simdb_state::instance::InstanceSpec;
use simdb_state::object::EngineKind;
use simdb_state::place::HostPort;
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};

use super::MariadbError;
use super::connection::Connection;
use super::verify::{self, Expected};
use crate::effects::{ProviderEffects, StepError};
use crate::platform::StopMode;
use crate::sessions::Sessions;

/// The file of an instance with the parameters of its server.
pub const CONF: &str = "mariadbd.cnf";

/// The file of an instance with the password that its server streams with. No server reads it: it lets a password be changed as a file is.
pub const STREAM: &str = "stream.cnf";

/// The login that servers stream with.
pub const REPLICATION_USER: &str = "replicator";

/// What does steps, with the secrets that they need.
struct Driver<'a> {
    effects: &'a ProviderEffects,
    secrets: &'a Secrets,
}

impl ProviderEffects {
    /// Does its part of a step that every engine has.
    pub async fn mariadb_serves(&self, action: &Action, secrets: &Secrets) -> Result<Outputs, StepError> {
        let driver = Driver { effects: self, secrets };
        driver.serve(action).await
    }

    /// Carries the last transactions of a killed primary of a version, whose data is in a directory below its instance directory, into the
    /// server that takes over and is not opened yet; returns how far that is then.
    pub async fn mariadb_carries(
        &self,
        from: &Server,
        data: (u16, &str),
        into: &Server,
        secrets: &Secrets,
    ) -> Result<GtidPosition, StepError> {
        let driver = Driver { effects: self, secrets };
        driver.carry(from, data, into).await
    }
}

impl Driver<'_> {
    #[expect(clippy::too_many_lines, reason = "one short arm for each kind of step")]
    async fn serve(&self, action: &Action) -> Result<Outputs, StepError> {
        match action {
            Action::Primary {
                birth,
                instance,
                server,
            } => return self.primary(birth, instance, server).await,
            Action::Clone { node, task, data } => return self.clone_data(node, task, data).await,
            Action::Join {
                instance,
                server,
                upstream,
                application_name: _,
            }
            | Action::Follow {
                instance,
                server,
                upstream,
                application_name: _,
            } => self.join(instance, server, upstream).await?,
            Action::Start {
                instance,
                server,
                in_recovery,
            } => self.start(instance, server, *in_recovery).await?,
            Action::Configure {
                instance,
                server,
                restart,
                in_recovery,
                upstream,
            } => {
                if *restart {
                    self.effects
                        .platform
                        .stop(&(&server.node).into(), StopMode::Fast)
                        .await?;
                    self.start(instance, server, *in_recovery).await?;
                    if let Some(upstream) = upstream {
                        self.wait_streaming(server, upstream).await?;
                    }
                } else {
                    self.configure(instance, server).await?;
                }
            }
            Action::Fence {
                server,
                version: _,
                data,
                seal,
                method,
            } => return self.fence(server, data.as_deref(), seal.as_deref(), *method).await,
            Action::Elect {
                handover: Some(handover),
                ..
            } => self.hand_over(handover).await?,
            Action::Promote {
                instance,
                server,
                survivors,
                evidence,
            } => return self.promote(instance, server, survivors, evidence).await,
            Action::Verify {
                cluster: _,
                primary,
                standbys,
                synchronous,
                awaited: _,
                commit: _,
            } => {
                let marker = self
                    .verify(primary, standbys, |name| synchronous.contains(name))
                    .await?;
                return Ok(Outputs {
                    marker: Some(marker.into()),
                    ..Outputs::default()
                });
            }
            Action::ReplicationUser { .. }
            | Action::User { .. }
            | Action::Database { .. }
            | Action::DropUser { .. }
            | Action::DropDatabase { .. } => self.access(action).await?,
            Action::Import { .. } => return Err(unsupported("take over a server that was made without simdb")),
            Action::Rejoin { .. } => return Err(unsupported("take data back to where the new primary's branches off")),
            Action::Seed { .. } => return Err(unsupported("run a seed")),
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

    async fn verify(
        &self,
        primary: &Server,
        standbys: &BTreeMap<String, Checked>,
        acknowledges: impl Fn(&str) -> bool,
    ) -> Result<GtidPosition, MariadbError> {
        let upstream = |checked: &Checked| -> HostPort {
            let above = checked.upstream.as_ref().and_then(|name| standbys.get(name));
            above.map_or(primary, |above| &above.server).place.peers.clone()
        };
        let upstreams: Vec<HostPort> = standbys.values().map(upstream).collect();
        let expected: Vec<Expected<'_>> = standbys
            .iter()
            .zip(&upstreams)
            .map(|((name, checked), upstream)| Expected {
                server: &checked.server,
                upstream,
                acknowledges: acknowledges(name),
            })
            .collect();
        verify::verify_sync(primary, &expected, &self.sessions(), self.effects.limits.verification).await
    }

    fn sessions(&self) -> Sessions<'_> {
        self.effects.sessions(self.secrets)
    }

    /// Opens a session that changes a server, if the lock of the record is still held: opening it may have taken long.
    async fn session(&self, server: &Server) -> Result<Connection, StepError> {
        let connection = Connection::open(&self.sessions(), server).await?;
        self.effects.grant.check().await?;
        Ok(connection)
    }

    fn secret(&self, name: &SecretName) -> Result<&Sensitive<String>, StepError> {
        self.secrets
            .get(name)
            .ok_or_else(|| StepError::MissingSecret(name.clone()))
    }

    /// Returns the password that a server streams with, as its files say.
    fn stream_password(&self, instance: &InstanceSpec) -> Result<&Sensitive<String>, StepError> {
        let name = instance.files.get(STREAM).and_then(|file| file.secrets().next());
        self.secret(name.ok_or_else(|| unsupported("find the password of a stream among the files of its server"))?)
    }
}

fn unsupported(doing: &'static str) -> StepError {
    StepError::Unsupported {
        doing,
        engine: EngineKind::Mariadb,
    }
}
