//! `simdb docs`.

use std::fs;
use std::io;
use std::path::Path;

use crate::args::Docs;
use crate::error::CliError;
use crate::exit::Exit;
use crate::reference;
use crate::ui::Ui;

/// Writes the reference of the language into a directory.
pub(super) fn run(arguments: &Docs, ui: &Ui) -> Result<Exit, CliError> {
    let directory = &arguments.directory;
    let failed = |path: &Path, source: io::Error| CliError::Write {
        path: path.to_owned(),
        source,
    };
    fs::create_dir_all(directory).map_err(|error| failed(directory, error))?;
    for (name, text) in reference::files() {
        let path = directory.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, error))?;
        ui.answer(&format!("{}\n", path.display()));
    }
    Ok(Exit::Done)
}
