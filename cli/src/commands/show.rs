//! `simdb show`: what is recorded, or a plan that was saved.

use simdb_state::object::State;

use crate::args::{Format, Show};
use crate::error::CliError;
use crate::exit::Exit;
use crate::saved::SavedPlan;
use crate::session::{Project, block_on};
use crate::ui::Ui;
use crate::views::doc::StateDoc;
use crate::views::human;
use crate::views::json::document;
use crate::views::operation::plan_text;
use crate::views::{github, markdown};

/// Shows everything that is recorded, or a plan.
pub(super) fn run(arguments: &Show, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        if let Some(file) = &arguments.file {
            let store = Project::open()?.store().await?;
            let plan = SavedPlan::read(file, store.as_ref()).await?.document();
            ui.answer(&match arguments.output {
                _ if arguments.json => document(&plan),
                Format::Json => document(&plan),
                Format::Markdown => markdown::plan(&plan),
                Format::Github => github::plan(&plan),
                Format::Human => plan_text(&plan, arguments.viewing, ui),
            });
            return Ok(Exit::Done);
        }
        let state = recorded().await?;
        ui.answer(&if arguments.json {
            document(&state)
        } else {
            human::state::render(&state)
        });
        Ok(Exit::Done)
    })
}

/// Reads what is recorded; without a state that is nothing.
pub(super) async fn recorded() -> Result<StateDoc, CliError> {
    let Some(store) = Project::open()?.store().await? else {
        return Ok(StateDoc::new(&State::default(), 0));
    };
    let snapshot = store.snapshot().await?;
    Ok(StateDoc::new(&snapshot.state, snapshot.serial))
}
