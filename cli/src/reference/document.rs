//! The table of blocks as a document, in the shape of Terraform's schemas of providers.

use serde_json::{Map, Value, json};
use simdb_planner::config::schema::{self, Attribute, Count, Kind, Nested, Schema};

/// Makes the document of `simdb metadata schema -json`.
pub(crate) fn document() -> Value {
    json!({ "format_version": "1.0", "block": block(schema::file()) })
}

fn block(schema: &Schema) -> Value {
    let attributes: Map<String, Value> = schema
        .attributes
        .iter()
        .map(|known| (known.name.to_owned(), attribute(known)))
        .collect();
    let blocks: Map<String, Value> = schema
        .blocks
        .iter()
        .map(|kind| (kind.name.to_owned(), nested(kind)))
        .collect();
    let mut document = json!({
        "description": schema.description,
        "description_kind": "plain",
        "attributes": attributes,
        "block_types": blocks,
    });
    if let Some(others) = schema.others {
        document["other_attributes"] = others.into();
    }
    document
}

fn attribute(known: &Attribute) -> Value {
    let mut document = json!({
        "type": type_document(known.kind),
        "description": known.description,
        "description_kind": "plain",
    });
    let presence = if known.is_required { "required" } else { "optional" };
    document[presence] = true.into();
    if !known.values.is_empty() {
        document["values"] = known.values.into();
    }
    if let Some(default) = known.default {
        document["default"] = default.into();
    }
    document
}

fn type_document(kind: Kind) -> Value {
    match kind {
        Kind::Any => "dynamic".into(),
        Kind::Strings => json!(["list", "string"]),
        Kind::Map => json!(["map", "dynamic"]),
        Kind::Bool | Kind::Number | Kind::References | Kind::Reference | Kind::String | Kind::Type => {
            kind.as_str().into()
        }
    }
}

fn nested(kind: &Nested) -> Value {
    let mode = match (kind.label, kind.count) {
        (Some(_), _) => "map",
        (None, Count::Many) => "list",
        (None, Count::AtMostOne | Count::One | Count::OneOrNone) => "single",
    };
    let mut document = json!({ "nesting_mode": mode, "block": block(kind.schema), "example": kind.example });
    if let Some(label) = kind.label {
        document["label"] = label.into();
    }
    if !kind.labels.is_empty() {
        document["labels"] = kind.labels.into();
    }
    if kind.count == Count::One {
        document["min_items"] = 1.into();
    }
    if matches!(kind.count, Count::One | Count::OneOrNone) {
        document["max_items"] = 1.into();
    }
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_attributes_are_described_in_terraforms_shape() {
        let document = document();
        let cluster = &document["block"]["block_types"]["cluster"];
        assert_eq!(cluster["nesting_mode"], "map");
        assert_eq!(cluster["label"], "name");
        let engine = &cluster["block"]["block_types"]["engine"];
        assert_eq!(
            (&engine["min_items"], &engine["labels"]),
            (&1.into(), &json!(["postgresql"]))
        );
        let owner = &cluster["block"]["block_types"]["database"]["block"]["attributes"]["owner"];
        assert_eq!((&owner["type"], &owner["required"]), (&"string".into(), &true.into()));
        assert_eq!(
            document["block"]["block_types"]["provider"]["block"]["attributes"]["binaries"]["type"],
            json!(["list", "string"])
        );
    }
}
