//! The files of a configuration, and where their bytes stand as people count them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::Span;

/// What some editors put before the first byte of a file.
pub(super) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The files of a configuration, by name.
#[derive(Clone, Debug, Default)]
pub struct Source {
    files: BTreeMap<String, File>,
}

#[derive(Clone, Debug)]
struct File {
    text: String,
    /// The byte at which each line starts.
    lines: Vec<usize>,
}

/// A place in a file as people count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The byte, from 0.
    pub byte: usize,
}

impl Source {
    /// Adds a file under the name that diagnostics call it by.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) {
        let text = text.into();
        let lines = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(at, _)| at + 1))
            .collect();
        self.files.insert(name.into(), File { text, lines });
    }

    /// Returns the files by name.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .map(|(name, file)| (name.as_str(), file.text.as_str()))
    }

    /// Returns where a span starts and ends; nothing where the file is not one of these.
    pub fn positions(&self, span: &Span) -> Option<(Position, Position)> {
        let file = self.files.get(&span.file)?;
        Some((file.position(span.start), file.position(span.end)))
    }

    /// Returns the text of one line, counted from 1, without its end.
    pub fn line(&self, file: &str, line: usize) -> Option<&str> {
        let file = self.files.get(file)?;
        let start = *file.lines.get(line.checked_sub(1)?)?;
        let end = file.lines.get(line).map_or(file.text.len(), |next| next - 1);
        let text = file.text[start..end].trim_end_matches('\r');
        Some(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))
    }

    /// Returns a place as it stands in a sentence: `main.simdb.hcl:3,1`.
    pub(super) fn place(&self, span: &Span) -> String {
        match self.positions(span) {
            Some((start, _)) => format!("{}:{},{}", span.file, start.line, start.column),
            None => span.file.clone(),
        }
    }
}

impl File {
    fn position(&self, byte: usize) -> Position {
        let byte = self.text.floor_char_boundary(byte);
        let line = self.lines.partition_point(|start| *start <= byte);
        let before = &self.text[self.lines[line - 1]..byte];
        Position {
            line,
            column: before.chars().filter(|c| *c != BYTE_ORDER_MARK).count() + 1,
            byte,
        }
    }
}

/// The text that the ranges of a syntax tree count in: a file, or a part of it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The file; absent for text that is in none, such as an argument of the command line.
    file: Option<Arc<str>>,
    /// Where in the file the text starts.
    shift: usize,
}

impl Place {
    /// Makes the place of text that starts at a byte of a file.
    pub(super) fn new(file: &str, shift: usize) -> Self {
        Self {
            file: Some(file.into()),
            shift,
        }
    }

    /// Makes the place of text that is in no file.
    pub(super) fn nowhere() -> Self {
        Self { file: None, shift: 0 }
    }

    /// Returns the same file, some bytes further on.
    pub(super) fn shifted(&self, bytes: usize) -> Self {
        Self {
            file: self.file.clone(),
            shift: self.shift + bytes,
        }
    }

    /// Returns where a range of the text stands.
    pub(super) fn span(&self, range: Range<usize>) -> Option<Span> {
        self.file.as_ref().map(|file| Span {
            file: file.to_string(),
            start: range.start + self.shift,
            end: range.end + self.shift,
        })
    }

    /// Returns where a part of a syntax tree stands.
    pub(super) fn of(&self, part: &impl hcl_edit::Span) -> Option<Span> {
        part.span().and_then(|range| self.span(range))
    }
}
