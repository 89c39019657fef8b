//! `count`, `for_each` and `dynamic`: one block stands for several, each with a key, a name and values of its own.
//!
//! An instance is called after its block and its key: `r[0]` for a node that is counted, `orders-eu` for a block with
//! `for_each`. In references the block's name leads to all instances by key: `cluster.orders["eu"]`.

use std::collections::BTreeMap;

use hcl_edit::Span as _;
use hcl_edit::structure::{Attribute, Block};
use simdb_language::number::Number;
use simdb_language::reference::{Each, Names};
use simdb_language::value::{Kind, Value};

use crate::diagnostic::{Diagnostic, Span};

use super::read::Reader;

/// How many instances one block may have.
const MAX_INSTANCES: u32 = 10_000;

/// What tells an instance from the others of its block.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// Its place, of a block with `count`.
    Index(u32),
    /// Its key, of a block with `for_each`.
    Text(String),
}

/// The instances of one block: the key and the name of each. A block without `count` and `for_each` has none.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    /// Whether the block has a `count`, and so stands for a list; else for a map.
    pub(super) is_counted: bool,
    /// The names in the order of their keys.
    pub(super) members: Vec<(Key, String)>,
}

/// The blocks of one kind that have instances, by name.
pub(super) type Groups = BTreeMap<String, Group>;

/// A block that is there.
pub(super) struct Instance<'a, 'n> {
    /// Its body, with what diagnostics say about it.
    pub(super) reader: Reader<'a>,
    /// What stands before its name: the module that it is in, for what is declared at the top of a file.
    pub(super) prefix: String,
    /// What its block is called.
    pub(super) label: String,
    /// Where that stands.
    pub(super) label_span: Span,
    /// Where it is declared.
    pub(super) header: Span,
    /// What tells it from the others of its block.
    pub(super) key: Option<Key>,
    /// What its expressions may refer to.
    pub(super) names: Names<'n>,
}

impl Instance<'_, '_> {
    /// Returns what the instance is called: its module, its block's name, and its key, with hyphens between.
    pub(super) fn name(&self) -> String {
        format!("{}{}", self.prefix, self.local_name())
    }

    /// Returns what the instance is called within its module.
    pub(super) fn local_name(&self) -> String {
        match &self.key {
            None => self.label.clone(),
            Some(Key::Index(index)) => format!("{}-{index}", self.label),
            Some(Key::Text(key)) => format!("{}-{key}", self.label),
        }
    }

    /// Notes the instance among those of its block.
    pub(super) fn note(&self, name: &str, groups: &mut Groups) {
        if let Some(key) = &self.key {
            let group = groups.entry(self.label.clone()).or_default();
            group.members.push((key.clone(), name.to_owned()));
        }
    }
}

/// Blocks that are there, and whether these are all: some may depend on values that are missing.
pub(super) struct Instances<'a, 'n> {
    pub(super) all: Vec<Instance<'a, 'n>>,
    pub(super) groups: Groups,
    pub(super) complete: bool,
}

/// Expands the blocks of one kind within a block, those of `dynamic` blocks included.
pub(super) fn within<'a, 'n>(
    outer: Reader<'a>,
    kind: &str,
    names: &Names<'n>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Instances<'a, 'n> {
    let mut instances = Instances {
        all: Vec::new(),
        groups: Groups::new(),
        complete: true,
    };
    for block in outer.body.blocks() {
        let reader = Reader {
            body: &block.body,
            ..outer
        };
        if block.ident.as_str() == kind {
            instances.add(block, reader, names, diagnostics);
        } else if block.ident.as_str() == "dynamic" && block.labels.first().is_some_and(|label| label.as_str() == kind)
        {
            instances.add_dynamic(block, reader, names, diagnostics);
        }
    }
    instances
}

/// Expands blocks that stand at the top of a file, of a module with this prefix.
pub(super) fn top<'a, 'n>(
    blocks: &[(&'a Block, Reader<'a>)],
    prefix: &str,
    names: &Names<'n>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Instances<'a, 'n> {
    let mut instances = Instances {
        all: Vec::new(),
        groups: Groups::new(),
        complete: true,
    };
    for (block, reader) in blocks {
        instances.add(block, *reader, names, diagnostics);
    }
    for instance in &mut instances.all {
        prefix.clone_into(&mut instance.prefix);
    }
    instances
}

impl<'a, 'n> Instances<'a, 'n> {
    fn add(&mut self, block: &'a Block, reader: Reader<'a>, names: &Names<'n>, diagnostics: &mut Vec<Diagnostic>) {
        let label = block.labels.first();
        let (label, label_span) = (
            label.map_or("", |label| label.as_str()).to_owned(),
            label.map_or_else(|| reader.span(&block.ident), |label| reader.span(label)),
        );
        let header = reader.header(block);
        let instance = |key, names| Instance {
            reader,
            prefix: String::new(),
            label: label.clone(),
            label_span: label_span.clone(),
            header: header.clone(),
            key,
            names,
        };
        match (reader.attribute("count"), reader.attribute("for_each")) {
            (None, None) => self.all.push(instance(None, names.clone())),
            (Some(count), Some(_)) => {
                let detail = "A block has a \"count\" or a \"for_each\", not both. Remove one of the two.";
                diagnostics.push(reader.error(
                    reader.span(&count.key),
                    "Invalid combination of \"count\" and \"for_each\"",
                    detail,
                ));
                self.complete = false;
            }
            (Some(_), None) => {
                self.groups.entry(label.clone()).or_default().is_counted = true;
                let count = reader.whole("count", (0, MAX_INSTANCES), names, diagnostics);
                self.complete &= count.is_some();
                for index in 0..count.map_or(0, |count| count.value) {
                    let names = Names {
                        index: usize::try_from(index).ok(),
                        ..names.clone()
                    };
                    self.all.push(instance(Some(Key::Index(index)), names));
                }
            }
            (None, Some(attribute)) => {
                self.groups.entry(label.clone()).or_default();
                let Some(all) = pairs(reader, attribute, names, false, diagnostics) else {
                    self.complete = false;
                    return;
                };
                for (key, each) in all {
                    let names = Names {
                        each: Some(each),
                        ..names.clone()
                    };
                    self.all.push(instance(Some(Key::Text(key)), names));
                }
            }
        }
    }

    /// Expands a `dynamic` block: its content is there once for each element.
    fn add_dynamic(
        &mut self,
        block: &'a Block,
        reader: Reader<'a>,
        names: &Names<'n>,
        diagnostics: &mut Vec<Diagnostic>,
    ) {
        let kind = block.labels.first().map_or("", |label| label.as_str());
        let iterator = match reader.attribute("iterator").map(|attribute| &attribute.value) {
            Some(hcl_edit::expr::Expression::Variable(name)) => name.to_string(),
            _ => kind.to_owned(),
        };
        let (Some(attribute), Some((content, inner))) = (reader.attribute("for_each"), reader.blocks("content").next())
        else {
            return;
        };
        let Some(all) = pairs(reader, attribute, names, true, diagnostics) else {
            self.complete = false;
            return;
        };
        for (_, each) in all {
            let mut names = names.clone();
            names.iterators.push((iterator.clone(), each));
            let before = diagnostics.len();
            let labels = reader.texts("labels", &names, diagnostics);
            if diagnostics.len() > before {
                self.complete = false;
                return;
            }
            self.all.push(Instance {
                reader: inner,
                prefix: String::new(),
                label: labels.into_iter().next().unwrap_or_default(),
                label_span: reader
                    .attribute("labels")
                    .map_or_else(|| reader.header(content), |labels| reader.span(&labels.value)),
                header: reader.header(block),
                key: None,
                names,
            });
        }
    }
}

/// Returns the keys and values of a `for_each`; nothing where there is something wrong, or unknown.
fn pairs(
    reader: Reader<'_>,
    attribute: &Attribute,
    names: &Names<'_>,
    allows_lists: bool,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Vec<(String, Each)>> {
    let value = reader.evaluate(&attribute.value, names, diagnostics)?;
    let problem = match elements(&value, allows_lists) {
        Ok(pairs) if pairs.len() <= MAX_INSTANCES as usize => return Some(pairs),
        Ok(pairs) => format!("A block may stand for {MAX_INSTANCES} others, not for {}.", pairs.len()),
        Err(_) if value.has_unknown() && names.is_lenient => return None,
        Err(problem) => problem,
    };
    let span = attribute
        .value
        .span()
        .map_or_else(|| reader.span(&attribute.key), |_| reader.span(&attribute.value));
    let mut diagnostic = reader.error(span, "Invalid for_each argument", problem);
    diagnostic.values = simdb_language::eval::values(&attribute.value, names, reader.place);
    diagnostics.push(diagnostic);
    None
}

fn elements(value: &Value, allows_lists: bool) -> Result<Vec<(String, Each)>, String> {
    if value.has_ephemeral() && (value.marks.ephemeral || matches!(value.kind, Kind::Set(_))) {
        return Err(
            "\"for_each\" makes names that are kept in the record, so it cannot depend on an ephemeral value."
                .to_owned(),
        );
    }
    if value.has_sensitive() && (value.marks.sensitive || matches!(value.kind, Kind::Set(_))) {
        return Err("\"for_each\" makes names that plans show, so it cannot depend on a sensitive value. Use nonsensitive() where \
                    it is no secret."
            .to_owned());
    }
    let pair = |key: String, key_value: Value, value: &Value| {
        let value = value.clone();
        (key, Each { key: key_value, value })
    };
    match &value.kind {
        Kind::Object(parts) => Ok(parts
            .items
            .iter()
            .map(|(key, item)| pair(key.clone(), key.as_str().into(), item))
            .collect()),
        Kind::Set(parts) => parts
            .items
            .iter()
            .map(|item| match (&item.kind, allows_lists) {
                (Kind::String(text), _) => Ok(pair(text.to_string(), item.clone(), item)),
                (_, true) => Ok(pair(item.sort_key(), item.clone(), item)),
                _ => Err(format!("The set must hold strings, and holds {}.", item.kind_name())),
            })
            .collect(),
        Kind::List(parts) if allows_lists => {
            let numbered = parts.items.iter().enumerate();
            Ok(numbered
                .map(|(index, item)| pair(index.to_string(), Number::from(index).into(), item))
                .collect())
        }
        Kind::List(_) => Err(
            "A map or a set of strings is needed, and this is a list. Where its elements are strings that are \
                              all different, write toset(...)."
                .to_owned(),
        ),
        Kind::Unknown => Err("It must be known when a plan is made, since it decides what there is.".to_owned()),
        Kind::Null => Err("It is null. For no instances write an empty map: {}.".to_owned()),
        _ => Err(format!(
            "A map or a set of strings is needed, and this is {}.",
            value.kind_name()
        )),
    }
}

/// Puts the instances of blocks together under the block's name: in a list or a map.
pub(super) fn grouped(mut values: BTreeMap<String, Value>, groups: Option<&Groups>) -> Value {
    for (label, group) in groups.into_iter().flatten() {
        let members = group.members.iter();
        let members = members.filter_map(|(key, name)| Some((key, values.remove(name)?)));
        let all = together(group.is_counted, members.collect());
        values.insert(label.clone(), all);
    }
    Value::object(values)
}

/// Puts the instances of one block together: in a list where they are counted, else in a map.
pub(super) fn together(is_counted: bool, members: Vec<(&Key, Value)>) -> Value {
    if is_counted {
        return Value::tuple(members.into_iter().map(|(_, value)| value).collect());
    }
    let text = |key: &Key| match key {
        Key::Index(index) => index.to_string(),
        Key::Text(text) => text.clone(),
    };
    Value::object(members.into_iter().map(|(key, value)| (text(key), value)).collect())
}
