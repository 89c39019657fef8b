//! The endpoints of a cluster: where each leads, and through what.

use std::collections::BTreeMap;

use simdb_state::address::EndpointAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::{Election, Endpoint, EndpointTarget, EngineKind, Pooler, Power, Role};

use super::cluster::Draft;
use crate::desired::{EndpointSpec, PoolerSpec};
use crate::diagnostic::Diagnostic;
use crate::engine::pgbouncer;
use crate::engine::postgresql::instance::user;
use crate::planner::intended::{Intended, IntendedNode};
use crate::planner::ports::Ports;

impl Draft<'_> {
    pub(super) fn endpoints(
        &self,
        election: &Election,
        ports: &mut Ports<'_>,
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
                Some(pooler) => self.pooled(&address, (spec, pooler), election, ports, intended),
            };
            match endpoint {
                Ok(endpoint) => {
                    if endpoint.as_ref().is_some_and(|endpoint| endpoint.pooler.is_some()) {
                        intended
                            .users
                            .insert(user(self.name, pgbouncer::USER), pgbouncer::login());
                    }
                    intended.endpoints.extend(endpoint.map(|endpoint| (address, endpoint)));
                }
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
        }
        diagnostics
    }

    /// Clients of an endpoint with a pooler know the pooler alone, whoever leads. It stops and starts with the cluster.
    fn pooled(
        &self,
        address: &EndpointAddress,
        (spec, pooler): (&EndpointSpec, &PoolerSpec),
        election: &Election,
        ports: &mut Ports<'_>,
        intended: &Intended,
    ) -> Result<Option<Endpoint>, Diagnostic> {
        let engines = &self.inputs.observed.platform.engines;
        if engines.get(&EngineKind::Pgbouncer).is_none_or(BTreeMap::is_empty) {
            return Err(missing(address, spec));
        }
        let before = self.before.endpoints.get(address);
        let Some(primary) = intended.nodes.get(&self.address(&election.primary)) else {
            return Ok(before.cloned());
        };
        let listen = ports.pooler(address, (spec, pooler), self.before, primary.power)?;
        let pooler = if primary.power == Power::Running {
            Some(Pooler {
                listen,
                pool_mode: pooler.pool_mode,
                node: election.primary.clone(),
                upstream: primary.listen,
                power: Power::Running,
                paused: false,
            })
        } else {
            let recorded = before.and_then(|endpoint| endpoint.pooler.clone());
            recorded.map(|recorded| Pooler {
                power: Power::Stopped,
                ..recorded
            })
        };
        // One that was never started is made when the cluster starts.
        Ok(match pooler {
            None => before.cloned(),
            Some(pooler) => Some(Endpoint {
                target: spec.target,
                nodes: Vec::new(),
                hosts: vec![pooler.listen],
                pooler: Some(pooler),
            }),
        })
    }
}

/// How many servers an endpoint names at most. A client tries them one after the other, each for as long as it waits for
/// a connection, and every one of them would be written into every entry and every URL.
const HOSTS: usize = 8;

/// An endpoint leads to the nodes of its role, then to the others, so that it stays of use when roles change before the
/// next apply: clients skip those that do not fit. Where there are more than [`HOSTS`], the others keep one place.
fn endpoint(cluster: &ClusterName, target: EndpointTarget, intended: &Intended) -> Endpoint {
    let fits = |node: &IntendedNode| matches!(node.role, Role::Primary { .. }) == (target == EndpointTarget::Primary);
    let (mut first, rest): (Vec<_>, Vec<_>) = intended.nodes_of(cluster).partition(|(_, node)| fits(node));
    first.truncate(HOSTS - rest.len().min(1));
    first.extend(rest);
    first.truncate(HOSTS);
    Endpoint {
        target,
        nodes: first.iter().map(|(address, _)| address.node.clone()).collect(),
        hosts: first.iter().map(|(_, node)| node.listen).collect(),
        pooler: None,
    }
}

fn missing(address: &EndpointAddress, spec: &EndpointSpec) -> Diagnostic {
    let detail = format!(
        "{address} goes through PgBouncer, and its program \"pgbouncer\" is not on this machine. Install it (on Debian: \
         apt-get install pgbouncer), name its directory in provider \"local\": binaries = [\"/path/to/bin\"], or remove \
         via = \"pgbouncer\"."
    );
    Diagnostic::error("PgBouncer not found", detail).at(spec.span.clone())
}
