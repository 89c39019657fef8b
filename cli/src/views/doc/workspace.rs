//! Workspaces.

use serde::Serialize;

use super::FORMAT_VERSION;

/// The workspaces of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkspacesDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// The default one first, the others sorted by name.
    pub workspaces: Vec<WorkspaceDoc>,
}

/// One workspace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WorkspaceDoc {
    /// Its name.
    pub name: String,
    /// Whether it is the selected one.
    pub current: bool,
}

impl WorkspacesDoc {
    /// Describes workspaces by their names.
    pub fn new(names: impl IntoIterator<Item = String>, current: &str) -> Self {
        let described = names.into_iter().map(|name| WorkspaceDoc {
            current: name == current,
            name,
        });
        Self {
            format_version: FORMAT_VERSION,
            workspaces: described.collect(),
        }
    }
}
