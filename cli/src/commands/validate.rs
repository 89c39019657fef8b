//! `simdb validate`.

use crate::args::{Validate, ValidateFormat};
use crate::exit::Exit;
use crate::session::Project;
use crate::ui::Ui;
use crate::views::doc::ValidationDoc;
use crate::views::github;
use crate::views::human::diagnostic;
use crate::views::human::style::{GOOD, paint};
use crate::views::json::document;

/// Reads the configuration and says all that is wrong with it; variables need no values.
pub(super) fn run(arguments: &Validate, ui: &Ui) -> Exit {
    let checked = Project::open().and_then(|project| project.check(&arguments.variables.0, true));
    let validation = match checked {
        Ok((_, diagnostics)) => ValidationDoc::new(diagnostics),
        Err(error) => ValidationDoc::new(error.into_documents()),
    };
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
