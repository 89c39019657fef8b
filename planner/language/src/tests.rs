//! The language from outside: texts in, values and what is said out.
#![expect(
    clippy::format_push_string,
    clippy::needless_pass_by_value,
    clippy::needless_raw_string_hashes,
    reason = "tests are tables; what is expected is written by expect-test, and passed as it is written"
)]

mod conformance;
mod evaluation;
mod formatting;
mod properties;
mod syntax;

use expect_test::Expect;

use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::eval;
use crate::files::{Files, Found, Wanted};
use crate::format::format;
use crate::functions::function_signatures;
use crate::parse::parse;
use crate::reference::Names;
use crate::source::Source;

static DIALECT: Dialect = Dialect {
    name: "app",
    blocks: &["locals", "network", "cluster"],
    objects: &["cluster"],
    unavailable: |name| format!("No {name} is known here."),
    advice: |_| None,
};

fn source(text: &str) -> Source {
    let mut source = Source::default();
    source.add("main", text);
    source
}

/// Writes diagnostics one by one: `file:line:column severity summary`, the detail, and the values.
fn render(source: &Source, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let place = diagnostic.span.as_ref().map_or_else(
            || "-".to_owned(),
            |span| {
                let (start, end) = source.positions(span).expect("the span is in a file of the source");
                let end = if start.line == end.line {
                    end.column.to_string()
                } else {
                    format!("{}:{}", end.line, end.column)
                };
                format!("{}:{}:{}-{end}", span.file, start.line, start.column)
            },
        );
        let severity = if diagnostic.is_error() { "error" } else { "warning" };
        out += &format!("{place} {severity} {}", diagnostic.summary);
        out += &format!("\n  {}\n", diagnostic.detail);
        for value in &diagnostic.values {
            out += &format!("  - {value}\n");
        }
    }
    out
}

/// Evaluates an expression, where no file is there.
fn evaluated(expression: &str) -> Result<String, String> {
    let text = format!("it = {expression}\n");
    let source = source(&text);
    let (pieces, mut diagnostics) = parse("main", &text, &DIALECT);
    let attribute = pieces.first().and_then(|piece| piece.body.get_attribute("it"));
    let (Some(attribute), []) = (attribute, &diagnostics[..]) else {
        return Err(render(&source, &diagnostics));
    };
    let mut files = Files::new("/work", Some("/root".to_owned())).in_workspace("staging");
    loop {
        let names = Names {
            files: Some(&files),
            ..Names::new(&DIALECT)
        };
        let value = eval::evaluate(&attribute.value, &names, &pieces[0].place, &mut diagnostics);
        let wanted = files.take_wanted();
        if wanted.is_empty() {
            let value = value.ok_or_else(|| render(&source, &diagnostics))?;
            return Ok(value.sort_key());
        }
        diagnostics.clear();
        for wanted in wanted {
            match wanted {
                Wanted::File(path) => files.add(path, Found::Nothing),
                Wanted::Names(path) => files.add_names(path, Ok(Vec::new())),
                Wanted::Entries(path) => files.add_entries(path, Ok(Vec::new())),
                Wanted::Checkout(source) => files.add_checkout(source, Err("there is none".to_owned())),
            }
        }
    }
}

/// Compares the values of expressions, one per line; of a problem the summary and detail count.
fn check_values(expressions: &[&str], expected: Expect) {
    let mut out = String::new();
    for expression in expressions {
        let shown = evaluated(expression).unwrap_or_else(|problem| {
            let mut lines = problem.lines();
            let summary = lines
                .next()
                .and_then(|line| line.split_once(" error "))
                .map_or("", |(_, summary)| summary);
            format!("! {summary}: {}", lines.next().unwrap_or_default().trim())
        });
        out += &format!("{expression} -> {shown}\n");
    }
    expected.assert_eq(&out);
}
