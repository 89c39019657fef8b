//! Where the states of a configuration are: in files beside each other, or elsewhere, one for each workspace.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use simdb_planner::config::StateBackend;
use simdb_providers::backend::Remote;
use simdb_state::backend::sqlite::SqliteFile;
use simdb_state::backend::{BackendError, Storage};
use simdb_state::store::{Store, StoreError};
use simdb_state::transfer::Transfer;
use tokio::runtime::Builder;

use super::workspace::Workspace;
use super::{Project, keys};
use crate::error::CliError;

/// The state, where the configuration does not say otherwise.
const STATE_PATH: &str = ".simdb/state.db";

/// Where the states of a configuration are.
enum Home {
    /// The file of the default workspace; others have theirs below.
    File(PathBuf),
    /// Elsewhere.
    Remote(Remote),
}

impl Project {
    fn home(&self) -> Result<Home, CliError> {
        match &self.settings.state {
            StateBackend::File(path) => {
                let path = path.as_deref().unwrap_or(STATE_PATH);
                Ok(Home::File(self.directory.join(path)))
            }
            StateBackend::Remote { backend, arguments } => {
                let remote = Remote::open(backend, arguments, &self.directory);
                Ok(Home::Remote(remote.map_err(|source| failed(backend, source))?))
            }
        }
    }

    fn storage(&self) -> Result<Arc<dyn Storage>, CliError> {
        Ok(match self.home()? {
            Home::File(default) => Arc::new(SqliteFile::new(self.workspace.state(&default))),
            Home::Remote(remote) => remote.storage(self.workspace.other()),
        })
    }

    /// Returns where the state is: a path, or what stands for one.
    pub(crate) fn state_place(&self) -> Result<PathBuf, CliError> {
        Ok(self.storage()?.place().to_owned())
    }

    /// Returns whether it is known, without asking another machine, that there is no state.
    pub(crate) fn is_without_state(&self) -> bool {
        match self.home() {
            Ok(Home::File(default)) => !self.workspace.state(&default).is_file(),
            Ok(Home::Remote(_)) => false,
            Err(_) => true,
        }
    }

    /// Opens the state, where there is one.
    pub(crate) async fn store(&self) -> Result<Option<Store>, CliError> {
        Ok(Store::open_in(&*self.storage()?, &keys()?).await?)
    }

    /// Opens the state, and makes an empty one where there is none.
    pub(crate) async fn create_store(&self) -> Result<Store, CliError> {
        Ok(Store::create_in(&*self.ready_storage()?, &keys()?).await?)
    }

    /// Makes the state of a document, where there is none.
    pub(crate) async fn create_store_from(&self, transfer: &Transfer) -> Result<(), CliError> {
        Ok(Store::create_from(&*self.ready_storage()?, transfer).await?)
    }

    /// Returns where the state is; where that is a file, its directory is there.
    fn ready_storage(&self) -> Result<Arc<dyn Storage>, CliError> {
        if let Home::File(default) = self.home()? {
            let path = self.workspace.state(&default);
            let parent = path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(parent).map_err(|source| CliError::Write {
                path: parent.to_owned(),
                source,
            })?;
        }
        self.storage()
    }

    /// Returns all workspaces that there are, in the order of their names after the default one.
    pub(crate) fn workspaces(&self) -> Result<Vec<Workspace>, CliError> {
        match self.home()? {
            Home::File(default) => Workspace::all(&default),
            Home::Remote(remote) => {
                let place = remote.storage(None).place().display().to_string();
                let mut names = apart(remote.workspaces())?.map_err(|source| failed(&place, source))?;
                names.sort();
                let others = names.iter().filter_map(|name| Workspace::parse(name).ok());
                Ok([Workspace::default()].into_iter().chain(others).collect())
            }
        }
    }

    /// Returns whether there is such a workspace.
    pub(crate) fn has(&self, workspace: &Workspace) -> Result<bool, CliError> {
        match self.home()? {
            _ if workspace.is_default() => Ok(true),
            Home::File(default) => Ok(workspace.exists(&default)),
            Home::Remote(_) => Ok(self.workspaces()?.contains(workspace)),
        }
    }

    /// Makes a workspace. Elsewhere than on this machine nothing but its state tells that there is one, so that is made as well.
    pub(crate) fn create_workspace(&self, workspace: &Workspace) -> Result<(), CliError> {
        match self.home()? {
            Home::File(default) => workspace.create(&default),
            Home::Remote(_) => {
                let project = self.in_workspace(workspace.clone());
                apart(async { project.create_store().await.map(drop) })?
            }
        }
    }

    /// Removes the selected workspace with its state.
    pub(crate) async fn remove_workspace(&self) -> Result<(), CliError> {
        match (self.home()?, self.workspace.other()) {
            (Home::File(default), _) => self.workspace.remove(&default),
            (Home::Remote(remote), Some(name)) => {
                let place = self.state_place()?.display().to_string();
                remote.remove(name).await.map_err(|source| failed(&place, source))
            }
            (Home::Remote(_), None) => Ok(()),
        }
    }
}

fn failed(place: &str, source: BackendError) -> CliError {
    let path = place.into();
    StoreError::Backend { path, source }.into()
}

/// Runs a short question to its end on a thread of its own: what asks it may be within a runtime, or not.
fn apart<T: Send>(question: impl Future<Output = T> + Send) -> Result<T, CliError> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime
                .map(|runtime| runtime.block_on(question))
                .map_err(CliError::Runtime)
        });
        match thread.join() {
            Ok(answer) => answer,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
