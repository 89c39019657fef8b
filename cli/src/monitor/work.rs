//! What others do on one cluster, as its watcher follows it.

use std::time::{Duration, Instant};

use simdb_planner::watch::{Trace, Work};
use simdb_state::name::ClusterName;
use simdb_state::object::State;
use simdb_state::store;

/// How long work must have done nothing at the primary's server before a loss that is seen is no doing of it: each sign of life is looked
/// for more often than that.
const SETTLED: Duration = Duration::from_millis(1_500);

/// What others do, and since when they have done nothing at the primary's server.
#[derive(Debug, Default)]
pub(super) struct Others {
    traces: Vec<Trace>,
    who: String,
    changed: Option<Instant>,
}

impl Others {
    /// Takes note of what is done now, and returns it. What ended a moment ago is still told: its end may be seen sooner than what it did.
    pub(super) fn follow(
        &mut self,
        cluster: &ClusterName,
        recorded: &State,
        works: &[&store::Work],
        now: Instant,
    ) -> Option<Work> {
        let traces: Vec<Trace> = works.iter().map(|work| Trace::of(cluster, recorded, work)).collect();
        if let Some(owner) = works.first().map(|work| &work.lease.owner) {
            self.who = format!("{} ({})", owner.who, owner.operation);
        }
        if traces != self.traces {
            self.traces = traces;
            self.changed = Some(now);
        }
        let is_settled = self
            .changed
            .is_none_or(|changed| now.duration_since(changed) >= SETTLED);
        if self.traces.is_empty() && is_settled {
            return None;
        }
        Some(Work {
            who: self.who.clone(),
            yields: is_settled && self.traces.iter().all(Trace::yields),
        })
    }

    /// Returns how far those have come who end where the primary is lost.
    pub(super) fn yielding(&self) -> Vec<Trace> {
        self.traces.iter().filter(|trace| trace.yields()).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use simdb_state::backend::{Lease, Token};
    use simdb_state::lock::Owner;

    use super::*;

    fn work(token: u64) -> store::Work {
        let owner = Owner::this_process("apply", Duration::from_secs(20));
        store::Work {
            lease: Lease {
                token: Token(token),
                beat: 0,
                owner,
            },
            run: None,
        }
    }

    #[test]
    fn work_yields_once_it_has_done_nothing_for_a_while_and_is_told_for_a_while_after_its_end() {
        let (cluster, state) = ("orders".parse().unwrap(), State::default());
        let began = Instant::now();
        let mut others = Others::default();
        let mut told = |works: &[u64], milliseconds| {
            let works: Vec<store::Work> = works.iter().copied().map(work).collect();
            let works: Vec<&store::Work> = works.iter().collect();
            let told = others.follow(&cluster, &state, &works, began + Duration::from_millis(milliseconds));
            told.map(|work| work.yields)
        };
        assert_eq!(told(&[], 0), None);
        assert_eq!(told(&[1], 100), Some(false), "it has just been seen");
        assert_eq!(told(&[1], 1_600), Some(true));
        assert_eq!(told(&[2], 1_700), Some(false), "it is another one");
        assert_eq!(told(&[2], 3_200), Some(true));
        assert_eq!(told(&[], 3_300), Some(false), "it may just have restarted the primary");
        assert_eq!(told(&[], 4_800), None);
    }
}
