//! Which blocks and attributes there are, and the check of all text against them: what is unknown, missing, or there
//! twice.

use std::collections::BTreeMap;

use hcl_edit::Span as _;
use hcl_edit::structure::{Block, Structure};

use crate::diagnostic::{Diagnostic, Span};

use super::parse::Piece;
use super::source::{Place, Source};
use super::suggest::did_you_mean;

/// What a body may hold.
struct Schema {
    /// The attributes, and whether each is required.
    attributes: &'static [(&'static str, bool)],
    /// Whether any attribute is allowed.
    open: bool,
    blocks: &'static [Nested],
}

/// A kind of block within a body.
struct Nested {
    name: &'static str,
    /// What its label is called; absent where it has none.
    label: Option<&'static str>,
    schema: &'static Schema,
    count: Count,
}

/// How many blocks of a kind there may be.
#[derive(PartialEq)]
enum Count {
    /// One with the same label.
    AtMostOne,
    /// One, whatever its label, and it is required.
    One,
    Many,
}

impl Nested {
    /// Returns what may be there only once.
    fn identity(&self, block: &Block) -> String {
        if self.count == Count::One {
            self.name.to_owned()
        } else {
            title(block)
        }
    }
}

const fn body(attributes: &'static [(&'static str, bool)], blocks: &'static [Nested]) -> Schema {
    Schema {
        attributes,
        open: false,
        blocks,
    }
}

const fn nested(name: &'static str, label: Option<&'static str>, count: Count, schema: &'static Schema) -> Nested {
    Nested {
        name,
        label,
        schema,
        count,
    }
}

static FILE: Schema = body(
    &[],
    &[
        nested("simdb", None, Count::AtMostOne, &SIMDB),
        nested("variable", Some("name"), Count::AtMostOne, &VARIABLE),
        nested("locals", None, Count::Many, &LOCALS),
        nested("output", Some("name"), Count::AtMostOne, &OUTPUT),
        nested("provider", Some("platform"), Count::AtMostOne, &PROVIDER),
        nested("network", Some("name"), Count::AtMostOne, &NETWORK),
        nested("cluster", Some("name"), Count::AtMostOne, &CLUSTER),
    ],
);
static SIMDB: Schema = body(
    &[("required_version", false)],
    &[nested("state", Some("backend"), Count::AtMostOne, &STATE)],
);
static STATE: Schema = body(&[("path", false)], &[]);
static VARIABLE: Schema = body(
    &[
        ("type", false),
        ("default", false),
        ("description", false),
        ("sensitive", false),
        ("nullable", false),
    ],
    &[nested("validation", None, Count::Many, &VALIDATION)],
);
static VALIDATION: Schema = body(&[("condition", true), ("error_message", true)], &[]);
static LOCALS: Schema = Schema {
    attributes: &[],
    open: true,
    blocks: &[],
};
static OUTPUT: Schema = body(&[("value", true), ("sensitive", false), ("description", false)], &[]);
static PROVIDER: Schema = body(
    &[
        ("run_as", false),
        ("data_root", false),
        ("port_range", false),
        ("binaries", false),
    ],
    &[],
);
static NETWORK: Schema = body(&[("subnet", false)], &[]);
static CLUSTER: Schema = body(
    &[("network", false), ("primary", false)],
    &[
        nested("engine", Some("engine"), Count::One, &ENGINE),
        nested("replication", None, Count::AtMostOne, &REPLICATION),
        nested("node", Some("name"), Count::AtMostOne, &NODE),
        nested("user", Some("name"), Count::AtMostOne, &USER),
        nested("database", Some("name"), Count::AtMostOne, &DATABASE),
        nested("seed", Some("name"), Count::AtMostOne, &SEED),
        nested("endpoint", Some("name"), Count::AtMostOne, &ENDPOINT),
        nested("lifecycle", None, Count::AtMostOne, &LIFECYCLE),
    ],
);
static ENGINE: Schema = body(&[("version", false), ("parameters", false)], &[]);
static REPLICATION: Schema = body(
    &[
        ("mode", false),
        ("synchronous_standbys", false),
        ("synchronous_commit", false),
        ("on_standby_loss", false),
        ("max_lag", false),
        ("password_version", false),
    ],
    &[],
);
static USER: Schema = body(
    &[
        ("login", false),
        ("replication", false),
        ("superuser", false),
        ("createdb", false),
        ("createrole", false),
        ("inherit", false),
        ("connection_limit", false),
        ("member_of", false),
        ("password", false),
        ("password_version", false),
    ],
    &[],
);
static DATABASE: Schema = body(&[("owner", true), ("encoding", false), ("locale", false)], &[]);
static SEED: Schema = body(&[("database", true), ("file", true)], &[]);
static NODE: Schema = body(
    &[
        ("count", false),
        ("port", false),
        ("follows", false),
        ("apply_delay", false),
        ("parameters", false),
    ],
    &[],
);
static ENDPOINT: Schema = body(
    &[("target", true), ("via", false), ("port", false), ("pool_mode", false)],
    &[],
);
static LIFECYCLE: Schema = body(&[("prevent_destroy", false)], &[]);

/// Returns a block as a reader would name it: `cluster "orders"`.
pub(super) fn title(block: &Block) -> String {
    let labels = block.labels.iter().map(|label| format!(" \"{}\"", label.as_str()));
    std::iter::once(block.ident.to_string()).chain(labels).collect()
}

/// Returns where a block's header stands.
pub(super) fn header(block: &Block, place: &Place) -> Option<Span> {
    let start = block.ident.span()?.start;
    let end = block
        .labels
        .last()
        .and_then(hcl_edit::Span::span)
        .or(block.ident.span())?
        .end;
    place.span(start..end)
}

/// Checks all files against the schema.
pub(super) fn check(pieces: &[Piece], source: &Source) -> Vec<Diagnostic> {
    let mut checker = Checker {
        source,
        diagnostics: Vec::new(),
        context: None,
    };
    let structures = || {
        pieces
            .iter()
            .flat_map(|piece| piece.body.iter().map(|structure| (structure, &piece.place)))
    };
    checker.body(structures(), &FILE);
    checker.diagnostics
}

struct Checker<'a> {
    source: &'a Source,
    diagnostics: Vec<Diagnostic>,
    /// The block at the top around what is checked.
    context: Option<String>,
}

impl Checker<'_> {
    fn report(&mut self, span: Option<Span>, summary: impl Into<String>, detail: String) {
        let mut diagnostic = Diagnostic::error(summary, detail);
        diagnostic.span = span;
        diagnostic.context.clone_from(&self.context);
        self.diagnostics.push(diagnostic);
    }

    fn body<'b>(&mut self, structures: impl Iterator<Item = (&'b Structure, &'b Place)>, schema: &'static Schema) {
        let mut seen: BTreeMap<String, Option<Span>> = BTreeMap::new();
        for (structure, place) in structures {
            match structure {
                Structure::Attribute(attribute) => {
                    let name = attribute.key.as_str();
                    if !schema.open && !schema.attributes.iter().any(|(known, _)| *known == name) {
                        self.unknown_attribute(name, place.of(&attribute.key), schema);
                    }
                }
                Structure::Block(block) => {
                    let top = self.context.is_none();
                    if top {
                        self.context = Some(title(block));
                    }
                    self.block(block, place, schema, &mut seen);
                    if top {
                        self.context = None;
                    }
                }
            }
        }
    }

    fn unknown_attribute(&mut self, name: &str, span: Option<Span>, schema: &Schema) {
        let blocks = schema.blocks.iter().map(|block| block.name);
        let detail = if blocks.clone().any(|block| block == name) {
            format!("\"{name}\" is a block, not an attribute. Write it without the equals sign: {name} {{ ... }}.")
        } else {
            let hint = did_you_mean(name, schema.attributes.iter().map(|(known, _)| *known).chain(blocks));
            format!("An argument named \"{name}\" is not expected here.{hint}")
        };
        self.report(span, "Unsupported argument", detail);
    }

    fn block(&mut self, block: &Block, place: &Place, schema: &Schema, seen: &mut BTreeMap<String, Option<Span>>) {
        let name = block.ident.as_str();
        let Some(kind) = schema.blocks.iter().find(|kind| kind.name == name) else {
            let detail = if schema.attributes.iter().any(|(known, _)| *known == name) {
                format!("\"{name}\" is an attribute, not a block. Write it with an equals sign: {name} = ...")
            } else {
                let known = schema
                    .blocks
                    .iter()
                    .map(|kind| kind.name)
                    .chain(schema.attributes.iter().map(|(known, _)| *known));
                let hint = did_you_mean(name, known);
                format!("Blocks of type \"{name}\" are not expected here.{hint}")
            };
            return self.report(place.of(&block.ident), "Unsupported block type", detail);
        };
        let header = header(block, place);
        if block.labels.len() != usize::from(kind.label.is_some()) {
            let detail = match kind.label {
                Some(label) => format!(
                    "A {name} block has one label, its {label}: {name} \"{}\" {{ ... }}.",
                    label.to_uppercase()
                ),
                None => format!("A {name} block has no label: {name} {{ ... }}."),
            };
            return self.report(header, "Wrong number of labels", detail);
        }
        if kind.count != Count::Many
            && let Some(first) = seen.insert(kind.identity(block), header.clone())
        {
            let first = first.map_or_else(String::new, |span| self.source.place(&span));
            let what = kind.identity(block);
            let detail = format!("{what} was already declared at {first}. There can be only one.");
            self.report(header.clone(), format!("Duplicate {what}"), detail);
        }
        for label in &block.labels {
            if label.as_str().contains("${") || label.as_str().contains("%{") {
                let detail = "Labels are names; templates cannot be used in them.".to_owned();
                self.report(place.of(label), "Template in a label", detail);
            }
        }
        self.required(block, header.as_ref(), kind.schema);
        self.body(block.body.iter().map(|structure| (structure, place)), kind.schema);
    }

    fn required(&mut self, block: &Block, header: Option<&Span>, schema: &Schema) {
        for (name, required) in schema.attributes {
            if *required && !block.body.has_attribute(name) {
                let detail = format!("The argument \"{name}\" is required, but no value is given for it.");
                self.report(header.cloned(), "Missing required argument", detail);
            }
        }
        for kind in schema.blocks {
            if kind.count == Count::One && !block.body.has_blocks(kind.name) {
                let what = kind.name;
                let detail = format!("A block of type \"{what}\" is required here.");
                self.report(header.cloned(), format!("Missing {what} block"), detail);
            }
        }
    }
}
