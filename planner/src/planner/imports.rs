//! Servers that were made without simdb and become nodes: what is known of each, and what keeps one from becoming a node.
//!
//! A node is imported for as long as no data of it is on record. An apply that is cut off leaves the data linked to the
//! node's instance directory, with its server down or as it was made: the next plan finds it there and goes on.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::NodeAddress;
use simdb_state::lsn::SystemIdentifier;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Data, Election, Node, Origin, Power, Role, Slot, State};
use simdb_state::place::Place;

use super::Inputs;
use crate::config::is_declarable;
use crate::desired::ImportSpec;
use crate::diagnostic::Diagnostic;
use crate::engine::{conf, settings};
use crate::observed::{ImportFacts, NodeFacts, Observation, Observed, ProcessFacts, ServerFacts};

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
    pub(crate) system_identifier: SystemIdentifier,
    /// Whether it replays.
    pub(crate) in_recovery: bool,
}

impl Import {
    /// Returns the node as it is before it is imported.
    pub(crate) fn as_is(&self, election: &Election, follows: Option<&NodeName>, generation: u32) -> Node {
        let unmanaged = self.facts.server.as_ref();
        let place = unmanaged.and_then(|server| Place::seen(Some(server.listen), None));
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
                system_identifier: self.system_identifier,
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
        let version = self.facts.version;
        let settings = self.facts.server.iter().flat_map(|server| &server.settings);
        let declarable =
            settings.filter(|(name, value)| is_declarable(name) && settings::check(version, name, value).is_ok());
        declarable
            .map(|(name, value)| (name.to_lowercase(), settings::shown(version, name, value)))
            .collect()
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
    let identifier = server.map(|server| server.system_identifier);
    let replays = server.map(|server| server.in_recovery);
    Some(Import {
        id: spec.id.clone(),
        facts: facts.clone(),
        server: server.cloned(),
        system_identifier: identifier.or_else(|| Some(control?.seen()?.system_identifier))?,
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

/// Returns what keeps servers from becoming nodes.
pub(super) fn refusals(inputs: Inputs<'_>) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    let mut directories: BTreeMap<String, NodeAddress> = BTreeMap::new();
    for (address, node) in &inputs.recorded.nodes {
        let outside = node.data.as_ref().and_then(|data| data.outside.clone());
        directories.extend(outside.map(|directory| (directory, address.clone())));
    }
    let yet = |(address, _): &(&NodeAddress, &ImportSpec)| !is_recorded(inputs.recorded, address);
    for (address, spec) in inputs.desired.imports.iter().filter(yet) {
        let mut refuse = |detail: String| diagnostics.push(refusal(spec, detail));
        let facts = match inputs.observed.imports.get(address) {
            None => {
                refuse(format!(
                    "{address} is imported by what is seen of its server, and nothing was looked at. Plan with a refresh."
                ));
                continue;
            }
            Some(Observation::Unknown(reason)) => {
                refuse(format!("{address} cannot be imported from {:?}: {reason}.", spec.id));
                continue;
            }
            Some(Observation::Absent) => {
                refuse(format!(
                    "{address} cannot be imported from {:?}: there is nothing of that id.",
                    spec.id
                ));
                continue;
            }
            Some(Observation::Seen(facts)) => facts,
        };
        match directories.get(&facts.directory) {
            Some(other) => refuse(format!(
                "{} is the data of {other} already. Remove one of the two import blocks.",
                facts.directory
            )),
            None => drop(directories.insert(facts.directory.clone(), address.clone())),
        }
        match pending(inputs, address) {
            None => refuse(format!(
                "{address} cannot be imported from {:?}: its server is down, or does not say whether it writes. Start it, and plan \
                 again.",
                spec.id
            )),
            Some(import) => diagnostics.extend(misfit(inputs, address, &import).map(|detail| refusal(spec, detail))),
        }
    }
    let clusters: BTreeSet<&ClusterName> = inputs.desired.imports.keys().map(|address| &address.cluster).collect();
    diagnostics.extend(clusters.into_iter().filter_map(|name| led(inputs, name)));
    diagnostics
}

fn refusal(spec: &ImportSpec, detail: String) -> Diagnostic {
    Diagnostic::error("Server cannot be imported", detail).at(spec.span.clone())
}

/// Returns why the servers of a cluster that is not recorded do not make one cluster.
fn led(inputs: Inputs<'_>, name: &ClusterName) -> Option<Diagnostic> {
    if inputs.recorded.clusters.contains_key(name) {
        return None;
    }
    let imports = of_cluster(inputs, name);
    let (first, _) = imports.first()?;
    let spec = inputs.desired.imports.get(first)?;
    let primaries: Vec<&NodeAddress> = imports
        .iter()
        .filter(|(_, import)| !import.in_recovery)
        .map(|(address, _)| address)
        .collect();
    let pin = inputs
        .desired
        .clusters
        .get(name)
        .and_then(|cluster| cluster.primary.as_ref());
    match primaries[..] {
        [primary] => pin.filter(|pin| **pin != primary.node).map(|pin| {
            let detail = format!(
                "The server of {primary} writes, and cluster.{name} declares primary = \"{pin}\". Import it with primary = \"{}\", \
                 and change that afterwards: the change is a switchover.",
                primary.node
            );
            refusal(spec, detail)
        }),
        [] => Some(refusal(
            spec,
            format!(
                "None of the servers that cluster.{name} is imported from writes. Import its primary, too: a standby has no cluster \
                 to follow otherwise."
            ),
        )),
        [one, other, ..] => Some(refusal(
            spec,
            format!(
                "The servers of {one} and of {other} both write, so they are two clusters. Import one of them, and make a standby \
                 of the other, or declare a cluster for each."
            ),
        )),
    }
}

/// Returns why a server does not fit the cluster that it is imported into.
fn misfit(inputs: Inputs<'_>, address: &NodeAddress, import: &Import) -> Option<String> {
    let name = &address.cluster;
    let recorded = inputs.recorded.clusters.get(name);
    let imports = of_cluster(inputs, name);
    let version = recorded.map_or_else(
        || imports.first().map(|(_, first)| first.facts.version),
        |it| Some(it.version),
    )?;
    if version != import.facts.version {
        return Some(format!(
            "{} holds data of version {}, and the other nodes of cluster.{name} have version {version}.",
            import.facts.directory, import.facts.version
        ));
    }
    let (primary, identifier) = if let Some(election) = inputs.recorded.elections.get(name) {
        let primary = address.sibling(&election.primary);
        let node = inputs.recorded.nodes.get(&primary)?;
        (primary, node.data.as_ref()?.system_identifier)
    } else {
        let mut primaries = imports.iter().filter(|(_, import)| !import.in_recovery);
        let (primary, import) = primaries.next()?;
        (primary.clone(), import.system_identifier)
    };
    if *address == primary {
        return None;
    }
    if identifier != import.system_identifier {
        return Some(format!(
            "{} holds the data of another cluster: its system identifier is {}, and that of {primary} is {identifier}. Remove the \
             import block, and the standby is copied from {}.",
            import.facts.directory, import.system_identifier, primary.node
        ));
    }
    if !import.in_recovery {
        return Some(format!(
            "The server of {address} writes, and {primary} leads the cluster."
        ));
    }
    let spec = inputs.desired.clusters.get(name)?.nodes.get(&address.node)?;
    let upstream = spec
        .follows
        .as_ref()
        .map_or(primary, |follows| address.sibling(follows));
    stream(inputs, address, import, &upstream)
}

/// Returns why a standby does not follow whom it is to. One whose primary was imported by a run that was cut off is no longer let in
/// there, and streams again once it is imported.
fn stream(inputs: Inputs<'_>, address: &NodeAddress, import: &Import, upstream: &NodeAddress) -> Option<String> {
    let recorded = inputs.recorded.nodes.get(upstream).and_then(|node| node.place.as_ref());
    let imported = pending(inputs, upstream).and_then(|import| Some(import.facts.server?.listen));
    let listens = imported.or(recorded.map(|place| place.bind))?;
    let server = import.server.as_ref()?;
    match &server.receiver {
        Some(receiver) if receiver.port != listens.port => Some(format!(
            "The standby of {address} streams from {}:{}, and {upstream} listens at {listens}. Let it stream from there first, or set \
             follows in its node block.",
            receiver.host, receiver.port
        )),
        None if recorded.is_none() => Some(format!(
            "The standby of {address} streams from no server, and it is to follow {upstream}. Let it stream from there first."
        )),
        _ => None,
    }
}
