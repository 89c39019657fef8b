//! `simdb state mv`: records an object at another address. What runs stays as it is.

use std::collections::BTreeSet;
use std::time::Duration;

use simdb_planner::config;
use simdb_state::address::Address;
use simdb_state::object::State;
use simdb_state::relocation::Move;

use crate::args::StateMv;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::Project;
use crate::target::unknown;
use crate::ui::Ui;

/// How the lock's holder is shown while an object moves.
const MOVE: &str = "state mv";

/// Moves an object, and keeps a copy of the state as it was.
pub(super) async fn run(arguments: &StateMv, ui: &Ui) -> Result<Exit, CliError> {
    let moved = Move {
        from: arguments.from.clone(),
        to: arguments.to.clone(),
    };
    let Some(store) = Project::open()?.store().await? else {
        return Err(CliError::refused(
            "No state",
            "Nothing is recorded here yet, so there is nothing to move.",
        ));
    };
    if arguments.dry_run {
        let told = check(&moved, &store.snapshot().await?.state)?;
        ui.answer(&format!("Would move:\n{told}"));
        return Ok(Exit::Done);
    }
    let mut writer = store.lock(MOVE, Duration::ZERO).await?;
    let done = match check(&moved, writer.state()) {
        Ok(told) => {
            let copy = writer.back_up().await?;
            writer.relocate(std::slice::from_ref(&moved)).await?;
            Ok((told, copy))
        }
        Err(refusal) => Err(refusal),
    };
    writer.unlock().await?;
    let (told, copy) = done?;
    ui.answer(&format!("Moved:\n{told}"));
    if let Some(copy) = copy {
        ui.tell(&format!("A copy of the state as it was: {}\n", copy.display()));
    }
    Ok(Exit::Done)
}

/// Returns what moves where, a line for each object; or says why it cannot.
fn check(moved: &Move, recorded: &State) -> Result<String, CliError> {
    let addresses = recorded.addresses();
    let Move { from, to } = moved;
    if !addresses.contains(from) {
        let all = addresses.iter().map(Address::to_string);
        return Err(unknown("recorded object", &from.to_string(), all));
    }
    config::check_move(moved, &BTreeSet::new()).map_err(|detail| CliError::refused("Invalid move", detail))?;
    if addresses.contains(to) {
        let detail = format!("{to} is on record already. Move that away first, or choose another address.");
        return Err(CliError::refused("Invalid move", detail));
    }
    let pairs = addresses.iter().map(|address| (address, moved.relocated(address)));
    let moving = pairs.filter(|(address, to)| *address != to);
    let lines: Vec<String> = moving.map(|(address, to)| format!("{address} -> {to}\n")).collect();
    Ok(lines.concat())
}
