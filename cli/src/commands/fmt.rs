//! `simdb fmt`.

use std::io;
use std::path::{Path, PathBuf};

use simdb_planner::config::{self, Source};
use similar::TextDiff;

use crate::args::Fmt;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::is_configuration;
use crate::ui::Ui;
use crate::views::doc::DiagnosticDoc;

/// How standard input is called in messages.
const INPUT: &str = "<stdin>";

/// Rewrites files in canonical style and names those that change.
pub(super) fn run(arguments: &Fmt, ui: &Ui) -> Result<Exit, CliError> {
    if arguments.paths == [PathBuf::from("-")] {
        return input(arguments, ui);
    }
    let mut changed = false;
    for path in files(&arguments.paths, arguments.recursive)? {
        changed |= file(&path, arguments, ui)?;
    }
    Ok(exit(changed, arguments))
}

fn exit(changed: bool, arguments: &Fmt) -> Exit {
    if changed && arguments.check {
        Exit::Unformatted
    } else {
        Exit::Done
    }
}

/// Writes standard input to standard output, in canonical style.
fn input(arguments: &Fmt, ui: &Ui) -> Result<Exit, CliError> {
    let text = ui.read_input().map_err(CliError::Input)?;
    let formatted = format(INPUT, &text)?;
    match (arguments.diff, arguments.check) {
        (true, _) => ui.answer(&difference(INPUT, &text, &formatted)),
        (false, true) => {}
        (false, false) => ui.answer(&formatted),
    }
    Ok(exit(formatted != text, arguments))
}

fn file(path: &Path, arguments: &Fmt, ui: &Ui) -> Result<bool, CliError> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|source| reading(path, source))?;
    let formatted = format(&name, &text)?;
    if formatted == text {
        return Ok(false);
    }
    if arguments.list {
        ui.answer(&format!("{name}\n"));
    }
    if arguments.diff {
        ui.answer(&difference(&name, &text, &formatted));
    }
    if arguments.write && !arguments.check {
        std::fs::write(path, formatted).map_err(|source| CliError::Write {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(true)
}

fn format(name: &str, text: &str) -> Result<String, CliError> {
    config::format(name, text).map_err(|diagnostics| {
        let mut source = Source::default();
        source.add(name, text);
        CliError::Diagnosed(DiagnosticDoc::all(&diagnostics, &source))
    })
}

fn difference(name: &str, before: &str, after: &str) -> String {
    let (old, new) = (format!("old/{name}"), format!("new/{name}"));
    TextDiff::from_lines(before, after)
        .unified_diff()
        .header(&old, &new)
        .to_string()
}

/// Returns the files that were named, and those of the directories that were, with what is below them where asked for.
fn files(paths: &[PathBuf], recursive: bool) -> Result<Vec<PathBuf>, CliError> {
    let here = [PathBuf::from(".")];
    let mut files = Vec::new();
    for path in if paths.is_empty() { &here } else { paths } {
        if path.is_dir() {
            files.extend(files_of(path, recursive).map_err(|source| reading(path, source))?);
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn files_of(directory: &Path, recursive: bool) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in directory.read_dir()? {
        let entry = entry?;
        let path = entry.path();
        let path = path.strip_prefix(".").unwrap_or(&path);
        // Hidden directories hold what programs keep, such as .git.
        if recursive && entry.file_type()?.is_dir() && !entry.file_name().as_encoded_bytes().starts_with(b".") {
            files.extend(files_of(path, recursive)?);
        } else {
            files.extend(is_configuration(path).then(|| path.to_owned()));
        }
    }
    files.sort();
    Ok(files)
}

fn reading(path: &Path, source: io::Error) -> CliError {
    let path = path.to_owned();
    CliError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stands_for_its_configuration_files() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.simdb.hcl", "a.simdb.hcl", "notes.txt", "x.auto.simdbvars.hcl"] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        std::fs::create_dir(directory.path().join("below")).unwrap();
        std::fs::write(directory.path().join("below/c.simdb.hcl"), "").unwrap();
        let paths = [directory.path().to_owned()];
        assert_eq!(files(&paths, true).unwrap().len(), 4);
        let found = files(&paths, false).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.file_name().unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a.simdb.hcl", "b.simdb.hcl", "x.auto.simdbvars.hcl"]);
    }

    #[test]
    fn a_difference_has_both_names() {
        let text = difference("a.simdb.hcl", "a=1\n", "a = 1\n");
        assert_eq!(
            text,
            "--- old/a.simdb.hcl\n+++ new/a.simdb.hcl\n@@ -1 +1 @@\n-a=1\n+a = 1\n"
        );
    }
}
