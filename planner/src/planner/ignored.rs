//! `ignore_changes`: what is ignored of an object that is on record stays as it is, whatever is declared. Where that could be
//! looked at it is what was seen, so that a plan does not put back what somebody changed there.

use std::borrow::Cow;

use simdb_state::address::{Address, DatabaseAddress, NodeAddress, UserAddress};
use simdb_state::name::ClusterName;
use simdb_state::object::{Cluster, Node, Role, State, User};

use crate::desired::access::{database_address, seed_address, user_address};
use crate::desired::{ClusterSpec, Desired, Ignored, NodeSpec, ReplicationSpec};
use crate::engine::conf;
use crate::engine::sync::APPLY_DELAY;
use crate::planner::scope::Pattern;

/// The parameter that says how far standbys must have come: a part of `replication`.
const COMMIT_LEVEL: &str = "synchronous_commit";

/// The attributes of a cluster that the `replication` block declares.
const REPLICATION: [&str; 5] = [
    "replication",
    "synchronous_standbys",
    "synchronous_commit",
    "on_standby_loss",
    "max_lag",
];

/// Returns what is desired where what is ignored stays as it is: as it was seen, else as it is on record.
pub(super) fn kept<'a>(desired: &'a Desired, recorded: &State) -> Cow<'a, Desired> {
    if !desired.clusters.values().any(ignores) {
        return Cow::Borrowed(desired);
    }
    let mut kept = desired.clone();
    for (name, spec) in &mut kept.clusters {
        if ignores(spec) {
            keep(name, spec, desired, recorded);
        }
    }
    Cow::Owned(kept)
}

fn ignores(spec: &ClusterSpec) -> bool {
    let access = &spec.access;
    let own = [&spec.ignored].into_iter();
    let mut all = own
        .chain(spec.nodes.values().map(|spec| &spec.ignored))
        .chain(access.users.values().map(|spec| &spec.ignored))
        .chain(access.databases.values().map(|spec| &spec.ignored))
        .chain(access.seeds.iter().map(|spec| &spec.ignored));
    all.any(|ignored| *ignored != Ignored::default())
}

fn keep(name: &ClusterName, spec: &mut ClusterSpec, desired: &Desired, recorded: &State) {
    if let Some(cluster) = recorded.clusters.get(name) {
        keep_cluster(cluster, spec, desired);
        let election = recorded.elections.get(name);
        if spec.ignored.attributes.contains("primary")
            && let Some(election) = election
        {
            spec.primary = election.pin.clone().filter(|pin| spec.nodes.contains_key(pin));
        }
    }
    let ClusterSpec {
        ignored, nodes, access, ..
    } = spec;
    for (node, spec) in nodes {
        let address = NodeAddress {
            cluster: name.clone(),
            node: node.clone(),
        };
        if let Some(node) = recorded.nodes.get(&address) {
            keep_node(node, spec, ignored);
        }
    }
    for (user, spec) in &mut access.users {
        if let Some(user) = recorded.users.get(&user_address(name, user)) {
            keep_user(user, &mut spec.attributes, &spec.ignored);
        }
    }
    for (database, spec) in &mut access.databases {
        let Some(database) = recorded.databases.get(&database_address(name, database)) else {
            continue;
        };
        for attribute in &spec.ignored.attributes {
            match attribute.as_str() {
                "encoding" => spec.attributes.encoding.clone_from(&database.encoding),
                "locale" => spec.attributes.locale.clone_from(&database.locale),
                _ => spec.attributes.owner.clone_from(&database.owner),
            }
        }
    }
    for spec in &mut access.seeds {
        if let Some(seed) = recorded.seeds.get(&seed_address(name, &spec.name))
            && spec.ignored.attributes.contains("file")
        {
            spec.digest.clone_from(&seed.digest);
        }
    }
}

fn keep_cluster(cluster: &Cluster, spec: &mut ClusterSpec, desired: &Desired) {
    let ignored = &spec.ignored.attributes;
    if ignored.contains("engine.version") {
        spec.version = Some(cluster.version);
    }
    // A network that is declared no longer goes.
    if ignored.contains("network") && desired.networks.contains_key(&cluster.network) {
        spec.network = cluster.network.clone();
    }
    if ignored.contains("replication") {
        let standbys = u32::try_from(spec.nodes.len().saturating_sub(1)).unwrap_or(u32::MAX);
        spec.replication = ReplicationSpec {
            mode: cluster.replication,
            synchronous_standbys: cluster.synchronous_standbys.min(standbys),
            synchronous_commit: cluster.synchronous_commit,
            on_standby_loss: cluster.on_standby_loss,
            max_lag: cluster.max_lag,
        };
    }
}

/// Keeps what a node, or its cluster for all nodes, ignores.
fn keep_node(node: &Node, spec: &mut NodeSpec, cluster: &Ignored) {
    let own = spec.ignored.clone();
    if own.attributes.contains("port")
        && let Some(place) = &node.place
    {
        spec.port = Some(place.published().unwrap_or(place.bind).port);
    }
    // Who leads waits for nothing, and its record does not say what it would wait as a standby.
    if own.attributes.contains("apply_delay") && matches!(node.role, Some(Role::Standby { .. })) {
        spec.apply_delay = node.parameters.get(APPLY_DELAY).cloned();
    }
    let all = own.attributes.contains("parameters") || cluster.attributes.contains("engine.parameters");
    let names: Vec<String> = if all {
        let both = node.parameters.keys().chain(spec.parameters.keys());
        both.filter(|name| ![APPLY_DELAY, COMMIT_LEVEL].contains(&name.as_str()))
            .cloned()
            .collect()
    } else {
        own.parameters.union(&cluster.parameters).cloned().collect()
    };
    for name in names {
        match node.parameters.get(&name) {
            Some(value) => drop(spec.parameters.insert(name, value.clone())),
            None => drop(spec.parameters.remove(&name)),
        }
    }
}

fn keep_user(user: &User, spec: &mut User, ignored: &Ignored) {
    for attribute in &ignored.attributes {
        match attribute.as_str() {
            "connection_limit" => spec.connection_limit = user.connection_limit,
            "createdb" => spec.createdb = user.createdb,
            "createrole" => spec.createrole = user.createrole,
            "inherit" => spec.inherit = user.inherit,
            "login" => spec.login = user.login,
            "member_of" => spec.member_of.clone_from(&user.member_of),
            "password" => spec.password_digest.clone_from(&user.password_digest),
            "password_version" => spec.password_version = user.password_version,
            "replication" => spec.replication = user.replication,
            _ => spec.superuser = user.superuser,
        }
    }
}

/// Returns whether patterns cover each attribute of an object that differs, or the object where what differs has no name.
pub fn is_ignored<'a>(patterns: &[Pattern], address: &Address, differing: impl Iterator<Item = &'a str>) -> bool {
    let covered = |text: &str| patterns.iter().any(|pattern| pattern.covers(text));
    let mut differing = differing.peekable();
    if differing.peek().is_none() {
        return covered(&address.to_string());
    }
    differing.all(|name| covered(&format!("{address}.{name}")))
}

impl Desired {
    /// Returns whether changes of some attributes of a login are ignored, of this one where one is named.
    pub(super) fn ignores_of_user(&self, address: &UserAddress, attribute: Option<&str>) -> bool {
        let cluster = self.clusters.get(&address.cluster);
        let spec = cluster.and_then(|cluster| cluster.access.users.get(&address.user));
        spec.is_some_and(|spec| spec.ignored.has(attribute))
    }

    /// Returns whether changes of some attributes of a database are ignored.
    pub(super) fn ignores_of_database(&self, address: &DatabaseAddress) -> bool {
        let cluster = self.clusters.get(&address.cluster);
        let spec = cluster.and_then(|cluster| cluster.access.databases.get(&address.database));
        spec.is_some_and(|spec| spec.ignored.has(None))
    }

    /// Returns whether changes of a parameter of a node are ignored.
    pub(super) fn ignores_parameter(&self, address: &NodeAddress, name: &str) -> bool {
        let Some(cluster) = self.clusters.get(&address.cluster) else {
            return false;
        };
        let of = |ignored: &Ignored, all: &str| ignored.attributes.contains(all) || ignored.parameters.contains(name);
        let node = cluster.nodes.get(&address.node);
        let own = node.is_some_and(|node| of(&node.ignored, "parameters"));
        !conf::is_owned(name) && (own || of(&cluster.ignored, "engine.parameters"))
    }

    /// Returns the patterns of what may drift without being reported: those of `drift` blocks, and what is ignored of
    /// objects.
    pub fn drift_patterns(&self) -> Vec<Pattern> {
        let mut patterns = self.ignored_drift.clone();
        for (name, spec) in &self.clusters {
            patterns.extend(spec.ignored_drift.iter().cloned());
            let cluster = format!("cluster.{name}");
            patterns.extend(spec.ignored.patterns(&cluster));
            for (node, spec) in &spec.nodes {
                patterns.extend(spec.ignored.patterns(&format!("{cluster}.node.{node}")));
            }
            for (user, spec) in &spec.access.users {
                patterns.extend(spec.ignored.patterns(&format!("{cluster}.user.{user}")));
            }
            for (database, spec) in &spec.access.databases {
                patterns.extend(spec.ignored.patterns(&format!("{cluster}.database.{database}")));
            }
            for spec in &spec.access.seeds {
                patterns.extend(spec.ignored.patterns(&format!("{cluster}.seed.{}", spec.name)));
            }
        }
        patterns.iter().map(|pattern| Pattern::new(pattern)).collect()
    }
}

impl Ignored {
    /// Returns whether it has an attribute; any where none is named.
    fn has(&self, attribute: Option<&str>) -> bool {
        attribute.map_or_else(|| !self.attributes.is_empty(), |name| self.attributes.contains(name))
    }

    /// Writes what is ignored of an object as patterns: the attributes as plans name them.
    fn patterns(&self, address: &str) -> Vec<String> {
        let of_nodes = if address.contains(".node.") { "" } else { ".node.*" };
        let parameters = self
            .parameters
            .iter()
            .map(|name| format!("{address}{of_nodes}.parameters.{name}"));
        let attributes = self.attributes.iter().flat_map(|name| {
            let names: Vec<String> = match name.as_str() {
                "engine.version" => vec!["version".to_owned()],
                "engine.parameters" => vec!["node.*.parameters.*".to_owned()],
                "parameters" => vec!["parameters.*".to_owned()],
                "apply_delay" => vec![format!("parameters.{APPLY_DELAY}")],
                "file" => vec!["digest".to_owned()],
                "replication" => REPLICATION.map(str::to_owned).to_vec(),
                name => vec![name.to_owned()],
            };
            names.into_iter().map(|name| format!("{address}.{name}"))
        });
        parameters.chain(attributes).collect()
    }
}
