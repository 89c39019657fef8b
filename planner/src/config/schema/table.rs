//! What a table of blocks is made of: bodies, the attributes and blocks that they may hold, and what each means.

use std::collections::BTreeMap;

use hcl_edit::structure::Block;

use super::title;

/// What a body may hold.
#[derive(Debug)]
pub struct Schema {
    /// What the block is for, in sentences.
    pub description: &'static str,
    /// The attributes, in the order in which people write them.
    pub attributes: &'static [Attribute],
    /// What the names of other attributes stand for; absent where there may be no others.
    pub others: Option<&'static str>,
    /// The blocks within.
    pub blocks: &'static [Nested],
}

/// An attribute of a body.
#[derive(Debug)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub kind: Kind,
    /// Whether the body cannot be without it.
    pub is_required: bool,
    /// The only texts that it may be; none where others are possible.
    pub values: &'static [&'static str],
    /// What holds where it is left out.
    pub default: Option<&'static str>,
    /// What it means, in sentences.
    pub description: &'static str,
}

/// What the value of an attribute is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value of any type.
    Any,
    /// A bool.
    Bool,
    /// A list of strings.
    Strings,
    /// A map whose values have a type each.
    Map,
    /// A number.
    Number,
    /// References to objects, in brackets and without quotes.
    References,
    /// A reference to an object, without quotes.
    Reference,
    /// A string.
    String,
    /// A type constraint.
    Type,
}

/// A kind of block within a body.
#[derive(Debug)]
pub struct Nested {
    /// Its type, which is its first word.
    pub name: &'static str,
    /// What its label is called; absent where it has none.
    pub label: Option<&'static str>,
    /// The only texts that the label may be; none where it is a name.
    pub labels: &'static [&'static str],
    /// How many there may be.
    pub count: Count,
    /// What it may hold.
    pub schema: &'static Schema,
    /// What it looks like where it stands.
    pub example: &'static str,
}

/// How many blocks of a kind there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Count {
    /// One with the same label.
    AtMostOne,
    /// One, whatever its label, and it is required.
    One,
    /// At most one, whatever its label.
    OneOrNone,
    /// Any number.
    Many,
}

impl Kind {
    /// Returns the name of the type, as variables write it; words for what is no value.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Bool => "bool",
            Self::Strings => "list(string)",
            Self::Map => "map(any)",
            Self::Number => "number",
            Self::References => "references",
            Self::Reference => "reference",
            Self::String => "string",
            Self::Type => "type constraint",
        }
    }
}

impl Nested {
    /// Returns what may be there only once.
    pub(super) fn identity(&self, block: &Block) -> String {
        if matches!(self.count, Count::One | Count::OneOrNone) {
            self.name.to_owned()
        } else {
            title(block)
        }
    }

    /// Returns whether `dynamic` blocks can make such blocks.
    pub fn can_be_dynamic(&self) -> bool {
        !matches!(self.count, Count::One | Count::OneOrNone)
    }
}

impl Attribute {
    pub(super) const fn new(name: &'static str, kind: Kind, description: &'static str) -> Self {
        Self {
            name,
            kind,
            is_required: false,
            values: &[],
            default: None,
            description,
        }
    }

    pub(super) const fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    pub(super) const fn one_of(self, values: &'static [&'static str]) -> Self {
        Self { values, ..self }
    }

    pub(super) const fn or(self, default: &'static str) -> Self {
        Self {
            default: Some(default),
            ..self
        }
    }
}

impl Schema {
    pub(super) const fn new(
        description: &'static str,
        attributes: &'static [Attribute],
        blocks: &'static [Nested],
    ) -> Self {
        Self {
            description,
            attributes,
            others: None,
            blocks,
        }
    }

    pub(super) const fn open(self, others: &'static str) -> Self {
        Self {
            others: Some(others),
            ..self
        }
    }

    /// Returns how many labels the blocks of a kind have, and what they may hold; nothing where there is no such kind.
    pub(in super::super) fn labels_of(&self, kind: &str) -> Option<(usize, &'static Schema)> {
        let kind = self.blocks.iter().find(|known| known.name == kind)?;
        Some((usize::from(kind.label.is_some()), kind.schema))
    }

    pub(super) fn has_attribute(&self, name: &str) -> bool {
        self.attributes.iter().any(|known| known.name == name)
    }

    /// Returns the names of what there may be, attributes first.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        let attributes = self.attributes.iter().map(|known| known.name);
        attributes.chain(self.blocks.iter().map(|kind| kind.name))
    }

    /// Lists what there may be, attributes first.
    pub(super) fn allowed(&self) -> String {
        let names: Vec<String> = self.names().map(|name| format!("\"{name}\"")).collect();
        match names.split_last() {
            None => "nothing".to_owned(),
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        }
    }

    /// Returns all kinds of blocks below this one by the way to them: `cluster.node.lifecycle`.
    pub fn below(&'static self) -> BTreeMap<String, &'static Nested> {
        let mut found = BTreeMap::new();
        for kind in self.blocks {
            found.insert(kind.name.to_owned(), kind);
            let inner = kind.schema.below();
            found.extend(
                inner
                    .into_iter()
                    .map(|(way, inner)| (format!("{}.{way}", kind.name), inner)),
            );
        }
        found
    }
}
