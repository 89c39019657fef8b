//! What the configuration could not be compared with. A plan without changes says nothing about it.

use std::collections::BTreeSet;

use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::object::Node;

use super::Inputs;
use crate::desired::Desired;
use crate::observed::{Control, Halt, NodeFacts, Observation, Observed, ProcessFacts};

/// Something that could not be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotCompared {
    /// What it is.
    pub address: Address,
    /// Why not: a fragment without a full stop.
    pub reason: String,
}

/// Returns what is declared, recorded or there and could not be compared. Where the record is believed on request,
/// nothing was to be looked at, and nothing is missing.
pub(super) fn not_compared(inputs: Inputs<'_>) -> Vec<NotCompared> {
    let Observed {
        platforms: _,
        networks,
        nodes,
        hidden: _,
        endpoints,
        poolers,
        tried: _,
        imports: _,
    } = inputs.observed;
    if nodes.is_empty() && endpoints.is_empty() && poolers.is_empty() {
        return Vec::new();
    }
    let mut all = Vec::new();
    let mut add = |address: Address, reason: Option<String>| {
        all.extend(reason.map(|reason| NotCompared { address, reason }));
    };
    for (name, observation) in networks {
        let reason = unknown("it", Some(observation));
        add(Address::Network(name.clone()), reason);
        let parts = observation.seen().into_iter().flat_map(|facts| &facts.elsewhere);
        for (platform, part) in parts {
            add(
                Address::Network(name.clone()),
                unknown(&format!("its part on {platform}"), Some(part)),
            );
        }
    }
    let (declared, recorded) = (declared(inputs.desired), inputs.recorded);
    let addresses: BTreeSet<&NodeAddress> = declared
        .0
        .iter()
        .chain(recorded.nodes.keys())
        .chain(nodes.keys())
        .collect();
    for address in addresses {
        let reason = node(recorded.node(address), nodes.get(address));
        add(address.clone().into(), reason);
    }
    let addresses = declared.1.iter().chain(recorded.endpoints.keys());
    let addresses: BTreeSet<&EndpointAddress> = addresses.chain(endpoints.keys()).collect();
    for address in addresses {
        let entry = unknown("its entry", endpoints.get(address));
        let recorded = recorded.endpoints.get(address);
        let has_one = recorded.is_some_and(|endpoint| endpoint.pooler.is_some());
        let seen = poolers.get(address);
        let pooler = (has_one || seen.is_some())
            .then(|| unknown("its pooler", seen))
            .flatten();
        add(address.clone().into(), entry.or(pooler));
    }
    all
}

/// Returns the nodes and endpoints that are declared.
fn declared(desired: &Desired) -> (BTreeSet<NodeAddress>, BTreeSet<EndpointAddress>) {
    let nodes = desired.clusters.iter().flat_map(|(cluster, spec)| {
        spec.nodes.keys().map(|node| NodeAddress {
            cluster: cluster.clone(),
            node: node.clone(),
        })
    });
    let endpoints = desired.clusters.iter().flat_map(|(cluster, spec)| {
        spec.endpoints.keys().map(|endpoint| EndpointAddress {
            cluster: cluster.clone(),
            endpoint: endpoint.clone(),
        })
    });
    (nodes.collect(), endpoints.collect())
}

fn unknown<T>(what: &str, observation: Option<&Observation<T>>) -> Option<String> {
    match observation {
        None => Some(format!("{what} was not looked at")),
        Some(Observation::Unknown(reason)) => Some(format!("{what} could not be looked at: {reason}")),
        Some(Observation::Absent | Observation::Seen(_)) => None,
    }
}

fn node(recorded: Option<&Node>, observation: Option<&Observation<NodeFacts>>) -> Option<String> {
    let Some(Observation::Seen(facts)) = observation else {
        return unknown("it", observation);
    };
    let data = recorded.and_then(|node| node.data.as_ref());
    if data.is_some_and(|data| !facts.generations.contains(&data.generation)) {
        // What a server says that has lost its data counts for nothing.
        return None;
    }
    match (&facts.process, &facts.server) {
        (ProcessFacts::Down, _) => match &facts.control {
            Control::Unknown(reason) => Some(format!("its server is down, and its data could not be read: {reason}")),
            Control::Absent | Control::Damaged | Control::Seen(_) => None,
        },
        (ProcessFacts::Frozen { by, .. }, _) => Some(halted(*by).to_owned()),
        (ProcessFacts::Stopping { .. }, _) => Some("its server was told to stop and has not ended yet".to_owned()),
        (_, Some(Observation::Seen(_))) => None,
        (_, Some(Observation::Unknown(reason))) => Some(format!("its server could not be asked: {reason}")),
        (_, Some(Observation::Absent) | None) => Some("its server was not asked".to_owned()),
    }
}

fn halted(by: Halt) -> &'static str {
    match by {
        Halt::Signal => "its server was halted by a signal (SIGSTOP)",
        Halt::Pause => "its server is paused",
        Halt::Detached => "its server is cut off from its network",
    }
}
