//! Logins, databases and seeds.

use std::collections::BTreeSet;

use simdb_planner::plan::{self, Action};
use simdb_state::delta::Outputs;
use simdb_state::sensitive::Secrets;

use super::secret;
use crate::effects::{ProviderEffects, StepError};
use crate::engine::postgresql::seed::{self, Seed};
use crate::engine::postgresql::{database, owner, replication, user};

impl ProviderEffects {
    /// Does a step on what a server holds. What is dropped with its server, or is in the record alone, takes nothing.
    pub(super) async fn access(&self, action: &Action, secrets: &Secrets) -> Result<Outputs, StepError> {
        match action {
            Action::ReplicationUser {
                user,
                attributes,
                password,
                server,
                streams,
            } => {
                let connection = self.session(server, secrets).await?;
                let password = secret(secrets, password)?;
                user::ensure(&connection, &user.user, attributes, &BTreeSet::new(), Some(password)).await?;
                if server.place.is_named() {
                    user::let_rewind(&connection, &user.user).await?;
                }
                self.stream_anew(streams, secrets).await?;
            }
            Action::User {
                user,
                attributes,
                leaves,
                password,
                server,
            } => {
                let connection = self.session(server, secrets).await?;
                let password = password.as_ref().map(|name| secret(secrets, name)).transpose()?;
                user::ensure(&connection, &user.user, attributes, leaves, password).await?;
            }
            Action::Database {
                database,
                attributes,
                server,
            } => {
                let connection = self.session(server, secrets).await?;
                database::ensure(&connection, &database.database, attributes).await?;
            }
            Action::Seed {
                seed,
                file,
                digest,
                database,
                owner,
                login,
                server,
            } => {
                let keeper = self.open(server, secrets).await?;
                self.grant.check().await?;
                let seed = Seed {
                    name: &seed.seed,
                    file,
                    digest,
                    database,
                };
                let owner = owner::Owner { name: owner, login };
                let ran = seed::run(&keeper, server, owner, seed, &self.sessions(secrets), &self.files).await?;
                return Ok(Outputs {
                    session: Some(ran),
                    ..Outputs::default()
                });
            }
            Action::DropUser {
                user,
                server: Some(server),
            } => {
                let connection = self.session(server, secrets).await?;
                user::drop(&connection, &user.user).await?;
            }
            Action::DropDatabase {
                database,
                server: Some(server),
            } => {
                let connection = self.session(server, secrets).await?;
                database::drop(&connection, &database.database).await?;
            }
            _ => {}
        }
        Ok(Outputs::default())
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
            replication::end_stream(&self.session(upstream, secrets).await?, name).await?;
            let standby = self.open(&stream.server, secrets).await?;
            self.wait_streaming(upstream, &standby, name, secrets).await?;
        }
        Ok(())
    }
}
