//! Corrects what is recorded of replication by what PostgreSQL's servers say.

use std::collections::BTreeSet;

use simdb_state::address::NodeAddress;
use simdb_state::name::ClusterName;
use simdb_state::object::State;

use super::gap;
use crate::observed::Observed;
use crate::planner::before::{primary_server, server};

/// Corrects slots, and whom commits wait for.
pub(crate) fn correct_replication(state: &mut State, observed: &Observed) {
    correct_slots(state, observed);
    correct_rules(state, observed);
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
fn correct_rules(state: &mut State, observed: &Observed) {
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
