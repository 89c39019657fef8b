//! How far standbys are behind the primary, by what its probes said.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::lsn::Lsn;

/// Ten minutes of probes once a second; of what is older, a standby's lag is not known.
const SAMPLES: usize = 600;

/// Where the primary was at which time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Track {
    samples: VecDeque<(Instant, Lsn)>,
}

/// How far a standby is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) bytes: u64,
    /// Absent where the primary was there before the first sample.
    pub(crate) time: Option<Duration>,
}

impl Track {
    /// Takes in where the primary is now.
    pub(crate) fn add(&mut self, now: Instant, lsn: Lsn) {
        // A primary that wrote nothing was there at the later time, too.
        if let Some(last) = self.samples.back_mut().filter(|(_, last)| *last == lsn) {
            last.0 = now;
            return;
        }
        self.samples.push_back((now, lsn));
        if self.samples.len() > SAMPLES {
            self.samples.pop_front();
        }
    }

    /// Returns whether the primary was seen at this time, or later.
    pub(crate) fn reaches(&self, at: Instant) -> bool {
        self.samples.back().is_some_and(|(newest, _)| *newest >= at)
    }

    /// Returns how far a standby was behind that had replayed up to a position at some time; `None` where no primary was
    /// seen.
    ///
    /// The standby has everything that was written before the newest sample it has reached: the time from that sample on
    /// is never less than the truth.
    pub(crate) fn lag(&self, replayed: Lsn, at: Instant) -> Option<Behind> {
        let (_, newest) = self.samples.back()?;
        let reached = self.samples.iter().rev().find(|(_, lsn)| *lsn <= replayed);
        Some(Behind {
            bytes: newest.ahead_of(replayed),
            time: reached.map(|(reached, _)| at.saturating_duration_since(*reached)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_standby_is_as_old_as_the_newest_sample_it_has_reached() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut track = Track::default();
        assert_eq!(track.lag(Lsn(100), at(0)), None);
        for (second, lsn) in [(0, 100), (1, 100), (2, 200), (3, 300)] {
            track.add(at(second), Lsn(lsn));
        }
        let cases = [
            // Nothing is known of the second since the last sample.
            (300, 0, Some(1)),
            (350, 0, Some(1)),
            (299, 1, Some(2)),
            (200, 100, Some(2)),
            // Idle at 100 until second 1.
            (150, 150, Some(3)),
            (100, 200, Some(3)),
            (99, 201, None),
        ];
        for (replayed, bytes, seconds) in cases {
            let time = seconds.map(Duration::from_secs);
            assert_eq!(
                track.lag(Lsn(replayed), at(4)),
                Some(Behind { bytes, time }),
                "{replayed}"
            );
        }
    }
}
