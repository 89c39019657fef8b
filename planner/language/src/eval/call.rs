//! Function calls.

use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, FuncArgs, FuncCall};
use hcl_edit::parser::parse_template;
use hcl_edit::template::Template;

use crate::source::Place;
use crate::suggest::did_you_mean;
use crate::value::{Kind, Value};
use crate::{convert, functions};

use super::{Evaluated, Failure, Scope};

impl Scope<'_> {
    pub(super) fn call(&self, at: &Expression, call: &FuncCall) -> Evaluated {
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
            "templatestring" | "templatefile" if call.args.len() == 2 => return self.rendered(at, &name, &call.args),
            _ => {}
        }
        let Some(function) = functions::find(&name) else {
            return Err(self.unknown_function(at, call, &name));
        };
        let Some(arguments) = self.arguments(at, call)? else {
            return Ok(Value::unknown());
        };
        let result = function.call(&arguments, self.names.files);
        let value = result.map_err(|error| {
            let place = error.argument.and_then(|index| call.args.get(index)).unwrap_or(at);
            self.call_problem(at, place, function, &error.message)
        })?;
        self.bounded(at, value)
    }

    fn unknown_function(&self, at: &Expression, call: &FuncCall, name: &str) -> Failure {
        let detail = if let Some(advice) = functions::replacement(name) {
            format!("There is no function named \"{name}\". {advice}")
        } else if name.starts_with("provider::") {
            format!("There is no function named \"{name}\": providers of simdb bring no functions with them.")
        } else {
            let hint = did_you_mean(name, functions::names());
            let hint = if hint.is_empty() {
                " All functions: simdb metadata functions".to_owned()
            } else {
                hint
            };
            format!("There is no function named \"{name}\".{hint}")
        };
        self.problem_at(&call.name.name, at, "Call to unknown function", detail)
    }

    /// Makes a problem of a call, with the function's signature and what the argument refers to.
    fn call_problem(
        &self,
        at: &Expression,
        place: &Expression,
        function: &functions::Function,
        message: &str,
    ) -> Failure {
        let stop = if message.ends_with('?') { "" } else { "." };
        let detail = format!("Call to function \"{}\" failed: {message}{stop}", function.name());
        let mut failure = self.problem_at(place, at, "Error in function call", detail);
        if let Failure::Problem(diagnostic) = &mut failure {
            diagnostic
                .values
                .insert(0, format!("while calling {}", function.signature()));
        }
        failure
    }

    /// Evaluates the arguments of a call; nothing where it is unknown how many there are.
    fn arguments(&self, at: &Expression, call: &FuncCall) -> Result<Option<Vec<Value>>, Failure> {
        let mut arguments = call
            .args
            .iter()
            .map(|argument| self.eval(argument))
            .collect::<Result<Vec<_>, _>>()?;
        if call.args.expand_final() {
            let last = arguments.pop().unwrap_or_else(Value::null);
            if last.is_unknown() {
                return Ok(None);
            }
            let Some(items) = convert::items(&last).filter(|_| !matches!(last.kind, Kind::Object(_))) else {
                let detail = format!(
                    "Only a list or a set can be expanded with \"...\", not {}.",
                    last.kind_name()
                );
                return Err(self.problem(at, "Invalid expanding argument value", detail));
            };
            arguments.extend(items.into_iter().map(|item| item.marked(last.marks)));
        }
        Ok(Some(arguments))
    }

    /// `templatestring` and `templatefile`: renders a template with variables of its own.
    fn rendered(&self, at: &Expression, name: &str, arguments: &FuncArgs) -> Evaluated {
        let function = functions::find(name).expect("the function is in the table");
        let (Some(first), Some(second)) = (arguments.get(0), arguments.get(1)) else {
            return Ok(Value::unknown());
        };
        let wrong = |place: &Expression, message: &str| self.call_problem(at, place, function, message);
        if self.globals.is_some() {
            return Err(wrong(at, "a template cannot render another one"));
        }
        if name == "templatestring" && !matches!(first, Expression::Variable(_) | Expression::Traversal(_)) {
            let why = "the template must be a reference such as local.greeting. A template that stands here needs no function";
            return Err(wrong(first, why));
        }
        let (source, variables) = (self.eval(first)?, self.eval(second)?);
        let marks = source.marks | variables.marks;
        let (Kind::Object(variables), false) = (&variables.kind, source.is_unknown()) else {
            if source.is_unknown() || variables.is_unknown() {
                return Ok(Value::unknown().marked(marks));
            }
            return Err(wrong(second, "the variables of a template are an object"));
        };
        let text = if name == "templatefile" {
            let read = functions::find("file").expect("the function is in the table");
            let text = read.call(&[source], self.names.files);
            text.map_err(|error| wrong(first, &error.message))?
        } else {
            source
        };
        if text.is_unknown() {
            return Ok(text.marked(marks));
        }
        let text = convert::to_text(&text).map_err(|why| wrong(first, &why))?;
        let template = parse_template(&text).map_err(|error| {
            let (line, why) = (error.location().line(), error.message());
            wrong(first, &format!("line {line} of the template cannot be read: {why}"))
        })?;
        let value = self
            .in_template(&template, &variables.items)
            .map_err(|failure| match failure {
                Failure::Reported => Failure::Reported,
                Failure::Problem(problem) => {
                    let why = problem.detail.trim_end_matches('.');
                    wrong(
                        first,
                        &format!("in the template, {}: {why}", problem.summary.to_lowercase()),
                    )
                }
            })?;
        Ok(value.marked(marks))
    }

    fn in_template(&self, template: &Template, variables: &BTreeMap<String, Value>) -> Evaluated {
        let nowhere = Place::nowhere();
        let scope = Scope {
            globals: Some(variables),
            ..Scope::new(self.names, &nowhere, self.steps)
        };
        scope.file(template)
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

    fn can(&self, arguments: &FuncArgs) -> Evaluated {
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
}
