//! What is there, as far as anybody can tell: observed where it could be looked at, else recorded.

mod access;

use std::collections::BTreeMap;

use simdb_state::address::NodeAddress;
use simdb_state::object::{Image, Network, Node, Power, State};
use simdb_state::place::Place;
use simdb_state::shared::Shared;

use super::intended::Intended;
use super::route;
use crate::engine;
use crate::observed::{NetworkFacts, NodeFacts, Observation, Observed, ProcessFacts, RouteFacts, ServerFacts};

pub(crate) use access::{correct_database, correct_user, primary_server};

/// Returns the record, corrected by what was seen, and what was noticed. What could not be looked at stays as recorded.
pub(crate) fn before(recorded: &State, observed: &Observed) -> (State, Vec<String>) {
    let mut state = recorded.clone();
    correct_networks(&mut state, observed);
    for (address, node) in &mut state.nodes {
        match observed.nodes.get(address) {
            None | Some(Observation::Unknown(_)) => {}
            Some(Observation::Absent) => {
                // Its slots are on other nodes.
                *node = Node {
                    platform: node.platform.take(),
                    place: node.place.take(),
                    slot: node.slot.take(),
                    left_slots: std::mem::take(&mut node.left_slots),
                    prevent_destroy: node.prevent_destroy,
                    ..Node::default()
                }
                .into();
            }
            Some(Observation::Seen(facts)) => correct(node, facts),
        }
    }
    engine::correct_replication(&mut state, observed);
    let notes = access::correct(&mut state, observed);
    engine::correct_poolers(&mut state, observed);
    correct_endpoints(&mut state, observed);
    (state, notes)
}

/// A network that its platform no longer has is made again, and one that has other addresses is told.
fn correct_networks(state: &mut State, observed: &Observed) {
    state
        .networks
        .retain(|name, _| observed.networks.get(name) != Some(&Observation::Absent));
    for (name, network) in &mut state.networks {
        let Some(facts) = observed.networks.get(name).and_then(Observation::seen) else {
            continue;
        };
        correct_parts(network, facts);
        if let Some(subnet) = &facts.subnet {
            network.subnet = Some(subnet.clone());
        }
    }
}

/// A part of a network that its platform no longer has, or has with other addresses, is not there; one that nobody recorded is.
fn correct_parts(network: &mut Network, facts: &NetworkFacts) {
    for (platform, part) in &facts.elsewhere {
        let is_there = match part {
            Observation::Unknown(_) => continue,
            Observation::Absent if *platform == network.platform => {
                network.subnet = None;
                continue;
            }
            Observation::Absent => false,
            Observation::Seen(subnet) => !network.also_on.contains(platform) || *subnet == network.subnet,
        };
        if is_there {
            network.also_on.insert(platform.clone());
        } else {
            network.also_on.remove(platform);
        }
    }
}

/// Puts back what is recorded, not there, and no longer intended: all that is left of it is the record, and dropping that
/// is a change too.
pub(crate) fn remember(before: &mut State, recorded: &State, intended: &Intended) {
    put_back(&mut before.networks, &recorded.networks, &intended.networks);
    put_back(&mut before.users, &recorded.users, &intended.users);
    put_back(&mut before.databases, &recorded.databases, &intended.databases);
    put_back(&mut before.seeds, &recorded.seeds, &intended.seeds);
    put_back(&mut before.endpoints, &recorded.endpoints, &intended.endpoints);
}

fn put_back<K: Ord + Clone, V: Clone, W>(
    before: &mut BTreeMap<K, V>,
    recorded: &BTreeMap<K, V>,
    intended: &BTreeMap<K, W>,
) {
    for (key, value) in recorded {
        if !intended.contains_key(key) {
            before.entry(key.clone()).or_insert_with(|| value.clone());
        }
    }
}

/// Returns what a node's running server says of itself.
pub(crate) fn server<'a>(observed: &'a Observed, address: &NodeAddress) -> Option<&'a ServerFacts> {
    observed.nodes.get(address)?.seen()?.server.as_ref()?.seen()
}

/// Returns where a server is: an interrupted run may have moved it already.
pub(crate) fn place(before: &State, observed: &Observed, address: &NodeAddress) -> Option<Place> {
    let recorded = before.nodes.get(address).and_then(|node| node.place.as_ref());
    let seen = observed.nodes.get(address).and_then(Observation::seen);
    let listen = seen.and_then(|facts| facts.listen);
    Place::seen(listen, seen.and_then(|facts| facts.published), recorded)
}

/// Returns whether a server was halted by a signal.
pub(crate) fn is_halted(observed: &Observed, address: &NodeAddress) -> bool {
    let facts = observed.nodes.get(address).and_then(Observation::seen);
    facts.is_some_and(|facts| matches!(facts.process, ProcessFacts::Frozen { .. }))
}

fn correct(node: &mut Shared<Node>, facts: &NodeFacts) {
    if node
        .data
        .as_ref()
        .is_some_and(|data| !facts.generations.contains(&data.generation))
    {
        node.data = None;
        node.role = None;
    }
    // A name that it is known by as well is no other image.
    let is_other = |seen: &&Image| node.image.as_ref().is_none_or(|noted| !noted.is_same(seen));
    if let Some(seen) = facts.image.as_ref().filter(is_other) {
        node.image = Some(seen.clone());
    }
    // What is as recorded goes on being shared.
    if let Some(resources) = facts.resources.filter(|seen| *seen != node.resources) {
        node.resources = resources;
    }
    let power = power(&facts.process);
    if power != node.power {
        node.power = power;
    }
}

pub(crate) fn power(process: &ProcessFacts) -> Power {
    match process {
        ProcessFacts::Down | ProcessFacts::Frozen { .. } | ProcessFacts::Stopping { .. } => Power::Stopped,
        ProcessFacts::Running { .. } | ProcessFacts::Foreign { .. } => Power::Running,
    }
}

/// A recorded endpoint whose route is gone is not there, unless a pooler of it is; one that routes elsewhere routes to no
/// node that is known.
fn correct_endpoints(state: &mut State, observed: &Observed) {
    state
        .endpoints
        .retain(|address, endpoint| match observed.endpoints.get(address) {
            None | Some(Observation::Unknown(_)) => true,
            Some(Observation::Absent) => {
                endpoint.hosts.clear();
                endpoint.nodes.clear();
                endpoint.pooler.is_some()
            }
            Some(Observation::Seen(RouteFacts { hosts, hints })) => {
                if *hosts != endpoint.hosts || *hints != route::hints(endpoint) {
                    endpoint.hosts.clone_from(hosts);
                    endpoint.nodes.clear();
                }
                true
            }
        });
}

/// Returns whether a node's instance directory holds a copy of this cluster's data that nobody recorded: the work of a run that was
/// killed between the end of a step and its commit.
pub(crate) fn unrecorded_generation(
    observed: &Observed,
    address: &NodeAddress,
    same_data: impl Fn(&NodeFacts) -> bool,
) -> Option<u32> {
    let facts = observed.nodes.get(address)?.seen()?;
    facts.generations.last().copied().filter(|_| same_data(facts))
}

/// Returns the number of the next data directory of a node: one that neither is there nor ever was. Where a recorded one
/// was removed, a copy of the same number would be taken for it.
pub(crate) fn next_generation(recorded: &State, observed: &Observed, address: &NodeAddress) -> u32 {
    let seen = observed.nodes.get(address).and_then(Observation::seen);
    let newest = seen.and_then(|facts| facts.generations.last());
    let recorded = recorded.nodes.get(address).and_then(|node| node.data.as_ref());
    let recorded = recorded.map(|data| data.generation);
    newest.copied().max(recorded).map_or(1, |newest| newest + 1)
}
