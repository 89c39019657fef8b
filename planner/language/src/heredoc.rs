//! Mends what the parser gets wrong in templates, from the text itself.
//!
//! It takes the indentation of `<<-` from the outermost literals alone, so that lines within `%{ for }` keep theirs, and
//! leaves escapes as they are in heredocs and in literals within directives of quoted strings.

use std::collections::BTreeSet;
use std::ops::Range;

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::Body;
use hcl_edit::template::{Directive, Element, HeredocTemplate, StringTemplate, Strip, Template};
use hcl_edit::visit_mut::{self, VisitMut};

/// Mends the templates of a body that was parsed from a text.
pub(crate) fn mend(body: &mut Body, text: &str) {
    if text.contains("<<") || text.contains("%{") {
        Mend { text }.visit_body_mut(body);
    }
}

/// Mends the templates of an expression that was parsed from a text.
pub(crate) fn mend_expression(expression: &mut Expression, text: &str) {
    Mend { text }.visit_expr_mut(expression);
}

struct Mend<'t> {
    text: &'t str,
}

impl VisitMut for Mend<'_> {
    fn visit_heredoc_template_mut(&mut self, node: &mut HeredocTemplate) {
        visit_mut::visit_heredoc_template_mut(self, node);
        let is_flush = node.span().is_some_and(|span| self.text[span].starts_with("<<-"));
        let indented = is_flush.then(|| Indented::of(&node.template, self.text));
        each_literal(&mut node.template, &mut |literal| {
            let text = match (&indented, literal.span()) {
                (Some(indented), Some(span)) => indented.dedent(self.text, span),
                _ => literal.value().clone(),
            };
            *literal.value_mut() = text.replace("$${", "${").replace("%%{", "%{");
        });
    }

    fn visit_string_template_mut(&mut self, node: &mut StringTemplate) {
        visit_mut::visit_string_template_mut(self, node);
        for element in node.iter_mut() {
            if let Element::Directive(directive) = element {
                each_literal_of(directive, &mut |literal| {
                    let unescaped = unescape(literal.value());
                    *literal.value_mut() = unescaped;
                });
            }
        }
    }
}

type Literal = hcl_edit::Spanned<String>;

fn each_literal(template: &mut Template, change: &mut impl FnMut(&mut Literal)) {
    for element in template.iter_mut() {
        match element {
            Element::Literal(literal) => change(literal),
            Element::Interpolation(_) => {}
            Element::Directive(directive) => each_literal_of(directive, change),
        }
    }
}

fn each_literal_of(directive: &mut Directive, change: &mut impl FnMut(&mut Literal)) {
    match directive {
        Directive::If(directive) => {
            each_literal(&mut directive.if_expr.template, change);
            if let Some(other) = &mut directive.else_expr {
                each_literal(&mut other.template, change);
            }
        }
        Directive::For(directive) => each_literal(&mut directive.for_expr.template, change),
    }
}

/// A part of a template, as HCL cuts it: a literal ends where its line does.
enum Token {
    /// A line of a literal, or what there is of one.
    Line(Range<usize>),
    /// An interpolation or a part of a directive: whether it strips what stands before it, and what stands after it.
    Sign(bool, bool),
}

fn sign(strip: Strip) -> Token {
    Token::Sign(
        matches!(strip, Strip::Start | Strip::Both),
        matches!(strip, Strip::End | Strip::Both),
    )
}

fn tokens(template: &Template, text: &str, out: &mut Vec<Token>) {
    for element in template {
        match element {
            Element::Literal(literal) => out.extend(
                literal
                    .span()
                    .into_iter()
                    .flat_map(|span| lines(text, span))
                    .map(Token::Line),
            ),
            Element::Interpolation(inner) => out.push(sign(inner.strip)),
            Element::Directive(directive) => match &**directive {
                Directive::If(directive) => {
                    out.push(sign(directive.if_expr.strip));
                    tokens(&directive.if_expr.template, text, out);
                    if let Some(other) = &directive.else_expr {
                        out.push(sign(other.strip));
                        tokens(&other.template, text, out);
                    }
                    out.push(sign(directive.endif_expr.strip));
                }
                Directive::For(directive) => {
                    out.push(sign(directive.for_expr.strip));
                    tokens(&directive.for_expr.template, text, out);
                    out.push(sign(directive.endfor_expr.strip));
                }
            },
        }
    }
}

/// Cuts a literal into lines, their ends included.
fn lines(text: &str, span: Range<usize>) -> Vec<Range<usize>> {
    let mut at = span.start;
    text[span]
        .split_inclusive('\n')
        .map(|line| {
            let start = at;
            at += line.len();
            start..at
        })
        .collect()
}

/// The indentation of a template: by how much, and where the lines start that have it. As in HCL, a line whose end `~`
/// strips runs on into the next one, which then starts nothing; and what `~` strips from the start of a line is none of its
/// indentation.
#[derive(Default)]
struct Indented {
    by: usize,
    starts: BTreeSet<usize>,
}

impl Indented {
    fn of(template: &Template, text: &str) -> Self {
        let mut all = Vec::new();
        tokens(template, text, &mut all);
        let mut indented = Self::default();
        let mut least: Option<usize> = None;
        let mut is_start = true;
        for (index, token) in all.iter().enumerate() {
            let before = index.checked_sub(1).and_then(|before| all.get(before));
            let kept = match token {
                Token::Line(range) => {
                    let mut line = &text[range.clone()];
                    if matches!(before, Some(Token::Sign(_, true))) {
                        line = line.trim_start();
                    }
                    if matches!(all.get(index + 1), Some(Token::Sign(true, _))) {
                        line = line.trim_end();
                    }
                    Some((range.start, line))
                }
                Token::Sign(..) => None,
            };
            if std::mem::take(&mut is_start) {
                let spaces = match kept {
                    // A blank line says nothing about the indentation of others.
                    Some((_, line)) if line.trim().is_empty() && line.ends_with('\n') => None,
                    Some((start, line)) => {
                        indented.starts.insert(start);
                        Some(line.chars().take_while(|c| c.is_whitespace()).count())
                    }
                    None => Some(0),
                };
                least = [least, spaces].into_iter().flatten().min();
            }
            is_start |= kept.is_some_and(|(_, line)| line.ends_with('\n'));
        }
        indented.by = least.unwrap_or(0);
        indented
    }

    /// Returns a literal without the indentation of its lines.
    fn dedent(&self, text: &str, span: Range<usize>) -> String {
        let line = |range: Range<usize>| {
            let by = if self.starts.contains(&range.start) { self.by } else { 0 };
            text[range].chars().skip(by).collect::<String>()
        };
        lines(text, span).into_iter().map(line).collect()
    }
}

/// Undoes the escapes of a quoted string; the parser undid those of `${` and `%{`.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let (c, length) = escape(&rest[at + 1..]).unwrap_or(('\\', 0));
        out.push(c);
        rest = &rest[at + 1 + length..];
    }
    out + rest
}

/// Returns the character that an escape stands for, and its length after the backslash.
fn escape(text: &str) -> Option<(char, usize)> {
    let hex = |digits: usize| {
        let code = u32::from_str_radix(text.get(1..=digits)?, 16).ok()?;
        Some((char::from_u32(code)?, digits + 1))
    };
    match text.chars().next()? {
        'n' => Some(('\n', 1)),
        'r' => Some(('\r', 1)),
        't' => Some(('\t', 1)),
        c @ ('"' | '\\') => Some((c, 1)),
        'u' => hex(4),
        'U' => hex(8),
        _ => None,
    }
}
