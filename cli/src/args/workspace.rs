//! Arguments of `workspace`.

use clap::{Args, Subcommand};

/// Commands of `workspace`.
#[derive(Debug, Subcommand)]
pub enum Workspace {
    /// List the workspaces; * marks the selected one
    List(WorkspaceList),
    /// Make a workspace, and select it
    New(WorkspaceNew),
    /// Select a workspace
    Select(WorkspaceSelect),
    /// Remove a workspace in which nothing is recorded
    Delete(WorkspaceDelete),
    /// Show the name of the selected workspace
    Show,
}

/// Arguments of `workspace list`.
#[derive(Debug, Args)]
pub struct WorkspaceList {
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `workspace new`.
#[derive(Debug, Args)]
pub struct WorkspaceNew {
    /// Its name
    pub name: String,
}

/// Arguments of `workspace select`.
#[derive(Debug, Args)]
pub struct WorkspaceSelect {
    /// Its name
    pub name: String,
    /// Make it where there is none of that name.
    #[arg(long)]
    pub or_create: bool,
}

/// Arguments of `workspace delete`.
#[derive(Debug, Args)]
pub struct WorkspaceDelete {
    /// Its name
    pub name: String,
    /// Remove it although something is recorded in it: servers run on, and no state knows them.
    #[arg(long)]
    pub force: bool,
}
