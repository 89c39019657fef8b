//! `depends_on`: which clusters are made before which others.

use std::collections::{BTreeMap, BTreeSet};

use hcl_edit::expr::{Expression, TraversalOperator};
use simdb_language::suggest::did_you_mean;
use simdb_state::name::ClusterName;

use crate::diagnostic::{Diagnostic, Span};

use super::expand::{Groups, Instance, Key};

/// What a cluster depends on, and where that is said.
type Entries = BTreeMap<ClusterName, (BTreeSet<ClusterName>, Span)>;

/// Reads `depends_on` of all clusters of a module.
pub(super) fn read(
    instances: &[(ClusterName, &Instance<'_, '_>)],
    groups: &Groups,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<ClusterName, BTreeSet<ClusterName>> {
    let local: BTreeSet<String> = instances.iter().map(|(_, instance)| instance.local_name()).collect();
    let names: BTreeSet<&str> = local.iter().map(String::as_str).collect();
    let mut all = Entries::new();
    for (name, instance) in instances {
        let reader = instance.reader;
        let Some(attribute) = reader.attribute("depends_on") else {
            continue;
        };
        let span = reader.span(&attribute.value);
        let Expression::Array(entries) = &attribute.value else {
            let detail = "\"depends_on\" is a list of references: [cluster.NAME].";
            diagnostics.push(reader.error(span, "Invalid depends_on", detail));
            continue;
        };
        let mut depends = BTreeSet::new();
        for entry in entries {
            match members(entry, groups, &names) {
                Ok(found) => {
                    let full = found.iter().map(|local| format!("{}{local}", instance.prefix));
                    depends.extend(full.filter_map(|full| full.parse().ok()));
                }
                Err(detail) => diagnostics.push(reader.error(reader.span(entry), "Invalid depends_on", detail)),
            }
        }
        all.insert(name.clone(), (depends, span));
    }
    diagnostics.extend(cycle(&all));
    all.into_iter().map(|(name, (depends, _))| (name, depends)).collect()
}

/// Returns the clusters that an entry refers to: one, or all of a block with `for_each` or `count`.
fn members(entry: &Expression, groups: &Groups, names: &BTreeSet<&str>) -> Result<Vec<String>, String> {
    let wrong =
        || "Only a cluster can be depended on: cluster.NAME, or one of several, cluster.NAME[\"KEY\"].".to_owned();
    let Expression::Traversal(traversal) = entry else {
        return Err(wrong());
    };
    let (Expression::Variable(root), [first, rest @ ..]) = (&traversal.expr, traversal.operators.as_slice()) else {
        return Err(wrong());
    };
    let TraversalOperator::GetAttr(label) = first.value() else {
        return Err(wrong());
    };
    if root.as_str() != "cluster" || rest.len() > 1 {
        return Err(wrong());
    }
    let Some(group) = groups.get(label.as_str()) else {
        if rest.is_empty() && names.contains(label.as_str()) {
            return Ok(vec![label.to_string()]);
        }
        let known = names.iter().copied().chain(groups.keys().map(String::as_str));
        let hint = did_you_mean(label.as_str(), known);
        return Err(format!("There is no cluster \"{}\".{hint}", label.as_str()));
    };
    let Some(index) = rest.first() else {
        return Ok(group.members.iter().map(|(_, name)| name.clone()).collect());
    };
    let wanted = match index.value() {
        TraversalOperator::Index(Expression::String(key)) => Key::Text(key.value().clone()),
        TraversalOperator::Index(Expression::Number(number)) => {
            let index = number.value().as_u64().and_then(|index| u32::try_from(index).ok());
            Key::Index(index.ok_or_else(wrong)?)
        }
        _ => return Err(wrong()),
    };
    let found = group.members.iter().find(|(key, _)| *key == wanted);
    let found = found.ok_or_else(|| format!("cluster.{} has no instance with that key.", label.as_str()));
    Ok(vec![found?.1.clone()])
}

/// Says which clusters depend on each other in a circle.
fn cycle(all: &Entries) -> Option<Diagnostic> {
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
