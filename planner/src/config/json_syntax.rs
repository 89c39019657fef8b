//! `*.simdb.json`: a configuration that programs write. It is rewritten in the native syntax and read as that; a table
//! leads from the places of the one to those of the other.

use std::fmt::Write as _;
use std::ops::Range;

use simdb_language::json::{self, Member, Node, NodeKind};
use simdb_language::parse::{self, Piece};
use simdb_language::source::Place;

use crate::diagnostic::Diagnostic;

use super::VariableInput;
use super::schema::{self, Schema};

/// Attributes that are types or names, and no text.
const WORDS: [&str; 2] = ["type", "iterator"];

/// Parses a configuration in JSON.
pub(super) fn parse(name: &str, text: &str) -> (Vec<Piece>, Vec<Diagnostic>) {
    let place = Place::new(name, 0);
    let root = match read(text, &place) {
        Ok(root) => root,
        Err(diagnostic) => return (Vec::new(), vec![*diagnostic]),
    };
    native(&root, &place, "Invalid JSON")
}

/// Reads a configuration that was taken apart, in the native syntax. Where it has no shape of one, that is said under the
/// summary.
pub(super) fn native(root: &Node, place: &Place, summary: &str) -> (Vec<Piece>, Vec<Diagnostic>) {
    let mut writer = Writer::default();
    writer.body(root, schema::file(), 0);
    if let Some(problem) = writer.problem {
        let mut diagnostic = Diagnostic::error(summary, problem.1);
        diagnostic.span = place.span(problem.0);
        return (Vec::new(), vec![diagnostic]);
    }
    parse::parse_at(&writer.text, &place.mapped(writer.anchors))
}

/// Parses a file of variable values in JSON: an object with a value for each variable.
pub fn variable_file_json(name: &str, text: &str) -> (Vec<VariableInput>, Vec<Diagnostic>) {
    let place = Place::new(name, 0);
    let members = match read(text, &place).map(|root| root.kind) {
        Ok(NodeKind::Object(members)) => members,
        Ok(_) => {
            return (
                Vec::new(),
                vec![at(
                    &place,
                    0..1,
                    "A file of variable values is an object: { \"NAME\": VALUE }.",
                )],
            );
        }
        Err(diagnostic) => return (Vec::new(), vec![*diagnostic]),
    };
    let input = |member: &Member| {
        let mut writer = Writer {
            is_literal: true,
            ..Writer::default()
        };
        writer.value(&member.value);
        Some(VariableInput {
            name: member.key.clone(),
            text: writer.text,
            origin: name.to_owned(),
            span: place.span(member.value.range.clone()),
        })
    };
    (members.iter().filter_map(input).collect(), Vec::new())
}

fn read(text: &str, place: &Place) -> Result<Node, Box<Diagnostic>> {
    json::read(text).map_err(|problem| {
        let mut message = problem.message;
        if let Some(first) = message.get(..1) {
            let first = first.to_uppercase();
            message.replace_range(..1, &first);
        }
        Box::new(at(place, problem.at, &format!("{message}.")))
    })
}

fn at(place: &Place, range: Range<usize>, detail: &str) -> Diagnostic {
    let mut diagnostic = Diagnostic::error("Invalid JSON", detail);
    diagnostic.span = place.span(range);
    diagnostic
}

/// Writes the native syntax.
#[derive(Default)]
struct Writer {
    text: String,
    /// Where parts of the text start, and where what they stand for is.
    anchors: Vec<(usize, Range<usize>)>,
    /// Whether texts stand for themselves; else they are templates.
    is_literal: bool,
    problem: Option<(Range<usize>, String)>,
}

impl Writer {
    fn anchor(&mut self, range: &Range<usize>) {
        self.anchors.push((self.text.len(), range.clone()));
    }

    fn body(&mut self, node: &Node, schema: &Schema, indent: usize) {
        // A body is an object, or a list of objects that are put together.
        let members: Vec<&Member> = match &node.kind {
            NodeKind::Object(members) => members.iter().collect(),
            NodeKind::Array(items) => items
                .iter()
                .filter_map(|item| match &item.kind {
                    NodeKind::Object(members) => Some(members.iter()),
                    _ => None,
                })
                .flatten()
                .collect(),
            _ => {
                self.problem = Some((node.range.clone(), "An object is expected here.".to_owned()));
                return;
            }
        };
        for member in members {
            match schema.labels_of(&member.key) {
                // What starts so is a comment.
                _ if member.key == "//" => {}
                Some((labels, inner)) => self.blocks(member, labels, inner, indent),
                None => {
                    self.text.push_str(&" ".repeat(indent));
                    self.anchor(&member.key_range);
                    let name = &member.key;
                    let is_name = hcl_edit::Ident::try_new(name.as_str()).is_ok();
                    if !is_name {
                        let detail = format!("{name:?} is no name of an attribute or a block.");
                        self.problem = Some((member.key_range.clone(), detail));
                        return;
                    }
                    self.text.push_str(name);
                    self.text.push_str(" = ");
                    match &member.value.kind {
                        NodeKind::String(word) if WORDS.contains(&name.as_str()) => {
                            self.anchor(&member.value.range);
                            self.text.push_str(word);
                        }
                        _ => self.value(&member.value),
                    }
                    self.text.push('\n');
                }
            }
        }
    }

    /// Writes the blocks that a member stands for: with a label, a member of its value each.
    fn blocks(&mut self, member: &Member, labels: usize, schema: &Schema, indent: usize) {
        if labels == 0 {
            let several = match &member.value.kind {
                NodeKind::Array(items) => items.iter().collect(),
                _ => vec![&member.value],
            };
            for node in several {
                self.block(&member.key, &member.key_range, None, node, schema, indent);
            }
            return;
        }
        let NodeKind::Object(members) = &member.value.kind else {
            return self.blocks_of_list(member, labels, schema, indent);
        };
        for inner in members.iter().filter(|inner| inner.key != "//") {
            let several = match &inner.value.kind {
                NodeKind::Array(items) => items.iter().collect(),
                _ => vec![&inner.value],
            };
            for node in several {
                self.block(&member.key, &inner.key_range, Some(&inner.key), node, schema, indent);
            }
        }
    }

    /// Writes blocks whose labels are in a list of objects.
    fn blocks_of_list(&mut self, member: &Member, labels: usize, schema: &Schema, indent: usize) {
        let NodeKind::Array(items) = &member.value.kind else {
            let detail = format!(
                "The blocks are an object by label: \"{}\": {{ \"NAME\": {{ ... }} }}.",
                member.key
            );
            self.problem = Some((member.value.range.clone(), detail));
            return;
        };
        for item in items {
            let one = Member {
                value: item.clone(),
                ..member.clone()
            };
            // A list in a list is no object either.
            match item.kind {
                NodeKind::Object(_) => self.blocks(&one, labels, schema, indent),
                _ => self.problem = Some((item.range.clone(), "An object is expected here.".to_owned())),
            }
        }
    }

    fn block(
        &mut self,
        kind: &str,
        range: &Range<usize>,
        label: Option<&str>,
        node: &Node,
        schema: &Schema,
        indent: usize,
    ) {
        self.text.push_str(&" ".repeat(indent));
        self.anchor(range);
        self.text.push_str(kind);
        if let Some(label) = label {
            self.text.push(' ');
            self.anchor(range);
            self.quoted(label);
        }
        self.text.push_str(" {\n");
        self.body(node, schema, indent + 2);
        self.text.push_str(&" ".repeat(indent));
        self.text.push_str("}\n");
    }

    fn value(&mut self, node: &Node) {
        self.anchor(&node.range);
        match &node.kind {
            NodeKind::Null => self.text.push_str("null"),
            NodeKind::Bool(flag) => self.text.push_str(if *flag { "true" } else { "false" }),
            NodeKind::Number(number) => {
                let _ = write!(self.text, "{number}");
            }
            NodeKind::String(text) => self.string(text),
            NodeKind::Array(items) => {
                self.text.push('[');
                for (index, item) in items.iter().enumerate() {
                    self.text.push_str(if index == 0 { "" } else { ", " });
                    self.value(item);
                }
                self.text.push(']');
            }
            NodeKind::Object(members) => {
                self.text.push('{');
                for (index, member) in members.iter().enumerate() {
                    self.text.push_str(if index == 0 { "" } else { ", " });
                    self.anchor(&member.key_range);
                    self.string(&member.key);
                    self.text.push_str(" = ");
                    self.value(&member.value);
                }
                self.text.push('}');
            }
        }
    }

    /// Writes a text in quotes: a template, unless texts stand for themselves.
    fn string(&mut self, text: &str) {
        if self.is_literal {
            self.quoted(text);
            return;
        }
        // Within ${} and %{} quotes are those of the expression.
        self.text.push('"');
        let mut depth = 0_usize;
        let mut in_quotes = false;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let opens = (rest.starts_with("${") || rest.starts_with("%{")) && depth == 0;
            if rest.starts_with("$${") || rest.starts_with("%%{") {
                self.text.push_str(&rest[..3]);
                rest = &rest[3..];
                continue;
            }
            if opens {
                self.text.push_str(&rest[..2]);
                rest = &rest[2..];
                depth = 1;
                continue;
            }
            let was_inside = depth > 0;
            match c {
                '"' if was_inside => in_quotes = !in_quotes,
                '{' if was_inside && !in_quotes => depth += 1,
                '}' if was_inside && !in_quotes => depth -= 1,
                _ => {}
            }
            if was_inside {
                self.text.push(c);
            } else {
                self.escaped(c);
            }
            rest = &rest[c.len_utf8()..];
        }
        self.text.push('"');
    }

    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for c in text.replace("${", "$${").replace("%{", "%%{").chars() {
            self.escaped(c);
        }
        self.text.push('"');
    }

    fn escaped(&mut self, c: char) {
        match c {
            '"' => self.text.push_str("\\\""),
            '\\' => self.text.push_str("\\\\"),
            '\n' => self.text.push_str("\\n"),
            '\r' => self.text.push_str("\\r"),
            '\t' => self.text.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(self.text, "\\u{:04x}", u32::from(c));
            }
            c => self.text.push(c),
        }
    }
}
