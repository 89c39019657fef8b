//! The newest run of the record, read again whenever that was written: others see how far it is, step by step.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use simdb_state::store::{Store, StoreError};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use super::board::Board;
use crate::views::doc::RunDoc;

/// How often it is looked whether the record was written.
const TICK: Duration = Duration::from_millis(250);

/// The newest run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal {
    /// Its document; absent where no run is kept.
    pub(crate) run: Option<Value>,
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
        // Where it does not answer now, it is asked again.
        if let Ok(run) = newest(&store).await {
            read = Some(serial);
            to.send_if_modified(|journal| {
                let is_new = journal.run != run;
                if is_new {
                    *journal = Arc::new(Journal { run });
                }
                is_new
            });
        }
    }
}

async fn newest(store: &Store) -> Result<Option<Value>, StoreError> {
    let Some(run) = store.runs().await?.into_iter().next() else {
        return Ok(None);
    };
    let report = store.run_report(&run.id).await?;
    Ok(report.map(|report| json!(RunDoc::new(report))))
}
