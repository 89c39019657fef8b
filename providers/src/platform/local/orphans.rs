//! Ends the commands of tasks that a killed simdb left behind.
//!
//! `task.json` says who started the last task, and is written first. When the lock of the instance directory is held and
//! that process is gone, the holders are orphans, and are found by their standard input.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use super::directory::{InstanceDirectory, TASK};
use super::process::{self, Identity};
use super::warrant::Warrant;
use crate::platform::PlatformError;

/// How long an orphan may go on whose work is not lost: it changes data in place, and half of that is worth nothing.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(50);

/// How long an orphan may take to end by itself when told to.
const TERMINATE_LIMIT: Duration = Duration::from_secs(2);

/// The task that was last started, and by whom.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) format: u32,
    pub(super) task: String,
    pub(super) product: Option<String>,
    pub(super) owner: Option<Identity>,
}

/// How long orphans of an earlier simdb may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Orphans {
    /// Until they are done, where their work counts. The product of an orphan never does: nobody would rename it.
    Finish,
    /// Not at all.
    End,
}

/// Ends those who hold an instance directory's lock on behalf of a simdb that is gone, once they had their time.
pub(super) async fn end(
    directory: &InstanceDirectory,
    orphans: Orphans,
    waited: Duration,
    warrant: &Warrant,
) -> Result<(), PlatformError> {
    let Some(record) = directory.read_record::<Record>(TASK) else {
        return Ok(());
    };
    if record.owner.is_some_and(|owner| owner.alive().is_some()) {
        return Ok(());
    }
    let patience = match orphans {
        Orphans::Finish if record.product.is_none() => ORPHAN_PATIENCE,
        Orphans::Finish | Orphans::End => Duration::ZERO,
    };
    let Some(over) = waited.checked_sub(patience) else {
        return Ok(());
    };
    let signal = if over < TERMINATE_LIMIT {
        Signal::SIGTERM
    } else {
        Signal::SIGKILL
    };
    let found = directory.lock().map(|lock| process::started_with(&lock));
    let found = found.unwrap_or_default();
    if found.is_empty() {
        return Ok(());
    }
    warrant.check().await?;
    for orphan in found {
        orphan.signal(signal);
    }
    Ok(())
}
