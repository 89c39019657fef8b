//! Says what is wrong with a command line as everything else that is wrong is said: in a diagnostic.

use std::error::Error as _;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use simdb_planner::diagnostic::Diagnostic;

/// Puts a wrong command line into words.
pub(crate) fn diagnostic(error: &Error) -> Diagnostic {
    let command = command(error);
    let name = first(error, ContextKind::InvalidArg);
    let value = first(error, ContextKind::InvalidValue);
    let help = format!("{command} -help");
    match error.kind() {
        ErrorKind::InvalidSubcommand => {
            let typed = first(error, ContextKind::InvalidSubcommand);
            let meant = did_you_mean(&first(error, ContextKind::SuggestedSubcommand));
            Diagnostic::error(
                "Unknown command",
                format!("{command} has no command {typed:?}; {help} lists them.{meant}"),
            )
        }
        ErrorKind::UnknownArgument if name.starts_with('-') => {
            let meant = did_you_mean(&first(error, ContextKind::SuggestedArg));
            Diagnostic::error(
                "Unknown option",
                format!("{command} has no option {name}; {help} lists them.{meant}"),
            )
        }
        ErrorKind::UnknownArgument => Diagnostic::error(
            "Unexpected argument",
            format!("{command} takes no argument {name:?} here; {help} says what it takes."),
        ),
        ErrorKind::MissingRequiredArgument => Diagnostic::error(
            "Missing argument",
            format!(
                "{command} needs {}; {help} says more.",
                all(error, ContextKind::InvalidArg).join(" and ")
            ),
        ),
        ErrorKind::InvalidValue if value.is_empty() => {
            Diagnostic::error("Missing value", format!("{name} needs a value{}.", choice(error)))
        }
        ErrorKind::InvalidValue => {
            let meant = did_you_mean(&first(error, ContextKind::SuggestedValue));
            Diagnostic::error(
                "Wrong value",
                format!("{name} cannot be {value:?}{}.{meant}", choice(error)),
            )
        }
        ErrorKind::ValueValidation => {
            let rule = error.source().map(|rule| format!(": {rule}")).unwrap_or_default();
            Diagnostic::error("Wrong value", format!("{name} cannot be {value:?}{rule}."))
        }
        ErrorKind::TooManyValues => Diagnostic::error(
            "Unexpected value",
            format!("{name} takes no value, and was given {value:?}."),
        ),
        ErrorKind::ArgumentConflict => {
            let others = all(error, ContextKind::PriorArg).join(" or ");
            if others == name {
                return Diagnostic::error("Option given twice", format!("{name} can be given only once."));
            }
            Diagnostic::error(
                "Options exclude each other",
                format!("{name} cannot be given together with {others}."),
            )
        }
        _ => Diagnostic::error("Wrong usage", format!("{}; {help} says more.", own_words(error))),
    }
}

/// Returns the command that was called, `simdb apply`: the words its usage starts with.
fn command(error: &Error) -> String {
    let usage = error
        .get(ContextKind::Usage)
        .map(ToString::to_string)
        .unwrap_or_default();
    let words = usage.split_whitespace().skip_while(|word| *word != "simdb");
    let words: Vec<&str> = words.take_while(|word| !word.starts_with(['[', '<', '-'])).collect();
    if words.is_empty() {
        "simdb".to_owned()
    } else {
        words.join(" ")
    }
}

/// Returns what the parser says itself, without the word in front and the hints after it.
fn own_words(error: &Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.trim_start_matches("error: ").to_owned()
}

/// Returns what the parser knows of an error, options with the one dash that is written everywhere else.
fn all(error: &Error, kind: ContextKind) -> Vec<String> {
    let texts = match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let one_dash = |text: String| match text.strip_prefix("--") {
        Some(name) => format!("-{name}"),
        None => text,
    };
    texts.into_iter().map(one_dash).collect()
}

fn first(error: &Error, kind: ContextKind) -> String {
    all(error, kind).into_iter().next().unwrap_or_default()
}

fn choice(error: &Error) -> String {
    let values = all(error, ContextKind::ValidValue);
    match values.split_last() {
        Some((last, others)) if !others.is_empty() => format!("; it takes {} or {last}", others.join(", ")),
        _ => String::new(),
    }
}

fn did_you_mean(found: &str) -> String {
    if found.is_empty() {
        return String::new();
    }
    format!(" Did you mean {found:?}?")
}
