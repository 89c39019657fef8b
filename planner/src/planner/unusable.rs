//! Platforms that cannot be used, such as an engine that does not answer: an obstacle to plans that do something there, and to no
//! other ones.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{Address, NodeAddress};
use simdb_state::name::{ClusterName, PlatformName};
use simdb_state::object::{Network, State};

use super::Inputs;
use crate::diagnostic::{Diagnostic, Severity};
use crate::observed::PlatformProblem;
use crate::plan::{Action, Step};

/// What is wrong with platforms that cannot be used. It is no obstacle to an empty configuration without a record.
pub(super) struct Unusable<'a> {
    inputs: Inputs<'a>,
    problems: BTreeMap<&'a PlatformName, Vec<Diagnostic>>,
}

impl<'a> Unusable<'a> {
    pub(super) fn of(inputs: Inputs<'a>) -> Self {
        let nothing = inputs.desired.clusters.is_empty() && inputs.recorded.nodes.is_empty();
        let platforms = inputs.observed.platforms.iter().filter(|_| !nothing);
        let spans = &inputs.desired.local.spans;
        let diagnostic = |problem: &PlatformProblem| {
            let diagnostic = Diagnostic::error("Platform cannot be used", &problem.detail);
            match problem.argument.and_then(|argument| spans.get(&argument)) {
                Some(span) => diagnostic.at(span.clone()).within("provider \"local\""),
                None => diagnostic,
            }
        };
        let with_problems = platforms.filter(|(_, platform)| !platform.problems.is_empty());
        Self {
            inputs,
            problems: with_problems
                .map(|(name, platform)| (name, platform.problems.iter().map(diagnostic).collect()))
                .collect(),
        }
    }

    /// Returns whether there is no other platform: then a plan would be about nothing.
    pub(super) fn is_all(&self) -> bool {
        !self.problems.is_empty() && self.problems.len() == self.inputs.observed.platforms.len()
    }

    /// Returns all that is wrong, for a plan that is refused in any case.
    pub(super) fn errors(&self) -> Vec<Diagnostic> {
        self.problems.values().flatten().cloned().collect()
    }

    /// Returns what is wrong, given the steps of a plan: errors where it has to do something on the platform, else warnings. The servers
    /// of the platform are unknown then, and stay as they are.
    pub(super) fn judged(&self, steps: &[Step], before: &State) -> Vec<Diagnostic> {
        if self.problems.is_empty() {
            return Vec::new();
        }
        let used: BTreeSet<&PlatformName> = steps.iter().flat_map(|step| self.platforms(step, before)).collect();
        let judged = self.problems.iter().flat_map(|(name, problems)| {
            let is_used = used.contains(name);
            problems.iter().map(move |problem| {
                if is_used {
                    return problem.clone();
                }
                Diagnostic {
                    severity: Severity::Warning,
                    detail: format!(
                        "{} This plan does nothing on it, and the state of its servers is unknown.",
                        problem.detail
                    ),
                    ..problem.clone()
                }
            })
        });
        judged.collect()
    }

    /// Returns the platforms on which a step does something.
    fn platforms<'b>(&'b self, step: &'b Step, before: &'b State) -> Vec<&'b PlatformName> {
        let node = |address: &NodeAddress| self.platform(address, before);
        match (&step.action, &step.address) {
            // What a person answers for is done on no platform that cannot be used, and the record is all that others change.
            (Action::Fence { method, .. }, _) if method.attested().is_some() => Vec::new(),
            (Action::Record {} | Action::Cluster { .. } | Action::Degrade { .. } | Action::DropCluster { .. }, _) => {
                Vec::new()
            }
            (Action::Network { attributes, .. }, _) => attributes.platforms().collect(),
            (Action::DropNetwork { on, .. }, _) if !on.is_empty() => on.iter().collect(),
            (_, Address::Network(name)) => {
                let known = before.networks.get(name).into_iter();
                known.flat_map(Network::platforms).collect()
            }
            // It is not led to a platform that cannot be used before that can be used again.
            (Action::Endpoint { route, .. }, Address::Endpoint(endpoint)) => {
                let nodes = route.to.iter().map(|node| NodeAddress {
                    cluster: endpoint.cluster.clone(),
                    node: node.clone(),
                });
                nodes.filter_map(|address| node(&address)).take(1).collect()
            }
            (Action::Verify { primary, standbys, .. }, _) => {
                let standbys = standbys.values().map(|standby| &standby.server.node);
                standbys.chain([&primary.node]).filter_map(node).collect()
            }
            (_, Address::Node(address)) => node(address).into_iter().collect(),
            (Action::DropEndpoint { .. }, Address::Endpoint(endpoint)) => {
                before.platforms_of(&endpoint.cluster).into_iter().collect()
            }
            // Poolers are on the platform of their cluster.
            (Action::Engine(_), Address::Endpoint(endpoint)) => {
                self.own(&endpoint.cluster, before).into_iter().collect()
            }
            // What is asked of the primary.
            (_, other) => other
                .cluster()
                .and_then(|name| self.primary(name, before))
                .into_iter()
                .collect(),
        }
    }

    fn own<'b>(&'b self, cluster: &ClusterName, before: &'b State) -> Option<&'b PlatformName> {
        let recorded = before.clusters.get(cluster).map(|cluster| &cluster.platform);
        recorded.or_else(|| self.inputs.desired.platform(cluster))
    }

    fn primary<'b>(&'b self, cluster: &ClusterName, before: &'b State) -> Option<&'b PlatformName> {
        let election = before.elections.get(cluster);
        let node = election.and_then(|election| {
            let address = NodeAddress {
                cluster: cluster.clone(),
                node: election.primary.clone(),
            };
            self.platform(&address, before)
        });
        node.or_else(|| self.own(cluster, before))
    }

    fn platform<'b>(&'b self, address: &NodeAddress, before: &'b State) -> Option<&'b PlatformName> {
        before.platform(address).or_else(|| {
            let cluster = self.inputs.desired.clusters.get(&address.cluster)?;
            Some(cluster.platform_of(cluster.nodes.get(&address.node)?))
        })
    }
}
