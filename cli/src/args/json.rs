//! Whether a command line asks for JSON, so that what goes wrong is said in JSON, too.

use std::ffi::OsString;

use clap::ArgMatches;

/// What the JSON of a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One document.
    Document,
    /// One event a line.
    Lines,
}

/// The commands that write events.
const LINES: [&str; 12] = [
    "plan",
    "apply",
    "create",
    "destroy",
    "stop",
    "start",
    "switchover",
    "failover",
    "promote",
    "resync",
    "import",
    "monitor",
];

/// Returns what JSON a parsed command line asks for.
pub(super) fn of_matches(matches: &ArgMatches) -> Option<Shape> {
    let (mut name, mut matches) = ("", matches);
    while let Some((inner, of_inner)) = matches.subcommand() {
        (name, matches) = (inner, of_inner);
    }
    let has_id = |id: &str| matches.ids().any(|known| known.as_str() == id);
    if has_id("json") && matches.get_flag("json") {
        return Some(shape(name));
    }
    let output = if has_id("output") {
        matches.get_raw("output")
    } else {
        None
    };
    let is_json = output.into_iter().flatten().any(|value| value == "json");
    is_json.then_some(Shape::Document)
}

/// Returns what JSON a command line asks for that cannot be parsed.
pub(crate) fn asked_for(argv: &[OsString]) -> Option<Shape> {
    let words = argv.iter().skip(1).map(|word| word.to_string_lossy());
    let words: Vec<_> = words.take_while(|word| word != "--").collect();
    let option = |word: &str| {
        word.strip_prefix('-')
            .map(|name| name.trim_start_matches('-').to_owned())
    };
    let options: Vec<_> = words.iter().map(|word| option(word)).collect();
    let is = |at: usize, name: &str| options.get(at).is_some_and(|option| option.as_deref() == Some(name));
    if (0..words.len()).any(|at| is(at, "json")) {
        let name = words.iter().find(|word| LINES.contains(&&***word));
        return Some(name.map_or(Shape::Document, |name| shape(name)));
    }
    let is_output =
        |at: usize| is(at, "output=json") || is(at, "output") && words.get(at + 1).is_some_and(|value| value == "json");
    (0..words.len()).any(is_output).then_some(Shape::Document)
}

fn shape(name: &str) -> Shape {
    if LINES.contains(&name) {
        Shape::Lines
    } else {
        Shape::Document
    }
}
