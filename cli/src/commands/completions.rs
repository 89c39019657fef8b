//! `simdb completions`.

use clap::CommandFactory;

use crate::args::{Arguments, Completions};
use crate::exit::Exit;
use crate::ui::Ui;

/// Writes a completion script.
pub(super) fn run(arguments: &Completions, ui: &Ui) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Arguments::command(), "simdb", &mut script);
    ui.answer(&String::from_utf8_lossy(&script));
    Exit::Done
}
