//! What keeps a plan from being made, whatever its clusters should be.

use std::collections::BTreeSet;

use simdb_state::name::ClusterName;
use simdb_state::object::State;

use super::Inputs;
use super::intended::{Intended, IntendedCluster};
use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::observed::PlatformProblem;
use crate::plan::Step;

/// A platform that cannot be used is no obstacle to an empty configuration without a record.
pub(super) fn unusable(inputs: Inputs<'_>) -> Vec<Diagnostic> {
    if inputs.desired.clusters.is_empty() && inputs.recorded.nodes.is_empty() {
        return Vec::new();
    }
    let spans = &inputs.desired.local.spans;
    let platforms = inputs.observed.platforms.values();
    let problems = platforms.flat_map(|platform| &platform.problems);
    let diagnostic = |problem: &PlatformProblem| {
        let diagnostic = Diagnostic::error("Platform cannot be used", &problem.detail);
        match problem.argument.and_then(|argument| spans.get(&argument)) {
            Some(span) => diagnostic.at(span.clone()).within("provider \"local\""),
            None => diagnostic,
        }
    };
    problems.map(diagnostic).collect()
}

/// Clusters that may not be destroyed, and would be. The record holds the protection, so that deleting the block does not
/// lift it.
pub(super) fn protected(before: &State, desired: &Desired) -> Vec<Diagnostic> {
    let going = before
        .clusters
        .iter()
        .filter(|(name, cluster)| cluster.prevent_destroy && !desired.clusters.contains_key(*name));
    let refusal = |(name, _)| {
        Diagnostic::error(
            "Cluster is protected",
            format!(
                "cluster.{name} has lifecycle.prevent_destroy set, and the plan would destroy it. To destroy it, set \
                 prevent_destroy = false in its lifecycle block, apply, and then remove it."
            ),
        )
    };
    going.map(refusal).collect()
}

/// Nodes that `primary` names and that cannot take over, of clusters in which the plan mends nothing.
pub(super) fn not_mended(intended: &Intended, steps: &[Step]) -> Vec<Diagnostic> {
    let mended: BTreeSet<&ClusterName> = steps.iter().filter_map(|step| step.address.cluster()).collect();
    let left = intended.clusters.iter().filter(|(name, _)| !mended.contains(name));
    let refusal = |(_, cluster): (_, &IntendedCluster)| Some(cluster.postponed.as_ref()?.refusal.clone());
    left.filter_map(refusal).collect()
}
