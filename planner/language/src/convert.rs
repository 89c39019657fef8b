//! Conversions between kinds of values: the primitive ones that operators and functions do by themselves, type
//! constraints of variables, and the one type that several values have in common.

use std::collections::BTreeMap;
use std::fmt;

use crate::number::Number;
use crate::value::{Kind, Value};

/// A type constraint. `Any` stands for every type; within a list, a set or a map, for the one that all elements share.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// `any`
    Any,
    /// `string`
    String,
    /// `number`
    Number,
    /// `bool`
    Bool,
    /// `list(…)`
    List(Box<Type>),
    /// `set(…)`
    Set(Box<Type>),
    /// `map(…)`
    Map(Box<Type>),
    /// `tuple([…])`
    Tuple(Vec<Type>),
    /// `object({…})`
    Object(BTreeMap<String, Attribute>),
}

/// An attribute of an object type.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    /// What it must be.
    pub of: Type,
    /// What it is where it is absent; absent, the attribute is required.
    pub default: Option<Value>,
}

impl fmt::Display for Type {
    /// Writes the type as a configuration does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Any => f.write_str("any"),
            Type::String => f.write_str("string"),
            Type::Number => f.write_str("number"),
            Type::Bool => f.write_str("bool"),
            Type::List(of) => write!(f, "list({of})"),
            Type::Set(of) => write!(f, "set({of})"),
            Type::Map(of) => write!(f, "map({of})"),
            Type::Tuple(items) => {
                let items: Vec<String> = items.iter().map(ToString::to_string).collect();
                write!(f, "tuple([{}])", items.join(", "))
            }
            Type::Object(attributes) => {
                let attributes: Vec<String> = attributes
                    .iter()
                    .map(|(name, attribute)| match attribute.default {
                        Some(_) => format!("{name} = optional({})", attribute.of),
                        None => format!("{name} = {}", attribute.of),
                    })
                    .collect();
                write!(f, "object({{{}}})", attributes.join(", "))
            }
        }
    }
}

/// Why a value is not of a type: a sentence part such as `a number is required, not a list`.
pub type Mismatch = String;

fn mismatch(required: &str, value: &Value) -> Mismatch {
    format!("{required} is required, not {}", value.kind_name())
}

/// Returns a primitive as text; the value is known and not sensitive as far as the caller cares.
pub fn to_text(value: &Value) -> Result<String, Mismatch> {
    match &value.kind {
        Kind::String(text) => Ok(text.to_string()),
        Kind::Number(number) => Ok(number.to_string()),
        Kind::Bool(flag) => Ok(flag.to_string()),
        _ => Err(mismatch("a string", value)),
    }
}

/// Returns a number, or a text that is one.
pub fn to_number(value: &Value) -> Result<Number, Mismatch> {
    match &value.kind {
        Kind::Number(number) => Ok(number.clone()),
        Kind::String(text) => {
            Number::parse(text).ok_or_else(|| "a number is required, not a string that is none".to_owned())
        }
        _ => Err(mismatch("a number", value)),
    }
}

/// Returns a bool, or a text that is one.
pub fn to_bool(value: &Value) -> Result<bool, Mismatch> {
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
pub fn items(value: &Value) -> Option<Vec<Value>> {
    match &value.kind {
        Kind::List(parts) | Kind::Set(parts) => Some(parts.items.clone()),
        Kind::Object(parts) => Some(parts.items.values().cloned().collect()),
        _ => None,
    }
}

/// Converts a value to a type, keeping unknown and sensitive as they are.
pub fn convert(value: &Value, to: &Type) -> Result<Value, Mismatch> {
    if value.is_null() || value.is_unknown() || *to == Type::Any {
        return Ok(value.clone());
    }
    let converted = match to {
        Type::Any => value.clone(),
        Type::String => to_text(value)?.into(),
        Type::Number => to_number(value)?.into(),
        Type::Bool => to_bool(value)?.into(),
        Type::List(of) => Value::list(convert_items(value, of, "a list")?),
        Type::Set(of) => {
            let items = convert_items(value, of, "a set")?;
            // An unknown element may be equal to another one.
            if items.iter().any(Value::has_unknown) {
                return Ok(Value::unknown().marked(value.all_marks()));
            }
            Value::set(&items)
        }
        Type::Tuple(of) => to_tuple(value, of)?,
        Type::Map(of) => to_map(value, of)?,
        Type::Object(of) => to_object(value, of)?,
    };
    Ok(converted.marked(value.marks))
}

/// Returns what the elements of a list, a set or a map are to be, where the constraint leaves it open.
fn shared(of: &Type, mut items: impl Iterator<Item = Type>, what: &str) -> Result<Type, Mismatch> {
    if *of != Type::Any {
        return Ok(of.clone());
    }
    let first = items.next().unwrap_or(Type::Any);
    items
        .try_fold(first, unify)
        .ok_or_else(|| format!("all elements of {what} must be of one type"))
}

fn convert_items(value: &Value, of: &Type, required: &str) -> Result<Vec<Value>, Mismatch> {
    let (Kind::List(parts) | Kind::Set(parts)) = &value.kind else {
        return Err(mismatch(required, value));
    };
    let of = &shared(of, parts.items.iter().map(type_of), required)?;
    let convert = |(index, item)| convert(item, of).map_err(|why| format!("element {index}: {why}"));
    parts.items.iter().enumerate().map(convert).collect()
}

fn to_tuple(value: &Value, of: &[Type]) -> Result<Value, Mismatch> {
    match &value.kind {
        Kind::List(parts) if parts.items.len() == of.len() => {
            let converted = parts.items.iter().zip(of).map(|(item, of)| convert(item, of));
            Ok(Value::tuple(converted.collect::<Result<_, _>>()?))
        }
        Kind::List(parts) => Err(format!("{} elements are required, not {}", of.len(), parts.items.len())),
        _ => Err(mismatch("a tuple", value)),
    }
}

fn to_map(value: &Value, of: &Type) -> Result<Value, Mismatch> {
    let Kind::Object(parts) = &value.kind else {
        return Err(mismatch("a map", value));
    };
    let of = &shared(of, parts.items.values().map(type_of), "a map")?;
    let convert = |(key, item): (&String, &Value)| match convert(item, of) {
        Ok(item) => Ok((key.clone(), item)),
        Err(why) => Err(format!("key {key:?}: {why}")),
    };
    Ok(Value::map(parts.items.iter().map(convert).collect::<Result<_, _>>()?))
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

/// Returns the type of a value; of what is null or unknown it is `Any`.
pub(crate) fn type_of(value: &Value) -> Type {
    let element = |mut types: Vec<Type>| {
        let first = types.pop().unwrap_or(Type::Any);
        Box::new(types.into_iter().try_fold(first, unify).unwrap_or(Type::Any))
    };
    match &value.kind {
        Kind::Null | Kind::Unknown => Type::Any,
        Kind::Bool(_) => Type::Bool,
        Kind::Number(_) => Type::Number,
        Kind::String(_) => Type::String,
        Kind::List(parts) if parts.uniform => Type::List(element(parts.items.iter().map(type_of).collect())),
        Kind::List(parts) => Type::Tuple(parts.items.iter().map(type_of).collect()),
        Kind::Set(parts) => Type::Set(element(parts.items.iter().map(type_of).collect())),
        Kind::Object(parts) if parts.uniform => Type::Map(element(parts.items.values().map(type_of).collect())),
        Kind::Object(parts) => {
            let attribute = |(name, item): (&String, &Value)| {
                let of = type_of(item);
                (name.clone(), Attribute { of, default: None })
            };
            Type::Object(parts.items.iter().map(attribute).collect())
        }
    }
}

/// Returns the type that values of two types can both be converted to without loss; nothing where there is none.
pub(crate) fn unify(a: Type, b: Type) -> Option<Type> {
    let both = |a: Box<Type>, b: Box<Type>| Some(Box::new(unify(*a, *b)?));
    let all = |types: Vec<Type>| {
        let first = Type::Any;
        Some(Box::new(types.into_iter().try_fold(first, unify)?))
    };
    Some(match (a, b) {
        (Type::Any, other) | (other, Type::Any) => other,
        (a, b) if a == b => a,
        (Type::String, Type::Number | Type::Bool) | (Type::Number | Type::Bool, Type::String) => Type::String,
        (Type::List(a), Type::List(b)) => Type::List(both(a, b)?),
        (Type::Set(a) | Type::List(a), Type::Set(b)) | (Type::Set(a), Type::List(b)) => Type::Set(both(a, b)?),
        (Type::Map(a), Type::Map(b)) => Type::Map(both(a, b)?),
        (Type::Tuple(a), Type::Tuple(b)) if a.len() == b.len() => {
            let pairs = a.iter().cloned().zip(b.iter().cloned());
            match pairs.map(|(a, b)| unify(a, b)).collect() {
                Some(items) => Type::Tuple(items),
                None => Type::List(all(a.into_iter().chain(b).collect())?),
            }
        }
        (Type::Tuple(a), Type::Tuple(b)) => Type::List(all(a.into_iter().chain(b).collect())?),
        (Type::Tuple(items), Type::List(of)) | (Type::List(of), Type::Tuple(items)) => {
            Type::List(all(items.into_iter().chain([*of]).collect())?)
        }
        (Type::Tuple(items), Type::Set(of)) | (Type::Set(of), Type::Tuple(items)) => {
            Type::Set(all(items.into_iter().chain([*of]).collect())?)
        }
        (Type::Object(a), Type::Object(b)) if a.keys().eq(b.keys()) => {
            let attribute = |((name, a), (_, b)): ((String, Attribute), (String, Attribute))| {
                let of = unify(a.of, b.of)?;
                Some((name, Attribute { of, default: None }))
            };
            match a.clone().into_iter().zip(b.clone()).map(attribute).collect() {
                Some(attributes) => Type::Object(attributes),
                None => Type::Map(all(a.into_values().chain(b.into_values()).map(|a| a.of).collect())?),
            }
        }
        (Type::Object(a), Type::Object(b)) => {
            Type::Map(all(a.into_values().chain(b.into_values()).map(|a| a.of).collect())?)
        }
        (Type::Object(attributes), Type::Map(of)) | (Type::Map(of), Type::Object(attributes)) => {
            let types = attributes.into_values().map(|attribute| attribute.of);
            Type::Map(all(types.chain([*of]).collect())?)
        }
        _ => return None,
    })
}

/// Brings the chosen result of a conditional to the type that both results have in common.
pub(crate) fn unified(chosen: Value, other: &Value) -> Result<Value, Mismatch> {
    let (chosen_type, other_type) = (type_of(&chosen), type_of(other));
    if chosen_type == other_type {
        return Ok(chosen);
    }
    match unify(chosen_type.clone(), other_type.clone()) {
        Some(shared) => convert(&chosen, &shared),
        None => Err(format!("one is {chosen_type}, the other {other_type}")),
    }
}
