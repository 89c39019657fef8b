//! simdb's own documents: what the monitor sees of clusters, what it does or would do, and what happened.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};
use simdb_planner::watch::{Condition, Standing};
use simdb_state::object::ElectionReason;

use super::answer::Answer;
use super::view::{ClusterView, NodeView, View};
use crate::monitor::act;
use crate::monitor::board::Event;
use crate::monitor::survey::Survey;

/// How many events one answer holds.
const MOST_EVENTS: usize = 500;

/// Answers `/v1/clusters`.
pub(super) fn clusters(view: &View) -> Answer {
    Answer::own(StatusCode::OK, clusters_document(view))
}

/// Returns all clusters, and how the monitor is.
pub(super) fn clusters_document(view: &View) -> Map<String, Value> {
    let clusters: Vec<Value> = view.clusters().map(|cluster| document(&cluster)).collect();
    Map::from_iter([
        ("monitor".to_owned(), monitor(view)),
        ("clusters".to_owned(), Value::Array(clusters)),
    ])
}

/// Answers `/v1/clusters/{cluster}`.
pub(super) fn cluster(view: &View, name: &str) -> Answer {
    match view.cluster(name) {
        Some(cluster) => {
            let members = [
                ("monitor".to_owned(), monitor(view)),
                ("cluster".to_owned(), document(&cluster)),
            ];
            Answer::own(StatusCode::OK, Map::from_iter(members))
        }
        None => Answer::unknown("cluster", name, view.clusters().map(|cluster| cluster.name.to_string())),
    }
}

fn monitor(view: &View) -> Value {
    let round = &view.round;
    let observes = match &round.standing {
        Standing::Decides => None,
        Standing::Observes(why) => Some(why),
    };
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "who": round.who,
        "started": round.started,
        "round": round.number,
        "at": round.at,
        "decides": view.decides(),
        "observes_because": observes,
        "late_ms": u64::try_from(round.late.as_millis()).unwrap_or(u64::MAX),
        "serial": round.serial,
        "store_away": round.store_away,
    })
}

fn document(cluster: &ClusterView<'_>) -> Value {
    let watched = cluster.watched;
    let pause = watched
        .pause
        .as_ref()
        .map(|pause| json!({ "who": pause.who, "since": pause.since, "until": pause.until, "reason": pause.reason }));
    let acting = watched
        .acting
        .as_ref()
        .map(|acting| json!({ "what": acting.what, "role_change": acting.is_role_change, "since": acting.since }));
    let judgement = &watched.judgement;
    let held = judgement.held.as_ref().map(|(decision, held)| {
        json!({
            "decision": decision.to_string(),
            "because": held.to_string(),
            "command": act::command(cluster.name, decision),
        })
    });
    let nodes: Vec<Value> = cluster.nodes().map(|node| node_document(&node)).collect();
    json!({
        "name": cluster.name.as_str(),
        "healthy": cluster.reasons().is_empty(),
        "reasons": cluster.reasons(),
        "stopped": cluster.is_stopped(),
        "primary": cluster.leader().map(|leader| leader.name.to_string()),
        "term": cluster.term(),
        "timeline": cluster.timeline(),
        "replication": cluster.recorded.replication,
        "sync_standbys": cluster.synchronous(),
        "sync_standbys_required": cluster.required(),
        "commits_waiting": cluster.waiting(),
        "degraded_since": cluster.recorded.degraded.as_ref().map(ToString::to_string),
        "failover": cluster.recorded.failover.mode,
        "paused": pause,
        "acting": acting,
        "decision": judgement.decision.as_ref().map(ToString::to_string),
        "held": held,
        "alarms": judgement.alarms.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "last_role_change": last_role_change(cluster),
        "endpoints": endpoints(cluster),
        "nodes": nodes,
    })
}

fn last_role_change(cluster: &ClusterView<'_>) -> Option<Value> {
    let election = cluster.election()?;
    let switch = election.switch.as_ref()?;
    Some(json!({
        "term": election.term.0,
        "to": election.primary.to_string(),
        "reason": match election.reason {
            ElectionReason::Birth => "birth",
            ElectionReason::Switchover => "switchover",
            ElectionReason::Failover => "failover",
        },
        "timeline": switch.timeline,
        "at_lsn": switch.point.to_string(),
        "verdict": switch.verdict.to_string(),
    }))
}

fn endpoints(cluster: &ClusterView<'_>) -> Vec<Value> {
    let endpoints = cluster.view.round.state.endpoints.iter();
    let own = endpoints.filter(|(address, _)| address.cluster == *cluster.name);
    own.map(|(address, endpoint)| {
        json!({
            "address": address.to_string(),
            "target": endpoint.target.to_string(),
            "nodes": endpoint.nodes.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "pooler": endpoint.pooler.as_ref().map(|pooler| pooler.place.outer().to_string()),
        })
    })
    .collect()
}

fn node_document(node: &NodeView<'_>) -> Value {
    let condition = node.condition();
    let because = match condition {
        Condition::Lost(by) => Some(by.to_string()),
        Condition::Suspect(silent) => Some(format!("no answer for {:.1} s", silent.as_secs_f64())),
        _ => None,
    };
    json!({
        "name": node.name.to_string(),
        "host": node.name.host(),
        "role": node.role(),
        "follows": node.follows().map(ToString::to_string),
        "state": node.health().words(),
        "condition": condition.to_string(),
        "because": because,
        "writes": node.writes(),
        "streams": node.streams(),
        "sync_state": if node.leads() { None } else { Some(node.sync().words()) },
        "address": node.recorded.place.as_ref().map(|place| place.outer().to_string()),
        "timeline": node.report().map(|report| report.progress.timeline),
        "lsn": node.position().map(ToString::to_string),
        "lag_bytes": if node.leads() { None } else { node.lag_bytes() },
        "lag_seconds": node.lag().map(|lag| lag.as_secs_f64()),
        "last_seen_ms": node.last_seen().map(|seen| u64::try_from(seen.as_millis()).unwrap_or(u64::MAX)),
    })
}

/// Answers `/v1/events`.
pub(super) fn events(events: &[Arc<Event>]) -> Answer {
    let most = &events[..events.len().min(MOST_EVENTS)];
    let members = [
        ("events".to_owned(), json!(most)),
        ("last".to_owned(), json!(most.last().map(|event| event.number))),
        ("more".to_owned(), json!(events.len() > MOST_EVENTS)),
    ];
    Answer::own(StatusCode::OK, Map::from_iter(members))
}

/// Answers `/v1/plan`: what an apply would do, as it was when it was last planned.
pub(super) fn plan(survey: &Survey) -> Answer {
    surveyed(survey, "plan", survey.plan.as_ref())
}

/// Answers `/v1/drift`: what differs from the record, as it was when that was last looked at.
pub(super) fn drift(survey: &Survey) -> Answer {
    surveyed(survey, "drift", survey.drift.as_ref())
}

fn surveyed(survey: &Survey, name: &str, document: Option<&Value>) -> Answer {
    let members = [
        ("at".to_owned(), json!(survey.at)),
        ("serial".to_owned(), json!(survey.serial)),
        (name.to_owned(), document.cloned().unwrap_or_default()),
        ("diagnostics".to_owned(), json!(survey.diagnostics)),
    ];
    Answer::own(StatusCode::OK, Map::from_iter(members))
}

/// Answers `/livez`: whether the monitor's loop runs.
pub(super) fn live(view: &View) -> Answer {
    told(view.is_fresh(), "the last round is too old")
}

/// Answers `/readyz`: whether the monitor has seen a round, and reads the state.
pub(super) fn ready(view: &View) -> Answer {
    match &view.round.store_away {
        Some(why) => told(false, why),
        None => told(view.is_fresh() && view.round.number > 0, "no round is over yet"),
    }
}

fn told(is_good: bool, otherwise: &str) -> Answer {
    if is_good {
        Answer::text(StatusCode::OK, "ok\n")
    } else {
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, format!("{otherwise}\n"))
    }
}
