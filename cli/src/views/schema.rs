//! The published JSON schemas of the documents: `simdb metadata plan -json`.
//!
//! They are written by hand, for their readers; a test holds real documents against them, field by field.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::doc::FORMAT_VERSION;

/// All definitions. Each document uses some of them.
const DEFINITIONS: &str = include_str!("schema/documents.json");

/// Returns the schema of a document, with the definitions that it needs and no others.
///
/// # Panics
/// Where there is no such definition: the names are those of the commands.
pub(crate) fn of(name: &str) -> Value {
    let all = definitions();
    let mut needed = BTreeSet::new();
    need(name, &all, &mut needed);
    let definitions: Map<String, Value> = all.into_iter().filter(|(name, _)| needed.contains(name)).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": format!("simdb {name}, format version {FORMAT_VERSION}"),
        "$ref": reference(name),
        "$defs": definitions,
    })
}

/// Lists the fields of a document for people: name, type, meaning.
pub(crate) fn fields(name: &str) -> Vec<(String, String)> {
    let all = definitions();
    let mut lines = Vec::new();
    list(&all[name], "", &all, &mut lines);
    lines
}

fn definitions() -> Map<String, Value> {
    let document: Value = serde_json::from_str(DEFINITIONS).expect("the schemas are part of the program");
    match document {
        Value::Object(mut document) => match document.remove("$defs") {
            Some(Value::Object(definitions)) => definitions,
            _ => Map::new(),
        },
        _ => Map::new(),
    }
}

fn reference(name: &str) -> String {
    format!("#/$defs/{name}")
}

/// Returns the name of the definition that a schema refers to.
fn referred(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")
}

fn need(name: &str, all: &Map<String, Value>, needed: &mut BTreeSet<String>) {
    if needed.insert(name.to_owned()) {
        let definition = all.get(name).expect("every reference has a definition");
        for name in references(definition) {
            need(name, all, needed);
        }
    }
}

fn references(schema: &Value) -> Vec<&str> {
    let within: Vec<&Value> = match schema {
        Value::Object(members) => members.values().collect(),
        Value::Array(items) => items.iter().collect(),
        _ => Vec::new(),
    };
    let own = referred(schema);
    own.into_iter().chain(within.into_iter().flat_map(references)).collect()
}

fn list(schema: &Value, path: &str, all: &Map<String, Value>, lines: &mut Vec<(String, String)>) {
    let schema = referred(schema).map_or(schema, |name| &all[name]);
    let properties = schema.get("properties").and_then(Value::as_object);
    for (name, inner) in properties.into_iter().flatten() {
        let path = format!("{path}{name}");
        let inner = referred(inner).map_or(inner, |name| &all[name]);
        let described = inner.get("description").and_then(Value::as_str);
        lines.push((path.clone(), described.unwrap_or_default().to_owned()));
        match inner.get("items") {
            Some(items) => list(items, &format!("{path}[]."), all, lines),
            None => list(inner, &format!("{path}."), all, lines),
        }
    }
    for one in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        list(one, path, all, lines);
    }
}

#[cfg(test)]
pub(crate) mod validation;
