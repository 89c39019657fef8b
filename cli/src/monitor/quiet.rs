//! When nothing is told of servers that end: while a person's run stops and starts them on purpose, and a moment longer.

use std::time::Duration;

/// For how long a run is taken to stop and start servers on purpose. What is still lost then is told.
const GRACE: Duration = Duration::from_secs(10);

/// For how long servers may take to be heard of again after it.
const AFTER: Duration = Duration::from_secs(1);

/// Since when somebody is at work, and until when somebody was.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    since: Option<Duration>,
    ended: Option<Duration>,
}

impl Quiet {
    /// Notes whether somebody is at work, and returns whether what servers do is theirs.
    pub(super) fn note(&mut self, is_at_work: bool, now: Duration) -> bool {
        if is_at_work {
            let since = *self.since.get_or_insert(now);
            return now.saturating_sub(since) < GRACE;
        }
        if let Some(since) = self.since.take() {
            // A run that was longer has had its time.
            self.ended = (now.saturating_sub(since) < GRACE).then_some(now);
        }
        self.ended.is_some_and(|ended| now.saturating_sub(ended) < AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_given_its_time_and_a_moment_more_and_one_that_hangs_is_not() {
        let at = Duration::from_millis;
        let mut quiet = Quiet::default();
        assert!(!quiet.note(false, at(0)));
        assert!(quiet.note(true, at(1_000)));
        assert!(quiet.note(true, at(3_000)));
        assert!(quiet.note(false, at(3_200)));
        assert!(quiet.note(false, at(4_100)));
        assert!(!quiet.note(false, at(4_300)));
        assert!(quiet.note(true, at(5_000)), "each run has its own time");
        assert!(!quiet.note(true, at(15_100)));
        assert!(!quiet.note(false, at(15_200)));
    }
}
