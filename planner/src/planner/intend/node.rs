//! One node: where it listens, what it holds, what it is, whether it runs.

use std::collections::BTreeMap;

use simdb_state::address::NodeAddress;
use simdb_state::object::{CommitLevel, Election, ElectionReason, Node, Power, Resources, Role, Slot};
use simdb_state::place::Place;

use super::cluster::Declaration;
use super::data::Holder;
use crate::desired::NodeSpec;
use crate::diagnostic::Diagnostic;
use crate::engine::parameters::Release;
use crate::engine::sync::{APPLY_DELAY, COMMIT_LEVEL};
use crate::observed::{NodeFacts, Observation};
use crate::planner::Proposal;
use crate::planner::before;
use crate::planner::contradiction;
use crate::planner::intended::{IntendedNode, Lead};

impl Declaration<'_> {
    /// Decides on everything about a node. What contradicts the record is refused.
    pub(super) fn node(
        &self,
        address: &NodeAddress,
        spec: &NodeSpec,
        place: Place,
        version: u16,
        election: &Election,
    ) -> Result<IntendedNode, Diagnostic> {
        if let Some(left) = self.left(address, election) {
            return Ok(left);
        }
        let old = self.before.node(address);
        let facts = self.inputs.observed.nodes.get(address).and_then(Observation::seen);
        let leads = address.node == election.primary;
        let resync = self.resyncs(address) && !leads;
        let power = self.power(address, old, Some(election));
        let leader = self.leader().filter(|leader| **leader == election.primary);
        let primary = leader.and_then(|leader| before::server(self.inputs.observed, &self.address(leader)));
        let elected = self.may_lead_unrecorded(address, election)
            || (leads && election.reason == ElectionReason::Failover && election.switch.is_none());
        // One that is to stay down does no harm, whatever its data has become.
        let judged = old.zip(facts).filter(|_| !resync && power == Power::Running);
        let judge = |(old, facts): (&Node, &NodeFacts)| {
            // What it holds is given up, or kept, as somebody said.
            if self.settles(election) || old.needs_rebuild {
                return contradiction::foreign_data(address, old, facts);
            }
            contradiction::contradiction(address, old, facts, elected, primary)
        };
        if let Some(diagnostic) = judged.and_then(judge) {
            return Err(diagnostic.at(spec.span.clone()));
        }
        let upstream = self.upstream(&address.node, election);
        let holder = Holder {
            address,
            old,
            upstream: &upstream,
            power,
        };
        let data = self.data(&holder, election)?;
        let (role, slot) = if leads {
            (Role::Primary { term: election.term }, None)
        } else {
            let follows = upstream.clone();
            let slot = Slot {
                upstream,
                name: address.node.identifier(),
            };
            (Role::Standby { follows }, Some(slot))
        };
        Ok(IntendedNode {
            platform: spec.platform.clone(),
            place,
            image: self.image(address, version, facts),
            resources: Resources {
                // No volume gets smaller.
                storage: spec.resources.storage.max(old.and_then(|old| old.resources.storage)),
                ..spec.resources
            },
            parameters: self.stays_with(old, self.parameters_of(spec, leads), election),
            data,
            role,
            slot,
            power,
            prevent_destroy: spec.prevent_destroy,
        })
    }

    /// A node runs unless it was stopped on request; a request of now counts more than one of the past, and so does an
    /// election that it won.
    pub(crate) fn power(&self, address: &NodeAddress, old: Option<&Node>, election: Option<&Election>) -> Power {
        let won = election.is_some_and(|election| election.primary == address.node);
        match self.inputs.proposal {
            Some(Proposal::Power { nodes, power }) if nodes.contains(address) => *power,
            _ if won && self.lead(&address.node) != Lead::Stays => Power::Running,
            _ if election.is_some_and(|election| self.is_left(address, election)) => Power::Stopped,
            _ if old.is_some_and(|old| old.stopped_by_request) => Power::Stopped,
            _ => Power::Running,
        }
    }

    /// A setting that takes a restart stays while another node comes to lead: a restart in between would be another pause,
    /// and standbys could not replay what the new primary writes.
    fn stays_with(
        &self,
        old: Option<&Node>,
        mut parameters: BTreeMap<String, String>,
        election: &Election,
    ) -> BTreeMap<String, String> {
        let recorded = old.filter(|old| old.data.is_some() && self.moves(election));
        let Some((old, cluster)) = recorded.zip(self.before.clusters.get(self.name)) else {
            return parameters;
        };
        for name in Release::from(cluster).restarting(&old.parameters, &parameters) {
            match old.parameters.get(&name) {
                Some(value) => drop(parameters.insert(name, value.clone())),
                None => drop(parameters.remove(&name)),
            }
        }
        parameters
    }

    /// The level at which commits wait is a setting like any other, the same on every node, so that it is right whoever
    /// leads.
    fn parameters_of(&self, spec: &NodeSpec, leads: bool) -> BTreeMap<String, String> {
        let mut parameters = spec.parameters.clone();
        let level = self.spec.replication.synchronous_commit;
        if level != CommitLevel::default() {
            parameters.insert(COMMIT_LEVEL.to_owned(), level.to_string());
        }
        if let Some(delay) = spec.apply_delay.as_ref().filter(|_| !leads) {
            parameters.insert(APPLY_DELAY.to_owned(), delay.clone());
        }
        parameters
    }
}
