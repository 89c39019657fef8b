//! Patroni's documents: of a node, of a cluster, of its history.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use simdb_state::object::{ElectionReason, FAILOVER_PRIORITY};
use simdb_state::place::HostPort;

use super::super::answer::Answer;
use super::super::view::{Awaited, ClusterView, NodeView, bytes};
use super::is_unlocked;

/// The release of Patroni whose answers these are.
pub(super) const VERSION: &str = "4.1.4";

/// Returns what a node is, and what its server said last.
pub(super) fn node(node: &NodeView<'_>) -> Value {
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    put("state", node.health().words().into());
    put("role", role(node).into());
    if let Some(report) = node.report() {
        put("postmaster_start_time", report.started.and_then(time).into());
        put("server_version", report.version.into());
        put("timeline", report.progress.timeline.into());
        put("xlog", position(node));
        if !report.senders.is_empty() {
            put("replication", senders(node));
        }
    }
    put("replication_state", replication_state(node).into());
    match node.sync() {
        Awaited::Sync => put("sync_standby", true.into()),
        Awaited::Quorum => put("quorum_standby", true.into()),
        Awaited::Potential | Awaited::Async | Awaited::Unknown => {}
    }
    if is_unlocked(&node.cluster) {
        put("cluster_unlocked", true.into());
    }
    if node.cluster.watched.pause.is_some() {
        put("pause", true.into());
    }
    put("dcs_last_seen", last_seen(node).into());
    let data = node.recorded.data.as_ref();
    put(
        "database_system_identifier",
        data.map(|data| data.identity.to_string()).into(),
    );
    let tags = tags(node);
    if !tags.is_empty() {
        put("tags", Value::Object(tags));
    }
    put(
        "patroni",
        json!({ "version": VERSION, "scope": node.cluster.name.as_str(), "name": node.name.host() }),
    );
    document.retain(|_, value| !value.is_null());
    Value::Object(document)
}

fn role(node: &NodeView<'_>) -> &'static str {
    let writes = node.report().map_or(node.leads(), |report| report.writes);
    if writes { "primary" } else { "replica" }
}

fn position(node: &NodeView<'_>) -> Value {
    match node.report() {
        Some(report) if report.writes => json!({ "location": bytes(&report.progress.position) }),
        Some(report) => json!({
            "received_location": bytes(&report.progress.position),
            "replayed_location": bytes(&report.replayed),
            "paused": report.paused,
        }),
        None => Value::Null,
    }
}

fn senders(node: &NodeView<'_>) -> Value {
    let senders = node.report().into_iter().flat_map(|report| &report.senders);
    let senders = senders.map(|(name, sender)| {
        json!({
            "application_name": name,
            "state": if sender.streams { "streaming" } else { "catchup" },
            "sync_state": sender.sync_state,
        })
    });
    senders.collect()
}

/// Returns how a replica gets its log; nothing for a primary.
pub(super) fn replication_state(node: &NodeView<'_>) -> Option<&'static str> {
    match node.report() {
        Some(report) if node.is_replica() => Some(if report.receives {
            "streaming"
        } else {
            "in archive recovery"
        }),
        _ => None,
    }
}

/// Returns what sets a node apart from others.
pub(super) fn tags(node: &NodeView<'_>) -> Map<String, Value> {
    match node.cluster.recorded.failover.priority(node.name) {
        FAILOVER_PRIORITY => Map::new(),
        0 => Map::from_iter([("nofailover".to_owned(), true.into())]),
        priority => Map::from_iter([("failover_priority".to_owned(), priority.into())]),
    }
}

/// Returns a value as it is compared with what a query says.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn time(seconds: i64) -> Option<String> {
    let at = Timestamp::from_second(seconds).ok()?;
    Some(at.strftime("%Y-%m-%d %H:%M:%S.%6f+00:00").to_string())
}

/// Returns when the record was last read, in seconds since 1970.
pub(super) fn last_seen(node: &NodeView<'_>) -> Option<i64> {
    let round = &node.cluster.view.round;
    round.store_away.is_none().then(|| round.at.as_second())
}

/// Answers `/cluster`.
pub(in super::super) fn cluster(cluster: &ClusterView<'_>, api: &str) -> Answer {
    let mut members: Vec<(String, Value)> = cluster
        .nodes()
        .map(|node| (node.name.host(), member(&node, api)))
        .collect();
    members.sort_by(|a, b| a.0.cmp(&b.0));
    let members: Vec<Value> = members.into_iter().map(|(_, member)| member).collect();
    let mut document = json!({ "members": members, "scope": cluster.name.as_str() });
    if cluster.watched.pause.is_some() {
        document["pause"] = true.into();
    }
    Answer::json(StatusCode::OK, &document)
}

fn member(node: &NodeView<'_>, api: &str) -> Value {
    let mut document = Map::new();
    let mut put = |name: &str, value: Value| drop(document.insert(name.to_owned(), value));
    let (cluster, name) = (node.cluster.name, node.name.host());
    put("name", name.clone().into());
    put("role", member_role(node).into());
    let streaming = replication_state(node) == Some("streaming");
    put(
        "state",
        if streaming { "streaming" } else { node.health().words() }.into(),
    );
    put("api_url", format!("{api}/patroni/{cluster}/{name}/patroni").into());
    if let Some(HostPort { host, port }) = node.peer() {
        put("host", host.to_string().into());
        put("port", (*port).into());
    }
    if let Some(report) = node.report() {
        put("timeline", report.progress.timeline.into());
    }
    let tags = tags(node);
    if !tags.is_empty() {
        put("tags", Value::Object(tags));
    }
    if !node.leads() {
        put_lag(node, put);
    }
    Value::Object(document)
}

fn put_lag(node: &NodeView<'_>, mut put: impl FnMut(&str, Value)) {
    let known = |value: Option<Value>| value.unwrap_or_else(|| "unknown".into());
    let report = node.report();
    let received = report.map(|report| report.progress.position.to_string().into());
    let replayed = report.map(|report| report.replayed.to_string().into());
    let lag = node.lag_bytes().map(Value::from);
    put("receive_lsn", known(received.clone()));
    put("receive_lag", known(node.receive_lag_bytes().map(Value::from)));
    put("replay_lsn", known(replayed));
    put("replay_lag", known(lag.clone()));
    put("lsn", known(received));
    put("lag", known(lag));
}

fn member_role(node: &NodeView<'_>) -> &'static str {
    match node.sync() {
        _ if node.leads() => "leader",
        Awaited::Sync => "sync_standby",
        Awaited::Quorum => "quorum_standby",
        Awaited::Potential | Awaited::Async | Awaited::Unknown => "replica",
    }
}

/// Answers `/history`: the record holds the last role change.
pub(in super::super) fn history(cluster: &ClusterView<'_>) -> Answer {
    let lines = cluster.election().and_then(|election| {
        let switch = election.switch.as_ref()?;
        let reason = match election.reason {
            ElectionReason::Birth => "birth",
            ElectionReason::Switchover => "switchover",
            ElectionReason::Failover => "failover",
        };
        let former = switch.timeline?.saturating_sub(1);
        Some(json!([
            former,
            bytes(&switch.point),
            reason,
            null,
            election.primary.host()
        ]))
    });
    Answer::json(StatusCode::OK, &lines.into_iter().collect::<Vec<Value>>())
}
