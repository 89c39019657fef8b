//! The evaluator: expressions in, values out.
//!
//! It follows HCL2: primitives convert to each other where one is asked for, objects are ordered by key, what depends
//! on an unknown value is unknown, and on a sensitive one sensitive. It never panics: arithmetic that has no result, a
//! runaway loop and values nested too deep are problems like any other.

mod call;
mod each;
mod operator;
mod template;
mod traversal;

use std::cell::Cell;
use std::collections::BTreeMap;

use hcl_edit::expr::{Conditional, Expression, Object, ObjectKey, TraversalOperator};
use hcl_edit::{Decorated, Ident};

use crate::convert;
use crate::diagnostic::Diagnostic;
use crate::number::{self, Number};
use crate::reference::{self, Failure, Names};
use crate::source::Place;
use crate::value::{Kind, MAX_DEPTH, MAX_SIZE, Marks, Value};

pub(crate) use self::traversal::element;

/// How many expressions may be evaluated for one attribute: nested loops end here, instead of never.
const MAX_STEPS: u32 = 2_000_000;

/// How many values a problem lists at most.
const MAX_SHOWN: usize = 5;

/// What an expression evaluates to.
pub(crate) type Evaluated = Result<Value, Failure>;

/// Checks the references of an expression and evaluates it. Problems go to the diagnostics.
pub fn evaluate(
    expression: &Expression,
    names: &Names<'_>,
    place: &Place,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Value> {
    let mut failures = reference::check(expression, names, place);
    let mut value = None;
    if failures.is_empty() {
        let steps = Cell::new(0);
        let scope = Scope::new(names, place, &steps);
        match scope.eval(expression) {
            Ok(result) => value = Some(result),
            Err(failure) => failures.push(failure),
        }
    }
    diagnostics.extend(failures.into_iter().filter_map(|failure| match failure {
        Failure::Reported => None,
        Failure::Problem(diagnostic) => Some(*diagnostic),
    }));
    value
}

/// Returns what the references of an expression are: `var.port is 80`.
pub fn values(expression: &Expression, names: &Names<'_>, place: &Place) -> Vec<String> {
    Scope::new(names, place, &Cell::new(0)).values(expression)
}

/// A variable of a `for`, and those of the loops around it.
struct Bound<'a> {
    name: &'a str,
    value: Value,
    outer: Option<&'a Bound<'a>>,
}

/// What an expression can see.
#[derive(Clone, Copy)]
struct Scope<'a> {
    names: &'a Names<'a>,
    place: &'a Place,
    bound: Option<&'a Bound<'a>>,
    /// The variables of the template that is rendered, which are all that it may refer to.
    globals: Option<&'a BTreeMap<String, Value>>,
    /// How many expressions have been evaluated.
    steps: &'a Cell<u32>,
}

impl<'a> Scope<'a> {
    fn new(names: &'a Names<'a>, place: &'a Place, steps: &'a Cell<u32>) -> Self {
        Self {
            names,
            place,
            bound: None,
            globals: None,
            steps,
        }
    }
}

impl Scope<'_> {
    fn eval(&self, expression: &Expression) -> Evaluated {
        let steps = self.steps.get();
        self.steps.set(steps + 1);
        if steps >= MAX_STEPS {
            let detail = format!("It took more than {MAX_STEPS} steps. Make its loops smaller.");
            return Err(self.problem(expression, "Expression takes too long", detail));
        }
        match expression {
            Expression::Null(_) => Ok(Value::null()),
            Expression::Bool(flag) => Ok(Value::from(*flag.value())),
            Expression::Number(number) => self.number(expression, number),
            Expression::String(text) => Ok(Value::from(text.as_str())),
            Expression::Array(array) => {
                let items = array.iter().map(|item| self.eval(item)).collect::<Result<_, _>>()?;
                self.bounded(expression, Value::tuple(items))
            }
            Expression::Object(object) => {
                let (object, marks) = self.object(object)?;
                Ok(self.bounded(expression, object)?.marked(marks))
            }
            Expression::StringTemplate(template) => self.quoted(template),
            Expression::HeredocTemplate(heredoc) => self.heredoc(heredoc),
            Expression::Parenthesis(inner) => self.eval(inner.inner()),
            Expression::Variable(name) => Ok(self.root(name, &[])?.0),
            Expression::Conditional(conditional) => self.conditional(conditional),
            Expression::FuncCall(call) => self.call(expression, call),
            Expression::Traversal(traversal) => self.traversal(traversal),
            Expression::UnaryOp(operation) => self.unary(operation),
            Expression::BinaryOp(operation) => self.binary(expression, operation),
            Expression::ForExpr(each) => self.bounded(expression, self.for_expression(each)?),
        }
    }

    /// Makes a problem at an expression, with the values of what it refers to.
    fn problem(&self, at: &Expression, summary: &str, detail: impl Into<String>) -> Failure {
        self.problem_at(at, at, summary, detail)
    }

    fn problem_at(
        &self,
        at: &impl hcl_edit::Span,
        values_of: &Expression,
        summary: &str,
        detail: impl Into<String>,
    ) -> Failure {
        let mut diagnostic = Diagnostic::error(summary, detail);
        diagnostic.span = self.place.of(at);
        diagnostic.values = self.values(values_of);
        diagnostic.into()
    }

    fn values(&self, expression: &Expression) -> Vec<String> {
        let mut values = Vec::new();
        reference::for_each(expression, |root, operators| {
            if values.len() < MAX_SHOWN {
                let shown = self.shown(root, operators);
                if !values.contains(&shown) {
                    values.push(shown);
                }
            }
        });
        values
    }

    /// Shows what a reference leads to, as far as it leads anywhere: `var.port is 80`.
    fn shown(&self, root: &Decorated<Ident>, operators: &[Decorated<TraversalOperator>]) -> String {
        let mut text = root.to_string();
        let Ok((mut value, used)) = self.root(root, operators) else {
            return format!("{text} has no value");
        };
        for (index, operator) in operators.iter().enumerate() {
            let TraversalOperator::GetAttr(name) = operator.value() else {
                break;
            };
            if index >= used {
                match attribute(&value, name.as_str()) {
                    Some(next) => value = next,
                    None => break,
                }
            }
            text = format!("{text}.{}", name.as_str());
        }
        format!("{text} is {}", value.describe())
    }

    fn bounded(&self, at: &Expression, value: Value) -> Evaluated {
        if value.depth() > MAX_DEPTH {
            let detail = format!("Lists and objects may be nested {MAX_DEPTH} deep.");
            return Err(self.problem(at, "Value nested too deep", detail));
        }
        if value.size() > MAX_SIZE {
            let detail = format!("A value may have {MAX_SIZE} elements, those of its elements included.");
            return Err(self.problem(at, "Value too large", detail));
        }
        Ok(value)
    }

    fn number(&self, at: &Expression, number: &hcl_edit::Formatted<hcl_edit::Number>) -> Evaluated {
        // The parser keeps a float; what was written is exact.
        let written = number.as_repr().map_or("", |repr| repr);
        let digits = written.trim_start_matches('-').trim_start();
        let parsed = Number::parse(digits.rsplit(['/', ' ', '\t']).next().unwrap_or(digits));
        let signed = if written.starts_with('-') {
            parsed.map(|number| number.negated())
        } else {
            parsed
        };
        signed
            .map(Value::from)
            .ok_or_else(|| self.problem(at, "Number out of range", number::RANGE))
    }

    /// Returns what a name leads to, and how many of the operators after it that took.
    fn root(
        &self,
        name: &Decorated<Ident>,
        operators: &[Decorated<TraversalOperator>],
    ) -> Result<(Value, usize), Failure> {
        let mut bound = self.bound;
        while let Some(variable) = bound {
            if variable.name == name.as_str() {
                return Ok((variable.value.clone(), 0));
            }
            bound = variable.outer;
        }
        match self.globals {
            Some(globals) => reference::global(globals, name, self.place),
            None => self.names.lookup(name, operators, self.place),
        }
    }

    fn object(&self, object: &Object) -> Result<(Value, Marks), Failure> {
        let mut items = BTreeMap::new();
        let mut marks = Marks::default();
        for (key, item) in object {
            let key = match key {
                ObjectKey::Ident(name) => name.to_string(),
                // As a key `null` is a name like any other.
                ObjectKey::Expression(Expression::Null(_)) => "null".to_owned(),
                ObjectKey::Expression(expression) => {
                    let key = self.eval(expression)?;
                    marks |= key.marks;
                    if key.is_unknown() {
                        return Ok((Value::unknown(), marks));
                    }
                    let wrong = |why| self.problem(expression, "Incorrect key type", format!("As a key {why}."));
                    convert::to_text(&key).map_err(wrong)?
                }
            };
            items.insert(key, self.eval(item.expr())?);
        }
        Ok((Value::object(items), marks))
    }

    fn condition(&self, at: &Expression, what: &str) -> Result<(Option<bool>, Marks), Failure> {
        let value = self.eval(at)?;
        if value.is_unknown() {
            return Ok((None, value.marks));
        }
        match convert::to_bool(&value) {
            Ok(flag) => Ok((Some(flag), value.marks)),
            Err(why) => Err(self.problem(at, &format!("Incorrect {what} type"), format!("For the {what} {why}."))),
        }
    }

    fn conditional(&self, conditional: &Conditional) -> Evaluated {
        let (condition, marks) = self.condition(&conditional.cond_expr, "condition")?;
        let (chosen, other) = match condition {
            None => return Ok(Value::unknown().marked(marks)),
            Some(true) => (&conditional.true_expr, &conditional.false_expr),
            Some(false) => (&conditional.false_expr, &conditional.true_expr),
        };
        let value = self.eval(chosen)?.marked(marks);
        // A branch that is not taken may be wrong for the very reason the condition guards against.
        let Ok(other_value) = self.eval(other) else {
            return Ok(value);
        };
        convert::unified(value, &other_value).map_err(|why| {
            let detail = format!("Both results of a conditional must be of one type, but {why}.");
            self.problem(other, "Inconsistent conditional result types", detail)
        })
    }
}

/// Returns an attribute of an object.
fn attribute(value: &Value, name: &str) -> Option<Value> {
    match &value.kind {
        Kind::Object(parts) => parts.items.get(name).map(|found| found.clone().marked(value.marks)),
        _ => None,
    }
}
