//! Brings rows of older formats up to the one that is read.
//!
//! Format 1 kept every object as it was in memory, one flat row each, and left out what had its default. Conversions work on
//! the documents, so that no type of an older format has to be kept.

use serde_json::{Map, Value, json};

use crate::address::Address;
use crate::object::{MAX_LAG, first_platform};

type Fields = Map<String, Value>;

/// Returns an object of format 1 as one of format 2. What is no object is returned as it is, and fails to be read.
pub(crate) fn object(address: &Address, row: Value) -> Value {
    let Value::Object(fields) = row else { return row };
    match address {
        Address::Network(_) => json!({ "network": fields }),
        Address::Cluster(_) => json!({ "cluster": cluster(fields) }),
        Address::Node(_) => json!({ "node": node(fields) }),
        Address::User(_) => json!({ "user": user(fields) }),
        Address::Database(_) => json!({ "database": fields }),
        Address::Seed(_) => json!({ "seed": fields }),
        Address::Endpoint(_) => json!({ "endpoint": endpoint(fields) }),
    }
}

/// Takes a field, or its default where format 1 left it out. A field that had none is missed by whoever reads the row.
fn take(fields: &mut Fields, name: &str, default: Value) -> Value {
    fields.remove(name).unwrap_or(default)
}

/// Moves fields into a part of their own.
fn part(fields: &mut Fields, defaults: Vec<(&str, Value)>) -> Value {
    let moved = defaults
        .into_iter()
        .map(|(name, default)| (name.to_owned(), take(fields, name, default)));
    Value::Object(moved.collect())
}

/// Gives fields that were left out their defaults.
fn fill(fields: &mut Fields, defaults: Vec<(&str, Value)>) {
    for (name, default) in defaults {
        fields.entry(name).or_insert(default);
    }
}

fn rename(fields: &mut Fields, from: &str, to: &str, default: Value) {
    let value = take(fields, from, default);
    fields.insert(to.to_owned(), value);
}

fn cluster(mut fields: Fields) -> Fields {
    let mode = fields.remove("replication").unwrap_or(Value::Null);
    let mut replication = part(
        &mut fields,
        vec![
            ("synchronous_standbys", json!(0)),
            ("synchronous_commit", json!("on")),
            ("on_standby_loss", json!("block")),
            ("max_lag", json!(MAX_LAG)),
        ],
    );
    replication["mode"] = mode;
    let detail = part(
        &mut fields,
        vec![
            ("synchronous_standby_names", json!("")),
            ("pending_standby_names", json!([])),
            ("degraded", Value::Null),
        ],
    );
    fields.insert("replication".to_owned(), replication);
    fields.insert("detail".to_owned(), json!({ "postgresql": detail }));
    fill(
        &mut fields,
        vec![
            ("platform", json!(first_platform())),
            ("verified", Value::Null),
            ("prevent_destroy", json!(false)),
        ],
    );
    fields
}

fn node(mut fields: Fields) -> Fields {
    let place = take(&mut fields, "listen", Value::Null);
    fields.insert("place".to_owned(), bound(place));
    if let Some(Value::Object(data)) = fields.get_mut("data") {
        let identifier = data.remove("system_identifier").unwrap_or(Value::Null);
        data.insert("identity".to_owned(), json!({ "system_identifier": identifier }));
    }
    if let Some(Value::Object(fenced)) = fields.get_mut("role").and_then(|role| role.get_mut("fenced")) {
        // Format 1 knew no other platform than processes of one machine.
        fill(fenced, vec![("witness", json!("processes_gone"))]);
    }
    rename(&mut fields, "held", "stopped_by_request", json!(false));
    rename(&mut fields, "adrift", "needs_rebuild", json!(false));
    let detail = part(&mut fields, vec![("slot", Value::Null), ("left_slots", json!([]))]);
    fields.insert("detail".to_owned(), json!({ "postgresql": detail }));
    fill(
        &mut fields,
        vec![
            ("parameters", json!({})),
            ("data", Value::Null),
            ("role", Value::Null),
            ("power", json!("stopped")),
            ("damage", Value::Null),
        ],
    );
    fields
}

fn bound(listen: Value) -> Value {
    match listen {
        Value::Null => Value::Null,
        listen => json!({ "bind": listen }),
    }
}

fn user(mut fields: Fields) -> Fields {
    fill(
        &mut fields,
        vec![
            ("password_digest", Value::Null),
            ("superuser", json!(false)),
            ("createdb", json!(false)),
            ("createrole", json!(false)),
            ("inherit", json!(true)),
            ("connection_limit", Value::Null),
            ("member_of", json!([])),
        ],
    );
    fields
}

fn endpoint(mut fields: Fields) -> Fields {
    if let Some(Value::Object(pooler)) = fields.get_mut("pooler") {
        let place = take(pooler, "listen", Value::Null);
        pooler.insert("place".to_owned(), bound(place));
        fill(pooler, vec![("paused", json!(false))]);
    }
    fill(&mut fields, vec![("pooler", Value::Null)]);
    fields
}
