//! What keeps servers that were made without simdb from becoming nodes.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::NodeAddress;
use simdb_state::name::ClusterName;

use super::{Import, is_recorded, of_cluster, pending};
use crate::desired::ImportSpec;
use crate::diagnostic::Diagnostic;
use crate::observed::Observation;
use crate::planner::Inputs;

/// Returns what keeps servers from becoming nodes.
pub(in crate::planner) fn refusals(inputs: Inputs<'_>) -> Vec<Diagnostic> {
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
    let (primary, identity) = if let Some(election) = inputs.recorded.elections.get(name) {
        let primary = address.sibling(&election.primary);
        let node = inputs.recorded.nodes.get(&primary)?;
        (primary, &node.data.as_ref()?.identity)
    } else {
        let mut primaries = imports.iter().filter(|(_, import)| !import.in_recovery);
        let (primary, import) = primaries.next()?;
        (primary.clone(), &import.identity)
    };
    if *address == primary {
        return None;
    }
    if *identity != import.identity {
        return Some(format!(
            "{} holds the data of another cluster: its system identifier is {}, and that of {primary} is {identity}. Remove the \
             import block, and the standby is copied from {}.",
            import.facts.directory, import.identity, primary.node
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
