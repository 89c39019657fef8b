//! Values as the configuration language writes them.

use simdb_planner::plan::Shown;
use simdb_state::json::{Json, Members};
use simdb_state::sensitive::REDACTED;

use super::text::length;

/// Writes a value of a plan on one line.
pub(crate) fn shown(shown: &Shown) -> String {
    match shown {
        Shown::Value(value) => inline(value),
        Shown::KnownAfterApply => "(known after apply)".to_owned(),
        Shown::GeneratedAtApply => "(generated at apply)".to_owned(),
        Shown::Sensitive => REDACTED.to_owned(),
    }
}

/// Writes a value on one line.
pub(crate) fn inline(value: &Json) -> String {
    match value {
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => value.to_string(),
        Json::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Json::Object(members) if members.is_empty() => "{}".to_owned(),
        Json::Object(members) => {
            let members = members
                .iter()
                .map(|(name, value)| format!("{name} = {}", inline(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Writes the members of an object, each on lines of its own, the equals signs in one column.
pub(crate) fn body(members: &Members, indent: usize) -> String {
    let width = members.keys().map(|name| length(name)).max().unwrap_or_default();
    let member = |(name, value): (&String, &Json)| match value {
        Json::Object(inner) if !inner.is_empty() => format!(
            "{:indent$}{name:width$} = {{\n{}{:indent$}}}\n",
            "",
            body(inner, indent + 4),
            ""
        ),
        _ => format!("{:indent$}{name:width$} = {}\n", "", inline(value)),
    };
    members.iter().map(member).collect()
}
