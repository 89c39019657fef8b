//! `replace_triggered_by`: for which changes of other objects the data of a standby is copied anew.

use hcl_edit::expr::{Expression, Traversal};
use simdb_language::reference::Names;
use simdb_language::suggest::{choice, did_you_mean};
use simdb_state::address::Address;

use crate::desired::{Desired, Trigger};
use crate::diagnostic::Diagnostic;

use super::imports::text;
use super::read::Reader;

const NAME: &str = "replace_triggered_by";

/// Reads what a node names, in a module whose names begin with `module`. Whether it is declared is not known yet.
pub(super) fn read(
    node: Reader<'_>,
    module: &str,
    names: &Names<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Trigger> {
    let mut triggers = Vec::new();
    for (_, lifecycle) in node.blocks("lifecycle") {
        let Some(attribute) = lifecycle.attribute(NAME) else {
            continue;
        };
        let Expression::Array(entries) = &attribute.value else {
            diagnostics.push(lifecycle.error(
                lifecycle.span(&attribute.value),
                "Invalid replace_triggered_by",
                shape(),
            ));
            continue;
        };
        for entry in entries {
            let before = diagnostics.len();
            let found = subject(entry, module, &mut |key| lifecycle.evaluate(key, names, diagnostics));
            let span = lifecycle.span(entry);
            match found {
                Ok((subject, attributes)) => triggers.push(Trigger {
                    subject,
                    attributes,
                    span,
                }),
                Err(detail) if diagnostics.len() == before => {
                    diagnostics.push(lifecycle.error(span, "Invalid replace_triggered_by", detail));
                }
                Err(_) => {}
            }
        }
    }
    triggers
}

/// Says which of the objects that nodes name are not declared.
pub(super) fn check(desired: &Desired) -> Vec<Diagnostic> {
    let triggers = || {
        let nodes = desired.clusters.values().flat_map(|cluster| cluster.nodes.values());
        nodes.flat_map(|node| &node.triggers)
    };
    if triggers().next().is_none() {
        return Vec::new();
    }
    let declared = desired.addresses();
    let unknown = triggers().filter(|trigger| !declared.iter().any(|address| trigger.covers(address)));
    let problem = |trigger: &Trigger| {
        let known: Vec<String> = declared.iter().map(Address::to_string).collect();
        let hint = did_you_mean(&trigger.subject, known.iter().map(String::as_str));
        let detail = format!("{} is not declared, so nothing can come of it.{hint}", trigger.subject);
        Diagnostic::error("Invalid replace_triggered_by", detail)
            .at(trigger.span.clone())
            .within("lifecycle")
    };
    let mut problems: Vec<Diagnostic> = unknown.map(problem).collect();
    // Each instance of a block has the same.
    problems.dedup();
    problems
}

/// Returns the address that an entry begins with, and the attribute that follows; where none does, all that are waited for.
fn subject(
    entry: &Expression,
    module: &str,
    value: &mut dyn FnMut(&Expression) -> Option<simdb_language::value::Value>,
) -> Result<(String, Vec<String>), String> {
    let Expression::Traversal(traversal) = entry else {
        return Err(shape());
    };
    let whole = text(entry, &mut *value).ok_or_else(shape)?;
    for length in (1..=traversal.operators.len()).rev() {
        let mut begin = Traversal::clone(traversal);
        begin.operators.truncate(length);
        let Some(begin) = text(&Expression::from(begin), &mut *value) else {
            continue;
        };
        let Some(address) = within(&begin, module) else {
            continue;
        };
        let attribute = whole[begin.len()..].strip_prefix('.').map(plain);
        let attributes = match attribute {
            Some(attribute) => vec![checked(&address, attribute)?],
            None => known(&address).iter().map(|name| (*name).to_owned()).collect(),
        };
        return Ok((address.to_string(), attributes));
    }
    Err(shape())
}

/// Spells an attribute as plans do: `parameters.work_mem` for `parameters["work_mem"]`.
fn plain(attribute: &str) -> String {
    attribute.replace("[\"", ".").replace("\"]", "")
}

/// Returns an address of a module as the record has it.
fn within(text: &str, module: &str) -> Option<Address> {
    let (kind, rest) = text.split_once('.')?;
    format!("{kind}.{module}{rest}").parse().ok()
}

/// Returns the attributes of a kind of object that are declared, as plans call them. Who leads, and whether a server runs, is no reason to
/// copy data.
fn known(address: &Address) -> &'static [&'static str] {
    match address {
        Address::Network(_) => &["subnet"],
        Address::Cluster(_) => &["network", "replication", "version"],
        Address::Node(_) => &["cpus", "image", "memory", "parameters", "port", "storage"],
        Address::User(_) => &["login", "member_of", "password_version", "replication", "settings"],
        Address::Database(_) => &["owner", "settings"],
        Address::Seed(_) => &["digest"],
        Address::Endpoint(_) => &["pool_mode", "target"],
    }
}

/// Checks that a kind of object has an attribute.
fn checked(address: &Address, attribute: String) -> Result<String, String> {
    let known = known(address);
    let first = attribute.split('.').next().unwrap_or(&attribute);
    if known.contains(&first) {
        return Ok(attribute);
    }
    let hint = did_you_mean(first, known.iter().copied());
    Err(format!(
        "A {} has no attribute \"{first}\" whose change could be waited for; {} can.{hint}",
        address.kind(),
        choice(known.iter().copied())
    ))
}

fn shape() -> String {
    "\"replace_triggered_by\" is a list of addresses without quotes, each of a block or of one of its attributes: \
     [cluster.NAME.node.NAME.parameters]."
        .to_owned()
}
