//! The record, its serial, the journal and the secrets, over any backend.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::delta::{Delta, Outputs};
use crate::object::{Output, State};
use crate::sensitive::{SecretName, Secrets, Sensitive};

/// Identifies one record for good: two records never share it, and it names the key and the data root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage(pub String);

/// Identifies one run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub String);

/// A record that can be read. [`Store::lock`] makes it writable.
#[derive(Debug)]
pub struct Store {}

/// What was read, at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The record.
    pub state: State,
    /// Counts the commits.
    pub serial: u64,
    /// The last run that was not finished, where there is one.
    pub unfinished: Option<UnfinishedRun>,
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
    /// A step starts; secrets it will use for the first time are stored before anything happens.
    Started {
        /// The step.
        step: u32,
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
    /// The values of the `output` blocks; the sensitive ones with their JSON text.
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
pub enum StoreError {}

/// Why the lock was not obtained.
#[derive(Debug, Error)]
pub enum LockError {}

/// A record that is locked for writing. Dropping it without [`Writer::unlock`] leaves the lock to be taken over.
#[derive(Debug)]
pub struct Writer {}

impl Store {
    /// Opens a record for reading; `Ok(None)` where there is none yet.
    pub async fn open(_path: &std::path::Path) -> Result<Option<Store>, StoreError> {
        todo!()
    }

    /// Opens a record, making an empty one where there is none.
    pub async fn create(_path: &std::path::Path) -> Result<Store, StoreError> {
        todo!()
    }

    /// Returns which record this is.
    pub fn lineage(&self) -> &Lineage {
        todo!()
    }

    /// Reads everything but secrets.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        todo!()
    }

    /// Reads one secret.
    pub async fn secret(&self, _name: &SecretName) -> Result<Option<Sensitive<String>>, StoreError> {
        todo!()
    }

    /// Reads all secrets.
    pub async fn secrets(&self) -> Result<Secrets, StoreError> {
        todo!()
    }

    /// Takes the lock for an operation such as `apply`, waiting up to `timeout` for its owner.
    pub async fn lock(&self, _operation: &str, _timeout: Duration) -> Result<Writer, LockError> {
        todo!()
    }
}

impl Writer {
    /// Returns the record as it is now, every commit of this writer included.
    pub fn state(&self) -> &State {
        todo!()
    }

    /// Reads all secrets.
    pub async fn secrets(&self) -> Result<Secrets, StoreError> {
        todo!()
    }

    /// Begins a run: from here on its steps are journalled.
    pub async fn begin(
        &mut self,
        _operation: &str,
        _plan: &serde_json::Value,
        _steps: u32,
    ) -> Result<RunId, StoreError> {
        todo!()
    }

    /// Commits entries, all or none, under the lock's fencing token.
    pub async fn commit(&mut self, _entries: &[Entry]) -> Result<(), StoreError> {
        todo!()
    }

    /// Ends the run.
    pub async fn finish(&mut self, _end: RunEnd) -> Result<(), StoreError> {
        todo!()
    }

    /// Gives the lock back.
    pub async fn unlock(self) -> Result<(), StoreError> {
        todo!()
    }
}
