//! JSON values that keep every digit of their numbers: what outputs are, and what plans show.
//!
//! `serde_json::Value` holds a number as 64 bits, so `18446744073709551616` and the digits of `1/3` would come back as others.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::maps::Few;

/// How deep arrays and objects can be within each other, which is as deep as `serde_json` reads them.
const DEPTH: usize = 127;

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Json {
    /// `null`
    #[default]
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    String(String),
    /// Values in a row.
    Array(Vec<Json>),
    /// Values by name.
    Object(Members),
}

/// The members of an object.
pub type Members = Few<Json>;

/// A number as JSON spells it. Numbers are equal where they are spelled alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number(Digits);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Digits {
    /// The shortest spelling of a number of 64 bits.
    Few(serde_json::Number),
    /// Any other spelling.
    Many(Box<str>),
}

impl Number {
    /// Makes the number of a spelling that JSON allows.
    fn spelled(text: &str) -> Self {
        let few = text.parse::<serde_json::Number>().ok();
        let few = few.filter(|number| number.to_string() == text);
        Self(few.map_or_else(|| Digits::Many(text.into()), Digits::Few))
    }
}

impl Json {
    /// Reads a JSON text.
    ///
    /// # Errors
    ///
    /// The text is no JSON, or has arrays and objects more than 127 deep in each other.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        Self::within(serde_json::from_str(text)?, DEPTH)
    }

    /// Returns the value that a document is.
    ///
    /// # Panics
    ///
    /// The document has keys that are no texts.
    pub fn of(document: &impl Serialize) -> Self {
        let raw =
            serde_json::value::to_raw_value(document).expect("a document has string keys and no other way to fail");
        Self::within(&raw, usize::MAX).expect("what was just written is JSON")
    }

    /// Reads a value that has `depth` levels at most.
    fn within(raw: &RawValue, depth: usize) -> serde_json::Result<Self> {
        let text = raw.get();
        let deeper = || {
            depth.checked_sub(1).ok_or_else(|| {
                <serde_json::Error as serde::de::Error>::custom("arrays and objects are too deep in each other")
            })
        };
        Ok(match text.as_bytes().first() {
            Some(b'{') => {
                let depth = deeper()?;
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
                let members = members.into_iter();
                Json::Object(
                    members
                        .map(|(name, member)| Ok((name, Self::within(member, depth)?)))
                        .collect::<serde_json::Result<_>>()?,
                )
            }
            Some(b'[') => {
                let depth = deeper()?;
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                let items = items.into_iter();
                Json::Array(
                    items
                        .map(|item| Self::within(item, depth))
                        .collect::<serde_json::Result<_>>()?,
                )
            }
            Some(b'"') => Json::String(serde_json::from_str(text)?),
            Some(b't' | b'f') => Json::Bool(serde_json::from_str(text)?),
            Some(b'n') => Json::Null,
            _ => Json::Number(Number::spelled(text)),
        })
    }

    /// Returns whether it is `null`.
    pub fn is_null(&self) -> bool {
        *self == Json::Null
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Null => serializer.serialize_unit(),
            Json::Bool(value) => serializer.serialize_bool(*value),
            Json::Number(Number(Digits::Few(number))) => number.serialize(serializer),
            Json::Number(Number(Digits::Many(text))) => {
                let raw = RawValue::from_string(text.to_string()).map_err(serde::ser::Error::custom)?;
                raw.serialize(serializer)
            }
            Json::String(text) => serializer.serialize_str(text),
            Json::Array(items) => serializer.collect_seq(items),
            Json::Object(members) => members.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <Box<RawValue>>::deserialize(deserializer)?;
        Self::within(&raw, DEPTH).map_err(D::Error::custom)
    }
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(value),
            Value::Number(number) => Json::Number(Number(Digits::Few(number))),
            Value::String(text) => Json::String(text),
            Value::Array(items) => Json::Array(items.into_iter().map(Json::from).collect()),
            Value::Object(members) => {
                let members = members.into_iter();
                Json::Object(members.map(|(name, member)| (name, member.into())).collect())
            }
        }
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::String(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str) -> String {
        Json::parse(text).unwrap().to_string()
    }

    #[test]
    fn numbers_keep_every_digit() {
        for number in [
            "0",
            "-1",
            "18446744073709551616",
            "0.333333333333333333333333333333333333333333333333",
            "1e400",
            "0.1",
            "2.50",
        ] {
            assert_eq!(round(number), number);
            let within = format!("{{\"a\":[{number},\"{number}\"]}}");
            assert_eq!(round(&within), within);
            let read: BTreeMap<String, Json> = serde_json::from_str(&within).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), within);
        }
    }

    #[test]
    fn values_are_those_of_other_documents() {
        let value = serde_json::json!({"a": [1, 2.5, -3, null, true], "b": {"c": "\u{e9}\n\""}});
        assert_eq!(Json::from(value.clone()).to_string(), value.to_string());
        assert_eq!(
            serde_json::from_value::<Json>(value.clone()).unwrap(),
            Json::from(value.clone())
        );
        assert_eq!(serde_json::to_value(Json::from(value.clone())).unwrap(), value);
    }

    #[test]
    fn text_that_is_no_json_is_refused() {
        for text in ["", "{", "[1,]", "nul", "01", "1 2", "{\"a\" 1}", "\"\u{1}\""] {
            assert!(Json::parse(text).is_err(), "{text:?} was read");
        }
    }

    #[test]
    fn what_is_too_deep_is_refused() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(round(&nested(DEPTH)), nested(DEPTH));
        assert!(Json::parse(&nested(DEPTH + 1)).is_err());
        assert!(Json::parse(&nested(100_000)).is_err());
    }
}
