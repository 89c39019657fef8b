//! Where rows are kept: bytes by key, and the lock.
//!
//! A backend knows nothing of what it stores. It promises this, and the module `conformance` (feature `testing`) holds it
//! to it:
//!
//! - **Rows.** [`Backend::list`] shows all its rows as they were at one moment. A [`Version`] says which commit wrote a
//!   row; versions only grow, also across deletion, so a version seen twice is the same bytes.
//! - **Commits.** [`Backend::commit`] is all or nothing, durable when it returns, and compares before it writes; of
//!   several writes to one row the last counts. It checks the lock's token in the same transaction: who lost the lock writes nothing, however late it finds out.
//!   A commit that reports an error other than a conflict or a lost lock may or may not have happened; read again.
//! - **Rows beside the record.** [`Backend::swap`] writes one row without the lock; that compares, too. No commit is disturbed by it.
//! - **Lock.** It is held by leases, of which no two are about the same cluster ([`crate::leases`]): whose it is, what it is about, a
//!   [`Token`] and a heartbeat counter. Every [`Backend::lock`] that succeeds hands out a token greater than all before it. A backend
//!   never looks at a clock and never judges whether an owner is alive; it only takes a lease over from exactly the lease the caller
//!   saw. Judging is [`crate::lock`].
//! - Reading needs no lock. Every call may be made from several tasks and processes at once.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::extent::Extent;
use crate::owner::Owner;

pub mod memory;
pub mod sqlite;

/// The key of a row, such as `object/cluster.orders`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// Makes a key.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The number of the commit that wrote a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// What must be true of a row for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing: the writer holds the lock and owns the row.
    Any,
    /// There is no such row.
    Absent,
    /// The row is still the one that was read.
    Version(Version),
}

/// One row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Key,
    /// The commit that wrote it.
    pub version: Version,
    /// What it holds: a part of what was read with it.
    pub bytes: Bytes,
}

/// One row to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its key.
    pub key: Key,
    /// What must be true of the row before.
    pub expect: Expect,
    /// What it holds from now on; nothing deletes it.
    pub bytes: Option<Vec<u8>>,
}

impl Write {
    /// Writes a row, whatever it held.
    pub fn put(key: Key, bytes: Vec<u8>) -> Self {
        Self {
            key,
            expect: Expect::Any,
            bytes: Some(bytes),
        }
    }

    /// Deletes a row, if there is one.
    pub fn delete(key: Key) -> Self {
        Self {
            key,
            expect: Expect::Any,
            bytes: None,
        }
    }
}

/// The fencing token of one holding of the lock: whoever holds it later has a greater one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Token(pub u64);

/// The lock, held for everything or for some clusters.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The fencing token of this holding.
    pub token: Token,
    /// Counts how often the owner said that it is alive.
    pub beat: u64,
    /// Whose it is, and what it is about.
    pub owner: Owner,
}

impl Lease {
    /// Returns whether the other one is this very holding, and has not moved since.
    pub fn is_exactly(&self, other: &Lease) -> bool {
        (self.token, self.beat) == (other.token, other.beat)
    }
}

/// What came of asking for the lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockOutcome {
    /// It is the caller's.
    Granted(Token),
    /// This one of somebody else is in the way.
    Held(Box<Lease>),
}

/// Rows by key and the lock; the contract is at the top of this module.
#[async_trait]
pub trait Backend: fmt::Debug + Send + Sync {
    /// Reads one row.
    async fn get(&self, key: &Key) -> Result<Option<Row>, BackendError>;

    /// Reads all rows whose key starts with one of the prefixes, by key, as of one moment.
    async fn list(&self, prefixes: &[&str]) -> Result<Vec<Row>, BackendError>;

    /// Writes all rows or none, if the token still holds the lock, and returns the version they now have.
    async fn commit(&self, token: Token, writes: Vec<Write>) -> Result<Version, BackendError>;

    /// Writes one row that is no part of the record and needs no lock, if it is what is expected, and returns the version it now has.
    async fn swap(&self, write: Write) -> Result<Version, BackendError>;

    /// Returns who holds the lock, the oldest holding first.
    async fn holders(&self) -> Result<Vec<Lease>, BackendError>;

    /// Takes the lock for what its owner is about, if nothing of that is held but by exactly the leases to take over: same token, same
    /// beat. Those end.
    async fn lock(&self, owner: &Owner, take_over: &[Lease]) -> Result<LockOutcome, BackendError>;

    /// Lets the holding of a token be about something else, unless somebody else holds part of that. Its heartbeat moves.
    async fn change(&self, token: Token, extent: &Extent) -> Result<LockOutcome, BackendError>;

    /// Says that the holder of the token is alive.
    async fn renew(&self, token: Token) -> Result<(), BackendError>;

    /// Keeps a copy of all rows as they are, under a name, in place of one of the same name. Returns where it is; nothing where
    /// a copy would not outlive the rows.
    async fn keep_copy(&self, name: &str) -> Result<Option<PathBuf>, BackendError>;

    /// Frees what the token holds.
    async fn unlock(&self, token: Token) -> Result<(), BackendError>;
}

/// Where the rows of one record are kept, whether or not they are there yet.
///
/// [`Storage::create`] is all or nothing: of several calls at once, one makes the rows, and the others change nothing.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync {
    /// Returns what messages call the place: a path, or what stands for one.
    fn place(&self) -> &Path;

    /// Opens the rows; `Ok(None)` where none were ever made. What is something else, or damaged, is left as it is.
    async fn open(&self) -> Result<Option<Arc<dyn Backend>>, BackendError>;

    /// Makes the first rows. Returns false, and changes nothing, where there are rows already.
    async fn create(&self, rows: Vec<(Key, Vec<u8>)>) -> Result<bool, BackendError>;
}

/// Why a backend did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// A row is not what the writer expected; nothing was written.
    #[error("row {0:?} was changed by another process")]
    Conflict(Key),
    /// The token holds the lock no longer; nothing was written.
    #[error("the state lock is no longer held")]
    Lost,
    /// It is something else.
    #[error("{0}, and is no state of simdb")]
    Foreign(&'static str),
    /// A later version of simdb wrote it.
    #[error("it has format {found}, and this simdb knows formats up to {known}")]
    Newer {
        /// The format it has.
        found: u32,
        /// The newest format known.
        known: u32,
    },
    /// Its end is missing.
    #[error("it is cut off: {found} bytes of {expected}")]
    Truncated {
        /// How many bytes there must be.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// It is damaged.
    #[error("it is damaged: {0}")]
    Corrupt(String),
    /// It may not be written.
    #[error("it is read-only")]
    ReadOnly,
    /// It is on a file system that does not lock reliably.
    #[error("it is on a network file system ({0})")]
    NetworkFileSystem(&'static str),
    /// There is no space left; nothing was written.
    #[error("there is no space left")]
    Full,
    /// Another process is in the middle of a commit and does not come to its end; nothing was written.
    #[error("another process is writing it")]
    Busy,
    /// It cannot be used, for a reason that only this kind of backend has.
    #[error("{problem}")]
    Unusable {
        /// What is wrong.
        problem: String,
        /// The way out, in full sentences.
        hint: String,
    },
    /// Something else went wrong.
    #[error("failed to {doing}")]
    Failed {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl BackendError {
    /// Returns a wrapper for errors that have no variant of their own.
    pub fn failed<E: Into<Box<dyn Error + Send + Sync>>>(doing: &'static str) -> impl FnOnce(E) -> Self {
        move |source| BackendError::Failed {
            doing,
            source: source.into(),
        }
    }

    /// Returns the way out, in full sentences.
    pub fn hint(&self) -> Option<&str> {
        Some(match self {
            BackendError::Conflict(_) => "Plan again: the plan was made from an older record.",
            BackendError::Lost => {
                "Another simdb took the lock over, or it was forced open. No step was begun since, and nothing more was recorded; plan again to see where things stand."
            }
            BackendError::Foreign(_) => {
                "The file was left as it is. Give `path` in the `state` block another name, or move the file away."
            }
            BackendError::Newer { .. } => "It was left as it is. Use the newer simdb that wrote it.",
            BackendError::Truncated { .. } | BackendError::Corrupt(_) => {
                "The file was left as it is. Put a backup in its place, and move the -wal and -shm files beside it away."
            }
            BackendError::ReadOnly => {
                "Reading works, changing does not. Give your user write permission on the file and its directory."
            }
            BackendError::NetworkFileSystem(_) => {
                "Two machines could write it at once and damage it. Give `path` in the `state` block a place on a local disk."
            }
            BackendError::Full => "Earlier records are intact. Free some space and run the command again.",
            BackendError::Busy => {
                "Run the command again. If it stays so, look for a simdb that was stopped halfway (kill -CONT)."
            }
            BackendError::Unusable { hint, .. } => hint,
            BackendError::Failed { .. } => return None,
        })
    }
}
