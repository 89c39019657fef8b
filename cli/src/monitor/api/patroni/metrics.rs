//! Patroni's metrics of a node, by its names, so that boards and alerts for Patroni work.

use simdb_state::position::Position;

use super::super::exposition::{Exposition, Format, Kind, flag, number};
use super::super::view::{Awaited, NodeView, bytes};
use super::{document, is_unlocked};

/// The number of the release whose metrics these are: 4.1.4.
const VERSION: f64 = 40_104.0;

/// Writes the metrics of a node.
pub(in super::super) fn write(node: &NodeView<'_>, format: Format) -> String {
    let mut gauges = Gauges {
        out: Exposition::new(format),
        scope: node.cluster.name.to_string(),
        name: node.name.host(),
    };
    server(&mut gauges, node);
    role(&mut gauges, node);
    log(&mut gauges, node);
    monitor(&mut gauges, node);
    gauges.out.end()
}

struct Gauges {
    out: Exposition,
    scope: String,
    name: String,
}

impl Gauges {
    fn put(&mut self, name: &'static str, help: &str, value: impl Into<Option<f64>>) {
        let labels = [("scope", self.scope.as_str()), ("name", self.name.as_str())];
        self.out.family(Kind::Gauge, name, help).value(&labels, value);
    }
}

fn server(gauges: &mut Gauges, node: &NodeView<'_>) {
    let report = node.report();
    let started = report.and_then(|report| report.started);
    let started = started.and_then(|started| u64::try_from(started).ok());
    let version = report.and_then(|report| report.version);
    gauges.put(
        "patroni_version",
        "The release of Patroni whose metrics these are.",
        VERSION,
    );
    gauges.put(
        "patroni_postgres_running",
        "1 if the server runs.",
        flag(node.is_running()),
    );
    let help = "When the server started, in seconds since 1970.";
    gauges.put("patroni_postmaster_start_time", help, started.map(number));
    let help = "The version of the server.";
    gauges.put("patroni_postgres_server_version", help, version.map(f64::from));
    let timeline = report.map(|report| f64::from(report.progress.timeline));
    gauges.put("patroni_postgres_timeline", "The timeline of the server.", timeline);
}

fn role(gauges: &mut Gauges, node: &NodeView<'_>) {
    let sync = node.sync();
    gauges.put("patroni_primary", "1 if the node leads.", flag(node.serves_writes()));
    gauges.put("patroni_standby_leader", "1 if the node leads a standby cluster.", 0.0);
    gauges.put(
        "patroni_replica",
        "1 if the node is a replica.",
        flag(node.is_replica()),
    );
    let help = "1 if the node is a synchronous standby.";
    gauges.put("patroni_sync_standby", help, flag(sync == Awaited::Sync));
    let help = "1 if the node is a quorum standby.";
    gauges.put("patroni_quorum_standby", help, flag(sync == Awaited::Quorum));
    let state = document::replication_state(node);
    let help = "1 if the server streams.";
    gauges.put("patroni_postgres_streaming", help, flag(state == Some("streaming")));
    let help = "1 if the server replays from an archive.";
    let archive = flag(state == Some("in archive recovery"));
    gauges.put("patroni_postgres_in_archive_recovery", help, archive);
}

fn log(gauges: &mut Gauges, node: &NodeView<'_>) {
    let writes = node.report().filter(|report| report.writes);
    let replays = node.report().filter(|report| !report.writes);
    let at = |position: Option<&Position>| position.map_or(0.0, |position| number(bytes(position)));
    let help = "The position of the log of a primary, 0 on a replica.";
    let written = writes.map(|report| &report.progress.position);
    gauges.put("patroni_xlog_location", help, at(written));
    let help = "The position of the log that a replica received, 0 on a primary.";
    let received = replays.map(|report| &report.progress.position);
    gauges.put("patroni_xlog_received_location", help, at(received));
    let help = "The position of the log that a replica replayed, 0 on a primary.";
    let replayed = replays.map(|report| &report.replayed);
    gauges.put("patroni_xlog_replayed_location", help, at(replayed));
    let help = "1 if the replay of the log is paused.";
    gauges.put(
        "patroni_xlog_paused",
        help,
        flag(replays.is_some_and(|report| report.paused)),
    );
}

fn monitor(gauges: &mut Gauges, node: &NodeView<'_>) {
    let seen = document::last_seen(node).and_then(|seen| u64::try_from(seen).ok());
    let unlocked = is_unlocked(&node.cluster);
    gauges.put("patroni_cluster_unlocked", "1 if no node leads.", flag(unlocked));
    let help = "When the record was last read, in seconds since 1970.";
    gauges.put("patroni_dcs_last_seen", help, seen.map_or(0.0, number));
    let help = "1 if the monitor is paused for the cluster.";
    let paused = node.cluster.watched.pause.is_some();
    gauges.put("patroni_is_paused", help, flag(paused));
}
