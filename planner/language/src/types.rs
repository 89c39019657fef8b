//! Type constraints: `list(string)`, `object({ a = number, b = optional(bool) })`.

use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, ObjectKey};

use crate::convert::{self, Attribute, Type};
use crate::diagnostic::Diagnostic;
use crate::dialect::Dialect;
use crate::eval;
use crate::reference::Names;
use crate::source::Place;
use crate::suggest::did_you_mean;
use crate::value::Value;

/// Reads a type constraint.
pub fn read_type(expression: &Expression, place: &Place, dialect: &'static Dialect) -> Result<Type, Box<Diagnostic>> {
    let wrong = |at: &Expression, detail: String| {
        let mut diagnostic = Diagnostic::error("Invalid type specification", detail);
        diagnostic.span = place.of(at);
        Box::new(diagnostic)
    };
    match expression {
        Expression::Variable(name) => match name.as_str() {
            "any" => Ok(Type::Any),
            "string" => Ok(Type::String),
            "number" => Ok(Type::Number),
            "bool" => Ok(Type::Bool),
            "list" | "set" => Ok(Type::List(Box::new(Type::Any))),
            "map" => Ok(Type::Map(Box::new(Type::Any))),
            other => {
                let hint = did_you_mean(
                    other,
                    [
                        "any", "string", "number", "bool", "list", "set", "map", "object", "tuple",
                    ],
                );
                let detail = format!(
                    "\"{other}\" is no type. The types are string, number, bool, any, list(...), set(...), map(...), \
                     tuple([...]) and object({{...}}).{hint}"
                );
                Err(wrong(expression, detail))
            }
        },
        Expression::String(name) => Err(wrong(
            expression,
            format!("A type is written without quotes: type = {}.", name.value()),
        )),
        Expression::FuncCall(call) if !call.name.is_namespaced() && call.args.len() == 1 => {
            let argument = call.args.get(0).unwrap_or(expression);
            let inner = || read_type(argument, place, dialect).map(Box::new);
            match (call.name.name.as_str(), argument) {
                ("list", _) => Ok(Type::List(inner()?)),
                ("set", _) => Ok(Type::Set(inner()?)),
                ("map", _) => Ok(Type::Map(inner()?)),
                ("tuple", Expression::Array(items)) => Ok(Type::Tuple(
                    items
                        .iter()
                        .map(|item| read_type(item, place, dialect))
                        .collect::<Result<_, _>>()?,
                )),
                ("object", Expression::Object(attributes)) => read_object(attributes, place, dialect),
                (other, _) => Err(wrong(
                    expression,
                    format!("\"{other}(...)\" is no type with such an argument."),
                )),
            }
        }
        _ => Err(wrong(
            expression,
            "A type is a name such as string, or a call such as list(string).".to_owned(),
        )),
    }
}

fn read_object(
    attributes: &hcl_edit::expr::Object,
    place: &Place,
    dialect: &'static Dialect,
) -> Result<Type, Box<Diagnostic>> {
    let mut read = BTreeMap::new();
    for (key, value) in attributes {
        let name = match key {
            ObjectKey::Ident(name) => name.to_string(),
            ObjectKey::Expression(Expression::String(name)) => name.value().clone(),
            ObjectKey::Expression(other) => {
                let mut diagnostic =
                    Diagnostic::error("Invalid type specification", "An attribute's name is a plain word.");
                diagnostic.span = place.of(other);
                return Err(Box::new(diagnostic));
            }
        };
        read.insert(name, read_attribute(value.expr(), place, dialect)?);
    }
    Ok(Type::Object(read))
}

/// Reads the type of an object's attribute, which may be `optional(type, default)`.
fn read_attribute(
    expression: &Expression,
    place: &Place,
    dialect: &'static Dialect,
) -> Result<Attribute, Box<Diagnostic>> {
    let Expression::FuncCall(call) = expression else {
        return Ok(Attribute {
            of: read_type(expression, place, dialect)?,
            default: None,
        });
    };
    if call.name.name.as_str() != "optional" || call.args.is_empty() || call.args.len() > 2 {
        return Ok(Attribute {
            of: read_type(expression, place, dialect)?,
            default: None,
        });
    }
    let of = read_type(call.args.get(0).unwrap_or(expression), place, dialect)?;
    let Some(default) = call.args.get(1) else {
        return Ok(Attribute {
            of,
            default: Some(Value::null()),
        });
    };
    let mut diagnostics = Vec::new();
    let value = eval::evaluate(default, &Names::new(dialect), place, &mut diagnostics);
    if let Some(problem) = diagnostics.into_iter().next() {
        return Err(Box::new(problem));
    }
    let value = convert::convert(&value.unwrap_or_else(Value::null), &of).map_err(|why| {
        let mut diagnostic = Diagnostic::error(
            "Invalid default value",
            format!("The default does not fit its type: {why}."),
        );
        diagnostic.span = place.of(default);
        Box::new(diagnostic)
    })?;
    Ok(Attribute {
        of,
        default: Some(value),
    })
}
