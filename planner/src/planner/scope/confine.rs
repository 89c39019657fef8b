//! The configuration as it is where only a part of it counts: the rest is as it is recorded.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::State;

use super::Scope;
use crate::desired::access::{AccessSpec, database_address, seed_address, user_address};
use crate::desired::{ClusterSpec, Desired, ReplicationSpec};

/// Returns what is declared inside a scope, and what is recorded outside of it. What an object inside needs and is not
/// recorded comes with it; what needs an object that is left out is left out, too.
pub(crate) fn confine(desired: &Desired, recorded: &State, scope: &Scope) -> Desired {
    let mut kept = Desired::recorded(recorded, desired.local.clone());
    let in_scope = |name: &_| scope.contains(&Address::Network(Clone::clone(name)));
    kept.networks = merged(&kept.networks, &desired.networks, in_scope);
    let names: BTreeSet<ClusterName> = kept.clusters.keys().chain(desired.clusters.keys()).cloned().collect();
    for name in names {
        let spec = match (kept.clusters.remove(&name), desired.clusters.get(&name)) {
            (None, Some(new)) => made(&name, new, scope),
            (Some(old), Some(new)) => Some(changed(&name, &old, new, scope)),
            (Some(old), None) => removed(&name, &old, scope),
            (None, None) => None,
        };
        if let Some(spec) = spec {
            if let Some(network) = desired.networks.get(&spec.network) {
                kept.networks
                    .entry(spec.network.clone())
                    .or_insert_with(|| network.clone());
            }
            kept.clusters.insert(name, spec);
        }
    }
    let clusters: BTreeSet<ClusterName> = kept.clusters.keys().cloned().collect();
    let made = |(node, _): &(&NodeAddress, _)| {
        let cluster = kept.clusters.get(&node.cluster);
        cluster.is_some_and(|cluster| cluster.nodes.contains_key(&node.node))
    };
    kept.imports = desired
        .imports
        .iter()
        .filter(made)
        .map(|(node, import)| (node.clone(), import.clone()))
        .collect();
    for spec in kept.clusters.values_mut() {
        spec.depends_on.retain(|cluster| clusters.contains(cluster));
    }
    kept
}

/// Takes what is inside from the new side, and the rest from the old one.
fn merged<K: Ord + Clone, V: Clone>(
    old: &BTreeMap<K, V>,
    new: &BTreeMap<K, V>,
    in_scope: impl Fn(&K) -> bool,
) -> BTreeMap<K, V> {
    let old = old.iter().filter(|(key, _)| !in_scope(key));
    let new = new.iter().filter(|(key, _)| in_scope(key));
    old.chain(new)
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// Returns a cluster that is not recorded: as a whole where anything of it is inside, without what is excluded. Without its
/// first primary there is none.
fn made(name: &ClusterName, new: &ClusterSpec, scope: &Scope) -> Option<ClusterSpec> {
    if !scope.targets.is_empty() {
        let touched = new.addresses(name).iter().any(|address| scope.contains(address));
        return touched.then(|| new.clone());
    }
    if !scope.contains(&Address::Cluster(name.clone())) {
        return None;
    }
    let mut spec = with_parts(name, new.clone(), None, new, scope);
    let first = new.primary.as_ref().unwrap_or(&new.first);
    spec.nodes.contains_key(first).then(|| {
        drop_dependents(&mut spec, None, new);
        limit_waiting(&mut spec, None);
        spec
    })
}

fn changed(name: &ClusterName, old: &ClusterSpec, new: &ClusterSpec, scope: &Scope) -> ClusterSpec {
    let whole = scope.contains(&Address::Cluster(name.clone()));
    let base = if whole { new.clone() } else { old.clone() };
    let mut spec = with_parts(name, base, Some(old), new, scope);
    if spec
        .primary
        .as_ref()
        .is_some_and(|primary| !spec.nodes.contains_key(primary))
    {
        spec.primary.clone_from(&old.primary);
    }
    if !spec.nodes.contains_key(&spec.first) {
        spec.first = old.first.clone();
    }
    limit_waiting(&mut spec, Some(old));
    if scope.targets.is_empty() {
        drop_dependents(&mut spec, Some(old), new);
    } else {
        add_needed(&mut spec, new);
    }
    spec
}

/// Returns what stays of a cluster that is no longer declared: nothing where it is inside as a whole.
fn removed(name: &ClusterName, old: &ClusterSpec, scope: &Scope) -> Option<ClusterSpec> {
    let addresses = old.addresses(name);
    if addresses.iter().all(|address| scope.contains(address)) {
        return None;
    }
    let nothing = ClusterSpec {
        nodes: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        access: AccessSpec::default(),
        ..old.clone()
    };
    Some(with_parts(name, old.clone(), Some(old), &nothing, scope))
}

/// Gives a cluster the parts that are inside from the new side, and the others from the old one.
fn with_parts(
    name: &ClusterName,
    base: ClusterSpec,
    old: Option<&ClusterSpec>,
    new: &ClusterSpec,
    scope: &Scope,
) -> ClusterSpec {
    let nothing = ClusterSpec {
        nodes: BTreeMap::new(),
        endpoints: BTreeMap::new(),
        access: AccessSpec::default(),
        ..base.clone()
    };
    let old = old.unwrap_or(&nothing);
    let node = |node: &NodeName| {
        let (cluster, node) = (name.clone(), node.clone());
        scope.contains(&Address::Node(NodeAddress { cluster, node }))
    };
    let endpoint = |endpoint: &_| {
        let (cluster, endpoint) = (name.clone(), Clone::clone(endpoint));
        scope.contains(&Address::Endpoint(EndpointAddress { cluster, endpoint }))
    };
    let seed = |seed: &_| scope.contains(&seed_address(name, seed).into());
    let (old_seeds, new_seeds) = (old.access.seeds.iter(), new.access.seeds.iter());
    let kept = old_seeds.filter(|spec| !seed(&spec.name));
    ClusterSpec {
        nodes: merged(&old.nodes, &new.nodes, node),
        endpoints: merged(&old.endpoints, &new.endpoints, endpoint),
        access: AccessSpec {
            users: merged(&old.access.users, &new.access.users, |user| {
                scope.contains(&user_address(name, user).into())
            }),
            databases: merged(&old.access.databases, &new.access.databases, |database| {
                scope.contains(&database_address(name, database).into())
            }),
            seeds: kept.chain(new_seeds.filter(|spec| seed(&spec.name))).cloned().collect(),
            replication_password_version: base.access.replication_password_version,
        },
        ..base
    }
}

/// Lets commits wait for no more standbys than are left, where nodes are left out.
fn limit_waiting(spec: &mut ClusterSpec, old: Option<&ClusterSpec>) {
    let nodes = spec.nodes.len();
    let fits = |replication: &ReplicationSpec| (replication.synchronous_standbys as usize) < nodes.max(1);
    if !fits(&spec.replication) {
        let recorded = old.map(|old| old.replication).filter(fits);
        spec.replication = recorded.unwrap_or_else(|| ReplicationSpec::of(nodes));
    }
}

/// Adds the databases of seeds, the owners of databases and the roles of logins that are declared and not there yet.
fn add_needed(spec: &mut ClusterSpec, new: &ClusterSpec) {
    let AccessSpec {
        users,
        databases,
        seeds,
        ..
    } = &mut spec.access;
    for seed in seeds {
        if let Some(database) = new.access.databases.get(&seed.database) {
            databases
                .entry(seed.database.clone())
                .or_insert_with(|| database.clone());
        }
    }
    let owners = databases.values().map(|database| database.attributes.owner.clone());
    let roles = users
        .values()
        .flat_map(|user| user.attributes.member_of.iter().cloned());
    let mut needed: Vec<String> = owners.chain(roles).collect();
    while let Some(role) = needed.pop() {
        let declared = new.access.users.iter().find(|(name, _)| name.as_str() == role);
        if let Some((name, user)) = declared.filter(|(name, _)| !users.contains_key(*name)) {
            needed.extend(user.attributes.member_of.iter().cloned());
            users.insert(name.clone(), user.clone());
        }
    }
}

/// Leaves out what needs something that is left out: memberships, databases and seeds. What is recorded of them stays as it
/// is recorded: nothing is dropped because it is left out.
fn drop_dependents(spec: &mut ClusterSpec, old: Option<&ClusterSpec>, new: &ClusterSpec) {
    let AccessSpec {
        users,
        databases,
        seeds,
        ..
    } = &mut spec.access;
    let declared = new.access.users.keys();
    let missing: BTreeSet<String> = declared
        .filter(|user| !users.contains_key(*user))
        .map(ToString::to_string)
        .collect();
    for user in users.values_mut() {
        user.attributes.member_of.retain(|role| !missing.contains(role));
    }
    let old = old.map(|old| &old.access);
    databases.retain(|name, database| {
        if !missing.contains(&database.attributes.owner) {
            return true;
        }
        let recorded = old.and_then(|old| old.databases.get(name));
        if let Some(recorded) = recorded {
            *database = recorded.clone();
        }
        recorded.is_some()
    });
    let is_recorded = |name: &_| old.is_some_and(|old| old.seeds.iter().any(|seed| seed.name == *name));
    seeds.retain(|seed| databases.contains_key(&seed.database) || is_recorded(&seed.name));
}
