//! The files of a configuration, and where the values of its variables come from.

use std::path::{Path, PathBuf};

use simdb_planner::config::{self, Source, VariableInput};
use simdb_planner::desired::Desired;
use simdb_planner::diagnostic::Diagnostic;

use crate::args::VariableArgument;
use crate::error::CliError;

/// The end of the names of configuration files.
const CONFIGURATION: &str = ".simdb.hcl";
/// The files of values that are always read.
const VALUES: [&str; 2] = ["simdb.simdbvars.hcl", "simdb.simdbvars.json"];
/// The end of the names of files of values that programs write.
const VALUES_JSON: &str = ".json";
/// The end of the names of further files of values that are always read.
const AUTOMATIC_VALUES: [&str; 2] = [".auto.simdbvars.hcl", ".auto.simdbvars.json"];
/// The start of the names of environment variables that hold values.
const ENVIRONMENT: &str = "SIMDB_VAR_";

/// Returns whether a file is part of a configuration, or holds values for one.
pub(crate) fn is_configuration(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    !name.starts_with('.') && (name.ends_with(CONFIGURATION) || name.ends_with(".simdbvars.hcl"))
}

/// Reads the configuration of a directory.
pub(super) fn configuration(directory: &Path) -> Result<Source, CliError> {
    let mut source = Source::default();
    for name in names(directory, config::is_configuration)? {
        source.add(&name, read(&directory.join(&name))?);
    }
    Ok(source)
}

/// Values of variables, the later counting more.
#[derive(Default)]
pub(super) struct Values {
    pub(super) inputs: Vec<VariableInput>,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The files they came from.
    pub(super) source: Source,
}

impl Values {
    /// Takes values that were collected before.
    pub(super) fn of(inputs: Vec<VariableInput>) -> Self {
        Self {
            inputs,
            ..Self::default()
        }
    }

    /// Adds some of the values that were collected elsewhere.
    pub(super) fn add(&mut self, other: Values, is_meant: impl Fn(&VariableInput) -> bool) {
        self.inputs.extend(other.inputs.into_iter().filter(is_meant));
        self.diagnostics.extend(other.diagnostics);
        for (name, text) in other.source.files() {
            self.source.add(name, text);
        }
    }

    fn add_file(&mut self, directory: &Path, name: &str) -> Result<(), CliError> {
        let text = read(&directory.join(name))?;
        let (inputs, diagnostics) = if name.ends_with(VALUES_JSON) {
            config::variable_file_json(name, &text)
        } else {
            config::variable_file(name, &text)
        };
        self.inputs.extend(inputs);
        self.diagnostics.extend(diagnostics);
        self.source.add(name, text);
        Ok(())
    }
}

/// Reads the files that seeds run, and returns what is wrong with them.
pub(super) fn seeds(directory: &Path, desired: &mut Desired, source: &mut Source) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    for (file, named_at) in desired.seed_files() {
        match std::fs::read_to_string(directory.join(&file)) {
            Ok(text) => {
                if let Some(problem) = desired.read_seed(&file, &text) {
                    source.add(&file, text);
                    diagnostics.push(problem);
                }
            }
            Err(error) => {
                let detail = format!(
                    "The file {file:?} cannot be read: {error}. It is looked for in the directory of the configuration, and must \
                     be text in UTF-8."
                );
                diagnostics.push(Diagnostic::error("Seed cannot be read", detail).at(named_at));
            }
        }
    }
    diagnostics
}

/// Collects the values of variables: environment, then files that are always read, then the command line.
pub(super) fn variables(directory: &Path, typed: &[VariableArgument]) -> Result<Values, CliError> {
    let mut values = Values::default();
    values.inputs.extend(environment());
    for name in VALUES {
        if directory.join(name).is_file() {
            values.add_file(directory, name)?;
        }
    }
    for name in names_ending(directory, &AUTOMATIC_VALUES)? {
        values.add_file(directory, &name)?;
    }
    for argument in typed {
        match argument {
            VariableArgument::File(name) => values.add_file(directory, name)?,
            VariableArgument::Value { name, text } => values.inputs.push(VariableInput {
                name: name.clone(),
                text: text.clone(),
                origin: "the command line".to_owned(),
                span: None,
            }),
        }
    }
    Ok(values)
}

fn environment() -> Vec<VariableInput> {
    let input = |(key, text): (std::ffi::OsString, std::ffi::OsString)| {
        let (key, text) = (key.into_string().ok()?, text.into_string().ok()?);
        let name = key.strip_prefix(ENVIRONMENT)?.to_owned();
        Some(VariableInput {
            name,
            text,
            origin: format!("environment variable {key}"),
            span: None,
        })
    };
    let mut inputs: Vec<VariableInput> = std::env::vars_os().filter_map(input).collect();
    inputs.sort_by(|a, b| a.name.cmp(&b.name));
    inputs
}

/// Returns the names of the files of a directory that end so, or so, in order. Hidden ones are editors' and not meant.
fn names_ending(directory: &Path, ends: &[&str]) -> Result<Vec<String>, CliError> {
    names(directory, |name| {
        ends.iter().any(|end| name.ends_with(end)) && !name.starts_with('.')
    })
}

/// Returns the names of the files of a directory that are meant, in order.
fn names(directory: &Path, is_meant: impl Fn(&str) -> bool) -> Result<Vec<String>, CliError> {
    let failed = |source| CliError::Read {
        path: directory.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        names.extend(name.to_str().filter(|name| is_meant(name)).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn read(path: &PathBuf) -> Result<String, CliError> {
    std::fs::read_to_string(path).map_err(|source| CliError::Read {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_and_values_are_told_from_other_files() {
        for (name, expected) in [
            ("main.simdb.hcl", true),
            ("simdb.simdbvars.hcl", true),
            ("x.auto.simdbvars.hcl", true),
            (".main.simdb.hcl", false),
            ("main.simdb.hcl~", false),
            ("main.hcl", false),
        ] {
            assert_eq!(is_configuration(Path::new(name)), expected, "{name}");
        }
    }

    #[test]
    fn later_sources_of_values_come_after_earlier_ones() {
        let directory = tempfile::tempdir().unwrap();
        for (name, value) in [
            ("z.hcl", 4),
            ("simdb.simdbvars.hcl", 1),
            ("b.auto.simdbvars.hcl", 3),
            ("a.auto.simdbvars.hcl", 2),
        ] {
            std::fs::write(directory.path().join(name), format!("x = {value}\n")).unwrap();
        }
        let typed = VariableArgument::Value {
            name: "x".to_owned(),
            text: "5".to_owned(),
        };
        let values = variables(directory.path(), &[VariableArgument::File("z.hcl".to_owned()), typed]).unwrap();
        let inputs = values.inputs.iter().filter(|input| input.name == "x");
        let texts: Vec<&str> = inputs.map(|input| input.text.as_str()).collect();
        assert_eq!(texts, ["1", "2", "3", "4", "5"]);
    }

    #[test]
    fn files_are_found_in_the_order_of_their_names() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "b.auto.simdbvars.hcl",
            "a.auto.simdbvars.hcl",
            ".c.auto.simdbvars.hcl",
            "x.simdb.hcl",
        ] {
            std::fs::write(directory.path().join(name), "").unwrap();
        }
        let names = names_ending(directory.path(), &AUTOMATIC_VALUES).unwrap();
        assert_eq!(names, ["a.auto.simdbvars.hcl", "b.auto.simdbvars.hcl"]);
    }
}
