//! What keeps a monitor from doing anything, whatever it wants to do.

use simdb_state::object::{FailoverMode, FailoverPolicy};

use super::Case;
use super::decision::{Decision, Held};
use super::evidence::Standing;

/// Returns what keeps a decision from being carried out, where anything does.
pub(super) fn held(case: Case<'_>, policy: &FailoverPolicy, decision: &Decision) -> Option<Held> {
    let Case { history, round, .. } = case;
    if let Standing::Observes(why) = &round.standing {
        return Some(Held::Observes(why.clone()));
    }
    if history.paused {
        return Some(Held::Paused);
    }
    if history.maintained {
        return Some(Held::Maintained);
    }
    if policy.mode == FailoverMode::Manual {
        return Some(Held::Manual);
    }
    if !round.is_warm() {
        return Some(Held::Warming);
    }
    if let Decision::Elect { by, .. } = decision
        && !by.is_certain()
        && !round.hears
    {
        return Some(Held::Blind);
    }
    if let Some(work) = &round.at_work
        && !(work.yields && decision.is_urgent(case.cluster, case.recorded))
    {
        return Some(Held::AtWork(work.who.clone()));
    }
    let (first, most) = decision.patience();
    let tried = history.tried.get(&decision.subject())?;
    tried.left(first, most).map(Held::Again)
}
