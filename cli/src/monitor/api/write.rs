//! What changes something: each path becomes an order to the watcher, or a pause in the record, and is answered with what came of it.

mod body;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use jiff::Timestamp;
use serde_json::{Map, Value};
use simdb_state::claim::Pause;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::store::StoreError;
use tokio::time::timeout;

use super::Api;
use super::answer::Answer;
use super::server::Peer;
use super::view::{ClusterView, View};
use crate::monitor::order::{Order, Ordered, Reply};
use crate::monitor::outcome::Outcome;

/// How many bytes of a body are read, and how long that may take.
const BODY: usize = 64 * 1024;
const SENT_WITHIN: Duration = Duration::from_secs(10);

/// How long an answer waits for what it is about. What takes longer goes on.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a path changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Write {
    Switchover,
    Failover,
    Restart,
    Resync,
    Pause,
    Unpause,
    PatroniSwitchover,
    PatroniFailover,
    PatroniRestart,
    PatroniReinitialize,
}

/// The paths below `/v1/clusters/{cluster}` and below `/patroni/{cluster}/{node}`.
pub(super) const OWN: [(&str, Write); 6] = [
    ("switchover", Write::Switchover),
    ("failover", Write::Failover),
    ("restart", Write::Restart),
    ("resync", Write::Resync),
    ("pause", Write::Pause),
    ("unpause", Write::Unpause),
];
pub(super) const PATRONI: [(&str, Write); 4] = [
    ("switchover", Write::PatroniSwitchover),
    ("failover", Write::PatroniFailover),
    ("restart", Write::PatroniRestart),
    ("reinitialize", Write::PatroniReinitialize),
];

impl Write {
    /// Returns whether it is answered as Patroni would.
    pub(super) fn is_of_patroni(self) -> bool {
        PATRONI.iter().any(|(_, write)| *write == self)
    }
}

/// What a request asks for, once its body is read.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Order(Order),
    Pause {
        seconds: Option<u32>,
        reason: Option<String>,
    },
    Unpause,
}

/// Answers a request that changes something.
pub(super) async fn answer(
    write: Write,
    State(api): State<Api>,
    Path(path): Path<BTreeMap<String, String>>,
    Extension(Peer(peer)): Extension<Peer>,
    body: Body,
) -> Answer {
    let body = match timeout(SENT_WITHIN, to_bytes(body, BODY)).await {
        Ok(Ok(body)) => body,
        Ok(Err(_)) => {
            return Answer::error(
                StatusCode::PAYLOAD_TOO_LARGE,
                "the body is too large, or was broken off",
            );
        }
        Err(_) => return Answer::error(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
    };
    let (cluster, asked) = match read(write, &path, &body, &api.view()) {
        Ok(read) => read,
        Err(answer) => return answer,
    };
    let who = format!("{peer}, over the API");
    match asked {
        Asked::Order(order) => give(write, &api, Ordered { cluster, order, who }).await,
        Asked::Pause { seconds, reason } => {
            let until = seconds.map(|seconds| Timestamp::now().as_second().saturating_add(seconds.into()));
            paused(&api, &cluster, Some(&Pause::new(who, until, reason))).await
        }
        Asked::Unpause => paused(&api, &cluster, None).await,
    }
}

/// Reads what is asked for, and finds the cluster and the nodes that are named.
fn read(
    write: Write,
    path: &BTreeMap<String, String>,
    body: &[u8],
    view: &View,
) -> Result<(ClusterName, Asked), Answer> {
    let part = |name: &str| path.get(name).map_or("", String::as_str);
    let known = || view.clusters().map(|cluster| cluster.name.to_string());
    let name = part("cluster");
    let cluster = view
        .cluster(name)
        .ok_or_else(|| Answer::unknown("cluster", name, known()))?;
    let asked = if write.is_of_patroni() {
        let node = part("node");
        let found = cluster.node(node);
        let nodes = || cluster.nodes().map(|node| node.name.to_string());
        let found = found.ok_or_else(|| Answer::unknown("node", node, nodes()))?;
        Asked::Order(body::of_patroni(write, &found, body)?)
    } else {
        body::own(write, &cluster, body)?
    };
    Ok((cluster.name.clone(), asked))
}

/// Returns the node that a body names.
fn named(cluster: &ClusterView<'_>, name: &str) -> Option<NodeName> {
    cluster.node(name).map(|node| node.name.clone())
}

async fn give(write: Write, api: &Api, ordered: Ordered) -> Answer {
    let what = ordered.order.to_string();
    let to = match &ordered.order {
        Order::Switchover { to } | Order::Failover { to, .. } => to.clone(),
        Order::Restart { .. } | Order::Resync { .. } => None,
    };
    let outcome = match api.orders.give(ordered).await {
        Some(Reply::Begun(outcome)) => outcome,
        Some(Reply::Busy(with)) => return busy(write, &with),
        None => {
            return told(
                write,
                StatusCode::SERVICE_UNAVAILABLE,
                "failed",
                &what,
                "the monitor ends",
            );
        }
    };
    if write == Write::PatroniReinitialize {
        return Answer::text(StatusCode::OK, "reinitialize started");
    }
    match timeout(PATIENCE, outcome).await {
        Ok(Ok(Outcome::Done)) if write.is_of_patroni() => Answer::text(StatusCode::OK, success(write, to.as_ref())),
        Ok(Ok(Outcome::Done)) => told(write, StatusCode::OK, "done", &what, ""),
        Ok(Ok(Outcome::Refused(why))) if write.is_of_patroni() => Answer::text(StatusCode::PRECONDITION_FAILED, why),
        Ok(Ok(Outcome::Refused(why))) => told(write, StatusCode::UNPROCESSABLE_ENTITY, "refused", &what, &why),
        Ok(Ok(Outcome::Failed(why))) => told(write, StatusCode::SERVICE_UNAVAILABLE, "failed", &what, &why),
        Ok(Err(_)) => told(
            write,
            StatusCode::SERVICE_UNAVAILABLE,
            "failed",
            &what,
            "the monitor ends",
        ),
        Err(_) => {
            let why = "it goes on; /v1/clusters and /v1/runs show how far it is";
            told(write, StatusCode::ACCEPTED, "begun", &what, why)
        }
    }
}

/// Returns what Patroni answers where all went well.
fn success(write: Write, to: Option<&NodeName>) -> String {
    let to = to.map(|to| format!(" to \"{}\"", to.host())).unwrap_or_default();
    match write {
        Write::PatroniSwitchover => format!("Successfully switched over{to}"),
        Write::PatroniFailover => format!("Successfully failed over{to}"),
        _ => "restarted successfully".to_owned(),
    }
}

fn busy(write: Write, with: &str) -> Answer {
    let why = format!("the monitor is at work: {with}");
    if write.is_of_patroni() {
        return Answer::text(StatusCode::SERVICE_UNAVAILABLE, why);
    }
    Answer::error(StatusCode::CONFLICT, why)
}

fn told(write: Write, status: StatusCode, outcome: &str, what: &str, why: &str) -> Answer {
    if write.is_of_patroni() {
        return Answer::text(status, if why.is_empty() { outcome } else { why });
    }
    let text = |value: &str| Value::String(value.to_owned());
    let mut members = Map::from_iter([("outcome".to_owned(), text(outcome)), ("what".to_owned(), text(what))]);
    if !why.is_empty() {
        members.insert("because".to_owned(), text(why));
    }
    Answer::own(status, members)
}

async fn paused(api: &Api, cluster: &ClusterName, pause: Option<&Pause>) -> Answer {
    match api.store.set_pause(cluster, pause).await {
        Ok(before) => {
            let what = match (&before, pause) {
                (_, Some(_)) => "pause".to_owned(),
                (Some(before), None) => format!("unpause; it was paused by {}", before.who),
                (None, None) => "unpause; it was not paused".to_owned(),
            };
            told(Write::Pause, StatusCode::OK, "done", &what, "")
        }
        Err(error) => away(&error),
    }
}

/// Answers that the record cannot be read or written.
pub(super) fn away(error: &StoreError) -> Answer {
    let why = crate::monitor::record::words(error);
    Answer::error(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("the state does not answer: {why}"),
    )
}

#[cfg(test)]
mod tests;
