//! Pages in Markdown: one for each block at the top of a file, with all that is within it, and one for the functions.

use std::fmt::Write as _;

use simdb_planner::config::schema::{self, Attribute, Count, Nested, Schema};
use simdb_planner::config::{FunctionSignature, function_signatures};

/// What stands at the top of every page.
const MADE: &str = "<!-- Made by `simdb docs`: edit the tables in the source, not this page. -->\n\n";

/// Returns the pages, each with its name.
pub(super) fn all() -> Vec<(String, String)> {
    let blocks = schema::file().blocks;
    let page = |kind: &'static Nested| (format!("{}.md", kind.name), block_page(kind));
    let mut pages: Vec<(String, String)> = blocks.iter().map(page).collect();
    pages.push(("README.md".to_owned(), index(schema::file())));
    pages.push(("functions.md".to_owned(), functions()));
    pages
}

fn index(file: &Schema) -> String {
    let mut page = format!("{MADE}# The configuration language\n\n{}\n\n", file.description);
    page.push_str("| Block | What it is |\n|---|---|\n");
    for kind in file.blocks {
        let first = first_sentence(kind.schema.description);
        let _ = writeln!(page, "| [`{}`]({}.md) | {first} |", title(kind), kind.name);
    }
    page.push_str(
        "\nExpressions are those of Terraform, and so are [the functions](functions.md). Within a block a `dynamic` block \
         makes blocks out of the elements of its `for_each`.\n\nFor editors there are [a TextMate grammar](simdb.tmLanguage.json) of \
         `*.simdb.hcl` and [a JSON schema](simdb.schema.json) of `*.simdb.json`.\n",
    );
    page
}

fn block_page(kind: &'static Nested) -> String {
    let mut page = format!("{MADE}# {}\n\n", title(kind));
    body(&mut page, kind);
    for (way, inner) in kind.schema.below() {
        let _ = write!(page, "\n## {way}\n\n");
        let _ = write!(page, "{} ", presence(inner));
        body(&mut page, inner);
    }
    page
}

fn body(page: &mut String, kind: &Nested) {
    let schema = kind.schema;
    let _ = write!(page, "{}\n\n```hcl\n{}```\n", schema.description, kind.example);
    if !schema.attributes.is_empty() || schema.others.is_some() {
        page.push('\n');
    }
    for attribute in schema.attributes {
        page.push_str(&line(attribute));
    }
    if let Some(others) = schema.others {
        let _ = writeln!(page, "- any other name: {others}");
    }
    let blocks: Vec<String> = schema
        .blocks
        .iter()
        .map(|inner| format!("`{}`", title(inner)))
        .collect();
    if !blocks.is_empty() {
        let _ = write!(page, "\nBlocks within: {}.\n", blocks.join(", "));
    }
}

fn line(attribute: &Attribute) -> String {
    let needed = if attribute.is_required { ", required" } else { "" };
    let mut line = format!(
        "- `{}` ({}{needed}): {}",
        attribute.name,
        attribute.kind.as_str(),
        attribute.description
    );
    if !attribute.values.is_empty() {
        let values: Vec<String> = attribute.values.iter().map(|value| format!("`\"{value}\"`")).collect();
        let _ = write!(line, " One of {}.", values.join(", "));
    }
    if let Some(default) = attribute.default {
        let _ = write!(line, " Default: {default}.");
    }
    line + "\n"
}

/// Returns a block's header as it is written.
fn title(kind: &Nested) -> String {
    match (kind.label, kind.labels) {
        (None, _) => kind.name.to_owned(),
        (Some(_), [only]) => format!("{} \"{only}\"", kind.name),
        (Some(label), _) => format!("{} \"{}\"", kind.name, label.to_uppercase()),
    }
}

fn presence(kind: &Nested) -> &'static str {
    match (kind.count, kind.label) {
        (Count::One, _) => "Required, once.",
        (Count::Many, _) | (Count::AtMostOne, Some(_)) => "Any number.",
        (Count::AtMostOne, None) | (Count::OneOrNone, _) => "At most one.",
    }
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}

fn functions() -> String {
    let mut page =
        format!("{MADE}# Functions\n\nWhat expressions can call. A question mark follows what may be left out.\n");
    for function in function_signatures() {
        page.push_str(&entry(&function));
    }
    page
}

fn entry(function: &FunctionSignature) -> String {
    let parameters = function.parameters.iter().map(|parameter| {
        let optional = if parameter.optional { "?" } else { "" };
        let more = if parameter.variadic { "..." } else { "" };
        format!("{}{optional}: {}{more}", parameter.name, parameter.of)
    });
    format!(
        "\n## {}\n\n`{}({}) -> {}`\n\n{}\n\n```hcl\n{}\n# {}\n```\n",
        function.name,
        function.name,
        parameters.collect::<Vec<_>>().join(", "),
        function.returns,
        function.description,
        function.example,
        function.result
    )
}
