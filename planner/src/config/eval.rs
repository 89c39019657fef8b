//! The evaluator: expressions in, values out.
//!
//! It follows HCL2: primitives convert to each other where one is asked for, objects are ordered by key, what depends
//! on an unknown value is unknown, and on a sensitive one sensitive. It never panics: arithmetic that has no result, a
//! runaway loop and values nested too deep are problems like any other.

mod operator;
mod template;

use std::collections::BTreeMap;

use hcl_edit::expr::{Conditional, Expression, ForExpr, FuncCall, Object, ObjectKey, Traversal, TraversalOperator};
use hcl_edit::{Decorated, Ident};

use crate::diagnostic::Diagnostic;

use super::convert;
use super::functions;
use super::number::Number;
use super::reference::{self, Failure, Names};
use super::source::Place;
use super::suggest::did_you_mean;
use super::value::{Kind, MAX_DEPTH, Value};

/// How many expressions may be evaluated for one attribute: nested loops end here, instead of never.
const MAX_STEPS: u32 = 2_000_000;

/// How many values a problem lists at most.
const MAX_SHOWN: usize = 5;

/// What an expression evaluates to.
pub(super) type Evaluated = Result<Value, Failure>;

/// Checks the references of an expression and evaluates it. Problems go to the diagnostics.
pub(super) fn evaluate(
    expression: &Expression,
    names: &Names<'_>,
    place: &Place,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Value> {
    let mut failures = reference::check(expression, names, place);
    let mut value = None;
    if failures.is_empty() {
        names.steps.set(0);
        let scope = Scope {
            names,
            place,
            bound: None,
        };
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
pub(super) fn values(expression: &Expression, names: &Names<'_>, place: &Place) -> Vec<String> {
    let scope = Scope {
        names,
        place,
        bound: None,
    };
    scope.values(expression)
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
}

impl Scope<'_> {
    fn eval(&self, expression: &Expression) -> Evaluated {
        let steps = self.names.steps.get();
        self.names.steps.set(steps + 1);
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
                self.bounded(expression, Value::list(items))
            }
            Expression::Object(object) => {
                let (object, sensitive) = self.object(object)?;
                Ok(self.bounded(expression, object)?.marked(sensitive))
            }
            Expression::StringTemplate(template) => self.quoted(template),
            Expression::HeredocTemplate(heredoc) => self.heredoc(heredoc),
            Expression::Parenthesis(inner) => self.eval(inner.inner()),
            Expression::Variable(name) => Ok(self.root(name, &[])?.0),
            Expression::Conditional(conditional) => self.conditional(conditional),
            Expression::FuncCall(call) => self.call(expression, call),
            Expression::Traversal(traversal) => self.traversal(traversal),
            Expression::UnaryOp(operation) => self.unary(expression, operation),
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
        Ok(value)
    }

    fn number(&self, at: &Expression, number: &hcl_edit::Formatted<hcl_edit::Number>) -> Evaluated {
        // The parser keeps a float; what was written is exact.
        let written = number.as_repr().map_or("", |repr| repr);
        let digits = written.trim_start_matches('-').trim_start();
        let parsed = Number::parse(digits.rsplit(['/', ' ', '\t']).next().unwrap_or(digits));
        let signed = if written.starts_with('-') {
            parsed.and_then(Number::checked_neg)
        } else {
            parsed
        };
        signed.map(Value::from).ok_or_else(|| {
            self.problem(
                at,
                "Number out of range",
                "A number may have 38 digits, 30 of them behind the point.",
            )
        })
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
        self.names.lookup(name, operators, self.place)
    }

    fn object(&self, object: &Object) -> Result<(Value, bool), Failure> {
        let mut items = BTreeMap::new();
        let mut sensitive = false;
        for (key, item) in object {
            let key = match key {
                ObjectKey::Ident(name) => name.to_string(),
                // As a key `null` is a name like any other.
                ObjectKey::Expression(Expression::Null(_)) => "null".to_owned(),
                ObjectKey::Expression(expression) => {
                    let key = self.eval(expression)?;
                    sensitive |= key.sensitive;
                    if key.is_unknown() {
                        return Ok((Value::unknown(), sensitive));
                    }
                    let wrong = |why| self.problem(expression, "Incorrect key type", format!("As a key {why}."));
                    convert::to_text(&key).map_err(wrong)?
                }
            };
            items.insert(key, self.eval(item.expr())?);
        }
        Ok((Value::object(items), sensitive))
    }

    fn condition(&self, at: &Expression, what: &str) -> Result<(Option<bool>, bool), Failure> {
        let value = self.eval(at)?;
        if value.is_unknown() {
            return Ok((None, value.sensitive));
        }
        match convert::to_bool(&value) {
            Ok(flag) => Ok((Some(flag), value.sensitive)),
            Err(why) => Err(self.problem(at, &format!("Incorrect {what} type"), format!("For the {what} {why}."))),
        }
    }

    fn conditional(&self, conditional: &Conditional) -> Evaluated {
        let (condition, sensitive) = self.condition(&conditional.cond_expr, "condition")?;
        let (chosen, other) = match condition {
            None => return Ok(Value::unknown().marked(sensitive)),
            Some(true) => (&conditional.true_expr, &conditional.false_expr),
            Some(false) => (&conditional.false_expr, &conditional.true_expr),
        };
        let value = self.eval(chosen)?.marked(sensitive);
        // A branch that is not taken may be wrong for the very reason the condition guards against.
        let Ok(other_value) = self.eval(other) else {
            return Ok(value);
        };
        convert::unify(value, &other_value).map_err(|why| {
            let detail = format!("Both results of a conditional must be of one type, but {why}.");
            self.problem(other, "Inconsistent conditional result types", detail)
        })
    }

    fn call(&self, at: &Expression, call: &FuncCall) -> Evaluated {
        let name = match call.name.namespace.as_slice() {
            [core] if core.as_str() == "core" => call.name.name.as_str().to_owned(),
            [] => call.name.name.as_str().to_owned(),
            names => {
                let all = names.iter().chain([&call.name.name]).map(|part| part.as_str());
                all.collect::<Vec<_>>().join("::")
            }
        };
        match name.as_str() {
            "try" => return self.first_that_works(at, call),
            "can" if call.args.len() == 1 => return self.can(&call.args),
            _ => {}
        }
        let Some(function) = functions::find(&name) else {
            let hint = did_you_mean(&name, functions::names());
            let detail = format!("There is no function named \"{name}\".{hint}");
            return Err(self.problem_at(&call.name.name, at, "Call to unknown function", detail));
        };
        let mut arguments = call
            .args
            .iter()
            .map(|argument| self.eval(argument))
            .collect::<Result<Vec<_>, _>>()?;
        if call.args.expand_final() {
            let last = arguments.pop().unwrap_or_else(Value::null);
            if last.is_unknown() {
                return Ok(last);
            }
            let Some(items) = convert::items(&last).filter(|_| !matches!(last.kind, Kind::Object(_))) else {
                let detail = format!(
                    "Only a list or a set can be expanded with \"...\", not {}.",
                    last.kind_name()
                );
                return Err(self.problem(at, "Invalid expanding argument value", detail));
            };
            arguments.extend(items.into_iter().map(|item| item.marked(last.sensitive)));
        }
        function.call(&arguments).map_err(|error| {
            let place = error.argument.and_then(|index| call.args.get(index)).unwrap_or(at);
            let stop = if error.message.ends_with('?') { "" } else { "." };
            let detail = format!("Call to function \"{name}\" failed: {}{stop}", error.message);
            let mut failure = self.problem(place, "Error in function call", detail);
            if let Failure::Problem(diagnostic) = &mut failure {
                diagnostic
                    .values
                    .insert(0, format!("while calling {}", function.signature));
            }
            failure
        })
    }

    /// `try`: the value of the first argument that has one.
    fn first_that_works(&self, at: &Expression, call: &FuncCall) -> Evaluated {
        let mut last = None;
        for argument in &call.args {
            match self.eval(argument) {
                Err(Failure::Problem(problem)) => last = Some(problem),
                settled => return settled,
            }
        }
        let why = last.map_or_else(|| "it needs an argument".to_owned(), |problem| problem.detail.clone());
        let detail = format!("No argument of \"try\" has a value. The last one: {why}");
        Err(self.problem(at, "Error in function call", detail))
    }

    fn can(&self, arguments: &hcl_edit::expr::FuncArgs) -> Evaluated {
        let Some(argument) = arguments.get(0) else {
            return Ok(Value::from(false));
        };
        match self.eval(argument) {
            Ok(value) if value.is_unknown() => Ok(value),
            Ok(_) => Ok(Value::from(true)),
            Err(Failure::Problem(_)) => Ok(Value::from(false)),
            Err(Failure::Reported) => Err(Failure::Reported),
        }
    }

    fn traversal(&self, traversal: &Traversal) -> Evaluated {
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
        let sensitive = value.sensitive;
        let items = match value.kind {
            Kind::Unknown => return Ok(value),
            Kind::Null => Vec::new(),
            Kind::List(ref parts) | Kind::Set(ref parts) => parts.items.clone(),
            _ => vec![value],
        };
        let items = items
            .into_iter()
            .map(|item| self.apply(item, each))
            .collect::<Result<_, _>>()?;
        Ok(Value::list(items).marked(sensitive))
    }

    fn step(&self, value: Value, operator: &Decorated<TraversalOperator>) -> Evaluated {
        let wrong = |summary: &str, detail: String| {
            let mut diagnostic = Diagnostic::error(summary, detail);
            diagnostic.span = self.place.of(operator);
            Failure::from(diagnostic)
        };
        let (index, sensitive) = match operator.value() {
            TraversalOperator::GetAttr(name) => {
                return get_attribute(value, name.as_str()).map_err(|why| wrong("Unsupported attribute", why));
            }
            TraversalOperator::LegacyIndex(index) => (Value::from(Number::from(i128::from(*index.value()))), false),
            TraversalOperator::Index(expression) => {
                let index = self.eval(expression)?;
                let sensitive = index.sensitive;
                (index, sensitive)
            }
            TraversalOperator::AttrSplat(_) | TraversalOperator::FullSplat(_) => return Ok(value),
        };
        let found = element(&value, &index).map_err(|why| {
            let secret = value.sensitive || index.sensitive;
            wrong(
                "Invalid index",
                if secret {
                    "A sensitive value has no such element.".to_owned()
                } else {
                    why
                },
            )
        })?;
        Ok(found.marked(sensitive || value.sensitive))
    }

    fn for_expression(&self, each: &ForExpr) -> Evaluated {
        let collection = self.eval(&each.intro.collection_expr)?;
        let Some(pairs) = self.pairs(&each.intro.collection_expr, &collection)? else {
            return Ok(Value::unknown().marked(collection.sensitive));
        };
        let mut result = Collected::new(each);
        result.sensitive = collection.sensitive;
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
            let (keep, sensitive) = self.condition(&condition.expr, "'for' condition")?;
            result.sensitive |= sensitive;
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
        result.sensitive |= key.sensitive;
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
    fn pairs(&self, at: &Expression, collection: &Value) -> Result<Option<Vec<(Value, Value)>>, Failure> {
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
    fn with<T>(
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
            names: self.names,
            place: self.place,
            bound: Some(&bound),
        })
    }
}

/// What a `for` expression has produced so far.
struct Collected<'e> {
    each: &'e ForExpr,
    list: Vec<Value>,
    object: BTreeMap<String, Vec<Value>>,
    unknown: bool,
    sensitive: bool,
}

impl<'e> Collected<'e> {
    fn new(each: &'e ForExpr) -> Self {
        Self {
            each,
            list: Vec::new(),
            object: BTreeMap::new(),
            unknown: false,
            sensitive: false,
        }
    }

    fn finish(self) -> Value {
        let value = if self.unknown {
            Value::unknown()
        } else if self.each.key_expr.is_none() {
            Value::list(self.list)
        } else {
            let join = |mut group: Vec<Value>| match group.pop() {
                Some(only) if !self.each.grouping => only,
                last => Value::list(group.into_iter().chain(last).collect()),
            };
            Value::object(self.object.into_iter().map(|(key, group)| (key, join(group))).collect())
        };
        value.marked(self.sensitive)
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
        Kind::Object(_) if value.sensitive => format!("This object has no attribute named \"{name}\"."),
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

/// Returns an attribute of an object.
fn attribute(value: &Value, name: &str) -> Option<Value> {
    match &value.kind {
        Kind::Object(parts) => parts.items.get(name).map(|found| found.clone().marked(value.sensitive)),
        _ => None,
    }
}

/// Returns the element of a collection at an index.
pub(super) fn element(value: &Value, index: &Value) -> Result<Value, String> {
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
