//! `-refresh-only`: the record takes over what was seen, and nothing changes on servers.
//!
//! What is accepted is what a configuration could declare: attributes, memberships and settings of logins, owners and
//! settings of databases, logins and databases that are gone, and parameters of nodes. What keeps a cluster going is never
//! accepted: servers that are down, data, roles, slots, routes, and the logins that simdb needs. Neither is what could not be
//! compared, nor what may hold a secret.

use std::collections::BTreeMap;

use simdb_state::address::{Address, NodeAddress};
use simdb_state::delta::{Edit, Instance};
use simdb_state::object::{Node, State};

use super::drift::{Drift, FileDifference};
use super::lower::Draft;
use super::pairs::pairs;
use super::scope::Scope;
use super::{Inputs, Planned, before, diff, intend};
use crate::desired::{Desired, LocalSettings};
use crate::engine::parameters::Release;
use crate::engine::{self, conf, instance};
use crate::plan::{Action, Change, FORMAT, Plan};

/// Makes the plan that lets the record say what was seen. What it leaves is told as what a plan for the record would do.
pub fn refresh(inputs: Inputs<'_>, scope: &Scope) -> Planned {
    let local = &inputs.desired.local;
    let accepted = accepted(inputs, local, scope);
    let (changes, edits) = differences(inputs.recorded, &accepted);
    let reasons: BTreeMap<&Address, String> = changes.iter().map(|change| (&change.address, reason(change))).collect();
    let step = |(address, edits): (Address, Vec<Edit>)| {
        let reason = reasons.get(&address).cloned().unwrap_or_default();
        Draft::new(address, Action::Record {}, reason, edits)
    };
    let steps = edits.into_iter().map(step).collect();
    let desired = Desired::recorded(&accepted, local.clone());
    let left = super::plan_within(
        Inputs {
            desired: &desired,
            recorded: &accepted,
            observed: inputs.observed,
            proposal: None,
        },
        scope,
    );
    let mut notes = left.plan.notes;
    // A proof that is due follows from what else is done.
    let mending = left
        .plan
        .steps
        .iter()
        .filter(|step| !matches!(step.action, Action::Verify { .. }));
    notes.extend(mending.map(|step| {
        format!(
            "What differs of {} is not accepted ({}): the next apply mends it.",
            step.address, step.reason
        )
    }));
    Planned {
        plan: Plan {
            format: FORMAT,
            moves: Vec::new(),
            changes,
            steps,
            notes,
        },
        after: accepted,
        diagnostics: left.diagnostics,
        not_compared: left.not_compared,
        found: left.found,
        differing: left.differing,
    }
}

/// Returns the record as it is once what was seen is accepted.
fn accepted(inputs: Inputs<'_>, local: &LocalSettings, scope: &Scope) -> State {
    let recorded = inputs.recorded;
    let desired = Desired::recorded(recorded, local.clone());
    let inputs = Inputs {
        desired: &desired,
        proposal: None,
        ..inputs
    };
    let (before, _) = before::before(recorded, inputs.observed);
    let (intended, _) = intend::intend(inputs, &before);
    let mut accepted = recorded.clone();
    accepted.users.retain(|address, user| {
        if engine::is_implicit(&address.user) || !scope.contains(&address.clone().into()) {
            return true;
        }
        let seen = before.users.get(address);
        seen.inspect(|seen| user.clone_from(seen)).is_some()
    });
    accepted.databases.retain(|address, database| {
        if !scope.contains(&address.clone().into()) {
            return true;
        }
        let seen = before.databases.get(address);
        seen.inspect(|seen| database.clone_from(seen)).is_some()
    });
    let databases = &accepted.databases;
    accepted.seeds.retain(|address, seed| {
        let mut of_cluster = databases.keys().filter(|database| database.cluster == address.cluster);
        of_cluster.any(|database| database.database == seed.database)
    });
    for (address, node) in &mut accepted.nodes {
        let seen = before.nodes.get(address).and_then(|seen| seen.image.as_ref());
        if scope.contains(&address.clone().into()) && node.image.is_some() && seen.is_some() {
            node.image = seen.cloned();
        }
        if let Some(seen) = before
            .nodes
            .get(address)
            .filter(|_| scope.contains(&address.clone().into()))
        {
            node.resources = seen.resources;
        }
    }
    for (address, drift) in &intended.drift {
        if !scope.contains(&address.clone().into()) {
            continue;
        }
        let release = recorded.clusters.get(&address.cluster).map(Release::from);
        if let Some((node, release)) = accepted.nodes.get_mut(address).zip(release) {
            accept_parameters(node, release, drift);
        }
    }
    accepted
}

/// Takes over the parameters that a server was given by other means than its files: those are written again as a whole, with
/// whatever else was edited there.
fn accept_parameters(node: &mut Node, release: Release, drift: &Drift) {
    let by_hand =
        |(name, file): (&String, &FileDifference)| *file == FileDifference::Edited && !instance::is_altered(name);
    let edited = drift.files.iter().any(by_hand);
    if drift.foreign || edited {
        return;
    }
    for (name, (has, _)) in &drift.settings {
        if release.is_text(name) || conf::is_owned(name) {
            continue;
        }
        match has {
            Some(value) => drop(node.parameters.insert(name.clone(), release.shown(name, value))),
            None => drop(node.parameters.remove(name)),
        }
    }
}

/// Returns what the record takes over, as changes and as edits by address.
fn differences(recorded: &State, accepted: &State) -> (Vec<Change>, BTreeMap<Address, Vec<Edit>>) {
    let mut changes = Vec::new();
    let mut edits: BTreeMap<Address, Vec<Edit>> = BTreeMap::new();
    for (address, old, new) in pairs(&recorded.nodes, &accepted.nodes).filter(|(_, old, new)| old != new) {
        let (old, new) = (old.map(|old| &**old), new.map(|new| &**new));
        changes.extend(diff::of_node(address, old, new));
        edits.insert(
            address.clone().into(),
            new.and_then(|new| instance(address, new)).into_iter().collect(),
        );
    }
    for (address, old, new) in pairs(&recorded.users, &accepted.users).filter(|(_, old, new)| old != new) {
        changes.extend(diff::of_user(address, old, new));
        let edit = match new {
            Some(new) => Edit::User(address.clone(), new.clone()),
            None => Edit::Drop(address.clone().into()),
        };
        edits.insert(address.clone().into(), vec![edit]);
    }
    for (address, old, new) in pairs(&recorded.databases, &accepted.databases).filter(|(_, old, new)| old != new) {
        changes.extend(diff::of_database(address, old, new));
        let edit = match new {
            Some(new) => Edit::Database(address.clone(), new.clone()),
            None => Edit::Drop(address.clone().into()),
        };
        edits.insert(address.clone().into(), vec![edit]);
    }
    for (address, old, new) in pairs(&recorded.seeds, &accepted.seeds).filter(|(_, old, new)| old != new) {
        changes.extend(diff::of_seed(address, old, new));
        edits.insert(address.clone().into(), vec![Edit::Drop(address.clone().into())]);
    }
    changes.sort_by(|a, b| a.address.cmp(&b.address));
    (changes, edits)
}

fn instance(address: &NodeAddress, node: &Node) -> Option<Edit> {
    Some(Edit::Instance(Box::new(Instance {
        node: address.clone(),
        platform: node.platform.clone(),
        place: node.place.clone()?,
        image: node.image.clone(),
        resources: node.resources,
        parameters: node.parameters.clone(),
    })))
}

/// Says what the record takes over: `seen: owner, settings.work_mem`.
fn reason(change: &Change) -> String {
    let differ = change
        .attributes
        .iter()
        .filter(|attribute| attribute.before != attribute.after);
    let names: Vec<&str> = differ.map(|attribute| &*attribute.name).collect();
    match change.action {
        crate::plan::ChangeAction::Delete => "it is gone, and the record forgets it".to_owned(),
        _ => format!("the record takes over what was seen: {}", names.join(", ")),
    }
}
