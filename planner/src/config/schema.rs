//! The blocks and attributes that there are, in one table, and the check of all text against it: what is unknown, missing,
//! or there twice. Documentation, grammars and schemas for editors are made from the same table.

mod blocks;
mod cluster;
mod common;
mod table;

use std::collections::BTreeMap;

use hcl_edit::Span as _;
use hcl_edit::structure::{Block, Structure};
use simdb_language::parse::Piece;
use simdb_language::source::{Place, Source};
use simdb_language::suggest::did_you_mean;

use crate::diagnostic::{Diagnostic, Span};

use super::foreign;

use self::blocks::FILE;
use self::cluster::CLUSTER;

pub use self::table::{Attribute, Count, Kind, Nested, Schema};

/// Returns what a file may hold: the whole language, block by block.
pub fn file() -> &'static Schema {
    &FILE
}

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
        depth: 0,
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
    /// How many blocks are around what is checked.
    depth: usize,
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
                    if schema.others.is_none() && !schema.has_attribute(name) {
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
        let detail = if schema.labels_of(name).is_some() {
            format!("\"{name}\" is a block, not an attribute. Write it without the equals sign: {name} {{ ... }}.")
        } else if let Some(advice) = foreign::attribute(name) {
            format!("An argument named \"{name}\" is not expected here. {advice}")
        } else {
            let hint = did_you_mean(name, schema.names());
            let hint = if hint.is_empty() {
                format!(" Expected here: {}.", schema.allowed())
            } else {
                hint
            };
            format!("An argument named \"{name}\" is not expected here.{hint}")
        };
        self.report(span, "Unsupported argument", detail);
    }

    fn unknown_block(&mut self, block: &Block, place: &Place, schema: &Schema) {
        let name = block.ident.as_str();
        let detail = if schema.has_attribute(name) {
            format!("\"{name}\" is an attribute, not a block. Write it with an equals sign: {name} = ...")
        } else if let Some(advice) = foreign::block(name) {
            format!("Blocks of type \"{name}\" are not expected here. {advice}")
        } else {
            let hint = did_you_mean(name, schema.names());
            let within = CLUSTER.blocks.iter().any(|kind| kind.name == name);
            let hint = if hint.is_empty() && within {
                format!(" A {name} block stands within a cluster.")
            } else if hint.is_empty() {
                format!(" Expected here: {}.", schema.allowed())
            } else {
                hint
            };
            format!("Blocks of type \"{name}\" are not expected here.{hint}")
        };
        self.report(place.of(&block.ident), "Unsupported block type", detail);
    }

    /// Checks a `dynamic` block: its label names a kind of block, and its content is that of one.
    fn dynamic(&mut self, block: &Block, place: &Place, schema: &'static Schema) {
        let header = header(block, place);
        let Some(label) = block.labels.first() else {
            let detail = "A dynamic block has one label, the kind of block that it makes: dynamic \"node\" { ... }.";
            return self.report(header, "Wrong number of labels", detail.to_owned());
        };
        let Some(kind) = schema
            .blocks
            .iter()
            .find(|kind| kind.name == label.as_str() && kind.can_be_dynamic())
        else {
            let hint = did_you_mean(label.as_str(), schema.blocks.iter().map(|kind| kind.name));
            let detail = format!(
                "There are no blocks of type \"{}\" here that could be made.{hint}",
                label.as_str()
            );
            return self.report(place.of(label), "Unsupported block type", detail);
        };
        let allowed = [
            ("for_each", true),
            ("iterator", false),
            ("labels", kind.label.is_some()),
        ];
        for (name, required) in allowed {
            if required && !block.body.has_attribute(name) {
                let detail = format!("The argument \"{name}\" is required, but no value is given for it.");
                self.report(header.clone(), "Missing required argument", detail);
            }
        }
        if !block.body.has_blocks("content") {
            let detail =
                "A block of type \"content\" is required here: it holds what each block is made of.".to_owned();
            self.report(header, "Missing content block", detail);
        }
        for structure in &block.body {
            match structure {
                Structure::Attribute(attribute) if !allowed.iter().any(|(name, _)| *name == attribute.key.as_str()) => {
                    let name = attribute.key.as_str();
                    let hint = did_you_mean(name, allowed.iter().map(|(name, _)| *name));
                    let detail = format!("An argument named \"{name}\" is not expected here.{hint}");
                    self.report(place.of(&attribute.key), "Unsupported argument", detail);
                }
                Structure::Block(content) if content.ident.as_str() == "content" => {
                    self.required(content, self::header(content, place).as_ref(), kind.schema);
                    let inner = content.body.iter().map(|structure| (structure, place));
                    self.body(inner, kind.schema);
                }
                Structure::Block(other) => {
                    let detail = "A dynamic block holds one block, content.".to_owned();
                    self.report(place.of(&other.ident), "Unsupported block type", detail);
                }
                Structure::Attribute(_) => {}
            }
        }
    }

    fn block(
        &mut self,
        block: &Block,
        place: &Place,
        schema: &'static Schema,
        seen: &mut BTreeMap<String, Option<Span>>,
    ) {
        let name = block.ident.as_str();
        let Some(kind) = schema.blocks.iter().find(|kind| kind.name == name) else {
            if name == "dynamic" && schema.blocks.iter().any(Nested::can_be_dynamic) && self.depth > 0 {
                return self.dynamic(block, place, schema);
            }
            return self.unknown_block(block, place, schema);
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
        self.depth += 1;
        self.body(block.body.iter().map(|structure| (structure, place)), kind.schema);
        self.depth -= 1;
    }

    fn required(&mut self, block: &Block, header: Option<&Span>, schema: &Schema) {
        for Attribute { name, is_required, .. } in schema.attributes {
            if *is_required && !block.body.has_attribute(name) {
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

#[cfg(test)]
mod tests {
    use super::super::dialect::DIALECT;
    use super::*;

    #[test]
    fn the_language_knows_every_block_at_the_top_of_a_file() {
        let names: Vec<&str> = FILE.blocks.iter().map(|block| block.name).collect();
        assert_eq!(names, DIALECT.blocks);
    }
}
