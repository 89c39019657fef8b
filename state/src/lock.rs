//! Whose the lock is, and when it may be taken over.
//!
//! The lock is a lease without a clock. It is about everything, or about some clusters alone: those who have no cluster in common
//! do not wait for each other. Its owner counts up a heartbeat; a contender watches the counter on its own
//! monotonic clock and takes over what stood still for a whole lease time. Nobody compares two clocks, so a clock that
//! is ten minutes off changes nothing. An owner on this very machine that is gone for certain is not waited for.
//!
//! An owner that was only asleep wakes up without its lock. It cannot do harm: its token is in every commit it makes,
//! and the backend refuses old tokens; and each of its steps asks its [`crate::grant::Grant`] first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::backend::{Backend, BackendError, Lease, LockOutcome, Token};
pub use crate::owner::{Host, Owner};

/// How long a heartbeat may stand still. A laptop that swaps heavily still manages one in a quarter of this.
pub(crate) const LEASE: Duration = Duration::from_secs(20);

/// How often a contender looks.
const LOOK: Duration = Duration::from_millis(100);

/// How often an owner looks whether it was taken over, at most: it ends what it does where a failover is more urgent.
const LOOK_BACK: Duration = Duration::from_millis(250);

/// What a contender has seen of the heartbeat.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<(u64, Instant)>,
}

impl Watch {
    /// Returns whether the counter has stood still for a whole lease time.
    fn stood_still(&mut self, lease: &Lease, now: Instant) -> bool {
        match self.seen {
            Some((beat, since)) if beat == lease.beat => {
                now.duration_since(since) >= Duration::from_millis(lease.owner.lease_ms)
            }
            _ => {
                self.seen = Some((lease.beat, now));
                false
            }
        }
    }
}

/// Asks for the lock until it is granted or `timeout` is over; then returns who holds it. Leases to take over that are still as they were
/// seen are not waited for.
pub(crate) async fn acquire(
    backend: &dyn Backend,
    owner: &Owner,
    timeout: Duration,
    over: &[Lease],
) -> Result<Result<Token, Box<Lease>>, BackendError> {
    let began = Instant::now();
    let mut watches: BTreeMap<Token, Watch> = BTreeMap::new();
    let mut take_over = over.to_vec();
    loop {
        let lease = match backend.lock(owner, &take_over).await? {
            LockOutcome::Granted(token) => return Ok(Ok(token)),
            LockOutcome::Held(lease) => lease,
        };
        let now = Instant::now();
        take_over.retain(|seen| seen.token != lease.token);
        // If it is held by somebody else by now, the next round looks at that one.
        if lease.owner.is_dead() || watches.entry(lease.token).or_default().stood_still(&lease, now) {
            take_over.push(*lease);
            continue;
        }
        let left = timeout.saturating_sub(now.duration_since(began));
        if left.is_zero() {
            return Ok(Err(lease));
        }
        tokio::time::sleep(LOOK.min(left)).await;
    }
}

/// Counts the heartbeat up until the lock is lost, and says so then. A beat that fails otherwise is tried again: the next may succeed,
/// and if none does, the commits fail too.
pub(crate) async fn keep(backend: Arc<dyn Backend>, token: Token, lease: Duration, lost: watch::Sender<bool>) {
    let beat = lease / 4;
    let mut beaten = Instant::now();
    loop {
        tokio::time::sleep(beat.min(LOOK_BACK)).await;
        let held = if beaten.elapsed() >= beat {
            beaten = Instant::now();
            backend.renew(token).await
        } else {
            let holders = backend.holders().await;
            holders.and_then(|held| {
                let own = held.iter().find(|lease| lease.token == token);
                own.map(drop).ok_or(BackendError::Lost)
            })
        };
        if matches!(held, Err(BackendError::Lost)) {
            lost.send_replace(true);
            return;
        }
    }
}

#[cfg(test)]
mod tests;
