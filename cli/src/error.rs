//! Why a command failed, in the form every failure is shown in: a diagnostic.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;

use simdb_planner::diagnostic::{Diagnostic, Severity};
use simdb_providers::platform::PlatformError;
use simdb_state::lock::Owner;
use simdb_state::secret::SecretError;
use simdb_state::store::{LockError, StoreError};
use thiserror::Error;

use crate::exit::Exit;
use crate::views::doc::DiagnosticDoc;

/// What is to be done where the key of a state is nowhere any more.
const LOST: &str = "If it is lost for good, so are the passwords that simdb made, its own among them: copy what you need \
                    out of the databases with a login of yours, end the servers, remove their data and the state, and apply \
                    again.";

/// Why a command failed.
#[derive(Debug, Error)]
pub(crate) enum CliError {
    /// Something is wrong that has been put into words.
    #[error("there are diagnostics")]
    Diagnosed(Vec<DiagnosticDoc>),
    /// A file or directory cannot be read.
    #[error("failed to read {path:?}")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("failed to write {path:?}")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory of `-chdir` cannot be used.
    #[error("failed to work in directory {path:?}")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Standard input cannot be read.
    #[error("failed to read standard input")]
    Input(#[source] io::Error),
    /// Signals cannot be watched for.
    #[error("failed to watch for signals")]
    Signals(#[source] io::Error),
    /// Work that takes time cannot be started.
    #[error("failed to start the runtime")]
    Runtime(#[source] io::Error),
    /// A program cannot be run.
    #[error("failed to run {program:?}")]
    Program {
        /// Which.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The record cannot be used.
    #[error(transparent)]
    Store(Box<StoreError>),
    /// The secrets cannot be locked by another key, because they cannot be read.
    #[error("failed to lock the secrets by another key")]
    Rekey(#[source] Box<StoreError>),
    /// The lock was not obtained.
    #[error(transparent)]
    Lock(Box<LockError>),
    /// The place where keys are kept cannot be found.
    #[error("failed to find the keys of states")]
    Keys(#[source] SecretError),
    /// The platform did not do its part.
    #[error("failed to use the local platform")]
    Platform(#[source] Box<PlatformError>),
    /// Somebody asked to stop before anything was begun.
    #[error("interrupted before anything was changed")]
    Interrupted,
    /// Somebody asked to stop at once.
    #[error("stopped in the middle of a run")]
    Stopped,
}

// Boxed, for they are large, and every function here returns one of them or a small value.
impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        CliError::Store(Box::new(error))
    }
}

impl From<LockError> for CliError {
    fn from(error: LockError) -> Self {
        CliError::Lock(Box::new(error))
    }
}

impl From<PlatformError> for CliError {
    fn from(error: PlatformError) -> Self {
        CliError::Platform(Box::new(error))
    }
}

impl CliError {
    /// Puts a failure into words: a few words, then sentences with a way out.
    pub(crate) fn refused(summary: &str, detail: impl Into<String>) -> Self {
        CliError::Diagnosed(vec![DiagnosticDoc::unplaced(&Diagnostic::error(summary, detail))])
    }

    /// Returns the exit code.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            CliError::Lock(error) if matches!(**error, LockError::Held { .. }) => Exit::Locked,
            error if error.preempted().is_some() => Exit::Locked,
            _ => Exit::Failed,
        }
    }

    /// Returns what says so, where something more urgent took the lock over.
    pub(crate) fn preempted(&self) -> Option<&StoreError> {
        let store = match self {
            CliError::Store(error) => &**error,
            CliError::Lock(error) => match &**error {
                LockError::Store(error) => error,
                LockError::Held { .. } | LockError::NotHeld { .. } => return None,
            },
            _ => return None,
        };
        matches!(store, StoreError::Preempted { .. }).then_some(store)
    }

    /// Returns the failure as it is shown.
    pub(crate) fn into_documents(self) -> Vec<DiagnosticDoc> {
        let summary = capitalized(&self.to_string());
        let detail = self.detail();
        match self {
            CliError::Diagnosed(diagnostics) => diagnostics,
            _ => vec![DiagnosticDoc {
                severity: Severity::Error,
                summary,
                detail,
                range: None,
                snippet: None,
            }],
        }
    }

    fn detail(&self) -> String {
        let parts = [self.facts(), self.causes(), self.hint()];
        parts.into_iter().flatten().collect::<Vec<_>>().join("\n\n")
    }

    fn causes(&self) -> Option<String> {
        let causes = std::iter::successors(self.source(), |&error| error.source());
        let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        (!text.is_empty()).then(|| format!("{}.", capitalized(text.trim_end_matches('.'))))
    }

    fn facts(&self) -> Option<String> {
        let CliError::Lock(error) = self else { return None };
        match &**error {
            LockError::Held { path, owner } => Some(lock_info(path, owner)),
            LockError::NotHeld { .. } | LockError::Store(_) => None,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CliError::Store(error) => error.hint(),
            CliError::Lock(error) => error.hint(),
            CliError::Rekey(error) => Some(format!("{} {LOST}", error.hint().unwrap_or_default())),
            CliError::Keys(error) => Some(error.hint()),
            CliError::Stopped => {
                Some("Finished steps are recorded. Run the command again: it continues from them.".to_owned())
            }
            _ => None,
        }
    }
}

fn lock_info(path: &std::path::Path, owner: &Owner) -> String {
    format!(
        "Lock Info:\n  ID:        {}\n  Path:      {}\n  Operation: {}\n  About:     {}\n  Who:       {} (process {})\n  Version:   {}\n  Since:     {}",
        owner.id,
        path.display(),
        owner.operation,
        owner.extent,
        owner.who,
        owner.place.pid,
        owner.version,
        owner.since
    )
}

fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters
        .next()
        .map(|first| first.to_uppercase().chain(characters).collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_its_causes_in_a_sentence() {
        let error = CliError::Read {
            path: "x.simdb.hcl".into(),
            source: io::Error::other("permission denied"),
        };
        let document = error.into_documents().remove(0);
        assert_eq!(document.summary, "Failed to read \"x.simdb.hcl\"");
        assert_eq!(document.detail, "Permission denied.");
    }
}
