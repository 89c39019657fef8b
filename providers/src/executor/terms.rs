//! On which terms steps run: how many at once, for how long, and how often.

use std::collections::BTreeMap;
use std::time::Duration;

/// On which terms the steps of a plan run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How many steps run at once; at least one does.
    pub parallelism: usize,
    /// How long a step may take.
    pub limits: StepLimits,
    /// How often a step is tried again that failed for a reason which passes by itself.
    pub retries: u32,
    /// How long to wait before the first of these; each further wait is twice as long.
    pub pause: Duration,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            parallelism: 10,
            limits: StepLimits::default(),
            retries: 3,
            pause: Duration::from_secs(1),
        }
    }
}

impl Terms {
    /// Returns how long to wait before a step is tried again that was tried so often, or nothing where that was enough.
    pub(super) fn pause_after(&self, tries: u32) -> Option<Duration> {
        let doublings = tries.saturating_sub(1).min(16);
        (tries <= self.retries).then(|| self.pause * 2_u32.pow(doublings))
    }
}

/// How long steps may take, the tries of one together. What has no limit here ends when what it waits for does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepLimits {
    /// That of every step which has none of its own.
    pub all: Option<Duration>,
    /// Those of kinds of steps, by name: `seed`.
    pub by_name: BTreeMap<String, Duration>,
}

impl StepLimits {
    /// Returns the limit of a kind of step.
    pub(super) fn of(&self, name: &str) -> Option<Duration> {
        self.by_name.get(name).copied().or(self.all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wait_is_twice_as_long_as_the_one_before_and_there_are_as_many_as_retries() {
        let terms = Terms::default();
        let waits: Vec<Option<u64>> = (1..=4)
            .map(|tries| terms.pause_after(tries).map(|wait| wait.as_secs()))
            .collect();
        assert_eq!(waits, [Some(1), Some(2), Some(4), None]);
    }

    #[test]
    fn a_limit_of_its_own_counts_for_a_step_more_than_that_of_all() {
        let second = Duration::from_secs(1);
        let limits = StepLimits {
            all: Some(second),
            by_name: BTreeMap::from([("seed".to_owned(), second * 60)]),
        };
        assert_eq!(limits.of("seed"), Some(second * 60));
        assert_eq!(limits.of("standby"), Some(second));
        assert_eq!(StepLimits::default().of("standby"), None);
    }
}
