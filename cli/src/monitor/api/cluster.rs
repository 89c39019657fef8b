//! `/cluster/status`, `/cluster/nodes`, `/cluster/health` and `/health`, for programs that ask for a cluster, or for all of them.

use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Value, json};
use simdb_state::object::ReplicationMode;

use super::answer::Answer;
use super::view::{ClusterView, NodeView, View, bytes};

/// What stands for a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// Chooses the cluster that is meant: the one that is named, or the only one.
pub(super) fn chosen<'a>(view: &'a View, named: Option<&str>) -> Result<ClusterView<'a>, Answer> {
    let known = || view.clusters().map(|cluster| cluster.name.to_string());
    if let Some(name) = named {
        return view
            .cluster(name)
            .ok_or_else(|| Answer::unknown("cluster", name, known()));
    }
    let mut clusters = view.clusters();
    match (clusters.next(), clusters.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(Answer::error(StatusCode::NOT_FOUND, "the state has no cluster yet")),
        (Some(_), Some(_)) => {
            let choices: Vec<String> = known().collect();
            let document =
                json!({ "error": "there are several clusters; choose one with ?cluster=", "clusters": choices });
            Err(Answer::json(StatusCode::MULTIPLE_CHOICES, &document))
        }
    }
}

/// Answers `/cluster/status`.
pub(super) fn status(view: &View, cluster: Option<&str>, node: Option<&str>, address: &str) -> Answer {
    let cluster = match chosen(view, cluster) {
        Ok(cluster) => cluster,
        Err(answer) => return answer,
    };
    let found = match node {
        Some(name) => cluster.node(name),
        None => cluster.leader().or_else(|| cluster.nodes().next()),
    };
    if let Some(node) = found {
        return Answer::json(StatusCode::OK, &status_of(&node, address));
    }
    let known = cluster.nodes().map(|node| node.name.to_string());
    Answer::unknown("node", node.unwrap_or("primary"), known)
}

fn status_of(node: &NodeView<'_>, address: &str) -> Value {
    let cluster = node.cluster;
    let started = node.report().and_then(|report| report.started);
    let started = started.and_then(|started| Timestamp::from_second(started).ok());
    let now = cluster.view.round.at.as_second();
    let uptime = started.map_or(0, |started| now.saturating_sub(started.as_second()).max(0));
    let role = role(node);
    let peer = node.peer();
    let senders = node.report().map_or(0, |report| report.senders.len());
    let acting = cluster.watched.acting.as_ref();
    json!({
        "node": {
            "id": node.name.host(),
            "raft_address": address,
            "replication_port": peer.map(|peer| peer.port),
            "role": role,
            "start_time": started.map_or_else(|| NEVER.to_owned(), |started| started.to_string()),
            "uptime_seconds": if node.is_running() { uptime } else { 0 },
        },
        "raft": {
            "term": cluster.term(),
            "state": if node.leads() { "LEADER" } else { "FOLLOWER" },
            "leader": cluster.leader().map(|leader| leader.name.host()),
        },
        "replication": {
            "mode": mode(&cluster),
            "node_id": node.name.host(),
            "address": peer.map(ToString::to_string),
            "state": if node.is_running() { "ACTIVE" } else { "INACTIVE" },
            "last_lsn": node.position().map_or(0, bytes),
            "replica_count": senders,
        },
        "failover": {
            "current_role": role,
            "is_healthy": node.is_running(),
            "last_failover": cluster.last_failover().map_or_else(|| NEVER.to_owned(), |at| at.to_string()),
            "failover_in_progress": acting.is_some_and(|acting| acting.is_role_change),
        },
        "cluster": { "is_healthy": cluster.reasons().is_empty() },
    })
}

fn role(node: &NodeView<'_>) -> &'static str {
    if node.leads() { "PRIMARY" } else { "REPLICA" }
}

fn mode(cluster: &ClusterView<'_>) -> &'static str {
    match cluster.recorded.replication {
        ReplicationMode::Async => "async",
        ReplicationMode::Sync => "sync",
        ReplicationMode::Quorum => "quorum",
    }
}

/// Answers `/cluster/nodes`: all nodes, or those of one cluster.
pub(super) fn nodes(view: &View, named: Option<&str>) -> Answer {
    let nodes: Vec<Value> = match named {
        Some(_) => match chosen(view, named) {
            Ok(cluster) => cluster.nodes().map(|node| node_of(&node)).collect(),
            Err(answer) => return answer,
        },
        None => view
            .clusters()
            .flat_map(|cluster| cluster.nodes())
            .map(|node| node_of(&node))
            .collect(),
    };
    Answer::json(StatusCode::OK, &nodes)
}

fn node_of(node: &NodeView<'_>) -> Value {
    let milliseconds = node
        .last_seen()
        .map(|seen| u64::try_from(seen.as_millis()).unwrap_or(u64::MAX));
    json!({
        "id": node.name.host(),
        "cluster": node.cluster.name.as_str(),
        "role": role(node),
        "state": node.health().words(),
        "address": node.peer().map(|peer| peer.host.to_string()),
        "port": node.peer().map(|peer| peer.port),
        "term": node.cluster.term(),
        "timeline": node.report().map(|report| report.progress.timeline),
        "lsn": node.position().map(ToString::to_string),
        "lag_bytes": if node.leads() { None } else { node.lag_bytes() },
        "lag_seconds": node.lag().map(|lag| lag.as_secs_f64()),
        "sync_state": if node.leads() { None } else { Some(node.sync().words()) },
        "is_healthy": node.is_running(),
        "last_seen_ms": milliseconds,
    })
}

/// Answers `/cluster/health`.
pub(super) fn health(view: &View, named: Option<&str>) -> Answer {
    let cluster = match chosen(view, named) {
        Ok(cluster) => cluster,
        Err(answer) => return answer,
    };
    let reasons = cluster.reasons();
    let document = json!({
        "is_healthy": reasons.is_empty(),
        "primary": cluster.leader().map(|leader| leader.name.host()),
        "standbys_streaming": cluster.standbys().filter(NodeView::streams).count(),
        "synchronous": cluster.synchronous(),
        "reasons": reasons,
    });
    Answer::json(good(reasons.is_empty()), &document)
}

/// Answers `/health`: whether primaries and replicas are reached, of all clusters or of one.
pub(super) fn overall(view: &View, named: Option<&str>) -> Answer {
    if let Some(name) = named
        && view.cluster(name).is_none()
    {
        return Answer::unknown("cluster", name, view.clusters().map(|cluster| cluster.name.to_string()));
    }
    let meant = |cluster: &ClusterView<'_>| named.is_none_or(|name| cluster.name.as_str() == name);
    let clusters = || view.clusters().filter(meant).filter(|cluster| !cluster.is_stopped());
    let primaries: Vec<bool> = clusters()
        .map(|cluster| cluster.leader().is_some_and(|leader| leader.serves_writes()))
        .collect();
    let replicas: Vec<bool> = clusters()
        .flat_map(|cluster| cluster.standbys())
        .map(|standby| standby.is_replica())
        .collect();
    let connected = |all: &[bool]| match all {
        [] => None,
        all if all.iter().all(|connected| *connected) => Some("connected"),
        _ => Some("disconnected"),
    };
    let is_healthy = view.is_fresh() && primaries.iter().chain(&replicas).all(|connected| *connected);
    let document = json!({
        "status": if is_healthy { "healthy" } else { "unhealthy" },
        "version": env!("CARGO_PKG_VERSION"),
        "db_primary": connected(&primaries),
        "db_replica": connected(&replicas),
    });
    Answer::json(good(is_healthy), &document)
}

/// Returns the status of an answer to a health check.
pub(super) fn good(is_good: bool) -> StatusCode {
    if is_good {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}
