//! Whose the lock is, and when it may be taken over.
//!
//! The lock is a lease without a clock. Its owner counts up a heartbeat; a contender watches the counter on its own
//! monotonic clock and takes over what stood still for a whole lease time. Nobody compares two clocks, so a clock that
//! is ten minutes off changes nothing. An owner on this very machine that is gone for certain is not waited for.
//!
//! An owner that was only asleep wakes up without its lock. It cannot do harm: its token is in every commit it makes,
//! and the backend refuses old tokens; and each of its steps asks its [`crate::grant::Grant`] first.

use std::time::{Duration, Instant};

use crate::backend::{Backend, BackendError, Lease, LockOutcome, Token};
pub use crate::owner::{Host, Owner};

/// How long a heartbeat may stand still. A laptop that swaps heavily still manages one in a quarter of this.
pub(crate) const LEASE: Duration = Duration::from_secs(20);

/// How often a contender looks.
const LOOK: Duration = Duration::from_millis(100);

/// What a contender has seen of the heartbeat.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<(Token, u64, Instant)>,
}

impl Watch {
    /// Returns whether the counter has stood still for a whole lease time.
    fn stood_still(&mut self, lease: &Lease, now: Instant) -> bool {
        match self.seen {
            Some((token, beat, since)) if (token, beat) == (lease.token, lease.beat) => {
                now.duration_since(since) >= Duration::from_millis(lease.owner.lease_ms)
            }
            _ => {
                self.seen = Some((lease.token, lease.beat, now));
                false
            }
        }
    }
}

/// Asks for the lock until it is granted or `timeout` is over; then returns who holds it.
pub(crate) async fn acquire(
    backend: &dyn Backend,
    owner: &Owner,
    timeout: Duration,
) -> Result<Result<Token, Box<Lease>>, BackendError> {
    let began = Instant::now();
    let mut watch = Watch::default();
    let mut take_over: Option<Box<Lease>> = None;
    loop {
        let lease = match backend.lock(owner, take_over.as_deref()).await? {
            LockOutcome::Granted(token) => return Ok(Ok(token)),
            LockOutcome::Held(lease) => lease,
        };
        let now = Instant::now();
        // If it is held by somebody else by now, the next round looks at that one.
        if lease.owner.is_dead() || watch.stood_still(&lease, now) {
            take_over = Some(lease);
            continue;
        }
        let left = timeout.saturating_sub(now.duration_since(began));
        if left.is_zero() {
            return Ok(Err(lease));
        }
        tokio::time::sleep(LOOK.min(left)).await;
    }
}

/// Counts the heartbeat up until the lock is lost. A beat that fails otherwise is tried again: the next may succeed, and
/// if none does, the commits fail too.
pub(crate) async fn keep(backend: std::sync::Arc<dyn Backend>, token: Token, lease: Duration) {
    loop {
        tokio::time::sleep(lease / 4).await;
        if matches!(backend.renew(token).await, Err(BackendError::Lost)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
