//! What becomes of a node's data: it stays, or is made, cloned, or brought in line with another node's.

use simdb_state::address::NodeAddress;
use simdb_state::name::NodeName;
use simdb_state::object::{Data, Election, ElectionReason, Node, Origin, Power};

use super::DataGoal;
use super::cluster::Draft;
use crate::diagnostic::Diagnostic;
use crate::observed::NodeFacts;
use crate::planner::Proposal;
use crate::planner::before::{self, next_generation, unrecorded_generation};

/// A node whose data is decided on.
pub(super) struct Holder<'a> {
    pub(super) address: &'a NodeAddress,
    pub(super) old: Option<&'a Node>,
    /// Whom it streams from, where it does not lead.
    pub(super) upstream: &'a NodeName,
    /// Whether it is to run.
    pub(super) power: Power,
}

impl Draft<'_> {
    /// Decides on a node's data. A primary's is kept, or there is none yet.
    pub(super) fn data(&self, holder: &Holder<'_>, election: &Election) -> Result<DataGoal, Diagnostic> {
        let Holder {
            address,
            old,
            upstream,
            power,
        } = *holder;
        // What a node that is to stay down has lost is made when it is started.
        let known = if power == Power::Stopped {
            self.inputs.recorded
        } else {
            self.before
        };
        let recorded = known.nodes.get(address).and_then(|node| node.data.clone());
        let leads = address.node == election.primary;
        let Some(data) = recorded else {
            return if leads {
                self.new_data(address)
            } else {
                Ok(self.clone_of(address, election, upstream))
            };
        };
        if leads {
            return Ok(DataGoal::Keep(data));
        }
        // A copy that never streamed may have more than whoever leads by now.
        let stale = || old.is_some_and(|old| old.role.is_none()) && !data_is_of(&data, upstream);
        Ok(match self.anew(holder, election) {
            Some(goal) => goal,
            None if stale() => self.clone_of(address, election, upstream),
            None => DataGoal::Keep(data),
        })
    }

    /// Returns how a standby's data is made anew, where it may have what whoever leads never had, or where somebody asked
    /// for it.
    fn anew(&self, holder: &Holder<'_>, election: &Election) -> Option<DataGoal> {
        let Holder {
            address, old, upstream, ..
        } = *holder;
        let asked = self.resyncs(address) || self.strayed(address, old, election);
        if !asked && !self.is_branch(holder, election) {
            return None;
        }
        // Only the primary's own log says where the two parted, and not always.
        let rewinds = *upstream == election.primary && self.can_be_rewound(address, old, election);
        let from = upstream.clone();
        Some(DataGoal::Make {
            generation: next_generation(self.inputs.recorded, self.inputs.observed, address),
            origin: if rewinds {
                Origin::Rewound { from }
            } else {
                Origin::Cloned { from }
            },
        })
    }

    /// Returns whether somebody asked for a node's data to be brought in line.
    pub(super) fn resyncs(&self, address: &NodeAddress) -> bool {
        matches!(self.inputs.proposal, Some(Proposal::Resync(node)) if node == address)
    }

    /// Data is made empty only for a cluster that nobody has recorded: empty data for one that was there would be the
    /// loss of everything in it.
    fn new_data(&self, address: &NodeAddress) -> Result<DataGoal, Diagnostic> {
        if self.before.clusters.contains_key(self.name) {
            let detail = format!(
                "{address} leads the cluster, and its data directory is gone. simdb makes no empty one in its place. \
                 Put the directory back, or destroy the cluster and create it anew."
            );
            return Err(Diagnostic::error("Primary has lost its data", detail).at(self.spec.spans.cluster.clone()));
        }
        let generation = unrecorded_generation(self.inputs.observed, address, |_| true).unwrap_or(1);
        Ok(DataGoal::Make {
            generation,
            origin: Origin::Initialized,
        })
    }

    /// A complete copy that nobody recorded is taken over where it is this cluster's data and its slot kept the log
    /// since; else a new one is made.
    fn clone_of(&self, address: &NodeAddress, election: &Election, upstream: &NodeName) -> DataGoal {
        let observed = self.inputs.observed;
        let primary = self.address(&election.primary);
        let identifier = self
            .before
            .nodes
            .get(&primary)
            .and_then(|node| Some(node.data.as_ref()?.system_identifier));
        let has_slot = self.before.nodes.get(address).is_some_and(|node| node.slot.is_some());
        let same = |facts: &NodeFacts| {
            let control = facts.control.as_ref().map(|control| control.system_identifier);
            let served = before::server(observed, address).map(|server| server.system_identifier);
            has_slot && made_since(facts, election) && identifier.is_some() && control.or(served) == identifier
        };
        let generation = unrecorded_generation(observed, address, same)
            .unwrap_or_else(|| next_generation(self.inputs.recorded, observed, address));
        DataGoal::Make {
            generation,
            origin: Origin::Cloned { from: upstream.clone() },
        }
    }
}

/// Whether data was copied from a node, or brought in line with it.
fn data_is_of(data: &Data, node: &NodeName) -> bool {
    matches!(&data.origin, Origin::Cloned { from } | Origin::Rewound { from } if from == node)
}

/// Whether the newest data of a node was copied under the last election: an older copy may have more than whoever leads.
fn made_since(facts: &NodeFacts, election: &Election) -> bool {
    match &election.switch {
        None => election.reason == ElectionReason::Birth,
        // An earlier failover may have led to another branch of the same number.
        Some(_) if election.reason == ElectionReason::Failover => false,
        Some(switch) => {
            let timeline = facts.control.as_ref().map(|control| control.timeline);
            timeline.is_some_and(|timeline| timeline >= switch.timeline)
        }
    }
}
