//! The lock of a request: what of the record it is about, and what it does not wait for.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use simdb_planner::plan::Plan;
use simdb_planner::watch::Trace;
use simdb_state::backend::Lease;
use simdb_state::extent::Extent;
use simdb_state::store::{LockError, Store, Work, Writer};
use tokio::time::sleep;

use crate::request::{Decided, Request};

/// How often what a monitor waits for is looked at again.
const LOOK: Duration = Duration::from_millis(50);

/// Takes the lock. A plan may be about anything until it is made, so it is made under the whole lock; what a monitor decides is about one
/// cluster from the beginning, and does not wait for what yields to it.
pub(super) async fn take(
    store: &Store,
    operation: &str,
    request: &Request<'_>,
    timeout: Duration,
) -> Result<Writer, LockError> {
    match request {
        Request::Decided(decided) => take_over(store, operation, decided, timeout).await,
        _ => store.lock(operation, timeout).await,
    }
}

async fn take_over(store: &Store, operation: &str, decided: &Decided, timeout: Duration) -> Result<Writer, LockError> {
    let (began, extent) = (Instant::now(), Extent::of(&decided.cluster));
    loop {
        let mut over = decided.stale.clone();
        over.extend(yielding(store, decided).await?);
        match store.lock_for(operation, &extent, Duration::ZERO, &over).await {
            Err(LockError::Held { .. }) if began.elapsed() < timeout => sleep(LOOK).await,
            taken => return taken,
        }
    }
}

/// Returns the holdings of a cluster's lock that end for what was decided, and have done nothing at its primary since. A run that begins
/// from here on moves its heartbeat, and is not taken over unseen.
async fn yielding(store: &Store, decided: &Decided) -> Result<Vec<Lease>, LockError> {
    if decided.yielding.is_empty() {
        return Ok(Vec::new());
    }
    let works = store.at_work().await?;
    let recorded = store.snapshot().await?.state;
    let is_as_before = |work: &Work| decided.yielding.contains(&Trace::of(&decided.cluster, &recorded, work));
    let works = works.into_iter().filter(is_as_before);
    Ok(works.map(|work| work.lease).collect())
}

/// Returns what the lock is about while a plan runs: the clusters that it changes. Networks are made and removed by plans that were made
/// under the whole lock, and the next one of those waits for the end of this one.
pub(super) fn extent(plan: &Plan) -> Extent {
    let mut clusters = BTreeSet::new();
    for step in &plan.steps {
        let edited = step.delta.0.iter().map(|edit| edit.address().cluster().cloned());
        clusters.extend(edited.chain([step.address.cluster().cloned()]).flatten());
    }
    Extent::Clusters(clusters)
}
