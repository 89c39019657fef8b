//! What a plan is confined to: `-target` and `-exclude`.
//!
//! Two things make it so. What lies outside counts as declared the way it is recorded ([`confine`]), so that the plan is
//! one for a whole and consistent world. And of the steps only those inside are kept, with those that give what
//! they need ([`Scope::narrow`]), so that drift outside stays.

mod confine;

use std::collections::BTreeSet;

use simdb_language::suggest::did_you_mean;
use simdb_state::address::Address;
use simdb_state::name::ClusterName;
use simdb_state::object::State;

use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::plan::fact::Fact;
use crate::plan::{Action, Change, Step};
use crate::planner::lower::Draft;
use crate::planner::order::Givers;

pub(super) use confine::confine;

/// The addresses that a plan is about. At most one of the two lists has patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Nothing but these, and what they need.
    pub targets: Vec<Pattern>,
    /// Everything but these, and what needs them.
    pub excludes: Vec<Pattern>,
}

/// An address in which `*` stands for any text. It covers what lies below it, too: `cluster.orders` covers its nodes, and
/// `cluster.orders.node.r` covers `cluster.orders.node.r[0]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// As it was typed.
    given: String,
    /// The address as the record spells it, where it is one.
    address: String,
}

impl Pattern {
    /// Returns the pattern of an address as it is typed.
    pub fn new(given: &str) -> Self {
        let address = given.parse::<Address>();
        Self {
            given: given.to_owned(),
            address: address.map_or_else(|_| given.to_owned(), |address| address.to_string()),
        }
    }

    /// Returns the pattern as it was typed.
    pub fn as_str(&self) -> &str {
        &self.given
    }

    /// Returns whether an address, as the record spells it, is one of the pattern or lies below one.
    pub fn covers(&self, address: &str) -> bool {
        matches(self.address.as_bytes(), address.as_bytes())
    }
}

/// Returns whether a text begins with a pattern, and ends there or goes on with a part of its own.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.split_first(), text.split_first()) {
        (None, None) => true,
        (None, Some((next, _))) => matches!(next, b'.' | b'['),
        (Some((b'*', rest)), _) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
        (Some((expected, pattern)), Some((next, text))) if expected == next => matches(pattern, text),
        (Some(_), _) => false,
    }
}

impl Scope {
    /// Returns whether a plan is about everything.
    pub fn is_everything(&self) -> bool {
        self.targets.is_empty() && self.excludes.is_empty()
    }

    /// Returns whether a plan is about an address.
    pub fn contains(&self, address: &Address) -> bool {
        let address = address.to_string();
        let covered = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.covers(&address));
        (self.targets.is_empty() || covered(&self.targets)) && !covered(&self.excludes)
    }

    /// Returns a diagnostic for each pattern that covers nothing, and a warning that the plan is not about everything.
    pub(super) fn diagnostics(&self, desired: &Desired, recorded: &State) -> Vec<Diagnostic> {
        if self.is_everything() {
            return Vec::new();
        }
        let known: BTreeSet<String> = desired
            .addresses()
            .into_iter()
            .map(|address| address.to_string())
            .collect();
        let recorded = recorded.addresses().into_iter().map(|address| address.to_string());
        let known: BTreeSet<String> = known.into_iter().chain(recorded).collect();
        let patterns = self.targets.iter().chain(&self.excludes);
        let unknown = patterns.filter(|pattern| !known.iter().any(|address| pattern.covers(address)));
        let mut diagnostics: Vec<Diagnostic> = unknown
            .map(|pattern| {
                let hint = did_you_mean(pattern.as_str(), known.iter().map(String::as_str));
                let detail = format!(
                    "Neither the configuration nor the record has {}.{hint} To list the addresses, run: simdb state list",
                    pattern.as_str()
                );
                Diagnostic::error("Unknown address", detail)
            })
            .collect();
        if diagnostics.is_empty() {
            let option = if self.targets.is_empty() { "-exclude" } else { "-target" };
            let detail = format!(
                "The plan is confined by {option}, so it may not be all that the configuration asks for. Plan without it \
                 before you rely on the result."
            );
            diagnostics.push(Diagnostic::warning("Resource targeting is in effect", detail));
        }
        diagnostics
    }

    /// Keeps the drafts inside and those that give what these need. A role change is whole or not there: what is left of it
    /// would be a cluster without a primary. A cluster of which something is left out is not proven.
    pub(super) fn narrow(&self, drafts: Vec<Draft>) -> Vec<Draft> {
        if self.is_everything() {
            return drafts;
        }
        let kept = self.kept(&drafts);
        let left_out = drafts.iter().zip(&kept).filter(|(_, kept)| !**kept);
        let cut: BTreeSet<ClusterName> = left_out
            .filter_map(|(draft, _)| draft.address.cluster())
            .cloned()
            .collect();
        let is_cut = |draft: &Draft| draft.address.cluster().is_some_and(|cluster| cut.contains(cluster));
        let all = drafts.into_iter().zip(kept);
        all.filter(|(draft, kept)| *kept && !(matches!(draft.action, Action::Verify { .. }) && is_cut(draft)))
            .map(|(draft, _)| draft)
            .collect()
    }

    fn kept(&self, drafts: &[Draft]) -> Vec<bool> {
        let inside = |draft: &Draft| self.contains(&draft.address);
        let touched: BTreeSet<_> = drafts
            .iter()
            .filter(|draft| inside(draft))
            .filter_map(|draft| draft.address.cluster())
            .collect();
        let is_move = |draft: &&Draft| {
            matches!(
                draft.action,
                Action::Elect { .. } | Action::Fence { .. } | Action::Promote { .. }
            )
        };
        let moved: BTreeSet<_> = drafts
            .iter()
            .filter(is_move)
            .filter_map(|draft| draft.address.cluster())
            .collect();
        let whole: BTreeSet<_> = touched.intersection(&moved).collect();
        let is_whole = |draft: &Draft| draft.address.cluster().is_some_and(|cluster| whole.contains(&cluster));
        let givers = Givers::of(drafts);
        let mut kept = vec![false; drafts.len()];
        let mut open: Vec<usize> = (0..drafts.len())
            .filter(|at| inside(&drafts[*at]) || is_whole(&drafts[*at]))
            .collect();
        while let Some(at) = open.pop() {
            if std::mem::replace(&mut kept[at], true) {
                continue;
            }
            for need in drafts[at].facts().needs {
                // Every step of a cluster builds it.
                if !matches!(need, Fact::Built(_)) {
                    open.extend(givers.of_fact(need));
                }
            }
        }
        kept
    }

    /// Keeps the changes that are inside, and those that one of the steps is about.
    pub(super) fn keep_changes(&self, changes: &mut Vec<Change>, steps: &[Step]) {
        if !self.is_everything() {
            let planned: BTreeSet<&Address> = steps.iter().map(|step| &step.address).collect();
            changes.retain(|change| planned.contains(&change.address) || self.contains(&change.address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_an_address_and_what_lies_below_it() {
        let covers = |pattern: &str, address: &str| Pattern::new(pattern).covers(address);
        assert!(covers("cluster.orders", "cluster.orders"));
        assert!(covers("cluster.orders", "cluster.orders.node.a"));
        assert!(!covers("cluster.orders", "cluster.orders-eu.node.a"));
        assert!(covers("cluster.orders.node.r", "cluster.orders.node.r[1]"));
        assert!(covers("cluster.*.endpoint.rw", "cluster.orders.endpoint.rw"));
        assert!(covers("cluster.*.node.r[*]", "cluster.orders.node.r[0]"));
        assert!(!covers("cluster.*.node.a", "cluster.orders.node.b"));
        assert!(covers("*", "network.lan"));
    }
}
