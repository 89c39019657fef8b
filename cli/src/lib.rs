//! The command line: arguments, the operations every caller shares, and how they are shown.
//!
//! ```text
//!   argv ─► args ─► commands ─► session (files, state, platform) ─► ops (refresh, plan, apply)
//!                      │                                                 │
//!                      └──── views: documents ─► human | JSON ◄──────────┘ ─► ui ─► terminal
//! ```
//!
//! The answer to what was asked goes to standard output: a plan, a document, a table, outputs. Everything else
//! (diagnostics, prompts, progress, closing remarks) goes to standard error. Nothing outside `ui` writes to either.

mod approval;
pub mod args;
mod commands;
mod error;
pub mod exit;
mod file;
mod interrupt;
pub mod monitor;
mod ops;
mod pin;
mod policy;
mod reference;
#[cfg(test)]
mod rehearsal;
mod request;
mod saved;
mod session;
mod target;
#[cfg(feature = "testing")]
pub mod testing;
mod ui;
pub mod views;

use std::ffi::OsString;

use clap::error::ErrorKind;

use crate::exit::Exit;
use crate::ui::Ui;
use crate::views::doc::DiagnosticDoc;
use crate::views::human::diagnostic;
use crate::views::json;

/// Runs the program with a command line, program name included.
pub fn run(argv: impl IntoIterator<Item = OsString>) -> Exit {
    let argv: Vec<OsString> = argv.into_iter().collect();
    let arguments = match args::parse(argv.clone()) {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error, &argv),
    };
    let ui = Ui::of_process(arguments.global.no_color);
    let exit = commands::run(arguments, &ui);
    ui.close(exit)
}

/// Shows help where it was asked for, or where nothing was said, and otherwise what is wrong with the command line.
fn refuse(error: &clap::Error, argv: &[OsString]) -> Exit {
    let ui = Ui::of_process(false);
    let text = || error.render().ansi().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            ui.answer(&text());
            return ui.close(Exit::Done);
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => ui.tell(&text()),
        _ => {
            let document = DiagnosticDoc::unplaced(&args::usage::diagnostic(error));
            match args::json::asked_for(argv) {
                Some(shape) => json::failure(&ui, shape, &[document]),
                None => ui.tell(&diagnostic::render(&document, ui.terminal.width)),
            }
        }
    }
    ui.close(Exit::Failed)
}
