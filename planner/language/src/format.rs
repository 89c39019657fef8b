//! Canonical style, on tokens: the text between them changes, they themselves never do.
//!
//! The style is that of `terraform fmt`: two spaces per open bracket, one between operands and operators, and the `=` and
//! the trailing comments of neighbouring lines one below the other.

use hcl_edit::expr::{Array, FuncArgs, Object};
use hcl_edit::structure::Body;
use hcl_edit::template::{ForDirective, IfDirective};
use hcl_edit::visit_mut::{self, VisitMut};
use unicode_segmentation::UnicodeSegmentation as _;

use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::parse::{self, parse};
use crate::source::BYTE_ORDER_MARK;
use crate::token::{Kind, Token, tokenize};

/// Returns a file in canonical style, or what keeps it from being read.
pub fn format(name: &str, text: &str, dialect: &Dialect) -> Result<String, Vec<Diagnostic>> {
    let (mark, body) = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(body) => (&text[..BYTE_ORDER_MARK.len_utf8()], body),
        None => ("", text),
    };
    let Some(meaning) = meaning(body) else {
        return Err(parse(name, text, dialect).1);
    };
    let formatted = formatted(body);
    // The parser reads some texts that the tokenizer does not, such as quotes within a `%{ if }` within quotes. They stay
    // as they are.
    let kept = if self::meaning(&formatted) == Some(meaning) {
        &formatted
    } else {
        body
    };
    Ok(format!("{mark}{kept}"))
}

/// Returns the syntax tree of a text, bare of what stands between its tokens.
pub(crate) fn meaning(text: &str) -> Option<Body> {
    let mut body = parse::body(text).ok()?;
    Bare.visit_body_mut(&mut body);
    Some(body)
}

/// Takes the spaces and comments away that the parser counts as part of a tree.
struct Bare;

impl VisitMut for Bare {
    fn visit_array_mut(&mut self, node: &mut Array) {
        node.set_trailing("");
        visit_mut::visit_array_mut(self, node);
    }

    fn visit_object_mut(&mut self, node: &mut Object) {
        node.set_trailing("");
        visit_mut::visit_object_mut(self, node);
    }

    fn visit_func_args_mut(&mut self, node: &mut FuncArgs) {
        node.set_trailing("");
        visit_mut::visit_func_args_mut(self, node);
    }

    fn visit_if_directive_mut(&mut self, node: &mut IfDirective) {
        node.if_expr.set_preamble("");
        if let Some(other) = &mut node.else_expr {
            other.set_preamble("");
            other.set_trailing("");
        }
        node.endif_expr.set_preamble("");
        node.endif_expr.set_trailing("");
        visit_mut::visit_if_directive_mut(self, node);
    }

    fn visit_for_directive_mut(&mut self, node: &mut ForDirective) {
        node.for_expr.set_preamble("");
        node.endfor_expr.set_preamble("");
        node.endfor_expr.set_trailing("");
        self.visit_expr_mut(&mut node.for_expr.collection_expr);
        visit_mut::visit_for_directive_mut(self, node);
    }
}

/// Returns a text in canonical style, whether or not it means the same.
pub(crate) fn formatted(text: &str) -> String {
    let tokens = tokenize(text);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for tokens in tokens.tokens.split_inclusive(|token| token.kind == Kind::Newline) {
        lines.push(Line::new(text, tokens));
    }
    indent(&mut lines);
    for line in &mut lines {
        line.space();
    }
    align(
        &mut lines,
        |line| !line.assign.is_empty(),
        |line| (width(&line.lead), &mut line.assign),
    );
    align(
        &mut lines,
        |line| !line.comment.is_empty(),
        |line| (width(&line.lead) + width(&line.assign), &mut line.comment),
    );
    let mut out = String::with_capacity(text.len());
    for line in &lines {
        for cell in line.lead.iter().chain(&line.assign).chain(&line.comment) {
            out.extend(std::iter::repeat_n(' ', cell.spaces));
            out.push_str(cell.text);
        }
        out.push_str(line.end);
    }
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out
}

/// A token, and how many spaces stand before it.
#[derive(Clone, Copy)]
struct Cell<'t> {
    token: Token,
    text: &'t str,
    spaces: usize,
}

/// A line in three columns.
struct Line<'t> {
    lead: Vec<Cell<'t>>,
    /// From the `=` on, where the value ends on the line.
    assign: Vec<Cell<'t>>,
    /// The comment that ends the line, where something stands before it.
    comment: Vec<Cell<'t>>,
    end: &'t str,
}

fn nesting(cells: &[Cell<'_>]) -> i32 {
    cells.iter().map(|cell| cell.token.nesting()).sum()
}

fn width(cells: &[Cell<'_>]) -> usize {
    cells
        .iter()
        .map(|cell| cell.spaces + cell.text.graphemes(true).count())
        .sum()
}

impl<'t> Line<'t> {
    fn new(text: &'t str, tokens: &[Token]) -> Self {
        let mut lead: Vec<Cell<'t>> = Vec::with_capacity(tokens.len());
        let mut end = "";
        for token in tokens {
            if token.kind == Kind::Newline {
                end = token.text(text);
            } else {
                lead.push(Cell {
                    token: *token,
                    text: token.text(text),
                    spaces: usize::from(text[..token.start].ends_with([' ', '\t'])),
                });
            }
        }
        let comment = match lead.last() {
            Some(last) if lead.len() > 1 && last.token.kind == Kind::LineComment => lead.split_off(lead.len() - 1),
            _ => Vec::new(),
        };
        let equal = lead
            .iter()
            .skip(1)
            .position(|cell| cell.token.kind == Kind::Equal)
            .map(|index| index + 1);
        let assign = match equal {
            Some(equal) if nesting(&lead[equal..]) == 0 => lead.split_off(equal),
            _ => Vec::new(),
        };
        Self {
            lead,
            assign,
            comment,
            end,
        }
    }

    /// Sets the spaces between the tokens of each column.
    fn space(&mut self) {
        space(&mut self.lead);
        space(&mut self.assign);
    }
}

/// Sets the spaces before the first token of each line.
fn indent(lines: &mut [Line<'_>]) {
    // One level for each line that opens more than it closes, however much that is.
    let mut open: Vec<i32> = Vec::new();
    for line in lines {
        let change = nesting(&line.lead) + nesting(&line.assign);
        let mut closed = -change;
        while closed > 0
            && let Some(last) = open.last_mut()
        {
            if *last > closed {
                *last -= closed;
                closed = 0;
            } else {
                closed -= *last;
                open.pop();
            }
        }
        if let Some(first) = line.lead.first_mut() {
            first.spaces = 2 * open.len();
        }
        if change > 0 {
            open.push(change);
        }
    }
}

/// Puts a column of neighbouring lines one below the other.
fn align<'t>(
    lines: &mut [Line<'t>],
    has: impl Fn(&Line<'t>) -> bool,
    column: impl for<'l> Fn(&'l mut Line<'t>) -> (usize, &'l mut Vec<Cell<'t>>),
) {
    for run in lines.chunk_by_mut(|a, b| has(a) && has(b)) {
        if !has(&run[0]) {
            continue;
        }
        let widest = run.iter_mut().map(|line| column(line).0).max().unwrap_or(0);
        for line in run {
            let (before, cells) = column(line);
            if let Some(first) = cells.first_mut() {
                first.spaces = widest - before + 1;
            }
        }
    }
}

fn space(cells: &mut [Cell<'_>]) {
    for index in 1..cells.len() {
        let before = index.checked_sub(2).map(|before| cells[before].token.kind);
        let [subject, after] = [cells[index - 1], cells[index]];
        cells[index].spaces = match is_spaced(before, &subject, after.token.kind) {
            Some(spaced) => usize::from(spaced),
            None => after.spaces.min(1),
        };
    }
}

/// Returns whether a space stands between two tokens; nothing where it stays as it is.
#[expect(clippy::unnested_or_patterns, reason = "a line is a rule")]
fn is_spaced(before: Option<Kind>, subject: &Cell<'_>, after: Kind) -> Option<bool> {
    use Kind as K;
    Some(match (subject.token.kind, after) {
        // `1 .0` is an index, `1.0` a number.
        (K::Number, K::Dot | K::Number) => return None,
        (K::Comma, K::Dot | K::Comma | K::Ellipsis) => false,
        (K::Comma, _) => true,
        // In `for x in [...]` the word is no list with an index.
        (K::Ident, K::OpenBracket) if subject.text == "in" && before == Some(K::Ident) => true,
        // A call, a namespace, an attribute, the end of an argument, an index.
        (K::Ident, K::OpenParenthesis | K::DoubleColon | K::OpenBracket)
        | (K::DoubleColon, K::Ident)
        | (K::Dot | K::Bang, _)
        | (_, K::Dot | K::Comma | K::Ellipsis)
        | (
            K::Number | K::CloseBrace | K::CloseBracket | K::CloseParenthesis | K::CloseTemplate,
            K::OpenBracket,
        )
        // Within quotes and heredocs every space counts.
        | (K::Literal | K::OpenQuote | K::OpenHeredoc, _)
        | (_, K::Literal | K::CloseQuote | K::CloseHeredoc)
        | (K::CloseTemplate, K::Interpolation | K::Control)
        | (K::OpenBrace, K::CloseBrace) => false,
        (K::Minus, _) => !is_sign(before),
        (K::Interpolation | K::Control, K::OpenBrace)
        | (K::OpenBrace, _)
        | (_, K::CloseBrace)
        | (K::CloseBrace, K::CloseTemplate) => true,
        _ => subject.token.nesting() <= 0 && !is_closing(after),
    })
}

fn is_closing(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::CloseBrace | Kind::CloseBracket | Kind::CloseParenthesis | Kind::CloseTemplate
    )
}

/// Returns whether a minus after a token is a sign; else it subtracts.
fn is_sign(before: Option<Kind>) -> bool {
    use Kind as K;
    match before {
        None => true,
        Some(kind) => matches!(
            kind,
            K::OpenParenthesis
                | K::OpenBrace
                | K::OpenBracket
                | K::Interpolation
                | K::Control
                | K::Equal
                | K::Colon
                | K::Comma
                | K::Question
                | K::Arrow
                | K::Operator
                | K::Minus
                | K::Bang
        ),
    }
}
