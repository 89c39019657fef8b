//! `simdb validate`.

use simdb_state::object::State;
use simdb_state::store::Store;

use crate::args::{Validate, ValidateFormat, VariableArgument};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ops::beforehand;
use crate::session::{self, Project, block_on};
use crate::ui::Ui;
use crate::views::doc::{DiagnosticDoc, ValidationDoc};
use crate::views::github;
use crate::views::human::diagnostic;
use crate::views::human::style::{GOOD, paint};
use crate::views::json::document;

/// Reads the configuration and says all that is wrong with it; variables need no values. Where its platforms are asked, they do.
pub(super) fn run(arguments: &Validate, ui: &Ui) -> Exit {
    let checked = Project::open().and_then(|project| {
        if arguments.platform {
            asked(&project, &arguments.variables.0)
        } else {
            project.check(&arguments.variables.0, true).map(|(_, found)| found)
        }
    });
    let validation = ValidationDoc::new(checked.unwrap_or_else(CliError::into_documents));
    if arguments.json || arguments.output == ValidateFormat::Json {
        ui.answer(&document(&validation));
    } else if arguments.output == ValidateFormat::Github {
        ui.answer(&github::commands(&validation.diagnostics));
    } else {
        ui.tell(&diagnostic::render_all(&validation.diagnostics, ui.terminal.width));
        if validation.valid {
            ui.answer(&format!(
                "{} The configuration is valid.\n",
                paint(GOOD.bold(), "Success!")
            ));
        }
    }
    if validation.valid { Exit::Done } else { Exit::Failed }
}

/// Reads the configuration, and asks its platforms whether they would make what is declared and not on record.
fn asked(project: &Project, variables: &[VariableArgument]) -> Result<Vec<DiagnosticDoc>, CliError> {
    let (config, mut found) = project.load(variables)?;
    let mut desired = config.desired;
    let told = block_on(async {
        let store = project.store().await?;
        let recorded = match &store {
            Some(store) => {
                let snapshot = store.snapshot().await?;
                session::keep_providers(&mut desired, &snapshot);
                snapshot.state
            }
            None => State::default(),
        };
        let platforms = session::platforms(&recorded, &desired);
        let world = project.world(store.as_ref().map(Store::lineage), &desired.local, platforms);
        Ok(beforehand::judge(&world, &desired, &recorded).await)
    })?;
    found.extend(told.iter().map(DiagnosticDoc::unplaced));
    Ok(found)
}
