//! Who leads. The only place that decides it.
//!
//! Observation alone never moves the lead. It moves when `primary` names another node than the last election saw, when
//! the node that leads is no longer declared, gets another image ([`image`](super::image)), or on request; an election that was begun is carried through.

use simdb_state::address::NodeAddress;
use simdb_state::name::NodeName;
use simdb_state::object::{Damage, Election, ElectionReason, Loss, Node, Power, Role, Term, Verdict};
use simdb_state::writers::may_write_beside;

use super::cluster::Declaration;
use crate::diagnostic::Diagnostic;
use crate::observed::{NodeFacts, Observation, ProcessFacts};
use crate::planner::Proposal;
use crate::planner::astray;
use crate::planner::before;
use crate::planner::candidate::{self, Field};
use crate::planner::imports;
use crate::planner::intended::{Lead, Postponed};
use crate::planner::{ElectionKind, ElectionRequest};

impl Declaration<'_> {
    /// Returns the last election, the first one, or the one that is to be held now.
    pub(crate) fn election(&self) -> Result<Election, Diagnostic> {
        let Some(last) = self.before.elections.get(self.name) else {
            return Ok(Election {
                term: Term(1),
                primary: imports::primary(self.inputs, self.name)
                    .or_else(|| self.spec.primary.clone())
                    .unwrap_or_else(|| self.spec.first.clone()),
                pin: self.spec.primary.clone(),
                reason: ElectionReason::Birth,
                chosen: false,
                switch: None,
            });
        };
        if let Some(request) = self.request() {
            return self.requested(last, request);
        }
        let pin = self.spec.primary.as_ref().filter(|pin| last.pin.as_ref() != Some(*pin));
        match pin {
            Some(pin) if *pin != last.primary && self.waits(last, pin) => Ok(last.clone()),
            Some(pin) if *pin != last.primary => self.switchover(last, Some(pin)),
            _ if !self.spec.nodes.contains_key(&last.primary) => self.switchover(last, self.spec.primary.as_ref()),
            _ => {
                let again = self.held_again(last).filter(|_| pin.is_none());
                Ok(again.or_else(|| self.replaced(last)).unwrap_or_else(|| last.clone()))
            }
        }
    }

    /// Returns the election to hold in place of a failover that was cut off before its fence, where its winner has come to lack what
    /// another standby has: sessions of the former primary may have gone on writing. A winner that a person named stays.
    fn held_again(&self, last: &Election) -> Option<Election> {
        let is_fenced = self.recorded_leader().is_none_or(|leader| *leader == last.primary);
        if last.reason != ElectionReason::Failover || !last.chosen || is_fenced {
            return None;
        }
        let winner = self.field(last).ahead_of_elected()?;
        Some(self.next(last, winner, ElectionReason::Failover, true))
    }

    /// Returns whether the node that `primary` names takes over with a later plan: this one mends what keeps it from that,
    /// carries the last election through, or was asked for something else. It must not take away the node that leads until
    /// then.
    fn waits(&self, last: &Election, pin: &NodeName) -> bool {
        let field = self.field(last);
        self.spec.nodes.contains_key(&last.primary)
            && self.switchover(last, Some(pin)).is_err()
            && (self.inputs.proposal.is_some() || field.is_pending() || field.mended_first(pin).is_some())
    }

    /// Returns which node takes over with a later plan than this one, and why not with this one.
    pub(super) fn postponed(&self, election: &Election) -> Option<Postponed> {
        let last = self.before.elections.get(self.name).filter(|last| *last == election)?;
        let pin = self
            .spec
            .primary
            .as_ref()
            .filter(|pin| last.pin.as_ref() != Some(*pin))?;
        if *pin == last.primary || self.request().is_some() {
            return None;
        }
        let refusal = self.switchover(last, Some(pin)).err()?;
        let field = self.field(last);
        let reason = if field.is_pending() {
            Some(format!("{} was elected before and takes over first", last.primary))
        } else {
            field.mended_first(pin)
        };
        Some(Postponed {
            winner: pin.clone(),
            reason: reason.unwrap_or_else(|| "this plan was asked for something else".to_owned()),
            refusal,
        })
    }

    pub(crate) fn request(&self) -> Option<&ElectionRequest> {
        match self.inputs.proposal {
            Some(Proposal::Election(request)) if request.cluster == *self.name => Some(request),
            _ => None,
        }
    }

    fn requested(&self, last: &Election, request: &ElectionRequest) -> Result<Election, Diagnostic> {
        let field = self.field(last);
        match request.kind {
            ElectionKind::Switchover => self.switchover(last, request.to.as_ref()),
            // A failover of a node that serves becomes the switchover that loses nothing, unless the request says that
            // another branch is kept.
            ElectionKind::Failover if field.leader_serves() && !keeps_another_branch(&field, request) => {
                self.switchover(last, request.to.as_ref())
            }
            ElectionKind::Failover => {
                let winner = field
                    .failover(request)
                    .map_err(|refusal| self.refused("Failover is refused", &refusal))?;
                let chosen = request.to.is_none();
                Ok(self.next(last, winner, ElectionReason::Failover, chosen))
            }
        }
    }

    /// Returns whether somebody says which branch is kept, so that those of the other nodes are given up.
    pub(crate) fn settles(&self, election: &Election) -> bool {
        let recorded = &self.inputs.recorded;
        let torn = || {
            let mut nodes = recorded.nodes_of(self.name);
            nodes.any(|(address, node)| astray::is_astray(address, Some(node), self.inputs.observed))
        };
        election.reason == ElectionReason::Failover && self.request().is_some_and(ElectionRequest::settles) && torn()
    }

    pub(super) fn switchover(&self, last: &Election, to: Option<&NodeName>) -> Result<Election, Diagnostic> {
        let field = self.field(last);
        let winner = field
            .switchover(to)
            .map_err(|refusal| self.refused("Switchover is refused", &refusal))?;
        if winner == last.primary && !field.is_pending() {
            return Ok(last.clone());
        }
        Ok(self.next(last, winner, ElectionReason::Switchover, to.is_none()))
    }

    fn next(&self, last: &Election, winner: NodeName, reason: ElectionReason, chosen: bool) -> Election {
        Election {
            term: Term(last.term.0 + 1),
            primary: winner,
            pin: self.spec.primary.clone(),
            reason,
            chosen,
            switch: None,
        }
    }

    /// Whoever is to take over, or to be followed, is not stopped before that.
    pub(crate) fn unfinished(&self, election: &Election) -> Result<(), Diagnostic> {
        let Some(Proposal::Power { nodes, power }) = self.inputs.proposal else {
            return Ok(());
        };
        let asked = nodes.iter().any(|node| node.cluster == *self.name);
        if !asked || *power != Power::Stopped || self.lead(&election.primary) == Lead::Stays {
            return Ok(());
        }
        let refusal = format!(
            "{}.{} was elected, and does not lead yet. Let it take over with `simdb apply` first, or choose another node with \
             `simdb switchover {} -to NODE`.",
            self.name, election.primary, self.name
        );
        let summary = "Role change is not finished";
        Err(Diagnostic::error(summary, refusal).at(self.spec.spans.cluster.clone()))
    }

    /// Refuses to fence the node that leads where the node that was elected in its place could not be asked: nothing could
    /// be promoted after that.
    pub(crate) fn winner_is_known(&self, election: &Election) -> Result<(), Diagnostic> {
        let held = self.before.elections.get(self.name).map(|last| last.term) == Some(election.term);
        let Some(deposed) = self.deposed(election).filter(|_| held) else {
            return Ok(());
        };
        let winner = &election.primary;
        let Some(
            Observation::Unknown(reason)
            | Observation::Seen(NodeFacts {
                process: ProcessFacts::Running { .. },
                server: Some(Observation::Unknown(reason)),
                ..
            }),
        ) = self.inputs.observed.nodes.get(&self.address(winner))
        else {
            return Ok(());
        };
        let name = self.name;
        let detail = format!(
            "{name}.{winner} was elected, does not lead yet, and could not be asked ({reason}), so {} is not fenced. Make sure \
             that {winner} can be reached, or choose another node with `simdb switchover {name} -to NODE`.",
            deposed.node
        );
        Err(Diagnostic::error("Role change is not finished", detail).at(self.spec.spans.cluster.clone()))
    }

    /// Refuses to carry an election through whose winner was found to differ from the other nodes since: only a person
    /// who accepts the loss promotes such a node.
    pub(crate) fn winner_does_not_differ(&self, election: &Election) -> Result<(), Diagnostic> {
        let held = self.before.elections.get(self.name).map(|last| last.term) == Some(election.term);
        let (name, winner) = (self.name, &election.primary);
        let node = self.before.nodes.get(&self.address(winner));
        let passes = held && self.lead(winner) == Lead::Passes && self.leader() != Some(winner);
        let Some(Damage::Differs(reason)) = node.and_then(|node| node.damage.as_ref()).filter(|_| passes) else {
            return Ok(());
        };
        let detail = format!(
            "{name}.{winner} was elected, does not lead yet, and a verification found that its data differs ({reason}). \
             Choose another node with `simdb switchover {name} -to NODE`; to promote {winner} all the same, run `simdb \
             failover {name} -promote {winner} -allow=data-loss`."
        );
        Err(Diagnostic::error("Role change is not finished", detail).at(self.spec.spans.cluster.clone()))
    }

    pub(super) fn field<'a>(&'a self, last: &'a Election) -> Field<'a> {
        Field {
            cluster: self.name,
            recorded: self.inputs.recorded,
            observed: self.inputs.observed,
            declared: &self.spec.nodes,
            policy: &self.spec.failover,
            elected: &last.primary,
            leader: self.leader(),
        }
    }

    /// Returns the node that writes: the one on record; else whoever was elected, unless it is proven that it replays, for
    /// a run that was cut off may have promoted it before it could record that.
    pub(crate) fn leader(&self) -> Option<&NodeName> {
        let elected = self.before.elections.get(self.name).map(|last| &last.primary);
        self.recorded_leader()
            .or_else(|| elected.filter(|elected| !self.is_proven_to_replay(elected)))
    }

    pub(crate) fn recorded_leader(&self) -> Option<&NodeName> {
        self.inputs.recorded.leader(self.name).map(|leader| &leader.node)
    }

    /// A server that answers says so itself; of one that is down the control data do. One that was fenced writes no more.
    fn is_proven_to_replay(&self, node: &NodeName) -> bool {
        let address = self.address(node);
        let recorded = self.inputs.recorded.nodes.get(&address);
        let fenced = recorded.is_some_and(|node| matches!(node.role, Some(Role::Fenced { .. })));
        let facts = self.inputs.observed.nodes.get(&address).and_then(Observation::seen);
        let replayed = facts.and_then(|facts| facts.control.replays()) == Some(true);
        match before::server(self.inputs.observed, &address) {
            Some(server) => server.in_recovery,
            None => fenced || replayed,
        }
    }

    /// Returns how the node that was elected comes to lead. One that was fenced resumes only where nobody was fenced after
    /// it, for then somebody else has written since, and where nobody has started it to replay.
    pub(crate) fn lead(&self, winner: &NodeName) -> Lead {
        let address = self.address(winner);
        let node = self.before.nodes.get(&address).filter(|node| node.data.is_some());
        let fenced = |node: &Node| match node.role {
            Some(Role::Fenced { term, .. }) => Some(term),
            _ => None,
        };
        let last = || {
            self.before
                .nodes_of(self.name)
                .filter_map(|(_, node)| fenced(node))
                .max()
        };
        match node {
            None => Lead::Stays,
            Some(node) if node.writes() => Lead::Stays,
            Some(node) => {
                let led_last = self.leader().is_none_or(|leader| leader == winner)
                    && fenced(node).is_some_and(|term| Some(term) == last());
                let replays = before::server(self.inputs.observed, &address).is_some_and(|facts| facts.in_recovery);
                if led_last && !replays {
                    Lead::Resumes
                } else {
                    Lead::Passes
                }
            }
        }
    }

    /// Returns whether another node is to come to lead, or is yet to.
    pub(crate) fn moves(&self, election: &Election) -> bool {
        let last = self.before.elections.get(self.name);
        last.is_some_and(|last| last.term != election.term || self.lead(&election.primary) == Lead::Passes)
    }

    /// Returns the node that has to be fenced before the one that was elected may lead.
    pub(crate) fn deposed(&self, election: &Election) -> Option<NodeAddress> {
        let (leader, elected) = (self.address(self.leader()?), self.address(&election.primary));
        (!may_write_beside(&elected, &leader)).then_some(leader)
    }

    /// Returns what is known of the acknowledged writes where the node that led cannot be asked.
    pub(crate) fn verdict(&self, election: &Election) -> Verdict {
        if self.is_waived(election) {
            return Verdict::Unknown(Loss(None));
        }
        self.field(election).verdict(&election.primary)
    }

    fn refused(&self, summary: &str, refusal: &candidate::Refusal) -> Diagnostic {
        let span = self.spec.spans.primary.clone().filter(|_| self.request().is_none());
        let detail = format!("{refusal}");
        Diagnostic::error(summary, detail).at(span.unwrap_or_else(|| self.spec.spans.cluster.clone()))
    }
}

/// Returns whether the request keeps the writes of a node that somebody promoted by hand.
fn keeps_another_branch(field: &Field<'_>, request: &ElectionRequest) -> bool {
    request.to.as_ref().is_some_and(|to| field.is_astray(to))
}
