//! What files hold that a configuration refers to with functions: read when the planner asks for it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use simdb_planner::config::{self, Config, Files, Found, Options, Source, VariableInput, Wanted};
use simdb_planner::diagnostic::Diagnostic;

use super::modules;
use super::workspace::Workspace;

/// How many bytes a file may have that a function reads.
const MAX_SIZE: u64 = 16 << 20;

/// How many files are listed below a directory at most.
const MAX_NAMES: usize = 100_000;

/// How often the planner may ask: a path can depend on what another file holds.
const MAX_ROUNDS: usize = 50;

/// What a configuration may refer to beside its own text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ground<'a> {
    /// The directory that paths start in: that of the configuration.
    pub(crate) directory: &'a Path,
    /// The workspace that is selected.
    pub(crate) workspace: &'a Workspace,
}

/// Loads a configuration together with the files that it refers to. The texts of modules are added to what diagnostics are
/// shown with.
pub(crate) fn load(
    ground: Ground<'_>,
    source: &Source,
    inputs: &[VariableInput],
    is_lenient: bool,
    everything: &mut Source,
) -> (Option<Config>, Vec<Diagnostic>) {
    let Some((config, diagnostics, files)) = with_all(ground, source, inputs, is_lenient) else {
        let detail = format!("What one file holds leads to another one, and that more than {MAX_ROUNDS} times.");
        return (None, vec![Diagnostic::error("Too many files", detail)]);
    };
    let is_module = |(path, _): &(&str, &str)| path.rsplit('/').next().is_some_and(config::is_configuration);
    for (path, text) in files.texts().filter(is_module) {
        everything.add(path, text);
    }
    (config, diagnostics)
}

/// Returns the repositories that modules of a configuration come from, as far as it can be read.
pub(crate) fn repositories(ground: Ground<'_>, source: &Source) -> BTreeSet<String> {
    let loaded = with_all(ground, source, &[], true);
    loaded.map_or_else(BTreeSet::new, |(_, _, files)| {
        files.repositories().map(str::to_owned).collect()
    })
}

/// Loads a configuration with all files that it asks for; nothing where it asks for ever more.
fn with_all(
    ground: Ground<'_>,
    source: &Source,
    inputs: &[VariableInput],
    is_lenient: bool,
) -> Option<(Option<Config>, Vec<Diagnostic>, Arc<Files>)> {
    let mut files = new(ground);
    for _ in 0..MAX_ROUNDS {
        let shared = Arc::new(files);
        let options = Options {
            variables: inputs,
            files: &shared,
            is_lenient,
        };
        let (config, diagnostics) = config::load_with(source, &options);
        let wanted = shared.take_wanted();
        if wanted.is_empty() {
            return Some((config, diagnostics, shared));
        }
        drop(config);
        files = Arc::into_inner(shared).expect("only the configuration shared the files");
        for wanted in wanted {
            hand_in(ground.directory, wanted, &mut files);
        }
    }
    None
}

/// Runs something with a configuration, and again whenever it asked for files that had not been read.
pub(crate) fn with_files<T>(ground: Ground<'_>, config: &mut Config, run: impl Fn(&Config) -> T) -> T {
    let mut files = new(ground);
    for _ in 0..MAX_ROUNDS {
        let shared = Arc::new(files);
        config.set_files(Arc::clone(&shared));
        let result = run(config);
        let wanted = shared.take_wanted();
        config.set_files(Arc::default());
        files = Arc::into_inner(shared).expect("only the configuration shared the files");
        if wanted.is_empty() {
            return result;
        }
        for wanted in wanted {
            hand_in(ground.directory, wanted, &mut files);
        }
    }
    run(config)
}

/// Makes files of which none has been read.
fn new(ground: Ground<'_>) -> Files {
    let home = std::env::var_os("HOME").and_then(|home| home.into_string().ok());
    Files::new(ground.directory.to_string_lossy(), home).in_workspace(ground.workspace.to_string())
}

/// Reads what is asked for.
fn hand_in(directory: &Path, wanted: Wanted, files: &mut Files) {
    match wanted {
        Wanted::File(path) => {
            let found = read(&directory.join(&path));
            files.add(path, found);
        }
        Wanted::Names(path) => {
            let mut names = Vec::new();
            let listed = list(&directory.join(&path), "", &mut names);
            names.sort();
            files.add_names(path, listed.map(|()| names));
        }
        Wanted::Entries(path) => files.add_entries(&path, entries(&directory.join(&path))),
        Wanted::Checkout(source) => {
            let found = modules::checkout(directory, &source);
            files.add_checkout(source, found);
        }
    }
}

fn read(path: &Path) -> Found {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Found::Nothing,
        Err(error) => Found::Unreadable(error.to_string()),
        Ok(metadata) if metadata.is_dir() => Found::Directory,
        Ok(metadata) if !metadata.is_file() => Found::Unreadable("it is no regular file".to_owned()),
        Ok(metadata) if metadata.len() > MAX_SIZE => {
            Found::Unreadable(format!("it is larger than {} MB", MAX_SIZE >> 20))
        }
        Ok(_) => std::fs::read(path).map_or_else(|error| Found::Unreadable(error.to_string()), Found::File),
    }
}

/// Returns the names of the files in a directory, in order. A directory that is not there holds none.
fn entries(directory: &Path) -> Result<Vec<String>, String> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.to_string()),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        names.extend(entry.file_name().into_string().ok().filter(|_| entry.path().is_file()));
    }
    names.sort();
    Ok(names)
}

/// Collects the files below a directory. A directory that is not there holds none.
fn list(directory: &Path, prefix: &str, names: &mut Vec<String>) -> Result<(), String> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.to_string()),
    };
    for entry in entries {
        let entry = entry.map_err(|error| error.to_string())?;
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let kind = entry.file_type().map_err(|error| error.to_string())?;
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            list(&entry.path(), &format!("{name}/"), names)?;
        } else if entry.path().is_file() {
            names.push(name);
        }
        if names.len() > MAX_NAMES {
            return Err(format!("it holds more than {MAX_NAMES} files"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use simdb_state::object::State;
    use simdb_state::sensitive::Secrets;

    use super::*;

    fn in_default<'a>(directory: &'a Path, workspace: &'a Workspace) -> Ground<'a> {
        Ground { directory, workspace }
    }

    #[test]
    fn the_configurations_among_the_examples_are_valid() {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        let (mut checked, workspace) = (0, Workspace::default());
        for entry in std::fs::read_dir(examples).unwrap() {
            let directory = entry.unwrap().path();
            let source = crate::session::files::configuration(&directory).unwrap();
            if source.files().next().is_none() {
                continue;
            }
            let ground = in_default(&directory, &workspace);
            let (config, diagnostics) = load(ground, &source, &[], true, &mut Source::default());
            assert!(
                config.is_some() && diagnostics.is_empty(),
                "{directory:?} {diagnostics:?}"
            );
            checked += 1;
        }
        assert!(checked >= 2, "{checked}");
    }

    #[test]
    fn files_that_functions_name_are_read() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("sql")).unwrap();
        std::fs::write(directory.path().join("sql/a.sql"), "select 1;").unwrap();
        std::fs::write(directory.path().join("name"), "sql/a.sql\n").unwrap();
        let mut source = Source::default();
        let text = "locals {\n  a = file(chomp(file(\"name\")))\n}\noutput \"all\" {\n  value = [local.a, fileset(\".\", \"**/*.sql\"), \
                    fileexists(\"b\")]\n}\n";
        source.add("main.simdb.hcl", text);
        let workspace = Workspace::default();
        let ground = in_default(directory.path(), &workspace);
        let (config, diagnostics) = load(ground, &source, &[], false, &mut Source::default());
        assert_eq!(diagnostics, Vec::new());
        let (outputs, _) = config.unwrap().outputs(&State::default(), &Secrets::new());
        let value = outputs["all"].value.as_ref().map(ToString::to_string);
        assert_eq!(value.as_deref(), Some("[\"select 1;\",[\"sql/a.sql\"],false]"));
    }
}
