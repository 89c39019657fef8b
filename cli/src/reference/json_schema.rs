//! A JSON schema of `*.simdb.json`. Every value may also be a text with an expression in it, `"${...}"`.

use serde_json::{Map, Value, json};
use simdb_planner::config::schema::{self, Attribute, Count, Kind, Nested, Schema};

/// What a text with an expression in it looks like.
const TEMPLATE: &str = "\\$\\{|%\\{";

/// Makes the schema.
pub(super) fn json_schema() -> Value {
    let mut definitions: Map<String, Value> = Map::new();
    for (way, kind) in schema::file().below() {
        definitions.insert(way.clone(), body(kind.schema, &format!("{way}.")));
    }
    let mut document = body(schema::file(), "");
    document["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    document["title"] = "A configuration of simdb in JSON".into();
    document["$defs"] = definitions.into();
    document
}

fn body(schema: &Schema, way: &str) -> Value {
    let mut properties = Map::new();
    properties.insert("//".to_owned(), json!({ "description": "A comment." }));
    let mut required = Vec::new();
    for known in schema.attributes {
        properties.insert(known.name.to_owned(), attribute(known));
        if known.is_required {
            required.push(known.name);
        }
    }
    for kind in schema.blocks {
        properties.insert(kind.name.to_owned(), blocks(kind, way));
        if kind.count == Count::One {
            required.push(kind.name);
        }
    }
    if !way.is_empty() && schema.blocks.iter().any(Nested::can_be_dynamic) {
        properties.insert("dynamic".to_owned(), json!({ "type": ["object", "array"] }));
    }
    let mut document = json!({
        "description": schema.description,
        "type": "object",
        "properties": properties,
        "required": required,
    });
    document["additionalProperties"] = match schema.others {
        Some(others) => json!({ "description": others }),
        None => false.into(),
    };
    document
}

/// Returns what stands for all blocks of a kind: by label where there is one, and in a list where there are several.
fn blocks(kind: &Nested, way: &str) -> Value {
    let one = json!({ "$ref": format!("#/$defs/{way}{}", kind.name) });
    let several = json!({ "anyOf": [one, { "type": "array", "items": one }] });
    if kind.label.is_none() {
        return several;
    }
    let mut by_label = json!({ "type": "object", "properties": { "//": {} } });
    if kind.labels.is_empty() {
        by_label["additionalProperties"] = several;
    } else {
        for label in kind.labels {
            by_label["properties"][*label].clone_from(&several);
        }
        by_label["additionalProperties"] = false.into();
    }
    json!({ "anyOf": [by_label, { "type": "array", "items": by_label }] })
}

fn attribute(known: &Attribute) -> Value {
    let mut document = match known.kind {
        _ if !known.values.is_empty() => {
            json!({ "anyOf": [{ "enum": known.values }, { "type": "string", "pattern": TEMPLATE }] })
        }
        Kind::Any => json!({}),
        Kind::Bool => json!({ "type": ["boolean", "string", "null"] }),
        Kind::Strings | Kind::References => json!({ "type": ["array", "string", "null"] }),
        Kind::Map => json!({ "type": ["object", "string", "null"] }),
        Kind::Number => json!({ "type": ["number", "string", "null"] }),
        Kind::Reference | Kind::Type => json!({ "type": "string" }),
        Kind::String => json!({ "type": ["string", "number", "boolean", "null"] }),
    };
    let default = known
        .default
        .map_or_else(String::new, |default| format!(" Default: {default}."));
    document["description"] = format!("{}{default}", known.description).into();
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_definition_that_is_referred_to_is_there() {
        let schema = json_schema();
        let text = schema.to_string();
        let referred: Vec<&str> = text
            .split("#/$defs/")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(referred.len() > 20, "{referred:?}");
        for way in referred {
            assert_eq!(schema["$defs"][way]["type"], "object", "{way}");
        }
    }

    #[test]
    fn what_is_required_in_a_block_is_required_in_the_schema() {
        let schema = json_schema();
        assert_eq!(schema["$defs"]["cluster"]["required"], json!(["engine"]));
        assert_eq!(schema["$defs"]["cluster.seed"]["required"], json!(["database", "file"]));
        assert_eq!(
            schema["$defs"]["module"]["additionalProperties"]["description"]
                .as_str()
                .map(str::is_empty),
            Some(false)
        );
    }
}
