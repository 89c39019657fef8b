//! Text to syntax trees. A file with a mistake gives the trees of its other blocks, and a message for each mistake.

use hcl_edit::parser::{Error, parse_body};
use hcl_edit::structure::Body;

use crate::diagnostic::Diagnostic;

use super::heredoc;
use super::scan;
use super::source::{BYTE_ORDER_MARK, Place};
use super::token::tokenize;

/// A syntax tree, and the text its ranges count in.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) body: Body,
    pub(super) place: Place,
}

/// Parses a file: one piece where it has no mistake, else one for each top-level block without one.
pub(super) fn parse(name: &str, text: &str) -> (Vec<Piece>, Vec<Diagnostic>) {
    let text_without = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let place = Place::new(name, text.len() - text_without.len());
    let error = match piece(text_without, place.clone()) {
        Ok(piece) => return (vec![piece], Vec::new()),
        Err(error) => error,
    };
    let tokens = tokenize(text_without);
    let mut diagnostics = scan::scan(text_without, &tokens, &place);
    let mut pieces = Vec::new();
    for range in scan::top_level(text_without, &tokens) {
        match piece(&text_without[range.clone()], place.shifted(range.start)) {
            Ok(piece) => pieces.push(piece),
            Err(error) => {
                let whole = place.span(range.clone());
                let said = diagnostics.iter().filter_map(|diagnostic| diagnostic.span.as_ref());
                let is_said = whole.is_some_and(|whole| {
                    said.into_iter()
                        .any(|said| whole.start <= said.start && said.start < whole.end)
                });
                if !is_said {
                    diagnostics.push(syntax_error(
                        &error,
                        &text_without[range.clone()],
                        &place.shifted(range.start),
                    ));
                }
            }
        }
    }
    if diagnostics.is_empty() {
        diagnostics.push(syntax_error(&error, text_without, &place));
    }
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.as_ref().map(|span| span.start));
    (pieces, diagnostics)
}

fn piece(text: &str, place: Place) -> Result<Piece, Error> {
    let mut body = parse_body(text)?;
    heredoc::mend(&mut body, text);
    Ok(Piece { body, place })
}

/// Puts the parser's message in our form.
pub(super) fn syntax_error(error: &Error, text: &str, place: &Place) -> Diagnostic {
    let start = text.floor_char_boundary(error.location().offset());
    let end = text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
    let mut diagnostic = Diagnostic::error(
        "Syntax error",
        format!("The text cannot be read here: {}.", error.message()),
    );
    diagnostic.span = place.span(start..end);
    diagnostic
}
