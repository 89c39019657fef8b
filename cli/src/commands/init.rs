//! `simdb init`.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::args::Init;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{Project, block_on, contents, modules};
use crate::ui::Ui;
use crate::views::human::diagnostic;
use crate::views::human::style::{BOLD, GOOD, paint};

/// What a starter configuration is called.
const NAME: &str = "main.simdb.hcl";
/// A starter configuration.
const STARTER: &str = include_str!("init/main.simdb.hcl");
/// What to do with a configuration.
const NEXT: &str = "
Next:
    simdb plan      show what would be done
    simdb apply     do it
    simdb status    see how the clusters are
";

/// Writes a starter configuration where there is none; gets the modules of the one that is there, and checks it.
pub(super) fn run(arguments: &Init, ui: &Ui) -> Result<Exit, CliError> {
    let project = Project::open()?;
    if project.source.files().next().is_none() {
        write(Path::new(NAME))?;
        ui.tell(&format!(
            "{} It declares a primary with two standbys, and its comments say what else there is.\n{NEXT}",
            paint(GOOD.bold(), format!("Wrote {NAME}."))
        ));
        return Ok(Exit::Done);
    }
    get_modules(&project, arguments.upgrade, ui)?;
    let (config, diagnostics) = project.check(&[], true)?;
    if config.is_none() {
        return Err(CliError::Diagnosed(diagnostics));
    }
    ui.tell(&diagnostic::render_all(&diagnostics, ui.terminal.width));
    let names: Vec<&str> = project.source.files().map(|(name, _)| name).collect();
    ui.tell(&format!(
        "There is a configuration already ({}), and it is {}. Nothing was written.\n{NEXT}",
        names.join(", "),
        paint(BOLD, "valid")
    ));
    Ok(Exit::Done)
}

/// Gets the repositories that modules come from, those that modules of theirs come from included, and pins their commits.
fn get_modules(project: &Project, upgrade: bool, ui: &Ui) -> Result<(), CliError> {
    let directory = &project.directory;
    let mut lock = modules::read_lock(directory)?;
    let mut got = BTreeSet::new();
    loop {
        let sources = contents::repositories(project.ground(), &project.source);
        let Some(source) = sources.difference(&got).next() else {
            if !got.is_empty() {
                lock.commits.retain(|source, _| sources.contains(source));
                modules::write_lock(directory, &lock)?;
            }
            return Ok(());
        };
        let pinned = lock.commits.get(source).filter(|_| !upgrade).cloned();
        block_on(async {
            let commit = modules::get(directory, source, pinned.as_deref()).await?;
            ui.tell(&format!("Module {source} is at commit {commit}.\n"));
            lock.commits.insert(source.clone(), commit);
            Ok(Exit::Done)
        })?;
        modules::write_lock(directory, &lock)?;
        got.insert(source.clone());
    }
}

/// Writes the starter; never over a file that somebody else wrote a moment ago.
fn write(path: &Path) -> Result<(), CliError> {
    let opened = OpenOptions::new().write(true).create_new(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(STARTER.as_bytes()));
    written.map_err(|source| CliError::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use simdb_planner::config::{self, Source};

    use super::*;

    #[test]
    fn the_starter_is_valid_and_in_canonical_style() {
        let mut source = Source::default();
        source.add(NAME, STARTER);
        let (configuration, diagnostics) = config::load(&source, &[]);
        assert!(configuration.is_some() && diagnostics.is_empty(), "{diagnostics:?}");
        assert_eq!(config::format(NAME, STARTER).unwrap(), STARTER);
    }
}
