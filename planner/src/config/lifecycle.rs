//! `lifecycle` blocks: what may not be destroyed, and what stays as it is on record.

use hcl_edit::expr::{Expression, TraversalOperator};
use simdb_language::reference::Names;
use simdb_language::suggest::{choice, did_you_mean};

use crate::desired::Ignored;
use crate::diagnostic::{Diagnostic, Span};

use super::read::Reader;

/// The attribute that may be followed by the name of one parameter.
const PARAMETERS: &str = "parameters";

/// What a block can leave as it is on record.
pub(super) const CLUSTER: &[&str] = &[
    "engine.version",
    "engine.parameters",
    "network",
    "primary",
    "replication",
];
pub(super) const NODE: &[&str] = &["apply_delay", PARAMETERS, "port"];
pub(super) const USER: &[&str] = &[
    "connection_limit",
    "createdb",
    "createrole",
    "inherit",
    "login",
    "member_of",
    "password",
    "password_version",
    "replication",
    "superuser",
];
pub(super) const DATABASE: &[&str] = &["encoding", "locale", "owner"];
pub(super) const SEED: &[&str] = &["file"];

/// Reads whether a block may not be destroyed, and checks its preconditions where it can have some.
pub(super) fn prevents_destroy(reader: Reader<'_>, names: &Names<'_>, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let mut prevent_destroy = false;
    for (_, lifecycle) in reader.blocks("lifecycle") {
        prevent_destroy |= lifecycle.flag("prevent_destroy", names, diagnostics).unwrap_or(false);
        for (_, rule) in lifecycle.blocks("precondition") {
            let broken = rule.broken("Precondition failed", names, diagnostics);
            diagnostics.extend(broken);
        }
    }
    prevent_destroy
}

/// Reads `ignore_changes` of a block that can leave these attributes as they are.
pub(super) fn ignored(reader: Reader<'_>, known: &[&str], diagnostics: &mut Vec<Diagnostic>) -> Ignored {
    let mut ignored = Ignored::default();
    for (_, lifecycle) in reader.blocks("lifecycle") {
        let Some(attribute) = lifecycle.attribute("ignore_changes") else {
            continue;
        };
        let entries: Vec<&Expression> = match &attribute.value {
            Expression::Variable(name) if name.as_str() == "all" => {
                ignored.attributes.extend(known.iter().map(|name| (*name).to_owned()));
                continue;
            }
            Expression::Array(entries) => entries.iter().collect(),
            other => vec![other],
        };
        for entry in entries {
            match path(entry) {
                Some((attribute, None)) if known.contains(&attribute.as_str()) => {
                    ignored.attributes.insert(attribute);
                }
                Some((attribute, Some(parameter))) if known.contains(&attribute.as_str()) => {
                    ignored.parameters.insert(parameter);
                }
                other => {
                    let given = other.map(|(attribute, _)| attribute);
                    let span = lifecycle.span(entry);
                    diagnostics.push(unknown(given.as_deref(), known, span).within(lifecycle.context));
                }
            }
        }
    }
    ignored
}

/// Returns the attribute that an entry names, and the parameter where it names one of several.
fn path(entry: &Expression) -> Option<(String, Option<String>)> {
    let traversal = match entry {
        Expression::Variable(name) => return Some((name.to_string(), None)),
        Expression::Traversal(traversal) => traversal,
        _ => return None,
    };
    let Expression::Variable(root) = &traversal.expr else {
        return None;
    };
    let mut attribute = root.to_string();
    for operator in &traversal.operators {
        let is_parameters = attribute == PARAMETERS || attribute.ends_with(".parameters");
        match operator.value() {
            TraversalOperator::GetAttr(name) if is_parameters => return Some((attribute, Some(name.to_string()))),
            TraversalOperator::Index(Expression::String(name)) if is_parameters => {
                return Some((attribute, Some(name.value().clone())));
            }
            TraversalOperator::GetAttr(name) => attribute = format!("{attribute}.{}", name.as_str()),
            _ => return None,
        }
    }
    Some((attribute, None))
}

fn unknown(given: Option<&str>, known: &[&str], span: Span) -> Diagnostic {
    let can = choice(known.iter().copied()).replace('"', "");
    let detail = match given {
        Some(given) => {
            let hint = did_you_mean(given, known.iter().copied());
            format!("\"{given}\" cannot be left as it is on record; {can} can, or \"all\" of them.{hint}")
        }
        None => format!(
            "\"ignore_changes\" is \"all\", or a list of attributes without quotes: {can}. One parameter is \
             parameters[\"NAME\"]."
        ),
    };
    Diagnostic::error("Invalid ignore_changes", detail).at(span)
}
