//! Mends what the parser gets wrong in templates, from the text itself.
//!
//! It takes the indentation of `<<-` from the outermost literals alone, so that lines within `%{ for }` keep theirs, and
//! leaves the escapes of literals within directives of quoted strings as they are.

use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::Body;
use hcl_edit::template::{Directive, Element, HeredocTemplate, StringTemplate, Template};
use hcl_edit::visit_mut::{self, VisitMut};

/// Mends the templates of a body that was parsed from a text.
pub(crate) fn mend(body: &mut Body, text: &str) {
    if text.contains("<<-") || text.contains("%{") {
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
        let flush = node.span().is_some_and(|span| self.text[span].starts_with("<<-"));
        if flush {
            let indent = indent(&node.template, self.text).unwrap_or(0);
            each_literal(&mut node.template, &mut |literal| {
                let Some(span) = literal.span() else { return };
                let dedented = dedent(self.text, span, indent);
                *literal.value_mut() = dedented.replace("$${", "${").replace("%%{", "%{");
            });
        }
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

fn templates(directive: &Directive) -> Vec<&Template> {
    match directive {
        Directive::If(directive) => {
            let other = directive.else_expr.as_ref().map(|other| &other.template);
            std::iter::once(&directive.if_expr.template).chain(other).collect()
        }
        Directive::For(directive) => vec![&directive.for_expr.template],
    }
}

/// Splits the text of a literal into lines; each tells whether it starts at the start of a line of the file.
fn lines(text: &str, span: std::ops::Range<usize>) -> impl Iterator<Item = (bool, &str)> {
    let mut at_start = text[..span.start].ends_with('\n');
    text[span]
        .split_inclusive('\n')
        .map(move |line| (std::mem::replace(&mut at_start, true), line))
}

fn is_blank(line: &str) -> bool {
    line.ends_with('\n') && line.trim().is_empty()
}

fn leading(line: &str) -> usize {
    line.chars().take_while(|c| c.is_whitespace() && *c != '\n').count()
}

/// Returns by how much every line of a template is indented at least.
fn indent(template: &Template, text: &str) -> Option<usize> {
    let mut least: Option<usize> = None;
    let mut note = |indent: usize| least = Some(least.map_or(indent, |least| least.min(indent)));
    for element in template {
        let Some(span) = element.span() else { continue };
        if let Element::Literal(_) = element {
            lines(text, span)
                .filter(|(starts, line)| *starts && !is_blank(line))
                .for_each(|(_, line)| note(leading(line)));
            continue;
        }
        if text[..span.start].ends_with('\n') {
            note(0);
        }
        if let Element::Directive(directive) = element {
            for template in templates(directive) {
                indent(template, text).into_iter().for_each(&mut note);
                // What closes the directive stands at the start of a line.
                let end = template
                    .len()
                    .checked_sub(1)
                    .and_then(|last| template.get(last))
                    .and_then(Element::as_literal);
                if end.is_some_and(|literal| literal.value().ends_with('\n')) {
                    note(0);
                }
            }
        }
    }
    least
}

fn dedent(text: &str, span: std::ops::Range<usize>, indent: usize) -> String {
    let strip = |(starts, line): (bool, &str)| {
        if starts && !is_blank(line) {
            line.chars().skip(indent).collect()
        } else {
            line.to_owned()
        }
    };
    lines(text, span).map(strip).collect()
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
