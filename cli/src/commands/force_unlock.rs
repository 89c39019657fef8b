//! `simdb force-unlock`.

use crate::approval;
use crate::args::ForceUnlock;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{Project, block_on};
use crate::ui::Ui;

/// Frees a lock whose owner cannot.
pub(super) fn run(arguments: &ForceUnlock, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let project = Project::open()?;
        let Some(store) = project.store().await? else {
            let path = project.state_place()?;
            let detail = format!("There is no state at {}, and so no lock.", path.display());
            return Err(CliError::refused("No state", detail));
        };
        let question = "Do you really want to free the lock?";
        let consequence = "Its owner, should it still work, can write no more from then on.";
        if !arguments.force && !approval::confirm(ui, question, consequence)? {
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
