//! Servers that were made without simdb and become nodes: what is known of each.
//!
//! A node is imported for as long as no data of it is on record. An apply that is cut off leaves the data linked to the
//! node's instance directory, with its server down or as it was made: the next plan finds it there and goes on.

mod refused;

use std::collections::BTreeMap;

use simdb_state::address::NodeAddress;
use simdb_state::identity::DataIdentity;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Data, Election, Node, Origin, Power, Role, Slot, State};
use simdb_state::place::Place;

use super::Inputs;
use crate::config::generated;
use crate::engine::conf;
use crate::observed::{ImportFacts, NodeFacts, Observation, Observed, ProcessFacts, ServerFacts};

pub(super) use refused::refusals;

/// A server that becomes a node.
#[derive(Clone, Debug)]
pub(crate) struct Import {
    /// What the configuration calls it.
    pub(crate) id: String,
    /// Its data, and the server as it was made.
    pub(crate) facts: ImportFacts,
    /// What its server says of itself, wherever that was started.
    pub(crate) server: Option<ServerFacts>,
    /// Whose data it is.
    pub(crate) identity: DataIdentity,
    /// Whether it replays.
    pub(crate) in_recovery: bool,
}

impl Import {
    /// Returns the node as it is before it is imported.
    pub(crate) fn as_is(&self, election: &Election, follows: Option<&NodeName>, generation: u32) -> Node {
        let unmanaged = self.facts.server.as_ref();
        let place = unmanaged.and_then(|server| Place::seen(Some(server.listen), None, None));
        let role = match follows {
            Some(follows) => Role::Standby {
                follows: follows.clone(),
            },
            None => Role::Primary { term: election.term },
        };
        let slot = self.slot().zip(follows).map(|(name, upstream)| Slot {
            upstream: upstream.clone(),
            name: name.to_owned(),
        });
        Node {
            place,
            parameters: self.parameters(),
            data: Some(Data {
                generation,
                identity: self.identity.clone(),
                origin: Origin::Imported,
                outside: Some(self.facts.directory.clone()),
            }),
            slot,
            role: Some(role),
            power: if self.server.is_some() {
                Power::Running
            } else {
                Power::Stopped
            },
            ..Node::default()
        }
    }

    /// Returns the settings of the server that a configuration could declare, as people write them.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        generated::parameters(&self.facts)
    }

    /// Returns the name of the slot that it streams through, or would.
    pub(crate) fn slot(&self) -> Option<&str> {
        let server = self.facts.server.as_ref()?;
        let streams = server.facts.receiver.as_ref();
        let slot = streams.and_then(|receiver| receiver.slot.as_deref());
        slot.or_else(|| conf::slot(&server.facts.configured))
    }
}

/// Returns what a node is imported from, where it is yet to be.
pub(crate) fn pending(inputs: Inputs<'_>, address: &NodeAddress) -> Option<Import> {
    let spec = inputs
        .desired
        .imports
        .get(address)
        .filter(|_| !is_recorded(inputs.recorded, address))?;
    let facts = inputs.observed.imports.get(address)?.seen()?;
    let node = inputs.observed.nodes.get(address).and_then(Observation::seen);
    let linked = node.filter(|node| node.outside.as_ref() == Some(&facts.directory));
    let unmanaged = facts.server.as_ref().map(|server| &server.facts);
    let server = unmanaged.or_else(|| linked?.server.as_ref()?.seen());
    let control = linked.map(|node| &node.control);
    let identity = server.map(|server| &server.system_identifier);
    let replays = server.map(|server| server.in_recovery);
    Some(Import {
        id: spec.id.clone(),
        facts: facts.clone(),
        server: server.cloned(),
        identity: identity.or_else(|| Some(&control?.seen()?.system_identifier))?.clone(),
        in_recovery: replays.or_else(|| control?.replays())?,
    })
}

fn is_recorded(recorded: &State, address: &NodeAddress) -> bool {
    recorded.nodes.get(address).is_some_and(|node| node.data.is_some())
}

fn of_cluster(inputs: Inputs<'_>, cluster: &ClusterName) -> Vec<(NodeAddress, Import)> {
    let own = inputs
        .desired
        .imports
        .keys()
        .filter(|address| address.cluster == *cluster);
    own.filter_map(|address| Some((address.clone(), pending(inputs, address)?)))
        .collect()
}

/// Returns the node of a new cluster whose server writes.
pub(crate) fn primary(inputs: Inputs<'_>, cluster: &ClusterName) -> Option<NodeName> {
    let imports = of_cluster(inputs, cluster);
    let mut primaries = imports.into_iter().filter(|(_, import)| !import.in_recovery);
    primaries.next().map(|(address, _)| address.node)
}

/// Returns the version of the data that a cluster is imported from.
pub(crate) fn version(inputs: Inputs<'_>, cluster: &ClusterName) -> Option<u16> {
    let first = of_cluster(inputs, cluster).into_iter().next();
    first.map(|(_, import)| import.facts.version)
}

/// Returns what was seen, with the servers that are imported as the nodes that they become; absent where there are none.
pub(super) fn observed(inputs: Inputs<'_>) -> Option<Observed> {
    let mut observed: Option<Observed> = None;
    for address in inputs.desired.imports.keys() {
        let Some(server) = pending(inputs, address).and_then(|import| import.facts.server) else {
            continue;
        };
        let all = observed.get_or_insert_with(|| inputs.observed.clone());
        let seen = all.nodes.get(address).and_then(Observation::seen).cloned();
        let facts = NodeFacts {
            process: ProcessFacts::Foreign { pid: server.pid },
            listen: Some(server.listen),
            server: Some(Observation::Seen(server.facts)),
            ..seen.unwrap_or_default()
        };
        all.nodes.insert(address.clone(), Observation::Seen(facts));
    }
    observed
}
