//! What becomes of a node's data: it stays, or is made, cloned, or brought in line with another node's.

use simdb_state::address::NodeAddress;
use simdb_state::name::NodeName;
use simdb_state::object::{Damage, Data, Election, ElectionReason, Node, Origin, Power, Slot};

use super::cluster::Declaration;
use crate::diagnostic::Diagnostic;
use crate::engine::gap::{self, Gap};
use crate::observed::NodeFacts;
use crate::planner::astray;
use crate::planner::before::{self, next_generation, unrecorded_generation};
use crate::planner::imports;
use crate::planner::intended::DataGoal;

/// A node whose data is decided on.
pub(crate) struct Holder<'a> {
    pub(crate) address: &'a NodeAddress,
    pub(crate) old: Option<&'a Node>,
    /// Whom it streams from, where it does not lead.
    pub(crate) upstream: &'a NodeName,
    /// Whether it is to run.
    pub(crate) power: Power,
}

impl Declaration<'_> {
    /// Decides on a node's data. A primary's is kept, or there is none yet.
    pub(crate) fn data(&self, holder: &Holder<'_>, election: &Election) -> Result<DataGoal, Diagnostic> {
        let Holder {
            address,
            old,
            upstream,
            power,
        } = *holder;
        if let Some(import) = imports::pending(self.inputs, address) {
            let linked = unrecorded_generation(self.inputs.observed, address, |facts| facts.outside.is_some());
            let next = || next_generation(self.inputs.recorded, self.inputs.observed, address);
            return Ok(DataGoal::Make {
                generation: linked.unwrap_or_else(next),
                origin: Origin::Imported,
                because: None,
                outside: Some(import.facts.directory),
            });
        }
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

    /// Returns how a standby's data is made anew, where somebody asked for it, where no server can go on with it, or where it
    /// may have what the primary never had.
    fn anew(&self, holder: &Holder<'_>, election: &Election) -> Option<DataGoal> {
        let Holder {
            address, old, upstream, ..
        } = *holder;
        // A rewind changes what was written since two logs parted, and nothing that is damaged.
        if let Some(because) = self.ruined(holder, election) {
            return Some(self.copied_anew(address, upstream, because));
        }
        if !self.promoted_unrecorded(address, old, election) && !self.is_branch(holder, election) {
            return None;
        }
        // Only the primary's own log says where the two parted, and not always.
        let told = *upstream == election.primary && !self.is_kept_unasked(election);
        let rewinds = told && self.can_be_rewound(address, old, election);
        let because = format!("it may hold writes that {upstream} does not have");
        if !rewinds {
            return Some(self.copied_anew(address, upstream, because));
        }
        Some(DataGoal::Make {
            generation: next_generation(self.inputs.recorded, self.inputs.observed, address),
            origin: Origin::Rewound { from: upstream.clone() },
            because: Some(because),
            // A rewind changes data in place, wherever that is.
            outside: old.and_then(|old| old.data.as_ref()?.outside.clone()),
        })
    }

    fn copied_anew(&self, address: &NodeAddress, upstream: &NodeName, because: String) -> DataGoal {
        DataGoal::Make {
            generation: next_generation(self.inputs.recorded, self.inputs.observed, address),
            origin: Origin::Cloned { from: upstream.clone() },
            because: Some(because),
            outside: None,
        }
    }

    /// Returns why nothing but a copy helps: a user asked for the data to be made anew, no server can go on with it, or its
    /// upstream will not have the log that it needs.
    fn ruined(&self, holder: &Holder<'_>, election: &Election) -> Option<String> {
        let Holder { address, old, .. } = *holder;
        let damage = old.and_then(|old| old.damage.as_ref());
        if let Some(reason) = self.asked(address) {
            let found = damage
                .map(|damage| format!(": {}", damage.reason()))
                .unwrap_or_default();
            return Some(format!("{reason}{found}"));
        }
        if let Some(Damage::Unrecoverable(reason)) = damage {
            return Some(reason.clone());
        }
        if let Some(branch) = self.given_up(address, election) {
            let found = astray::branch(&branch, self.inputs.observed);
            let found = found.map(|found| format!(": {found}")).unwrap_or_default();
            return Some(format!("what {} wrote by itself is given up{found}", branch.node));
        }
        let gap = self.gap_to_come(holder, election);
        let gap = gap.or_else(|| self.gap_after_moving(holder));
        gap.map(|gap| gap.to_string())
    }

    /// Returns the log that a standby needs and that its upstream no longer has, where no slot of it is recorded there: it
    /// streamed from another node before, or was away.
    fn gap_after_moving(&self, holder: &Holder<'_>) -> Option<Gap> {
        let Holder {
            address, old, upstream, ..
        } = *holder;
        let old = old?;
        let slot = Slot {
            upstream: upstream.clone(),
            name: address.node.identifier(),
        };
        // One that streams goes on from where it is then.
        if old.slot.as_ref() == Some(&slot) || self.streams(address) {
            return None;
        }
        gap::gap_on(address, old, &slot, self.inputs.observed)
    }

    /// Returns the node whose branch a node has, where that is given up: its own, or that of a node it streams from.
    fn given_up(&self, address: &NodeAddress, election: &Election) -> Option<NodeAddress> {
        let before = self.before;
        let above = |address: &NodeAddress| {
            let follows = before.node(address)?.role.as_ref()?.follows()?;
            Some(self.address(follows))
        };
        let mut line = std::iter::successors(Some(address.clone()), above).take(before.nodes.len());
        let found = line.find(|address| astray::is_astray(address, before.node(address), self.inputs.observed));
        found.filter(|found| self.settles(election) && found.node != election.primary)
    }

    /// Returns the log that a standby needs and will not find on its upstream, where that one's data is copied from another
    /// node first. One that streams meanwhile goes on from where it is then.
    fn gap_to_come(&self, holder: &Holder<'_>, election: &Election) -> Option<Gap> {
        let Holder {
            address, old, upstream, ..
        } = *holder;
        let above = self.address(upstream);
        let has_data = || self.before.nodes.get(&above).is_some_and(|node| node.data.is_some());
        if *upstream == election.primary || has_data() || self.streams(address) {
            return None;
        }
        let observed = self.inputs.observed;
        let source = self.upstream(upstream, election);
        let source = before::server(observed, &self.address(&source))?;
        let needs = gap::held(address, old?, observed)?;
        gap::starts_later(address, needs, upstream, source.position)
    }

    /// Returns whether a node streams from another one of its cluster.
    fn streams(&self, address: &NodeAddress) -> bool {
        let name = address.node.identifier();
        let mut nodes = self.before.nodes_of(self.name);
        nodes.any(|(other, _)| {
            let server = before::server(self.inputs.observed, other);
            let sender = server.and_then(|server| server.senders.get(&name));
            sender.is_some_and(|sender| sender.state == "streaming")
        })
    }

    /// Returns whether somebody asked for a node's data to be brought in line.
    pub(crate) fn resyncs(&self, address: &NodeAddress) -> bool {
        self.asked(address).is_some()
    }

    /// Returns why a node's data is brought in line, where that was asked for.
    fn asked(&self, address: &NodeAddress) -> Option<&str> {
        self.inputs.proposal?.resyncs(address)
    }

    /// Data is made empty only for a cluster that nobody has recorded: empty data for one that was there would be the
    /// loss of everything in it.
    fn new_data(&self, address: &NodeAddress) -> Result<DataGoal, Diagnostic> {
        let recorded = self.inputs.recorded.nodes.get(address);
        let gap = recorded.and_then(|recorded| gap::gap(address, recorded, self.inputs.observed));
        if let Some(gap) = gap {
            let detail = format!(
                "{address} was elected and is yet to be promoted, and {gap}. To let the lead go back, or to another node, run: \
                 simdb switchover {} -to NODE",
                self.name
            );
            return Err(Diagnostic::error("Elected node cannot take over", detail).at(self.spec.spans.cluster.clone()));
        }
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
            because: None,
            outside: None,
        })
    }

    /// A complete copy that nobody recorded is taken over where it is this cluster's data and its slot kept the log
    /// since; else a new one is made.
    fn clone_of(&self, address: &NodeAddress, election: &Election, upstream: &NodeName) -> DataGoal {
        let observed = self.inputs.observed;
        let primary = self.address(&election.primary);
        let identity = self
            .before
            .nodes
            .get(&primary)
            .and_then(|node| Some(&node.data.as_ref()?.identity));
        let has_slot = self.before.nodes.get(address).is_some_and(|node| node.slot.is_some());
        let same = |facts: &NodeFacts| {
            let control = facts.control.seen().map(|control| &control.system_identifier);
            let served = before::server(observed, address).map(|server| &server.system_identifier);
            has_slot && made_since(facts, election) && identity.is_some() && control.or(served) == identity
        };
        let recorded = self.inputs.recorded.nodes.get(address);
        let gap = recorded.and_then(|recorded| gap::gap(address, recorded, observed));
        // Data that is on record and of no use is not an unrecorded copy.
        let unrecorded = unrecorded_generation(observed, address, same).filter(|_| gap.is_none());
        let generation = unrecorded.unwrap_or_else(|| next_generation(self.inputs.recorded, observed, address));
        DataGoal::Make {
            generation,
            origin: Origin::Cloned { from: upstream.clone() },
            because: gap.map(|gap| gap.to_string()),
            outside: None,
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
            let timeline = facts.control.seen().map(|control| control.timeline);
            timeline.is_some_and(|timeline| Some(timeline) >= switch.timeline)
        }
    }
}
