//! Input variables: their types, where their values come from, and the rules that check them.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::structure::Block;
use simdb_language::convert::{self, Type};
use simdb_language::eval;
use simdb_language::files::Files;
use simdb_language::parse::{self, parse, syntax_error};
use simdb_language::reference::{Names, Table};
use simdb_language::source::{Place, Source};
use simdb_language::suggest::did_you_mean;
use simdb_language::types::read_type;
use simdb_language::value::{Marks, Value};

use crate::diagnostic::{Diagnostic, Span};

use super::VariableInput;
use super::dialect::{self, DIALECT};
use super::library::Blocks;
use super::overrides;
use super::read::Reader;

/// How the origin of a value from the environment starts. Such a value may be meant for another configuration, so it is
/// no mistake where no variable of its name is declared.
pub const ENVIRONMENT: &str = "environment variable";

/// A declared variable.
struct Variable<'a> {
    name: &'a str,
    block: Reader<'a>,
    header: Span,
    of: Option<Type>,
    default: Option<Value>,
    marks: Marks,
    nullable: bool,
}

/// Parses a file of variable values (`*.simdbvars.hcl`).
pub fn variable_file(name: &str, text: &str) -> (Vec<VariableInput>, Vec<Diagnostic>) {
    let (pieces, mut diagnostics) = parse(name, text, &DIALECT);
    let mut inputs = Vec::new();
    for piece in &pieces {
        for block in piece.body.blocks() {
            let detail = "A file of variable values holds only attributes, NAME = VALUE.";
            let mut diagnostic = Diagnostic::error("Unexpected block", detail);
            diagnostic.span = piece.place.of(&block.ident);
            diagnostics.push(diagnostic);
        }
        for attribute in piece.body.attributes() {
            let span = piece.place.of(&attribute.value);
            inputs.extend(span.map(|span| VariableInput {
                name: attribute.key.to_string(),
                text: text[span.start..span.end].to_owned(),
                origin: name.to_owned(),
                span: Some(span),
            }));
        }
    }
    (inputs, diagnostics)
}

/// Returns the variables of a configuration whose values are kept nowhere: those with `ephemeral = true`.
pub fn ephemeral_variables(source: &Source) -> BTreeSet<String> {
    let (pieces, _) = overrides::parse_all(source);
    let blocks = Blocks::new(&pieces);
    let all = blocks.of("variable").into_iter();
    let ephemeral =
        all.filter(|(_, reader)| reader.flag("ephemeral", &dialect::names(), &mut Vec::new()) == Some(true));
    ephemeral
        .filter_map(|(block, _)| Some(block.labels.first()?.as_str().to_owned()))
        .collect()
}

/// Says that a variable takes no value that is kept nowhere, where it is given one.
pub(super) fn not_ephemeral(name: &str, value: &Value, marks: Marks) -> Option<Diagnostic> {
    (value.has_ephemeral() && !marks.ephemeral).then(|| {
        let detail = format!(
            "The value for \"{name}\" is ephemeral, and the variable may be used where values are kept. Where it is not, the module \
             says so: variable \"{name}\" {{ ephemeral = true }}."
        );
        Diagnostic::error("Ephemeral value not allowed", detail)
    })
}

/// Where values of variables come from.
pub(super) struct Inputs<'a> {
    pub(super) given: &'a [VariableInput],
    pub(super) files: &'a Files,
    /// Whether a variable may be without a value, which then is unknown.
    pub(super) is_lenient: bool,
}

/// Gives every declared variable its value.
pub(super) fn values(blocks: &[(&Block, Reader<'_>)], inputs: &Inputs<'_>, diagnostics: &mut Vec<Diagnostic>) -> Table {
    let declared: Vec<Variable<'_>> = blocks
        .iter()
        .filter_map(|(block, reader)| declare(block, *reader, diagnostics))
        .collect();
    let mut given: BTreeMap<&str, &VariableInput> = BTreeMap::new();
    for input in inputs.given {
        // Where a name is given again, the later value counts.
        given.insert(&input.name, input);
    }
    let mut table = Table::new();
    for variable in &declared {
        let input = given.remove(variable.name);
        table.insert(
            variable.name.to_owned(),
            variable.value(input, inputs.is_lenient, diagnostics),
        );
    }
    for input in given.values() {
        diagnostics.extend(undeclared(input, &declared));
    }
    for variable in &declared {
        let input = inputs.given.iter().rfind(|input| input.name == variable.name);
        let span = input.and_then(|input| input.span.as_ref());
        if !variable.validate(&table, (inputs.files, inputs.is_lenient), span, diagnostics) {
            table.insert(variable.name.to_owned(), None);
        }
    }
    table
}

/// A value that a `module` block gives; absent where it is wrong, which has been said.
pub(super) struct Argument {
    pub(super) value: Option<Value>,
    /// Where the name of the variable stands.
    pub(super) key: Span,
    /// Where the value stands.
    pub(super) span: Span,
}

/// A `module` block that gives variables their values.
pub(super) struct Call<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) header: Span,
    pub(super) directory: &'a str,
    pub(super) given: BTreeMap<&'a str, Argument>,
    pub(super) files: &'a Files,
    pub(super) is_lenient: bool,
}

/// Gives every variable of a module the value that a `module` block says. Returns what each must be, too, and its marks.
pub(super) fn passed(
    blocks: &[(&Block, Reader<'_>)],
    call: &Call<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Table, BTreeMap<String, (Type, Marks)>) {
    let declared: Vec<Variable<'_>> = blocks
        .iter()
        .filter_map(|(block, reader)| declare(block, *reader, diagnostics))
        .collect();
    let mut table = Table::new();
    for variable in &declared {
        let value = variable.passed(call, diagnostics);
        table.insert(variable.name.to_owned(), value);
    }
    for (name, argument) in &call.given {
        if !declared.iter().any(|variable| variable.name == *name) {
            let hint = did_you_mean(name, declared.iter().map(|variable| variable.name));
            let detail = format!(
                "An argument named \"{name}\" is not expected here: the module in {:?} has no variable \"{name}\".{hint}",
                call.directory
            );
            diagnostics.push(call.reader.error(argument.key.clone(), "Unsupported argument", detail));
        }
    }
    for variable in &declared {
        let span = call.given.get(variable.name).map(|argument| &argument.span);
        if !variable.validate(&table, (call.files, call.is_lenient), span, diagnostics) {
            table.insert(variable.name.to_owned(), None);
        }
    }
    let types = declared.into_iter().map(|variable| {
        let of = variable.of.unwrap_or(Type::Any);
        (variable.name.to_owned(), (of, variable.marks))
    });
    (table, types.collect())
}

fn undeclared(input: &VariableInput, declared: &[Variable<'_>]) -> Option<Diagnostic> {
    if input.origin.starts_with(ENVIRONMENT) {
        return None;
    }
    let name = &input.name;
    let hint = did_you_mean(name, declared.iter().map(|variable| variable.name));
    let detail = format!(
        "A variable named \"{name}\" is given by {}, but the configuration does not declare it. Declare it with a block: \
         variable \"{name}\" {{}}.{hint}",
        input.origin
    );
    // A file may be shared between configurations; an argument is meant for this one.
    Some(match &input.span {
        Some(span) => Diagnostic::warning("Value for undeclared variable", detail).at(span.clone()),
        None => Diagnostic::error("Value for undeclared variable", detail),
    })
}

fn declare<'a>(block: &'a Block, reader: Reader<'a>, diagnostics: &mut Vec<Diagnostic>) -> Option<Variable<'a>> {
    let name = block.labels.first()?.as_str();
    let header = reader.header(block);
    if hcl_edit::Ident::try_new(name).is_err() {
        let detail = "The name of a variable starts with a letter and holds letters, digits, \"_\" and \"-\".";
        diagnostics.push(reader.error(header.clone(), "Invalid variable name", detail));
        return None;
    }
    let none = dialect::names();
    let of = match reader
        .attribute("type")
        .map(|attribute| read_type(&attribute.value, reader.place, &DIALECT))
    {
        None => None,
        Some(Ok(of)) => Some(of),
        Some(Err(diagnostic)) => {
            diagnostics.push(diagnostic.within(reader.context));
            Some(Type::Any)
        }
    };
    let default = reader.attribute("default").and_then(|attribute| {
        // A wrong default is not a missing one.
        let Some(value) = reader.evaluate(&attribute.value, &none, diagnostics) else {
            return Some(Value::unknown());
        };
        let converted = convert::convert(&value, of.as_ref().unwrap_or(&Type::Any));
        converted
            .map_err(|why| {
                let detail = format!("The default does not fit the type of the variable: {why}.");
                let span = reader.span(&attribute.value);
                diagnostics.push(reader.error(span, "Invalid default value for variable", detail));
            })
            .ok()
            .or(Some(Value::unknown()))
    });
    reader.text("description", &none, diagnostics);
    Some(Variable {
        name,
        block: reader,
        header,
        of,
        default,
        marks: Marks {
            sensitive: reader.flag("sensitive", &none, diagnostics).unwrap_or(false),
            ephemeral: reader.flag("ephemeral", &none, diagnostics).unwrap_or(false),
        },
        nullable: reader.flag("nullable", &none, diagnostics).unwrap_or(true),
    })
}

impl Variable<'_> {
    fn value(
        &self,
        input: Option<&VariableInput>,
        is_lenient: bool,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Value> {
        if input.is_none() && self.default.is_none() && is_lenient {
            return Some(Value::unknown().marked(self.marks));
        }
        let value = match input {
            Some(input) => self.given(input, diagnostics)?,
            None => self.default.clone().or_else(|| {
                let name = self.name;
                let detail = format!(
                    "The variable \"{name}\" has no default, so it needs a value: -var '{name}=...', the environment \
                     variable SIMDB_VAR_{name}, or a line in simdb.simdbvars.hcl."
                );
                diagnostics.push(
                    self.block
                        .error(self.header.clone(), "No value for required variable", detail),
                );
                None
            })?,
        };
        // The default was wrong, which has been said.
        if value.is_unknown() {
            return None;
        }
        self.settled(value, diagnostics)
    }

    /// Makes the value of the variable out of one that fits its type: null stands for the default where it is not allowed.
    fn settled(&self, value: Value, diagnostics: &mut Vec<Diagnostic>) -> Option<Value> {
        if value.is_null() && !self.nullable {
            if let Some(default) = self.default.as_ref().filter(|default| !default.is_null()) {
                return Some(default.clone().marked(self.marks));
            }
            let detail = format!(
                "The variable \"{}\" must not be null: it says nullable = false.",
                self.name
            );
            diagnostics.push(
                self.block
                    .error(self.header.clone(), "Required variable not set", detail),
            );
            return None;
        }
        Some(value.marked(self.marks))
    }

    /// Returns the value that a `module` block gives.
    fn passed(&self, call: &Call<'_>, diagnostics: &mut Vec<Diagnostic>) -> Option<Value> {
        let Some(argument) = call.given.get(self.name) else {
            let Some(default) = self.default.clone() else {
                let detail = format!(
                    "The argument \"{0}\" is required, but no value is given for it: variable \"{0}\" of the module in {1:?} \
                     has no default.",
                    self.name, call.directory
                );
                let problem = call
                    .reader
                    .error(call.header.clone(), "Missing required argument", detail);
                diagnostics.push(problem);
                return None;
            };
            // An unknown default was wrong, which has been said.
            return Some(default)
                .filter(|default| !default.is_unknown())
                .and_then(|default| self.settled(default, diagnostics));
        };
        let value = argument.value.as_ref()?;
        if let Some(problem) = not_ephemeral(self.name, value, self.marks) {
            diagnostics.push(problem.at(argument.span.clone()).within(call.reader.context));
            return None;
        }
        match convert::convert(value, self.of.as_ref().unwrap_or(&Type::Any)) {
            Ok(value) => self.settled(value, diagnostics),
            Err(why) => {
                let detail = format!("The value for \"{}\" is not suitable: {why}.", self.name);
                let problem = call
                    .reader
                    .error(argument.span.clone(), "Invalid value for variable", detail);
                diagnostics.push(problem);
                None
            }
        }
    }

    /// Reads the value that an argument, the environment or a file gives.
    fn given(&self, input: &VariableInput, diagnostics: &mut Vec<Diagnostic>) -> Option<Value> {
        let literal = input.span.is_none()
            && matches!(self.of, None | Some(Type::String | Type::Number | Type::Bool))
            && !(input.text == "null" && matches!(self.of, Some(Type::Number | Type::Bool)));
        let value = if literal {
            Value::from(input.text.as_str())
        } else {
            let before = diagnostics.len();
            let value = expression(input, diagnostics);
            for diagnostic in &mut diagnostics[before..] {
                diagnostic
                    .values
                    .push(format!("var.{} is given by {}", self.name, input.origin));
            }
            value?
        };
        let converted = convert::convert(&value, self.of.as_ref().unwrap_or(&Type::Any));
        converted
            .map_err(|why| {
                let detail = format!(
                    "The value for \"{}\" from {} is not suitable: {why}.",
                    self.name, input.origin
                );
                let span = input.span.clone().unwrap_or_else(|| self.header.clone());
                diagnostics.push(self.block.error(span, "Invalid value for variable", detail));
            })
            .ok()
    }

    /// Checks the value against the variable's rules. Returns whether it keeps them.
    fn validate(
        &self,
        table: &Table,
        (files, is_lenient): (&Files, bool),
        span: Option<&Span>,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> bool {
        let Some(Some(value)) = table.get(self.name) else {
            return true;
        };
        let names = Names {
            variables: Some(table),
            files: Some(files),
            is_lenient,
            ..dialect::names()
        };
        let mut keeps = true;
        for (_, rule) in self.block.blocks("validation") {
            let Some(mut broken) = rule.broken("Invalid value for variable", &names, diagnostics) else {
                continue;
            };
            keeps = false;
            if let Some(span) = span {
                broken.span = Some(span.clone());
            }
            if broken.values.is_empty() {
                broken.values.push(format!("var.{} is {}", self.name, value.describe()));
            }
            diagnostics.push(broken);
        }
        keeps
    }
}

/// Evaluates a value that is written as an expression.
fn expression(input: &VariableInput, diagnostics: &mut Vec<Diagnostic>) -> Option<Value> {
    let place = match &input.span {
        Some(span) => Place::new(&span.file, span.start),
        None => Place::nowhere(),
    };
    match parse::expression(&input.text) {
        Ok(expression) => eval::evaluate(&expression, &dialect::names(), &place, diagnostics),
        Err(error) => {
            let mut diagnostic = syntax_error(&error, &input.text, &place);
            diagnostic.summary = String::from("Invalid value for variable");
            diagnostic
                .detail
                .push_str(" Inside a list or an object, text stands in double quotes.");
            diagnostics.push(diagnostic);
            None
        }
    }
}
