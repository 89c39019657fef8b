//! `simdb console`: evaluates expressions, from a terminal or a pipe.

use simdb_planner::config::{self, CONSOLE, Config, Source};
use simdb_planner::diagnostic::Diagnostic;
use simdb_state::object::State;
use simdb_state::sensitive::Secrets;

use crate::args::Console;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::contents::{self, Ground};
use crate::session::{Project, block_on};
use crate::ui::{Lines, Ui};
use crate::views::doc::DiagnosticDoc;
use crate::views::human::diagnostic;

/// Reads expressions to the end of the input and shows the value of each. One that is wrong in a pipe fails the command.
pub(super) fn run(arguments: &Console, ui: &Ui) -> Result<Exit, CliError> {
    let project = Project::open()?;
    let mut config = if project.source.files().next().is_some() {
        project.load(&arguments.variables.0)?.0
    } else {
        Config::default()
    };
    block_on(async {
        let store = project.store().await?;
        let (state, secrets) = match &store {
            Some(store) => (store.snapshot().await?.state, store.secrets().await?),
            None => (State::default(), Secrets::new()),
        };
        answer(project.ground(), &mut config, &state, &secrets, ui)
    })
}

fn answer(
    ground: Ground<'_>,
    config: &mut Config,
    state: &State,
    secrets: &Secrets,
    ui: &Ui,
) -> Result<Exit, CliError> {
    let mut exit = Exit::Done;
    let mut lines = ui.lines(config::is_unfinished).map_err(CliError::Input)?;
    while let Some(text) = read(ui, lines.as_mut())? {
        match text.trim() {
            "" => continue,
            "exit" | "quit" => break,
            _ => {}
        }
        let (value, diagnostics) = contents::with_files(ground, config, |config| {
            config.evaluate(text.trim_end(), state, secrets)
        });
        if let Some(value) = value {
            ui.answer(&format!("{value}\n"));
        }
        if diagnostics.iter().any(Diagnostic::is_error) && !ui.terminal.interactive {
            exit = Exit::Failed;
        }
        let mut source = Source::default();
        source.add(CONSOLE, text);
        let documents = DiagnosticDoc::all(&diagnostics, &source);
        ui.tell(&diagnostic::render_all(&documents, ui.terminal.width));
    }
    Ok(exit)
}

/// Reads an expression: as many lines as it takes until all that it opens is closed.
fn read(ui: &Ui, lines: Option<&mut Lines>) -> Result<Option<String>, CliError> {
    if let Some(lines) = lines {
        return lines.read("> ").map_err(CliError::Input);
    }
    let mut text = String::new();
    loop {
        let prompt = match (ui.terminal.interactive, text.is_empty()) {
            (false, _) => "",
            (true, true) => "> ",
            (true, false) => ": ",
        };
        match ui.ask(prompt).map_err(CliError::Input)? {
            None if text.is_empty() => return Ok(None),
            None => return Ok(Some(text)),
            Some(line) => {
                text.push_str(&line);
                if !config::is_unfinished(&text) {
                    return Ok(Some(text));
                }
                text.push('\n');
            }
        }
    }
}
