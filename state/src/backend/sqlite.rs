//! Rows in one SQLite file: the default.
//!
//! WAL, so that readers never wait for a writer; `synchronous=FULL`, so that a commit that was reported survives a power
//! cut; `BEGIN IMMEDIATE`, so that no transaction finds out halfway that it cannot write. What the file is gets decided
//! from its first bytes ([`file`]), before SQLite sees it. SQLite blocks, so every call runs on a blocking thread.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Backend, BackendError, Expect, Key, Lease, LockOutcome, Row, Storage, Token, Version, Write};
use crate::extent::Extent;
use crate::leases::Leases;
use crate::lock::Owner;

mod file;
mod leases;

/// How long a call waits for another process's transaction. They take milliseconds; only a stopped process takes longer.
const BUSY: Duration = Duration::from_secs(10);

/// A SQLite file for rows, which need not be there.
#[derive(Clone, Debug)]
pub struct SqliteFile(PathBuf);

impl SqliteFile {
    /// Names a file.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }
}

#[async_trait]
impl Storage for SqliteFile {
    fn place(&self) -> &Path {
        &self.0
    }

    async fn open(&self) -> Result<Option<Arc<dyn Backend>>, BackendError> {
        let opened = SqliteBackend::open(&self.0).await?;
        Ok(opened.map(|backend| Arc::new(backend) as Arc<dyn Backend>))
    }

    async fn create(&self, rows: Vec<(Key, Vec<u8>)>) -> Result<bool, BackendError> {
        SqliteBackend::create(&self.0, rows).await
    }
}

/// Rows in one SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteBackend {
    connection: Arc<Mutex<Connection>>,
    path: PathBuf,
    writable: bool,
}

impl SqliteBackend {
    /// Opens the file; `Ok(None)` where there is none. A file that is something else is left as it is.
    pub async fn open(path: &Path) -> Result<Option<Self>, BackendError> {
        let path = path.to_owned();
        blocking(move || {
            let Some(opened) = file::open(&path)? else {
                return Ok(None);
            };
            opened.connection.busy_timeout(BUSY).map_err(failed("open the file"))?;
            Ok(Some(Self {
                connection: Arc::new(Mutex::new(opened.connection)),
                path,
                writable: opened.writable,
            }))
        })
        .await
    }

    /// Makes the file with its first rows, whole or not at all. Returns false where somebody else was faster.
    pub async fn create(path: &Path, rows: Vec<(Key, Vec<u8>)>) -> Result<bool, BackendError> {
        let path = path.to_owned();
        blocking(move || file::create(&path, &rows)).await
    }

    async fn read<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, BackendError> {
        let connection = Arc::clone(&self.connection);
        // A panic in `work` drops its transaction, which rolls back: the connection stays usable.
        blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut connection).map_err(failed(doing))
        })
        .await
    }

    async fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Refusal> + Send + 'static,
    ) -> Result<T, BackendError> {
        if !self.writable {
            return Err(BackendError::ReadOnly);
        }
        let connection = Arc::clone(&self.connection);
        blocking(move || {
            let mut connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let run = || -> Result<T, Refusal> {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                let done = work(&transaction)?;
                transaction.commit()?;
                Ok(done)
            };
            run().map_err(|refusal| match refusal {
                Refusal::Backend(error) => error,
                Refusal::Sqlite(error) => failed(doing)(error),
            })
        })
        .await
    }
}

impl SqliteBackend {
    /// Changes who holds the lock, in one transaction.
    async fn change_leases<T: Send + 'static>(
        &self,
        doing: &'static str,
        change: impl FnOnce(&mut Leases) -> Result<T, BackendError> + Send + 'static,
    ) -> Result<T, BackendError> {
        self.write(doing, move |transaction| {
            let mut held = leases::read(transaction)?;
            let changed = change(&mut held)?;
            leases::write(transaction, &held)?;
            Ok(changed)
        })
        .await
    }
}

/// Why a transaction was rolled back.
#[derive(Debug)]
enum Refusal {
    Backend(BackendError),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        Refusal::Sqlite(error)
    }
}

impl From<BackendError> for Refusal {
    fn from(error: BackendError) -> Self {
        Refusal::Backend(error)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BackendError> + Send + 'static,
) -> Result<T, BackendError> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.map_err(BackendError::failed("finish a call to SQLite"))?
}

/// Sorts SQLite's errors by what a user can do about them.
fn failed(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> BackendError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => BackendError::Full,
        // Not even the index of the log fits, which readers need as well.
        _ if error.sqlite_extended_error_code() == Some(SQLITE_IOERR_SHMSIZE) => BackendError::Full,
        Some(ErrorCode::DatabaseBusy) => BackendError::Busy,
        Some(ErrorCode::ReadOnly) => BackendError::ReadOnly,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => BackendError::Corrupt(error.to_string()),
        _ => BackendError::failed(doing)(error),
    }
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        key: Key::new(row.get::<_, String>(0)?),
        version: Version(row.get(1)?),
        bytes: row.get::<_, Vec<u8>>(2)?.into(),
    })
}

/// Returns the least text that is greater than every text with the prefix; none where there is no such text.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    let last = characters.pop()?;
    // Keys are ASCII, so the next character always exists.
    characters.push(char::from_u32(u32::from(last) + 1)?);
    Some(characters.into_iter().collect())
}

fn check(transaction: &Transaction<'_>, write: &Write) -> Result<(), Refusal> {
    let expected = match write.expect {
        Expect::Any => return Ok(()),
        Expect::Absent => None,
        Expect::Version(version) => Some(version),
    };
    let mut statement = transaction.prepare_cached("SELECT version FROM rows WHERE key = ?1")?;
    let found: Option<u64> = statement.query_row([write.key.as_str()], |row| row.get(0)).optional()?;
    if found.map(Version) == expected {
        Ok(())
    } else {
        Err(BackendError::Conflict(write.key.clone()).into())
    }
}

fn put(transaction: &Transaction<'_>, write: &Write, version: Version) -> rusqlite::Result<()> {
    let key = write.key.as_str();
    match &write.bytes {
        Some(bytes) => transaction
            .prepare_cached("INSERT OR REPLACE INTO rows (key, version, bytes) VALUES (?1, ?2, ?3)")?
            .execute(params![key, version.0, bytes])?,
        None => transaction
            .prepare_cached("DELETE FROM rows WHERE key = ?1")?
            .execute([key])?,
    };
    Ok(())
}

/// Counts a commit, and returns the version that its rows have.
fn next_version(transaction: &Transaction<'_>) -> rusqlite::Result<Version> {
    transaction
        .prepare_cached("UPDATE lock SET commits = commits + 1 RETURNING commits")?
        .query_row([], |row| row.get(0))
        .map(Version)
}

#[async_trait]
impl Backend for SqliteBackend {
    async fn get(&self, key: &Key) -> Result<Option<Row>, BackendError> {
        let key = key.clone();
        self.read("read a row", move |connection| {
            let mut statement = connection.prepare_cached("SELECT key, version, bytes FROM rows WHERE key = ?1")?;
            statement.query_row([key.as_str()], row).optional()
        })
        .await
    }

    async fn list(&self, prefixes: &[&str]) -> Result<Vec<Row>, BackendError> {
        let ranges: Vec<(String, Option<String>)> = prefixes
            .iter()
            .map(|prefix| ((*prefix).to_owned(), after_prefix(prefix)))
            .collect();
        self.read("read rows", move |connection| {
            // One transaction, so that all prefixes are seen at one moment.
            let transaction = connection.transaction()?;
            let mut rows = Vec::new();
            // Together they go as a whole, and leave no gaps in the memory of the thread that read them.
            let mut all = BytesMut::new();
            {
                let mut statement = transaction.prepare_cached(
                    "SELECT key, version, bytes FROM rows WHERE key >= ?1 AND (?2 IS NULL OR key < ?2)",
                )?;
                for (first, end) in &ranges {
                    let mut found = statement.query(params![first, end])?;
                    while let Some(row) = found.next()? {
                        let start = all.len();
                        all.extend_from_slice(row.get_ref(2)?.as_blob()?);
                        rows.push((
                            Key::new(row.get::<_, String>(0)?),
                            Version(row.get(1)?),
                            start..all.len(),
                        ));
                    }
                }
            }
            let all = all.freeze();
            let row = |(key, version, place)| Row {
                key,
                version,
                bytes: all.slice(place),
            };
            let mut rows: Vec<Row> = rows.into_iter().map(row).collect();
            rows.sort_by(|a, b| a.key.cmp(&b.key));
            rows.dedup_by(|a, b| a.key == b.key);
            Ok(rows)
        })
        .await
    }

    async fn commit(&self, token: Token, writes: Vec<Write>) -> Result<Version, BackendError> {
        self.write("commit", move |transaction| {
            leases::read(transaction)?.of(token)?;
            let version = next_version(transaction)?;
            for write in &writes {
                check(transaction, write)?;
            }
            for write in &writes {
                put(transaction, write, version)?;
            }
            Ok(version)
        })
        .await
    }

    async fn swap(&self, write: Write) -> Result<Version, BackendError> {
        self.write("write a row", move |transaction| {
            check(transaction, &write)?;
            leases::bring_up(transaction)?;
            let version = next_version(transaction)?;
            put(transaction, &write, version)?;
            Ok(version)
        })
        .await
    }

    async fn holders(&self) -> Result<Vec<Lease>, BackendError> {
        let read = self
            .read("read the lock", |connection| leases::read(connection))
            .await?;
        Ok(read.held)
    }

    async fn lock(&self, owner: &Owner, take_over: &[Lease]) -> Result<LockOutcome, BackendError> {
        let (owner, take_over) = (owner.clone(), take_over.to_vec());
        self.write("take the lock", move |transaction| {
            let mut held = leases::read(transaction)?;
            let outcome = held.take(&owner, &take_over);
            if matches!(outcome, LockOutcome::Granted(_)) {
                file::check_pages(transaction)?;
                leases::write(transaction, &held)?;
            }
            Ok(outcome)
        })
        .await
    }

    async fn change(&self, token: Token, extent: &Extent) -> Result<LockOutcome, BackendError> {
        let extent = extent.clone();
        let change = move |leases: &mut Leases| leases.change(token, &extent);
        self.change_leases("change the lock", change).await
    }

    async fn renew(&self, token: Token) -> Result<(), BackendError> {
        self.change_leases("renew the lock", move |leases| leases.renew(token))
            .await
    }

    async fn keep_copy(&self, name: &str) -> Result<Option<PathBuf>, BackendError> {
        let copy = file::beside(&self.path, &format!(".{name}"));
        let kept = copy.clone();
        let connection = Arc::clone(&self.connection);
        blocking(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            file::copy(&connection, &copy)
        })
        .await?;
        Ok(Some(kept))
    }

    async fn unlock(&self, token: Token) -> Result<(), BackendError> {
        self.change_leases("free the lock", move |leases| leases.free(token))
            .await
    }
}

#[cfg(test)]
mod tests;
