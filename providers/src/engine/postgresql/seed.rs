//! Runs a seed: a file of SQL, once, in one transaction, in a session that logged in as the owner of its database (see
//! `owner`): whatever stands in the file can do what the owner may, and no more.
//!
//! The transaction also sets the seed's mark, a setting of the database (`simdb.seed_NAME`) with the file's digest. So
//! whoever looks knows whether it has run, whatever became of the simdb that ran it; and nothing of it lies in the way
//! of those who use the database.

use std::path::Path;
use std::time::Duration;

use postgres_protocol::escape::escape_identifier;
use simdb_planner::engine::postgresql::script::{self, Statement};
use simdb_planner::plan::Server;
use simdb_state::delta::SeededSettings;
use simdb_state::name::{DatabaseName, SeedName};
use thiserror::Error;

use super::connection::{Connection, literal};
use super::owner::Owner;
use super::session_settings::Reach;
use super::{Cause, PostgresqlError, privilege};
use crate::sessions::Sessions;

/// How long one statement may take. Seeds may load much, and a server that is at work on one is not silent.
const STATEMENT_LIMIT: Duration = Duration::from_hours(1);

/// Keeps two runs of seeds apart: that of a simdb which was killed may be about to commit.
const LOCK: &str = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('simdb seed'))";

/// A seed that is to run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed<'a> {
    /// Its name.
    pub(crate) name: &'a SeedName,
    /// The file as the plan names it.
    pub(crate) file: &'a str,
    /// The digest of the file's text when the plan was made.
    pub(crate) digest: &'a str,
    /// The database it runs in.
    pub(crate) database: &'a DatabaseName,
}

/// Why a seed did not run. Nothing of it has happened then.
#[derive(Debug, Error)]
pub enum SeedError {
    /// Its file cannot be read.
    #[error("read {file:?}")]
    Read {
        /// The file.
        file: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Its file is another one.
    #[error("run {0:?}: the file was changed after the plan was made; plan again")]
    Changed(String),
    /// Its file holds what a seed cannot have.
    #[error("run {file:?}: line {line}: {text}: {detail}")]
    Refused {
        /// The file.
        file: String,
        /// The line.
        line: usize,
        /// What stands there.
        text: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A statement failed.
    #[error("run {file:?}: line {line}: {text}")]
    Statement {
        /// The file.
        file: String,
        /// The line.
        line: usize,
        /// What stands there.
        text: String,
        /// Why.
        #[source]
        cause: Cause,
    },
    /// The server did not do its part.
    #[error(transparent)]
    Server(#[from] PostgresqlError),
}

/// Runs a seed in its database, unless its mark is there, and returns what sessions begin with since. The file is read below `directory`; the keeper is a session of
/// the superuser's, which runs nothing of it.
///
/// The mark is a parameter that no server knows, so that the owner may set it only with leave, which it is given until the
/// seed has run.
pub(crate) async fn run(
    keeper: &Connection,
    server: &Server,
    owner: Owner<'_>,
    seed: Seed<'_>,
    sessions: &Sessions<'_>,
    directory: &Path,
) -> Result<SeededSettings, SeedError> {
    let doing = format!("run seed {:?}", seed.name.as_str());
    let mark = format!("simdb.seed_{}", seed.name.as_str().replace('-', "_"));
    let session = owner.connect(keeper, server, seed.database.as_str(), sessions).await?;
    let (database, role) = (seed.database.as_str(), owner.name);
    let before = Reach::look(keeper, &doing, database, role).await?;
    privilege::grant(keeper, &doing, owner.name, &mark).await?;
    let ran = run_once(&session, &doing, seed, &mark, directory).await;
    // Ends what failed, so that nothing of it goes on without leave.
    drop(session);
    privilege::revoke(keeper, &doing, owner.name, &mark).await?;
    let before = (ran? == Ran::Now).then_some(&before);
    Ok(Reach::look(keeper, &doing, database, role).await?.since(before))
}

/// When a seed has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ran {
    /// Just now.
    Now,
    /// Before, by a simdb that did not come to record it.
    Before,
}

async fn run_once(
    session: &Connection,
    doing: &str,
    seed: Seed<'_>,
    mark: &str,
    directory: &Path,
) -> Result<Ran, SeedError> {
    session.execute(doing, "BEGIN").await?;
    session.value(doing, LOCK).await?;
    if session.value(doing, &marked(mark)).await?.is_some() {
        session.execute(doing, "ROLLBACK").await?;
        return Ok(Ran::Before);
    }
    let text = read(&directory.join(seed.file), seed)?;
    let statements = script::statements(&text).map_err(|problem| {
        let (line, shown) = script::line(&text, problem.range.start);
        SeedError::Refused {
            file: seed.file.to_owned(),
            line,
            text: shown.trim().to_owned(),
            detail: problem.detail,
        }
    })?;
    let set = format!(
        "ALTER DATABASE {} SET {mark} = {}",
        escape_identifier(seed.database.as_str()),
        literal(seed.digest)
    );
    session.execute(doing, &set).await?;
    for statement in statements {
        let ran = session.statement(statement.text, STATEMENT_LIMIT).await;
        ran.map_err(|(cause, position)| failed(seed.file, &text, &statement, cause, position))?;
    }
    session.execute(doing, "COMMIT").await?;
    Ok(Ran::Now)
}

fn marked(setting: &str) -> String {
    format!(
        "SELECT 1 FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS setting
         WHERE setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
           AND setrole = 0 AND pg_catalog.starts_with(setting, {})",
        literal(&format!("{setting}="))
    )
}

fn read(path: &Path, seed: Seed<'_>) -> Result<String, SeedError> {
    let text = std::fs::read_to_string(path).map_err(|source| SeedError::Read {
        file: seed.file.to_owned(),
        source,
    })?;
    if script::digest(&text) == seed.digest {
        Ok(text)
    } else {
        Err(SeedError::Changed(seed.file.to_owned()))
    }
}

/// Blames the line that the server points at, else the one at which the statement starts.
fn failed(file: &str, text: &str, statement: &Statement<'_>, cause: Cause, position: Option<usize>) -> SeedError {
    let within = position.and_then(|position| statement.text.char_indices().nth(position.checked_sub(1)?));
    let byte = statement.start + within.map_or(0, |(at, _)| at);
    let (line, shown) = script::line(text, byte);
    SeedError::Statement {
        file: file.to_owned(),
        line,
        text: shown.trim().to_owned(),
        cause,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_the_one_that_the_server_points_at() {
        let text = "CREATE TABLE ä (n int);\n\nSELECT 1,\n  nope\nFROM ä;\n";
        let statement = script::statements(text).unwrap().pop().unwrap();
        for (position, expected) in [
            (None, "line 3: SELECT 1,"),
            (Some(13), "line 4: nope"),
            (Some(99), "line 3: SELECT 1,"),
        ] {
            let error = failed("schema.sql", text, &statement, Cause::Empty, position);
            assert_eq!(error.to_string(), format!("run \"schema.sql\": {expected}"));
        }
    }
}
