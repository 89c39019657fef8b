//! Logins and databases.

use std::net::IpAddr;

use simdb_planner::plan::{Action, Server, Stream};
use simdb_state::object::User;
use simdb_state::sensitive::SecretName;

use super::Driver;
use crate::effects::StepError;
use crate::engine::mariadb::database::{self, Texts};
use crate::engine::mariadb::stream;
use crate::engine::mariadb::user::{self, Account, Passwords, Rights};
use crate::engine::mariadb::verifier::Method;

impl Driver<'_> {
    /// Does a step on what a server holds. What is dropped with its server, or is in the record alone, takes nothing.
    pub(super) async fn access(&self, action: &Action) -> Result<(), StepError> {
        match action {
            Action::ReplicationUser {
                user,
                attributes,
                password,
                server,
                streams,
            } => {
                self.replication_user(user.user.as_str(), attributes, password, server, streams)
                    .await?;
            }
            Action::User {
                user,
                attributes,
                leaves: _,
                password,
                server,
            } => {
                let password = password.as_ref().map(|name| self.secret(name)).transpose()?;
                let passwords = password.map_or(Passwords::None, Passwords::One);
                let account = account(user.user.as_str(), attributes, server);
                user::ensure(&mut self.session(server).await?, &account, passwords).await?;
            }
            Action::Database {
                database,
                attributes,
                server,
            } => {
                let mut connection = self.session(server).await?;
                let texts = Texts {
                    character_set: attributes.encoding.as_deref(),
                    collation: attributes.locale.as_deref(),
                };
                database::ensure(&mut connection, database.database.as_str(), texts).await?;
                let owner = attributes.owner.as_str();
                user::own(&mut connection, owner, host(server), database.database.as_str()).await?;
            }
            Action::DropUser {
                user,
                server: Some(server),
            } => user::drop(&mut self.session(server).await?, user.user.as_str(), host(server)).await?,
            Action::DropDatabase {
                database,
                server: Some(server),
            } => database::drop(&mut self.session(server).await?, database.database.as_str()).await?,
            _ => {}
        }
        Ok(())
    }

    /// Makes the login that servers stream with. While it gets another password the one before lets it in as well, until every stream has
    /// the new one.
    async fn replication_user(
        &self,
        name: &str,
        attributes: &User,
        password: &SecretName,
        server: &Server,
        streams: &[Stream],
    ) -> Result<(), StepError> {
        let account = account(name, attributes, server);
        let password = self.secret(password)?;
        let mut connection = self.session(server).await?;
        if streams.iter().any(|stream| stream.upstream.is_some()) {
            user::ensure(&mut connection, &account, Passwords::Also(password)).await?;
            for stream in streams {
                let directory = (&stream.server.node).into();
                self.effects
                    .platform
                    .ensure(&directory, &stream.instance, self.secrets)
                    .await?;
            }
            for Stream { server, upstream, .. } in streams {
                let Some(upstream) = upstream else { continue };
                let mut follower = self.session(server).await?;
                stream::change_password(&mut follower, password, self.effects.limits.streaming).await?;
                drop(follower);
                self.wait_streaming(server, upstream).await?;
            }
        }
        user::ensure(&mut connection, &account, Passwords::One(password)).await?;
        Ok(())
    }
}

fn account<'a>(name: &'a str, attributes: &User, server: &Server) -> Account<'a> {
    Account {
        name,
        host: host(server),
        method: Method::Native,
        rights: match (attributes.superuser, attributes.replication) {
            (true, _) => Rights::Superuser,
            (false, true) => Rights::Replication,
            (false, false) => Rights::None,
        },
        connection_limit: attributes.connection_limit,
    }
}

/// Returns where logins of a cluster may come from: from this machine where its servers listen to that alone.
fn host(server: &Server) -> &'static str {
    match server.place.bind.host {
        IpAddr::V4(host) if host.is_loopback() => "127.0.0.1",
        _ => "%",
    }
}
