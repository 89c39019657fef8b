//! `simdb force-unlock`.

use crate::args::ForceUnlock;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{Project, block_on};
use crate::ui::Ui;
use crate::views::human::style::{BOLD, paint};

/// Frees a lock whose owner cannot.
pub(super) fn run(arguments: &ForceUnlock, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let project = Project::open()?;
        let Some(store) = project.store().await? else {
            let path = project.state_path();
            let detail = format!("There is no state at {}, and so no lock.", path.display());
            return Err(CliError::refused("No state", detail));
        };
        if !arguments.force && !confirmed(ui)? {
            ui.tell("\nUnlock cancelled.\n");
            return Ok(Exit::Failed);
        }
        let owner = store.force_unlock(&arguments.id).await?;
        ui.tell(&format!(
            "Freed the lock that {} held for {} since {}.\n",
            owner.who, owner.operation, owner.since
        ));
        Ok(Exit::Done)
    })
}

fn confirmed(ui: &Ui) -> Result<bool, CliError> {
    let nobody = || {
        CliError::refused(
            "Nobody to ask",
            "Standard input is not a terminal. To free the lock anyway, add -force.",
        )
    };
    if !ui.terminal.interactive {
        return Err(nobody());
    }
    ui.tell(&format!(
        "{}\n  Its owner, should it still work, can write no more from then on.\n  Only 'yes' will be accepted to confirm.\n\n",
        paint(BOLD, "Do you really want to free the lock?")
    ));
    let typed = ui
        .ask(&format!("  {}: ", paint(BOLD, "Enter a value")))
        .map_err(CliError::Input)?;
    Ok(typed.ok_or_else(nobody)?.trim() == "yes")
}
