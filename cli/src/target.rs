//! Which node or cluster is meant: full addresses, and the short forms people type.

use std::collections::BTreeSet;

use simdb_state::address::{InstanceAddress, NodeAddress};
use simdb_state::name::ClusterName;
use simdb_state::object::State;

use crate::error::CliError;

/// How similar a name must be to be suggested.
const SIMILAR: f64 = 0.6;

/// Finds a node: `cluster.orders.node.r[0]`, `orders.r[0]`, or `r[0]` where one cluster alone has it.
pub(crate) fn node(state: &State, text: &str) -> Result<NodeAddress, CliError> {
    let matching = state
        .nodes
        .keys()
        .filter(|address| spellings(address).iter().any(|spelling| spelling == text));
    let matching: Vec<&NodeAddress> = matching.collect();
    match matching[..] {
        [address] => Ok(address.clone()),
        [] => Err(unknown("node", text, state.nodes.keys().flat_map(spellings))),
        _ => {
            let all: Vec<String> = matching
                .iter()
                .map(|address| format!("{}.{}", address.cluster, address.node))
                .collect();
            let detail = format!(
                "Several clusters have a node \"{text}\". Say which one: {}.",
                all.join(", ")
            );
            Err(CliError::refused("Ambiguous node", detail))
        }
    }
}

/// Finds a node, or an endpoint with a pooler: `cluster.orders.endpoint.rw`, `orders.rw`.
pub(crate) fn instance(state: &State, text: &str) -> Result<InstanceAddress, CliError> {
    let poolers = state.endpoints.iter().filter(|(_, endpoint)| endpoint.pooler.is_some());
    let mut poolers = poolers.map(|(address, _)| address);
    let pooler = poolers.find(|address| {
        let short = format!("{}.{}", address.cluster, address.endpoint);
        address.to_string() == text || short == text
    });
    match node(state, text) {
        Ok(node) => Ok(InstanceAddress::Node(node)),
        Err(error) => pooler.map(InstanceAddress::from).ok_or(error),
    }
}

/// Finds a node of a cluster: `r[0]`, or any spelling of its address.
pub(crate) fn member(state: &State, cluster: &ClusterName, text: &str) -> Result<NodeAddress, CliError> {
    let members = || state.nodes_of(cluster).map(|(address, _)| address);
    let found = members().find(|address| spellings(address).iter().any(|spelling| spelling == text));
    found
        .cloned()
        .ok_or_else(|| unknown("node", text, members().map(|address| address.node.to_string())))
}

/// Finds a cluster: `orders`, `cluster.orders`.
pub(crate) fn cluster(state: &State, text: &str) -> Result<ClusterName, CliError> {
    let name = text.strip_prefix("cluster.").unwrap_or(text);
    let found = state.clusters.keys().find(|cluster| cluster.as_str() == name);
    found
        .cloned()
        .ok_or_else(|| unknown("cluster", text, state.clusters.keys().map(ToString::to_string)))
}

/// Finds the nodes meant: all of a cluster, or one.
pub(crate) fn nodes(state: &State, text: &str) -> Result<BTreeSet<NodeAddress>, CliError> {
    match cluster(state, text) {
        Ok(cluster) => Ok(state.nodes_of(&cluster).map(|(address, _)| address.clone()).collect()),
        Err(_) => Ok(BTreeSet::from([node(state, text)?])),
    }
}

/// Finds the server meant: a node, a cluster's primary, or without a text the primary of the only cluster.
pub(crate) fn server(state: &State, text: Option<&str>) -> Result<NodeAddress, CliError> {
    let Some(text) = text else {
        return primary(state, &only_cluster(state)?);
    };
    match cluster(state, text) {
        Ok(cluster) => primary(state, &cluster),
        Err(_) => node(state, text),
    }
}

/// Finds the cluster meant: the one that is named, or without a name the only one.
pub(crate) fn cluster_or_only(state: &State, text: Option<&str>) -> Result<ClusterName, CliError> {
    text.map_or_else(|| only_cluster(state), |text| cluster(state, text))
}

fn only_cluster(state: &State) -> Result<ClusterName, CliError> {
    let names: Vec<&ClusterName> = state.clusters.keys().collect();
    match names[..] {
        [name] => Ok(name.clone()),
        [] => Err(CliError::refused(
            "No cluster",
            "No cluster is recorded. Make one first: simdb apply",
        )),
        _ => {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            let detail = format!("There are several clusters. Name one of them: {}.", names.join(", "));
            Err(CliError::refused("Ambiguous cluster", detail))
        }
    }
}

fn primary(state: &State, cluster: &ClusterName) -> Result<NodeAddress, CliError> {
    state.leader(cluster).cloned().ok_or_else(|| {
        let detail = format!("Cluster \"{cluster}\" has no primary recorded. Look at it with: simdb status {cluster}");
        CliError::refused("No primary", detail)
    })
}

fn spellings(address: &NodeAddress) -> [String; 3] {
    let NodeAddress { cluster, node } = address;
    [node.to_string(), format!("{cluster}.{node}"), address.to_string()]
}

/// Says that there is no such thing, and names the one that was probably meant.
pub(crate) fn unknown(kind: &str, text: &str, all: impl IntoIterator<Item = String>) -> CliError {
    let mut scored: Vec<(f64, String)> = all
        .into_iter()
        .map(|name| (strsim::jaro_winkler(text, &name), name))
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let meant = scored.first().filter(|(score, _)| *score >= SIMILAR);
    let detail = match (meant, scored.is_empty()) {
        (Some((_, name)), _) => format!("There is no {kind} \"{text}\". Did you mean \"{name}\"?"),
        (None, false) => {
            let mut names: Vec<String> = scored.into_iter().map(|(_, name)| name).collect();
            names.sort();
            format!("There is no {kind} \"{text}\", but: {}.", names.join(", "))
        }
        (None, true) => format!("There is no {kind} \"{text}\": none is recorded. Make one first: simdb apply"),
    };
    CliError::refused(&format!("No such {kind}"), detail)
}

#[cfg(test)]
mod tests;
