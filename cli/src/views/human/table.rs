//! Tables without lines. The last column takes what is left of the width, or the lines below where that is too little;
//! where even the others do not fit, each row is a list.

use std::fmt::Display;

use anstyle::Style;

use super::style::{DIM, PLAIN, paint};
use super::text::{length, wrap};

/// Between two columns.
const GAP: &str = "  ";
/// The least width of a last column that holds sentences.
const ROOM: usize = 28;

/// What stands for a value that is not there.
const NOTHING: &str = "-";

/// One cell.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Makes a cell with a style.
    pub(crate) fn styled(text: impl Display, style: Style) -> Self {
        Self {
            text: format!("{text}"),
            style,
        }
    }

    /// Makes a plain cell.
    pub(crate) fn plain(text: impl Display) -> Self {
        Self::styled(text, PLAIN)
    }

    /// Makes a cell of something that may not be there.
    pub(crate) fn optional(value: Option<impl Display>) -> Self {
        value.map_or_else(|| Self::styled(NOTHING, DIM), Self::plain)
    }
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table<const N: usize> {
    header: [&'static str; N],
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    /// Makes a table.
    pub(crate) fn new(header: [&'static str; N], rows: Vec<[Cell; N]>) -> Self {
        Self { header, rows }
    }

    /// Lays the table out, each line indented by `indent`.
    pub(crate) fn render(&self, indent: &str, width: usize) -> String {
        let widths = self.widths();
        let before_last: usize = widths[..N - 1].iter().map(|width| width + GAP.len()).sum();
        if indent.len() + before_last > width + GAP.len() {
            return self.lists(indent, width, widths[0]);
        }
        let left = width.saturating_sub(indent.len() + before_last);
        let beside = left >= widths[N - 1].min(ROOM);
        let header = self.header.map(|text| Cell::styled(text, DIM));
        let shown = if beside { N } else { N - 1 };
        let mut text = format!("{indent}{}\n", line(&header, &widths, shown));
        for row in &self.rows {
            let last = &row[N - 1];
            let room = if beside {
                left
            } else {
                width.saturating_sub(indent.len() + widths[0] + GAP.len())
            };
            let mut pieces = wrap(&last.text, room.max(1)).into_iter();
            let margin = if beside { before_last } else { widths[0] + GAP.len() };
            let mut first = row.clone();
            first[N - 1].text = if beside {
                pieces.next().unwrap_or_default()
            } else {
                String::new()
            };
            text += &format!("{indent}{}\n", line(&first, &widths, shown));
            text.extend(pieces.map(|piece| format!("{indent}{:margin$}{}\n", "", paint(last.style, piece))));
        }
        text
    }

    /// Writes each row as a list of its cells.
    fn lists(&self, indent: &str, width: usize, first: usize) -> String {
        let margin = first + GAP.len();
        let room = width.saturating_sub(indent.len() + margin).max(1);
        let mut text = String::new();
        for row in &self.rows {
            let head = &row[0];
            text += &format!("{indent}{}", paint(head.style, &head.text));
            text += &format!("{:1$}", "", margin - length(&head.text));
            let cells = row
                .iter()
                .zip(self.header)
                .skip(1)
                .filter(|(cell, _)| !matches!(&*cell.text, "" | NOTHING));
            let mut lines = Vec::new();
            for (cell, title) in cells {
                let label = format!("{title}: ");
                for piece in wrap(&format!("{label}{}", cell.text), room) {
                    lines.push(match piece.strip_prefix(&label) {
                        Some(rest) => format!("{}{}", paint(DIM, &label), paint(cell.style, rest)),
                        None => paint(cell.style, piece),
                    });
                }
            }
            text += &lines.join(&format!("\n{indent}{:margin$}", ""));
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> [usize; N] {
        std::array::from_fn(|column| {
            let cells = self.rows.iter().map(|row| length(&row[column].text));
            cells.fold(length(self.header[column]), usize::max)
        })
    }
}

/// Lays out the first `shown` cells of a row; nothing follows the last one.
fn line<const N: usize>(cells: &[Cell; N], widths: &[usize; N], shown: usize) -> String {
    let end = cells[..shown]
        .iter()
        .rposition(|cell| !cell.text.is_empty())
        .map_or(0, |last| last + 1);
    let mut line = String::new();
    for (column, cell) in cells[..end].iter().enumerate() {
        line.push_str(&paint(cell.style, &cell.text));
        if column + 1 < end {
            let padding = widths[column] - length(&cell.text);
            line.push_str(&format!("{:padding$}{GAP}", ""));
        }
    }
    line
}
