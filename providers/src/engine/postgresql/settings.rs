//! Settings of a running server.

use std::time::Instant;

use tokio::time::sleep;

use super::connection::{ANSWER_LIMIT, Connection};
use super::{Cause, POLL, PostgresqlError};

/// Lets a server read its files again, and returns once it has.
///
/// A server that finds a name wrong leaves all as they were and says so in its log only, so the files are judged first. A
/// setting that takes a restart counts as not applied until then, which is no mistake: the plan restarts the server when
/// that is due.
pub(crate) async fn reload(connection: &Connection) -> Result<(), PostgresqlError> {
    const DOING: &str = "read the configuration again";
    const PROBLEMS: &str = "SELECT string_agg(concat_ws(': ', name, error), ', ' ORDER BY seqno)
        FROM pg_file_settings AS file WHERE error IS NOT NULL AND NOT (error = 'setting could not be applied'
          AND EXISTS (SELECT FROM pg_settings AS known WHERE lower(known.name) = lower(file.name) AND context = 'postmaster'))";
    const LOADED: &str = "SELECT pg_conf_load_time()";
    if let Some(problems) = connection.value(DOING, PROBLEMS).await? {
        return Err(PostgresqlError::Settings {
            node: connection.node().clone(),
            problems,
        });
    }
    let before = connection.required(DOING, LOADED).await?;
    connection.execute(DOING, "SELECT pg_reload_conf()").await?;
    let deadline = Instant::now() + ANSWER_LIMIT;
    while connection.required(DOING, LOADED).await? == before {
        if Instant::now() >= deadline {
            return Err(connection.failure(DOING, Cause::Silence(ANSWER_LIMIT)));
        }
        sleep(POLL).await;
    }
    Ok(())
}
