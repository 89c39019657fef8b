//! Lets long options start with one dash, as Terraform's do: `-auto-approve` becomes `--auto-approve`.
//!
//! Left alone are short options (`-n5`, and `-fn` where both are short options), values that follow their option
//! after a space, and everything after `--`.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use clap::Command;

/// What the options of all commands look like.
#[derive(Debug, Default)]
struct Known {
    /// Long options, each with whether its value is the next argument.
    long: BTreeMap<String, bool>,
    /// Short options, each with whether its value is the next argument.
    short: BTreeMap<char, bool>,
}

impl Known {
    fn of(command: &Command) -> Known {
        let mut known = Known::default();
        known.add(command);
        // The parser adds these two itself, later.
        for name in ["help", "version"] {
            known.long.insert(name.to_owned(), false);
        }
        for name in ['h', 'V'] {
            known.short.insert(name, false);
        }
        known
    }

    fn add(&mut self, command: &Command) {
        for argument in command.get_arguments() {
            let separate = argument.get_action().takes_values() && !argument.is_require_equals_set();
            self.long
                .extend(argument.get_long().map(|name| (name.to_owned(), separate)));
            self.short.extend(argument.get_short().map(|name| (name, separate)));
        }
        command.get_subcommands().for_each(|command| self.add(command));
    }

    /// Returns whether the argument after this one is its value.
    fn takes_next(&self, argument: &str) -> bool {
        if let Some(name) = argument.strip_prefix("--") {
            return self.long.get(name).copied().unwrap_or(false);
        }
        let mut names = argument.strip_prefix('-').unwrap_or_default().chars();
        match (names.next(), names.next()) {
            (Some(name), None) => self.short.get(&name).copied().unwrap_or(false),
            _ => false,
        }
    }

    /// Returns the argument with two dashes, where it is a long option with one.
    fn with_two_dashes(&self, argument: &str) -> Option<String> {
        let option = argument.strip_prefix('-')?;
        let name = option.split('=').next()?;
        let letters: BTreeSet<char> = name.chars().collect();
        let is_long = name.len() > 1
            && name.starts_with(|c: char| c.is_ascii_lowercase())
            && letters.iter().all(|c| c.is_ascii_lowercase() || matches!(c, '-' | '_'));
        let is_short = !self.long.contains_key(name) && letters.iter().all(|c| self.short.contains_key(c));
        (is_long && !is_short).then(|| format!("-{argument}"))
    }
}

/// Gives long options two dashes.
pub(super) fn long_options(command: &Command, argv: Vec<OsString>) -> Vec<OsString> {
    let known = Known::of(command);
    let mut rewritten = Vec::with_capacity(argv.len());
    let mut argv = argv.into_iter();
    while let Some(argument) = argv.next() {
        // What is not Unicode is a value, such as a path.
        let text = argument.to_str().map(str::to_owned).unwrap_or_default();
        if text == "--" {
            rewritten.push(argument);
            break;
        }
        let text = known.with_two_dashes(&text).unwrap_or(text);
        let takes_next = known.takes_next(&text);
        rewritten.push(if text.is_empty() { argument } else { text.into() });
        rewritten.extend(takes_next.then(|| argv.next()).flatten());
    }
    rewritten.extend(argv);
    rewritten
}
