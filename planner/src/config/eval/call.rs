//! Function calls.

use hcl_edit::expr::{Expression, FuncArgs, FuncCall};

use super::super::suggest::did_you_mean;
use super::super::value::{Kind, Value};
use super::super::{convert, functions};
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
