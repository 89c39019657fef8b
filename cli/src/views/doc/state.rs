//! What is recorded, as `show` and `state show` tell it. Never a secret: a sensitive output has no value here.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};
use simdb_state::address::{Address, NodeAddress};
use simdb_state::json::{Json, Members};
use simdb_state::name::ClusterName;
use simdb_state::object::{
    Cluster, Damage, Data, Database, Election, Endpoint, EngineKind, Network, Node, Origin, Output, Pooler,
    ReplicationMode, Resources, Role, Seed, Settings, Slot, State, User,
};
use simdb_state::place::Place;

use super::FORMAT_VERSION;

/// Everything that is recorded.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StateDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// How often the record was written.
    pub serial: u64,
    /// What is recorded, by address.
    pub objects: Vec<ObjectDoc>,
    /// The outputs of the last apply.
    pub outputs: Vec<OutputDoc>,
}

/// One recorded object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObjectDoc {
    /// Its address.
    pub address: Address,
    /// The kind of thing: `node`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Its own name: `r[0]`.
    pub name: String,
    /// Its attributes; absent ones were not recorded yet.
    pub values: Members,
}

/// One output.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputDoc {
    /// Its name.
    pub name: String,
    /// Whether it may be shown.
    pub sensitive: bool,
    /// Its value, unless it is sensitive.
    pub value: Option<Json>,
}

impl StateDoc {
    /// Makes the document of a record.
    pub fn new(state: &State, serial: u64) -> Self {
        let outputs = state.outputs.iter().map(|(name, output)| match output {
            Output::Value(value) => (name, Some(value.clone())),
            Output::Sensitive => (name, None),
        });
        let outputs = outputs.map(|(name, value)| OutputDoc {
            name: name.clone(),
            sensitive: value.is_none(),
            value,
        });
        Self {
            format_version: FORMAT_VERSION,
            serial,
            objects: objects(state),
            outputs: outputs.collect(),
        }
    }
}

impl ObjectDoc {
    fn new(address: impl Into<Address>, values: Value) -> Self {
        let address = address.into();
        let values = match Json::from(known(values)) {
            Json::Object(values) => values,
            _ => Members::new(),
        };
        Self {
            kind: address.kind(),
            name: address.name(),
            address,
            values,
        }
    }
}

/// Leaves out what has no value.
fn known(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.into_iter().filter(|(_, value)| !value.is_null());
            members
                .map(|(name, value)| (name, known(value)))
                .collect::<Map<_, _>>()
                .into()
        }
        other => other,
    }
}

fn objects(state: &State) -> Vec<ObjectDoc> {
    let State {
        networks,
        clusters,
        elections,
        nodes,
        users,
        databases,
        seeds,
        endpoints,
        outputs: _,
        made_as,
    } = state;
    let cluster = |(name, cluster): (&ClusterName, &Cluster)| {
        ObjectDoc::new(
            Address::Cluster(name.clone()),
            cluster_values(cluster, elections.get(name)),
        )
    };
    let mut all: Vec<ObjectDoc> = Vec::new();
    all.extend(networks.iter().map(|(name, network)| {
        let Network {
            platform: _,
            subnet,
            also_on,
        } = network;
        let platforms = (!also_on.is_empty()).then(|| network.platforms().collect::<Vec<_>>());
        ObjectDoc::new(
            Address::Network(name.clone()),
            json!({ "subnet": subnet, "platforms": platforms }),
        )
    }));
    all.extend(clusters.iter().map(cluster));
    all.extend(
        nodes
            .iter()
            .map(|(address, node): (&NodeAddress, _)| ObjectDoc::new(address.clone(), node_values(node))),
    );
    all.extend(
        users
            .iter()
            .map(|(address, user)| ObjectDoc::new(address.clone(), user_values(user))),
    );
    all.extend(
        databases
            .iter()
            .map(|(address, database)| ObjectDoc::new(address.clone(), database_values(database))),
    );
    all.extend(seeds.iter().map(|(address, Seed { database, digest })| {
        ObjectDoc::new(address.clone(), json!({ "database": database, "digest": digest }))
    }));
    all.extend(
        endpoints
            .iter()
            .map(|(address, endpoint)| ObjectDoc::new(address.clone(), endpoint_values(endpoint))),
    );
    all.sort_by(|a, b| a.address.cmp(&b.address));
    for (instance, made_as) in made_as {
        let address = Address::from(instance.clone());
        if let Ok(at) = all.binary_search_by(|object| object.address.cmp(&address)) {
            all[at].values.insert("made_as".to_owned(), json!(made_as).into());
        }
    }
    all
}

fn cluster_values(cluster: &Cluster, election: Option<&Election>) -> Value {
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
        pending_sync_rules,
        degraded,
        verified,
        prevent_destroy,
        failover,
    } = cluster;
    let waits = *replication != ReplicationMode::Async;
    json!({
        "network": network,
        "engine": engine,
        "version": version,
        "replication": replication,
        "synchronous_standbys": waits.then_some(synchronous_standbys),
        "synchronous_commit": waits.then_some(synchronous_commit),
        "on_standby_loss": waits.then_some(on_standby_loss),
        "max_lag": max_lag,
        "synchronous_standby_names": (!sync_rule.is_empty()).then_some(sync_rule),
        "pending_standby_names": (!pending_sync_rules.is_empty()).then_some(pending_sync_rules),
        "degraded_since": degraded,
        "prevent_destroy": prevent_destroy.then_some(true),
        "failover": (!failover.is_default()).then_some(failover),
        "verified": verified.as_ref().map(|verified| json!({ "term": verified.term, "marker": verified.marker })),
        "election": election.map(|Election { term, primary, pin, reason, chosen, switch }| json!({
            "term": term, "primary": primary, "pin": pin, "reason": reason, "chosen": chosen, "switch": switch,
        })),
    })
}

fn node_values(node: &Node) -> Value {
    let Node {
        platform,
        place,
        image,
        resources: Resources { memory, cpus, storage },
        parameters,
        data,
        slot,
        left_slots,
        role,
        power,
        stopped_by_request,
        needs_rebuild,
        damage,
        prevent_destroy,
    } = node;
    let slot_values = |slot: &Slot| json!({ "name": slot.name, "upstream": slot.upstream });
    let (term, follows) = match role {
        Some(Role::Primary { term } | Role::Fenced { term, .. }) => (Some(term), None),
        Some(Role::Standby { follows }) => (None, Some(follows)),
        None => (None, None),
    };
    json!({
        "role": role.as_ref().map(ToString::to_string),
        "term": term,
        "follows": follows,
        "power": power,
        "stopped_by_request": stopped_by_request.then_some(true),
        "needs_rebuild": needs_rebuild.then_some(true),
        "damage": damage.as_ref().map(Damage::reason),
        "prevent_destroy": prevent_destroy.then_some(true),
        "platform": platform,
        "listen": place.as_ref().map(|place| place.peers.to_string()),
        "published": place.as_ref().and_then(Place::published).map(|at| at.to_string()),
        "image": image.as_ref().map(ToString::to_string),
        "memory": memory,
        "cpus": cpus.map(|cpus| f64::from(cpus) / 1000.0),
        "storage": storage,
        "data": data.as_ref().map(data_values),
        "slot": slot.as_ref().map(slot_values),
        "left_slots": (!left_slots.is_empty()).then(|| left_slots.iter().map(slot_values).collect::<Vec<_>>()),
        "parameters": (!parameters.is_empty()).then_some(parameters),
    })
}

fn data_values(data: &Data) -> Value {
    let Data {
        generation,
        identity,
        origin,
        outside,
    } = data;
    let from = match origin {
        Origin::Initialized | Origin::Imported => (None, None),
        Origin::Cloned { from } => (Some(from), None),
        Origin::Rewound { from } => (None, Some(from)),
    };
    let (cloned, rewound) = from;
    let mut values = json!({
        "directory": Data::directory(*generation),
        "system_identifier": identity,
        "cloned_from": cloned,
        "rewound_to": rewound,
    });
    // Only data that was imported is elsewhere.
    if let Some(outside) = outside {
        values["outside"] = json!(outside);
    }
    values
}

fn user_values(user: &User) -> Value {
    let User {
        login,
        replication,
        password_version,
        password_digest: _,
        superuser,
        createdb,
        createrole,
        inherit,
        connection_limit,
        member_of,
        settings,
    } = user;
    json!({
        "login": login,
        "replication": replication,
        "superuser": superuser.then_some(true),
        "createdb": createdb.then_some(true),
        "createrole": createrole.then_some(true),
        "inherit": (!inherit).then_some(false),
        "connection_limit": connection_limit,
        "member_of": (!member_of.is_empty()).then_some(member_of),
        "settings": (!settings.is_empty()).then(|| settings_values(settings)),
        "password_version": password_version,
    })
}

/// Writes what sessions of a login begin with, by the names that plans have for it.
fn settings_values(settings: &BTreeMap<String, Settings>) -> Value {
    let named = settings.iter().flat_map(|(database, settings)| {
        settings.iter().map(move |(name, value)| match database.as_str() {
            "" => (name.clone(), Value::from(value.as_str())),
            database => (format!("{name} in {database}"), Value::from(value.as_str())),
        })
    });
    Value::Object(named.collect())
}

fn database_values(database: &Database) -> Value {
    let Database {
        owner,
        encoding,
        locale,
        settings,
        prevent_destroy,
    } = database;
    json!({
        "owner": owner,
        "encoding": encoding,
        "locale": locale,
        "settings": (!settings.is_empty()).then_some(settings),
        "prevent_destroy": prevent_destroy.then_some(true),
    })
}

fn endpoint_values(endpoint: &Endpoint) -> Value {
    let Endpoint {
        target,
        nodes,
        hosts,
        pooler,
    } = endpoint;
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut values = json!({ "target": target, "nodes": nodes, "hosts": hosts });
    if let Some(pooler) = pooler {
        values["pooler"] = pooler_values(pooler);
    }
    values
}

fn pooler_values(pooler: &Pooler) -> Value {
    let Pooler {
        place,
        pool_mode,
        node,
        upstream,
        power,
        paused,
    } = pooler;
    json!({
        "via": EngineKind::POOLER,
        "host": place.peers.host,
        "port": place.peers.port,
        "pool_mode": pool_mode,
        "node": node,
        "upstream": upstream.to_string(),
        "power": power,
        "paused": paused,
    })
}
