//! When an address that fails is tried again: after 2, 4, 8, 16 and 32 seconds, and then when a query asks for it.

use std::time::Duration;

/// How often an address is tried again by itself.
pub(crate) const ATTEMPTS: u32 = 5;
/// The wait before the first of these; each further one is twice as long.
const FIRST: Duration = Duration::from_secs(2);
/// How far a wait may be off, in parts of it: clients of one server come back at different times.
const JITTER: f64 = 0.1;

/// The failures of one address in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

/// What follows a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retry {
    /// It was the failure of this number, and the next try comes after this wait, before jitter.
    After { attempt: u32, wait: Duration },
    /// All tries are used up just now.
    GivenUp,
    /// They were used up before, and a query has asked for one more.
    StillFailed,
}

impl Backoff {
    /// Counts a failure.
    pub(crate) fn fail(&mut self) -> Retry {
        self.failures = self.failures.saturating_add(1);
        match self.failures {
            attempt if attempt <= ATTEMPTS => Retry::After {
                attempt,
                wait: FIRST * (1 << (attempt - 1)),
            },
            attempt if attempt == ATTEMPTS + 1 => Retry::GivenUp,
            _ => Retry::StillFailed,
        }
    }

    /// Forgets the failures: the address answers.
    pub(crate) fn succeed(&mut self) {
        self.failures = 0;
    }
}

/// Returns a wait that is up to a tenth shorter or longer; `chance` is from 0 to 1.
pub(crate) fn jittered(wait: Duration, chance: f64) -> Duration {
    wait.mul_f64(1.0 + JITTER * (2.0 * chance - 1.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn five_tries_wait_twice_as_long_each_and_then_a_query_has_to_ask() {
        let mut backoff = Backoff::default();
        for round in 0..2 {
            let waits: Vec<_> = (0..5).map(|_| backoff.fail()).collect();
            let expected = [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32)].map(|(attempt, seconds)| Retry::After {
                attempt,
                wait: Duration::from_secs(seconds),
            });
            assert_eq!(waits, expected, "round {round}");
            assert_eq!(backoff.fail(), Retry::GivenUp);
            assert_eq!(backoff.fail(), Retry::StillFailed);
            backoff.succeed();
        }
    }

    proptest! {
        #[test]
        fn a_wait_is_off_by_a_tenth_at_most(chance in 0.0..=1.0_f64, attempt in 0..5_u32) {
            let wait = FIRST * (1 << attempt);
            let actual = jittered(wait, chance).as_secs_f64() / wait.as_secs_f64();
            prop_assert!((0.9 - 1e-6..=1.1 + 1e-6).contains(&actual), "{actual}");
        }
    }
}
