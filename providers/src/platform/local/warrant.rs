//! The right of the holder of the record's lock to change one thing, asked for again right before every change.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::{Duration, Instant};

use simdb_state::backend::Token;
use simdb_state::store::Grant;
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::files::At;
use super::process::{self, Process};
use crate::platform::{Holder, PlatformError};

/// How often a lock that another process holds is tried.
const POLL: Duration = Duration::from_millis(20);

/// How long the lock of an instance directory is waited for.
const LOCK_LIMIT: Duration = Duration::from_mins(1);

/// How long it is waited for where who holds it is halted, and does not go on by itself.
const HALTED_LIMIT: Duration = Duration::from_secs(5);

/// The right of the holder of the record's lock to change one thing.
#[derive(Clone, Debug)]
pub(super) struct Warrant {
    grant: Grant,
    subject: String,
    runtime: Handle,
}

impl Warrant {
    /// Returns the right to change what the subject names. It must be asked for from within a runtime.
    pub(super) fn new(grant: Grant, subject: String) -> Self {
        Self {
            grant,
            subject,
            runtime: Handle::current(),
        }
    }

    /// Returns the token of the lock, to be noted in what is changed.
    pub(super) fn token(&self) -> Token {
        self.grant.token()
    }

    /// Asks whether the lock of the record is still held.
    pub(super) async fn check(&self) -> Result<(), PlatformError> {
        self.grant.check().await.map_err(|source| PlatformError::LockLost {
            subject: self.subject.clone(),
            source: Box::new(source),
        })
    }

    /// Asks the same where a thread may wait for it.
    pub(super) fn check_here(&self) -> Result<(), PlatformError> {
        self.runtime.block_on(self.check())
    }

    /// Locks a file or directory, and then asks whether the lock of the record is still held.
    pub(super) async fn lock(&self, file: File, path: &Path) -> Result<File, PlatformError> {
        let started = Instant::now();
        while !try_lock(&file, path)? {
            self.wait_for(&file, started).await?;
        }
        self.check().await?;
        Ok(file)
    }

    /// Waits a moment for the holder of a lock, or fails when the time is over.
    pub(super) async fn wait_for(&self, lock: &File, started: Instant) -> Result<(), PlatformError> {
        let holder = lock.metadata().ok().and_then(|lock| process::holder(&lock));
        let halted = holder.as_ref().is_some_and(|holder| holder.stopped);
        let limit = if halted { HALTED_LIMIT } else { LOCK_LIMIT };
        if started.elapsed() > limit {
            return Err(PlatformError::Busy {
                subject: self.subject.clone(),
                limit,
                holder: Holder::from(holder.as_ref()),
            });
        }
        sleep(POLL).await;
        Ok(())
    }
}

impl From<Option<&Process>> for Holder {
    fn from(process: Option<&Process>) -> Self {
        match process {
            None => Self::Unknown,
            Some(Process { pid, stopped: true, .. }) => Self::Halted(*pid),
            Some(Process { pid, .. }) => Self::Running(*pid),
        }
    }
}

/// Tries to lock a file or directory; false where another process holds its lock.
pub(super) fn try_lock(file: &File, path: &Path) -> Result<bool, PlatformError> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error).at("lock file", path),
    }
}
