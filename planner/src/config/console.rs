//! `simdb console`: an expression in, its value as a configuration would write it out.

use std::sync::Arc;

use simdb_language::eval;
use simdb_language::files::Files;
use simdb_language::parse::{self, syntax_error};
use simdb_language::source::Place;
use simdb_language::write::write;
use simdb_state::object::State;
use simdb_state::sensitive::Secrets;

use crate::diagnostic::Diagnostic;

use super::Config;

/// What diagnostics call the text that was typed.
pub const CONSOLE: &str = "<console>";

impl Config {
    /// Lets expressions that are evaluated from now on read other files.
    pub fn set_files(&mut self, files: Arc<Files>) {
        self.outputs.files = files;
    }

    /// Evaluates an expression against a record and its secrets, and returns the value as it is shown.
    pub fn evaluate(&self, text: &str, state: &State, secrets: &Secrets) -> (Option<String>, Vec<Diagnostic>) {
        let place = Place::new(CONSOLE, 0);
        let expression = match parse::expression(text) {
            Ok(expression) => expression,
            Err(error) => return (None, vec![syntax_error(&error, text, &place)]),
        };
        let with = self.outputs.with(&self.desired, state, secrets);
        // What is wrong with the configuration is said where outputs are evaluated.
        let known = self.outputs.known(&with, None, &mut Vec::new());
        let names = self.outputs.names(&known, &with);
        let mut diagnostics = Vec::new();
        let value = eval::evaluate(&expression, &names, &place, &mut diagnostics);
        (value.map(|value| write(&value)), diagnostics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluate(text: &str) -> String {
        let (value, diagnostics) = Config::default().evaluate(text, &State::default(), &Secrets::new());
        value.unwrap_or_else(|| diagnostics.into_iter().map(|problem| problem.summary).collect())
    }

    #[test]
    fn values_are_shown_as_a_configuration_writes_them() {
        for (text, shown) in [
            ("1 + 1", "2"),
            ("2 * 18446744073709551615", "36893488147419103230"),
            ("\"a\\\"b\"", "\"a\\\"b\""),
            ("\"$${x}\"", "\"$${x}\""),
            ("null", "null"),
            ("[]", "[]"),
            ("[1, \"a\"]", "[\n  1,\n  \"a\",\n]"),
            ("{ a = { b = 1 } }", "{\n  \"a\" = {\n    \"b\" = 1\n  }\n}"),
            ("toset([1])", "toset([\n  1,\n])"),
            ("tomap({})", "tomap({})"),
            ("\"a\\nb\\n\"", "<<EOT\na\nb\nEOT"),
            ("{ s = sensitive(1) }", "{\n  \"s\" = (sensitive value)\n}"),
            ("uuid()", "(known after apply)"),
            ("1 +", "Syntax error"),
            ("var.x", "Reference to undeclared input variable"),
        ] {
            assert_eq!(evaluate(text), shown, "{text}");
        }
    }
}
