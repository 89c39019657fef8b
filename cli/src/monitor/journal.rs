//! The newest run of the record, read again whenever that was written: others see how far it is, step by step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use simdb_state::journal::RunStatus;
use simdb_state::store::{RunId, Store, StoreError};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::board::Board;
use super::histogram::Histogram;
use crate::views::doc::RunDoc;

/// How often it is looked whether the record was written.
const TICK: Duration = Duration::from_millis(250);

/// The newest run, and what is counted of those that ended since the monitor started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    /// The document of the newest run; absent where no run is kept.
    pub(crate) run: Option<Value>,
    /// How many runs ended, by how they did.
    pub(super) ended: BTreeMap<String, u64>,
    /// How long steps took, by what they do.
    pub(super) steps: BTreeMap<String, Histogram>,
    /// The runs that are counted, or ended before the monitor started; absent until the journal was read for the first time.
    counted: Option<BTreeSet<RunId>>,
}

impl Journal {
    /// Counts a run that ended.
    fn count(&mut self, run: &RunDoc) {
        *self.ended.entry(json_word(run.run.status)).or_default() += 1;
        for step in &run.steps {
            if let (Some(kind), Some(milliseconds)) = (&step.kind, step.milliseconds) {
                let took = self.steps.entry(kind.clone()).or_default();
                took.observe(Duration::from_millis(milliseconds));
            }
        }
    }
}

/// Returns how a status is spelled in documents.
fn json_word(status: RunStatus) -> String {
    json!(status).as_str().unwrap_or_default().to_owned()
}

/// Follows the journal until it is dropped.
pub(super) async fn follow(store: Store, board: Board, to: watch::Sender<Arc<Journal>>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut read = None;
    loop {
        ticks.tick().await;
        let serial = board.round().serial;
        if read == Some(serial) {
            continue;
        }
        let before = Arc::clone(&to.borrow());
        // Where it does not answer now, it is asked again.
        if let Ok(journal) = next(&store, &before).await {
            read = Some(serial);
            to.send_if_modified(|shown| {
                let is_new = shown.run != journal.run;
                *shown = Arc::new(journal);
                is_new
            });
        }
    }
}

/// Reads the newest run, and counts those that ended since.
async fn next(store: &Store, before: &Journal) -> Result<Journal, StoreError> {
    let runs = store.runs().await?;
    let ended = runs.iter().filter(|run| run.status != RunStatus::Running);
    let ended: BTreeSet<RunId> = ended.map(|run| run.id.clone()).collect();
    let mut journal = before.clone();
    if let Some(counted) = &before.counted {
        for id in ended.difference(counted) {
            if let Some(report) = store.run_report(id).await? {
                journal.count(&RunDoc::new(report));
            }
        }
    }
    journal.counted = Some(ended);
    journal.run = match runs.first() {
        Some(run) => store
            .run_report(&run.id)
            .await?
            .map(|report| json!(RunDoc::new(report))),
        None => None,
    };
    Ok(journal)
}

#[cfg(test)]
mod tests {
    use simdb_state::journal::RunSummary;

    use super::*;
    use crate::views::doc::StepRunDoc;

    #[test]
    fn steps_that_are_done_are_counted_by_what_they_do() {
        let step = |kind: &str, milliseconds| StepRunDoc {
            number: 1,
            kind: Some(kind.to_owned()),
            address: None,
            status: "done",
            milliseconds,
            cause: None,
        };
        let run = RunDoc {
            format_version: "1.0",
            run: RunSummary {
                id: RunId("00000001".to_owned()),
                operation: "failover".to_owned(),
                status: RunStatus::Failed,
                steps: 2,
                began: String::new(),
                ended: None,
                who: None,
            },
            steps: vec![step("fence", Some(30)), step("promote", None)],
        };
        let mut journal = Journal::default();
        journal.count(&run);
        journal.count(&run);
        assert_eq!(journal.ended, BTreeMap::from([("failed".to_owned(), 2)]));
        let mut twice = Histogram::default();
        twice.observe(Duration::from_millis(30));
        twice.observe(Duration::from_millis(30));
        assert_eq!(journal.steps, BTreeMap::from([("fence".to_owned(), twice)]));
    }
}
