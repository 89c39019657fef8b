//! The files of a configuration, and where their bytes stand as people count them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::diagnostic::Span;

/// What some editors put before the first byte of a file.
pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

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
    pub fn place(&self, span: &Span) -> String {
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
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The file; absent for text that is in none, such as an argument of the command line.
    file: Option<Arc<str>>,
    /// Where in the file the text starts.
    shift: usize,
    /// Where the text starts among those of other files that are in the same tree.
    behind: usize,
    /// The other files, by where they start.
    others: Arc<Vec<Place>>,
    /// Where parts of the text start, and where in the file what they stand for is; absent where the text is the file's.
    anchors: Option<Anchors>,
}

/// Where parts of a text start, in order, and where in another text what they stand for is.
type Anchors = Arc<Vec<(usize, Range<usize>)>>;

impl Place {
    /// Makes the place of text that starts at a byte of a file.
    pub fn new(file: &str, shift: usize) -> Self {
        Self {
            file: Some(file.into()),
            shift,
            ..Self::default()
        }
    }

    /// Makes the place of text that is in no file.
    pub fn nowhere() -> Self {
        Self::default()
    }

    /// Returns the same file, some bytes further on.
    pub(crate) fn shifted(&self, bytes: usize) -> Self {
        Self {
            shift: self.shift + bytes,
            ..self.clone()
        }
    }

    /// Returns the same file for text that other text stands before.
    pub(crate) fn behind(&self, bytes: usize) -> Self {
        Self {
            behind: bytes,
            ..self.clone()
        }
    }

    /// Returns the same file for text that was made from it.
    #[must_use]
    pub fn mapped(&self, anchors: Vec<(usize, Range<usize>)>) -> Self {
        Self {
            anchors: Some(Arc::new(anchors)),
            ..self.clone()
        }
    }

    /// Lets the text hold parts of other files, each from where it starts.
    pub fn also(&mut self, others: &[Place]) {
        self.others = Arc::new(others.to_vec());
    }

    /// Returns where a range of the text stands.
    pub fn span(&self, range: Range<usize>) -> Option<Span> {
        let other = self
            .others
            .iter()
            .filter(|other| other.behind <= range.start)
            .max_by_key(|other| other.behind);
        if let Some(other) = other.filter(|other| other.behind > self.behind) {
            return other.span(range);
        }
        let range = match &self.anchors {
            Some(anchors) => {
                let after = anchors.partition_point(|(start, _)| *start <= range.start);
                after.checked_sub(1).map_or(0..0, |index| anchors[index].1.clone())
            }
            None => range.start - self.behind..range.end - self.behind,
        };
        self.file.as_ref().map(|file| Span {
            file: file.to_string(),
            start: range.start + self.shift,
            end: range.end + self.shift,
        })
    }

    /// Returns where a part of a syntax tree stands.
    pub fn of(&self, part: &impl hcl_edit::Span) -> Option<Span> {
        part.span().and_then(|range| self.span(range))
    }
}
