//! What an apply would change, and what differs from the record: looked at now and then beside the watcher, which waits for nothing of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use simdb_state::address::Address;
use simdb_state::name::ClusterName;
use simdb_state::store::Store;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::board::Board;
use crate::error::CliError;
use crate::ops::look::{self, Looked};
use crate::session::Project;
use crate::views::doc::DiagnosticDoc;

/// How often it is looked where nothing happens: that asks every server, and plans.
const PERIOD: Duration = Duration::from_mins(1);

/// For how long nothing may have been written before it is looked again: in the middle of a run everything differs.
const REST: Duration = Duration::from_secs(2);

/// How often it is asked whether it is time.
const TICK: Duration = Duration::from_millis(500);

/// How many of something there are in each cluster.
pub(crate) type Counts = BTreeMap<ClusterName, u64>;

/// What was found when it was last looked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survey {
    /// When that was; absent where it was not looked yet.
    pub(crate) at: Option<Timestamp>,
    /// How often the record had been written by then.
    pub(crate) serial: u64,
    /// The document of the plan; absent where there is none.
    pub(crate) plan: Option<Value>,
    /// How many changes it has.
    pub(crate) changes: Option<Counts>,
    /// The document of what differs from the record.
    pub(crate) drift: Option<Value>,
    /// How many objects that are.
    pub(crate) differences: Option<Counts>,
    /// Why there is no plan, or no look.
    pub(crate) diagnostics: Vec<DiagnosticDoc>,
}

impl Survey {
    fn of(looked: Looked) -> Self {
        let Looked { serial, plan, drift } = looked;
        let (plan, diagnostics) = match plan {
            Ok(plan) => (Some(plan), Vec::new()),
            Err(error) => (None, error.into_documents()),
        };
        let changes = plan.as_ref().map(|plan| {
            let changed = plan.resource_changes.iter().map(|change| &change.address);
            count(changed)
        });
        let plan = plan.map(|plan| json!(plan));
        Self {
            at: Some(Timestamp::now()),
            serial,
            changes,
            plan,
            differences: Some(count(drift.resource_drift.iter().map(|drifted| &drifted.address))),
            drift: Some(json!(drift)),
            diagnostics,
        }
    }

    fn failed(error: CliError, serial: u64) -> Self {
        Self {
            at: Some(Timestamp::now()),
            serial,
            diagnostics: error.into_documents(),
            ..Self::default()
        }
    }
}

fn count<'a>(addresses: impl Iterator<Item = &'a Address>) -> Counts {
    let mut counts = Counts::new();
    for cluster in addresses.filter_map(Address::cluster) {
        *counts.entry(cluster.clone()).or_default() += 1;
    }
    counts
}

/// When it is time to look again.
#[derive(Debug)]
struct Due {
    /// When it was looked last, and what had been written by then.
    looked: Option<(Instant, u64)>,
    /// What was written last, and when that was seen.
    written: (u64, Instant),
}

impl Due {
    /// Returns whether it is time, given what is written now and whether the monitor itself is at work.
    fn is_now(&mut self, serial: u64, is_at_work: bool, now: Instant) -> bool {
        if serial != self.written.0 {
            self.written = (serial, now);
        }
        let rests = !is_at_work && now.duration_since(self.written.1) >= REST;
        let wants = self
            .looked
            .is_none_or(|(at, before)| before != serial || now.duration_since(at) >= PERIOD);
        rests && wants
    }
}

/// Looks now and then until it is dropped.
pub(super) async fn follow(store: Store, board: Board, to: watch::Sender<Arc<Survey>>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut due = Due {
        looked: None,
        written: (0, Instant::now()),
    };
    loop {
        ticks.tick().await;
        let round = board.round();
        let is_at_work = round.at_work.is_some() || round.clusters.values().any(|cluster| cluster.acting.is_some());
        if round.number == 0 || !due.is_now(round.serial, is_at_work, Instant::now()) {
            continue;
        }
        let serial = round.serial;
        drop(round);
        // The files may have changed since the monitor started.
        let looked = match Project::open() {
            Ok(project) => look::now(&project, &store).await,
            Err(error) => Err(error),
        };
        due.looked = Some((Instant::now(), serial));
        let survey = looked.map_or_else(|error| Survey::failed(error, serial), Survey::of);
        to.send_replace(Arc::new(survey));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_looked_once_what_was_written_rests_and_else_each_minute() {
        let start = Instant::now();
        let mut due = Due {
            looked: None,
            written: (0, start),
        };
        let second = Duration::from_secs(1);
        assert!(!due.is_now(7, false, start), "the record was written a moment ago");
        assert!(!due.is_now(7, true, start + 3 * second), "the monitor is at work");
        assert!(due.is_now(7, false, start + 3 * second));
        due.looked = Some((start + 3 * second, 7));
        assert!(!due.is_now(7, false, start + 30 * second));
        assert!(!due.is_now(8, false, start + 31 * second));
        assert!(due.is_now(8, false, start + 33 * second));
        due.looked = Some((start + 33 * second, 8));
        assert!(due.is_now(8, false, start + 93 * second));
    }
}
