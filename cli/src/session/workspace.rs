//! Workspaces: one configuration with several states, of which one is selected.
//!
//! ```text
//!   .simdb/workspace            the name of the selected one; absent while that is "default"
//!   DIR/state.db                the state of "default", where the configuration says
//!   DIR/workspaces/NAME/        the state of another one, in a file of the same name; the directory makes the workspace
//!                               or in the backend that the configuration names, which knows the workspaces by their states
//!   .simdb/servers/NAME/        what leads to its servers, and their data where simdb does not run as root
//! ```

use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::Project;
use crate::error::CliError;

/// The workspace that every configuration has.
const DEFAULT: &str = "default";

/// What simdb keeps beside a configuration.
const OWN_DIRECTORY: &str = ".simdb";

/// What is kept there for the workspace that is selected.
const SELECTED: &str = "workspace";

/// Where the states of workspaces other than the default one are, beside the state of that.
const STATES: &str = "workspaces";

/// Where what leads to their servers is, beside the configuration.
const SERVERS: &str = "servers";

/// Selects a workspace, whatever the file says.
pub(crate) const VARIABLE: &str = "SIMDB_WORKSPACE";

/// The longest name, so that it is the name of a file everywhere.
const MAX_LENGTH: usize = 64;

/// The name of a workspace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Workspace(String);

impl Default for Workspace {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl fmt::Display for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Workspace {
    /// Reads a name. It becomes the name of a directory.
    pub(crate) fn parse(name: &str) -> Result<Self, CliError> {
        let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        if (1..=MAX_LENGTH).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with(['.', '-']) {
            return Ok(Self(name.to_owned()));
        }
        let detail = format!(
            "{name:?} cannot be the name of a workspace: it has 1 to {MAX_LENGTH} letters, digits, hyphens, underscores and dots, \
             and begins with none of - and \".\"."
        );
        Err(CliError::refused("Invalid name of a workspace", detail))
    }

    /// Returns the one that is selected for the configuration of a directory: by the environment, else by the file.
    pub(crate) fn selected(directory: &Path) -> Result<Self, CliError> {
        if let Some(name) = overriding() {
            return Self::parse(&name);
        }
        let path = directory.join(OWN_DIRECTORY).join(SELECTED);
        match fs::read_to_string(&path) {
            Ok(name) => Self::parse(name.trim()),
            // A path below what is no directory leads to nothing, too.
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Self::default()),
            Err(source) => Err(CliError::Read { path, source }),
        }
    }

    /// Lets it be the selected one from now on.
    pub(crate) fn select(&self, directory: &Path) -> Result<(), CliError> {
        let own = directory.join(OWN_DIRECTORY);
        let path = own.join(SELECTED);
        let written = (|| {
            fs::create_dir_all(&own)?;
            // A reader sees the former name or this one.
            let next = own.join(format!("{SELECTED}.{}", std::process::id()));
            fs::write(&next, format!("{self}\n"))?;
            fs::rename(&next, &path)
        })();
        written.map_err(|source| CliError::Write { path, source })
    }

    /// Returns whether it is the one that every configuration has.
    pub(crate) fn is_default(&self) -> bool {
        self.0 == DEFAULT
    }

    /// Returns its name, unless it is the one that every configuration has.
    pub(crate) fn other(&self) -> Option<&str> {
        (!self.is_default()).then_some(self.0.as_str())
    }

    /// Returns the directory of what leads to its servers, beside the configuration of a directory.
    pub(crate) fn servers(&self, directory: &Path) -> PathBuf {
        self.within(directory.join(OWN_DIRECTORY), SERVERS)
    }

    /// Returns where its state is, given where that of the default one is.
    pub(crate) fn state(&self, default: &Path) -> PathBuf {
        let parent = default.parent().unwrap_or(Path::new("/"));
        let name = default.file_name().unwrap_or_default();
        self.within(parent.to_owned(), STATES).join(name)
    }

    fn within(&self, directory: PathBuf, others: &str) -> PathBuf {
        if self.is_default() {
            directory
        } else {
            directory.join(others).join(&self.0)
        }
    }

    /// Returns whether there is such a workspace, given where the state of the default one is.
    pub(crate) fn exists(&self, default: &Path) -> bool {
        self.is_default() || self.state(default).parent().is_some_and(Path::is_dir)
    }

    /// Makes it: a directory for its state.
    pub(crate) fn create(&self, default: &Path) -> Result<(), CliError> {
        let state = self.state(default);
        let path = state.parent().unwrap_or(Path::new("/")).to_owned();
        fs::create_dir_all(&path).map_err(|source| CliError::Write { path, source })
    }

    /// Removes its state with the copies of it. Data of servers stays where it is.
    pub(crate) fn remove(&self, default: &Path) -> Result<(), CliError> {
        let state = self.state(default);
        let (Some(directory), Some(name)) = (state.parent(), state.file_name()) else {
            return Ok(());
        };
        let removed = (|| {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                let of_state = entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(name.as_encoded_bytes());
                if of_state && entry.file_type()?.is_file() {
                    fs::remove_file(entry.path())?;
                }
            }
            fs::remove_dir(directory)
        })();
        removed.map_err(|source| CliError::Write {
            path: directory.to_owned(),
            source,
        })
    }

    /// Returns all that there are, in the order of their names after the default one, given where the state of that is.
    pub(crate) fn all(default: &Path) -> Result<Vec<Self>, CliError> {
        let path = default.parent().unwrap_or(Path::new("/")).join(STATES);
        let mut others = names(&path).map_err(|source| CliError::Read { path, source })?;
        others.retain(|name| *name != DEFAULT);
        others.sort();
        let others = others.iter().filter_map(|name| Self::parse(name).ok());
        Ok([Self::default()].into_iter().chain(others).collect())
    }
}

impl Project {
    /// Returns the project as it is in another workspace.
    pub(crate) fn in_workspace(&self, workspace: Workspace) -> Project {
        Project {
            directory: self.directory.clone(),
            source: self.source.clone(),
            settings: self.settings.clone(),
            inputs: self.inputs.clone(),
            workspace,
        }
    }

    /// Returns the selected workspace.
    pub(crate) fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    /// Says that there is no such workspace.
    pub(crate) fn lacks(&self, workspace: &Workspace) -> CliError {
        let others = self.workspaces().unwrap_or_default().into_iter();
        let others: Vec<String> = others.map(|other| format!("\"{other}\"")).collect();
        let detail = format!(
            "There is no workspace \"{workspace}\" here, but {}. To make it: simdb workspace select -or-create {workspace}",
            others.join(", ")
        );
        CliError::refused("Workspace does not exist", detail)
    }
}

/// Returns the name in the environment that stands above the file, if there is one.
pub(crate) fn overriding() -> Option<String> {
    std::env::var(VARIABLE).ok().filter(|name| !name.is_empty())
}

/// Returns the names of the directories in a directory. One that is not there holds none.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string().ok());
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_name_of_a_directory_below_another_one() {
        for name in ["default", "a", "feature-1", "v1.2_x", &"a".repeat(64)] {
            assert_eq!(Workspace::parse(name).unwrap().to_string(), name);
        }
        for bad in ["", ".", "..", ".hidden", "-f", "a/b", "a b", "ä", &"a".repeat(65)] {
            assert!(Workspace::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_default_one_has_the_places_that_a_configuration_without_workspaces_has() {
        let (directory, state) = (Path::new("/p"), Path::new("/s/orders.db"));
        let (default, staging) = (Workspace::default(), Workspace::parse("staging").unwrap());
        assert_eq!(default.servers(directory), Path::new("/p/.simdb"));
        assert_eq!(default.state(state), state);
        assert_eq!(staging.servers(directory), Path::new("/p/.simdb/servers/staging"));
        assert_eq!(staging.state(state), Path::new("/s/workspaces/staging/orders.db"));
    }

    #[test]
    fn the_selected_one_stays_selected() {
        let directory = tempfile::tempdir().unwrap();
        assert!(Workspace::selected(directory.path()).unwrap().is_default());
        let staging = Workspace::parse("staging").unwrap();
        staging.select(directory.path()).unwrap();
        assert_eq!(Workspace::selected(directory.path()).unwrap(), staging);
        fs::write(directory.path().join(".simdb/workspace"), "../x").unwrap();
        assert!(Workspace::selected(directory.path()).is_err());
    }
}
