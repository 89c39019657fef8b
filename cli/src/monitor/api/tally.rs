//! What is counted from the start of the monitor: events by cluster and kind, requests by path and answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use simdb_state::name::ClusterName;
use tokio::sync::broadcast::error::RecvError;

use crate::monitor::board::{Board, Event, Kind};
use crate::monitor::histogram::Histogram;

/// The counts. Cloning it makes another reader and writer of the same counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    /// The last event that is counted.
    last: u64,
    events: BTreeMap<(ClusterName, Kind), u64>,
    requests: BTreeMap<(String, u16), u64>,
    /// When a node was last lost whose loss is not over.
    lost: BTreeMap<ClusterName, Timestamp>,
    /// How long the last failover took, from the loss until another node led, and how long all of them did.
    failovers: BTreeMap<ClusterName, (Duration, Histogram)>,
    /// How long rounds took.
    rounds: Histogram,
}

impl Counts {
    fn time(&mut self, cluster: &ClusterName, event: &Event) {
        match event.kind {
            Kind::Lost => drop(self.lost.insert(cluster.clone(), event.at)),
            Kind::Returned => drop(self.lost.remove(cluster)),
            Kind::FailedOver => {
                let loss = self.lost.remove(cluster);
                let took = loss.and_then(|loss| Duration::try_from(event.at.duration_since(loss)).ok());
                if let Some(duration) = took {
                    let (last, all) = self.failovers.entry(cluster.clone()).or_default();
                    *last = duration;
                    all.observe(duration);
                }
            }
            _ => {}
        }
    }
}

impl Tally {
    /// Counts events and rounds until the board ends.
    pub(super) async fn follow(self, board: Board) {
        let mut rounds = board.rounds();
        let count_rounds = async {
            while rounds.changed().await.is_ok() {
                let took = rounds.borrow_and_update().took;
                self.round(took);
            }
        };
        tokio::join!(self.follow_events(&board), count_rounds);
    }

    async fn follow_events(&self, board: &Board) {
        let mut events = board.events();
        loop {
            // Those that were told before, and those that this reader missed, are kept on the board.
            let last = self.last();
            board.events_after(last).iter().for_each(|event| self.event(event));
            match events.recv().await {
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => break,
            }
        }
    }

    fn last(&self) -> u64 {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// Counts an event, once.
    pub(super) fn event(&self, event: &Event) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if event.number <= counts.last {
            return;
        }
        counts.last = event.number;
        if let Some(cluster) = &event.cluster {
            *counts.events.entry((cluster.clone(), event.kind)).or_default() += 1;
            counts.time(cluster, event);
        }
    }

    /// Counts a round.
    fn round(&self, took: Duration) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.rounds.observe(took);
    }

    /// Counts a request, by the template of its path: a path as it was sent would be a label without limit.
    pub(super) fn request(&self, template: &str, code: u16) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.requests.entry((template.to_owned(), code)).or_default() += 1;
    }

    /// Returns how many events of a kind a cluster had.
    pub(super) fn events(&self, cluster: &ClusterName, kind: Kind) -> u64 {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.events.get(&(cluster.clone(), kind)).copied().unwrap_or_default()
    }

    /// Returns how long the last failover of a cluster took, from the loss of its primary until another node led.
    pub(super) fn last_failover(&self, cluster: &ClusterName) -> Option<Duration> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.failovers.get(cluster).map(|(last, _)| *last)
    }

    /// Returns how long the failovers of a cluster took.
    pub(super) fn failovers(&self, cluster: &ClusterName) -> Histogram {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let all = counts.failovers.get(cluster).map(|(_, all)| all.clone());
        all.unwrap_or_default()
    }

    /// Returns how long rounds took.
    pub(super) fn rounds(&self) -> Histogram {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.rounds.clone()
    }

    /// Returns how many requests had which answer.
    pub(super) fn requests(&self) -> BTreeMap<(String, u16), u64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.requests.clone()
    }
}
