//! Which servers and endpoints are declared and not made yet.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{EndpointAddress, InstanceAddress, NodeAddress};
use simdb_state::name::PlatformName;
use simdb_state::object::{EngineKind, Resources, State};

use super::{Inputs, imports, versions};
use crate::desired::Desired;
use crate::engine::POOLER;
use crate::observed::Observed;

/// The version of an engine whose versions are not told apart.
const ONLY_VERSION: u16 = 1;

/// A server that is not made yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnmadeServer {
    /// The node, or the endpoint whose pooler it is.
    pub instance: InstanceAddress,
    /// What it runs.
    pub engine: EngineKind,
    /// The engine's major version.
    pub version: u16,
    /// How much of its machine it may take.
    pub resources: Resources,
}

/// What a platform has yet to make.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unmade {
    /// The servers, by address.
    pub servers: Vec<UnmadeServer>,
    /// The endpoints, by address.
    pub endpoints: BTreeSet<EndpointAddress>,
}

/// Returns what is declared and not on record, by the platform that is to make it. A cluster of which no version is known has a problem
/// that is told elsewhere.
pub fn unmade(desired: &Desired, recorded: &State, observed: &Observed) -> BTreeMap<PlatformName, Unmade> {
    let mut all: BTreeMap<PlatformName, Unmade> = BTreeMap::new();
    for (name, spec) in &desired.clusters {
        let inputs = Inputs {
            desired,
            recorded,
            observed,
            proposal: None,
        };
        let imported = imports::version(inputs, name);
        let chosen = versions::choose(name, spec, recorded, imported, observed.platform(&spec.platform));
        let Ok(version) = chosen else { continue };
        for (node, node_spec) in &spec.nodes {
            let address = NodeAddress {
                cluster: name.clone(),
                node: node.clone(),
            };
            if recorded.nodes.get(&address).is_none_or(|node| node.place.is_none()) {
                let of = all.entry(spec.platform_of(node_spec).clone()).or_default();
                of.servers.push(UnmadeServer {
                    instance: (&address).into(),
                    engine: spec.engine,
                    version,
                    resources: node_spec.resources,
                });
            }
        }
        for (endpoint, endpoint_spec) in &spec.endpoints {
            let address = EndpointAddress {
                cluster: name.clone(),
                endpoint: endpoint.clone(),
            };
            if recorded.endpoints.contains_key(&address) {
                continue;
            }
            let of = all.entry(spec.platform.clone()).or_default();
            if endpoint_spec.pooler.is_some() {
                of.servers.push(UnmadeServer {
                    instance: InstanceAddress::Pooler(address.clone()),
                    engine: POOLER,
                    version: ONLY_VERSION,
                    resources: Resources::default(),
                });
            }
            of.endpoints.insert(address);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planner::tests::{applied, orders};

    #[test]
    fn what_is_on_record_was_made() {
        let desired = orders(&["a", "b"]);
        let world = applied(&desired);
        let unmade = |desired: &Desired, recorded: &State| {
            let all = unmade(desired, recorded, &world.observe());
            let servers = all.into_values().flat_map(|of| of.servers);
            let names: Vec<String> = servers.map(|server| server.instance.to_string()).collect();
            names.join(" ")
        };
        assert_eq!(
            unmade(&desired, &State::default()),
            "cluster.orders.node.a cluster.orders.node.b"
        );
        assert_eq!(unmade(&desired, &world.state), "");
        assert_eq!(unmade(&orders(&["a", "b", "c"]), &world.state), "cluster.orders.node.c");
    }
}
