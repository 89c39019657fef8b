//! Override files: `override.simdb.hcl` and `*_override.simdb.hcl` change what other files declare.
//!
//! An attribute takes the place of the one of its name, nested blocks that of all of their kind. Both files end up in one
//! tree: an override is parsed behind as many spaces as keep its places apart from those of other files (see [`Place`]).

use hcl_edit::structure::{Block, Body, Structure};
use simdb_language::parse::{self, Piece};
use simdb_language::source::{Place, Source};

use crate::diagnostic::Diagnostic;

use super::dialect::DIALECT;
use super::json_syntax;
use super::schema;
use super::toml_syntax;

/// The end of the names of configurations that programs write.
const JSON: &str = ".simdb.json";

/// Returns whether a file of this name is a part of a configuration. Hidden ones are editors' and not meant.
pub fn is_configuration(name: &str) -> bool {
    (name.ends_with(".simdb.hcl") || name.ends_with(JSON) || toml_syntax::is_toml(name)) && !name.starts_with('.')
}

/// Returns whether a file changes what others declare.
pub(super) fn is_override(name: &str) -> bool {
    let stem = name.strip_suffix(".simdb.hcl").or_else(|| name.strip_suffix(JSON));
    let stem = stem.map(|stem| stem.rsplit('/').next().unwrap_or(stem));
    stem.is_some_and(|stem| stem == "override" || stem.ends_with("_override"))
}

/// Merges the pieces of override files into those of the others.
pub(super) fn merge(pieces: &mut Vec<Piece>, overriding: Vec<Piece>, diagnostics: &mut Vec<Diagnostic>) {
    let places: Vec<Place> = overriding.iter().map(|piece| piece.place.clone()).collect();
    for piece in pieces.iter_mut() {
        piece.place.also(&places);
    }
    for piece in overriding {
        let place = piece.place;
        for structure in piece.body {
            match structure {
                Structure::Attribute(attribute) => {
                    let mut body = Body::new();
                    body.push(attribute);
                    pieces.push(Piece {
                        body,
                        place: place.clone(),
                    });
                }
                Structure::Block(block) => override_block(block, &place, pieces, diagnostics),
            }
        }
    }
}

fn override_block(block: Block, place: &Place, pieces: &mut [Piece], diagnostics: &mut Vec<Diagnostic>) {
    if block.ident.as_str() == "locals" {
        for structure in block.body {
            if let Structure::Attribute(attribute) = structure {
                let name = attribute.key.to_string();
                let found = pieces
                    .iter_mut()
                    .flat_map(|piece| piece.body.get_blocks_mut("locals"))
                    .find(|locals| locals.body.has_attribute(&name));
                match found {
                    Some(locals) => {
                        locals.body.remove_attribute(&name);
                        locals.body.push(attribute);
                    }
                    None => diagnostics.push(nothing_to_override(&format!("local.{name}"), place.of(&attribute.key))),
                }
            }
        }
        return;
    }
    let title = schema::title(&block);
    let found = pieces
        .iter_mut()
        .flat_map(|piece| piece.body.get_blocks_mut(block.ident.as_str()))
        .find(|base| schema::title(base) == title && alias(base) == alias(&block));
    match found {
        Some(base) => override_body(&mut base.body, block.body),
        None => diagnostics.push(nothing_to_override(&title, schema::header(&block, place))),
    }
}

/// Returns what tells one of several blocks with the same label from the others.
fn alias(block: &Block) -> Option<&str> {
    block.body.get_attribute("alias")?.value.as_str()
}

fn override_body(base: &mut Body, body: Body) {
    for block in body.blocks() {
        base.remove_blocks(block.ident.as_str());
    }
    for structure in body {
        if let Structure::Attribute(attribute) = &structure {
            base.remove_attribute(attribute.key.as_str());
        }
        base.push(structure);
    }
}

fn nothing_to_override(what: &str, span: Option<crate::diagnostic::Span>) -> Diagnostic {
    let detail = format!(
        "An override file changes what other files declare, and none declares {what}. Move it to another file."
    );
    let mut diagnostic = Diagnostic::error("Nothing to override", detail);
    diagnostic.span = span;
    diagnostic
}

/// Parses all files of a configuration: those that override others come last and are merged into them.
pub(super) fn parse_all(source: &Source) -> (Vec<Piece>, Vec<Diagnostic>) {
    let (mut pieces, mut overriding, mut diagnostics) = (Vec::new(), Vec::new(), Vec::new());
    let mut padding = source.files().map(|(_, text)| text.len()).max().unwrap_or(0) + 1;
    for (name, text) in source.files() {
        let is_native = !name.ends_with(JSON) && !toml_syntax::is_toml(name);
        let mut parsed = if is_native {
            parse::parse(name, text, &DIALECT)
        } else if name.ends_with(JSON) {
            json_syntax::parse(name, text)
        } else {
            toml_syntax::parse(name, text)
        };
        if is_override(name) && parsed.1.is_empty() && is_native {
            parsed = parse::parse_behind(name, text, padding);
            padding += text.len() + 1;
            overriding.extend(parsed.0);
        } else {
            pieces.extend(parsed.0);
        }
        diagnostics.extend(parsed.1);
    }
    merge(&mut pieces, overriding, &mut diagnostics);
    (pieces, diagnostics)
}
