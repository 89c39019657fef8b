//! The lock of a request: what of the record it is about, and what it does not wait for.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use simdb_planner::plan::Plan;
use simdb_planner::watch;
use simdb_state::backend::Lease;
use simdb_state::extent::Extent;
use simdb_state::store::{LockError, Store, Writer};
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

/// Returns the holdings of a cluster's lock that end where its primary is lost; none where what was decided can wait. A run that begins from here on moves its heartbeat, and
/// is not taken over unseen.
async fn yielding(store: &Store, decided: &Decided) -> Result<Vec<Lease>, LockError> {
    let works = store.at_work().await?;
    if works.is_empty() {
        return Ok(Vec::new());
    }
    let recorded = store.snapshot().await?.state;
    if !decided.decision.is_urgent(&decided.cluster, &recorded) {
        return Ok(Vec::new());
    }
    let works = works.into_iter();
    let yielding = works.filter(|work| watch::yields(&decided.cluster, &recorded, work));
    Ok(yielding.map(|work| work.lease).collect())
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
