//! `simdb runs`: what the journal keeps of runs.

use simdb_state::store::{RunId, Store};

use crate::args::Runs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{Project, block_on};
use crate::ui::Ui;
use crate::views::doc::{RunDoc, RunsDoc};
use crate::views::human;
use crate::views::json::document;

/// Lists runs, or shows one.
pub(super) fn run(command: &Runs, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let store = Project::open()?.store().await?;
        match command {
            Runs::List { json } => {
                let runs = match &store {
                    Some(store) => store.runs().await?,
                    None => Vec::new(),
                };
                let runs = RunsDoc::new(runs);
                ui.answer(&if *json {
                    document(&runs)
                } else {
                    human::runs::list(&runs, ui.terminal.width)
                });
            }
            Runs::Show { run, json } => {
                let run = found(store.as_ref(), run.as_deref()).await?;
                ui.answer(&if *json {
                    document(&run)
                } else {
                    human::runs::show(&run, ui.terminal.width)
                });
            }
        }
        Ok(Exit::Done)
    })
}

/// Reads the run that is meant.
async fn found(store: Option<&Store>, given: Option<&str>) -> Result<RunDoc, CliError> {
    let nothing = || {
        CliError::refused(
            "No run is kept",
            "There was no apply yet. To see the plan, run: simdb plan",
        )
    };
    let store = store.ok_or_else(nothing)?;
    let runs = store.runs().await?;
    let id = match given {
        // Leading zeros may be left out.
        Some(given) => runs.iter().map(|run| &run.id).find(|id| {
            let number = |text: &str| text.parse::<u64>().ok();
            id.0 == given || (number(given).is_some() && number(&id.0) == number(given))
        }),
        None => runs.first().map(|run| &run.id),
    };
    let unknown = |given: &str| {
        let detail = format!("The journal keeps no run {given:?}. To list those it keeps, run: simdb runs list");
        CliError::refused("Unknown run", detail)
    };
    let id: &RunId = id.ok_or_else(|| given.map_or_else(nothing, unknown))?;
    let report = store.run_report(id).await?;
    report.map(RunDoc::new).ok_or_else(|| unknown(&id.0))
}
