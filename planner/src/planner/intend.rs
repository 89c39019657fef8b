//! Configuration, election and facts in; what every object should be, out. Who leads is decided in `election` alone.

mod access;
mod cluster;
mod crowded;
mod data;
mod election;
mod endpoint;
mod image;
mod limits;
mod node;
mod reach;
mod replication;

pub(crate) use self::cluster::Declaration;
pub(crate) use self::data::Holder;

use std::collections::BTreeMap;

use simdb_state::address::NodeAddress;
use simdb_state::object::{Network, State};

use super::Inputs;
use super::addressing::Addressing;
use super::drift::{self, Drift};
use super::imports;
use super::intended::{DataGoal, Intended, replication_password};
use crate::diagnostic::Diagnostic;
use crate::engine::instance::{self, REPLICATION_USER};
use crate::engine::replay;
use crate::observed::Observation;

/// Returns what every object should be, and what keeps some from being so. A cluster that cannot be told is left out.
pub(super) fn intend(inputs: Inputs<'_>, before: &State) -> (Intended, Vec<Diagnostic>) {
    let mut intended = Intended {
        made_as: before.made_as.clone(),
        ..Intended::default()
    };
    let mut diagnostics = Vec::new();
    for (name, spec) in &inputs.desired.networks {
        let recorded = inputs.recorded.networks.get(name);
        if let Some(on) = recorded.filter(|recorded| recorded.platform != spec.platform) {
            let detail = format!(
                "network.{name} is on platform \"{}\", and cannot move to \"{}\". Declare another network there.",
                on.platform, spec.platform
            );
            diagnostics.push(Diagnostic::error("Platform cannot be changed", detail).at(spec.span.clone()));
        }
        intended.networks.insert(
            name.clone(),
            Network {
                platform: spec.platform.clone(),
                subnet: spec.subnet.map(|subnet| subnet.to_string()),
                also_on: inputs.desired.also_on(name),
            },
        );
    }
    let pending = |address: &NodeAddress| Some((address.clone(), imports::pending(inputs, address)?));
    intended.imports = inputs.desired.imports.keys().filter_map(pending).collect();
    let mut addressing = Addressing::new(inputs.desired, before, inputs.observed);
    for (name, spec) in &inputs.desired.clusters {
        let found = cluster::Declaration {
            inputs,
            before,
            name,
            spec,
        }
        .cluster(&mut addressing, &mut intended);
        diagnostics.extend(found);
    }
    let spread = intended.clusters.keys().filter(|name| intended.is_spread(name));
    intended.spread = spread.cloned().collect();
    intended.limits = limits::limits(inputs, before, &intended);
    diagnostics.extend(limits::below_primary(inputs, before, &intended));
    diagnostics.extend(crowded::crowded(inputs, &intended));
    intended.drift = drifts(inputs, before, &intended);
    (intended, diagnostics)
}

/// Looks for drift on every node that stays what it is and runs.
fn drifts(inputs: Inputs<'_>, before: &State, intended: &Intended) -> BTreeMap<NodeAddress, Drift> {
    let mut drifts = BTreeMap::new();
    for (address, observation) in &inputs.observed.nodes {
        let (Some(facts), Some(node)) = (observation.seen(), intended.nodes.get(address)) else {
            continue;
        };
        let Some(cluster) = intended.clusters.get(&address.cluster) else {
            continue;
        };
        if matches!(node.data, DataGoal::Keep(_)) {
            // A password that changes is written by the step that changes it, wherever that was interrupted.
            let old = before.users.get(&instance::user(&address.cluster, REPLICATION_USER));
            let rotated = old.is_some() && {
                let old = replication_password(&before.users, &address.cluster);
                old != intended.replication_password(&address.cluster)
            };
            let mut context = intended.context(address, node, cluster);
            if node.role.writes().is_some() {
                context.sync_rule.clone_from(&cluster.sync.present);
            }
            let mut found = drift::drift(&context, facts, rotated);
            let is_ignored = |name: &str| inputs.desired.ignores_parameter(address, name);
            found = found.and_then(|drift| drift.ignoring(context.release, is_ignored));
            if matches!(facts.server, Some(Observation::Seen(_))) {
                found = found.and_then(Drift::settled);
            }
            if intended.limits.waiting.contains(address) {
                found = found.and_then(|drift| drift.without(context.release, replay::is_limit));
            }
            drifts.extend(found.map(|drift| (address.clone(), drift)));
        }
    }
    drifts
}
