//! `depends_on`: which clusters are made before which others. A module stands for all clusters that are in it.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::expr::{Expression, TraversalOperator};
use hcl_edit::structure::Block;
use simdb_language::suggest::did_you_mean;
use simdb_state::name::ClusterName;

use crate::diagnostic::{Diagnostic, Span};

use super::expand::Key;
use super::outputs::Outputs;
use super::read::Reader;

/// What each cluster depends on, and where that is said.
pub(super) type Entries = BTreeMap<ClusterName, (BTreeSet<ClusterName>, Span)>;

/// Something that can be depended on: the clusters of a block, by the keys of its instances.
type Members = Vec<(Option<Key>, Vec<ClusterName>)>;

/// Reads `depends_on` of the clusters and modules of a module.
pub(super) fn read(
    clusters: &[(&Block, Reader<'_>)],
    modules: &[(&Block, Reader<'_>)],
    module: &Outputs,
    all: &mut Entries,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let kinds = [("cluster", clusters), ("module", modules)];
    for (kind, (block, reader)) in kinds
        .iter()
        .flat_map(|(kind, blocks)| blocks.iter().map(move |it| (*kind, it)))
    {
        let Some(attribute) = reader.attribute("depends_on") else {
            continue;
        };
        let span = reader.span(&attribute.value);
        let Expression::Array(entries) = &attribute.value else {
            let detail = "\"depends_on\" is a list of references: [cluster.NAME, module.NAME].";
            diagnostics.push(reader.error(span, "Invalid depends_on", detail));
            continue;
        };
        let mut depends = BTreeSet::new();
        for entry in entries {
            match referred(entry, module) {
                Ok(found) => depends.extend(found),
                Err(detail) => diagnostics.push(reader.error(reader.span(entry), "Invalid depends_on", detail)),
            }
        }
        let label = block.labels.first().map_or("", |label| label.as_str());
        let own = members(kind, label, module).unwrap_or_default();
        for cluster in own.into_iter().flat_map(|(_, clusters)| clusters) {
            let (known, _) = all.entry(cluster).or_insert_with(|| (BTreeSet::new(), span.clone()));
            known.extend(depends.iter().cloned());
        }
    }
}

/// Returns the clusters that an entry refers to: those of all instances of a block, or of one.
fn referred(entry: &Expression, module: &Outputs) -> Result<Vec<ClusterName>, String> {
    let wrong = || {
        "Clusters and modules can be depended on: cluster.NAME, module.NAME, or one of several, cluster.NAME[\"KEY\"]."
            .to_owned()
    };
    let Expression::Traversal(traversal) = entry else {
        return Err(wrong());
    };
    let (Expression::Variable(root), [first, rest @ ..]) = (&traversal.expr, traversal.operators.as_slice()) else {
        return Err(wrong());
    };
    let TraversalOperator::GetAttr(label) = first.value() else {
        return Err(wrong());
    };
    let kind = root.as_str();
    if !matches!(kind, "cluster" | "module") || rest.len() > 1 {
        return Err(wrong());
    }
    let Some(members) = members(kind, label.as_str(), module) else {
        let hint = did_you_mean(label.as_str(), known(kind, module));
        return Err(format!("There is no {kind} \"{}\".{hint}", label.as_str()));
    };
    let Some(index) = rest.first() else {
        return Ok(members.into_iter().flat_map(|(_, clusters)| clusters).collect());
    };
    let wanted = match index.value() {
        TraversalOperator::Index(Expression::String(key)) => Key::Text(key.value().clone()),
        TraversalOperator::Index(Expression::Number(number)) => {
            let index = number.value().as_u64().and_then(|index| u32::try_from(index).ok());
            Key::Index(index.ok_or_else(wrong)?)
        }
        _ => return Err(wrong()),
    };
    let found = members.into_iter().find(|(key, _)| key.as_ref() == Some(&wanted));
    let found = found.ok_or_else(|| format!("{kind}.{} has no instance with that key.", label.as_str()));
    Ok(found?.1)
}

/// Returns the instances of a block, with the clusters that each stands for; nothing where there is no such block.
fn members(kind: &str, label: &str, module: &Outputs) -> Option<Members> {
    if kind == "module" {
        let children = module.children.get(label)?;
        let members = children.members.iter();
        return Some(
            members
                .map(|member| (member.key.clone(), member.outputs.all_clusters()))
                .collect(),
        );
    }
    let full = |local: &str| format!("{}{local}", module.prefix).parse().ok();
    if let Some(group) = module.groups.clusters.get(label) {
        let instances = group.members.iter();
        return Some(
            instances
                .map(|(key, local)| (Some(key.clone()), full(local).into_iter().collect()))
                .collect(),
        );
    }
    let name: ClusterName = full(label)?;
    module.clusters.contains(&name).then(|| vec![(None, vec![name])])
}

/// Returns the names of the blocks of a kind.
fn known<'a>(kind: &str, module: &'a Outputs) -> Vec<&'a str> {
    if kind == "module" {
        return module.children.keys().map(String::as_str).collect();
    }
    let clusters = module.clusters.iter().map(|name| module.local(name.as_str()));
    clusters
        .chain(module.groups.clusters.keys().map(String::as_str))
        .collect()
}

/// Says which clusters depend on each other in a circle.
pub(super) fn cycle(all: &Entries) -> Option<Diagnostic> {
    let mut done: BTreeSet<&ClusterName> = BTreeSet::new();
    for start in all.keys() {
        let mut path: Vec<&ClusterName> = Vec::new();
        if let Some(members) = walk(start, all, &mut path, &mut done) {
            let shown = members
                .iter()
                .chain([&members[0]])
                .map(|name| format!("cluster.{name}"));
            let detail = format!(
                "These clusters depend on each other in a circle: {}.",
                shown.collect::<Vec<_>>().join(" -> ")
            );
            let problem = Diagnostic::error("Cycle of clusters", detail).at(all[members[0]].1.clone());
            return Some(members[1..].iter().fold(problem, |problem, name| {
                problem.also(format!("cluster.{name}"), all[*name].1.clone())
            }));
        }
    }
    None
}

/// Follows what a cluster depends on; returns the members of a circle where it comes back to the path.
fn walk<'a>(
    name: &'a ClusterName,
    all: &'a Entries,
    path: &mut Vec<&'a ClusterName>,
    done: &mut BTreeSet<&'a ClusterName>,
) -> Option<Vec<&'a ClusterName>> {
    if let Some(at) = path.iter().position(|earlier| *earlier == name) {
        return Some(path[at..].to_vec());
    }
    if !done.insert(name) {
        return None;
    }
    path.push(name);
    let depends = all.get(name).into_iter().flat_map(|(depends, _)| depends);
    let found = depends.into_iter().find_map(|other| walk(other, all, path, done));
    path.pop();
    found
}
