//! What was made or set on servers without simdb, and no plan takes back.
//!
//! Replication slots: something may read them, so that no plan drops them; they retain WAL until the disk is full. And what
//! sessions begin with that simdb's own are among: those of all roles, of its superuser and of its database.

use std::collections::BTreeSet;

use simdb_state::address::{Address, NodeAddress};
use simdb_state::name::ClusterName;
use simdb_state::object::{Settings, Slot, State};

use super::facts::SlotFacts;
use super::logins::{DATABASE, SUPERUSER};
use crate::observed::ServerFacts;
use crate::planner::before::{primary_server, server};
use crate::planner::found::Finding;
use crate::planner::intended::Intended;
use crate::planner::{Inputs, Proposal};
use crate::text::bytes;

/// Returns all that is neither recorded nor intended. What is destroyed takes it along.
pub(crate) fn strays(inputs: Inputs<'_>, intended: &Intended) -> Vec<Finding> {
    if inputs.proposal == Some(&Proposal::Destroy) {
        return Vec::new();
    }
    let clusters = inputs.recorded.clusters.keys();
    let asked = clusters.filter_map(|name| Some((name, primary_server(inputs.recorded, inputs.observed, name)?)));
    let mut found: Vec<Finding> = asked.flat_map(|(name, server)| settings(name, server)).collect();
    found.extend(slots(inputs, intended));
    found
}

/// Returns what every session begins with, and what those of simdb begin with.
fn settings(cluster: &ClusterName, server: &ServerFacts) -> Vec<Finding> {
    let superuser = server.users.get(SUPERUSER).map(|role| &role.settings);
    let of_superuser = superuser
        .into_iter()
        .flatten()
        .map(|(database, settings)| match database.as_str() {
            "" => (format!("role \"{SUPERUSER}\""), format!("ROLE {SUPERUSER}"), settings),
            database => (
                format!("role \"{SUPERUSER}\" in database \"{database}\""),
                format!("ROLE {SUPERUSER} IN DATABASE \\\"{database}\\\""),
                settings,
            ),
        });
    let of_all = ("every role".to_owned(), "ROLE ALL".to_owned(), &server.settings_of_all);
    let own = server.databases.get(DATABASE).map(|database| &database.settings);
    let own = own.map(|settings| {
        (
            format!("database \"{DATABASE}\""),
            format!("DATABASE {DATABASE}"),
            settings,
        )
    });
    let all = std::iter::once(of_all).chain(of_superuser).chain(own);
    all.flat_map(|(whose, target, settings)| set_by_hand(cluster, &whose, &target, settings))
        .collect()
}

fn set_by_hand(cluster: &ClusterName, whose: &str, target: &str, settings: &Settings) -> Vec<Finding> {
    let finding = |name: &String| Finding {
        address: Address::Cluster(cluster.clone()),
        attribute: format!("settings.{name}"),
        cause: format!("{name} is set for {whose}, and simdb did not set it"),
        remedy: format!(
            "An apply leaves it as it is. To reset it: simdb psql {cluster} -- -c \"ALTER {target} RESET {name}\""
        ),
    };
    settings.keys().map(finding).collect()
}

/// Returns the slots on recorded nodes.
fn slots(inputs: Inputs<'_>, intended: &Intended) -> Vec<Finding> {
    let mut found = Vec::new();
    for address in inputs.recorded.nodes.keys() {
        let Some(server) = server(inputs.observed, address).filter(|server| !server.slots.is_empty()) else {
            continue;
        };
        let own = own(address, inputs.recorded, intended);
        let foreign = server
            .slots
            .iter()
            .filter(|(name, slot)| !slot.transient && !own.contains(name.as_str()));
        found.extend(foreign.map(|(name, slot)| finding(address, name, slot, server)));
    }
    found
}

/// Returns the names of the slots that a node keeps, or is to keep, for the standbys of its cluster.
fn own<'a>(keeper: &'a NodeAddress, recorded: &'a State, intended: &'a Intended) -> BTreeSet<&'a str> {
    let recorded = recorded.nodes_of(&keeper.cluster);
    let recorded = recorded.flat_map(|(_, node)| node.slot.iter().chain(&node.left_slots));
    let intended = intended
        .nodes_of(&keeper.cluster)
        .filter_map(|(_, node)| node.slot.as_ref());
    let on_it = |slot: &&Slot| slot.upstream == keeper.node;
    recorded
        .chain(intended)
        .filter(on_it)
        .map(|slot| slot.name.as_str())
        .collect()
}

fn finding(address: &NodeAddress, name: &str, slot: &SlotFacts, server: &ServerFacts) -> Finding {
    let kind = match &slot.database {
        Some(database) => format!("logical slot \"{name}\" of database \"{database}\""),
        None => format!("physical slot \"{name}\""),
    };
    let retained = match (slot.wal_status.as_deref(), slot.restart) {
        (Some("lost"), _) => "has lost the WAL that it needs".to_owned(),
        (_, Some(restart)) => {
            format!("retains {} of WAL", bytes(server.position.ahead_of(restart)))
        }
        (_, None) => "retains no WAL yet".to_owned(),
    };
    let used = if slot.active { "is in use" } else { "is not in use" };
    Finding {
        address: address.clone().into(),
        attribute: format!("slots.{name}"),
        cause: format!("{kind} was not made by simdb, {retained} and {used}"),
        remedy: format!(
            "An apply leaves it as it is. Where nothing needs it, drop it: simdb psql {}.{} -- -c \"SELECT \
             pg_drop_replication_slot('{name}')\"",
            address.cluster, address.node
        ),
    }
}
