//! What can stand at the end of a command line that is being typed.
//!
//! A shell hands in the words that are there, the last of which is begun. Options are offered with one dash; what stands for
//! something on record is looked up there by who asks.

use clap::{Arg, ArgAction, Command};

/// What a value names, where it is none of a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// An address of anything on record.
    Address,
    /// A cluster.
    Cluster,
    /// A node, by its own name where a cluster is named before.
    Node,
    /// A cluster, or a node of one.
    Target,
    /// An endpoint, by its own name.
    Endpoint,
    /// An output.
    Output,
    /// A workspace.
    Workspace,
    /// A run.
    Run,
}

/// What is offered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Offer {
    /// These words, as far as they begin with what was typed.
    pub(crate) words: Vec<String>,
    /// What is on record of this kind.
    pub(crate) named: Option<Named>,
    /// What was typed of the word; of `-target=clu` that is `clu`.
    pub(crate) begun: String,
    /// The words before that are no options, the names of commands left out: `orders` of `simdb switchover orders -to`.
    pub(crate) given: Vec<String>,
}

/// Returns what can stand in the place of the last word, which may be empty.
pub(crate) fn offer(command: &Command, words: &[String]) -> Offer {
    let mut command = command.clone();
    command.build();
    let words = joined(words);
    let Some((last, before)) = words.split_last() else {
        return Offer::default();
    };
    let mut place = Place::new(&command);
    for word in before {
        place.pass(word);
    }
    place.offer(last)
}

/// Puts words together that a shell took apart at an equals sign: `-target`, `=`, `clu`.
fn joined(words: &[String]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    for word in words {
        match joined.last_mut() {
            Some(last) if last.starts_with('-') && (word == "=" || last.ends_with('=')) => last.push_str(word),
            _ => joined.push(word.clone()),
        }
    }
    joined
}

/// Where in a command line a word stands.
struct Place<'a> {
    command: &'a Command,
    /// The names of commands that led here.
    path: Vec<&'a str>,
    /// The option whose value comes next.
    awaits: Option<&'a Arg>,
    given: Vec<String>,
}

impl<'a> Place<'a> {
    fn new(command: &'a Command) -> Self {
        Self {
            command,
            path: Vec::new(),
            awaits: None,
            given: Vec::new(),
        }
    }

    fn pass(&mut self, word: &str) {
        if self.awaits.take().is_some() {
            return;
        }
        if let Some(option) = word.strip_prefix('-') {
            let name = option.trim_start_matches('-');
            let separate = |option: &&Arg| option.get_action().takes_values() && !option.is_require_equals_set();
            self.awaits = self.option(name).filter(separate);
        } else if let Some(command) = self.command.find_subcommand(word) {
            self.command = command;
            self.path.push(command.get_name());
        } else {
            self.given.push(word.to_owned());
        }
    }

    fn option(&self, name: &str) -> Option<&'a Arg> {
        let is_meant = |option: &&Arg| {
            let mut short = name.chars();
            option.get_long() == Some(name) || short.next() == option.get_short() && short.next().is_none()
        };
        self.command.get_arguments().find(is_meant)
    }

    fn offer(self, word: &str) -> Offer {
        if let Some(option) = self.awaits {
            return self.values(option, word);
        }
        if let Some((option, value)) = word.split_once('=').filter(|_| word.starts_with('-')) {
            return match self.option(option.trim_start_matches('-')) {
                Some(option) => self.values(option, value),
                None => Offer::default(),
            };
        }
        let mut words = Vec::new();
        if word.starts_with('-') {
            let options = self.command.get_arguments().filter(|option| !option.is_hide_set());
            words.extend(options.filter_map(Arg::get_long).map(|name| format!("-{name}")));
            // It may be typed with two dashes as well.
            if word.starts_with("--") {
                for word in &mut words {
                    word.insert(0, '-');
                }
            }
            return Offer {
                words: beginning(words, word),
                begun: word.to_owned(),
                ..Offer::default()
            };
        }
        let commands = self.command.get_subcommands().filter(|command| !command.is_hide_set());
        words.extend(commands.map(|command| command.get_name().to_owned()));
        let mut positionals = self.command.get_positionals();
        let number = self.given.len();
        let is_open = |positional: &Arg| matches!(positional.get_action(), ArgAction::Append);
        let positional = positionals.nth(number);
        let positional = positional.or_else(|| self.command.get_positionals().last().filter(|last| is_open(last)));
        match positional.filter(|_| words.is_empty()) {
            Some(positional) => self.values(positional, word),
            None => Offer {
                words: beginning(words, word),
                begun: word.to_owned(),
                ..Offer::default()
            },
        }
    }

    fn values(self, of: &Arg, begun: &str) -> Offer {
        let possible = of.get_possible_values().into_iter();
        let words = possible.map(|value| value.get_name().to_owned()).collect();
        let name = of.get_value_names().and_then(<[_]>::first);
        Offer {
            words: beginning(words, begun),
            named: name.and_then(|name| named(name, &self.path)),
            begun: begun.to_owned(),
            given: self.given,
        }
    }
}

fn beginning(mut words: Vec<String>, with: &str) -> Vec<String> {
    words.retain(|word| word.starts_with(with));
    words
}

/// Returns what a value names, by what it is called in the help of a command.
fn named(value: &str, path: &[&str]) -> Option<Named> {
    Some(match (value.to_uppercase().as_str(), path) {
        ("ADDRESS" | "ADDRESSES" | "FROM", _) | ("TO", ["state", "mv"]) => Named::Address,
        ("CLUSTER", _) => Named::Cluster,
        ("NODE", _) => Named::Node,
        ("TARGET", _) => Named::Target,
        ("ENDPOINT", _) => Named::Endpoint,
        ("RUN", _) => Named::Run,
        ("NAME", ["output"]) => Named::Output,
        ("NAME", ["workspace", ..]) => Named::Workspace,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::super::Arguments;
    use super::*;

    fn offered(line: &str) -> Offer {
        let words: Vec<String> = line.split(' ').skip(1).map(str::to_owned).collect();
        offer(&Arguments::command(), &words)
    }

    #[test]
    fn commands_options_and_the_words_of_values_are_offered() {
        for (line, expected) in [
            ("simdb swi", vec!["switchover"]),
            ("simdb state re", vec!["rekey", "repair"]),
            ("simdb apply -auto", vec!["-auto-approve"]),
            ("simdb apply --auto", vec!["--auto-approve"]),
            ("simdb plan -output git", vec!["github"]),
            ("simdb plan -output=git", vec!["github"]),
            ("simdb plan -output = git", vec!["github"]),
            ("simdb apply -allow write", vec!["write-pause"]),
            ("simdb completions zs", vec!["zsh"]),
            ("simdb plan -chd", vec!["-chdir"]),
            ("simdb nothing -x", vec![]),
        ] {
            let mut words = offered(line).words;
            words.sort();
            assert_eq!(words, expected, "{line}");
        }
        assert!(offered("simdb ").words.contains(&"plan".to_owned()));
    }

    #[test]
    fn what_is_on_record_is_asked_for_by_its_kind() {
        for (line, named, begun, given) in [
            ("simdb plan -target clu", Some(Named::Address), "clu", &[][..]),
            ("simdb plan -target=clu", Some(Named::Address), "clu", &[]),
            ("simdb plan -var a=b -exclude ", Some(Named::Address), "", &[]),
            ("simdb state rm a b c", Some(Named::Address), "c", &["a", "b"]),
            ("simdb state mv a ", Some(Named::Address), "", &["a"]),
            ("simdb switchover ord", Some(Named::Cluster), "ord", &[]),
            ("simdb switchover orders -to r", Some(Named::Node), "r", &["orders"]),
            ("simdb resync orders ", Some(Named::Node), "", &["orders"]),
            ("simdb stop o", Some(Named::Target), "o", &[]),
            ("simdb env orders rw", Some(Named::Endpoint), "rw", &["orders"]),
            ("simdb output u", Some(Named::Output), "u", &[]),
            ("simdb workspace select s", Some(Named::Workspace), "s", &[]),
            ("simdb -chdir x logs ", Some(Named::Node), "", &[]),
            ("simdb plan -out f", None, "f", &[]),
        ] {
            let offer = offered(line);
            assert_eq!((offer.named, offer.begun.as_str()), (named, begun), "{line}");
            assert_eq!(offer.given, given, "{line}");
        }
    }
}
