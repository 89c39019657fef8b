//! Values as JSON text, with every digit of their numbers.

use super::{Kind, Value};

/// How long a text may become.
const MAX_LENGTH: usize = 16 << 20;

/// Why a value cannot be written as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritable {
    /// A part of it is unknown.
    Unknown,
    /// The text would be too long.
    TooLong,
}

/// Writes a value as JSON, with every digit of its numbers, and with `<`, `>` and `&` escaped.
///
/// # Errors
///
/// A part of the value is unknown, or the text would be too long.
pub fn write(value: &Value) -> Result<String, Unwritable> {
    let mut out = String::new();
    append(value, &mut out, escape, MAX_LENGTH)?;
    Ok(out)
}

/// Writes a value of any length as JSON, without escapes that JSON does not ask for.
pub(crate) fn write_plain(value: &Value) -> Result<String, Unwritable> {
    let mut out = String::new();
    let quote = |text: &str, out: &mut String| out.push_str(&serde_json::Value::from(text).to_string());
    append(value, &mut out, quote, usize::MAX)?;
    Ok(out)
}

fn append(value: &Value, out: &mut String, quote: fn(&str, &mut String), longest: usize) -> Result<(), Unwritable> {
    match &value.kind {
        Kind::Unknown => return Err(Unwritable::Unknown),
        Kind::Null => out.push_str("null"),
        Kind::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
        Kind::Number(number) => out.push_str(&number.to_string()),
        Kind::String(text) => quote(text, out),
        Kind::List(parts) | Kind::Set(parts) => {
            out.push('[');
            for (index, item) in parts.items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                append(item, out, quote, longest)?;
            }
            out.push(']');
        }
        Kind::Object(parts) => {
            out.push('{');
            for (index, (key, item)) in parts.items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { "," });
                quote(key, out);
                out.push(':');
                append(item, out, quote, longest)?;
            }
            out.push('}');
        }
    }
    if out.len() > longest {
        return Err(Unwritable::TooLong);
    }
    Ok(())
}

fn escape(text: &str, out: &mut String) {
    let quoted = serde_json::Value::from(text).to_string();
    for c in quoted.chars() {
        match c {
            '&' => out.push_str("\\u0026"),
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
}
