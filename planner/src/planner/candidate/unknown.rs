//! What cannot be asked, and keeps a failover from going on: a node that may still write, or that may have more than others.

use simdb_state::name::{ClusterName, NodeName};

use super::{Field, Refusal};
use crate::observed::{Hidden, Observation, ProcessFacts};
use crate::planner::{Assurance, ElectionRequest};

impl Field<'_> {
    /// A node that was not looked at may be alive: no other node is promoted beside it before its platform proved that it is down, or
    /// a person answered for that.
    pub(super) fn leader_is_known(&self, request: &ElectionRequest) -> Result<(), Refusal> {
        let Some(leader) = self.leader else { return Ok(()) };
        let address = self.address(leader);
        let hidden = self.observed.hidden.get(&address);
        let reason = match self.observed.nodes.get(&address) {
            None => {
                return Err(Refusal(format!(
                    "{}.{leader} leads and was not looked at. A failover needs -refresh.",
                    self.cluster
                )));
            }
            Some(Observation::Unknown(reason)) => format!("could not be looked at ({reason})"),
            Some(Observation::Absent) if hidden.is_some() => "is gone".to_owned(),
            Some(Observation::Absent | Observation::Seen(_)) => return Ok(()),
        };
        let remedy = match hidden {
            Some(Hidden::Provable) => return Ok(()),
            _ if request.assurance != Assurance::Proof => return Ok(()),
            Some(Hidden::Lost(remedy)) => remedy,
            None => "Make sure that it can be reached, or stop its server.",
        };
        Err(Refusal(format!(
            "{}.{leader} leads and {reason}, so it cannot be proven that it takes no writes. {remedy} {}",
            self.cluster,
            without_proof(self.cluster, request.to.as_ref())
        )))
    }

    /// Where none of the standbys answers, one that is down leads only if all of them are known to be down: one that could
    /// not be asked may have more.
    pub(super) fn others_are_known(&self, to: Option<&NodeName>) -> Result<(), Refusal> {
        let others = self.recorded.nodes_of(self.cluster).map(|(address, _)| &address.node);
        let mut asked = others.filter(|node| Some(*node) != self.leader && Some(*node) != to);
        let Some((node, reason)) = asked.find_map(|node| Some((node, self.silence(node)?))) else {
            return Ok(());
        };
        Err(Refusal(format!(
            "{}.{node} could not be asked how far it has come ({reason}), and it may have writes that no \
             other node has. Bring it back or stop it first.",
            self.cluster
        )))
    }

    /// Returns why it is not known whether a node's server answers.
    fn silence(&self, node: &NodeName) -> Option<&str> {
        match self.observed.nodes.get(&self.address(node)) {
            Some(Observation::Unknown(reason)) => Some(reason),
            Some(Observation::Seen(facts)) => match &facts.server {
                Some(Observation::Unknown(reason)) if !matches!(facts.process, ProcessFacts::Frozen { .. }) => {
                    Some(reason)
                }
                _ => None,
            },
            Some(Observation::Absent) => None,
            None => Some("it was not looked at"),
        }
    }
}

/// Says how a node comes to lead in place of one that nothing proves to be down.
pub(in crate::planner) fn without_proof(cluster: &ClusterName, to: Option<&NodeName>) -> String {
    let promote = to.map(|to| format!(" -promote {to}")).unwrap_or_default();
    format!(
        "If its machine is off for certain, and stays off, run: simdb failover {cluster}{promote} -fenced-by-operator. To go on without \
         knowing, at the price of what it still writes: simdb failover {cluster}{promote} -force -allow=data-loss"
    )
}
