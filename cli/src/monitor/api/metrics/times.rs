//! Metrics of how long things took: rounds of the monitor, failovers, and the steps of runs.

use super::super::exposition::{Exposition, Kind, number};
use super::super::tally::Tally;
use super::super::view::View;
use crate::monitor::journal::Journal;

/// Writes all of them.
pub(super) fn write(out: &mut Exposition, view: &View, tally: &Tally, journal: &Journal) {
    let mut rounds = out.family(
        Kind::Histogram,
        "simdb_monitor_round_seconds",
        "How long rounds of the monitor took.",
    );
    rounds.histogram(&[], &tally.rounds());
    let mut failovers = out.family(
        Kind::Histogram,
        "simdb_failover_duration_seconds",
        "How long failovers took that this monitor saw: from the loss of the primary until another node led.",
    );
    for cluster in view.clusters() {
        let labels = [("cluster", cluster.name.as_str())];
        failovers.histogram(&labels, &tally.failovers(cluster.name));
    }
    let mut steps = out.family(
        Kind::Histogram,
        "simdb_step_seconds",
        "How long the steps of runs took that ended since this monitor started.",
    );
    for (kind, took) in &journal.steps {
        steps.histogram(&[("step", kind)], took);
    }
    let mut runs = out.family(
        Kind::Counter,
        "simdb_runs_total",
        "Runs on this record that ended since this monitor started.",
    );
    for (result, count) in &journal.ended {
        runs.value(&[("result", result)], number(*count));
    }
}
