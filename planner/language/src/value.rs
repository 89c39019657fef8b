//! Values of expressions.
//!
//! A value is shared, not copied: cloning one costs the same whatever is in it. Any value, at any depth, may be
//! unknown (only an apply can tell), sensitive (it must not be shown) or ephemeral (it must not be kept); what is made from such a
//! value is so too.

pub mod json_text;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;

use crate::number::Number;

/// What is shown in place of a sensitive value, as Terraform shows it.
const REDACTED: &str = "(sensitive value)";

/// What is shown in place of an ephemeral one.
const EPHEMERAL: &str = "(ephemeral value)";

/// How deep values nest at most: they are compared, printed and dropped by recursion.
pub(crate) const MAX_DEPTH: u16 = 100;

/// How many parts a value has at most, each counted wherever it stands.
pub(crate) const MAX_SIZE: usize = 1 << 22;

/// What must not be done with a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Whether it must not be shown.
    pub sensitive: bool,
    /// Whether it must not be kept, neither in a record nor in a saved plan.
    pub ephemeral: bool,
}

impl Marks {
    /// The mark of what must not be shown.
    pub const SENSITIVE: Marks = Marks {
        sensitive: true,
        ephemeral: false,
    };

    /// Returns what any of several marks says.
    pub(crate) fn of(all: impl Iterator<Item = Marks>) -> Self {
        all.fold(Self::default(), |all, marks| all | marks)
    }

    /// Returns what is shown in place of a value that has the mark.
    pub(crate) fn hidden(self) -> Option<&'static str> {
        match (self.sensitive, self.ephemeral) {
            (true, _) => Some(REDACTED),
            (false, true) => Some(EPHEMERAL),
            (false, false) => None,
        }
    }
}

impl BitOr for Marks {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self {
            sensitive: self.sensitive || other.sensitive,
            ephemeral: self.ephemeral || other.ephemeral,
        }
    }
}

impl BitOrAssign for Marks {
    fn bitor_assign(&mut self, other: Self) {
        *self = *self | other;
    }
}

/// A value, and what must not be done with it.
#[derive(Clone, PartialEq)]
pub struct Value {
    /// What it is.
    pub kind: Kind,
    /// What must not be done with it; parts of it may have other marks.
    pub marks: Marks,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Nothing.
    Null,
    /// Only an apply can tell.
    Unknown,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(Arc<str>),
    /// A list, or a tuple.
    List(Arc<Parts<Vec<Value>>>),
    /// Distinct values in order.
    Set(Arc<Parts<Vec<Value>>>),
    /// A map, or an object.
    Object(Arc<Parts<BTreeMap<String, Value>>>),
}

/// The parts of a value, with what would else take a walk through them.
#[derive(Debug, PartialEq)]
pub struct Parts<T> {
    /// The parts.
    pub items: T,
    /// Whether all are of one type: a list rather than a tuple, a map rather than an object.
    pub(crate) uniform: bool,
    /// What must not be done with any, at any depth.
    marks: Marks,
    /// Whether any is unknown, at any depth.
    unknown: bool,
    /// How many levels of parts there are.
    depth: u16,
    /// How many parts there are, at any depth.
    size: usize,
}

/// What a collection tells of its parts.
#[derive(Clone, Copy, Default)]
struct Inside {
    marks: Marks,
    unknown: bool,
    depth: u16,
    size: usize,
}

impl Inside {
    fn of<'a>(values: impl Iterator<Item = &'a Value>) -> Self {
        values.fold(Self::default(), |inside, value| {
            let own = match &value.kind {
                Kind::Unknown => Self {
                    unknown: true,
                    ..Self::default()
                },
                Kind::List(parts) | Kind::Set(parts) => parts.inside(),
                Kind::Object(parts) => parts.inside(),
                Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => Self::default(),
            };
            Self {
                marks: inside.marks | value.marks | own.marks,
                unknown: inside.unknown || own.unknown,
                depth: inside.depth.max(own.depth.saturating_add(1)),
                size: inside.size.saturating_add(own.size).saturating_add(1),
            }
        })
    }

    fn around<T>(self, items: T, uniform: bool) -> Arc<Parts<T>> {
        Arc::new(Parts {
            items,
            uniform,
            marks: self.marks,
            unknown: self.unknown,
            depth: self.depth,
            size: self.size,
        })
    }
}

impl<T> Parts<T> {
    fn inside(&self) -> Inside {
        Inside {
            marks: self.marks,
            unknown: self.unknown,
            depth: self.depth,
            size: self.size,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.marks.hidden() {
            Some(hidden) => f.write_str(hidden),
            None => self.kind.fmt(f),
        }
    }
}

impl From<Kind> for Value {
    fn from(kind: Kind) -> Self {
        Self {
            kind,
            marks: Marks::default(),
        }
    }
}

impl From<Number> for Value {
    fn from(number: Number) -> Self {
        Kind::Number(number).into()
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Kind::Bool(value).into()
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Kind::String(text.into()).into()
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Kind::String(text.into()).into()
    }
}

impl Value {
    /// Makes nothing.
    pub fn null() -> Self {
        Kind::Null.into()
    }

    /// Makes what only an apply can tell.
    pub fn unknown() -> Self {
        Kind::Unknown.into()
    }

    /// Makes a tuple.
    pub fn tuple(items: Vec<Value>) -> Self {
        Kind::List(Inside::of(items.iter()).around(items, false)).into()
    }

    /// Makes a list of items that are of one type.
    pub(crate) fn list(items: Vec<Value>) -> Self {
        Kind::List(Inside::of(items.iter()).around(items, true)).into()
    }

    /// Makes a set of items that are of one type: in order, each once. A set has the marks of its items.
    pub(crate) fn set(items: &[Value]) -> Self {
        let marks = Marks::of(items.iter().map(Value::all_marks));
        let mut items: Vec<Value> = items.iter().map(Value::revealed).collect();
        items.sort_by(Value::compare);
        items.dedup();
        Value::from(Kind::Set(Inside::of(items.iter()).around(items, true))).marked(marks)
    }

    /// Makes an object.
    pub fn object(items: BTreeMap<String, Value>) -> Self {
        Kind::Object(Inside::of(items.values()).around(items, false)).into()
    }

    /// Makes a map of items that are of one type.
    pub(crate) fn map(items: BTreeMap<String, Value>) -> Self {
        Kind::Object(Inside::of(items.values()).around(items, true)).into()
    }

    /// Compares values as sets order them: numbers by size, all else by how it is written.
    pub(crate) fn compare(&self, other: &Self) -> std::cmp::Ordering {
        match (&self.kind, &other.kind) {
            (Kind::Number(a), Kind::Number(b)) => a.cmp(b),
            (Kind::String(a), Kind::String(b)) => a.cmp(b),
            _ => self.sort_key().cmp(&other.sort_key()),
        }
    }

    /// Returns the value without its own marks; those of its parts stay.
    pub(crate) fn unmarked(&self) -> Value {
        self.kind.clone().into()
    }

    /// Adds marks to those that the value has.
    #[must_use]
    pub fn marked(mut self, marks: Marks) -> Self {
        self.marks |= marks;
        self
    }

    /// Returns the marks of the value and of all its parts.
    pub fn all_marks(&self) -> Marks {
        let inside = match &self.kind {
            Kind::List(parts) | Kind::Set(parts) => parts.marks,
            Kind::Object(parts) => parts.marks,
            Kind::Null | Kind::Unknown | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => Marks::default(),
        };
        self.marks | inside
    }

    /// Returns whether the value, or any part of it, is sensitive.
    pub fn has_sensitive(&self) -> bool {
        self.all_marks().sensitive
    }

    /// Returns whether the value, or any part of it, is ephemeral.
    pub fn has_ephemeral(&self) -> bool {
        self.all_marks().ephemeral
    }

    /// Returns whether the value, or any part of it, is unknown.
    pub fn has_unknown(&self) -> bool {
        match &self.kind {
            Kind::Unknown => true,
            Kind::List(parts) | Kind::Set(parts) => parts.unknown,
            Kind::Object(parts) => parts.unknown,
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => false,
        }
    }

    /// Returns how many levels of parts the value has.
    pub(crate) fn depth(&self) -> u16 {
        match &self.kind {
            Kind::List(parts) | Kind::Set(parts) => parts.depth,
            Kind::Object(parts) => parts.depth,
            Kind::Null | Kind::Unknown | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => 0,
        }
    }

    /// Returns how many parts the value has, at any depth.
    pub(crate) fn size(&self) -> usize {
        match &self.kind {
            Kind::List(parts) | Kind::Set(parts) => parts.size,
            Kind::Object(parts) => parts.size,
            Kind::Null | Kind::Unknown | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => 0,
        }
    }

    /// Returns whether the value itself is unknown.
    pub fn is_unknown(&self) -> bool {
        self.kind == Kind::Unknown
    }

    /// Returns whether the value is nothing.
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// Returns the value without any mark in it.
    #[must_use]
    pub fn revealed(&self) -> Value {
        if self.all_marks() == Marks::default() {
            return self.clone();
        }
        self.rebuilt(Value::revealed)
    }

    /// Returns the value with nulls in place of what is ephemeral.
    #[must_use]
    pub(crate) fn without_ephemeral(&self) -> Value {
        let sensitive = Marks {
            ephemeral: false,
            ..self.marks
        };
        match (self.marks.ephemeral, self.has_ephemeral()) {
            (true, _) => Value::null().marked(sensitive),
            (false, true) => self.rebuilt(Value::without_ephemeral).marked(sensitive),
            (false, false) => self.clone(),
        }
    }

    /// Makes the value anew of other parts, without a mark of its own.
    fn rebuilt(&self, part: fn(&Value) -> Value) -> Value {
        let all = |items: &[Value]| items.iter().map(part).collect::<Vec<_>>();
        match &self.kind {
            Kind::List(parts) => {
                let items = all(&parts.items);
                Kind::List(Inside::of(items.iter()).around(items, parts.uniform)).into()
            }
            Kind::Set(parts) => Value::set(&all(&parts.items)),
            Kind::Object(parts) => {
                let items: BTreeMap<String, Value> = parts
                    .items
                    .iter()
                    .map(|(key, value)| (key.clone(), part(value)))
                    .collect();
                Kind::Object(Inside::of(items.values()).around(items, parts.uniform)).into()
            }
            kind => kind.clone().into(),
        }
    }

    /// Names the kind of value for a sentence: `a number`.
    pub fn kind_name(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Unknown => "a value known only after apply",
            Kind::Bool(_) => "a bool",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Set(_) => "a set",
            Kind::Object(ref parts) if parts.uniform => "a map",
            Kind::Object(_) => "an object",
        }
    }

    /// Shows the value in a sentence: what it is where that is short, else its kind and size. A secret stays one.
    pub fn describe(&self) -> String {
        let count = |length: usize, what: &str| format!("with {length} {what}{}", if length == 1 { "" } else { "s" });
        if let Some(hidden) = self.marks.hidden() {
            return hidden.to_owned();
        }
        match &self.kind {
            Kind::Unknown => "known only after apply".to_owned(),
            Kind::String(text) if text.chars().count() > 60 => "a long string".to_owned(),
            Kind::List(parts) | Kind::Set(parts) => {
                format!("{} {}", self.kind_name(), count(parts.items.len(), "element"))
            }
            Kind::Object(parts) => {
                let what = if parts.uniform { "element" } else { "attribute" };
                format!("{} {}", self.kind_name(), count(parts.items.len(), what))
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::String(_) => self.sort_key(),
        }
    }

    /// Writes the value so that equal values are equal texts and texts sort as people expect: primitives as JSON.
    pub fn sort_key(&self) -> String {
        json_text::write_plain(self).unwrap_or_else(|_| "unknown".to_owned())
    }
}
