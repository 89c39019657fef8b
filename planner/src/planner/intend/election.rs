//! Who leads. The only place that decides it.
//!
//! Observation alone never moves the lead. It moves when `primary` names another node than the last election saw, when
//! the node that leads is no longer declared, or on request; an election that was begun is carried through.

use simdb_state::address::NodeAddress;
use simdb_state::name::NodeName;
use simdb_state::object::{Election, ElectionReason, Role, Term, Verdict};

use super::cluster::Draft;
use crate::diagnostic::Diagnostic;
use crate::planner::Proposal;
use crate::planner::candidate::{self, Field};
use crate::planner::{ElectionKind, ElectionRequest};

impl Draft<'_> {
    /// Returns the last election, the first one, or the one that is to be held now.
    pub(super) fn election(&self) -> Result<Election, Diagnostic> {
        let Some(last) = self.before.elections.get(self.name) else {
            return Ok(Election {
                term: Term(1),
                primary: self.spec.primary.clone().unwrap_or_else(|| self.spec.first.clone()),
                pin: self.spec.primary.clone(),
                reason: ElectionReason::Birth,
                switch: None,
            });
        };
        if let Some(request) = self.request() {
            return self.requested(last, request);
        }
        let pin = self.spec.primary.as_ref().filter(|pin| last.pin.as_ref() != Some(*pin));
        match pin {
            Some(pin) if *pin != last.primary => self.switchover(last, Some(pin)),
            _ if !self.spec.nodes.contains_key(&last.primary) => self.switchover(last, self.spec.primary.as_ref()),
            _ => Ok(last.clone()),
        }
    }

    fn request(&self) -> Option<&ElectionRequest> {
        match self.inputs.proposal {
            Some(Proposal::Election(request)) if request.cluster == *self.name => Some(request),
            _ => None,
        }
    }

    fn requested(&self, last: &Election, request: &ElectionRequest) -> Result<Election, Diagnostic> {
        let field = self.field(last);
        match request.kind {
            ElectionKind::Switchover => self.switchover(last, request.to.as_ref()),
            // Whoever asks for a failover of a node that serves gets the one that loses nothing.
            ElectionKind::Failover if field.leader_serves() => self.switchover(last, request.to.as_ref()),
            ElectionKind::Failover => {
                let winner = field
                    .failover(request.to.as_ref(), request.lossy)
                    .map_err(|refusal| self.refused("Failover is refused", &refusal))?;
                Ok(self.next(last, winner, ElectionReason::Failover))
            }
        }
    }

    fn switchover(&self, last: &Election, to: Option<&NodeName>) -> Result<Election, Diagnostic> {
        let field = self.field(last);
        let winner = field
            .switchover(to)
            .map_err(|refusal| self.refused("Switchover is refused", &refusal))?;
        if winner == last.primary && !field.is_pending() {
            return Ok(last.clone());
        }
        Ok(self.next(last, winner, ElectionReason::Switchover))
    }

    fn next(&self, last: &Election, winner: NodeName, reason: ElectionReason) -> Election {
        Election {
            term: Term(last.term.0 + 1),
            primary: winner,
            pin: self.spec.primary.clone(),
            reason,
            switch: None,
        }
    }

    fn field<'a>(&'a self, last: &'a Election) -> Field<'a> {
        Field {
            cluster: self.name,
            recorded: self.inputs.recorded,
            observed: self.inputs.observed,
            declared: &self.spec.nodes,
            elected: &last.primary,
            leader: self.leader(),
        }
    }

    /// Returns the node that writes, as far as is recorded.
    pub(super) fn leader(&self) -> Option<&NodeName> {
        let leads = |role: &Option<Role>| matches!(role, Some(Role::Primary { .. }));
        let mut nodes = self.inputs.recorded.nodes_of(self.name);
        nodes
            .find(|(_, node)| leads(&node.role))
            .map(|(address, _)| &address.node)
    }

    /// Returns the node that has to be fenced before the one that was elected may lead.
    pub(super) fn deposed(&self, election: &Election) -> Option<NodeAddress> {
        let leader = self.leader().filter(|leader| **leader != election.primary)?;
        Some(self.address(leader))
    }

    /// Returns what is known of the acknowledged writes where the node that led cannot be asked.
    pub(super) fn verdict(&self, election: &Election) -> Verdict {
        self.field(election).verdict(&election.primary)
    }

    fn refused(&self, summary: &str, refusal: &candidate::Refusal) -> Diagnostic {
        let span = self.spec.spans.primary.clone().filter(|_| self.request().is_none());
        let detail = format!("{refusal}");
        Diagnostic::error(summary, detail).at(span.unwrap_or_else(|| self.spec.spans.cluster.clone()))
    }
}
