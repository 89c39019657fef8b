//! Whether a node's data may be a branch: with writes that whoever leads never had. Nobody streams from such data.

use simdb_state::address::{NodeAddress, node_made_as};
use simdb_state::name::NodeName;
use simdb_state::object::{Election, ElectionReason, FenceProof, Node, Power, Role, Verdict};
use simdb_state::position::Position;
use simdb_state::sync::SyncRule;

use super::conf::CONF;
use super::instance::{self, LastRun};
use super::last_run::{ends_in_order, last_run};
use crate::engine::parameters::Release;
use crate::engine::{NodeContext, Upstream};
use crate::observed::{NodeFacts, Observation, ServerFacts};
use crate::planner::astray;
use crate::planner::before;
use crate::planner::contradiction::wrote;
use crate::planner::intend::{Declaration, Holder};

impl Declaration<'_> {
    /// Returns whether a node may have what whoever leads never had.
    pub(crate) fn is_branch(&self, holder: &Holder<'_>, election: &Election) -> bool {
        self.is_branch_itself(holder, election) || self.follows_a_branch(holder, election)
    }

    fn is_branch_itself(&self, holder: &Holder<'_>, election: &Election) -> bool {
        let Holder { address, old, .. } = *holder;
        old.is_some_and(|old| old.needs_rebuild)
            || self.is_unstarted_copy(old, election)
            || left_uncleanly(address, old, election)
            || self.diverged(address, election)
            || (holder.power == Power::Running && self.may_be_ahead(holder, election))
    }

    /// Returns whether a node is a copy that never streamed, while somebody is elected of whom nobody can say that it has
    /// what was copied: nobody can ask the copy.
    fn is_unstarted_copy(&self, old: Option<&Node>, election: &Election) -> bool {
        let unstarted = old.is_some_and(|old| old.data.is_some() && old.role.is_none());
        unstarted && election.switch.is_none() && self.is_unproven(election)
    }

    /// Returns whether a node was elected and promoted, a cut kept that from the record, and now another one is elected.
    pub(crate) fn promoted_unrecorded(&self, address: &NodeAddress, old: Option<&Node>, election: &Election) -> bool {
        let facts = self.inputs.observed.nodes.get(address).and_then(Observation::seen);
        self.may_lead_unrecorded(address, election)
            && (self.leader() != Some(&address.node) || election.reason == ElectionReason::Failover)
            && old.zip(facts).is_some_and(|(old, facts)| wrote(old, facts))
    }

    /// Returns whether a node may have been promoted by a run that was cut off before it could record it.
    pub(crate) fn may_lead_unrecorded(&self, address: &NodeAddress, election: &Election) -> bool {
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
        let was_behind = || stays && (election.switch.is_some() || self.follows_as_recorded(address));
        if !self.is_unproven(election) || was_behind() {
            return false;
        }
        let observed = self.inputs.observed;
        let follows_already = || {
            let own = before::server(observed, address)?;
            let upstream = before::server(observed, &self.address(upstream))?;
            let sender = upstream.senders.get(&address.node.identifier())?;
            Some(own.timeline == upstream.timeline && sender.state == "streaming")
        };
        follows_already() != Some(true) && self.may_have_more(address, election)
    }

    /// A standby may have what a node above it has: where that is a branch, and brought in line with the primary, the
    /// standby is compared with the primary as well.
    fn follows_a_branch(&self, holder: &Holder<'_>, election: &Election) -> bool {
        let Holder {
            address,
            old,
            upstream,
            power,
        } = *holder;
        let replays = matches!(old.and_then(|old| old.role.as_ref()), Some(Role::Standby { .. }));
        if !replays || power != Power::Running || !self.is_unproven(election) {
            return false;
        }
        let count = self.spec.nodes.len();
        let intended = |node: &NodeName| Some(self.upstream(node, election));
        let intended = std::iter::successors(Some(upstream.clone()), intended).take(count);
        let followed = |node: &NodeName| {
            let node = self.before.nodes.get(&self.address(node))?;
            node.role.as_ref()?.follows().cloned()
        };
        let followed = std::iter::successors(followed(&address.node), followed).take(count);
        let mut above = intended.take_while(|node| *node != election.primary);
        let mut sources = followed.filter(|node| *node != election.primary && self.serves_as_standby(node));
        let is_branch = |node: NodeName| {
            let address = self.address(&node);
            let old = self.before.node(&address);
            let holder = Holder {
                address: &address,
                old,
                upstream: &self.upstream(&node, election),
                power: self.power(&address, old, Some(election)),
            };
            self.is_branch_itself(&holder, election)
        };
        // One that still serves sends on what it has until it is stopped.
        sources.any(is_branch) || (above.any(is_branch) && self.may_have_more(address, election))
    }

    fn serves_as_standby(&self, node: &NodeName) -> bool {
        let address = self.address(node);
        let role = self.before.nodes.get(&address).and_then(|node| node.role.as_ref());
        let facts = self.inputs.observed.nodes.get(&address).and_then(Observation::seen);
        matches!(role, Some(Role::Standby { .. })) && facts.is_some_and(|facts| facts.process.is_alive())
    }

    /// Returns whether a standby may have log that the elected node lacks, or lacked when it was promoted.
    fn may_have_more(&self, address: &NodeAddress, election: &Election) -> bool {
        let observed = self.inputs.observed;
        let Some(own) = before::server(observed, address) else {
            // Where nobody looked, nobody can tell, and the steps of a plan are not run on such a belief.
            return observed.nodes.contains_key(address);
        };
        let winner = before::server(observed, &self.address(&election.primary));
        match &election.switch {
            Some(switch) => Some(own.timeline) >= switch.timeline || own.progress().position > switch.point,
            None => winner.map_or_else(|| self.is_kept_unasked(election), |winner| has_more(own, winner)),
        }
    }

    /// Returns whether the elected node was promoted by hand and is down: where it branched off cannot be told.
    pub(crate) fn is_kept_unasked(&self, election: &Election) -> bool {
        let primary = self.address(&election.primary);
        let answers = before::server(self.inputs.observed, &primary).is_some();
        !answers && astray::is_astray(&primary, self.before.node(&primary), self.inputs.observed)
    }

    /// Returns whether a standby's settings are those on record: a run that was cut off may have let it stream from
    /// elsewhere.
    fn follows_as_recorded(&self, address: &NodeAddress) -> bool {
        let facts = self.inputs.observed.nodes.get(address).and_then(Observation::seen);
        let written = facts
            .and_then(|facts| facts.files.get(CONF))
            .filter(|file| !file.edited);
        let context = self.recorded_context(address);
        written.zip(context).is_some_and(|(written, context)| {
            let recorded = instance::server(&context);
            recorded
                .files
                .get(CONF)
                .is_some_and(|text| text.digest() == written.digest)
        })
    }

    /// Returns what the server of a standby depended on when that was recorded.
    fn recorded_context<'b>(&'b self, address: &'b NodeAddress) -> Option<NodeContext<'b>> {
        let recorded = self.inputs.recorded;
        let node = recorded.nodes.get(address)?;
        let upstream = address.sibling(node.role.as_ref()?.follows()?);
        Some(NodeContext {
            address,
            made_as: node_made_as(&recorded.made_as, address),
            release: Release::from(recorded.clusters.get(self.name)?),
            place: node.place.clone()?,
            has_peers_elsewhere: recorded
                .nodes_of(self.name)
                .any(|(_, other)| other.platform != node.platform),
            image: None,
            resources: node.resources,
            parameters: &node.parameters,
            generation: node.data.as_ref()?.generation,
            outside: node.data.as_ref()?.outside.is_some(),
            upstream: Some(Upstream {
                at: recorded.nodes.get(&upstream)?.reached_from(node.platform.as_ref())?,
                address: upstream,
                slot: node.slot.as_ref()?.name.clone(),
            }),
            sync_rule: SyncRule::default(),
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

    /// Returns whether `pg_rewind` can tell where the log of a node and that of the winner part.
    ///
    /// It knows branches by the number of their timeline and by positions, and so not those that were written on the
    /// timeline of another node, or on another branch of the same number. Where data was not shut down in order it writes
    /// such a branch by itself, unless the node led on that timeline. What has not parted it leaves as it is.
    pub(crate) fn can_be_rewound(&self, address: &NodeAddress, old: Option<&Node>, election: &Election) -> bool {
        let Some(old) = old else { return false };
        let observed = self.inputs.observed;
        let facts = observed.nodes.get(address).and_then(Observation::seen);
        let last = last_run(old, facts);
        let timelines = facts.and_then(|facts| self.timelines(facts, election));
        match (&old.role, last) {
            // A copy that no server was started on has yet to be recovered.
            (None, _) => false,
            (Some(Role::Primary { .. } | Role::Fenced { .. }), LastRun::Wrote) => true,
            (Some(Role::Primary { .. } | Role::Fenced { .. }), LastRun::WroteToTheEnd) => {
                timelines.is_some_and(|(own, winner)| own < winner)
            }
            (Some(Role::Primary { .. } | Role::Fenced { .. }), LastRun::Replayed) => ends_in_order(old, facts),
            (Some(Role::Standby { .. }), LastRun::Replayed) => {
                let parted = before::server(observed, address).zip(election.switch.as_ref());
                !self.resyncs(address)
                    && ends_in_order(old, facts)
                    && parted.is_none_or(|(own, switch)| Some(own.timeline) < switch.timeline)
            }
            // Somebody let it write. What it wrote on a timeline that others have been on is nowhere told apart.
            (Some(Role::Standby { .. }), _) => timelines.is_some_and(|(own, winner)| own > winner),
        }
    }

    /// Returns the timeline that a node's data is on, and the one that the winner will be on.
    fn timelines(&self, facts: &NodeFacts, election: &Election) -> Option<(u32, u32)> {
        let server = facts.server.as_ref().and_then(Observation::seen);
        let control = facts.control.seen().map(|control| control.timeline);
        let own = server.map(|server| server.timeline).or(control)?;
        let winner = before::server(self.inputs.observed, &self.address(&election.primary))?;
        let is_promoted = election.switch.is_none() && election.reason != ElectionReason::Birth;
        Some((own, winner.timeline + u32::from(is_promoted && winner.in_recovery)))
    }

    /// Returns whether a standby has more than the primary had when it was promoted: its log is a branch that nobody
    /// follows, and it can never stream from the primary.
    fn diverged(&self, address: &NodeAddress, election: &Election) -> bool {
        let server = before::server(self.inputs.observed, address);
        let standby = server.filter(|server| server.in_recovery);
        let standby = standby.map(|standby| (standby.timeline, standby.progress().position));
        let standby = standby.or_else(|| self.replayed(address));
        standby
            .zip(election.switch.as_ref())
            .is_some_and(|((timeline, position), switch)| Some(timeline) < switch.timeline && position > switch.point)
    }

    /// Returns how far a standby that is down has replayed at least.
    fn replayed(&self, address: &NodeAddress) -> Option<(u32, Position)> {
        let facts = self.inputs.observed.nodes.get(address).and_then(Observation::seen)?;
        let node = self.before.nodes.get(address)?;
        let newest = facts.generations.last() == Some(&node.data.as_ref()?.generation);
        let down = !facts.process.is_alive() && matches!(node.role, Some(Role::Standby { .. }));
        let control = facts.control.seen().filter(|_| newest && down)?;
        Some((control.timeline, control.reaches().into()))
    }
}

/// Returns whether a standby has log that the elected node lacks, or has on another branch.
fn has_more(own: &ServerFacts, winner: &ServerFacts) -> bool {
    let parted = winner.fork.is_some_and(|fork| own.position > fork);
    own.progress() > winner.progress() || (own.timeline < winner.timeline && parted)
}

/// A node that led and was not shut down in order may have written what nobody else has.
fn left_uncleanly(address: &NodeAddress, old: Option<&Node>, election: &Election) -> bool {
    match old.and_then(|old| old.role.as_ref()) {
        Some(Role::Primary { .. }) => election.reason == ElectionReason::Failover && address.node != election.primary,
        // Its last record is on the winner of the election that fenced it, if that one was promoted by it; nobody can say
        // so of another one.
        Some(Role::Fenced {
            term,
            proof,
            witness: _,
        }) => *proof == FenceProof::Killed || *term != election.term || election.reason == ElectionReason::Failover,
        Some(Role::Standby { .. }) | None => false,
    }
}
