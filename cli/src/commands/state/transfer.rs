//! `simdb state pull` and `simdb state push`: the state as a document, for a copy elsewhere and back.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use simdb_providers::executor::chain;
use simdb_state::transfer::{Transfer, TransferError};

use crate::args::StatePush;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Project;
use crate::ui::Ui;
use crate::views::human::text::count;
use crate::views::json::document;

/// How the lock's holder is shown while the state is replaced.
const PUSH: &str = "state push";

/// Writes the state to standard output.
pub(super) async fn pull(ui: &Ui) -> Result<Exit, CliError> {
    let Some(store) = Project::open()?.store().await? else {
        return Err(CliError::refused(
            "No state",
            "Nothing is recorded here yet, so there is nothing to pull.",
        ));
    };
    ui.answer(&document(&store.pull().await?));
    Ok(Exit::Done)
}

/// Replaces the state, of which a copy is kept; where there is none it is made.
pub(super) async fn push(arguments: &StatePush, ui: &Ui) -> Result<Exit, CliError> {
    let transfer = read(&arguments.file)?;
    let project = Project::open()?;
    let told = count(transfer.objects(), "object");
    let serial = transfer.serial;
    let Some(store) = project.store().await? else {
        if !arguments.dry_run {
            project.create_store_from(&transfer).await?;
        }
        let verb = if arguments.dry_run { "Would record" } else { "Recorded" };
        ui.answer(&format!("{verb} {told}, serial {serial}, in a new state.\n"));
        return Ok(Exit::Done);
    };
    if arguments.dry_run {
        store.check(&transfer, arguments.force).await?;
        ui.answer(&format!("Would record {told}, serial {serial}.\n"));
        return Ok(Exit::Done);
    }
    let writer = store.lock(PUSH, Duration::ZERO).await?;
    let copy = writer.back_up().await?;
    writer.push(&transfer, arguments.force).await?;
    ui.answer(&format!("Recorded {told}, serial {serial}.\n"));
    if let Some(copy) = copy {
        ui.tell(&format!("A copy of the state as it was: {}\n", copy.display()));
    }
    Ok(Exit::Done)
}

fn read(file: &Path) -> Result<Transfer, CliError> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|source| CliError::Read {
        path: file.to_owned(),
        source,
    })?;
    let refused = |reason: String| {
        let detail = format!("{} {reason}. Nothing was written.", file.display());
        CliError::refused("State cannot be pushed", detail)
    };
    let foreign = |error: serde_json::Error| refused(format!("is not what simdb state pull writes: {error}"));
    let transfer: Transfer = serde_json::from_str(&text).map_err(foreign)?;
    let unusable = |error: TransferError| refused(format!("is no state that can be read: {}", chain(&error)));
    transfer.validate().map_err(unusable)?;
    Ok(transfer)
}
