//! What stands after a value: attributes, indexes, splats.

use hcl_edit::Decorated;
use hcl_edit::expr::{Expression, Traversal, TraversalOperator};

use crate::diagnostic::Diagnostic;

use crate::convert;
use crate::number::Number;
use crate::suggest::did_you_mean;
use crate::value::{Kind, Marks, Value};

use super::{Evaluated, Failure, Scope, attribute};

impl Scope<'_> {
    pub(super) fn traversal(&self, traversal: &Traversal) -> Evaluated {
        let operators = traversal.operators.as_slice();
        let (value, used) = match &traversal.expr {
            Expression::Variable(name) => self.root(name, operators)?,
            other => (self.eval(other)?, 0),
        };
        self.apply(value, &operators[used..]).map_err(|mut failure| {
            if let Failure::Problem(problem) = &mut failure
                && problem.values.is_empty()
            {
                problem.values = self.values(&Expression::from(traversal.clone()));
            }
            failure
        })
    }

    fn apply(&self, mut value: Value, mut operators: &[Decorated<TraversalOperator>]) -> Evaluated {
        while let Some((operator, rest)) = operators.split_first() {
            let taken = match operator.value() {
                TraversalOperator::FullSplat(_) => Some(rest.len()),
                TraversalOperator::AttrSplat(_) => Some(
                    rest.iter()
                        .take_while(|next| {
                            matches!(
                                next.value(),
                                TraversalOperator::GetAttr(_) | TraversalOperator::LegacyIndex(_)
                            )
                        })
                        .count(),
                ),
                _ => None,
            };
            if let Some(taken) = taken {
                if let Some(next) = rest.get(taken)
                    && matches!(next.value(), TraversalOperator::AttrSplat(_))
                {
                    let mut diagnostic = Diagnostic::error(
                        "Nested splat expression not allowed",
                        "A .* cannot follow another one. Use [*] to go through several levels.",
                    );
                    diagnostic.span = self.place.of(next);
                    return Err(diagnostic.into());
                }
                value = self.splat(value, &rest[..taken])?;
                operators = &rest[taken..];
            } else {
                value = self.step(value, operator)?;
                operators = rest;
            }
        }
        Ok(value)
    }

    fn splat(&self, value: Value, each: &[Decorated<TraversalOperator>]) -> Evaluated {
        let marks = value.marks;
        let (items, uniform) = match value.kind {
            Kind::Unknown => return Ok(value),
            Kind::Null => (Vec::new(), false),
            Kind::List(ref parts) | Kind::Set(ref parts) => (parts.items.clone(), parts.uniform),
            _ => (vec![value], false),
        };
        let items = items
            .into_iter()
            .map(|item| self.apply(item, each))
            .collect::<Result<_, _>>()?;
        let all = if uniform {
            Value::list(items)
        } else {
            Value::tuple(items)
        };
        Ok(all.marked(marks))
    }

    fn step(&self, value: Value, operator: &Decorated<TraversalOperator>) -> Evaluated {
        let wrong = |summary: &str, detail: String| {
            let mut diagnostic = Diagnostic::error(summary, detail);
            diagnostic.span = self.place.of(operator);
            Failure::from(diagnostic)
        };
        let (index, marks) = match operator.value() {
            TraversalOperator::GetAttr(name) => {
                return get_attribute(value, name.as_str()).map_err(|why| wrong("Unsupported attribute", why));
            }
            TraversalOperator::LegacyIndex(index) => {
                (Value::from(Number::from(i128::from(*index.value()))), Marks::default())
            }
            TraversalOperator::Index(expression) => {
                let index = self.eval(expression)?;
                let marks = index.marks;
                (index, marks)
            }
            TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => return Ok(value),
        };
        let found = element(&value, &index).map_err(|why| {
            let secret = (value.marks | index.marks).sensitive;
            wrong(
                "Invalid index",
                if secret {
                    "A sensitive value has no such element.".to_owned()
                } else {
                    why
                },
            )
        })?;
        Ok(found.marked(marks | value.marks))
    }
}

/// Returns what `.name` selects.
fn get_attribute(value: Value, name: &str) -> Result<Value, String> {
    if value.is_unknown() {
        return Ok(value);
    }
    if let Some(found) = attribute(&value, name) {
        return Ok(found);
    }
    Err(match &value.kind {
        Kind::Object(_) if value.marks.sensitive => format!("This object has no attribute named \"{name}\"."),
        Kind::Object(parts) => {
            let hint = did_you_mean(name, parts.items.keys().map(String::as_str));
            format!("This object has no attribute named \"{name}\".{hint}")
        }
        Kind::List(_) => format!(
            "A list has no attribute \"{name}\". Select an element first, as in [0], or all of them, as in [*]."
        ),
        _ => format!(
            "There is no attribute \"{name}\" here: the value is {}.",
            value.kind_name()
        ),
    })
}

/// Returns the element of a collection at an index.
pub(crate) fn element(value: &Value, index: &Value) -> Result<Value, String> {
    if value.is_unknown() || index.is_unknown() {
        return Ok(Value::unknown());
    }
    match &value.kind {
        Kind::List(parts) => {
            let number = convert::to_number(index).map_err(|why| format!("As the index of a list {why}."))?;
            let found = number
                .whole()
                .and_then(|whole| usize::try_from(whole).ok())
                .and_then(|i| parts.items.get(i));
            found.cloned().ok_or_else(|| match parts.items.len() {
                0 => "The list is empty, so it has no elements.".to_owned(),
                length => format!("The list has {length} elements, [0] to [{}].", length - 1),
            })
        }
        Kind::Object(parts) => {
            let key = convert::to_text(index).map_err(|why| format!("As the key of an object {why}."))?;
            parts.items.get(&key).cloned().ok_or_else(|| {
                let hint = did_you_mean(&key, parts.items.keys().map(String::as_str));
                format!("The object has no key \"{key}\".{hint}")
            })
        }
        Kind::Set(_) => Err("The elements of a set have no index. Use tolist() first.".to_owned()),
        Kind::Null => Err("The value is null, so it has no elements.".to_owned()),
        _ => Err(format!("The value is {}, which has no elements.", value.kind_name())),
    }
}
