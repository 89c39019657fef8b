//! `for` expressions, and what they share with the `%{ for }` of templates.

use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, ForExpr};

use crate::convert;
use crate::number::Number;
use crate::value::{Kind, Marks, Value};

use super::{Bound, Evaluated, Failure, Scope};

impl Scope<'_> {
    pub(super) fn for_expression(&self, each: &ForExpr) -> Evaluated {
        let collection = self.eval(&each.intro.collection_expr)?;
        let Some(pairs) = self.pairs(&each.intro.collection_expr, &collection)? else {
            return Ok(Value::unknown().marked(collection.marks));
        };
        let mut result = Collected::new(each);
        result.marks = collection.marks;
        for (key, value) in pairs {
            let name = each.intro.value_var.as_str();
            self.with(
                each.intro.key_var.as_ref().map(|name| name.as_str()),
                key,
                name,
                value,
                |scope| scope.for_item(each, &mut result),
            )?;
        }
        Ok(result.finish())
    }

    fn for_item(&self, each: &ForExpr, result: &mut Collected) -> Result<(), Failure> {
        if let Some(condition) = &each.cond {
            let (keep, marks) = self.condition(&condition.expr, "'for' condition")?;
            result.marks |= marks;
            match keep {
                None => result.unknown = true,
                Some(false) => return Ok(()),
                Some(true) => {}
            }
        }
        let value = self.eval(&each.value_expr)?;
        let Some(key_expression) = &each.key_expr else {
            result.list.push(value);
            return Ok(());
        };
        let key = self.eval(key_expression)?;
        result.marks |= key.marks;
        if key.is_unknown() {
            result.unknown = true;
            return Ok(());
        }
        let wrong = |why| self.problem(key_expression, "Invalid object key", format!("As a key {why}."));
        let key = convert::to_text(&key).map_err(wrong)?;
        let group = result.object.entry(key).or_default();
        group.push(value);
        if group.len() > 1 && !each.grouping {
            let detail = "Two different items produced the same key. Write \"...\" after the value to group by key.";
            return Err(self.problem(key_expression, "Duplicate object key", detail));
        }
        Ok(())
    }

    /// Returns the keys and values that a `for` runs over; nothing where they are unknown.
    pub(super) fn pairs(&self, at: &Expression, collection: &Value) -> Result<Option<Vec<(Value, Value)>>, Failure> {
        Ok(Some(match &collection.kind {
            Kind::Unknown => return Ok(None),
            Kind::List(parts) => {
                let numbered = parts.items.iter().enumerate();
                numbered
                    .map(|(index, item)| (Value::from(Number::from(index)), item.clone()))
                    .collect()
            }
            Kind::Set(parts) => parts.items.iter().map(|item| (item.clone(), item.clone())).collect(),
            Kind::Object(parts) => parts
                .items
                .iter()
                .map(|(key, item)| (Value::from(key.as_str()), item.clone()))
                .collect(),
            Kind::Null => {
                let detail = "A null value cannot be used as the collection in a 'for' expression.";
                return Err(self.problem(at, "Iteration over null value", detail));
            }
            _ => {
                let detail = format!(
                    "A 'for' needs a list, a set or an object, not {}.",
                    collection.kind_name()
                );
                return Err(self.problem(at, "Iteration over non-iterable value", detail));
            }
        }))
    }

    /// Runs something with the variables of a `for` bound.
    pub(super) fn with<T>(
        &self,
        key_name: Option<&str>,
        key: Value,
        name: &str,
        value: Value,
        run: impl FnOnce(&Scope<'_>) -> T,
    ) -> T {
        let key = key_name.map(|name| Bound {
            name,
            value: key,
            outer: self.bound,
        });
        let bound = Bound {
            name,
            value,
            outer: key.as_ref().or(self.bound),
        };
        run(&Scope {
            bound: Some(&bound),
            ..*self
        })
    }
}

/// What a `for` expression has produced so far.
struct Collected<'e> {
    each: &'e ForExpr,
    list: Vec<Value>,
    object: BTreeMap<String, Vec<Value>>,
    unknown: bool,
    marks: Marks,
}

impl<'e> Collected<'e> {
    fn new(each: &'e ForExpr) -> Self {
        Self {
            each,
            list: Vec::new(),
            object: BTreeMap::new(),
            unknown: false,
            marks: Marks::default(),
        }
    }

    fn finish(self) -> Value {
        let value = if self.unknown {
            Value::unknown()
        } else if self.each.key_expr.is_none() {
            Value::tuple(self.list)
        } else {
            let join = |mut group: Vec<Value>| match group.pop() {
                Some(only) if !self.each.grouping => only,
                last => Value::tuple(group.into_iter().chain(last).collect()),
            };
            Value::object(self.object.into_iter().map(|(key, group)| (key, join(group))).collect())
        };
        value.marked(self.marks)
    }
}
