//! Patroni's REST paths, for each node: what load balancers, probes and exporters ask for is answered as Patroni answers it.

mod document;
mod metrics;
mod query;

use axum::http::StatusCode;

use super::answer::Answer;
use super::view::{Awaited, ClusterView, NodeView};

pub(super) use self::document::{cluster, history};
pub(super) use self::metrics::write as metrics;
pub(super) use self::query::Query;

/// The checks of a node, each with all of its names.
pub(super) const CHECKS: &[(Check, &[&str])] = &[
    (Check::Primary, &["", "primary", "read-write", "master", "leader"]),
    (Check::StandbyLeader, &["standby-leader", "standby_leader"]),
    (Check::Replica, &["replica"]),
    (Check::ReadOnly, &["read-only"]),
    (Check::Sync, &["sync", "synchronous"]),
    (Check::Quorum, &["quorum"]),
    (Check::Async, &["async", "asynchronous"]),
    (Check::ReadOnlySync, &["read-only-sync"]),
    (Check::ReadOnlyQuorum, &["read-only-quorum"]),
    (Check::Health, &["health"]),
    (Check::Liveness, &["liveness"]),
    (Check::Readiness, &["readiness"]),
    (Check::Patroni, &["patroni"]),
];

/// What is asked of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    Primary,
    StandbyLeader,
    Replica,
    ReadOnly,
    Sync,
    Quorum,
    Async,
    ReadOnlySync,
    ReadOnlyQuorum,
    Health,
    Liveness,
    Readiness,
    Patroni,
}

/// Answers a check of a node.
pub(super) fn answer(check: Check, node: &NodeView<'_>, query: &Query) -> Answer {
    let status = if holds(check, node, query) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    match check {
        Check::Liveness | Check::Readiness => Answer::status(status),
        _ => Answer::json(status, &document::node(node)),
    }
}

fn holds(check: Check, node: &NodeView<'_>, query: &Query) -> bool {
    let leads = node.serves_writes();
    let replica = || node.is_replica() && query.admits(node);
    match check {
        Check::Primary => leads,
        // No cluster follows a server of another one.
        Check::StandbyLeader => false,
        Check::Replica => replica(),
        Check::ReadOnly => leads || replica(),
        Check::Sync => replica() && node.sync() == Awaited::Sync,
        Check::Quorum => replica() && node.sync() == Awaited::Quorum,
        Check::Async => replica() && !matches!(node.sync(), Awaited::Sync | Awaited::Quorum),
        Check::ReadOnlySync => leads || (replica() && node.sync() == Awaited::Sync),
        Check::ReadOnlyQuorum => leads || (replica() && node.sync() == Awaited::Quorum),
        Check::Health => node.is_running(),
        Check::Liveness => node.cluster.view.is_fresh() || node.cluster.watched.pause.is_some(),
        Check::Readiness => leads || (node.streams() && query.is_ready(node)),
        Check::Patroni => true,
    }
}

/// Returns whether no node is seen to lead.
fn is_unlocked(cluster: &ClusterView<'_>) -> bool {
    !cluster.leader().is_some_and(|leader| leader.serves_writes())
}
