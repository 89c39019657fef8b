//! The pooler of an endpoint: where it is to listen and lead.

use std::collections::BTreeMap;

use simdb_state::address::EndpointAddress;
use simdb_state::object::{Election, Endpoint, EngineKind, Pooler, Power};

use super::{INSTALLATION, USER, login};
use crate::desired::{EndpointSpec, PoolerSpec};
use crate::diagnostic::Diagnostic;
use crate::engine::instance::user;
use crate::planner::addressing::Addressing;
use crate::planner::intend::Declaration;
use crate::planner::intended::Intended;

impl Declaration<'_> {
    /// Adds the login that poolers of the cluster look up others with.
    pub(crate) fn pooler_login(&self, intended: &mut Intended) {
        intended.users.insert(user(self.name, USER), login());
    }

    /// Clients of an endpoint with a pooler know the pooler alone, whoever leads. It stops and starts with the cluster.
    pub(crate) fn pooled(
        &self,
        address: &EndpointAddress,
        (spec, pooler): (&EndpointSpec, &PoolerSpec),
        election: &Election,
        addressing: &mut Addressing<'_>,
        intended: &Intended,
    ) -> Result<Option<Endpoint>, Diagnostic> {
        let platform = self.inputs.observed.platform(&self.spec.platform);
        if platform
            .engines
            .get(&EngineKind::Pgbouncer)
            .is_none_or(BTreeMap::is_empty)
        {
            let remedy = platform.remedies.get(&EngineKind::Pgbouncer);
            return Err(missing(address, spec, remedy));
        }
        let before = self.before.endpoints.get(address);
        let Some(primary) = intended.nodes.get(&self.address(&election.primary)) else {
            return Ok(before.cloned());
        };
        let place = addressing.pooler(address, (spec, pooler), self.before, primary.power)?;
        let pooler = if primary.power == Power::Running {
            Some(Pooler {
                place,
                pool_mode: pooler.pool_mode,
                node: election.primary.clone(),
                // The pooler is on the platform of the cluster.
                upstream: match primary.platform {
                    None => primary.place.peers.clone(),
                    Some(_) => primary.place.clone().from_elsewhere().peers,
                },
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
                hosts: pooler.place.clients.iter().cloned().collect(),
                pooler: Some(pooler),
            }),
        })
    }
}

fn missing(address: &EndpointAddress, spec: &EndpointSpec, remedy: Option<&String>) -> Diagnostic {
    let usual = || {
        format!(
            "its program \"pgbouncer\" is not on this machine. Install it ({INSTALLATION}), name its directory in provider \
             \"local\": binaries = [\"/path/to/bin\"], or"
        )
    };
    let remedy = remedy.cloned().unwrap_or_else(usual);
    let detail = format!("{address} goes through PgBouncer, and {remedy} remove via = \"pgbouncer\".");
    Diagnostic::error("PgBouncer not found", detail).at(spec.span.clone())
}
