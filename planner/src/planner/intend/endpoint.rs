//! The endpoints of a cluster: where each leads, and through what.

use simdb_state::address::EndpointAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::{Election, Endpoint, EndpointTarget};

use super::cluster::Declaration;
use crate::diagnostic::Diagnostic;
use crate::planner::addressing::Addressing;
use crate::planner::intended::{Intended, IntendedNode};

impl Declaration<'_> {
    pub(super) fn endpoints(
        &self,
        election: &Election,
        addressing: &mut Addressing<'_>,
        intended: &mut Intended,
    ) -> Vec<Diagnostic> {
        let mut diagnostics = Vec::new();
        for (name, spec) in &self.spec.endpoints {
            let address = EndpointAddress {
                cluster: self.name.clone(),
                endpoint: name.clone(),
            };
            let endpoint = match &spec.pooler {
                None => Ok(Some(endpoint(self.name, spec.target, intended))),
                Some(pooler) => self.pooled(&address, (spec, pooler), election, addressing, intended),
            };
            match endpoint {
                Ok(endpoint) => {
                    if endpoint.as_ref().is_some_and(|endpoint| endpoint.pooler.is_some()) {
                        self.pooler_login(intended);
                    }
                    intended.endpoints.extend(endpoint.map(|endpoint| (address, endpoint)));
                }
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }
        diagnostics
    }
}

/// How many servers an endpoint names at most. A client tries them one after the other, each for as long as it waits for
/// a connection, and every one of them would be written into every entry and every URL.
const HOSTS: usize = 8;

/// An endpoint leads to the nodes of its role, then to the others, so that it stays of use when roles change before the
/// next apply: clients skip those that do not fit. Where there are more than [`HOSTS`], the others keep one place.
fn endpoint(cluster: &ClusterName, target: EndpointTarget, intended: &Intended) -> Endpoint {
    let fits = |node: &IntendedNode| node.role.writes().is_some() == (target == EndpointTarget::Primary);
    let (mut first, rest): (Vec<_>, Vec<_>) = intended.nodes_of(cluster).partition(|(_, node)| fits(node));
    first.truncate(HOSTS - rest.len().min(1));
    first.extend(rest);
    first.truncate(HOSTS);
    Endpoint {
        target,
        nodes: first.iter().map(|(address, _)| address.node.clone()).collect(),
        hosts: first
            .iter()
            .filter_map(|(_, node)| node.place.clients.clone())
            .collect(),
        pooler: None,
    }
}
