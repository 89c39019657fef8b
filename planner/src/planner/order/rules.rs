//! What a step waits for beside what it needs: which of several possible orders is the best one.
//!
//! | Rule | What would be worse |
//! |---|---|
//! | [`asked_first`](Rules::asked_first) | a survivor that has moved tells a promotion nothing, and commits do not wait for it |
//! | [`before_the_pause`](Rules::before_the_pause) | writes wait while slots are made that could be made before |
//! | [`one_by_one`](Rules::one_by_one) | all servers of a cluster restart at once |
//! | [`without_lost`](Rules::without_lost) | files written later list those who were lost again |
//! | [`with_new_password`](Rules::with_new_password) | files written later hold the old password |
//! | [`with_less`](Rules::with_less) | a standby has less than the log asks for that it replays |
//! | [`configured_first`](Rules::configured_first) | a standby that lacks what its log asks for is led to another upstream, and does not stream |
//! | [`finds_its_stream`](Rules::finds_its_stream) | a standby that starts waits for an upstream that starts later |
//! | [`top_down`](Rules::top_down) | standbys come to follow each other |
//! | [`let_go`](Rules::let_go) | commits wait for a standby that has gone |
//! | [`upstream_stops_first`](Rules::upstream_stops_first) | standbys do not receive what their primary writes last |
//! | [`published`](Rules::published) | clients are led to a server that does not serve |
//! | [`leader_goes_last`](Rules::leader_goes_last) | a node goes while others stream from it |
//! | [`seeds_in_order`](Rules::seeds_in_order) | a seed runs before the one declared before it |
//! | [`left_by_clusters`](Rules::left_by_clusters) | a network, or a part of it, goes while a cluster is in it |
//! | [`in_its_network`](Rules::in_its_network) | a container is made in a network that its platform has not yet |

mod role;
mod stream;
mod sync;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{Address, NodeAddress};
use simdb_state::name::{ClusterName, NetworkName, NodeName};
use simdb_state::object::State;

use super::givers::Givers;
use crate::plan::Action;
use crate::plan::fact::Fact;
use crate::planner::intended::Intended;
use crate::planner::lower::Draft;

/// What the rules look at.
pub(crate) struct Rules<'a> {
    pub(crate) drafts: &'a [Draft],
    pub(super) givers: Givers<'a>,
    pub(crate) before: &'a State,
    pub(crate) intended: &'a Intended,
    /// The node that is given other parameters just before another one.
    pub(super) rolling: BTreeMap<NodeAddress, usize>,
}

impl Rules<'_> {
    const ALL: [fn(&Self, &Draft) -> Vec<usize>; 16] = [
        Self::asked_first,
        Self::before_the_pause,
        Self::one_by_one,
        Self::without_lost,
        Self::with_new_password,
        Self::with_less,
        Self::configured_first,
        Self::finds_its_stream,
        Self::top_down,
        Self::let_go,
        Self::upstream_stops_first,
        Self::published,
        Self::leader_goes_last,
        Self::seeds_in_order,
        Self::left_by_clusters,
        Self::in_its_network,
    ];

    /// Returns what one step waits for.
    pub(super) fn waits_for(&self, at: usize) -> BTreeSet<usize> {
        let draft = &self.drafts[at];
        let mut waits: BTreeSet<usize> = BTreeSet::new();
        for need in draft.facts().needs {
            waits.extend(self.givers(need));
            if let Fact::Retained(node) = need {
                // It is retained on a node that serves.
                waits.extend(self.upstream_serves(node));
            }
        }
        waits.extend(Self::ALL.iter().flat_map(|rule| rule(self, draft)));
        if let Action::Engine(action) = &draft.action {
            waits.extend(self.engine(action));
        }
        // A rule asks for all of a kind, and the step may be one of them.
        waits.remove(&at);
        waits
    }

    /// Returns the steps that give a fact, those first that were drafted first.
    pub(crate) fn givers<'f>(&'f self, fact: Fact<'f>) -> impl Iterator<Item = usize> + use<'f> {
        self.givers.of_fact(fact)
    }

    pub(crate) fn primary_serves(&self, cluster: &ClusterName) -> Vec<usize> {
        let primary = self.intended.primary(cluster);
        primary.map_or_else(Vec::new, |primary| self.givers(Fact::Serves(&primary)).collect())
    }

    /// Returns what makes sure that everything in a cluster is built: the proof of it where there is one.
    pub(super) fn built(&self, cluster: &ClusterName) -> Vec<usize> {
        let proof: Vec<usize> = self.givers(Fact::Verified(cluster)).collect();
        if proof.is_empty() {
            return self.givers(Fact::Built(cluster)).collect();
        }
        proof
    }

    fn upstream(&self, node: &NodeAddress) -> Option<NodeAddress> {
        let follows = self.intended.nodes.get(node)?.role.follows()?;
        Some(node.sibling(follows))
    }

    fn upstream_serves(&self, node: &NodeAddress) -> Vec<usize> {
        let upstream = self.upstream(node);
        upstream.map_or_else(Vec::new, |upstream| self.givers(Fact::Serves(&upstream)).collect())
    }

    /// Clients find a new primary as soon as there is one; the nodes that replay come back later.
    fn published(&self, draft: &Draft) -> Vec<usize> {
        let Action::Endpoint { endpoint, .. } = &draft.action else {
            return Vec::new();
        };
        let passed = [Fact::HasPooler(endpoint), Fact::Promoted(&endpoint.cluster)];
        let passed = passed.map(|fact| self.givers(fact).collect::<Vec<_>>());
        if let Some(passed) = passed.into_iter().find(|steps| !steps.is_empty()) {
            return passed;
        }
        let serves = |node: &NodeName| {
            let address = NodeAddress {
                cluster: endpoint.cluster.clone(),
                node: node.clone(),
            };
            self.givers(Fact::Serves(&address)).collect::<Vec<_>>()
        };
        let entry = self.intended.endpoints.get(endpoint);
        let nodes = entry.into_iter().flat_map(|entry| &entry.nodes);
        nodes.flat_map(serves).collect()
    }

    /// The node that led goes after those that may stream from it.
    fn leader_goes_last(&self, draft: &Draft) -> Vec<usize> {
        let Action::DropNode { node } = &draft.action else {
            return Vec::new();
        };
        let last = self.before.elections.get(&node.cluster);
        if last.is_none_or(|last| last.primary != node.node) {
            return Vec::new();
        }
        self.givers(Fact::NoNodes(&node.cluster)).collect()
    }

    /// Seeds of a database run in the order in which they are declared, which is the order of their drafts.
    fn seeds_in_order(&self, draft: &Draft) -> Vec<usize> {
        let Action::Seed { seed, database, .. } = &draft.action else {
            return Vec::new();
        };
        let is_own = |at: &usize| matches!(&self.drafts[*at].action, Action::Seed { seed: own, .. } if own == seed);
        let seeds = self.givers(Fact::Seeded(&seed.cluster, database));
        seeds.take_while(|at| !is_own(at)).last().into_iter().collect()
    }

    /// A part of a network goes after the nodes that were in it.
    fn left_by_nodes(&self, network: &NetworkName) -> Vec<usize> {
        let was_in_it = |cluster: &ClusterName| {
            let cluster = self.before.clusters.get(cluster);
            cluster.is_none_or(|cluster| cluster.network == *network)
        };
        let leaves = |draft: &Draft| matches!(&draft.action, Action::DropNode { node } if was_in_it(&node.cluster));
        (0..self.drafts.len()).filter(|at| leaves(&self.drafts[*at])).collect()
    }

    /// The part of a network on another platform than its own is there before nodes come to be in it.
    fn in_its_network(&self, draft: &Draft) -> Vec<usize> {
        let (Action::Primary { .. } | Action::Clone { .. } | Action::Join { .. } | Action::Start { .. }) =
            &draft.action
        else {
            return Vec::new();
        };
        let Address::Node(node) = &draft.address else {
            return Vec::new();
        };
        let is_elsewhere = self
            .intended
            .nodes
            .get(node)
            .is_some_and(|node| node.platform.is_some());
        let cluster = self.intended.clusters.get(&node.cluster).filter(|_| is_elsewhere);
        cluster.map_or_else(Vec::new, |cluster| {
            self.givers(Fact::Network(&cluster.cluster.network)).collect()
        })
    }

    /// A network goes after every cluster that was in it has gone or moved to another one.
    fn left_by_clusters(&self, draft: &Draft) -> Vec<usize> {
        let Action::DropNetwork { network, on } = &draft.action else {
            return Vec::new();
        };
        if !on.is_empty() {
            return self.left_by_nodes(network);
        }
        let clusters = self.before.clusters.iter();
        let were_in_it = clusters.filter(|(_, cluster)| cluster.network == *network);
        were_in_it
            .flat_map(|(name, _)| {
                self.givers(Fact::Forgotten(name))
                    .chain(self.givers(Fact::Settings(name)))
            })
            .collect()
    }
}
