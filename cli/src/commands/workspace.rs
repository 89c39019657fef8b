//! `simdb workspace`: one configuration with several states.

use std::time::Duration;

use simdb_state::object::State;

use crate::args::{self, WorkspaceDelete, WorkspaceList, WorkspaceNew, WorkspaceSelect};
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::workspace::{self, Workspace};
use crate::session::{Project, block_on};
use crate::ui::Ui;
use crate::views::doc::{StateDoc, WorkspacesDoc};
use crate::views::human::text::count;
use crate::views::json::document;

/// How the lock's holder is shown while a workspace is removed.
const DELETION: &str = "workspace delete";

/// Lists workspaces, or makes, selects and removes one.
pub(super) fn run(command: &args::Workspace, ui: &Ui) -> Result<Exit, CliError> {
    let project = Project::in_working_directory()?;
    match command {
        args::Workspace::List(arguments) => list(&project, arguments, ui),
        args::Workspace::New(arguments) => new(&project, arguments, ui),
        args::Workspace::Select(arguments) => select(&project, arguments, ui),
        args::Workspace::Delete(arguments) => delete(&project, arguments, ui),
        args::Workspace::Show => {
            ui.answer(&format!("{}\n", project.workspace()));
            Ok(Exit::Done)
        }
    }
}

fn list(project: &Project, arguments: &WorkspaceList, ui: &Ui) -> Result<Exit, CliError> {
    let names = project.workspaces()?.into_iter().map(|workspace| workspace.to_string());
    let doc = WorkspacesDoc::new(names, &project.workspace().to_string());
    let lines = doc.workspaces.iter().map(|workspace| {
        let mark = if workspace.current { '*' } else { ' ' };
        format!("{mark} {}\n", workspace.name)
    });
    ui.answer(&if arguments.json {
        document(&doc)
    } else {
        lines.collect()
    });
    Ok(Exit::Done)
}

fn new(project: &Project, arguments: &WorkspaceNew, ui: &Ui) -> Result<Exit, CliError> {
    refuse_override()?;
    let workspace = Workspace::parse(&arguments.name)?;
    if project.has(&workspace)? {
        let detail =
            format!("Workspace \"{workspace}\" is there already. To select it: simdb workspace select {workspace}");
        return Err(CliError::refused("Workspace already exists", detail));
    }
    create(project, &workspace, ui)
}

fn select(project: &Project, arguments: &WorkspaceSelect, ui: &Ui) -> Result<Exit, CliError> {
    refuse_override()?;
    let workspace = Workspace::parse(&arguments.name)?;
    if !project.has(&workspace)? {
        return if arguments.or_create {
            create(project, &workspace, ui)
        } else {
            Err(project.lacks(&workspace))
        };
    }
    if *project.workspace() == workspace {
        ui.tell(&format!("Workspace \"{workspace}\" is selected already.\n"));
    } else {
        workspace.select(&project.directory)?;
        ui.tell(&format!("Switched to workspace \"{workspace}\".\n"));
    }
    Ok(Exit::Done)
}

fn create(project: &Project, workspace: &Workspace, ui: &Ui) -> Result<Exit, CliError> {
    project.create_workspace(workspace)?;
    workspace.select(&project.directory)?;
    ui.tell(&format!(
        "Created and switched to workspace \"{workspace}\"!\n\nIt is empty: it has a state of its own, so a plan sees nothing of what \
         other workspaces made of this configuration.\n"
    ));
    Ok(Exit::Done)
}

fn delete(project: &Project, arguments: &WorkspaceDelete, ui: &Ui) -> Result<Exit, CliError> {
    refuse_override()?;
    let workspace = Workspace::parse(&arguments.name)?;
    if workspace.is_default() {
        let detail = "Every configuration has the workspace \"default\". To remove what it made: simdb destroy";
        return Err(CliError::refused("Workspace cannot be deleted", detail));
    }
    if !project.has(&workspace)? {
        return Err(project.lacks(&workspace));
    }
    if *project.workspace() == workspace {
        let detail = format!(
            "Workspace \"{workspace}\" is the selected one. Select another one first, such as: simdb workspace select default"
        );
        return Err(CliError::refused("Workspace is selected", detail));
    }
    let doomed = project.in_workspace(workspace);
    block_on(async {
        let recorded = match doomed.store().await? {
            Some(store) => {
                // Another command in it finishes first.
                let writer = store.lock(DELETION, Duration::ZERO).await?;
                let recorded = recorded(writer.state());
                writer.unlock().await?;
                recorded
            }
            None => Vec::new(),
        };
        if !recorded.is_empty() && !arguments.force {
            return Err(not_empty(doomed.workspace(), &recorded));
        }
        doomed.remove_workspace().await?;
        ui.tell(&format!("Deleted workspace \"{}\"!\n", doomed.workspace()));
        if !recorded.is_empty() {
            let lost = count(recorded.len(), "object");
            ui.tell(&format!(
                "No state knows {lost} any more. To find the servers among them: simdb ps\n"
            ));
        }
        Ok(Exit::Done)
    })
}

/// Returns the addresses of what is recorded.
fn recorded(state: &State) -> Vec<String> {
    let objects = StateDoc::new(state, 0).objects;
    objects.iter().map(|object| object.address.to_string()).collect()
}

fn not_empty(workspace: &Workspace, recorded: &[String]) -> CliError {
    const SHOWN: usize = 10;
    let shown = recorded.iter().take(SHOWN).map(|address| format!("  - {address}\n"));
    let rest = match recorded.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("  and {more} more\n"),
    };
    let detail = format!(
        "Workspace \"{workspace}\" records:\n{}{rest}\nTo remove these: simdb workspace select {workspace}, then simdb destroy. To \
         delete the workspace and leave them without a state: simdb workspace delete -force {workspace}",
        shown.collect::<String>()
    );
    CliError::refused("Workspace is not empty", detail)
}

/// Refuses to select where the environment selects.
fn refuse_override() -> Result<(), CliError> {
    let Some(name) = workspace::overriding() else {
        return Ok(());
    };
    let detail = format!(
        "The environment variable {} selects workspace {name:?}, whatever else is selected. Unset it first.",
        workspace::VARIABLE
    );
    Err(CliError::refused("Workspace is selected by the environment", detail))
}
