//! Nodes that cannot be looked at: how one that led is fenced, and which of them are left as they are until they can.

use simdb_state::address::NodeAddress;
use simdb_state::object::{Election, ElectionReason, FenceProof, Node, Power, Role, Witness};

use super::cluster::Declaration;
use crate::diagnostic::Diagnostic;
use crate::observed::{Hidden, Observation};
use crate::plan::FenceMethod;
use crate::planner::Assurance;
use crate::planner::candidate::without_proof;
use crate::planner::intended::{DataGoal, ImageGoal, IntendedNode};

impl Declaration<'_> {
    /// Returns what a platform tells of a node that it could not look at, or has nothing of.
    pub(crate) fn hidden(&self, node: &NodeAddress) -> Option<&Hidden> {
        self.inputs.observed.hidden.get(node)
    }

    /// Returns how the node that leads is brought down for an election. A person's word counts only where its platform proves nothing.
    pub(crate) fn fencing(&self, election: &Election) -> FenceMethod {
        if election.reason != ElectionReason::Failover {
            return FenceMethod::ShutDown;
        }
        let Some(deposed) = self.deposed(election) else {
            return FenceMethod::Kill;
        };
        let is_unknown = matches!(self.inputs.observed.nodes.get(&deposed), Some(Observation::Unknown(_)));
        match (self.assurance(), self.hidden(&deposed)) {
            (Assurance::Proof, _) | (Assurance::Attested, Some(Hidden::Provable)) => FenceMethod::Kill,
            (Assurance::Attested, hidden) if is_unknown || hidden.is_some() => FenceMethod::Attested,
            (Assurance::Waived, hidden) if is_unknown || hidden.is_some() => FenceMethod::Waived,
            (Assurance::Attested | Assurance::Waived, _) => FenceMethod::Kill,
        }
    }

    /// Returns what has to show that a node takes no writes that cannot be looked at.
    fn assurance(&self) -> Assurance {
        self.request().map(|request| request.assurance).unwrap_or_default()
    }

    /// Returns whether a person waived the proof that the node that led before takes no writes: nobody knows what is lost then.
    pub(crate) fn is_waived(&self, election: &Election) -> bool {
        let waived = |node: &Node| matches!(node.role, Some(Role::Fenced { term, witness: Witness::Waived, .. }) if term == election.term);
        self.fencing(election) == FenceMethod::Waived || self.before.nodes_of(self.name).any(|(_, node)| waived(node))
    }

    /// Refuses to carry an election through that waits for the fence of a node that nothing proves to be down.
    pub(crate) fn deposed_can_be_fenced(&self, election: &Election) -> Result<(), Diagnostic> {
        let held = self.before.elections.get(self.name).map(|last| last.term) == Some(election.term);
        let Some(deposed) = self.deposed(election).filter(|_| held) else {
            return Ok(());
        };
        let Some(Hidden::Lost(remedy)) = self.hidden(&deposed) else {
            return Ok(());
        };
        let (name, winner) = (self.name, &election.primary);
        let detail = format!(
            "{name}.{winner} was elected, and does not lead before it is proven that {} takes no writes. {remedy} {}",
            deposed.node,
            without_proof(name, Some(winner))
        );
        Err(Diagnostic::error("Role change is not finished", detail).at(self.spec.spans.cluster.clone()))
    }

    /// Returns the role of a node that led and is left as it is: a person answers for that it takes no writes, and its platform cannot
    /// look at it.
    fn left_as(&self, address: &NodeAddress, election: &Election) -> Option<Role> {
        let looked_at = match self.inputs.observed.nodes.get(address) {
            Some(Observation::Unknown(_)) => false,
            Some(Observation::Absent | Observation::Seen(_)) | None => true,
        };
        let is_reached = self.hidden(address) == Some(&Hidden::Provable);
        if looked_at || is_reached || address.node == election.primary {
            return None;
        }
        let recorded = self.before.nodes.get(address)?.role.as_ref()?;
        if matches!(recorded, Role::Fenced { witness, .. } if !witness.is_proof()) {
            return Some(recorded.clone());
        }
        let attested = self.fencing(election).attested();
        let witness = attested.filter(|_| self.deposed(election).as_ref() == Some(address))?;
        Some(Role::Fenced {
            term: election.term,
            proof: FenceProof::Killed,
            witness,
        })
    }

    /// Returns whether a node is left as it is until its platform can look at it.
    pub(crate) fn is_left(&self, address: &NodeAddress, election: &Election) -> bool {
        self.left_as(address, election).is_some()
    }

    /// Returns what a node stays that is left as it is.
    pub(crate) fn left(&self, address: &NodeAddress, election: &Election) -> Option<IntendedNode> {
        let role = self.left_as(address, election)?;
        let node = self.before.node(address)?.clone();
        Some(IntendedNode {
            platform: node.platform,
            place: node.place?,
            image: node.image.map_or(ImageGoal::None, ImageGoal::Known),
            resources: node.resources,
            parameters: node.parameters,
            data: DataGoal::Keep(node.data?),
            role,
            slot: node.slot,
            power: Power::Stopped,
            prevent_destroy: node.prevent_destroy,
        })
    }
}
