//! A session as the owner of a database, which can be nothing else.
//!
//! A superuser's session that took on another identity can take it off again, by more spellings than anybody lists. So
//! what is the owner's to run runs in a session that logged in as the owner: with its password, or, where it may not log
//! in, with one that is made up. Then the owner is let in for as long as a session takes to begin, and shut out again.
//!
//! ```text
//!   superuser   ALTER ROLE owner LOGIN PASSWORD (made up, kept nowhere)
//!   owner       connects
//!   superuser   ALTER ROLE owner NOLOGIN …, also where that failed
//! ```
//!
//! Cut off in the middle, the role may log in with a password that nobody knows. The next plan sees that it may, and the
//! next step that needs it open shuts it as well.

use simdb_planner::plan::{OwnerLogin, Server};

use super::connection::{Connection, Login};
use super::{PostgresqlError, user};
use crate::password;
use crate::sessions::Sessions;

/// The owner of a database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner<'a> {
    /// The role.
    pub(crate) name: &'a str,
    /// How it logs in.
    pub(crate) login: &'a OwnerLogin,
}

impl Owner<'_> {
    /// Logs in as the owner.
    pub(super) async fn connect(
        &self,
        keeper: &Connection,
        server: &Server,
        database: &str,
        sessions: &Sessions<'_>,
    ) -> Result<Connection, PostgresqlError> {
        let (attributes, password) = match self.login {
            OwnerLogin::Password(name) => {
                let password = sessions.secret(name);
                let password = password.ok_or_else(|| PostgresqlError::MissingSecret(name.clone()))?;
                let login = Login {
                    user: self.name,
                    password,
                };
                return Connection::open_as(sessions, server, login, database).await;
            }
            OwnerLogin::Opened { attributes, password } => (attributes, password),
        };
        let password = match password {
            Some(name) => {
                let known = sessions.secret(name);
                Some(known.ok_or_else(|| PostgresqlError::MissingSecret(name.clone()))?)
            }
            None => None,
        };
        let doing = format!("log in as {:?}", self.name);
        keeper.alone(&doing, &format!("user {}", self.name)).await?;
        let passing = password::generate().map_err(PostgresqlError::Random)?;
        user::open(keeper, &doing, self.name, &passing).await?;
        let login = Login {
            user: self.name,
            password: &passing,
        };
        let opened = Connection::open_as(sessions, server, login, database).await;
        user::close(keeper, &doing, self.name, attributes, password).await?;
        opened
    }
}
