//! The `parameters` of an engine: written as its servers take them, without those that simdb sets itself.

use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, ObjectKey};
use simdb_language::convert::{self, Type};
use simdb_language::reference::Names;
use simdb_language::value::{Kind, Value};

use simdb_state::name::NodeName;
use simdb_state::object::EngineKind;

use crate::desired::NodeSpec;
use crate::diagnostic::{Diagnostic, Span};
use crate::engine::parameters::{self, Refusal, Release};

use super::read::Reader;

/// Parameters by name; one without a value takes the cluster's away.
pub(super) type Parameters = BTreeMap<String, (Option<String>, Span)>;

/// Reads the `parameters` attribute of a block.
pub(super) fn read(
    reader: Reader<'_>,
    engine: EngineKind,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Parameters {
    // Each may be of another type, so this is an object and no map.
    let Some(read) = reader.setting("parameters", &Type::Any, names, diagnostics) else {
        return Parameters::new();
    };
    let Kind::Object(parts) = &read.value.kind else {
        let detail = format!(
            "Inappropriate value for \"parameters\": a map is required, not {}.",
            read.value.kind_name()
        );
        diagnostics.push(reader.error(read.span, "Incorrect attribute value type", detail));
        return Parameters::new();
    };
    let spans = spans(reader);
    let mut parameters = Parameters::new();
    for (name, value) in &parts.items {
        let span = spans.get(name.as_str()).unwrap_or(&read.span).clone();
        match check_name(engine, name).and_then(|()| text(name, value)) {
            Ok(text) => {
                parameters.insert(name.clone(), (text, span));
            }
            Err((summary, detail)) => diagnostics.push(reader.error(span, summary, detail)),
        }
    }
    parameters
}

type Problem = (&'static str, String);

fn check_name(engine: EngineKind, name: &str) -> Result<(), Problem> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '.';
    if name.is_empty() || !name.chars().all(legal) {
        let detail =
            format!("The name of a parameter holds lower-case letters, digits, \"_\" and \".\"; {name:?} does not.");
        return Err(("Invalid parameter name", detail));
    }
    match parameters::refusal(engine, name) {
        None => Ok(()),
        Some(Refusal::Reserved(reason)) => {
            Err(("Reserved parameter", format!("simdb sets \"{name}\" itself. {reason}")))
        }
        Some(Refusal::Senseless(reason)) => Err((
            "Unsupported parameter",
            format!("\"{name}\" cannot be a parameter of a cluster. {reason}"),
        )),
    }
}

/// Returns a value as servers take it.
fn text(name: &str, value: &Value) -> Result<Option<String>, Problem> {
    let text = match &value.kind {
        Kind::Null => return Ok(None),
        Kind::Bool(flag) => if *flag { "on" } else { "off" }.to_owned(),
        _ => convert::to_text(value).map_err(|why| ("Invalid parameter value", format!("For \"{name}\" {why}.")))?,
    };
    if text.contains(char::is_control) {
        let detail = format!("The value of \"{name}\" holds a line end or another control character.");
        return Err(("Invalid parameter value", detail));
    }
    Ok(Some(text))
}

/// Checks the parameters of nodes against those that the declared version has; one that several nodes share is told once. A
/// plan checks them itself, as it knows the version also where none is declared.
pub(super) fn check(
    reader: Reader<'_>,
    release: Release,
    nodes: &BTreeMap<NodeName, NodeSpec>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut problems: BTreeMap<(&Span, &str), String> = BTreeMap::new();
    for node in nodes.values() {
        for (name, detail) in release.problems(&node.parameters) {
            let span = node.parameter_spans.get(name).unwrap_or(&node.span);
            problems.insert((span, name), detail);
        }
    }
    let problem =
        |((span, _), detail): ((&Span, &str), String)| reader.error(span.clone(), "Parameter is not accepted", detail);
    diagnostics.extend(problems.into_iter().map(problem));
}

/// Returns where each parameter stands, as far as the map is written out.
fn spans(reader: Reader<'_>) -> BTreeMap<&str, Span> {
    let Some(Expression::Object(object)) = reader.attribute("parameters").map(|attribute| &attribute.value) else {
        return BTreeMap::new();
    };
    let mut spans = BTreeMap::new();
    for (key, _) in object {
        match key {
            ObjectKey::Ident(name) => spans.insert(name.as_str(), reader.span(name)),
            ObjectKey::Expression(Expression::String(name)) => spans.insert(name.as_str(), reader.span(name)),
            ObjectKey::Expression(_) => None,
        };
    }
    spans
}
