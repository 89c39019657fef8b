//! How often something took how long.

use std::time::Duration;

/// The upper bounds of the buckets, in seconds.
pub(super) const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
];

/// Counts by how long something took.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Histogram {
    /// How often it took longer than the bound before, and no longer than this one.
    buckets: [u64; BOUNDS.len()],
    /// How often it took any time.
    pub(super) count: u64,
    /// How long it took in all.
    pub(super) sum: Duration,
}

impl Histogram {
    /// Counts one time.
    pub(super) fn observe(&mut self, took: Duration) {
        let seconds = took.as_secs_f64();
        if let Some(bucket) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            self.buckets[bucket] += 1;
        }
        self.count += 1;
        self.sum += took;
    }

    /// Returns how often it took no longer than each of the bounds.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let counts = self.buckets.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        });
        BOUNDS.into_iter().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_longer_than_every_bound_is_counted_all_the_same() {
        let mut histogram = Histogram::default();
        for milliseconds in [5, 6, 301_000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let counts: Vec<u64> = histogram.cumulative().map(|(_, count)| count).collect();
        assert_eq!((counts[0], counts[1], counts[BOUNDS.len() - 1]), (1, 2, 2));
        assert_eq!((histogram.count, histogram.sum), (3, Duration::from_millis(301_011)));
    }
}
