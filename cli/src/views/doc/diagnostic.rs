//! Diagnostics in the shape of Terraform's `validate -json`, so that editors understand them.

use serde::Serialize;
use simdb_planner::config::{Parameter, Position, Source, function_signatures};
use simdb_planner::diagnostic::{Diagnostic, Severity, Span};

use super::FORMAT_VERSION;

/// The answer of `validate -json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidationDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// Whether there is no error.
    pub valid: bool,
    /// How many errors there are.
    pub error_count: usize,
    /// How many warnings there are.
    pub warning_count: usize,
    /// All of both.
    pub diagnostics: Vec<DiagnosticDoc>,
}

impl ValidationDoc {
    /// Counts diagnostics.
    pub fn new(diagnostics: Vec<DiagnosticDoc>) -> Self {
        let error_count = diagnostics.iter().filter(|diagnostic| diagnostic.is_error()).count();
        Self {
            format_version: FORMAT_VERSION,
            valid: error_count == 0,
            error_count,
            warning_count: diagnostics.len() - error_count,
            diagnostics,
        }
    }
}

/// One diagnostic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DiagnosticDoc {
    /// `error` or `warning`.
    pub severity: Severity,
    /// A few words.
    pub summary: String,
    /// Sentences.
    pub detail: String,
    /// Where it is, where it has a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub range: Option<RangeDoc>,
    /// What stands there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snippet: Option<SnippetDoc>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RangeDoc {
    /// The file, relative to the configuration's directory.
    pub filename: String,
    /// Its first character.
    pub start: PositionDoc,
    /// The character after its last.
    pub end: PositionDoc,
}

/// A position: line and column from 1, byte from 0.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PositionDoc {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// The byte of the file.
    pub byte: usize,
}

/// The source line of a diagnostic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SnippetDoc {
    /// The block around it.
    pub context: Option<String>,
    /// The line.
    pub code: String,
    /// Its number.
    pub start_line: usize,
    /// The byte of `code` where the place starts.
    pub highlight_start_offset: usize,
    /// The byte of `code` where the place ends.
    pub highlight_end_offset: usize,
    /// The values that led to it.
    pub values: Vec<ValueDoc>,
    /// The function that was called, where one failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub function_call: Option<FunctionCallDoc>,
}

/// The call of a function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FunctionCallDoc {
    /// The function's name.
    pub called_as: String,
    /// The call as people write it: `lookup(map, key, default)`.
    #[serde(skip)]
    pub text: String,
    /// What the function takes and returns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<SignatureDoc>,
}

/// What a function takes and returns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SignatureDoc {
    /// Its name.
    pub name: String,
    /// Its parameters.
    pub params: Vec<ParameterDoc>,
    /// The one that may be given any number of times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variadic_param: Option<ParameterDoc>,
    /// The type of its result.
    pub return_type: String,
}

/// A parameter of a function.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterDoc {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub of: String,
}

impl FunctionCallDoc {
    /// Reads what a diagnostic says of a call: `while calling lookup(map, key, default)`.
    fn read(fragment: &str) -> Option<Self> {
        let text = fragment.strip_prefix("while calling ")?;
        let name = text.split('(').next().unwrap_or(text);
        let function = function_signatures().into_iter().find(|function| function.name == name);
        let parameter = |parameter: &Parameter| ParameterDoc {
            name: parameter.name.to_owned(),
            of: parameter.of.to_owned(),
        };
        let signature = function.map(|function| SignatureDoc {
            name: name.to_owned(),
            params: function
                .parameters
                .iter()
                .filter(|one| !one.variadic)
                .map(parameter)
                .collect(),
            variadic_param: function.parameters.iter().find(|one| one.variadic).map(parameter),
            return_type: function.returns.to_owned(),
        });
        Some(Self {
            called_as: name.to_owned(),
            text: text.to_owned(),
            signature,
        })
    }
}

/// A value that led to a diagnostic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValueDoc {
    /// What has the value: `var.port`.
    pub traversal: String,
    /// The value, as a fragment: `is 80`.
    pub statement: String,
}

impl DiagnosticDoc {
    /// Finds out what stands at a diagnostic's place.
    pub fn new(diagnostic: &Diagnostic, source: &Source) -> Self {
        let place = diagnostic
            .span
            .as_ref()
            .and_then(|span| Some((span, source.positions(span)?)));
        Self {
            severity: diagnostic.severity,
            summary: diagnostic.summary.clone(),
            detail: diagnostic.detail.clone(),
            range: place.as_ref().map(|(span, (start, end))| RangeDoc {
                filename: span.file.clone(),
                start: position(*start),
                end: position(*end),
            }),
            snippet: place.and_then(|(span, (start, end))| snippet(diagnostic, source, span, start, end)),
        }
    }

    /// Takes a diagnostic that has no place in a file.
    pub fn unplaced(diagnostic: &Diagnostic) -> Self {
        Self::new(diagnostic, &Source::default())
    }

    /// Returns whether it is an error.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Finds out what stands at the places of many.
    pub fn all<'a>(diagnostics: impl IntoIterator<Item = &'a Diagnostic>, source: &Source) -> Vec<Self> {
        diagnostics
            .into_iter()
            .map(|diagnostic| Self::new(diagnostic, source))
            .collect()
    }
}

fn position(position: Position) -> PositionDoc {
    let Position { line, column, byte } = position;
    PositionDoc { line, column, byte }
}

/// Cuts out the first line of a place; what goes on beyond it is highlighted to the line's end.
fn snippet(
    diagnostic: &Diagnostic,
    source: &Source,
    span: &Span,
    start: Position,
    end: Position,
) -> Option<SnippetDoc> {
    let code = source.line(&span.file, start.line)?.to_owned();
    let byte_of = |column: usize| code.char_indices().nth(column - 1).map_or(code.len(), |(byte, _)| byte);
    let value = |fragment: &String| {
        let (traversal, statement) = fragment.split_once(' ').unwrap_or((fragment, ""));
        ValueDoc {
            traversal: traversal.to_owned(),
            statement: statement.to_owned(),
        }
    };
    let values = diagnostic
        .values
        .iter()
        .filter(|fragment| !fragment.starts_with("while calling "));
    let also = diagnostic.also.iter().filter_map(|(name, span)| {
        let (start, _) = source.positions(span)?;
        Some(ValueDoc {
            traversal: name.clone(),
            statement: format!("is declared on {} line {}", span.file, start.line),
        })
    });
    Some(SnippetDoc {
        context: diagnostic.context.clone(),
        start_line: start.line,
        highlight_start_offset: byte_of(start.column),
        highlight_end_offset: if end.line == start.line {
            byte_of(end.column)
        } else {
            code.len()
        },
        values: values.map(value).chain(also).collect(),
        function_call: diagnostic
            .values
            .iter()
            .find_map(|fragment| FunctionCallDoc::read(fragment)),
        code,
    })
}
