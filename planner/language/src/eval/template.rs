//! Templates: text with `${}` and `%{}` in it, in quotes or as a heredoc.

use hcl_edit::expr::Expression;
use hcl_edit::template::{
    Directive, Element, ForDirective, HeredocTemplate, IfDirective, Interpolation, StringTemplate, Strip, Template,
};

use crate::convert;
use crate::value::{Marks, Value};

use super::{Evaluated, Failure, Scope};

/// How long a text may become.
const MAX_LENGTH: usize = 16 << 20;

/// A text in the making.
struct Text {
    written: String,
    unknown: bool,
    marks: Marks,
    /// Whether it is a heredoc, where `~` reaches to the end of its line; in quotes it reaches over line ends.
    lines: bool,
}

fn strips_start(strip: Strip) -> bool {
    matches!(strip, Strip::Start | Strip::Both)
}

fn strips_end(strip: Strip) -> bool {
    matches!(strip, Strip::End | Strip::Both)
}

/// Returns whether an element strips what stands before it, and what stands after it.
fn strips(element: &Element) -> (bool, bool) {
    match element {
        Element::Literal(_) => (false, false),
        Element::Interpolation(inner) => (strips_start(inner.strip), strips_end(inner.strip)),
        Element::Directive(directive) => match &**directive {
            Directive::If(each) => (strips_start(each.if_expr.strip), strips_end(each.endif_expr.strip)),
            Directive::For(each) => (strips_start(each.for_expr.strip), strips_end(each.endfor_expr.strip)),
        },
    }
}

impl Text {
    fn literal(&mut self, literal: &str, strip_start: bool, strip_end: bool) {
        let mut kept = literal;
        if strip_start {
            let line = if self.lines {
                kept.find('\n').map_or(kept.len(), |end| end + 1)
            } else {
                kept.len()
            };
            kept = &kept[line - kept[..line].trim_start().len()..];
        }
        if strip_end {
            let body = kept.strip_suffix('\n').unwrap_or(kept);
            let line = if self.lines {
                body.rfind('\n').map_or(0, |end| end + 1)
            } else {
                0
            };
            kept = &kept[..line + kept[line..].trim_end().len()];
        }
        self.written.push_str(kept);
    }

    fn finish(self) -> Value {
        if self.unknown {
            Value::unknown()
        } else {
            Value::from(self.written)
        }
        .marked(self.marks)
    }
}

impl Scope<'_> {
    pub(super) fn quoted(&self, template: &StringTemplate) -> Evaluated {
        // "${x}" is x, whatever it is.
        if let Some(Element::Interpolation(only)) = template.as_single_element() {
            return self.eval(&only.expr);
        }
        self.text(template, false)
    }

    pub(super) fn heredoc(&self, heredoc: &HeredocTemplate) -> Evaluated {
        self.text(&heredoc.template, true)
    }

    /// Renders the text of a whole file.
    pub(super) fn file(&self, template: &Template) -> Evaluated {
        if let Some(Element::Interpolation(only)) = template.as_single_element() {
            return self.eval(&only.expr);
        }
        self.text(template, true)
    }

    fn text(&self, template: &Template, lines: bool) -> Evaluated {
        let mut out = Text {
            written: String::new(),
            unknown: false,
            marks: Marks::default(),
            lines,
        };
        self.render(template, (false, false), &mut out)?;
        Ok(out.finish())
    }

    /// Writes a template. What stands around it may strip its start and its end.
    fn render(&self, template: &Template, around: (bool, bool), out: &mut Text) -> Result<(), Failure> {
        for index in 0..template.len() {
            match template.get(index).expect("the index is below the length") {
                Element::Literal(literal) => {
                    let before = index.checked_sub(1).and_then(|before| template.get(before));
                    let strip_start = before.map_or(around.0, |element| strips(element).1);
                    let strip_end = template.get(index + 1).map_or(around.1, |element| strips(element).0);
                    out.literal(literal.value(), strip_start, strip_end);
                }
                Element::Interpolation(interpolation) => self.interpolate(interpolation, out)?,
                Element::Directive(directive) => match &**directive {
                    Directive::If(directive) => self.if_directive(directive, out)?,
                    Directive::For(directive) => self.for_directive(directive, out)?,
                },
            }
        }
        Ok(())
    }

    fn interpolate(&self, interpolation: &Interpolation, out: &mut Text) -> Result<(), Failure> {
        let at = &interpolation.expr;
        let value = self.eval(at)?;
        out.marks |= value.marks;
        if value.is_unknown() {
            out.unknown = true;
            return Ok(());
        }
        if value.is_null() {
            let detail = "The expression result is null. Cannot include a null value in a string template.";
            return Err(self.problem(at, "Invalid template interpolation value", detail));
        }
        let text = convert::to_text(&value).map_err(|why| {
            let detail = format!("Cannot include the given value in a string template: {why}.");
            self.problem(at, "Invalid template interpolation value", detail)
        })?;
        self.push(at, &text, out)
    }

    fn push(&self, at: &Expression, text: &str, out: &mut Text) -> Result<(), Failure> {
        if out.written.len() + text.len() > MAX_LENGTH {
            let detail = format!("A text may be {} MB long.", MAX_LENGTH >> 20);
            return Err(self.problem(at, "Text too long", detail));
        }
        out.written.push_str(text);
        Ok(())
    }

    fn if_directive(&self, directive: &IfDirective, out: &mut Text) -> Result<(), Failure> {
        let (condition, marks) = self.condition(&directive.if_expr.cond_expr, "condition")?;
        out.marks |= marks;
        let endif = strips_start(directive.endif_expr.strip);
        let if_end = directive
            .else_expr
            .as_ref()
            .map_or(endif, |other| strips_start(other.strip));
        match (condition, &directive.else_expr) {
            (None, _) => out.unknown = true,
            (Some(true), _) => {
                let around = (strips_end(directive.if_expr.strip), if_end);
                self.render(&directive.if_expr.template, around, out)?;
            }
            (Some(false), Some(other)) => self.render(&other.template, (strips_end(other.strip), endif), out)?,
            (Some(false), None) => {}
        }
        Ok(())
    }

    fn for_directive(&self, directive: &ForDirective, out: &mut Text) -> Result<(), Failure> {
        let intro = &directive.for_expr;
        let collection = self.eval(&intro.collection_expr)?;
        out.marks |= collection.marks;
        let Some(pairs) = self.pairs(&intro.collection_expr, &collection)? else {
            out.unknown = true;
            return Ok(());
        };
        let around = (strips_end(intro.strip), strips_start(directive.endfor_expr.strip));
        for (key, value) in pairs {
            let key_name = intro.key_var.as_ref().map(|name| name.as_str());
            self.with(key_name, key, intro.value_var.as_str(), value, |scope| {
                scope.render(&intro.template, around, out)
            })?;
            // Literals grow the text too, once per round.
            self.push(&intro.collection_expr, "", out)?;
        }
        Ok(())
    }
}
