//! Corrects what is recorded of poolers by what was seen.

use simdb_state::object::State;

use crate::observed::{Observation, Observed};
use crate::planner::before::power;

/// A pooler whose instance directory is gone is not there.
pub(crate) fn correct_poolers(state: &mut State, observed: &Observed) {
    for (address, endpoint) in &mut state.endpoints {
        let Some(pooler) = &mut endpoint.pooler else { continue };
        match observed.poolers.get(address) {
            None | Some(Observation::Unknown(_)) => {}
            Some(Observation::Absent) => endpoint.pooler = None,
            Some(Observation::Seen(facts)) => pooler.power = power(&facts.process),
        }
    }
}
