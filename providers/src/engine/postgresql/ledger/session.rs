//! A client's way to whichever server takes writes, and one write there.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::select_all;
use simdb_state::place::HostPort;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::Severity;
use tokio_postgres::tls::NoTlsStream;
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, SimpleQueryMessage, Socket};

use super::{LedgerError, PAUSE, SCHEMA, Target};
use crate::executor::chain;

/// How long a server may take to let a client in, or to say whether it takes writes.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// What sessions of ledgers are called, before the name of their table.
const APPLICATION: &str = "simdb-ledger";

/// Where clients get in.
#[derive(Debug)]
pub(super) struct Entrance {
    target: Target,
    /// The ledger's table, in its schema.
    table: String,
    /// What each host that does not take writes said last.
    refusals: Mutex<BTreeMap<HostPort, String>>,
}

impl Entrance {
    /// Makes up the name of a table.
    pub(super) fn new(target: Target) -> Result<Self, LedgerError> {
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes).map_err(LedgerError::Name)?;
        let mut table = "run_".to_owned();
        for byte in bytes {
            write!(table, "{byte:02x}").expect("writing to a String cannot fail");
        }
        Ok(Self {
            target,
            table,
            refusals: Mutex::default(),
        })
    }

    /// Returns the name of the ledger's table.
    pub(super) fn table(&self) -> String {
        format!("{SCHEMA}.{}", self.table)
    }

    /// Returns the database of the ledger's table.
    pub(super) fn database(&self) -> &str {
        &self.target.database
    }

    /// Returns what makes the table. Tables of ledgers that were killed, and whose sessions are gone with them, go. A schema
    /// of somebody else's is refused: its owner could put another table in the place of this one.
    pub(super) fn creation(&self) -> String {
        format!(
            "BEGIN; SET LOCAL search_path = '';
            CREATE SCHEMA IF NOT EXISTS {SCHEMA};
            DO $$ BEGIN
                IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{SCHEMA}'
                        AND pg_get_userbyid(nspowner) = current_user) THEN
                    RAISE 'schema {SCHEMA} belongs to another role';
                END IF;
            END $$;
            {}
            CREATE TABLE {} (client int, number bigint, PRIMARY KEY (client, number));
            COMMIT;",
            drop_tables(&format!(
                "relname NOT IN (SELECT split_part(application_name, ' ', 2) FROM pg_stat_activity
                    WHERE application_name LIKE '{APPLICATION} %')"
            )),
            self.table()
        )
    }

    /// Returns what removes the table, and the schema with it where no other ledger needs it.
    pub(super) fn removal(&self) -> String {
        format!(
            "BEGIN; SET LOCAL search_path = ''; SET LOCAL synchronous_commit = local;
            {}
            DO $$ BEGIN DROP SCHEMA IF EXISTS {SCHEMA}; EXCEPTION WHEN dependent_objects_still_exist THEN END $$;
            COMMIT;",
            drop_tables(&format!("relname = '{}'", self.table))
        )
    }

    /// Returns what writes a row.
    pub(super) fn insert(&self, client: u32, number: usize) -> String {
        format!("INSERT INTO {} VALUES ({client}, {number})", self.table())
    }

    /// Waits for a server that takes writes, up to a limit.
    pub(super) async fn find(&self, limit: Duration) -> Result<Session, LedgerError> {
        timeout(limit, self.enter())
            .await
            .map_err(|_| LedgerError::Unreachable {
                limit,
                refusals: self.refusals().clone(),
            })
    }

    /// Waits for a server that takes writes. All hosts are tried side by side: one that hangs holds up nobody.
    pub(super) async fn enter(&self) -> Session {
        if self.target.hosts.is_empty() {
            return std::future::pending().await;
        }
        let hosts = self.target.hosts.iter();
        let (session, _, _) = select_all(hosts.map(|host| Box::pin(self.knock(host)))).await;
        session
    }

    /// Tries one host until its server takes writes. A session that is let in stays and asks again: a new one each time
    /// would cost the servers more than the load itself.
    async fn knock(&self, host: &HostPort) -> Session {
        loop {
            let refusal = match within(self.open(host)).await {
                Ok(session) => match session.wait_writable().await {
                    Ok(()) => return session,
                    Err(refusal) => refusal,
                },
                Err(refusal) => refusal,
            };
            self.refusals().insert(host.clone(), refusal);
            sleep(PAUSE).await;
        }
    }

    /// A panic elsewhere leaves a whole map behind, so a poisoned one can still be used.
    fn refusals(&self) -> MutexGuard<'_, BTreeMap<HostPort, String>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn open(&self, host: &HostPort) -> Result<Session, tokio_postgres::Error> {
        let Target {
            hosts: _,
            user,
            password,
            database,
        } = &self.target;
        let mut config = Config::new();
        config
            .host(host.host.to_string())
            .port(host.port)
            .user(user)
            .password(password.expose())
            .dbname(database)
            .application_name(format!("{APPLICATION} {}", self.table));
        let (client, connection) = config.connect(NoTls).await?;
        let warned = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(drive(connection, Arc::clone(&warned)));
        Ok(Session { client, warned, task })
    }
}

fn drop_tables(condition: &str) -> String {
    format!(
        "DO $$ DECLARE found name; BEGIN
            FOR found IN SELECT relname FROM pg_class
                WHERE relnamespace = to_regnamespace('{SCHEMA}') AND relkind = 'r' AND {condition}
            LOOP EXECUTE format('DROP TABLE {SCHEMA}.%I', found); END LOOP;
        END $$;"
    )
}

async fn within<T>(answer: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, String> {
    match timeout(CONNECT_LIMIT, answer).await {
        Ok(answer) => answer.map_err(|error| chain(&error)),
        Err(_) => Err(format!("no answer within {CONNECT_LIMIT:?}")),
    }
}

/// Moves messages for a session, and notes when the server warns. What it notes is noted before the answer that follows
/// the warning reaches the client, for both come this way.
async fn drive(mut connection: Connection<Socket, NoTlsStream>, warned: Arc<AtomicBool>) {
    // What ends a connection also fails the request that is under way, so its own result tells nothing new.
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message
            && notice.parsed_severity() == Some(Severity::Warning)
        {
            warned.store(true, Ordering::SeqCst);
        }
    }
}

/// What a server answered to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Acknowledged,
    Unknown,
    Failed,
}

/// A session with one server. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    warned: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Session {
    /// Returns whether the session is over.
    pub(super) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Runs statements, all or none.
    pub(super) async fn run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await
    }

    /// Waits until the server takes writes; ends with why it no longer answers.
    async fn wait_writable(&self) -> Result<(), String> {
        loop {
            let answer = within(self.client.simple_query("SHOW transaction_read_only")).await?;
            let writable = |message: &SimpleQueryMessage| match message {
                SimpleQueryMessage::Row(row) => row.get(0) == Some("off"),
                _ => false,
            };
            if answer.iter().any(writable) {
                return Ok(());
            }
            sleep(PAUSE).await;
        }
    }

    /// Writes a row. Only an error that aborted the statement is a failure: one that ends the session may come after the
    /// commit. Any warning makes the answer unknown, whatever its text says in the server's language.
    pub(super) async fn attempt(&self, insert: &str, limit: Duration) -> Answer {
        match timeout(limit, self.client.batch_execute(insert)).await {
            Ok(Ok(())) if !self.warned.load(Ordering::SeqCst) => Answer::Acknowledged,
            Ok(Err(error)) if aborted(&error) => Answer::Failed,
            _ => Answer::Unknown,
        }
    }
}

fn aborted(error: &tokio_postgres::Error) -> bool {
    error
        .as_db_error()
        .is_some_and(|error| error.parsed_severity() == Some(Severity::Error))
}
