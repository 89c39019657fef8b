//! `*.simdb.toml`, and `cluster.toml`: a configuration of tables, `[cluster.orders.node.a]`. It has the shape of one in JSON
//! ([`super::json_syntax`]), and is read as that.

use std::ops::Range;

use simdb_language::json::{Member, Node, NodeKind};
use simdb_language::number::Number;
use simdb_language::parse::Piece;
use simdb_language::source::Place;
use toml_span::value::ValueInner;
use toml_span::{Error, ErrorKind, Span, Value};

use crate::diagnostic::Diagnostic;

use super::json_syntax;

/// How many tables and lists may be within each other.
const MAX_DEPTH: usize = 200;

/// The end of the names of such configurations.
const END: &str = ".simdb.toml";
/// The whole name of one.
const NAME: &str = "cluster.toml";

/// Returns whether a file of this name is a configuration in TOML.
pub(super) fn is_toml(name: &str) -> bool {
    name.ends_with(END) || name.rsplit('/').next() == Some(NAME)
}

/// Parses a configuration in TOML.
pub(super) fn parse(name: &str, text: &str) -> (Vec<Piece>, Vec<Diagnostic>) {
    let place = Place::new(name, 0);
    let node = check_depth(text).and_then(|()| {
        let value = toml_span::parse(text).map_err(|error| problem(&error))?;
        node(value, text)
    });
    match node {
        Ok(root) => json_syntax::native(&root, &place, "Invalid TOML"),
        Err((range, detail)) => {
            let mut diagnostic = Diagnostic::error("Invalid TOML", detail);
            diagnostic.span = place.span(range);
            (Vec::new(), vec![diagnostic])
        }
    }
}

type Problem = (Range<usize>, String);

/// Refuses what would exhaust the stack of a parser that calls itself for each bracket, and for each part of a key.
fn check_depth(text: &str) -> Result<(), Problem> {
    let refused = |at: usize| {
        let detail = format!("There are more than {MAX_DEPTH} tables or lists within each other.");
        Err((at..at + 1, detail))
    };
    let (mut depth, mut dots) = (0_usize, 0_usize);
    for (at, c) in text.char_indices() {
        match c {
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            '.' => dots += 1,
            '=' | '\n' => dots = 0,
            _ => {}
        }
        if depth > MAX_DEPTH || dots > MAX_DEPTH {
            return refused(at);
        }
    }
    Ok(())
}

fn problem(error: &Error) -> Problem {
    let detail = match &error.kind {
        ErrorKind::UnexpectedEof => "The file ends in the middle of something.".to_owned(),
        ErrorKind::UnquotedString => "A text stands in quotes: NAME = \"TEXT\".".to_owned(),
        ErrorKind::UnterminatedString => "A text is not closed where its line ends.".to_owned(),
        ErrorKind::InvalidNumber => "This is no number. Dates and times are texts in quotes.".to_owned(),
        ErrorKind::DuplicateTable { name, .. } => format!("The table {name:?} is there twice. Put the two together."),
        ErrorKind::DuplicateKey { key, .. } => format!("The key {key:?} is there twice. Keep one of the two."),
        ErrorKind::Wanted { expected, found } => format!("Here {expected} is expected, and {found} is found."),
        other => format!("The file is not in TOML: {}.", other.to_string().replace('-', " ")),
    };
    (range(error.span), detail)
}

fn range(span: Span) -> Range<usize> {
    span.start..span.end.max(span.start)
}

fn node(mut value: Value<'_>, text: &str) -> Result<Node, Problem> {
    let range = range(value.span);
    let kind = match value.take() {
        ValueInner::String(text) => NodeKind::String(text.into_owned()),
        ValueInner::Boolean(flag) => NodeKind::Bool(flag),
        ValueInner::Integer(number) => NodeKind::Number(Number::from(i128::from(number))),
        ValueInner::Float(number) => NodeKind::Number(float(number, &range, text)?),
        ValueInner::Array(items) => {
            let items = items.into_iter().map(|item| node(item, text));
            NodeKind::Array(items.collect::<Result<_, _>>()?)
        }
        ValueInner::Table(table) => {
            let mut members = Vec::new();
            for (key, value) in table {
                members.push(Member {
                    key: key.name.into_owned(),
                    key_range: self::range(key.span),
                    value: node(value, text)?,
                });
            }
            // The first node is the one that stands first.
            members.sort_by_key(|member| member.key_range.start);
            NodeKind::Object(members)
        }
    };
    Ok(Node { range, kind })
}

/// Reads a number with all its digits, which a float has not.
fn float(number: f64, range: &Range<usize>, text: &str) -> Result<Number, Problem> {
    let written = text.get(range.clone()).unwrap_or_default().replace('_', "");
    let exact = Number::parse(written.trim_start_matches('+'));
    let exact = exact.or_else(|| Number::parse(&number.to_string()));
    exact.ok_or_else(|| (range.clone(), "Numbers are finite.".to_owned()))
}
