//! The record, its serial, the journal and the secrets, over any backend.
//!
//! [`Store`] reads. [`Writer`] is what holds the lock; it has the record in memory, and each commit writes only the rows
//! it changes, together with `meta/record`, whose version must still be the one the writer knows. So a commit is refused
//! twice over when another writer was there: by the lock's token and by that version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::backend::memory::MemoryBackend;
use crate::backend::sqlite::SqliteBackend;
use crate::backend::{BackendError, Key, Lease};
use crate::cluster_event::ClusterEvent;
use crate::delta::{Delta, Outputs};
pub use crate::format::FORMAT;
use crate::format::{FormatError, Head, encode, random_hex};
pub use crate::grant::Grant;
use crate::journal::{EVENTS, Event, JournalError};
use crate::lock::{self, Owner};
use crate::object::{Output, ProviderSettings, State};
use crate::record::{Record, blocking};
use crate::secret::{self, KeyRow, KeySource, SecretError};
use crate::sensitive::{SecretName, Secrets, Sensitive};
pub use crate::writer::{Upgrade, Writer};

/// Identifies one record for good: two records never share it, and it names the key and the data root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage(pub String);

/// Identifies one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub String);

/// A record that can be read. [`Store::lock`] makes it writable.
#[derive(Clone, Debug)]
pub struct Store {
    record: Arc<Record>,
    lease: Duration,
}

/// What was read, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The record.
    pub state: State,
    /// Counts the commits.
    pub serial: u64,
    /// The last run that was not finished, where there is one. A run that goes on at this moment is none.
    pub unfinished: Option<UnfinishedRun>,
    /// Where the nodes are; absent where an earlier version wrote the record.
    pub settings: Option<ProviderSettings>,
}

/// A run that neither finished nor failed in an orderly way.
#[derive(Clone, Debug, PartialEq)]
pub struct UnfinishedRun {
    /// The run.
    pub id: RunId,
    /// What it was: `apply`, `destroy`.
    pub operation: String,
    /// Its plan, as the document it was given.
    pub plan: serde_json::Value,
    /// Steps that were started and not finished: in doubt.
    pub in_doubt: Vec<u32>,
}

/// What goes into one atomic commit.
#[derive(Clone, Debug)]
pub enum Entry {
    /// A step starts; what may hold from then on, and secrets that it will use for the first time, are stored before
    /// anything happens.
    Started {
        /// The step.
        step: u32,
        /// What it is to change in the record; [`Delta::beginning`] is noted at once.
        delta: Delta,
        /// The secrets.
        secrets: Vec<(SecretName, Sensitive<String>)>,
    },
    /// A step is done.
    Done {
        /// The step.
        step: u32,
        /// What it changes in the record.
        delta: Delta,
        /// What it found out.
        outputs: Outputs,
    },
    /// A step failed.
    Failed {
        /// The step.
        step: u32,
        /// Why, with all causes, for people.
        cause: String,
    },
    /// Something about recorded objects was found out, whatever came of the step that found it out; it needs no run.
    Found(Delta),
    /// Something was seen to have happened by itself; it belongs to no step and needs no run.
    Noticed(Vec<ClusterEvent>),
    /// The values of the `output` blocks; the sensitive ones with their JSON text. They replace all that were recorded;
    /// a sensitive one without text keeps the text it has.
    Outputs(BTreeMap<String, (Output, Option<Sensitive<String>>)>),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunEnd {
    /// Every step is done.
    Done,
    /// A step failed.
    Failed,
    /// It was asked to stop.
    Cancelled,
}

/// Why the record cannot be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The place where the record is kept does not do what it must.
    #[error("failed to use state {path:?}")]
    Backend {
        /// Where the record is kept.
        path: PathBuf,
        /// Why.
        #[source]
        source: BackendError,
    },
    /// The rows of the record are not what they must be.
    #[error("failed to read state {path:?}")]
    Format {
        /// Where the record is kept.
        path: PathBuf,
        /// Why.
        #[source]
        source: FormatError,
    },
    /// The lock was taken over or forced open; nothing was written.
    #[error("the lock of state {path:?} was lost")]
    LockLost {
        /// Where the record is kept.
        path: PathBuf,
    },
    /// The secrets cannot be used.
    #[error("failed to use the secrets of state {path:?}")]
    Secret {
        /// Where the record is kept.
        path: PathBuf,
        /// Why.
        #[source]
        source: SecretError,
    },
    /// An entry does not belong into the journal; nothing was written.
    #[error("failed to journal a run")]
    Journal(#[from] JournalError),
}

impl StoreError {
    /// Returns the way out, in full sentences, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            StoreError::Backend { source, .. } => source.hint().map(str::to_owned),
            StoreError::Format { source, .. } => Some(match source {
                FormatError::Newer { .. } => "Use the newer simdb that wrote it.".to_owned(),
                _ => "Put a backup of the state in its place.".to_owned(),
            }),
            StoreError::LockLost { .. } => BackendError::Lost.hint().map(str::to_owned),
            StoreError::Secret { source, .. } => Some(source.hint()),
            StoreError::Journal(_) => None,
        }
    }
}

/// Why the lock was not obtained, or not freed by force.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("state {path:?} is locked by {} for {}", .owner.who, .owner.operation)]
    Held {
        /// Where the record is kept.
        path: PathBuf,
        /// Who holds it, since when and for what.
        owner: Box<Owner>,
    },
    /// There is no lock to free.
    #[error("state {path:?} is not locked")]
    NotHeld {
        /// Where the record is kept.
        path: PathBuf,
    },
    /// The record is unusable.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl LockError {
    /// Returns the way out, in full sentences, where there is one.
    pub fn hint(&self) -> Option<String> {
        match self {
            LockError::Held { owner, .. } => Some(format!(
                "Wait with -lock-timeout=60s. A simdb that was killed is found out and its lock taken over. Only if you know that nothing works on it any more: simdb force-unlock {}",
                owner.id
            )),
            LockError::NotHeld { .. } => None,
            LockError::Store(error) => error.hint(),
        }
    }
}

impl Store {
    /// Opens a record for reading; `Ok(None)` where there is none yet. It makes nothing.
    pub async fn open(path: &Path, keys: &KeySource) -> Result<Option<Store>, StoreError> {
        let failed = |source| StoreError::Backend {
            path: path.to_owned(),
            source,
        };
        let Some(backend) = SqliteBackend::open(path).await.map_err(failed)? else {
            return Ok(None);
        };
        let keys = Some(keys.clone());
        let record = Record::open(path.to_owned(), Arc::new(backend), keys, OnceCell::new()).await?;
        Ok(Some(Store::over(record)))
    }

    /// Opens a record, making an empty one where there is none.
    pub async fn create(path: &Path, keys: &KeySource) -> Result<Store, StoreError> {
        if let Some(store) = Store::open(path, keys).await? {
            return Ok(store);
        }
        let lineage = Lineage(random_hex(16));
        let (making, source) = (lineage.clone(), keys.clone());
        let made = blocking(move || secret::make(&making, &source)).await;
        let (_, key_row) = made.map_err(|source| StoreError::Secret {
            path: path.to_owned(),
            source,
        })?;
        let created = SqliteBackend::create(path, first_rows(&lineage, &key_row)).await;
        if !matches!(created, Ok(true)) {
            // The key of a record that never was. It may be a passphrase, which leaves no file.
            let _ = std::fs::remove_file(keys.file(&lineage));
        }
        let failed = |source| StoreError::Backend {
            path: path.to_owned(),
            source,
        };
        created.map_err(failed)?;
        let vanished = || {
            failed(BackendError::failed("open the file")(
                "it was removed while it was being made",
            ))
        };
        Store::open(path, keys).await?.ok_or_else(vanished)
    }

    /// Makes an empty record in memory.
    pub async fn in_memory() -> Result<Store, StoreError> {
        let (key, key_row) = secret::make_unkept();
        let rows = first_rows(&Lineage(random_hex(16)), &key_row);
        let backend = Arc::new(MemoryBackend::new(rows));
        let record = Record::open(PathBuf::from("memory"), backend, None, OnceCell::new_with(Some(key))).await?;
        Ok(Store::over(record))
    }

    fn over(record: Record) -> Self {
        Self {
            record: Arc::new(record),
            lease: lock::LEASE,
        }
    }

    /// Returns which record this is.
    pub fn lineage(&self) -> &Lineage {
        &self.record.lineage
    }

    /// Returns where the record is kept.
    pub fn path(&self) -> &Path {
        &self.record.path
    }

    /// Reads everything but secrets.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(self.record.load().await?.snapshot)
    }

    /// Reads one secret.
    pub async fn secret(&self, name: &SecretName) -> Result<Option<Sensitive<String>>, StoreError> {
        self.record.secret(name).await
    }

    /// Reads all secrets.
    pub async fn secrets(&self) -> Result<Secrets, StoreError> {
        self.record.secrets().await
    }

    /// Returns a digest of a secret that is worth nothing without the key of this record.
    pub async fn digest(&self, secret: &Sensitive<String>) -> Result<String, StoreError> {
        Ok(self.record.key().await?.digest(secret.expose()))
    }

    /// Reads what happened, the oldest first.
    pub async fn events(&self) -> Result<Vec<Event>, StoreError> {
        let rows = self.record.list(&[EVENTS]).await?;
        rows.iter().map(|row| self.record.decode(row)).collect()
    }

    /// Returns who holds the lock.
    pub async fn holder(&self) -> Result<Option<Owner>, StoreError> {
        Ok(self.record.holder().await?.map(|lease| lease.owner))
    }

    /// Takes the lock for an operation such as `apply`, waiting up to `timeout` for its owner.
    pub async fn lock(&self, operation: &str, timeout: Duration) -> Result<Writer, LockError> {
        let owner = Owner::this_process(operation, self.lease);
        let outcome = lock::acquire(&*self.record.backend, &owner, timeout).await;
        match outcome.map_err(|error| self.record.failed(error))? {
            Ok(token) => Ok(Writer::load(Arc::clone(&self.record), token, owner, self.lease).await?),
            Err(lease) => Err(self.held(*lease)),
        }
    }

    /// Frees the lock of whoever holds it, given the id that the lock's message shows.
    pub async fn force_unlock(&self, id: &str) -> Result<Owner, LockError> {
        let Some(lease) = self.record.holder().await? else {
            let path = self.record.path.clone();
            return Err(LockError::NotHeld { path });
        };
        if lease.owner.id != id {
            return Err(self.held(lease));
        }
        let unlocked = self.record.backend.unlock(lease.token).await;
        unlocked.map_err(|error| self.record.failed(error))?;
        Ok(lease.owner)
    }

    fn held(&self, lease: Lease) -> LockError {
        LockError::Held {
            path: self.record.path.clone(),
            owner: Box::new(lease.owner),
        }
    }
}

fn first_rows(lineage: &Lineage, key_row: &KeyRow) -> Vec<(Key, Vec<u8>)> {
    let head = Head::new(lineage.clone());
    vec![(Head::key(), encode(&head)), (secret::key_row(), encode(key_row))]
}

#[cfg(test)]
mod tests;
