//! What keeps a standby from replaying what its primary wrote: a pause, a session, a stream that is cut.

use std::time::Duration;

use serde::Deserialize;
use simdb_planner::plan::Server;
use simdb_state::lsn::Lsn;
use tokio::time::timeout;

use super::connection::Connection;
use super::{Cause, PostgresqlError};
use crate::sessions::Sessions;

/// How long the standby is asked. Whoever waits for a role change has waited long enough already.
const LIMIT: Duration = Duration::from_secs(3);

/// What a standby says of its replay. The process that replays stands among the locks and not among those that
/// `pg_blocking_pids` knows, so the holders are those of the relation that it waits for. Queries are not told: they may
/// hold what is nobody's business.
const FACTS: &str = "
WITH startup AS (
  SELECT pid, coalesce(wait_event, '') AS wait_event FROM pg_catalog.pg_stat_activity WHERE backend_type = 'startup'),
waited AS (
  SELECT database, relation FROM pg_catalog.pg_locks JOIN startup USING (pid) WHERE NOT granted AND locktype = 'relation'),
holders AS (
  SELECT pid, relation FROM pg_catalog.pg_locks JOIN waited USING (database, relation) WHERE granted)
SELECT json_build_object(
  'paused', pg_catalog.pg_get_wal_replay_pause_state() <> 'not paused',
  'delay', pg_catalog.current_setting('recovery_min_apply_delay'),
  'received', coalesce(pg_catalog.pg_last_wal_receive_lsn(), '0/0'),
  'receiver', (SELECT json_build_object('pid', pid, 'silent',
      extract(epoch FROM pg_catalog.clock_timestamp() - last_msg_receipt_time)::int8)
    FROM pg_catalog.pg_stat_wal_receiver),
  'sessions', (SELECT coalesce(json_agg(json_build_object(
      'pid', session.pid, 'user', coalesce(usename, ''), 'database', coalesce(datname, ''),
      'state', coalesce(state, ''), 'query_start', query_start::text, 'relation', holders.relation::int8)
      ORDER BY xact_start), '[]')
    FROM pg_catalog.pg_stat_activity AS session LEFT JOIN holders USING (pid)
    WHERE backend_type = 'client backend' AND session.pid <> pg_catalog.pg_backend_pid()
      AND (holders.pid IS NOT NULL OR xact_start IS NOT NULL AND EXISTS (SELECT FROM startup
        WHERE wait_event IN ('RecoveryConflictSnapshot', 'RecoveryConflictTablespace', 'BufferPin')))))";

#[derive(Debug, Deserialize)]
struct Facts {
    paused: bool,
    delay: String,
    received: Lsn,
    receiver: Option<Receiver>,
    sessions: Vec<Session>,
}

#[derive(Debug, Deserialize)]
struct Receiver {
    pid: u32,
    silent: Option<u64>,
}

/// A session whose snapshot or locks replay waits for.
#[derive(Debug, Deserialize)]
struct Session {
    pid: u32,
    user: String,
    database: String,
    state: String,
    query_start: Option<String>,
    /// The relation whose lock it holds.
    relation: Option<u64>,
}

/// Returns what holds a standby up that has not replayed all that is before a position: fragments that start with their
/// subject, at least one.
pub(crate) async fn obstacles(standby: &Server, position: Lsn, sessions: &Sessions<'_>) -> Vec<String> {
    let found = match timeout(LIMIT, ask(standby, position, sessions)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return vec![format!("what holds its replay up could not be found out ({error})")],
        Err(_) => return vec![format!("it did not say within {LIMIT:?} what holds its replay up")],
    };
    if found.is_empty() {
        return vec!["its replay goes on, and is too slow".to_owned()];
    }
    found
}

async fn ask(standby: &Server, position: Lsn, sessions: &Sessions<'_>) -> Result<Vec<String>, PostgresqlError> {
    const DOING: &str = "ask what holds replay up";
    let connection = Connection::open(sessions, standby).await?;
    let answer = connection.required(DOING, FACTS).await?;
    let facts: Facts =
        serde_json::from_str(&answer).map_err(|error| connection.failure(DOING, Cause::Answer(error)))?;
    let mut found = stream(&facts, position);
    if facts.paused {
        found.push("its replay is paused (pg_wal_replay_resume() lets it go on)".to_owned());
    }
    if facts.delay != "0" {
        found.push(format!("its replay is delayed by {}", facts.delay));
    }
    for session in &facts.sessions {
        let table = match session.relation {
            Some(relation) => Some(name(standby, &session.database, relation, sessions).await?),
            None => None,
        };
        found.push(session.sentence(table.as_deref()));
    }
    Ok(found)
}

/// What is wrong with the stream of a standby that has yet to receive something.
fn stream(facts: &Facts, position: Lsn) -> Vec<String> {
    if facts.received >= position {
        return Vec::new();
    }
    let received = facts.received;
    vec![match &facts.receiver {
        None => format!("it received the log up to {received}, and streams from no node"),
        Some(Receiver { pid, silent }) => {
            let silent = silent.map_or_else(|| "never".to_owned(), |seconds| format!("{seconds} s ago"));
            format!(
                "it received the log up to {received}, and its receiver (process {pid}) heard from the primary {silent}"
            )
        }
    }]
}

/// Returns the name of a relation, which only its own database knows.
async fn name(
    standby: &Server,
    database: &str,
    relation: u64,
    sessions: &Sessions<'_>,
) -> Result<String, PostgresqlError> {
    let connection = Connection::open_in(sessions, standby, database).await?;
    let name = format!("SELECT {relation}::pg_catalog.oid::pg_catalog.regclass::pg_catalog.text");
    connection.required("read the name of a table", &name).await
}

impl Session {
    fn sentence(&self, table: Option<&str>) -> String {
        let Session {
            pid,
            user,
            database,
            state,
            query_start,
            relation: _,
        } = self;
        let since = query_start.as_deref().unwrap_or("an unknown time");
        let holds = match table {
            Some(table) => format!("holds table {table}, whose lock replay waits for"),
            None => "may still see rows that replay removes next".to_owned(),
        };
        format!(
            "process {pid} ({state}, user {user}, database {database}, query of {since}) {holds} \
             (pg_terminate_backend({pid}) ends it)"
        )
    }
}
