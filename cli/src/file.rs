//! Files that are written beside what they replace.

use std::path::Path;

use crate::error::CliError;

/// Replaces a file at once: a reader sees the old text or the new one, also where the writer is killed.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), CliError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let beside = path.with_file_name(name);
    let written = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|source| CliError::Write {
        path: path.to_owned(),
        source,
    })
}
