//! `simdb console`: an expression in, its value as a configuration would write it out.

use std::sync::Arc;

use simdb_state::object::State;
use simdb_state::sensitive::Secrets;

use crate::diagnostic::Diagnostic;

use super::Config;
use super::convert;
use super::eval;
use super::files::Files;
use super::parse::{self, syntax_error};
use super::source::Place;
use super::token::{self, Unclosed};
use super::value::{Kind, Value};

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
        let objects = self.outputs.objects(&self.desired, state, secrets);
        let names = self.outputs.names(&objects);
        let mut diagnostics = Vec::new();
        let value = eval::evaluate(&expression, &names, &place, &mut diagnostics);
        (value.map(|value| shown(&value, 0)), diagnostics)
    }
}

/// Returns whether a text goes on in the next line: a bracket, a string or a heredoc is open.
pub fn is_unfinished(text: &str) -> bool {
    let tokens = token::tokenize(text);
    let is_open = |unclosed: &Unclosed| matches!(unclosed, Unclosed::Heredoc(_) | Unclosed::Comment(_));
    tokens.unclosed.iter().any(is_open) || tokens.tokens.iter().map(token::Token::nesting).sum::<i32>() > 0
}

/// Writes a value as a configuration does, over several lines where it has parts.
fn shown(value: &Value, indent: usize) -> String {
    if value.sensitive {
        return "(sensitive value)".to_owned();
    }
    let line = |text: String| format!("{}{text},\n", " ".repeat(indent + 2));
    let end = " ".repeat(indent);
    match &value.kind {
        Kind::Null => "null".to_owned(),
        Kind::Unknown => "(known after apply)".to_owned(),
        Kind::Bool(_) | Kind::Number(_) => convert::to_text(value).unwrap_or_default(),
        Kind::String(text) => string(text, indent),
        Kind::List(parts) | Kind::Set(parts) => {
            let items: String = parts.items.iter().map(|item| line(shown(item, indent + 2))).collect();
            let list = if items.is_empty() {
                "[]".to_owned()
            } else {
                format!("[\n{items}{end}]")
            };
            match &value.kind {
                Kind::Set(_) => format!("toset({list})"),
                _ if parts.uniform => format!("tolist({list})"),
                _ => list,
            }
        }
        Kind::Object(parts) => {
            let item = |(key, item): (&String, &Value)| {
                let key = quoted(key);
                format!("{}{key} = {}\n", " ".repeat(indent + 2), shown(item, indent + 2))
            };
            let items: String = parts.items.iter().map(item).collect();
            let object = if items.is_empty() {
                "{}".to_owned()
            } else {
                format!("{{\n{items}{end}}}")
            };
            if parts.uniform {
                format!("tomap({object})")
            } else {
                object
            }
        }
    }
}

/// Writes text in quotes, or as a heredoc where it has lines.
fn string(text: &str, indent: usize) -> String {
    let is_plain = |c: char| c == '\n' || !c.is_control();
    if indent > 0 || !text.trim_end_matches('\n').contains('\n') || !text.chars().all(is_plain) {
        return quoted(text);
    }
    let body = text.strip_suffix('\n').unwrap_or(text);
    let mut marker = "EOT".to_owned();
    while body.lines().any(|line| line.trim() == marker) {
        marker.push('_');
    }
    format!(
        "<<{marker}\n{}\n{marker}",
        body.replace("${", "$${").replace("%{", "%%{")
    )
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => out.push(c),
        }
    }
    out.push('"');
    out.replace("${", "$${").replace("%{", "%%{")
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

    #[test]
    fn a_text_goes_on_where_something_is_open() {
        for (text, unfinished) in [
            ("[1,", true),
            ("[1]", false),
            ("<<EOT\na", true),
            ("\"a", false),
            ("f(\"${", true),
        ] {
            assert_eq!(is_unfinished(text), unfinished, "{text}");
        }
    }
}
