//! How long steps take, judged by those of earlier runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use simdb_state::store::Took;

/// The median duration of each kind of step in the runs that the journal holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimates(BTreeMap<String, f64>);

impl Estimates {
    /// Judges by the steps that were done.
    pub fn new(done: Vec<Took>) -> Self {
        let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for Took { kind, milliseconds } in done {
            all.entry(kind).or_default().push(milliseconds);
        }
        Self(all.into_iter().map(|(kind, times)| (kind, median(times))).collect())
    }

    /// Returns how many seconds a kind of step takes.
    pub fn of(&self, kind: &str) -> Option<f64> {
        self.0.get(kind).copied()
    }
}

/// Returns the middle one in seconds: one step that waited for minutes does not count for all others.
#[expect(clippy::cast_precision_loss, reason = "no step takes thousands of years")]
fn median(mut times: Vec<u64>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2] as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_takes_what_most_of_its_kind_took() {
        let took = |kind: &str, milliseconds| Took {
            kind: kind.to_owned(),
            milliseconds,
        };
        let estimates = Estimates::new(vec![
            took("standby", 900),
            took("standby", 60_000),
            took("standby", 1100),
            took("network", 2),
        ]);
        assert_eq!(estimates.of("standby"), Some(1.1));
        assert_eq!(estimates.of("network"), Some(0.002));
        assert_eq!(estimates.of("promote"), None);
    }
}
