//! `simdb state`.

mod mv;
mod transfer;

use std::time::Duration;

use simdb_planner::planner::scope::Pattern;
use simdb_state::address::Address;
use simdb_state::delta::{Delta, Edit};
use simdb_state::secret::{FORMER, KeySource, NEW_PASSPHRASE_VARIABLE, PASSPHRASE_VARIABLE};
use simdb_state::store::{Entry, Writer};

use super::show::recorded;
use crate::approval;
use crate::args::{State, StateList, StateRekey, StateRepair, StateRm, StateShow};
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{Project, block_on};
use crate::target::unknown;
use crate::ui::Ui;
use crate::views::doc::ObjectDoc;
use crate::views::human;
use crate::views::human::text::count;
use crate::views::json::document;

/// How the lock's holder is shown while objects are forgotten.
const REMOVAL: &str = "state rm";

/// How the lock's holder is shown while a repair goes on.
const REPAIR: &str = "state repair";

/// How the lock's holder is shown while the secrets are locked by another key.
const REKEY: &str = "state rekey";

/// Looks into the state, or repairs it.
pub(super) fn run(command: &State, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        match command {
            State::List(arguments) => list(arguments, ui).await,
            State::Pull => transfer::pull(ui).await,
            State::Push(arguments) => transfer::push(arguments, ui).await,
            State::Show(arguments) => show(arguments, ui).await,
            State::Mv(arguments) => mv::run(arguments, ui).await,
            State::Rm(arguments) => forget(arguments, ui).await,
            State::Repair(arguments) => repair(arguments, ui).await,
            State::Rekey(arguments) => rekey(arguments, ui).await,
        }
    })
}

async fn list(arguments: &StateList, ui: &Ui) -> Result<Exit, CliError> {
    let mut state = recorded().await?;
    let patterns: Vec<Pattern> = arguments.addresses.iter().map(|given| Pattern::new(given)).collect();
    let covered = |pattern: &Pattern, object: &ObjectDoc| pattern.covers(&object.address.to_string());
    if let Some(pattern) = patterns
        .iter()
        .find(|pattern| !state.objects.iter().any(|object| covered(pattern, object)))
    {
        let all = state.objects.iter().map(|object| object.address.to_string());
        return Err(unknown("recorded object", pattern.as_str(), all));
    }
    if !patterns.is_empty() {
        state
            .objects
            .retain(|object| patterns.iter().any(|pattern| covered(pattern, object)));
        state.outputs.clear();
    }
    let lines = state.objects.iter().map(|object| format!("{}\n", object.address));
    ui.answer(&if arguments.json {
        document(&state)
    } else {
        lines.collect()
    });
    Ok(Exit::Done)
}

async fn show(arguments: &StateShow, ui: &Ui) -> Result<Exit, CliError> {
    let StateShow { address, json } = arguments;
    let state = recorded().await?;
    let found = state.objects.iter().find(|object| object.address == *address);
    let object = found.ok_or_else(|| {
        let all = state.objects.iter().map(|object| &object.address);
        unknown("recorded object", &address.to_string(), all.map(Address::to_string))
    })?;
    ui.answer(&if *json {
        document(object)
    } else {
        human::state::object(object)
    });
    Ok(Exit::Done)
}

/// Forgets what is recorded of objects within servers. They stay as they are.
async fn forget(arguments: &StateRm, ui: &Ui) -> Result<Exit, CliError> {
    let state = recorded().await?;
    for address in &arguments.addresses {
        let all = || state.objects.iter().map(|object| object.address.to_string());
        if !all().any(|known| known == address.to_string()) {
            return Err(unknown("recorded object", &address.to_string(), all()));
        }
        if !matches!(address, Address::User(_) | Address::Database(_) | Address::Seed(_)) {
            let detail = format!(
                "{address} runs under the care of simdb: forgotten, the next plan would remove it as a leftover. Only users, \
                 databases and seeds can be forgotten. To remove it, leave it out of the configuration, or run: simdb destroy"
            );
            return Err(CliError::refused("Address cannot be forgotten", detail));
        }
    }
    let lines = arguments.addresses.iter().map(|address| format!("{address}\n"));
    let addresses = lines.collect::<String>();
    if arguments.dry_run {
        ui.answer(&format!("Would forget:\n{addresses}"));
        return Ok(Exit::Done);
    }
    let Some(store) = Project::open()?.store().await? else {
        return Ok(Exit::Done);
    };
    let mut writer = store.lock(REMOVAL, Duration::ZERO).await?;
    let copy = writer.back_up().await?;
    let drops = arguments.addresses.iter().cloned().map(Edit::Drop);
    let done = writer.commit(&[Entry::Found(Delta(drops.collect()))]).await;
    let unlocked = writer.unlock().await;
    done?;
    unlocked?;
    ui.answer(&format!("Forgot:\n{addresses}"));
    if let Some(copy) = copy {
        ui.tell(&format!("A copy of the state as it was: {}\n", copy.display()));
    }
    Ok(Exit::Done)
}

async fn repair(arguments: &StateRepair, ui: &Ui) -> Result<Exit, CliError> {
    let Some(store) = Project::open()?.store().await? else {
        ui.tell("There is no state, and so nothing to repair.\n");
        return Ok(Exit::Done);
    };
    let mut writer = store.lock(REPAIR, Duration::ZERO).await?;
    let done = drop_dangling(&mut writer, arguments, ui).await;
    let unlocked = writer.unlock().await;
    let exit = done?;
    unlocked?;
    Ok(exit)
}

async fn drop_dangling(writer: &mut Writer, arguments: &StateRepair, ui: &Ui) -> Result<Exit, CliError> {
    let dangling = writer.dangling().await?;
    if dangling.is_empty() {
        ui.tell("Nothing belongs to something that is not recorded.\n");
        return Ok(Exit::Done);
    }
    let lines = dangling.iter().map(|one| format!("  - {one}\n"));
    ui.answer(&lines.collect::<String>());
    let question = "Do you want to remove these from the state?";
    let consequence = "Only the record changes; what still lies on disk is shown by the next plan.";
    if !arguments.force && !approval::confirm(ui, question, consequence)? {
        ui.tell("\nRepair cancelled.\n");
        return Ok(Exit::Failed);
    }
    writer.remove(&dangling).await?;
    ui.tell(&format!("Removed {}.\n", count(dangling.len(), "row")));
    Ok(Exit::Done)
}

async fn rekey(arguments: &StateRekey, ui: &Ui) -> Result<Exit, CliError> {
    let Some(store) = Project::open()?.store().await? else {
        ui.tell("There is no state, and so no key of one.\n");
        return Ok(Exit::Done);
    };
    let next = KeySource::next_from_environment().map_err(CliError::Keys)?;
    let file = next.file(store.lineage());
    let by = match &next.passphrase {
        Some(_) => format!("the passphrase in {NEW_PASSPHRASE_VARIABLE}"),
        None => format!("a new key file, {}", file.display()),
    };
    // Whoever cannot read them need not be asked.
    store
        .secrets()
        .await
        .map_err(|error| CliError::Rekey(Box::new(error)))?;
    let question = format!("Do you want to lock the secrets of the state by {by}?");
    let consequence = "What they are locked by now opens nothing then but copies of the state from before.";
    if !arguments.force && !approval::confirm(ui, &question, consequence)? {
        ui.tell("\nRekey cancelled.\n");
        return Ok(Exit::Failed);
    }
    let former = file.with_extension(FORMER);
    store.lock(REKEY, Duration::ZERO).await?.rekey(&next).await?;
    ui.tell(&format!("The secrets are locked by {by}.\n"));
    if next.passphrase.is_some() {
        ui.tell(&format!("Set {PASSPHRASE_VARIABLE} to it from now on.\n"));
    }
    if former.exists() {
        ui.tell(&format!(
            "Copies of the state from before are opened by the former key file: {}\nRemove it when there are none.\n",
            former.display()
        ));
    }
    Ok(Exit::Done)
}
