//! The record, its serial, the journal and the secrets, over any backend.
//!
//! [`Store`] reads. [`Writer`] is what holds the lock; it has the record in memory, and each commit writes only the rows
//! it changes, together with `meta/record`, whose version must still be the one the writer knows. So a commit is refused
//! twice over when another writer was there: by the lock's token and by that version.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use crate::backend::memory::MemoryBackend;
use crate::backend::sqlite::SqliteFile;
use crate::backend::{BackendError, Key, Lease, Storage};
use crate::claim::{self, Claim, Pause};
pub use crate::error::{LockError, StoreError};
use crate::extent::Extent;
pub use crate::format::FORMAT;
use crate::format::{Head, encode, random_hex};
pub use crate::grant::Grant;
use crate::journal::{EVENTS, Event, RunReport, RunSummary};
use crate::lock;
use crate::name::ClusterName;
use crate::owner::Owner;
pub use crate::record::Work;
use crate::record::{Record, blocking};
pub use crate::run::{Entry, Lineage, RunEnd, RunId, Snapshot, Took, UnfinishedRun};
use crate::secret::{self, KeyRow, KeySource};
use crate::sensitive::{SecretName, Secrets, Sensitive};
use crate::transfer::{PREFIXES, Transfer};
pub use crate::writer::{Upgrade, Writer};

/// A record that can be read. [`Store::lock`] makes it writable.
#[derive(Clone, Debug)]
pub struct Store {
    record: Arc<Record>,
    lease: Duration,
}

impl Store {
    /// Opens the record in a file for reading; `Ok(None)` where there is none yet. It makes nothing.
    pub async fn open(path: &Path, keys: &KeySource) -> Result<Option<Store>, StoreError> {
        Store::open_in(&SqliteFile::new(path), keys).await
    }

    /// Opens a record for reading; `Ok(None)` where there is none yet. It makes nothing.
    pub async fn open_in(storage: &dyn Storage, keys: &KeySource) -> Result<Option<Store>, StoreError> {
        let Some(backend) = storage.open().await.map_err(failed_at(storage))? else {
            return Ok(None);
        };
        let keys = Some(keys.clone());
        let record = Record::open(storage.place().to_owned(), backend, keys, OnceCell::new()).await?;
        Ok(Some(Store::over(record)))
    }

    /// Opens the record in a file, making an empty one where there is none.
    pub async fn create(path: &Path, keys: &KeySource) -> Result<Store, StoreError> {
        Store::create_in(&SqliteFile::new(path), keys).await
    }

    /// Opens a record, making an empty one where there is none.
    pub async fn create_in(storage: &dyn Storage, keys: &KeySource) -> Result<Store, StoreError> {
        if let Some(store) = Store::open_in(storage, keys).await? {
            return Ok(store);
        }
        let lineage = Lineage(random_hex(16));
        let (making, source) = (lineage.clone(), keys.clone());
        let made = blocking(move || secret::make(&making, &source)).await;
        let (_, key_row) = made.map_err(|source| StoreError::Secret {
            path: storage.place().to_owned(),
            source,
        })?;
        let created = storage.create(first_rows(&lineage, &key_row)).await;
        if !matches!(created, Ok(true)) {
            // The key of a record that never was. It may be a passphrase, which leaves no file.
            let _ = std::fs::remove_file(keys.file(&lineage));
        }
        created.map_err(failed_at(storage))?;
        let vanished = || {
            failed_at(storage)(BackendError::failed("open it")(
                "it was removed while it was being made",
            ))
        };
        Store::open_in(storage, keys).await?.ok_or_else(vanished)
    }

    /// Makes a record of a document where there is none. Its secrets stay locked by the key that they were locked by.
    pub async fn create_from(storage: &dyn Storage, transfer: &Transfer) -> Result<(), StoreError> {
        let (head, state) = transfer.open().map_err(|source| StoreError::Transfer {
            path: storage.place().to_owned(),
            source,
        })?;
        let created = storage.create(transfer.first_rows(head, &state)).await;
        let made = created.and_then(|made| {
            let taken = || BackendError::failed("make it")("another process made it in the meantime");
            made.then_some(()).ok_or_else(taken)
        });
        made.map_err(failed_at(storage))
    }

    /// Returns the record as a document, secrets included, which stay locked.
    pub async fn pull(&self) -> Result<Transfer, StoreError> {
        let rows = self.record.list(&PREFIXES).await?;
        Transfer::new(&rows).map_err(|source| self.record.unreadable(source))
    }

    /// Checks that a document may become the record.
    pub async fn check(&self, transfer: &Transfer, force: bool) -> Result<(), StoreError> {
        let loaded = self.record.load().await?;
        let opened = transfer.open();
        let checked = opened.and_then(|_| {
            if force {
                Ok(())
            } else {
                transfer.check(&loaded.head, &loaded.snapshot.state)
            }
        });
        checked.map_err(|source| StoreError::Transfer {
            path: self.record.path.clone(),
            source,
        })
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

    /// Returns the record for a process that holds its lock for no longer than this after it was last seen alive.
    #[must_use]
    pub fn leasing(self, lease: Duration) -> Self {
        Self { lease, ..self }
    }

    /// Returns the right to decide as a monitor, which nobody has asked for yet.
    pub fn claim(&self, lease: Duration) -> Claim {
        Claim::new(Arc::clone(&self.record), lease)
    }

    /// Returns the clusters for which monitors are paused, those included whose pause is over.
    pub async fn pauses(&self) -> Result<BTreeMap<ClusterName, Pause>, StoreError> {
        claim::pauses(&self.record).await
    }

    /// Pauses monitors for a cluster, or lets them go on. Returns the pause that was noted before.
    pub async fn set_pause(&self, cluster: &ClusterName, pause: Option<&Pause>) -> Result<Option<Pause>, StoreError> {
        claim::set_pause(&self.record, cluster, pause).await
    }

    /// Returns which record this is.
    pub fn lineage(&self) -> &Lineage {
        &self.record.lineage
    }

    /// Returns where the record is kept.
    pub fn path(&self) -> &Path {
        &self.record.path
    }

    /// Returns how often the record was written: it tells whether it was written since it was read.
    pub async fn serial(&self) -> Result<u64, StoreError> {
        self.record.serial().await
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

    /// Returns the runs that are kept, the last one first.
    pub async fn runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        self.record.runs().await
    }

    /// Returns what a run did, where it is kept.
    pub async fn run_report(&self, id: &RunId) -> Result<Option<RunReport>, StoreError> {
        self.record.run_report(id).await
    }

    /// Returns how long the steps took that are done, of the runs that are kept.
    pub async fn took(&self) -> Result<Vec<Took>, StoreError> {
        self.record.took().await
    }

    /// Seals what is kept outside the record with the key of its secrets, for one purpose.
    pub async fn seal(&self, purpose: &[u8], clear: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.record.confirm_key().await?;
        Ok(self.record.key().await?.seal_bytes(purpose, clear))
    }

    /// Opens what was sealed for a purpose. Nothing where it is not what was sealed, or was sealed with another key.
    pub async fn unseal(&self, purpose: &[u8], sealed: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        Ok(self.record.key().await?.open_bytes(purpose, sealed))
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

    /// Returns who holds the lock, for everything or for some clusters.
    pub async fn holders(&self) -> Result<Vec<Owner>, StoreError> {
        let held = self.record.holders().await?.into_iter();
        Ok(held.map(|lease| lease.owner).collect())
    }

    /// Returns who holds the lock and is not known to be gone, each with the run that it has begun.
    pub async fn at_work(&self) -> Result<Vec<Work>, StoreError> {
        self.record.at_work().await
    }

    /// Takes the whole lock for an operation such as `apply`, waiting up to `timeout` for its owners.
    pub async fn lock(&self, operation: &str, timeout: Duration) -> Result<Writer, LockError> {
        self.lock_for(operation, &Extent::Everything, timeout, &[]).await
    }

    /// Takes the lock for a part of the record, waiting up to `timeout` for its owners. Leases in the way that are given, and have not
    /// moved since, are taken over at once: what is done is more urgent than what they are held for.
    pub async fn lock_for(
        &self,
        operation: &str,
        extent: &Extent,
        timeout: Duration,
        over: &[Lease],
    ) -> Result<Writer, LockError> {
        let owner = Owner {
            extent: extent.clone(),
            ..Owner::this_process(operation, self.lease)
        };
        let outcome = lock::acquire(&*self.record.backend, &owner, timeout, over).await;
        match outcome.map_err(|error| self.record.failed(error))? {
            Ok(token) => Ok(Writer::load(Arc::clone(&self.record), token, owner, self.lease).await?),
            Err(lease) => Err(self.held(*lease)),
        }
    }

    /// Frees what somebody holds of the lock, given the id that the lock's message shows.
    pub async fn force_unlock(&self, id: &str) -> Result<Owner, LockError> {
        let mut held = self.record.holders().await?;
        let Some(lease) = held.iter().find(|lease| lease.owner.id == id) else {
            let path = self.record.path.clone();
            return Err(match held.pop() {
                Some(lease) => self.held(lease),
                None => LockError::NotHeld { path },
            });
        };
        let unlocked = self.record.backend.unlock(lease.token).await;
        unlocked.map_err(|error| self.record.failed(error))?;
        Ok(lease.owner.clone())
    }

    fn held(&self, lease: Lease) -> LockError {
        LockError::Held {
            path: self.record.path.clone(),
            owner: Box::new(lease.owner),
        }
    }
}

/// Says where what failed is kept.
fn failed_at(storage: &dyn Storage) -> impl Fn(BackendError) -> StoreError {
    let path = storage.place().to_owned();
    move |source| StoreError::Backend {
        path: path.clone(),
        source,
    }
}

fn first_rows(lineage: &Lineage, key_row: &KeyRow) -> Vec<(Key, Vec<u8>)> {
    let head = Head::new(lineage.clone());
    vec![(Head::key(), encode(&head)), (secret::key_row(), encode(key_row))]
}

#[cfg(test)]
mod tests;
