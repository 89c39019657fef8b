//! What is there, as far as anybody can tell: observed where it could be looked at, else recorded.

mod access;
mod gap;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::NodeAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::{Listen, Node, Power, State};

use super::entry::entry as entry_of;
use super::intended::Intended;
use crate::observed::{NodeFacts, Observation, Observed, ProcessFacts, ServerFacts};

pub(super) use access::primary_server;
pub(super) use gap::{Gap, gap, held, starts_later};

/// Returns the record, corrected by what was seen, and what was noticed. What could not be looked at stays as recorded.
pub(super) fn before(recorded: &State, observed: &Observed) -> (State, Vec<String>) {
    let mut state = recorded.clone();
    for (address, node) in &mut state.nodes {
        match observed.nodes.get(address) {
            None | Some(Observation::Unknown(_)) => {}
            Some(Observation::Absent) => {
                // Its slots are on other nodes.
                *node = Node {
                    listen: node.listen,
                    slot: node.slot.take(),
                    left_slots: std::mem::take(&mut node.left_slots),
                    ..Node::default()
                }
            }
            Some(Observation::Seen(facts)) => correct(node, facts),
        }
    }
    correct_slots(&mut state, observed);
    correct_names(&mut state, observed);
    let notes = access::correct(&mut state, observed);
    correct_poolers(&mut state, observed);
    correct_endpoints(&mut state, observed);
    (state, notes)
}

/// Puts back what is recorded, not there, and no longer intended: all that is left of it is the record, and dropping that
/// is a change too.
pub(super) fn remember(before: &mut State, recorded: &State, intended: &Intended) {
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
pub(super) fn server<'a>(observed: &'a Observed, address: &NodeAddress) -> Option<&'a ServerFacts> {
    observed.nodes.get(address)?.seen()?.server.as_ref()?.seen()
}

/// Returns where a server listens: an interrupted run may have moved it already.
pub(super) fn listens(before: &State, observed: &Observed, address: &NodeAddress) -> Option<Listen> {
    let seen = observed.nodes.get(address).and_then(Observation::seen);
    seen.and_then(|facts| facts.listen)
        .or(before.nodes.get(address).and_then(|node| node.listen))
}

/// Returns whether a server was halted by a signal.
pub(super) fn is_halted(observed: &Observed, address: &NodeAddress) -> bool {
    let facts = observed.nodes.get(address).and_then(Observation::seen);
    facts.is_some_and(|facts| matches!(facts.process, ProcessFacts::Frozen { .. }))
}

fn correct(node: &mut Node, facts: &NodeFacts) {
    if node
        .data
        .as_ref()
        .is_some_and(|data| !facts.generations.contains(&data.generation))
    {
        node.data = None;
        node.role = None;
    }
    node.power = power(&facts.process);
}

fn power(process: &ProcessFacts) -> Power {
    match process {
        ProcessFacts::Down | ProcessFacts::Frozen { .. } | ProcessFacts::Stopping { .. } => Power::Stopped,
        ProcessFacts::Running { .. } | ProcessFacts::Foreign { .. } => Power::Running,
    }
}

/// A recorded slot that its upstream does not have is not there. One whose upstream is down is believed; where it is
/// gone, the standby says so when it is started, and the next plan sees it.
///
/// Slots go with the data of the node that keeps them.
///
/// A standby that needs log which its upstream no longer has can never stream again, whether its server runs and answers
/// or is down: its data is worth nothing, and is cloned anew.
fn correct_slots(state: &mut State, observed: &Observed) {
    let keepers: BTreeSet<NodeAddress> = state
        .nodes
        .iter()
        .filter(|(_, node)| node.data.is_some())
        .map(|(address, _)| address.clone())
        .collect();
    for (address, node) in &mut state.nodes {
        let Some(slot) = &node.slot else { continue };
        let upstream = address.sibling(&slot.upstream);
        if !keepers.contains(&upstream) {
            node.slot = None;
            continue;
        }
        let Some(upstream) = server(observed, &upstream) else {
            continue;
        };
        let found = upstream.slots.get(&slot.name);
        let lost = found.is_some_and(|slot| slot.wal_status.as_deref() == Some("lost"));
        if gap::gap(address, node, observed).is_some() {
            node.data = None;
            node.role = None;
        }
        if lost || found.is_none() {
            node.slot = None;
        }
    }
}

/// Commits wait for those that the primary says they wait for: the one on record, for whoever was elected may not lead yet.
fn correct_names(state: &mut State, observed: &Observed) {
    let clusters: Vec<ClusterName> = state.clusters.keys().cloned().collect();
    for name in clusters {
        let primary = match state.leader(&name) {
            Some(leader) => server(observed, leader),
            None => primary_server(state, observed, &name),
        };
        let Some(server) = primary.filter(|server| !server.in_recovery) else {
            continue;
        };
        if let Some(cluster) = state.clusters.get_mut(&name) {
            cluster.sync_rule = server.sync_rule();
        }
    }
}

/// A pooler whose home is gone is not there.
fn correct_poolers(state: &mut State, observed: &Observed) {
    for (address, endpoint) in &mut state.endpoints {
        let Some(pooler) = &mut endpoint.pooler else { continue };
        match observed.poolers.get(address) {
            None | Some(Observation::Unknown(_)) => {}
            Some(Observation::Absent) => endpoint.pooler = None,
            Some(Observation::Seen(facts)) => pooler.power = power(&facts.process),
        }
    }
}

/// A recorded endpoint whose entry is gone is not there, unless a pooler of it is; one whose entry leads elsewhere leads
/// nowhere we know of.
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
            Some(Observation::Seen(entry)) => {
                if *entry != entry_of(address, endpoint) {
                    endpoint.hosts.clone_from(&entry.hosts);
                    endpoint.nodes.clear();
                }
                true
            }
        });
}

/// Returns whether a node's home holds a copy of this cluster's data that nobody recorded: the work of a run that was
/// killed between the end of a step and its commit.
pub(super) fn unrecorded_generation(
    observed: &Observed,
    address: &NodeAddress,
    same_data: impl Fn(&NodeFacts) -> bool,
) -> Option<u32> {
    let facts = observed.nodes.get(address)?.seen()?;
    facts.generations.last().copied().filter(|_| same_data(facts))
}

/// Returns the number of the next data directory of a node: one that neither is there nor ever was. Where a recorded one
/// was removed, a copy of the same number would be taken for it.
pub(super) fn next_generation(recorded: &State, observed: &Observed, address: &NodeAddress) -> u32 {
    let seen = observed.nodes.get(address).and_then(Observation::seen);
    let newest = seen.and_then(|facts| facts.generations.last());
    let recorded = recorded.nodes.get(address).and_then(|node| node.data.as_ref());
    let recorded = recorded.map(|data| data.generation);
    newest.copied().max(recorded).map_or(1, |newest| newest + 1)
}
