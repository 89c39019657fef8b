//! Local values, each evaluated after those it refers to.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::Decorated;
use hcl_edit::expr::{Expression, TraversalOperator};
use hcl_edit::structure::Attribute;
use simdb_language::reference::{self, Names, Table};
use simdb_language::source::{Place, Source};
use simdb_language::value::Value;

use crate::diagnostic::Diagnostic;

use super::dialect::DIALECT;
use super::read::Reader;

struct Local<'a> {
    attribute: &'a Attribute,
    reader: Reader<'a>,
    refers_to: BTreeSet<String>,
    /// Whether it refers to what is known only when it is there.
    needs_objects: bool,
}

/// A local value that depends on what clusters become: it is known where an output is.
#[derive(Clone, Debug)]
pub(super) struct Deferred {
    pub(super) name: String,
    pub(super) value: Expression,
    pub(super) place: Place,
}

/// Evaluates all local values. Those that refer to clusters, or to variables whose values do, are returned beside, in the
/// order of their evaluation.
pub(super) fn values(
    blocks: &[Reader<'_>],
    unknown: &BTreeSet<String>,
    names: &Names<'_>,
    source: &Source,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Table, Vec<Deferred>) {
    let locals = declared(blocks, unknown, source, diagnostics);
    // A name that is not evaluated yet is declared all the same.
    let mut table: Table = locals.keys().map(|name| ((*name).to_owned(), None)).collect();
    let (order, cyclic) = order(&locals);
    let mut deferred: Vec<Deferred> = Vec::new();
    let mut later: BTreeSet<&str> = BTreeSet::new();
    for name in order {
        let local = &locals[name];
        if local.needs_objects || local.refers_to.iter().any(|other| later.contains(other.as_str())) {
            later.insert(name);
            deferred.push(Deferred {
                name: name.to_owned(),
                value: local.attribute.value.clone(),
                place: local.reader.place.clone(),
            });
            continue;
        }
        let names = Names {
            locals: Some(&table),
            ..names.clone()
        };
        let value = local.reader.evaluate(&local.attribute.value, &names, diagnostics);
        table.insert(name.to_owned(), value);
    }
    // Where plans need a value, one of these is unknown.
    for deferred in &deferred {
        table.insert(deferred.name.clone(), Some(Value::unknown()));
    }
    diagnostics.extend(cycles(&cyclic, &locals));
    (table, deferred)
}

fn declared<'a>(
    blocks: &[Reader<'a>],
    unknown: &BTreeSet<String>,
    source: &Source,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<&'a str, Local<'a>> {
    let mut locals: BTreeMap<&str, Local<'_>> = BTreeMap::new();
    for reader in blocks {
        for attribute in reader.body.attributes() {
            let name = attribute.key.as_str();
            if let Some(first) = locals.get(name) {
                let first = source.place(&first.reader.span(&first.attribute.key));
                let detail = format!("local.{name} was already defined at {first}. Keep one of the two.");
                diagnostics.push(reader.error(reader.span(&attribute.key), "Duplicate local value", detail));
                continue;
            }
            let mut refers_to = BTreeSet::new();
            let mut needs_objects = false;
            reference::for_each(&attribute.value, |root, operators| {
                let name = match operators.first().map(Decorated::value) {
                    Some(TraversalOperator::GetAttr(name)) => name.as_str(),
                    _ => "",
                };
                match root.as_str() {
                    "local" => drop(refers_to.insert(name.to_owned())),
                    "var" => needs_objects |= unknown.contains(name),
                    root => needs_objects |= DIALECT.objects.contains(&root),
                }
            });
            let local = Local {
                attribute,
                reader: *reader,
                refers_to,
                needs_objects,
            };
            locals.insert(name, local);
        }
    }
    locals
}

/// Returns the names so that each comes after those it refers to, and the names that are in or behind a cycle.
fn order<'a>(locals: &BTreeMap<&'a str, Local<'a>>) -> (Vec<&'a str>, Vec<&'a str>) {
    let mut waits_for: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wanted_by: BTreeMap<&str, Vec<&'a str>> = BTreeMap::new();
    for (name, local) in locals {
        let known = local
            .refers_to
            .iter()
            .filter(|other| locals.contains_key(other.as_str()));
        waits_for.insert(name, known.clone().count());
        for other in known {
            wanted_by.entry(other).or_default().push(name);
        }
    }
    let mut ready: Vec<&'a str> = locals
        .keys()
        .copied()
        .filter(|name| waits_for[name] == 0)
        .rev()
        .collect();
    let mut order = Vec::new();
    while let Some(name) = ready.pop() {
        order.push(name);
        for waiting in wanted_by.get(name).into_iter().flatten() {
            let left = waits_for.get_mut(waiting).expect("every name is counted");
            *left -= 1;
            if *left == 0 {
                ready.push(waiting);
            }
        }
    }
    let cyclic = locals.keys().copied().filter(|name| waits_for[name] > 0).collect();
    (order, cyclic)
}

/// Describes the cycles among the names that are left over.
fn cycles(cyclic: &[&str], locals: &BTreeMap<&str, Local<'_>>) -> Vec<Diagnostic> {
    let left_over: BTreeSet<&str> = cyclic.iter().copied().collect();
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for start in cyclic {
        let mut path: Vec<&str> = Vec::new();
        let first = seen.len();
        let mut name = *start;
        while !seen.contains_key(name) {
            seen.insert(name, seen.len());
            path.push(name);
            let next = locals[name]
                .refers_to
                .iter()
                .find(|other| left_over.contains(other.as_str()));
            name = next.expect("what is left over refers to something left over");
        }
        // A walk that ends where an earlier one went has found nothing new.
        if let Some(at) = seen[name].checked_sub(first) {
            found.push(cycle(&path[at..], locals));
        }
    }
    found
}

fn cycle(members: &[&str], locals: &BTreeMap<&str, Local<'_>>) -> Diagnostic {
    let shown: Vec<String> = members
        .iter()
        .chain([&members[0]])
        .map(|name| format!("local.{name}"))
        .collect();
    let detail = format!(
        "These local values refer to each other in a circle: {}.",
        shown.join(" -> ")
    );
    let local = &locals[members[0]];
    let span = |local: &Local<'_>| local.reader.span(&local.attribute.key);
    let problem = local.reader.error(span(local), "Cycle of local values", detail);
    members[1..].iter().fold(problem, |problem, name| {
        problem.also(format!("local.{name}"), span(&locals[*name]))
    })
}
