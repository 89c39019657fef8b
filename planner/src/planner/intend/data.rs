//! What becomes of a node's data: it stays, or is made, cloned, or brought in line with another node's.

use simdb_state::address::NodeAddress;
use simdb_state::name::NodeName;
use simdb_state::object::{Data, Election, ElectionReason, FenceProof, Node, Origin, Power, Role, Verdict};

use super::DataGoal;
use super::cluster::Draft;
use crate::diagnostic::Diagnostic;
use crate::engine::postgresql::instance::{self, NodeContext, Upstream};
use crate::guard::sibling;
use crate::observed::{NodeFacts, Observation};
use crate::planner::Proposal;
use crate::planner::before::{self, next_generation, unrecorded_generation};
use crate::planner::contradiction::wrote;

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
        let branched = old.is_some_and(|old| old.adrift)
            || left_uncleanly(address, old, election)
            || self.diverged(address, election)
            || (holder.power == Power::Running && self.may_be_ahead(holder, election));
        if !asked && !branched {
            return None;
        }
        // Only the primary's own log says where the two parted, and not always.
        let rewinds = *upstream == election.primary && (asked || self.can_be_rewound(address, old, election));
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

    /// Returns whether a node was elected and promoted, a cut kept that from the record, and now another one is elected.
    fn strayed(&self, address: &NodeAddress, old: Option<&Node>, election: &Election) -> bool {
        let facts = self.inputs.observed.nodes.get(address).and_then(Observation::seen);
        self.may_lead_unrecorded(address, election)
            && (self.leader() != Some(&address.node) || election.reason == ElectionReason::Failover)
            && old.zip(facts).is_some_and(|(old, facts)| wrote(old, facts))
    }

    /// Returns whether a node may have been promoted by a run that was cut off before it could record it.
    pub(super) fn may_lead_unrecorded(&self, address: &NodeAddress, election: &Election) -> bool {
        let last = self.inputs.recorded.elections.get(self.name);
        let was_elected = last.is_some_and(|last| last.primary == address.node);
        self.recorded_leader().is_none() && (address.node == election.primary || was_elected)
    }

    /// A standby that a failover left behind may have received what the node that was promoted never did. Let to stream
    /// as it is, it would never follow, and its word would acknowledge writes that it does not have.
    fn may_be_ahead(&self, holder: &Holder<'_>, election: &Election) -> bool {
        let Holder {
            address, old, upstream, ..
        } = *holder;
        let Some(Role::Standby { follows }) = old.and_then(|old| old.role.as_ref()) else {
            return false;
        };
        // What it follows as before was behind it then, unless that led.
        let led = |node: &NodeName| {
            let node = self.inputs.recorded.nodes.get(&self.address(node));
            let role = node.and_then(|node| node.role.as_ref());
            *upstream != election.primary && matches!(role, Some(Role::Primary { .. } | Role::Fenced { .. }))
        };
        let stays = follows == upstream && !led(upstream);
        let stays = || stays && (election.switch.is_some() || self.follows_as_recorded(address));
        if !self.is_unproven(election) || stays() {
            return false;
        }
        let observed = self.inputs.observed;
        let Some(own) = before::server(observed, address) else {
            // Where nobody looked, nobody can tell, and the steps of a plan are not run on such a belief.
            return observed.nodes.contains_key(address);
        };
        let winner = before::server(observed, &self.address(&election.primary));
        let follows_already = before::server(observed, &self.address(upstream)).is_some_and(|upstream| {
            let sender = upstream.senders.get(&address.node.identifier());
            own.timeline == upstream.timeline && sender.is_some_and(|sender| sender.state == "streaming")
        });
        match &election.switch {
            _ if follows_already => false,
            Some(switch) => own.timeline >= switch.timeline || own.position > switch.point,
            None => winner.is_some_and(|winner| (own.timeline, own.position) > (winner.timeline, winner.position)),
        }
    }

    /// Returns whether a standby's settings are those on record: a run that was cut off may have let it stream from
    /// elsewhere.
    fn follows_as_recorded(&self, address: &NodeAddress) -> bool {
        let facts = self.inputs.observed.nodes.get(address).and_then(Observation::seen);
        let written = facts
            .and_then(|facts| facts.files.get(instance::CONF))
            .filter(|file| !file.edited);
        let context = self.recorded_context(address);
        written.zip(context).is_some_and(|(written, context)| {
            let recorded = instance::server(&context);
            written.digest == recorded.files[instance::CONF].digest()
        })
    }

    /// Returns what the server of a standby depended on when that was recorded.
    fn recorded_context<'b>(&'b self, address: &'b NodeAddress) -> Option<NodeContext<'b>> {
        let recorded = self.inputs.recorded;
        let node = recorded.nodes.get(address)?;
        let upstream = sibling(address, node.role.as_ref()?.follows()?);
        Some(NodeContext {
            address,
            version: recorded.clusters.get(self.name)?.version,
            listen: node.listen?,
            parameters: &node.parameters,
            generation: node.data.as_ref()?.generation,
            upstream: Some(Upstream {
                listen: recorded.nodes.get(&upstream)?.listen?,
                address: upstream,
                slot: node.slot.as_ref()?.name.clone(),
            }),
            synchronous_standby_names: String::new(),
            replication_password: instance::replication_password(self.name),
        })
    }

    /// Returns whether nobody can say, or could say, what the node that led wrote last: it was lost, or its data was.
    fn is_unproven(&self, election: &Election) -> bool {
        election.reason == ElectionReason::Failover
            || match &election.switch {
                Some(switch) => !matches!(switch.verdict, Verdict::Proven { .. }),
                None => election.reason == ElectionReason::Switchover && self.former_lost_its_data(election),
            }
    }

    /// Returns whether the node that is, or was, to hand over in this election has no data any longer.
    fn former_lost_its_data(&self, election: &Election) -> bool {
        let deposed = self.deposed(election);
        let fenced = |role: &Role| matches!(role, Role::Fenced { term, .. } if *term == election.term);
        let mut nodes = self.inputs.recorded.nodes_of(self.name);
        nodes.any(|(address, node)| {
            let hands_over = deposed.as_ref() == Some(address) || node.role.as_ref().is_some_and(fenced);
            hands_over && self.before.nodes.get(address).is_some_and(|node| node.data.is_none())
        })
    }

    /// `pg_rewind` knows branches by the number of their timeline. A standby that somebody promoted meanwhile may be on
    /// another branch of the same number, which it would take for the winner's; what never wrote is on none of its own.
    fn can_be_rewound(&self, address: &NodeAddress, old: Option<&Node>, election: &Election) -> bool {
        if !matches!(old.and_then(|old| old.role.as_ref()), Some(Role::Standby { .. })) {
            return true;
        }
        if let Some(own) = before::server(self.inputs.observed, address) {
            return election
                .switch
                .as_ref()
                .is_none_or(|switch| own.timeline < switch.timeline);
        }
        let facts = self.inputs.observed.nodes.get(address).and_then(Observation::seen);
        let control = facts.and_then(|facts| facts.control.as_ref());
        control.is_some_and(|control| control.state.ends_with("recovery"))
    }

    /// Returns whether somebody asked for a node's data to be brought in line.
    pub(super) fn resyncs(&self, address: &NodeAddress) -> bool {
        matches!(self.inputs.proposal, Some(Proposal::Resync(node)) if node == address)
    }

    /// Returns whether a standby has more than the primary had when it was promoted: its log is a branch that nobody
    /// follows, and it can never stream from the primary.
    fn diverged(&self, address: &NodeAddress, election: &Election) -> bool {
        let server = before::server(self.inputs.observed, address);
        let standby = server.filter(|server| server.in_recovery);
        standby
            .zip(election.switch.as_ref())
            .is_some_and(|(standby, switch)| standby.timeline < switch.timeline && standby.position > switch.point)
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

/// A node that led and was not shut down in order may have written what nobody else has.
fn left_uncleanly(address: &NodeAddress, old: Option<&Node>, election: &Election) -> bool {
    match old.and_then(|old| old.role.as_ref()) {
        Some(Role::Primary { .. }) => election.reason == ElectionReason::Failover && address.node != election.primary,
        // Its last record is on the winner of the election that fenced it, if that one was promoted by it; nobody can say
        // so of another one.
        Some(Role::Fenced { term, proof }) => {
            *proof == FenceProof::Killed || *term != election.term || election.reason == ElectionReason::Failover
        }
        Some(Role::Standby { .. }) | None => false,
    }
}
