//! What is wrong with a configuration or a plan, and where: collected, never thrown.
//!
//! A stage returns what it could make out together with all its diagnostics, so that one run tells everything.

use serde::Serialize;

/// How bad a diagnostic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing can be done until it is mended.
    Error,
    /// Worth knowing; nothing stops.
    Warning,
}

/// A place in a source file, in bytes. [`crate::source::Source`] turns it into line and column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Span {
    /// The file's name as the user gave it, relative to the configuration's directory.
    pub file: String,
    /// The first byte the diagnostic is about.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A few words, without a full stop: "Unsupported argument".
    pub summary: String,
    /// Sentences that name the rule and the way out; a "Did you mean" comes last.
    pub detail: String,
    /// Where; absent for what has no place in a file.
    pub span: Option<Span>,
    /// The block around the place, as a reader would name it: `cluster "orders"`.
    pub context: Option<String>,
    /// The values that led to it, each a fragment: `var.port is 80`.
    pub values: Vec<String>,
    /// Where else what it is about is declared, by name: `cluster.orders.node.a`.
    pub also: Vec<(String, Span)>,
}

impl Diagnostic {
    /// Makes an error.
    pub fn error(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            summary: summary.into(),
            detail: detail.into(),
            span: None,
            context: None,
            values: Vec::new(),
            also: Vec::new(),
        }
    }

    /// Makes a warning.
    pub fn warning(summary: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(summary, detail)
        }
    }

    /// Says where it is.
    #[must_use]
    pub fn at(mut self, span: Span) -> Self {
        self.span = Some(span);
        self
    }

    /// Says which block it is in.
    #[must_use]
    pub fn within(mut self, context: impl Into<String>) -> Self {
        self.context = Some(context.into());
        self
    }

    /// Adds a value that led to it.
    #[must_use]
    pub fn value(mut self, fragment: impl Into<String>) -> Self {
        self.values.push(fragment.into());
        self
    }

    /// Adds another thing that it is about, and where that is declared.
    #[must_use]
    pub fn also(mut self, name: impl Into<String>, span: Span) -> Self {
        self.also.push((name.into(), span));
        self
    }

    /// Returns whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}
