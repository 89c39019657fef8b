//! The record, as a monitor follows it: read again whenever it was written, with the pauses, who is at work, and the right to decide.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use simdb_planner::plan::{Action, Plan, Step};
use simdb_planner::watch::PERIOD;
use simdb_state::claim::{Claim, Pause, Right};
use simdb_state::name::ClusterName;
use simdb_state::object::{ProviderSettings, State};
use simdb_state::sensitive::Secrets;
use simdb_state::store::{Store, StoreError, UnfinishedRun, Work};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// What was read.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    /// When the record answered last.
    pub(super) answered: Instant,
    /// When it was asked for that answer.
    pub(super) asked: Instant,
    /// Why it does not answer; absent where it did the last time.
    pub(super) trouble: Option<String>,
    pub(super) state: Arc<State>,
    pub(super) serial: u64,
    pub(super) settings: Option<ProviderSettings>,
    /// The clusters whose last role change was cut off.
    pub(super) cut_off: BTreeSet<ClusterName>,
    pub(super) secrets: Arc<Secrets>,
    pub(super) pauses: Arc<BTreeMap<ClusterName, Pause>>,
    /// What others, and this monitor, do under the lock of the record.
    pub(super) works: Arc<Vec<Seen>>,
    /// Who decides; absent where it was not asked for yet.
    pub(super) right: Option<Right>,
    /// Until when the right holds at least, where this monitor has it.
    pub(super) until: Option<Instant>,
}

/// Reads the record for the first time.
pub(super) async fn first(store: &Store) -> Result<Stored, StoreError> {
    let asked = Instant::now();
    let snapshot = store.snapshot().await?;
    Ok(Stored {
        answered: Instant::now(),
        asked,
        trouble: None,
        state: Arc::new(snapshot.state),
        serial: snapshot.serial,
        settings: snapshot.settings,
        cut_off: snapshot.unfinished.as_ref().map(changed_leads).unwrap_or_default(),
        secrets: Arc::new(store.secrets().await?),
        pauses: Arc::new(store.pauses().await?),
        works: Arc::new(seen(store, &[]).await?),
        right: None,
        until: None,
    })
}

/// Follows the record until it is told to end, then gives the right to decide up.
pub(super) async fn follow(store: Store, mut claim: Claim, to: watch::Sender<Arc<Stored>>, end: CancellationToken) {
    let mut ticks = interval(PERIOD.min(claim.lease() / 4));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut renewed: Option<Instant> = None;
    loop {
        tokio::select! {
            () = end.cancelled() => break,
            _ = ticks.tick() => {}
        }
        let mut next = Stored::clone(&to.borrow());
        let due = renewed.is_none_or(|at| at.elapsed() >= claim.lease() / 4);
        let asked = Instant::now();
        let read = read(&store, &mut claim, &mut next, due).await;
        if due && read.is_ok() {
            renewed = Some(Instant::now());
        }
        match read {
            Ok(()) => (next.answered, next.asked, next.trouble) = (Instant::now(), asked, None),
            Err(error) => next.trouble = Some(words(&error)),
        }
        to.send_replace(Arc::new(next));
    }
    // Another monitor then waits for the lease.
    let _ = claim.release().await;
}

async fn read(store: &Store, claim: &mut Claim, next: &mut Stored, due: bool) -> Result<(), StoreError> {
    if due {
        let sent = Instant::now();
        let right = claim.renew().await?;
        next.until = (right == Right::Held).then(|| sent + claim.lease());
        next.right = Some(right);
    }
    let serial = store.serial().await?;
    if serial != next.serial {
        let snapshot = store.snapshot().await?;
        next.cut_off = snapshot.unfinished.as_ref().map(changed_leads).unwrap_or_default();
        next.secrets = Arc::new(store.secrets().await?);
        (next.state, next.serial, next.settings) = (Arc::new(snapshot.state), snapshot.serial, snapshot.settings);
    }
    next.pauses = Arc::new(store.pauses().await?);
    next.works = Arc::new(seen(store, &next.works).await?);
    Ok(())
}

/// Reads what is done under the lock, and notes since when each holding of it stands still.
async fn seen(store: &Store, before: &[Seen]) -> Result<Vec<Seen>, StoreError> {
    let now = Instant::now();
    let works = store.at_work().await?.into_iter();
    Ok(works
        .map(|work| {
            let same = before.iter().find(|seen| seen.work.lease.is_exactly(&work.lease));
            let still = same.map_or(now, |seen| seen.still);
            Seen { work, still }
        })
        .collect())
}

/// What is done under the lock.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) work: Work,
    /// Since when its heartbeat stands still.
    still: Instant,
}

impl Seen {
    /// Returns whether its holder has lost the lock: it did not say for a whole lease time that it lives.
    pub(super) fn is_over(&self) -> bool {
        self.still.elapsed() >= Duration::from_millis(self.work.lease.owner.lease_ms)
    }
}

/// Returns the clusters whose lead a run was to change, or whose primary it was to start, and that did not come to its end.
fn changed_leads(run: &UnfinishedRun) -> BTreeSet<ClusterName> {
    // A plan of another version that cannot be read is left to a person.
    let Ok(plan) = serde_json::from_value::<Plan>(run.plan.clone()) else {
        return BTreeSet::new();
    };
    let is_of_role = |step: &&Step| {
        let action = &step.action;
        // Clients may be kept out of a primary that was started after a crash.
        action.changes_lead() || matches!(action, Action::Start { in_recovery: false, .. })
    };
    let steps = plan.steps.iter().filter(is_of_role);
    steps.filter_map(|step| step.address.cluster().cloned()).collect()
}

/// Says what failed, with all causes.
pub(super) fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

impl Stored {
    /// Returns whether the record has not answered for so long.
    pub(super) fn is_away(&self, limit: Duration) -> bool {
        self.answered.elapsed() > limit
    }
}
