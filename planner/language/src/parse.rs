//! Text to syntax trees. A file with a mistake gives the trees of its other blocks, and a message for each mistake.

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::parser::{Error, parse_body, parse_expr};
use hcl_edit::structure::Body;
use hcl_edit::visit_mut::{self, VisitMut};

use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::heredoc;
use crate::number::{Number, is_large};
use crate::scan;
use crate::source::{BYTE_ORDER_MARK, Place};
use crate::token::{Kind, Token, Unclosed, tokenize};

/// A syntax tree, and the text its ranges count in.
#[derive(Debug)]
pub struct Piece {
    /// The tree.
    pub body: Body,
    /// Where its ranges count from.
    pub place: Place,
}

/// Parses a file: one piece where it has no mistake, else one for each top-level block without one.
pub fn parse(name: &str, text: &str, dialect: &Dialect) -> (Vec<Piece>, Vec<Diagnostic>) {
    let text_without = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let place = Place::new(name, text.len() - text_without.len());
    let error = match piece(text_without, place.clone()) {
        Ok(piece) => return (vec![piece], split_strings(text_without, &place, dialect)),
        Err(error) => error,
    };
    let tokens = tokenize(text_without);
    let mut diagnostics = scan::scan(text_without, &tokens, &place, dialect);
    let mut pieces = Vec::new();
    for range in scan::top_level(text_without, &tokens, dialect) {
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

/// Returns what is wrong with quoted strings that go on in another line: the parser takes them.
fn split_strings(text: &str, place: &Place, dialect: &Dialect) -> Vec<Diagnostic> {
    let tokens = tokenize(text);
    if tokens.unclosed.is_empty() {
        return Vec::new();
    }
    scan::scan(text, &tokens, place, dialect)
}

/// Parses a text that has no mistake, behind as many spaces as tell its places from those of other files.
pub fn parse_behind(name: &str, text: &str, spaces: usize) -> (Vec<Piece>, Vec<Diagnostic>) {
    let without = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let place = Place::new(name, text.len() - without.len()).behind(spaces);
    parse_at(&format!("{}{without}", " ".repeat(spaces)), &place)
}

/// Parses a text whose place is known.
pub fn parse_at(text: &str, place: &Place) -> (Vec<Piece>, Vec<Diagnostic>) {
    match piece(text, place.clone()) {
        Ok(piece) => (vec![piece], Vec::new()),
        Err(error) => (Vec::new(), vec![syntax_error(&error, text, place)]),
    }
}

fn piece(text: &str, place: Place) -> Result<Piece, Error> {
    let mut body = body(text)?;
    heredoc::mend(&mut body, text);
    Ok(Piece { body, place })
}

/// Parses a text, whatever numbers it has.
pub(crate) fn body(text: &str) -> Result<Body, Error> {
    parse_body(text).or_else(|error| {
        let smaller = without_large_numbers(text).ok_or(error)?;
        let mut body = parse_body(&smaller)?;
        Numbers { text }.visit_body_mut(&mut body);
        Ok(body)
    })
}

/// Reads an expression that is not in a file of a configuration.
pub fn expression(text: &str) -> Result<Expression, Error> {
    let mut expression = match parse_expr(text) {
        Ok(expression) => expression,
        Err(error) => {
            let smaller = without_large_numbers(text).ok_or(error)?;
            let mut expression = parse_expr(&smaller)?;
            Numbers { text }.visit_expr_mut(&mut expression);
            expression
        }
    };
    heredoc::mend_expression(&mut expression, text);
    Ok(expression)
}

/// Returns whether a text goes on in the next line: a bracket or a heredoc is open.
pub fn is_unfinished(text: &str) -> bool {
    let tokens = tokenize(text);
    let is_open = |unclosed: &Unclosed| matches!(unclosed, Unclosed::Heredoc(_) | Unclosed::Comment(_));
    tokens.unclosed.iter().any(is_open) || tokens.tokens.iter().map(Token::nesting).sum::<i32>() > 0
}

/// Writes numbers that are too large for the parser's floats with zero exponents, so that nothing moves. Returns nothing
/// where there are none, or any is out of range.
fn without_large_numbers(text: &str) -> Option<String> {
    let mut smaller = String::new();
    let mut after = 0;
    for token in tokenize(text).tokens {
        let written = token.text(text);
        if token.kind == Kind::Number && is_large(written) {
            Number::parse(written)?;
            let exponent = written.find(['e', 'E']).map_or(written.len(), |at| at + 1);
            smaller.push_str(&text[after..token.start + exponent]);
            smaller.push_str(&"0".repeat(written.len() - exponent));
            after = token.end;
        }
    }
    smaller.push_str(&text[after..]);
    (after > 0 && smaller != text).then_some(smaller)
}

/// Puts calls that read the digits of another text in the place of the numbers that a float cannot hold.
struct Numbers<'t> {
    text: &'t str,
}

impl VisitMut for Numbers<'_> {
    fn visit_expr_mut(&mut self, node: &mut Expression) {
        visit_mut::visit_expr_mut(self, node);
        let written = match node {
            Expression::Number(number) => number.span().and_then(|span| self.text.get(span)),
            _ => None,
        };
        if let Some(written) = written.filter(|written| is_large(written)) {
            let call = parse_expr(&format!("tonumber(\"{written}\")"));
            *node = call.expect("a call with a text of digits is an expression");
        }
    }
}

/// Puts the parser's message in our form.
pub fn syntax_error(error: &Error, text: &str, place: &Place) -> Diagnostic {
    let start = text.floor_char_boundary(error.location().offset());
    let end = text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
    let mut diagnostic = Diagnostic::error(
        "Syntax error",
        format!("The text cannot be read here: {}.", error.message()),
    );
    diagnostic.span = place.span(start..end);
    diagnostic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_goes_on_where_something_is_open() {
        for (text, unfinished) in [
            ("[1,", true),
            ("[1]", false),
            ("<<EOT\na", true),
            ("\"a", false),
            ("f(\"${", true),
        ] {
            assert_eq!(is_unfinished(text), unfinished, "{text}");
        }
    }
}
