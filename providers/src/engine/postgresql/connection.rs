//! A session with one server, as its superuser.
//!
//! A superuser's session must run nothing that another role defined: it would run with all rights. So names are looked up
//! among the built-in objects alone, and no statement evaluates an expression of a user's table, view or index: what
//! tables hold is read by `COPY` (see `table`). What a session relies on comes with the connection ([`PINNED`]), so that
//! it holds from the first statement on and outranks what files, databases and roles say.

use std::fmt::Write;
use std::future::Future;
use std::time::Duration;

use postgres_protocol::escape::escape_literal;
use simdb_planner::engine::postgresql::instance::SUPERUSER;
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::sensitive::Sensitive;
use tokio::time::timeout;
use tokio_postgres::error::{DbError, ErrorPosition};
use tokio_postgres::{Config, CopyOutStream, SimpleQueryMessage};

use super::{Cause, PostgresqlError};
use crate::sessions::{Session, Sessions};

/// How long a server may take to let somebody in. A stopped process accepts connections, for the kernel does, and then
/// says nothing.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How long a server may take to answer, set on the server as well so that it gives up too.
pub(super) const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// What every session of simdb relies on, by name. Values of the connection outrank those that a file, a database or a
/// role gives; the owner of a database may set most of these for all who connect to it.
const PINNED: &[(&str, &str)] = &[
    // Functions, operators, types and tables are built-in ones, unless a statement names their schema.
    ("search_path", ""),
    // The owner of a database could let its sessions begin as another role.
    ("role", "none"),
    // A policy is an expression of the table's owner: rows that one would hide are an error.
    ("row_security", "off"),
    // Literals are read as they are written here.
    ("standard_conforming_strings", "on"),
    // Nothing that people choose for their own sessions ends one of simdb.
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    // It writes, and it asks standbys, which serve no serializable transaction.
    ("default_transaction_read_only", "off"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    // Values are written as they are read here.
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("bytea_output", "hex"),
    ("extra_float_digits", "1"),
    ("quote_all_identifiers", "off"),
    ("transform_null_equals", "off"),
    ("array_nulls", "on"),
    ("client_min_messages", "warning"),
    // No session waits for a standby to confirm a commit: a role made while a standby is down would hang otherwise.
    ("synchronous_commit", "local"),
];

/// Like [`PINNED`], for what older servers do not know: since which minor version of each major one, the last of which
/// stands for all that follow. They are set right after the connection was made, for a server that does not know them
/// would refuse it.
const PINNED_SINCE: &[(&[(u16, u16)], &str)] = &[
    (&[(17, 0)], "SET event_triggers = off;"),
    (&[(17, 0)], "SET transaction_timeout = 0;"),
    // What was a table a moment ago may be a view now, and a view runs what its owner wrote.
    (
        &[(15, 8), (16, 4), (17, 0)],
        "SET restrict_nonsystem_relation_kind = 'view,foreign-table';",
    ),
];

/// The database that every server has.
pub(crate) const MAINTENANCE_DATABASE: &str = "postgres";

/// What a session relies on that runs what a user wrote, as that user.
const PINNED_OF_OTHERS: &[(&str, &str)] = &[
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "off"),
    ("idle_in_transaction_session_timeout", "0"),
    ("lock_timeout", "0"),
    ("role", "none"),
    // Statements are told apart by it.
    ("standard_conforming_strings", "on"),
    ("synchronous_commit", "local"),
];

/// A role that logs in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a Sensitive<String>,
}

/// A session. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Connection {
    node: NodeAddress,
    session: Session,
}

impl Connection {
    /// Connects to a server.
    pub(crate) async fn open(sessions: &Sessions<'_>, server: &Server) -> Result<Self, PostgresqlError> {
        Self::open_in(sessions, server, MAINTENANCE_DATABASE).await
    }

    /// Connects to one database of a server.
    pub(crate) async fn open_in(
        sessions: &Sessions<'_>,
        server: &Server,
        database: &str,
    ) -> Result<Self, PostgresqlError> {
        let password = sessions.secret(&server.password);
        let password = password.ok_or_else(|| PostgresqlError::MissingSecret(server.password.clone()))?;
        let login = Login {
            user: SUPERUSER,
            password,
        };
        let opened = Self::connect(sessions, server, login, database, &options(PINNED, ANSWER_LIMIT)).await?;
        let newer = newer(&opened.session.version);
        if !newer.is_empty() {
            opened.execute("set up a session", &newer).await?;
        }
        Ok(opened)
    }

    /// Connects to one database of a server as another role, which looks names up as its clients do.
    pub(super) async fn open_as(
        sessions: &Sessions<'_>,
        server: &Server,
        login: Login<'_>,
        database: &str,
    ) -> Result<Self, PostgresqlError> {
        let options = options(PINNED_OF_OTHERS, Duration::ZERO);
        Self::connect(sessions, server, login, database, &options).await
    }

    async fn connect(
        sessions: &Sessions<'_>,
        server: &Server,
        login: Login<'_>,
        database: &str,
        options: &str,
    ) -> Result<Self, PostgresqlError> {
        let mut config = Config::new();
        config
            .user(login.user)
            .password(login.password.expose())
            .dbname(database)
            .application_name("simdb")
            .options(options);
        let directory = (&server.node).into();
        let opened = sessions.open(directory, &server.place, &config, CONNECT_LIMIT).await;
        let session = opened.map_err(|cause| PostgresqlError::Connect {
            node: server.node.clone(),
            at: server.place.peers.clone(),
            cause,
        })?;
        let node = server.node.clone();
        Ok(Self { node, session })
    }

    /// Returns the node it leads to.
    pub(crate) fn node(&self) -> &NodeAddress {
        &self.node
    }

    /// Returns whether the session is over.
    pub(crate) fn is_closed(&self) -> bool {
        self.session.client.is_closed()
    }

    /// Waits until no other session of simdb makes the same thing, and keeps others from it until this one ends. The server
    /// goes on with what a simdb that was killed told it last.
    pub(crate) async fn alone(&self, doing: &str, name: &str) -> Result<(), PostgresqlError> {
        let lock = format!(
            "SELECT pg_advisory_lock(hashtext('simdb'), hashtext({}))",
            literal(name)
        );
        self.value(doing, &lock).await.map(drop)
    }

    /// Asks, and returns the first value of the first row; `None` where that is null or there is no row.
    pub(crate) async fn value(&self, doing: &str, sql: &str) -> Result<Option<String>, PostgresqlError> {
        let first = self.rows(doing, sql).await?.into_iter().next();
        Ok(first.and_then(|row| row.into_iter().next()).flatten())
    }

    /// Asks, and returns all rows.
    pub(crate) async fn rows(&self, doing: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, PostgresqlError> {
        self.rows_within(doing, sql, ANSWER_LIMIT).await
    }

    /// Asks what may take longer than other questions, and returns all rows. The server has a limit of its own, which
    /// such a session is to raise.
    pub(crate) async fn rows_within(
        &self,
        doing: &str,
        sql: &str,
        limit: Duration,
    ) -> Result<Vec<Vec<Option<String>>>, PostgresqlError> {
        let answer = within(limit, self.session.client.simple_query(sql)).await;
        let messages = answer.map_err(|cause| self.failure(doing, cause))?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(
                (0..row.len())
                    .map(|column| row.get(column).map(str::to_owned))
                    .collect(),
            ),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// Asks for a value that is always there.
    pub(crate) async fn required(&self, doing: &str, sql: &str) -> Result<String, PostgresqlError> {
        self.value(doing, sql)
            .await?
            .ok_or_else(|| self.failure(doing, Cause::Empty))
    }

    /// Tells the server to do something.
    pub(crate) async fn execute(&self, doing: &str, sql: &str) -> Result<(), PostgresqlError> {
        let done = within(ANSWER_LIMIT, self.session.client.batch_execute(sql)).await;
        done.map_err(|cause| self.failure(doing, cause))
    }

    /// Lets the server run one statement of somebody else's; where it fails, it may say at which character.
    pub(crate) async fn statement(&self, sql: &str, limit: Duration) -> Result<(), (Cause, Option<usize>)> {
        let Ok(answer) = timeout(limit, self.session.client.simple_query(sql)).await else {
            self.cancel().await;
            return Err((Cause::Silence(limit), None));
        };
        answer.map(drop).map_err(|error| {
            let position = match error.as_db_error().and_then(DbError::position) {
                Some(ErrorPosition::Original(position)) => usize::try_from(*position).ok(),
                _ => None,
            };
            (Cause::from(error), position)
        })
    }

    /// Lets the server copy something to this client.
    pub(super) async fn copy_out(&self, sql: &str) -> Result<CopyOutStream, tokio_postgres::Error> {
        self.session.client.copy_out(sql).await
    }

    /// Asks the server to give up what it is doing for this session.
    pub(crate) async fn cancel(&self) {
        self.session.cancel(CONNECT_LIMIT).await;
    }

    /// Makes an error about this server.
    pub(crate) fn failure(&self, doing: &str, cause: Cause) -> PostgresqlError {
        PostgresqlError::Query {
            doing: doing.to_owned(),
            node: self.node.clone(),
            cause,
        }
    }
}

/// Returns settings as a connection hands them over.
fn options(settings: &[(&str, &str)], statement_limit: Duration) -> String {
    let mut options = format!("-c statement_timeout={}", statement_limit.as_millis());
    for (name, value) in settings {
        let value = value.replace('\\', r"\\").replace(' ', r"\ ");
        write!(options, " -c {name}={value}").expect("writing to a String cannot fail");
    }
    options
}

/// Returns what sets those of [`PINNED_SINCE`] that a server of this version knows (`15.18 (Debian …)`, `18beta1`).
fn newer(server_version: &str) -> String {
    let mut numbers = server_version
        .split(|c: char| !c.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let (major, minor): (u16, u16) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let knows = |since: &[(u16, u16)]| {
        let here = since.iter().find(|(in_major, _)| *in_major == major);
        let newest = since.last().is_some_and(|(newest, _)| major > *newest);
        here.map_or(newest, |(_, from)| minor >= *from)
    };
    let statements = PINNED_SINCE.iter().filter(|(since, _)| knows(since));
    statements.map(|(_, sql)| *sql).collect()
}

/// Writes a text as an SQL literal.
pub(crate) fn literal(text: &str) -> String {
    escape_literal(text)
}

pub(crate) async fn within<T>(
    limit: Duration,
    request: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, Cause> {
    match timeout(limit, request).await {
        Ok(answer) => answer.map_err(Cause::from),
        Err(_) => Err(Cause::Silence(limit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_reach_the_server_as_they_are() {
        let settings = [("search_path", ""), ("datestyle", "ISO, YMD"), ("x.y", r"a\b")];
        let expected = r"-c statement_timeout=1000 -c search_path= -c datestyle=ISO,\ YMD -c x.y=a\\b";
        assert_eq!(options(&settings, Duration::from_secs(1)), expected);
    }

    #[test]
    fn a_server_is_told_only_what_it_knows() {
        let count = |version: &str| newer(version).matches("SET ").count();
        for (version, expected) in [
            ("15.7", 0),
            ("15.18 (Debian 15.18-0+deb12u1)", 1),
            ("16.3", 0),
            ("16.4", 1),
            ("17.0", 3),
            ("18beta1", 3),
            ("", 0),
        ] {
            assert_eq!(count(version), expected, "{version}");
        }
    }
}
