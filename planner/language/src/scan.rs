//! Messages for text that has no syntax tree, in words of what people do: a quote or a bracket that is not closed, a
//! `:` for a `=`, a comma after an attribute.
//!
//! The parser says where it gave up, which is often far from the mistake; what is found here is said instead.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::number::{self, Number};
use crate::source::Place;
use crate::token::{Kind, Token, Tokens, Unclosed};

/// Returns the ranges of the blocks and attributes at the top of a text, so that each can be parsed by itself.
pub(crate) fn top_level(text: &str, tokens: &Tokens, dialect: &Dialect) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = None;
    // Braces, brackets and parentheses each for themselves, so that one too many does not close another.
    let mut open = [0_i32; 3];
    for (index, token) in tokens.tokens.iter().enumerate() {
        if is_header(text, &tokens.tokens[index..], dialect) {
            ranges.extend(start.take().map(|start| start..token.start));
            open = [0; 3];
        }
        let of = match token.kind {
            Kind::OpenBracket | Kind::CloseBracket => &mut open[1],
            Kind::OpenParenthesis | Kind::CloseParenthesis => &mut open[2],
            _ => &mut open[0],
        };
        *of = (*of + token.nesting()).max(0);
        if token.kind == Kind::Newline && open == [0; 3] {
            ranges.extend(start.take().map(|start| start..token.end));
        } else if token.kind != Kind::Newline {
            start.get_or_insert(token.start);
        }
    }
    ranges.extend(start.map(|start| start..text.len()));
    ranges
}

/// Returns whether tokens start with the header of a top-level block in the first column: what is open before it was
/// forgotten.
fn is_header(text: &str, tokens: &[Token], dialect: &Dialect) -> bool {
    let [first, second, ..] = tokens else {
        return false;
    };
    first.kind == Kind::Ident
        && (first.start == 0 || text[..first.start].ends_with('\n'))
        && dialect.blocks.contains(&first.text(text))
        && matches!(second.kind, Kind::OpenQuote | Kind::OpenBrace)
}

/// Looks for the mistakes people make.
pub(crate) fn scan(text: &str, tokens: &Tokens, place: &Place, dialect: &Dialect) -> Vec<Diagnostic> {
    let mut scanner = Scanner {
        text,
        place,
        frames: vec![Frame::new(None, true)],
        found: Vec::new(),
    };
    for unclosed in &tokens.unclosed {
        scanner.unclosed(*unclosed);
    }
    // Where a string is not closed, brackets may be text, and text brackets.
    let mut brackets = tokens.unclosed.is_empty();
    for (index, token) in tokens.tokens.iter().enumerate() {
        if brackets && scanner.frames.len() > 1 && is_header(text, &tokens.tokens[index..], dialect) {
            scanner.open_at_end();
        }
        let next = tokens.tokens.get(index + 1).map(|next| next.kind);
        brackets &= scanner.stray(*token);
        if brackets {
            scanner.token(*token, next);
        }
    }
    if brackets {
        scanner.open_at_end();
    }
    scanner.found
}

/// What is open around a token.
struct Frame {
    open: Option<Token>,
    /// Whether it holds attributes and blocks; else it is part of an expression.
    body: bool,
    /// Whether its first attribute stands on the line of its brace.
    one_line: bool,
    statement: Statement,
    attributes: BTreeMap<String, usize>,
}

/// Where in an attribute or a block header the scan is.
#[derive(Clone, Copy, PartialEq)]
enum Statement {
    Start,
    /// After the name.
    Name(usize),
    Header,
    /// In an expression; whether it could end here.
    Expression(bool),
    /// What is wrong with it has been said.
    Skip,
}

impl Frame {
    fn new(open: Option<Token>, body: bool) -> Self {
        Self {
            open,
            body,
            one_line: false,
            statement: Statement::Start,
            attributes: BTreeMap::new(),
        }
    }
}

struct Scanner<'t> {
    text: &'t str,
    place: &'t Place,
    frames: Vec<Frame>,
    found: Vec<Diagnostic>,
}

impl Scanner<'_> {
    fn report(&mut self, range: Range<usize>, summary: &str, detail: impl Into<String>) {
        let mut diagnostic = Diagnostic::error(summary, detail);
        diagnostic.span = self.place.span(range);
        self.found.push(diagnostic);
    }

    fn line_end(&self, start: usize) -> usize {
        self.text[start..]
            .find(['\n', '\r'])
            .map_or(self.text.len(), |end| start + end)
    }

    fn line(&self, at: usize) -> usize {
        self.text[..at].matches('\n').count() + 1
    }

    fn unclosed(&mut self, unclosed: Unclosed) {
        let (start, summary, detail) = match unclosed {
            Unclosed::String(start) => (
                start,
                "Unterminated string",
                if self.text[start..self.line_end(start)].contains("${") {
                    "The string that starts here is not closed on its line, or a ${ in it is not. Close it with a double \
                     quote, and each ${ with a }."
                } else {
                    "The string that starts here is not closed on its line. Close it with a double quote; for text of \
                     several lines write a heredoc: <<EOT."
                }
                .to_owned(),
            ),
            Unclosed::Heredoc(start) => {
                let marker = self.text[start..self.line_end(start)].trim_start_matches(['<', '-']).to_owned();
                let detail = format!("No line after it holds {marker} alone, which would close it.");
                (start, "Unterminated heredoc", detail)
            }
            Unclosed::Comment(start) => {
                (start, "Unterminated comment", "The comment that starts here is not closed. Close it with */.".to_owned())
            }
        };
        self.report(start..self.line_end(start), summary, detail);
    }

    /// Reports a character without meaning. Returns whether brackets can still be trusted.
    fn stray(&mut self, token: Token) -> bool {
        let (summary, detail) = match (token.kind, token.text(self.text)) {
            (Kind::Stray, ";") => (
                "Unexpected semicolon",
                "Attributes and blocks end with a new line, not with a semicolon.",
            ),
            (Kind::Stray, "'") => ("Single quotes", "Strings stand in double quotes."),
            (Kind::Stray, "`") => ("Backquote", "Strings stand in double quotes."),
            (Kind::Stray, "&" | "|") => ("Unsupported operator", "The logical operators are && and ||."),
            (Kind::Number, written) if number::is_large(written) && Number::parse(written).is_none() => {
                ("Number out of range", number::RANGE)
            }
            (Kind::Ident, word) if word.starts_with(['“', '”', '‘', '’', '„']) => {
                ("Typographic quotes", "Strings stand in plain double quotes.")
            }
            _ => return true,
        };
        let quote = matches!(summary, "Single quotes" | "Backquote" | "Typographic quotes");
        // The closing quote, and what is between, need no message of their own.
        let said = self
            .found
            .last()
            .and_then(|last| last.span.as_ref())
            .map(|span| span.end);
        let end = if quote { self.line_end(token.start) } else { token.end };
        if said.is_none() || said != self.place.span(token.start..end).map(|span| span.end) {
            self.report(token.start..end, summary, detail);
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.statement = Statement::Skip;
        }
        !quote
    }

    fn open_at_end(&mut self) {
        let open = self.frames.drain(1..).next_back().and_then(|frame| frame.open);
        self.frames[0].statement = Statement::Start;
        if let Some(open) = open {
            let what = open.text(self.text);
            let detail = format!("The {what} here is never closed. Close it with {}.", closer(open.kind));
            self.report(open.range(), "Unclosed bracket", detail);
        }
    }

    fn token(&mut self, token: Token, next: Option<Kind>) {
        if token.nesting() < 0 {
            return self.close(token);
        }
        if let Some(frame) = self.frames.last()
            && frame.body
        {
            self.statement(token, next);
        }
        if token.nesting() > 0 {
            let header = |statement| matches!(statement, Statement::Name(_) | Statement::Header);
            let body = token.kind == Kind::OpenBrace
                && self
                    .frames
                    .last()
                    .is_some_and(|frame| frame.body && header(frame.statement));
            let mut frame = Frame::new(Some(token), body);
            frame.one_line = !matches!(next, Some(Kind::Newline | Kind::LineComment));
            self.frames.push(frame);
        }
    }

    fn close(&mut self, token: Token) {
        let text = token.text(self.text);
        match self.frames.last().and_then(|frame| frame.open) {
            None => {
                let detail = format!("Nothing is open that this {text} could close. Remove it.");
                self.report(token.range(), "Unexpected closing bracket", detail);
            }
            Some(open) => {
                let expected = closer(open.kind);
                if expected != text.trim_start_matches('~') {
                    let (opener, line) = (open.text(self.text), self.line(open.start));
                    let detail =
                        format!("The {opener} of line {line} is open here and must be closed with {expected} first.");
                    self.report(token.range(), "Wrong closing bracket", detail);
                }
                self.frames.pop();
            }
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.statement = match frame.statement {
                Statement::Expression(_) => Statement::Expression(true),
                Statement::Header | Statement::Name(_) => Statement::Skip,
                other => other,
            };
        }
    }

    fn statement(&mut self, token: Token, next: Option<Kind>) {
        let Some(frame) = self.frames.last() else {
            return;
        };
        let (statement, one_line) = (frame.statement, frame.one_line);
        let mut becomes = statement;
        match (statement, token.kind) {
            (_, Kind::Newline) if one_line && !matches!(statement, Statement::Skip) => {
                let open = frame.open.map_or(0..0, |open| open.range());
                let detail = "A block that has something on the line of its { must end on that line. Begin a new line after the {.";
                self.report(open, "Block on one line does not end there", detail);
                becomes = Statement::Skip;
                if let Some(frame) = self.frames.last_mut() {
                    frame.one_line = false;
                }
            }
            (_, Kind::Newline) => becomes = Statement::Start,
            (_, Kind::LineComment | Kind::BlockComment) | (Statement::Skip, _) => {}
            (Statement::Start, Kind::Ident) => {
                becomes = Statement::Name(token.start);
                if next == Some(Kind::Equal) {
                    self.attribute(token);
                }
            }
            (Statement::Name(start), Kind::Colon) => {
                let name = &self.text[start..token.start].trim_end();
                let detail = format!("An attribute is set with an equals sign: {name} = ...");
                self.report(token.range(), "Colon instead of an equals sign", detail);
                becomes = Statement::Skip;
            }
            (Statement::Name(_), Kind::Equal) => becomes = Statement::Expression(false),
            (Statement::Name(_) | Statement::Header, Kind::Ident | Kind::OpenQuote) => becomes = Statement::Header,
            (Statement::Expression(_), Kind::Comma) => {
                let detail = if one_line {
                    "A block on one line holds one attribute. Give each attribute a line of its own."
                } else {
                    "Attributes end with a new line, not with a comma."
                };
                self.report(token.range(), "Unexpected comma", detail);
                becomes = Statement::Skip;
            }
            (
                Statement::Expression(true),
                Kind::Ident | Kind::Number | Kind::OpenQuote | Kind::OpenBrace | Kind::Equal,
            ) => {
                let detail = "The value before it is complete, so a new line must follow. Is an operator missing, or are quotes?";
                self.report(token.range(), "Missing newline after attribute", detail);
                becomes = Statement::Skip;
            }
            (Statement::Expression(_), kind) => becomes = Statement::Expression(ends_operand(kind)),
            _ => {}
        }
        if let Some(frame) = self.frames.last_mut() {
            frame.statement = becomes;
        }
    }

    fn attribute(&mut self, token: Token) {
        let name = token.text(self.text);
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        if let Some(before) = frame.attributes.insert(name.to_owned(), token.start) {
            let line = self.line(before);
            let detail = format!("The attribute \"{name}\" was already set on line {line}. Keep one of the two.");
            self.report(token.range(), "Attribute redefined", detail);
        }
    }
}

fn ends_operand(kind: Kind) -> bool {
    matches!(kind, Kind::Ident | Kind::Number | Kind::CloseQuote | Kind::CloseHeredoc)
}

fn closer(open: Kind) -> &'static str {
    match open {
        Kind::OpenBracket => "]",
        Kind::OpenParenthesis => ")",
        _ => "}",
    }
}
