//! The backends that keep the states of a configuration elsewhere than in a file, one line each, and how they are opened.
//!
//! A file of SQLite is the default, and stands with the trait in `simdb-state`. What stands here needs a client of its own.

#![cfg_attr(
    not(feature = "kubernetes"),
    expect(
        clippy::unused_async,
        unused_variables,
        reason = "there is none where simdb was built without it"
    )
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use simdb_state::backend::{BackendError, Storage};

#[cfg(feature = "kubernetes")]
mod kubernetes;
#[cfg(feature = "kubernetes")]
use kubernetes as secrets;

/// Where the states of a configuration are, one for each workspace.
#[derive(Clone, Debug)]
pub enum Remote {
    /// In Secrets of a namespace.
    #[cfg(feature = "kubernetes")]
    Secrets(secrets::Settings),
}

impl Remote {
    /// Opens the backend of that name for a configuration in a directory, with arguments that the planner has checked.
    pub fn open(backend: &str, arguments: &BTreeMap<String, String>, directory: &Path) -> Result<Self, BackendError> {
        match backend {
            #[cfg(feature = "kubernetes")]
            secrets::NAME => Ok(Self::Secrets(secrets::Settings::read(arguments, directory))),
            _ => Err(missing(backend, arguments, directory)),
        }
    }

    /// Returns where the state of a workspace is; none stands for the default one.
    pub fn storage(&self, workspace: Option<&str>) -> Arc<dyn Storage> {
        match *self {
            #[cfg(feature = "kubernetes")]
            Self::Secrets(ref settings) => Arc::new(secrets::Secrets::new(settings, workspace)),
        }
    }

    /// Returns the workspaces beside the default one that have a state.
    pub async fn workspaces(&self) -> Result<Vec<String>, BackendError> {
        match *self {
            #[cfg(feature = "kubernetes")]
            Self::Secrets(ref settings) => secrets::workspaces(settings).await,
        }
    }

    /// Removes the state of a workspace with the copies of it.
    pub async fn remove(&self, workspace: &str) -> Result<(), BackendError> {
        match *self {
            #[cfg(feature = "kubernetes")]
            Self::Secrets(ref settings) => secrets::remove(settings, workspace).await,
        }
    }
}

fn missing(backend: &str, _: &BTreeMap<String, String>, _: &Path) -> BackendError {
    BackendError::Unusable {
        problem: format!("this simdb was built without the state backend \"{backend}\""),
        hint: format!("Build it with: cargo install --features {backend}"),
    }
}
