//! The configuration language: text in, [`Desired`] and diagnostics out.

use std::collections::BTreeMap;

use simdb_state::object::State;

use crate::desired::Desired;
use crate::diagnostic::{Diagnostic, Span};

/// The files of a configuration, by name.
#[derive(Clone, Debug, Default)]
pub struct Source {
    files: BTreeMap<String, String>,
}

/// A place in a file as people count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The byte, from 0.
    pub byte: usize,
}

impl Source {
    /// Adds a file under the name that diagnostics call it by.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) {
        self.files.insert(name.into(), text.into());
    }

    /// Returns the files by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Returns where a span starts and ends; nothing where the file is not one of these.
    pub fn positions(&self, _span: &Span) -> Option<(Position, Position)> {
        todo!()
    }

    /// Returns the text of one line, counted from 1, without its end.
    pub fn line(&self, _file: &str, _line: usize) -> Option<&str> {
        todo!()
    }
}

/// A value for a variable, as it came; the last one given for a name counts.
#[derive(Clone, Debug)]
pub struct VariableInput {
    /// The variable.
    pub name: String,
    /// The value: an expression for a variable that is not a string, else the string itself.
    pub text: String,
    /// Where it came from, for messages: `environment variable SIMDB_VAR_x`, `the command line`.
    pub origin: String,
    /// Where it stands, for values from files, whose `text` is always an expression.
    pub span: Option<Span>,
}

/// The `simdb` block: literals only, read even when the rest is broken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Which versions of simdb may use the configuration, as written.
    pub required_version: Option<(String, Span)>,
    /// The path of `state "sqlite"`, relative to the configuration's directory; absent, the default.
    pub state_path: Option<String>,
}

/// A configuration that was read without an error.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The `simdb` block.
    pub settings: Settings,
    /// What is declared.
    pub desired: Desired,
}

/// The value of an `output` block.
#[derive(Clone, Debug, PartialEq)]
pub struct OutputValue {
    /// The value; absent where only an apply can tell.
    pub value: Option<serde_json::Value>,
    /// Whether it may be shown.
    pub sensitive: bool,
    /// The `description` attribute.
    pub description: Option<String>,
}

impl Config {
    /// Evaluates the `output` blocks against a record.
    pub fn outputs(&self, _state: &State) -> (BTreeMap<String, OutputValue>, Vec<Diagnostic>) {
        todo!()
    }
}

/// Reads the `simdb` block alone, so that `state` and `force-unlock` work on a broken configuration.
pub fn settings(_source: &Source) -> (Settings, Vec<Diagnostic>) {
    todo!()
}

/// Parses a file of variable values (`*.simdbvars.hcl`).
pub fn variable_file(_name: &str, _text: &str) -> (Vec<VariableInput>, Vec<Diagnostic>) {
    todo!()
}

/// Reads a configuration. There is a [`Config`] exactly where no diagnostic is an error.
pub fn load(_source: &Source, _variables: &[VariableInput]) -> (Option<Config>, Vec<Diagnostic>) {
    todo!()
}

/// Returns a file in canonical style, or what keeps it from being read.
pub fn format(_name: &str, _text: &str) -> Result<String, Vec<Diagnostic>> {
    todo!()
}
