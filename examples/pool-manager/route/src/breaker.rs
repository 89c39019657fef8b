//! Keeps callers away from an address to which connections fail although its server answers probes.
//!
//! ```text
//!   closed ── 5 failures in 10 s ──► open 1 s ──► one caller tries ── success ──► closed
//!                                     ▲  2 s … 30 s                │
//!                                     └───────────── failure ──────┘
//! ```

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// So many failures within the window open the breaker.
const FAILURES: usize = 5;
const WINDOW: Duration = Duration::from_secs(10);
/// How long it stays open at first, and at most.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// The breaker of one address.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: VecDeque<Instant>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    until: Instant,
    wait: Duration,
    /// A caller was let through to try, and its outcome is not known yet.
    trial: bool,
    /// What went wrong last.
    reason: String,
}

/// Why a caller is kept away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: String,
    pub(crate) retry_in: Duration,
}

impl Breaker {
    /// Lets a caller through, or says why not. Past the wait one caller is let through, whose outcome decides.
    pub(crate) fn permit(&mut self, now: Instant) -> Result<(), Refusal> {
        let Some(open) = &mut self.open else { return Ok(()) };
        if now < open.until {
            return Err(Refusal {
                reason: open.reason.clone(),
                retry_in: open.until - now,
            });
        }
        // The others wait as long again; a caller that never reports back holds up nobody for longer.
        open.until = now + open.wait;
        open.trial = true;
        Ok(())
    }

    /// Returns whether callers are kept away.
    pub(crate) fn is_open(&self, now: Instant) -> bool {
        self.open.as_ref().is_some_and(|open| now < open.until)
    }

    /// Counts a failure.
    pub(crate) fn fail(&mut self, reason: &str, now: Instant) {
        let wait = if let Some(open) = &self.open {
            // Callers that were on their way when it opened say nothing new.
            if !open.trial {
                return;
            }
            (open.wait * 2).min(LONGEST)
        } else {
            self.failures.push_back(now);
            while self.failures.front().is_some_and(|first| now - *first > WINDOW) {
                self.failures.pop_front();
            }
            if self.failures.len() < FAILURES {
                return;
            }
            SHORTEST
        };
        self.failures.clear();
        self.open = Some(Open {
            until: now + wait,
            wait,
            trial: false,
            reason: reason.to_owned(),
        });
    }

    /// Lets all callers through again.
    pub(crate) fn close(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, seconds: f64) -> Instant {
        start + Duration::from_secs_f64(seconds)
    }

    #[test]
    fn five_failures_in_ten_seconds_open_it_and_slower_ones_do_not() {
        let start = Instant::now();
        let mut slow = Breaker::default();
        for second in 0..20 {
            slow.fail("refused", after(start, f64::from(second) * 2.6));
        }
        assert!(!slow.is_open(after(start, 50.0)));

        let mut quick = Breaker::default();
        for second in 0..5 {
            assert_eq!(quick.permit(after(start, f64::from(second) * 2.0)), Ok(()));
            quick.fail("refused", after(start, f64::from(second) * 2.0));
        }
        let refusal = quick.permit(after(start, 8.5)).unwrap_err();
        assert_eq!(refusal.reason, "refused");
        assert_eq!(refusal.retry_in, Duration::from_millis(500));
    }

    #[test]
    fn one_caller_tries_when_the_wait_is_over_and_every_failure_doubles_the_wait() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        // The sixth was on its way when the fifth opened it.
        for _ in 0..6 {
            breaker.fail("refused", start);
        }
        let mut now = start;
        for wait in [1, 2, 4, 8, 16, 30, 30] {
            now += Duration::from_secs(wait);
            assert!(breaker.is_open(now - Duration::from_millis(1)), "{wait}");
            assert_eq!(breaker.permit(now), Ok(()), "{wait}");
            assert!(breaker.permit(now).is_err(), "a second caller waits");
            breaker.fail("refused again", now);
        }
        now += Duration::from_secs(30);
        assert_eq!(breaker.permit(now), Ok(()));
        breaker.close();
        assert_eq!(breaker.permit(now), Ok(()));
        assert_eq!(breaker.permit(now), Ok(()));
    }
}
