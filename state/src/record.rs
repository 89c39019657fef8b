//! One record in one backend, read: what [`crate::store::Store`] and [`crate::writer::Writer`] share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::backend::{Backend, BackendError, Key, Lease, Row, Version, Write};
use crate::error::StoreError;
use crate::format::{CLAIMS, FormatError, Head, RECORD, decode, read_state, run_id};
use crate::journal::{
    KEPT_RUNS, RunReport, RunRow, RunStatus, RunSummary, StepReport, StepRow, plan_key, run_key, steps_prefix,
};
use crate::run::{Lineage, RunId, Snapshot, Took, UnfinishedRun};
use crate::secret::{self, KeyRow, KeySource, SecretError};
use crate::sensitive::{SecretName, Secrets, Sensitive};

/// Runs what blocks where it holds up no other task.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// One record in one backend.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) path: PathBuf,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) lineage: Lineage,
    /// Absent for a record whose key is only in memory.
    keys: Option<KeySource>,
    /// Found when it is first needed: most commands need no secret, and a passphrase takes a while.
    key: OnceCell<secret::Key>,
}

/// A holding of the lock, and what is done under it.
#[derive(Clone, Debug, PartialEq)]
pub struct Work {
    /// The holding.
    pub lease: Lease,
    /// The run that was begun under it; absent while its plan is being made, or read.
    pub run: Option<RunReport>,
}

/// What was loaded, with what only a writer needs.
pub(crate) struct Loaded {
    pub(crate) snapshot: Snapshot,
    pub(crate) head: Head,
    pub(crate) version: Version,
}

impl Record {
    pub(crate) async fn open(
        path: PathBuf,
        backend: Arc<dyn Backend>,
        keys: Option<KeySource>,
        key: OnceCell<secret::Key>,
    ) -> Result<Self, StoreError> {
        let mut record = Self {
            path,
            backend,
            lineage: Lineage(String::new()),
            keys,
            key,
        };
        record.lineage = record.head(record.get(&Head::key()).await?.as_ref())?.lineage;
        Ok(record)
    }

    /// Says what failed; a lost lock is told from everything else.
    pub(crate) fn failed(&self, source: BackendError) -> StoreError {
        let path = self.path.clone();
        match source {
            BackendError::Lost => StoreError::LockLost { path },
            source => StoreError::Backend { path, source },
        }
    }

    pub(crate) fn unreadable(&self, source: FormatError) -> StoreError {
        let path = self.path.clone();
        StoreError::Format { path, source }
    }

    pub(crate) fn secret_failed(&self, source: SecretError) -> StoreError {
        let path = self.path.clone();
        StoreError::Secret { path, source }
    }

    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Row>, StoreError> {
        self.backend.get(key).await.map_err(|error| self.failed(error))
    }

    pub(crate) async fn list(&self, prefixes: &[&str]) -> Result<Vec<Row>, StoreError> {
        self.backend.list(prefixes).await.map_err(|error| self.failed(error))
    }

    pub(crate) async fn holders(&self) -> Result<Vec<Lease>, StoreError> {
        self.backend.holders().await.map_err(|error| self.failed(error))
    }

    /// Writes a row that needs no lock.
    pub(crate) async fn swap(&self, write: Write) -> Result<Version, StoreError> {
        debug_assert!(
            write.key.as_str().starts_with(CLAIMS),
            "the record changes under its lock"
        );
        self.backend.swap(write).await.map_err(|error| self.failed(error))
    }

    fn head(&self, row: Option<&Row>) -> Result<Head, StoreError> {
        Head::read(row).map_err(|error| self.unreadable(error))
    }

    pub(crate) fn decode<T: serde::de::DeserializeOwned>(&self, row: &Row) -> Result<T, StoreError> {
        decode(row).map_err(|error| self.unreadable(error))
    }

    /// Returns how often the record was written.
    pub(crate) async fn serial(&self) -> Result<u64, StoreError> {
        Ok(self.head(self.get(&Head::key()).await?.as_ref())?.serial)
    }

    pub(crate) async fn load(&self) -> Result<Loaded, StoreError> {
        let key = Head::key();
        let prefixes: Vec<&str> = [key.as_str()].into_iter().chain(RECORD).collect();
        let rows = self.list(&prefixes).await?;
        let head_row = rows.iter().find(|row| row.key == key);
        let head = self.head(head_row)?;
        let version = head_row.map_or(Version(0), |row| row.version);
        let state = read_state(&rows, head.format).map_err(|error| self.unreadable(error))?;
        let snapshot = Snapshot {
            state,
            serial: head.serial,
            settings: head.settings.clone(),
            unfinished: self.unfinished(&head).await?,
        };
        Ok(Loaded {
            snapshot,
            head,
            version,
        })
    }

    pub(crate) async fn run_row(&self, run: &RunId) -> Result<Option<RunRow>, StoreError> {
        let row = self.get(&run_key(run)).await?;
        row.map(|row| self.decode(&row)).transpose()
    }

    /// Returns the runs that are kept, the last one first.
    pub(crate) async fn runs(&self) -> Result<Vec<RunSummary>, StoreError> {
        let last = self.head(self.get(&Head::key()).await?.as_ref())?.runs;
        let mut runs = Vec::new();
        for number in (last.saturating_sub(KEPT_RUNS) + 1..=last).rev() {
            let id = run_id(number);
            let row = self.run_row(&id).await?;
            runs.extend(row.map(|row| RunSummary::new(id, row)));
        }
        Ok(runs)
    }

    /// Returns what a run did, where it is kept.
    pub(crate) async fn run_report(&self, id: &RunId) -> Result<Option<RunReport>, StoreError> {
        let Some(row) = self.run_row(id).await? else {
            return Ok(None);
        };
        let plan = self.get(&plan_key(id)).await?;
        let plan = plan.ok_or_else(|| self.unreadable(FormatError::Missing(plan_key(id))))?;
        let steps = self.steps(id).await?.into_iter().map(|(number, row)| {
            let report = match row {
                StepRow::Started => StepReport::Started,
                StepRow::Done { took, .. } => StepReport::Done(took.map(|took| took.milliseconds)),
                StepRow::Failed { cause } => StepReport::Failed(cause),
            };
            (number, report)
        });
        Ok(Some(RunReport {
            summary: RunSummary::new(id.clone(), row),
            plan: self.decode(&plan)?,
            steps: steps.collect(),
        }))
    }

    /// Returns how long the steps took that are done, of the runs that are kept.
    pub(crate) async fn took(&self) -> Result<Vec<Took>, StoreError> {
        let last = self.head(self.get(&Head::key()).await?.as_ref())?.runs;
        let mut all = Vec::new();
        for number in last.saturating_sub(KEPT_RUNS) + 1..=last {
            for row in self.list(&[&steps_prefix(&run_id(number))]).await? {
                if let StepRow::Done { took: Some(took), .. } = self.decode(&row)? {
                    all.push(took);
                }
            }
        }
        Ok(all)
    }

    /// Returns the newest run that did not come to its end and does not go on, either.
    async fn unfinished(&self, head: &Head) -> Result<Option<UnfinishedRun>, StoreError> {
        let mut leases: Option<Vec<Lease>> = None;
        for id in head.late_runs() {
            let Some(row) = self.run_row(&id).await? else { continue };
            if matches!(row.status, RunStatus::Done | RunStatus::Abandoned) {
                continue;
            }
            if leases.is_none() {
                leases = Some(self.holders().await?);
            }
            if row.goes_on(leases.as_deref().unwrap_or_default()) {
                continue;
            }
            let in_doubt = self.in_doubt(&id).await?;
            if row.status != RunStatus::Running && in_doubt.is_empty() {
                continue;
            }
            let plan = self.get(&plan_key(&id)).await?;
            let plan = plan.ok_or_else(|| self.unreadable(FormatError::Missing(plan_key(&id))))?;
            return Ok(Some(UnfinishedRun {
                operation: row.operation,
                plan: self.decode(&plan)?,
                in_doubt,
                id,
            }));
        }
        Ok(None)
    }

    /// Returns who holds the lock and is not known to be gone, each with the run that it has begun.
    pub(crate) async fn at_work(&self) -> Result<Vec<Work>, StoreError> {
        let leases = self.holders().await?.into_iter();
        let alive: Vec<Lease> = leases.filter(|lease| !lease.owner.is_dead()).collect();
        if alive.is_empty() {
            return Ok(Vec::new());
        }
        let head = self.head(self.get(&Head::key()).await?.as_ref())?;
        let mut runs = BTreeMap::new();
        for id in head.open.iter().copied().map(run_id) {
            if let Some(row) = self.run_row(&id).await? {
                runs.insert(row.token, id);
            }
        }
        let mut works = Vec::new();
        for lease in alive {
            let run = match runs.get(&lease.token) {
                Some(id) => self.run_report(id).await?,
                None => None,
            };
            works.push(Work { lease, run });
        }
        Ok(works)
    }

    async fn in_doubt(&self, run: &RunId) -> Result<Vec<u32>, StoreError> {
        let steps = self.steps(run).await?.into_iter();
        Ok(steps
            .filter(|(_, row)| *row == StepRow::Started)
            .map(|(number, _)| number)
            .collect())
    }

    /// Returns the steps of a run that were started, by number.
    async fn steps(&self, run: &RunId) -> Result<BTreeMap<u32, StepRow>, StoreError> {
        let prefix = steps_prefix(run);
        let mut steps = BTreeMap::new();
        for row in self.list(&[&prefix]).await? {
            let number = row.key.as_str()[prefix.len()..].parse();
            let number = number.map_err(|_| self.unreadable(FormatError::UnknownKey(row.key.clone())))?;
            steps.insert(number, self.decode(&row)?);
        }
        Ok(steps)
    }

    /// Finds the key that opens the secrets.
    pub(crate) async fn key(&self) -> Result<&secret::Key, StoreError> {
        self.key.get_or_try_init(|| self.load_key()).await
    }

    /// Refuses to go on with a key that was read before the secrets were locked by another one.
    pub(crate) async fn confirm_key(&self) -> Result<(), StoreError> {
        let Some(key) = self.key.get() else { return Ok(()) };
        if key.is_of(&self.key_row().await?) {
            return Ok(());
        }
        Err(self.secret_failed(SecretError::KeyChanged))
    }

    async fn key_row(&self) -> Result<KeyRow, StoreError> {
        let row = self.get(&secret::key_row()).await?;
        let row = row.ok_or_else(|| self.unreadable(FormatError::Missing(secret::key_row())))?;
        self.decode(&row)
    }

    async fn load_key(&self) -> Result<secret::Key, StoreError> {
        let row = self.key_row().await?;
        let lineage = self.lineage.clone();
        let keys = self
            .keys
            .clone()
            .expect("a record without a key source is made with its key");
        let loaded = blocking(move || secret::load(&lineage, &keys, &row)).await;
        loaded.map_err(|error| self.secret_failed(error))
    }

    pub(crate) async fn secret(&self, name: &SecretName) -> Result<Option<Sensitive<String>>, StoreError> {
        let Some(row) = self.get(&secret::secret_key(name)).await? else {
            return Ok(None);
        };
        self.open_row(&row).await.map(Some)
    }

    async fn open_row(&self, row: &Row) -> Result<Sensitive<String>, StoreError> {
        match self.key().await?.open_row(row) {
            Ok(opened) => Ok(opened),
            Err(error) => {
                self.confirm_key().await?;
                Err(self.secret_failed(error))
            }
        }
    }

    /// Names the secrets, which takes no key.
    pub(crate) async fn secret_names(&self) -> Result<Vec<SecretName>, StoreError> {
        let rows = self.list(&[secret::PREFIX]).await?;
        let name = |row: &Row| SecretName::from_stored(&row.key.as_str()[secret::PREFIX.len()..]);
        Ok(rows.iter().map(name).collect())
    }

    pub(crate) async fn secrets(&self) -> Result<Secrets, StoreError> {
        let mut secrets = Secrets::new();
        for row in self.list(&[secret::PREFIX]).await? {
            let name = SecretName::from_stored(&row.key.as_str()[secret::PREFIX.len()..]);
            secrets.insert(name, self.open_row(&row).await?);
        }
        Ok(secrets)
    }
}
