//! `simdb metadata`: the configuration language and the documents, described for editors and other programs.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use simdb_planner::config::schema;
use simdb_planner::config::{FunctionSignature, Parameter, function_signatures};
use simdb_providers::platform::registry::{self, Account};

use crate::args::{Described, Metadata, Rbac};
use crate::exit::Exit;
use crate::reference::schema_document;
use crate::ui::Ui;
use crate::views;
use crate::views::human::style::BOLD;
use crate::views::human::table::{Cell, Table};
use crate::views::json::document;

/// Describes a part of the language.
pub(super) fn run(command: &Metadata, ui: &Ui) -> Exit {
    match command {
        Metadata::Functions { json: true } => ui.answer(&document(&functions_document())),
        Metadata::Functions { json: false } => ui.answer(&functions_text()),
        Metadata::Plan(described) => schema_of("plan", *described, ui),
        Metadata::Drift(described) => schema_of("drift", *described, ui),
        Metadata::Events(described) => schema_of("event", *described, ui),
        Metadata::Failure(described) => schema_of("failure", *described, ui),
        Metadata::Rbac(Rbac {
            namespace,
            account,
            state,
        }) => ui.answer(&registry::rights(Account {
            namespace,
            name: account,
            state: state.as_deref(),
        })),
        Metadata::Schema { json: true } => ui.answer(&document(&schema_document())),
        Metadata::Schema { json: false } => ui.answer(&schema_text()),
    }
    Exit::Done
}

/// Describes a document: its schema, or its fields for people.
fn schema_of(name: &str, described: Described, ui: &Ui) {
    if described.json {
        return ui.answer(&document(&views::schema::of(name)));
    }
    let row = |(field, meaning)| [Cell::styled(field, BOLD), Cell::plain(meaning)];
    let rows = views::schema::fields(name).into_iter().map(row).collect();
    ui.answer(&Table::new(["Field", "Meaning"], rows).render("", ui.terminal.width));
}

/// Writes the functions one by one: what each is called with, what it returns, and an example.
fn functions_text() -> String {
    let text = |function: FunctionSignature| {
        let parameter = |parameter: &Parameter| {
            let optional = if parameter.optional { "?" } else { "" };
            let more = if parameter.variadic { "..." } else { "" };
            format!("{}{optional}: {}{more}", parameter.name, parameter.of)
        };
        let parameters: Vec<String> = function.parameters.iter().map(parameter).collect();
        format!(
            "{}({}) -> {}\n    {}\n    {} = {}\n\n",
            function.name,
            parameters.join(", "),
            function.returns,
            function.description,
            function.example,
            function.result
        )
    };
    function_signatures().into_iter().map(text).collect()
}

/// Writes the blocks one by one, each by the way to it: its attributes, their types, and what each means.
fn schema_text() -> String {
    let mut text = String::new();
    for (way, kind) in schema::file().below() {
        let label = kind
            .label
            .map_or_else(String::new, |label| format!(" \"{}\"", label.to_uppercase()));
        let _ = writeln!(text, "{way}{label}\n    {}", kind.schema.description);
        for attribute in kind.schema.attributes {
            let needed = if attribute.is_required { "" } else { "?" };
            let of = attribute.kind.as_str();
            let _ = writeln!(text, "    {}{needed}: {of}", attribute.name);
        }
        text.push('\n');
    }
    text
}

/// Makes the document of `terraform metadata functions -json`, with examples in addition.
fn functions_document() -> Value {
    let entry = |function: FunctionSignature| {
        let fixed = function.parameters.iter().filter(|parameter| !parameter.variadic);
        let mut entry = json!({
            "description": function.description,
            "return_type": type_document(function.returns),
            "parameters": fixed.map(parameter_document).collect::<Vec<_>>(),
            "example": { "call": function.example, "result": function.result },
        });
        if let Some(variadic) = function.parameters.iter().find(|parameter| parameter.variadic) {
            entry["variadic_parameter"] = parameter_document(variadic);
        }
        (function.name.to_owned(), entry)
    };
    let signatures: Map<String, Value> = function_signatures().into_iter().map(entry).collect();
    json!({ "format_version": "1.0", "function_signatures": signatures })
}

fn parameter_document(parameter: &Parameter) -> Value {
    let mut document = json!({ "name": parameter.name, "type": type_document(parameter.of) });
    if parameter.optional {
        document["optional"] = true.into();
    }
    document
}

/// Writes a type as Terraform's documents do: `["list", "string"]`, and `"dynamic"` for any.
fn type_document(of: &str) -> Value {
    if let Some((kind, inner)) = of.strip_suffix(')').and_then(|of| of.split_once('(')) {
        return json!([kind, type_document(inner)]);
    }
    Value::from(if of == "any" { "dynamic" } else { of })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_described_in_terraforms_shape() {
        let document = functions_document();
        let function = |name: &str| document["function_signatures"][name].clone();
        assert_eq!(function("abs")["return_type"], "number");
        assert_eq!(
            function("transpose")["parameters"],
            json!([{ "name": "map", "type": ["map", ["list", "string"]] }])
        );
        assert_eq!(
            function("max")["variadic_parameter"],
            json!({ "name": "numbers", "type": "number" })
        );
        assert_eq!(function("lookup")["parameters"][2]["optional"], true);
    }

    #[test]
    fn blocks_are_described_to_people() {
        let text = schema_text();
        assert!(
            text.contains(
                "cluster.database \"NAME\"\n    A database of the cluster.\n    name?: string\n    owner: string\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn functions_are_described_to_people() {
        let text = functions_text();
        assert!(
            text.contains("lookup(map: map(any), key: string, default?: any) -> any\n"),
            "{text}"
        );
    }
}
