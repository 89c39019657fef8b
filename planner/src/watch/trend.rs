//! Alarms: what a person should know, raised late and cleared later, so that nothing flaps.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use simdb_state::name::NodeName;

use super::Case;
use super::condition::Condition;
use super::decision::Alarm;
use super::evidence::{SlotState, Trend};

/// For how long a standby must lag before that is an alarm, and keep up before it is over.
const LAGS: Duration = Duration::from_secs(30);
const KEEPS_UP: Duration = Duration::from_mins(1);

/// For how long commits may wait.
const WAITS: Duration = Duration::from_secs(10);

/// Returns the alarms that hold.
pub(super) fn alarms(case: Case<'_>, conditions: &BTreeMap<NodeName, Condition>) -> BTreeSet<Alarm> {
    let mut alarms = BTreeSet::new();
    let leader = case.recorded.leader(case.cluster).map(|leader| &leader.node);
    let mut expected = false;
    for (address, node) in case
        .recorded
        .nodes_of(case.cluster)
        .filter(|(_, node)| !node.stopped_by_request)
    {
        let name = &address.node;
        expected |= node.data.is_some();
        match conditions.get(name) {
            Some(Condition::Lost(_)) => drop(alarms.insert(Alarm::NodeLost(name.clone()))),
            Some(Condition::Suspect(_)) => drop(alarms.insert(Alarm::Unreached(name.clone()))),
            _ => {}
        }
        let trend = case.history.trends.get(name).copied().unwrap_or_default();
        if lags(case, name, trend) {
            alarms.insert(Alarm::Lag(name.clone()));
        }
        let said = case.evidence.get(name).and_then(|evidence| evidence.said.as_ref());
        if said.is_some_and(|said| said.slot != SlotState::Kept) {
            alarms.insert(Alarm::Slot(name.clone()));
        }
        if said.is_some_and(|said| said.archive_fails) {
            alarms.insert(Alarm::Archive(name.clone()));
        }
        let alive = conditions.get(name) == Some(&Condition::Alive);
        if alive && leader.is_some_and(|leader| leader != name) && said.is_some_and(|said| said.writes) {
            alarms.insert(Alarm::SplitBrain(name.clone()));
        }
        if trend.waits.is_some_and(|since| since >= WAITS) {
            alarms.insert(Alarm::CommitsWait);
        }
    }
    if expected && case.round.complete && !case.round.hears {
        alarms.insert(Alarm::Blind);
    }
    alarms
}

/// An alarm that holds goes on until the standby has kept up for a while.
fn lags(case: Case<'_>, node: &NodeName, trend: Trend) -> bool {
    let held = case.history.alarms.contains(&Alarm::Lag(node.clone()));
    if held {
        trend.keeps_up.is_none_or(|since| since < KEEPS_UP)
    } else {
        trend.lags.is_some_and(|since| since >= LAGS)
    }
}
