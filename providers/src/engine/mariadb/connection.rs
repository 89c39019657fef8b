//! A session with one server, as simdb's own login.
//!
//! A statement that does not end in time, or that is not waited for, leaves answers in the stream that would be taken for those of the
//! next: its connection is closed, and every later call on it says so.

use std::time::Duration;

use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::sensitive::Sensitive;
use tokio::time::timeout;

use super::wire::{Answer, Wire, WireError};
use super::{Cause, LOGIN, MariadbError};
use crate::sessions::Sessions;

/// How long a server may take to let somebody in. A stopped process accepts connections, for the kernel does, and then
/// says nothing.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a server may take to answer.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What every session relies on: texts are read as they are written here, answers are whole, and a wait for a lock ends on the server
/// before it is given up here, so that nothing is done there that was given up.
const PINNED: &str = "SET NAMES utf8mb4, sql_mode = 'STRICT_ALL_TABLES', autocommit = 1, time_zone = '+00:00', \
    lock_wait_timeout = 25, innodb_lock_wait_timeout = 25, max_statement_time = 0, \
    group_concat_max_len = 16777216, sql_select_limit = 18446744073709551615, sql_big_selects = 1";

/// The error of a session that is gone already.
const UNKNOWN_THREAD: u16 = 1094;

/// A session. Dropping it ends it.
#[derive(Debug)]
pub struct Connection {
    node: NodeAddress,
    session: u32,
    version: String,
    /// Absent while a statement is under way, and for good after one that was not waited for.
    wire: Option<Wire>,
}

impl Connection {
    /// Connects to a server.
    pub async fn open(sessions: &Sessions<'_>, server: &Server) -> Result<Self, MariadbError> {
        let password = sessions.secret(&server.password);
        let password = password.ok_or_else(|| MariadbError::MissingSecret(server.password.clone()))?;
        Self::open_as(sessions, server, LOGIN, password).await
    }

    /// Connects to a server as another login.
    pub async fn open_as(
        sessions: &Sessions<'_>,
        server: &Server,
        user: &str,
        password: &Sensitive<String>,
    ) -> Result<Self, MariadbError> {
        let opened = timeout(CONNECT_LIMIT, async {
            let stream = sessions.dial(&(&server.node).into(), &server.place).await;
            let mut wire = Wire::log_in(stream.map_err(Cause::Unreached)?, user, password).await?;
            wire.ask(PINNED).await?;
            Ok(wire)
        });
        let opened = opened.await.unwrap_or(Err(Cause::Silence(CONNECT_LIMIT)));
        let wire = opened.map_err(|cause| MariadbError::Connect {
            node: server.node.clone(),
            at: server.place.peers.clone(),
            cause,
        })?;
        Ok(Self {
            node: server.node.clone(),
            session: wire.session,
            version: wire.version.clone(),
            wire: Some(wire),
        })
    }

    /// Returns the node it leads to.
    pub fn node(&self) -> &NodeAddress {
        &self.node
    }

    /// Returns the server's number of this session.
    pub fn session(&self) -> u32 {
        self.session
    }

    /// Returns the version of the server, as it says it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.wire.is_none()
    }

    /// Runs one statement that may take as long as it says, and returns its whole answer.
    pub(super) async fn ask(&mut self, doing: &str, sql: &str, limit: Duration) -> Result<Answer, MariadbError> {
        let Some(mut wire) = self.wire.take() else {
            return Err(self.failure(doing, Cause::Closed));
        };
        match timeout(limit, wire.ask(sql)).await {
            Err(_) => Err(self.failure(doing, Cause::Silence(limit))),
            Ok(Ok(answer)) => {
                self.wire = Some(wire);
                Ok(answer)
            }
            Ok(Err(refusal @ WireError::Refused { .. })) => {
                self.wire = Some(wire);
                Err(self.failure(doing, refusal.into()))
            }
            Ok(Err(error)) => Err(self.failure(doing, error.into())),
        }
    }

    /// Asks, and returns all rows.
    pub async fn rows(&mut self, doing: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, MariadbError> {
        Ok(self.ask(doing, sql, ANSWER_LIMIT).await?.rows)
    }

    /// Asks, and returns the first value of the first row; `None` where that is null or there is no row.
    pub async fn value(&mut self, doing: &str, sql: &str) -> Result<Option<String>, MariadbError> {
        let first = self.rows(doing, sql).await?.into_iter().next();
        Ok(first.and_then(|row| row.into_iter().next()).flatten())
    }

    /// Asks for a value that is always there.
    pub async fn required(&mut self, doing: &str, sql: &str) -> Result<String, MariadbError> {
        let value = self.value(doing, sql).await?;
        value.ok_or_else(|| self.failure(doing, Cause::Answer("it is empty".to_owned())))
    }

    /// Tells the server to do something.
    pub async fn execute(&mut self, doing: &str, sql: &str) -> Result<(), MariadbError> {
        self.ask(doing, sql, ANSWER_LIMIT).await.map(drop)
    }

    /// Ends another session of the server, where it is there.
    pub async fn kill(&mut self, session: u32) -> Result<(), MariadbError> {
        match self
            .execute("end a session", &format!("KILL CONNECTION {session}"))
            .await
        {
            Err(error) if error.code() != Some(UNKNOWN_THREAD) => Err(error),
            _ => Ok(()),
        }
    }

    /// Ends the session in order.
    pub async fn close(mut self) {
        if let Some(wire) = self.wire.take() {
            // A server that does not take it finds the connection broken.
            let _ = timeout(CONNECT_LIMIT, wire.quit()).await;
        }
    }

    /// Makes an error about this server.
    pub(super) fn failure(&self, doing: &str, cause: Cause) -> MariadbError {
        MariadbError::Query {
            doing: doing.to_owned(),
            node: self.node.clone(),
            cause,
        }
    }
}

/// Writes a text as an SQL literal.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', "''"))
}

/// Writes a name as an SQL identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_literal() {
        assert_eq!(literal(r"it's \ 'all'"), r"'it''s \\ ''all'''");
        assert_eq!(identifier("a`b"), "`a``b`");
    }
}
