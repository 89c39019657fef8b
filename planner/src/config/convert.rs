//! Conversions between kinds of values: the primitive ones that operators and functions do by themselves, and type
//! constraints of variables.

use std::collections::BTreeMap;

use super::number::Number;
use super::value::{Kind, Value};

/// A type constraint.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Any,
    String,
    Number,
    Bool,
    List(Box<Type>),
    Set(Box<Type>),
    Map(Box<Type>),
    Tuple(Vec<Type>),
    Object(BTreeMap<String, Attribute>),
}

/// An attribute of an object type.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attribute {
    /// What it must be.
    pub(super) of: Type,
    /// What it is where it is absent; absent, the attribute is required.
    pub(super) default: Option<Value>,
}

/// Why a value is not of a type: a sentence part such as `a number is required, not a list`.
pub(super) type Mismatch = String;

fn mismatch(required: &str, value: &Value) -> Mismatch {
    format!("{required} is required, not {}", value.kind_name())
}

/// Returns a primitive as text; the value is known and not sensitive as far as the caller cares.
pub(super) fn to_text(value: &Value) -> Result<String, Mismatch> {
    match &value.kind {
        Kind::String(text) => Ok(text.to_string()),
        Kind::Number(number) => Ok(number.to_string()),
        Kind::Bool(flag) => Ok(flag.to_string()),
        _ => Err(mismatch("a string", value)),
    }
}

/// Returns a number, or a text that is one.
pub(super) fn to_number(value: &Value) -> Result<Number, Mismatch> {
    match &value.kind {
        Kind::Number(number) => Ok(*number),
        Kind::String(text) => {
            Number::parse(text).ok_or_else(|| "a number is required, not a string that is none".to_owned())
        }
        _ => Err(mismatch("a number", value)),
    }
}

/// Returns a bool, or a text that is one.
pub(super) fn to_bool(value: &Value) -> Result<bool, Mismatch> {
    match &value.kind {
        Kind::Bool(flag) => Ok(*flag),
        Kind::String(text) => match &**text {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err("a bool is required, not a string other than \"true\" and \"false\"".to_owned()),
        },
        _ => Err(mismatch("a bool", value)),
    }
}

/// Returns the items of a list, a set or an object's values; nothing for other kinds.
pub(super) fn items(value: &Value) -> Option<Vec<Value>> {
    match &value.kind {
        Kind::List(parts) | Kind::Set(parts) => Some(parts.items.clone()),
        Kind::Object(parts) => Some(parts.items.values().cloned().collect()),
        _ => None,
    }
}

/// Converts a value to a type, keeping unknown and sensitive as they are.
pub(super) fn convert(value: &Value, to: &Type) -> Result<Value, Mismatch> {
    if value.is_null() || value.is_unknown() || *to == Type::Any {
        return Ok(value.clone());
    }
    let converted = match to {
        Type::Any => value.clone(),
        Type::String => to_text(value)?.into(),
        Type::Number => to_number(value)?.into(),
        Type::Bool => to_bool(value)?.into(),
        Type::List(of) => Value::list(convert_items(value, of, "a list")?),
        Type::Set(of) => Value::set(convert_items(value, of, "a set")?),
        Type::Tuple(of) => to_tuple(value, of)?,
        Type::Map(of) => to_map(value, of)?,
        Type::Object(of) => to_object(value, of)?,
    };
    Ok(converted.marked(value.sensitive))
}

fn convert_items(value: &Value, of: &Type, required: &str) -> Result<Vec<Value>, Mismatch> {
    let (Kind::List(parts) | Kind::Set(parts)) = &value.kind else {
        return Err(mismatch(required, value));
    };
    let convert = |(index, item)| convert(item, of).map_err(|why| format!("element {index}: {why}"));
    parts.items.iter().enumerate().map(convert).collect()
}

fn to_tuple(value: &Value, of: &[Type]) -> Result<Value, Mismatch> {
    match &value.kind {
        Kind::List(parts) if parts.items.len() == of.len() => {
            let converted = parts.items.iter().zip(of).map(|(item, of)| convert(item, of));
            Ok(Value::list(converted.collect::<Result<_, _>>()?))
        }
        Kind::List(parts) => Err(format!("{} elements are required, not {}", of.len(), parts.items.len())),
        _ => Err(mismatch("a tuple", value)),
    }
}

fn to_map(value: &Value, of: &Type) -> Result<Value, Mismatch> {
    let Kind::Object(parts) = &value.kind else {
        return Err(mismatch("a map", value));
    };
    let convert = |(key, item): (&String, &Value)| match convert(item, of) {
        Ok(item) => Ok((key.clone(), item)),
        Err(why) => Err(format!("key {key:?}: {why}")),
    };
    Ok(Value::object(
        parts.items.iter().map(convert).collect::<Result<_, _>>()?,
    ))
}

fn to_object(value: &Value, of: &BTreeMap<String, Attribute>) -> Result<Value, Mismatch> {
    let Kind::Object(parts) = &value.kind else {
        return Err(mismatch("an object", value));
    };
    let attribute = |(name, attribute): (&String, &Attribute)| {
        let given = parts
            .items
            .get(name)
            .filter(|given| !given.is_null() || attribute.default.is_none());
        let item = match (given, &attribute.default) {
            (Some(given), _) => convert(given, &attribute.of).map_err(|why| format!("attribute {name:?}: {why}"))?,
            (None, Some(default)) => default.clone(),
            (None, None) => return Err(format!("attribute {name:?} is required")),
        };
        Ok((name.clone(), item))
    };
    Ok(Value::object(of.iter().map(attribute).collect::<Result<_, _>>()?))
}

/// Brings the two results of a conditional to one kind: where one is a string, a number or bool becomes one too.
pub(super) fn unify(chosen: Value, other: &Value) -> Result<Value, Mismatch> {
    let kind = match (&chosen.kind, &other.kind) {
        (Kind::Number(_) | Kind::Bool(_), Kind::String(_)) => Kind::String(to_text(&chosen)?.into()),
        (Kind::Null | Kind::Unknown, _)
        | (_, Kind::Null | Kind::Unknown)
        | (Kind::String(_), Kind::Number(_) | Kind::Bool(_))
        | (Kind::List(_), Kind::Set(_))
        | (Kind::Set(_), Kind::List(_)) => return Ok(chosen),
        (a, b) if std::mem::discriminant(a) == std::mem::discriminant(b) => return Ok(chosen),
        _ => {
            return Err(format!(
                "one is {}, the other {}",
                chosen.kind_name(),
                other.kind_name()
            ));
        }
    };
    Ok(Value::from(kind).marked(chosen.sensitive))
}
