//! simdb's own metrics: of the monitor, of clusters, of nodes and their replication.

mod slots;
mod times;

use simdb_state::object::Verdict;

use super::exposition::{Exposition, Format, Kind, flag, number};
use super::tally::Tally;
use super::view::{Awaited, ClusterView, NodeView, View, bytes};
use crate::monitor::board;
use crate::monitor::journal::Journal;
use crate::monitor::notify::Deliveries;
use crate::monitor::survey::{Counts, Survey};

/// What metrics count beside what the round shows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counted<'a> {
    pub(super) tally: &'a Tally,
    pub(super) survey: &'a Survey,
    pub(super) deliveries: &'a Deliveries,
    pub(super) journal: &'a Journal,
}

/// Writes all of them.
pub(super) fn write(view: &View, counted: &Counted<'_>, format: Format) -> String {
    let Counted {
        tally,
        survey,
        deliveries,
        journal,
    } = counted;
    let mut out = Exposition::new(format);
    monitor(&mut out, view);
    clusters(&mut out, view);
    nodes(&mut out, view);
    replication(&mut out, view);
    slots::write(&mut out, view);
    counters(&mut out, view, tally);
    times::write(&mut out, view, tally, journal);
    surveyed(&mut out, view, survey);
    delivered(&mut out, deliveries);
    out.end()
}

fn monitor(out: &mut Exposition, view: &View) {
    let round = &view.round;
    let mut gauge = |name, help, value: f64| out.family(Kind::Gauge, name, help).value(&[], value);
    gauge(
        "simdb_monitor_leader",
        "1 if this monitor may decide, 0 if it only observes.",
        flag(view.decides()),
    );
    gauge(
        "simdb_monitor_store_up",
        "1 if the state can be read.",
        flag(round.store_away.is_none() && view.is_fresh()),
    );
    gauge(
        "simdb_monitor_loop_late_seconds",
        "By how much the last round came too late.",
        round.late.as_secs_f64(),
    );
    gauge(
        "simdb_monitor_round_age_seconds",
        "How long ago the last round was.",
        view.age.as_secs_f64(),
    );
}

/// Writes one metric of every cluster.
fn each(
    out: &mut Exposition,
    view: &View,
    name: &'static str,
    help: &str,
    value: impl Fn(&ClusterView<'_>) -> Option<f64>,
) {
    let mut family = out.family(Kind::Gauge, name, help);
    for cluster in view.clusters() {
        family.value(&[("cluster", cluster.name.as_str())], value(&cluster));
    }
}

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method itself is one of a single lifetime"
)]
fn clusters(out: &mut Exposition, view: &View) {
    let mut flags = |name, help, holds: fn(&ClusterView<'_>) -> bool| {
        each(out, view, name, help, |cluster| Some(flag(holds(cluster))));
    };
    flags(
        "simdb_cluster_healthy",
        "1 if the cluster is as it should be.",
        |cluster| cluster.reasons().is_empty(),
    );
    flags(
        "simdb_cluster_stopped",
        "1 if all servers of the cluster are to be down.",
        |cluster| cluster.is_stopped(),
    );
    flags(
        "simdb_cluster_paused",
        "1 if the monitor is paused for the cluster.",
        |cluster| cluster.watched.pause.is_some(),
    );
    flags(
        "simdb_cluster_degraded",
        "1 if commits wait for fewer standbys than they are to.",
        |cluster| cluster.recorded.degraded.is_some(),
    );
    flags(
        "simdb_cluster_failover_automatic",
        "1 if the monitor may let a standby take over.",
        |cluster| cluster.is_automatic(),
    );
    each(out, view, "simdb_cluster_term", "Counts the elections.", |cluster| {
        Some(number(cluster.term()))
    });
    each(
        out,
        view,
        "simdb_cluster_timeline",
        "The timeline that the primary writes.",
        |cluster| cluster.timeline().map(f64::from),
    );
    each(
        out,
        view,
        "simdb_sync_standbys",
        "The standbys that commits wait for, as the primary sees them.",
        |cluster| Some(f64::from(cluster.synchronous())),
    );
    each(
        out,
        view,
        "simdb_sync_standbys_required",
        "The standbys that commits are to wait for.",
        |cluster| Some(f64::from(cluster.required())),
    );
    each(
        out,
        view,
        "simdb_commits_waiting",
        "The commits that wait for standbys.",
        |cluster| Some(f64::from(cluster.waiting())),
    );
    verdicts(out, view);
}

fn verdicts(out: &mut Exposition, view: &View) {
    let mut family = out.family(
        Kind::Gauge,
        "simdb_acknowledged_writes_verdict",
        "What is known of the writes that were acknowledged before the last role change.",
    );
    for cluster in view.clusters() {
        let Some(switch) = cluster.election().and_then(|election| election.switch.as_ref()) else {
            continue;
        };
        let holds = match switch.verdict {
            Verdict::Proven { .. } => "proven",
            Verdict::Argued { .. } => "argued",
            Verdict::Unknown(_) => "unknown",
        };
        for verdict in ["proven", "argued", "unknown"] {
            let labels = [("cluster", cluster.name.as_str()), ("verdict", verdict)];
            family.value(&labels, flag(verdict == holds));
        }
    }
}

/// Writes one metric of every node.
fn each_node(
    out: &mut Exposition,
    view: &View,
    name: &'static str,
    help: &str,
    value: impl Fn(&NodeView<'_>) -> Option<f64>,
) {
    let mut family = out.family(Kind::Gauge, name, help);
    for cluster in view.clusters() {
        for node in cluster.nodes() {
            let host = node.name.host();
            family.value(&[("cluster", cluster.name.as_str()), ("node", &host)], value(&node));
        }
    }
}

/// Writes one metric of every node, 1 for the word that holds and 0 for the others.
fn each_word(
    out: &mut Exposition,
    view: &View,
    (name, help): (&'static str, &str),
    (label, words): (&str, &[&str]),
    holds: impl Fn(&NodeView<'_>) -> &'static str,
) {
    let mut family = out.family(Kind::Gauge, name, help);
    for cluster in view.clusters() {
        for node in cluster.nodes() {
            let (host, one) = (node.name.host(), holds(&node));
            for word in words {
                let labels = [("cluster", cluster.name.as_str()), ("node", &host), (label, word)];
                family.value(&labels, flag(*word == one));
            }
        }
    }
}

#[expect(
    clippy::redundant_closure_for_method_calls,
    reason = "the method itself is one of a single lifetime"
)]
fn nodes(out: &mut Exposition, view: &View) {
    each_node(
        out,
        view,
        "simdb_node_up",
        "1 if the server runs and answers.",
        |node| Some(flag(node.is_running())),
    );
    each_node(
        out,
        view,
        "simdb_node_writable",
        "1 if the server takes writes.",
        |node| Some(flag(node.writes())),
    );
    each_word(
        out,
        view,
        ("simdb_node_role", "The role on record."),
        ("role", &["primary", "standby", "fenced"]),
        |node| node.role(),
    );
    each_node(
        out,
        view,
        "simdb_node_last_seen_seconds",
        "How long ago the server last answered.",
        |node| node.last_seen().map(|seen| seen.as_secs_f64()),
    );
    each_node(
        out,
        view,
        "simdb_node_lsn_bytes",
        "How far the server has come in the log: written, or received.",
        |node| node.position().map(|position| number(bytes(position))),
    );
    each_node(
        out,
        view,
        "simdb_node_replay_paused",
        "1 if the replay of the log is paused.",
        |node| node.report().map(|report| flag(report.paused)),
    );
    each_node(
        out,
        view,
        "simdb_node_start_time_seconds",
        "When the server started, in seconds since 1970.",
        |node| {
            let started = node.report()?.started?;
            u64::try_from(started).ok().map(number)
        },
    );
}

fn replication(out: &mut Exposition, view: &View) {
    let mut family = out.family(
        Kind::Gauge,
        "simdb_replication_lag_bytes",
        "How many bytes of the primary's log a standby has yet to receive, or to replay.",
    );
    for cluster in view.clusters() {
        for node in cluster.standbys() {
            let host = node.name.host();
            let stages = [("receive", node.receive_lag_bytes()), ("replay", node.lag_bytes())];
            for (stage, lag) in stages {
                let labels = [("cluster", cluster.name.as_str()), ("node", &host), ("stage", stage)];
                family.value(&labels, lag.map(number));
            }
        }
    }
    each_node(
        out,
        view,
        "simdb_replication_lag_seconds",
        "How long ago the last thing was written that a standby has yet to replay.",
        |node| node.lag().map(|lag| lag.as_secs_f64()),
    );
    each_node(
        out,
        view,
        "simdb_replication_streaming",
        "1 if a standby streams, as its upstream sees it.",
        |node| (!node.leads()).then(|| flag(node.streams())),
    );
    each_word(
        out,
        view,
        ("simdb_sync_state", "Whether commits wait for a standby."),
        ("state", &Awaited::ALL.map(Awaited::words)),
        |node| node.sync().words(),
    );
}

fn counters(out: &mut Exposition, view: &View, tally: &Tally) {
    let told: &[(&'static str, &str, board::Kind)] = &[
        (
            "simdb_failovers_total",
            "Failovers that this monitor has carried through.",
            board::Kind::FailedOver,
        ),
        (
            "simdb_decisions_refused_total",
            "What the planner or the policy refused to this monitor.",
            board::Kind::Refused,
        ),
        (
            "simdb_decisions_failed_total",
            "What this monitor began and failed.",
            board::Kind::Failed,
        ),
        (
            "simdb_orders_total",
            "What people asked of this monitor over its API, and it began.",
            board::Kind::Ordered,
        ),
        (
            "simdb_alarms_total",
            "How often an alarm was raised.",
            board::Kind::Alarm,
        ),
        (
            "simdb_suspicions_total",
            "How often a node did not answer for a moment.",
            board::Kind::Suspected,
        ),
    ];
    for (name, help, kind) in told {
        let mut family = out.family(Kind::Counter, name, help);
        for cluster in view.clusters() {
            let count = tally.events(cluster.name, *kind);
            family.value(&[("cluster", cluster.name.as_str())], number(count));
        }
    }
    each(
        out,
        view,
        "simdb_last_failover_seconds",
        "How long the last failover took that this monitor saw: from the loss of the primary until another node led.",
        |cluster| tally.last_failover(cluster.name).map(|took| took.as_secs_f64()),
    );
    let mut family = out.family(
        Kind::Counter,
        "simdb_http_requests_total",
        "Requests that this monitor has answered.",
    );
    for ((path, code), count) in tally.requests() {
        family.value(&[("path", &path), ("code", &code.to_string())], number(count));
    }
}

/// Writes what the last plan and the last look for drift found, by cluster.
fn surveyed(out: &mut Exposition, view: &View, survey: &Survey) {
    let counted: [(&'static str, &str, Option<&Counts>); 2] = [
        (
            "simdb_plan_changes",
            "The changes that an apply of the configuration would make.",
            survey.changes.as_ref(),
        ),
        (
            "simdb_drift",
            "The objects that differ from what the last apply left.",
            survey.differences.as_ref(),
        ),
    ];
    for (name, help, counts) in counted {
        each(out, view, name, help, |cluster| {
            let count = counts?.get(cluster.name).copied().unwrap_or_default();
            Some(number(count))
        });
    }
}

fn delivered(out: &mut Exposition, deliveries: &Deliveries) {
    let mut family = out.family(
        Kind::Counter,
        "simdb_notifications_total",
        "Events that hooks were told of, and that they could not be told of.",
    );
    for ((hook, told), count) in deliveries.counts() {
        let result = if told { "told" } else { "failed" };
        family.value(&[("hook", &hook), ("result", result)], number(count));
    }
}
