//! Which node streams from which: `follows` names a node of the cluster, and no circle comes of it.

use std::collections::{BTreeMap, BTreeSet};

use simdb_language::suggest::did_you_mean;
use simdb_state::name::NodeName;

use crate::desired::NodeSpec;
use crate::diagnostic::Diagnostic;

use super::nodes::Nodes;
use super::read::Reader;

impl Nodes {
    /// Gives every node the one it follows.
    pub(super) fn resolve(&mut self, reader: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let known: BTreeMap<String, NodeName> =
            self.specs.keys().map(|name| (name.to_string(), name.clone())).collect();
        for (name, given) in &self.follows {
            let problem = match known.get(given) {
                Some(upstream) if upstream == name => Some(format!("Node {name} cannot follow itself.")),
                Some(upstream) => {
                    if let Some(spec) = self.specs.get_mut(name) {
                        spec.follows = Some(upstream.clone());
                    }
                    None
                }
                None if self.groups.contains_key(given) => Some(self.several(given)),
                None => {
                    let hint = did_you_mean(given, known.keys().take(100).map(String::as_str));
                    Some(format!(
                        "\"follows\" must name a node of this cluster, and there is no node \"{given}\".{hint}"
                    ))
                }
            };
            if let (Some(problem), Some(spec)) = (problem, self.specs.get(name)) {
                let span = spec.follows_span.clone().unwrap_or_else(|| spec.span.clone());
                diagnostics.push(reader.error(span, "Unknown upstream", problem));
            }
        }
        self.circles(reader, diagnostics);
    }

    /// Says that a block stands for several nodes, and what one of them is called.
    pub(super) fn several(&self, block: &str) -> String {
        let group = self.groups.get(block);
        let word = if group.is_some_and(|group| group.is_counted) {
            "count"
        } else {
            "for_each"
        };
        let first = group.and_then(|group| group.members.first());
        let example = first.map_or_else(|| format!("{block}[0]"), |(_, name)| name.clone());
        format!("The node block \"{block}\" has a {word}, so name one of its nodes, such as \"{example}\".")
    }

    fn circles(&self, reader: Reader<'_>, diagnostics: &mut Vec<Diagnostic>) {
        let mut told: BTreeSet<&NodeName> = BTreeSet::new();
        for (name, spec) in &self.specs {
            let mut way: Vec<&NodeName> = vec![name];
            while let Some(next) = way.last().and_then(|last| self.specs.get(*last)?.follows.as_ref()) {
                if next == name {
                    let members: Vec<String> = way.iter().chain([&name]).map(ToString::to_string).collect();
                    let detail = format!(
                        "These nodes would follow each other in a circle: {}. One of them must follow the primary: leave its \
                         \"follows\" out.",
                        members.join(" follows ")
                    );
                    if !told.contains(name) {
                        diagnostics.push(reader.error(span(spec), "Circle of nodes", detail));
                        told.extend(&way);
                    }
                    break;
                }
                if way.contains(&next) {
                    break;
                }
                way.push(next);
            }
        }
    }
}

fn span(spec: &NodeSpec) -> crate::diagnostic::Span {
    spec.follows_span.clone().unwrap_or_else(|| spec.span.clone())
}
