//! What can go wrong with a record, and with its lock.

use std::path::PathBuf;

use thiserror::Error;

use crate::backend::BackendError;
use crate::extent::Extent;
use crate::format::FormatError;
use crate::journal::JournalError;
use crate::owner::Owner;
use crate::secret::SecretError;
use crate::transfer::TransferError;

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
    /// Something more urgent took the lock over; nothing was written.
    #[error("the lock of state {path:?} was taken over by {} for {} of {}", .by.who, .by.operation, .by.extent)]
    Preempted {
        /// Where the record is kept.
        path: PathBuf,
        /// Who took it over.
        by: Box<Owner>,
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
    /// A document cannot become the record.
    #[error("failed to push to state {path:?}")]
    Transfer {
        /// Where the record is kept.
        path: PathBuf,
        /// Why.
        #[source]
        source: TransferError,
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
            StoreError::Preempted { by, .. } => Some(format!(
                "No step was begun since, and nothing more was recorded. A step that ran was given up where it stood. Once {} is done, plan again to see what is left.",
                by.operation
            )),
            StoreError::Secret { source, .. } => Some(source.hint()),
            StoreError::Transfer { source, .. } => match source {
                TransferError::OtherLineage { .. } | TransferError::Older { .. } => Some(
                    "Nothing was written. To replace the state all the same, of which a copy is kept: simdb state push -force FILE".to_owned(),
                ),
                _ => Some("Nothing was written. Push what simdb state pull wrote.".to_owned()),
            },
            StoreError::Journal(_) => None,
        }
    }
}

/// Why the lock was not obtained, or not freed by force.
#[derive(Debug, Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("state {path:?} is locked by {} for {}{}", .owner.who, .owner.operation, about(&.owner.extent))]
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

fn about(extent: &Extent) -> String {
    match extent {
        Extent::Everything => String::new(),
        clusters @ Extent::Clusters(_) => format!(" of {clusters}"),
    }
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
