//! `simdb state`.

use simdb_state::address::Address;

use super::show::recorded;
use crate::args::{State, StateShow};
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::block_on;
use crate::target::unknown;
use crate::ui::Ui;
use crate::views::human;
use crate::views::json::document;

/// Looks into the state.
pub(super) fn run(command: &State, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let state = recorded().await?;
        match command {
            State::List => {
                let lines = state.objects.iter().map(|object| format!("{}\n", object.address));
                ui.answer(&lines.collect::<String>());
            }
            State::Show(StateShow { address, json }) => {
                let found = state.objects.iter().find(|object| object.address == *address);
                let object = found.ok_or_else(|| {
                    let all = state
                        .objects
                        .iter()
                        .map(|object: &crate::views::doc::ObjectDoc| &object.address);
                    unknown("recorded object", &address.to_string(), all.map(Address::to_string))
                })?;
                ui.answer(&if *json {
                    document(object)
                } else {
                    human::state::object(object)
                });
            }
        }
        Ok(Exit::Done)
    })
}
