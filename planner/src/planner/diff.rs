//! What is there against what should be: one [`Change`] an address, attribute by attribute.

mod failover;
mod imported;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use simdb_state::address::{Address, DatabaseAddress, NodeAddress, SeedAddress, UserAddress};
use simdb_state::json::Json;
use simdb_state::name::PlatformName;
use simdb_state::object::{
    Cluster, Data, Database, Election, Endpoint, Network, Node, Origin, Pooler, Power, ReplicationMode, Resources,
    Role, Seed, State, User, Verified,
};
use simdb_state::place::Place;

use super::cause::Causes;
use super::intended::{DataGoal, ImageGoal, Intended, IntendedCluster, IntendedNode, IntendedSeed};
use super::pairs::pairs;
use crate::desired::Desired;
use crate::engine::sync::STANDBY_NAMES;
use crate::engine::{self, settings};
use crate::plan::{Action, AttributeChange, Change, ChangeAction, Shown, Step};

/// The attribute of a node that its server's image is.
const IMAGE: &str = "image";

/// One side of a change: the attributes by name, in the order they are shown.
pub(super) type Attributes = Vec<Attribute>;

pub(super) type Attribute = (Cow<'static, str>, Shown);

/// Returns the changes by address. What is only re-proven or restarted is a change too: nothing runs that is not shown.
pub(super) fn diff(before: &State, intended: &Intended, desired: &Desired) -> Vec<Change> {
    let mut changes = BTreeMap::new();
    let mut add = |address: Address, before: Option<Attributes>, after: Option<Attributes>| {
        if let Some(change) = change(&address, before, after) {
            changes.insert(address, change);
        }
    };
    for (name, old, new) in pairs(&before.networks, &intended.networks) {
        add(Address::Network(name.clone()), old.map(network), new.map(network));
    }
    for (name, old, new) in pairs(&before.clusters, &intended.clusters) {
        let election = before.elections.get(name);
        add(
            Address::Cluster(name.clone()),
            old.map(|old| cluster_before(old, election)),
            new.map(cluster_after),
        );
    }
    for (address, old, new) in pairs(&before.nodes, &intended.nodes) {
        let old = old.map(|old| &**old);
        if old.zip(new).is_some_and(|(old, new)| stays_stopped(old, new)) {
            continue;
        }
        add(address.clone().into(), old.map(node_before), new.map(node_after));
    }
    for (address, old, new) in pairs(&before.users, &intended.users) {
        add(address.clone().into(), old.map(user), new.map(user));
    }
    for (address, old, new) in pairs(&before.databases, &intended.databases) {
        add(address.clone().into(), old.map(database), new.map(database));
    }
    for (address, old, new) in pairs(&before.seeds, &intended.seeds) {
        let after = |new: &IntendedSeed| seed(&new.seed);
        add(address.clone().into(), old.map(seed), new.map(after));
    }
    for (address, old, new) in pairs(&before.endpoints, &intended.endpoints) {
        add(address.clone().into(), old.map(endpoint), new.map(endpoint));
    }
    imported::imported(&mut changes, intended);
    for (address, change) in &mut changes {
        if change.action == ChangeAction::Delete && desired.forgets(address) {
            change.action = ChangeAction::Forget;
        }
    }
    changes.into_values().collect()
}

/// Returns whether a node was stopped on request and is to stay so: what it lacks is made when it is started.
fn stays_stopped(old: &Node, new: &IntendedNode) -> bool {
    old.stopped_by_request && old.power == Power::Stopped && new.power == Power::Stopped
}

/// Returns what becomes of the record of a node.
pub(super) fn of_node(address: &NodeAddress, old: Option<&Node>, new: Option<&Node>) -> Option<Change> {
    change(&address.clone().into(), old.map(node_before), new.map(node_before))
}

/// Returns what becomes of the record of a login.
pub(super) fn of_user(address: &UserAddress, old: Option<&User>, new: Option<&User>) -> Option<Change> {
    change(&address.clone().into(), old.map(user), new.map(user))
}

/// Returns what becomes of the record of a database.
pub(super) fn of_database(address: &DatabaseAddress, old: Option<&Database>, new: Option<&Database>) -> Option<Change> {
    change(&address.clone().into(), old.map(database), new.map(database))
}

/// Returns what becomes of the record of a seed.
pub(super) fn of_seed(address: &SeedAddress, old: Option<&Seed>, new: Option<&Seed>) -> Option<Change> {
    change(&address.clone().into(), old.map(seed), new.map(seed))
}

fn change(address: &Address, before: Option<Attributes>, after: Option<Attributes>) -> Option<Change> {
    let action = match (&before, &after) {
        (None, Some(_)) => ChangeAction::Create,
        (Some(_), None) => ChangeAction::Delete,
        (Some(before), Some(after)) if before != after => ChangeAction::Update,
        _ => return None,
    };
    let attributes = merge(before.unwrap_or_default(), after.unwrap_or_default());
    Some(Change {
        address: address.clone(),
        action,
        reason: None,
        importing: None,
        attributes: attributes.into(),
    })
}

/// Says why an object changes that is recorded as one thing, was seen as another and is declared as a third, given the
/// attributes of all three.
pub(super) fn reason(recorded: Option<Attributes>, before: Attributes, after: Attributes) -> Option<String> {
    let recorded: BTreeMap<Cow<'static, str>, Shown> = recorded.into_iter().flatten().collect();
    let text = |shown: &Shown| match shown {
        Shown::Value(Json::String(text)) => text.clone(),
        Shown::Value(value) => value.to_string(),
        Shown::KnownAfterApply | Shown::GeneratedAtApply | Shown::Sensitive => "another".to_owned(),
    };
    let mut causes = Causes::default();
    let merged = merge(before, after);
    for change in merged.iter().filter(|change| change.before != change.after) {
        let (old, new) = (change.before.as_ref().map(text), change.after.as_ref().map(text));
        if recorded.get(&change.name) == change.after.as_ref() {
            causes.drifted(&change.name, old, new);
        } else {
            causes.configured(&change.name, old, new);
        }
    }
    causes.reason()
}

/// Brings both sides together, in the order of the new side; what it lacks comes last.
fn merge(before: Attributes, after: Attributes) -> Vec<AttributeChange> {
    let mut old: BTreeMap<Cow<'static, str>, Shown> = before.iter().cloned().collect();
    let mut merged: Vec<AttributeChange> = after
        .into_iter()
        .map(|(name, after)| AttributeChange {
            before: old.remove(&name),
            after: Some(after),
            name,
        })
        .collect();
    let gone = before.into_iter().filter(|(name, _)| old.contains_key(name));
    merged.extend(gone.map(|(name, before)| AttributeChange {
        name,
        before: Some(before),
        after: None,
    }));
    merged
}

fn value(name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Attribute {
    (name.into(), Shown::Value(Json::from(value.into())))
}

fn network(network: &Network) -> Attributes {
    let subnet = network.subnet.iter().map(|subnet| value("subnet", subnet.clone()));
    let mut attributes: Attributes = subnet.collect();
    if !network.also_on.is_empty() {
        let platforms: Vec<&str> = network.platforms().map(PlatformName::as_str).collect();
        attributes.push(value("platforms", platforms.join(", ")));
    }
    attributes
}

/// Says on which platform a node is that is not on the one of its cluster.
fn platform(platform: Option<&PlatformName>) -> impl Iterator<Item = Attribute> {
    platform
        .into_iter()
        .map(|platform| value("platform", platform.to_string()))
}

pub(super) fn cluster(cluster: &Cluster, election: Option<&Election>) -> Attributes {
    let Cluster {
        platform: _,
        network,
        engine,
        version,
        replication,
        synchronous_standbys,
        synchronous_commit,
        on_standby_loss,
        max_lag,
        sync_rule,
        pending_sync_rules: _,
        verified: _,
        degraded,
        prevent_destroy,
        failover,
    } = cluster;
    let mut attributes = vec![
        value("engine", engine.to_string()),
        value("version", *version),
        value("network", format!("network.{network}")),
        value("replication", replication.to_string()),
    ];
    if *replication != ReplicationMode::Async {
        attributes.push(value("synchronous_standbys", *synchronous_standbys));
        attributes.push(value("synchronous_commit", synchronous_commit.to_string()));
        attributes.push(value("on_standby_loss", on_standby_loss.to_string()));
    }
    attributes.push(value("max_lag", settings::show_bytes(*max_lag)));
    if *prevent_destroy {
        attributes.push(value("prevent_destroy", true));
    }
    attributes.extend(failover::attributes(failover));
    if !sync_rule.is_empty() {
        attributes.push(value(STANDBY_NAMES, sync_rule.to_string()));
    }
    attributes.extend(
        degraded
            .as_ref()
            .map(|since| value("degraded_since", since.to_string())),
    );
    if let Some(Election {
        term,
        primary,
        pin: _,
        reason: _,
        chosen: _,
        switch: _,
    }) = election
    {
        attributes.push(value("primary", primary.to_string()));
        attributes.push(value("term", term.0));
    }
    attributes
}

fn cluster_before(old: &Cluster, election: Option<&Election>) -> Attributes {
    let mut attributes = cluster(old, election);
    attributes.extend(old.verified.as_ref().map(proof));
    attributes
}

fn cluster_after(
    IntendedCluster {
        cluster: new,
        election,
        sync: _,
        topology,
        ..
    }: &IntendedCluster,
) -> Attributes {
    let mut attributes = cluster(new, Some(election));
    let proven = |verified: &&Verified| verified.topology == *topology && verified.term == election.term;
    attributes.push(match new.verified.as_ref().filter(proven) {
        Some(verified) => proof(verified),
        None => ("verified".into(), Shown::KnownAfterApply),
    });
    attributes
}

/// Says where replication was last proven; the digest of what it was proven for tells nobody anything.
fn proof(verified: &Verified) -> Attribute {
    value(
        "verified",
        json!({ "at": verified.marker.to_string(), "term": verified.term.0 }),
    )
}

fn role(role: &Role) -> Attributes {
    let mut attributes = vec![value("role", role.to_string())];
    if let Some(follows) = role.follows() {
        attributes.push(value("follows", follows.to_string()));
    }
    attributes
}

fn origin(origin: &Origin) -> Attribute {
    match origin {
        Origin::Initialized => value("data", json!({ "origin": "initialized" })),
        Origin::Imported => value("data", json!({ "origin": "imported" })),
        Origin::Cloned { from } => value("data", json!({ "origin": "cloned", "from": from.to_string() })),
        Origin::Rewound { from } => value("data", json!({ "origin": "rewound", "from": from.to_string() })),
    }
}

/// Says where the platform publishes a server, if it does.
fn published(place: &Place) -> Option<Attribute> {
    let published = place.published()?;
    Some(value("published", published.to_string()))
}

fn parameters(parameters: &BTreeMap<String, String>) -> impl Iterator<Item = Attribute> {
    parameters
        .iter()
        .map(|(name, text)| value(format!("parameters.{name}"), text.clone()))
}

/// Says how much of its machine a server may take.
pub(super) fn resources(Resources { memory, cpus, storage }: &Resources) -> impl Iterator<Item = Attribute> + use<> {
    let memory = memory.map(|memory| value("memory", settings::show_bytes(memory)));
    let cpus = cpus.map(|cpus| match cpus % 1000 {
        0 => value("cpus", cpus / 1000),
        _ => value("cpus", f64::from(cpus) / 1000.0),
    });
    let storage = storage.map(|storage| value("storage", settings::show_bytes(storage)));
    memory.into_iter().chain(cpus).chain(storage)
}

fn node_before(node: &Node) -> Attributes {
    let Node {
        platform: on,
        place,
        image,
        resources: limits,
        parameters: declared,
        data,
        slot,
        left_slots: _,
        role: has,
        power,
        stopped_by_request: _,
        needs_rebuild: _,
        damage: _,
        prevent_destroy,
    } = node;
    let mut attributes = has.as_ref().map(role).unwrap_or_default();
    attributes.extend(platform(on.as_ref()));
    if let Some(place) = place {
        attributes.push(value("host", place.peers.host.to_string()));
        attributes.push(value("port", place.peers.port));
        attributes.extend(published(place));
    }
    attributes.extend(image.as_ref().map(|image| value(IMAGE, image.to_string())));
    attributes.extend(resources(limits));
    if let Some(Data {
        generation: _,
        identity,
        origin: from,
        outside,
    }) = data
    {
        attributes.push(origin(from));
        attributes.extend(outside.as_ref().map(|outside| value("data_directory", outside.clone())));
        attributes.push(value("system_identifier", identity.to_string()));
    }
    attributes.extend(slot.as_ref().map(|slot| value("slot", slot.name.clone())));
    attributes.push(value("power", power.to_string()));
    if *prevent_destroy {
        attributes.push(value("prevent_destroy", true));
    }
    attributes.extend(parameters(declared));
    attributes
}

fn node_after(node: &IntendedNode) -> Attributes {
    let IntendedNode {
        platform: on,
        place,
        image,
        resources: limits,
        parameters: declared,
        data,
        role: becomes,
        slot,
        power,
        prevent_destroy,
    } = node;
    let mut attributes = role(becomes);
    attributes.extend(platform(on.as_ref()));
    attributes.push(value("host", place.peers.host.to_string()));
    attributes.push(value("port", place.peers.port));
    attributes.extend(published(place));
    match image {
        ImageGoal::None => {}
        ImageGoal::Fetched => attributes.push((IMAGE.into(), Shown::KnownAfterApply)),
        ImageGoal::Known(image) => attributes.push(value(IMAGE, image.to_string())),
    }
    attributes.extend(resources(limits));
    match data {
        DataGoal::Keep(Data {
            generation: _,
            identity,
            origin: from,
            outside,
        }) => {
            attributes.push(origin(from));
            attributes.extend(outside.as_ref().map(|outside| value("data_directory", outside.clone())));
            attributes.push(value("system_identifier", identity.to_string()));
        }
        DataGoal::Make {
            origin: from, outside, ..
        } => {
            attributes.push(origin(from));
            attributes.extend(outside.as_ref().map(|outside| value("data_directory", outside.clone())));
            attributes.push(("system_identifier".into(), Shown::KnownAfterApply));
        }
    }
    attributes.extend(slot.as_ref().map(|slot| value("slot", slot.name.clone())));
    attributes.push(value("power", power.to_string()));
    if *prevent_destroy {
        attributes.push(value("prevent_destroy", true));
    }
    attributes.extend(parameters(declared));
    attributes
}

pub(super) fn user(
    User {
        login,
        replication,
        password_version,
        password_digest,
        superuser,
        createdb,
        createrole,
        inherit,
        connection_limit,
        member_of,
        settings,
    }: &User,
) -> Attributes {
    let mut attributes = vec![value("login", *login), value("replication", *replication)];
    let unusual = [
        ("superuser", *superuser, false),
        ("createdb", *createdb, false),
        ("createrole", *createrole, false),
        ("inherit", *inherit, true),
    ];
    let unusual = unusual.into_iter().filter(|(_, is, usual)| is != usual);
    attributes.extend(unusual.map(|(name, is, _)| value(name, is)));
    attributes.extend(connection_limit.map(|limit| value("connection_limit", limit)));
    if !member_of.is_empty() {
        attributes.push(value("member_of", json!(member_of)));
    }
    for (database, settings) in settings {
        attributes.extend(settings.iter().map(|(name, text)| {
            let name = match database.as_str() {
                "" => format!("settings.{name}"),
                database => format!("settings.{name} in {database}"),
            };
            value(name, text.clone())
        }));
    }
    if *login {
        let shown = match password_digest {
            Some(_) => Shown::Sensitive,
            None => Shown::GeneratedAtApply,
        };
        attributes.push(("password".into(), shown));
        attributes.push(value("password_version", *password_version));
    }
    attributes
}

pub(super) fn database(
    Database {
        owner,
        encoding,
        locale,
        settings,
        prevent_destroy,
    }: &Database,
) -> Attributes {
    let mut attributes = vec![value("owner", owner.clone())];
    attributes.extend(encoding.iter().map(|encoding| value("encoding", encoding.clone())));
    attributes.extend(locale.iter().map(|locale| value("locale", locale.clone())));
    let settings = settings.iter();
    attributes.extend(settings.map(|(name, text)| value(format!("settings.{name}"), text.clone())));
    if *prevent_destroy {
        attributes.push(value("prevent_destroy", true));
    }
    attributes
}

fn seed(Seed { database, digest }: &Seed) -> Attributes {
    // Half of it is enough to tell files apart, and fits a line.
    let digest = digest.get(..16).unwrap_or(digest);
    vec![value("database", database.to_string()), value("digest", digest)]
}

fn endpoint(
    Endpoint {
        target,
        nodes,
        hosts,
        pooler: through,
    }: &Endpoint,
) -> Attributes {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut attributes = vec![value("target", target.to_string())];
    if let Some(through) = through {
        attributes.extend(pooler(through));
    } else {
        let nodes: Vec<String> = nodes.iter().map(ToString::to_string).collect();
        attributes.push(value("nodes", json!(nodes)));
    }
    attributes.push(value("hosts", json!(hosts)));
    attributes
}

fn pooler(
    Pooler {
        place: _,
        pool_mode,
        node,
        upstream,
        power,
        paused,
    }: &Pooler,
) -> Attributes {
    let mut attributes = vec![
        value("via", engine::POOLER.to_string()),
        value("pool_mode", pool_mode.to_string()),
        value("power", power.to_string()),
        value(
            "leads_to",
            json!({ "node": node.to_string(), "upstream": upstream.to_string() }),
        ),
    ];
    if *paused {
        attributes.push(value("paused", true));
    }
    attributes
}

/// Completes the changes, which are in the order of their addresses, with the steps: a step whose address has no difference of attributes (a server restarts, a
/// proof is made anew, an orphan goes) is shown as an update of that address, for the step's reason.
pub(super) fn explain(changes: &mut Vec<Change>, steps: &[Step]) {
    let mut more: BTreeMap<Address, Change> = BTreeMap::new();
    let is_shown = |address: &Address| changes.binary_search_by(|change| change.address.cmp(address)).is_ok();
    for step in steps.iter().filter(|step| !is_shown(&step.address)) {
        let action = if matches!(step.action, Action::DropNode { .. } | Action::DropEndpoint { .. }) {
            ChangeAction::Delete
        } else {
            ChangeAction::Update
        };
        let reason = Some(step.reason.clone());
        more.entry(step.address.clone()).or_insert_with(|| Change {
            address: step.address.clone(),
            action,
            reason,
            importing: None,
            attributes: Arc::default(),
        });
    }
    changes.extend(more.into_values());
    changes.sort_by(|a, b| a.address.cmp(&b.address));
}
