//! Reading attributes: evaluated, converted, and checked for what every setting must be.

use std::fmt::Display;

use hcl_edit::expr::Expression;
use hcl_edit::structure::{Attribute, Block, Body};
use simdb_language::convert::{self, Type};
use simdb_language::eval;
use simdb_language::reference::Names;
use simdb_language::source::Place;
use simdb_language::suggest::{choice, did_you_mean};
use simdb_language::value::{Kind, Marks, Value};

use crate::diagnostic::{Diagnostic, Span};

use super::schema;

/// A block that fits the schema, with what diagnostics say about it.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) body: &'a Body,
    pub(super) place: &'a Place,
    /// The block at the top, as a reader would name it.
    pub(super) context: &'a str,
}

/// An attribute's value, and where it stands.
#[derive(Debug)]
pub(super) struct Read<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

impl<'a> Reader<'a> {
    pub(super) fn attribute(&self, name: &str) -> Option<&'a Attribute> {
        self.body.get_attribute(name)
    }

    /// Returns the blocks of a kind within this one.
    pub(super) fn blocks(&self, name: &'a str) -> impl Iterator<Item = (&'a Block, Reader<'a>)> {
        let outer = *self;
        self.body.get_blocks(name).map(move |block| {
            let inner = Reader {
                body: &block.body,
                ..outer
            };
            (block, inner)
        })
    }

    pub(super) fn span(&self, part: &impl hcl_edit::Span) -> Span {
        let nowhere = Span {
            file: String::new(),
            start: 0,
            end: 0,
        };
        self.place.of(part).unwrap_or(nowhere)
    }

    pub(super) fn header(&self, block: &Block) -> Span {
        schema::header(block, self.place).unwrap_or_else(|| self.span(&block.ident))
    }

    pub(super) fn error(&self, span: Span, summary: impl Into<String>, detail: impl Into<String>) -> Diagnostic {
        Diagnostic::error(summary, detail).at(span).within(self.context)
    }

    /// Evaluates an expression of the block.
    pub(super) fn evaluate(
        &self,
        expression: &Expression,
        names: &Names<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        let before = diagnostics.len();
        let value = eval::evaluate(expression, names, self.place, diagnostics);
        for diagnostic in &mut diagnostics[before..] {
            diagnostic.context = Some(self.context.to_owned());
        }
        value
    }

    /// Reads a setting: known, and no secret, for plans show it. Absent and null are the same.
    pub(super) fn setting(
        &self,
        name: &str,
        of: &Type,
        names: &Names<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Read<Value>> {
        let attribute = self.attribute(name)?;
        let span = self.span(&attribute.value);
        let value = self.evaluate(&attribute.value, names, diagnostics)?;
        let wrong = |summary: &str, detail: String| {
            let mut diagnostic = self.error(span.clone(), summary, detail);
            diagnostic.values = eval::values(&attribute.value, names, self.place);
            diagnostic
        };
        if value.is_null() {
            return None;
        }
        if value.has_sensitive() {
            let detail = format!(
                "\"{name}\" appears in plans, so it cannot depend on a sensitive value. Use nonsensitive() where it is no secret."
            );
            diagnostics.push(wrong("Sensitive value in a setting", detail));
            return None;
        }
        if value.has_ephemeral() {
            let detail = format!(
                "\"{name}\" is kept in the record, so it cannot depend on an ephemeral value. A password can: it is kept encrypted."
            );
            diagnostics.push(wrong("Ephemeral value in a setting", detail));
            return None;
        }
        if value.has_unknown() && names.is_lenient {
            return None;
        }
        if value.has_unknown() {
            let detail = format!("\"{name}\" must be known when a plan is made.");
            diagnostics.push(wrong("Unknown value in a setting", detail));
            return None;
        }
        match convert::convert(&value, of) {
            Ok(value) => Some(Read { value, span }),
            Err(why) => {
                diagnostics.push(wrong(
                    "Incorrect attribute value type",
                    format!("Inappropriate value for \"{name}\": {why}."),
                ));
                None
            }
        }
    }

    /// Checks a rule, a block with a `condition` and an `error_message`; returns what is wrong where it does not hold. What
    /// is unknown breaks no rule.
    pub(super) fn broken(
        &self,
        summary: &str,
        names: &Names<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Diagnostic> {
        let (condition, message) = (self.attribute("condition")?, self.attribute("error_message")?);
        let result = self.evaluate(&condition.value, names, diagnostics)?;
        if result.is_unknown() {
            return None;
        }
        let text = match convert::to_bool(&result) {
            Ok(true) => return None,
            Err(why) => format!("The condition of the rule has no answer: {why}."),
            Ok(false) => self
                .evaluate(&message.value, names, diagnostics)
                .filter(|message| message.all_marks() == Marks::default())
                .and_then(|message| convert::to_text(&message).ok())
                .unwrap_or_else(|| "The condition does not hold.".to_owned()),
        };
        let mut diagnostic = self.error(self.span(&condition.value), summary, text);
        diagnostic.values = eval::values(&condition.value, names, self.place);
        Some(diagnostic)
    }

    pub(super) fn text(
        &self,
        name: &str,
        names: &Names<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Read<String>> {
        let read = self.setting(name, &Type::String, names, diagnostics)?;
        let value = convert::to_text(&read.value).ok()?;
        Some(Read { value, span: read.span })
    }

    pub(super) fn flag(&self, name: &str, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<bool> {
        let read = self.setting(name, &Type::Bool, names, diagnostics)?;
        convert::to_bool(&read.value).ok()
    }

    /// Reads a whole number within limits.
    pub(super) fn whole<T: TryFrom<i128> + Into<i128> + Copy>(
        &self,
        name: &str,
        (least, most): (T, T),
        names: &Names<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Read<T>> {
        let read = self.setting(name, &Type::Number, names, diagnostics)?;
        let number = convert::to_number(&read.value).ok()?;
        let (least, most) = (least.into(), most.into());
        let whole = number
            .whole()
            .filter(|whole| (least..=most).contains(whole))
            .and_then(|whole| T::try_from(whole).ok());
        if whole.is_none() {
            let detail = format!("\"{name}\" must be a whole number from {least} to {most}, not {number}.");
            let mut diagnostic = self.error(read.span.clone(), "Value out of range", detail);
            if let Some(attribute) = self.attribute(name) {
                diagnostic.values = eval::values(&attribute.value, names, self.place);
            }
            diagnostics.push(diagnostic);
        }
        Some(Read {
            value: whole?,
            span: read.span,
        })
    }

    /// Reads one of several words.
    pub(super) fn word<T: Copy + Display>(
        &self,
        name: &str,
        known: &[T],
        names: &Names<'_>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<(T, Span)> {
        let read = self.text(name, names, diagnostics)?;
        if let Some(found) = known.iter().find(|word| word.to_string() == read.value) {
            return Some((*found, read.span));
        }
        let words: Vec<String> = known.iter().map(ToString::to_string).collect();
        let words = || words.iter().map(String::as_str);
        let detail = format!(
            "\"{name}\" must be {}, not \"{}\".{}",
            choice(words()),
            read.value,
            did_you_mean(&read.value, words())
        );
        diagnostics.push(self.error(read.span, format!("Unknown {name}"), detail));
        None
    }

    /// Reads a list of texts.
    pub(super) fn texts(&self, name: &str, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> Vec<String> {
        let of = Type::List(Box::new(Type::String));
        let Some(read) = self.setting(name, &of, names, diagnostics) else {
            return Vec::new();
        };
        match &read.value.kind {
            Kind::List(parts) => parts
                .items
                .iter()
                .filter_map(|item| convert::to_text(item).ok())
                .collect(),
            _ => Vec::new(),
        }
    }
}
