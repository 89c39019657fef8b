//! What is to be done about standbys while a node leads as it should.

use std::collections::BTreeMap;
use std::time::Duration;

use simdb_state::name::NodeName;
use simdb_state::object::{Cluster, FailoverMode, FailoverPolicy, Node, OnStandbyLoss};

use super::Case;
use super::condition::{Condition, LostBy};
use super::decision::Decision;
use super::evidence::SlotState;
use super::primary::Wanted;

/// How long a standby may be away before commits stop waiting for it, or it is started again.
const AWAY: Duration = Duration::from_secs(1);

/// How long standbys must have kept up before commits wait for them again.
const CAUGHT_UP: Duration = Duration::from_secs(5);

/// How far a standby may be behind before a new copy of the data is quicker.
const FAR_BEHIND: u64 = 1024 * 1024 * 1024;

/// How long a standby may be away before its data is made anew.
const GONE: Duration = Duration::from_mins(5);

/// Returns what is wanted of the standbys; nothing while the primary needs all attention.
pub(super) fn wanted(case: Case<'_>, policy: &FailoverPolicy, conditions: &BTreeMap<NodeName, Condition>) -> Wanted {
    let leader = &case.recorded.leader(case.cluster)?.node;
    if conditions.get(leader) != Some(&Condition::Alive) {
        return None;
    }
    let cluster = case.recorded.clusters.get(case.cluster)?;
    let standbys = || {
        let nodes = case
            .recorded
            .nodes_of(case.cluster)
            .map(|(address, node)| (&address.node, node));
        nodes.filter(|(name, node)| *name != leader && !node.stopped_by_request)
    };
    let degrade = standbys().find(|(name, _)| degrades(case, cluster, name));
    let decision = degrade.map(|(name, _)| Decision::Degrade { away: name.clone() });
    let decision =
        decision.or_else(|| standbys().find_map(|(name, node)| mend(case, policy, conditions, (name, node))));
    let restored = || cluster.degraded.is_some() && standbys().all(|(name, _)| caught_up(case, name));
    let decision = decision.or_else(|| restored().then_some(Decision::Restore));
    decision.map(|decision| (decision, None))
}

fn away(case: Case<'_>, node: &NodeName) -> Duration {
    let trend = case.history.trends.get(node);
    trend.and_then(|trend| trend.away).unwrap_or_default()
}

fn caught_up(case: Case<'_>, node: &NodeName) -> bool {
    let trend = case.history.trends.get(node);
    trend
        .and_then(|trend| trend.caught_up)
        .is_some_and(|since| since >= CAUGHT_UP)
}

/// Returns whether commits are to go on without a standby that they wait for.
fn degrades(case: Case<'_>, cluster: &Cluster, node: &NodeName) -> bool {
    let rule = &cluster.sync_rule;
    let streams = |name: &&String| {
        let mut nodes = case.evidence.iter().filter(|(node, _)| node.identifier() == **name);
        nodes.any(|(node, evidence)| {
            let said = evidence.said.as_ref().is_some_and(|said| said.streams);
            said && away(case, node).is_zero()
        })
    };
    let left = rule.standbys.iter().filter(streams).count();
    cluster.on_standby_loss == OnStandbyLoss::Degrade
        && rule.standbys.contains(&node.identifier())
        && away(case, node) >= AWAY
        && left < usize::try_from(rule.number).unwrap_or(usize::MAX)
}

fn mend(
    case: Case<'_>,
    policy: &FailoverPolicy,
    conditions: &BTreeMap<NodeName, Condition>,
    (name, node): (&NodeName, &Node),
) -> Option<Decision> {
    let rebuild = |why| Decision::Rebuild {
        node: name.clone(),
        why,
    };
    let restart = Decision::Restart { node: name.clone() };
    let rebuilds = policy.rebuild == FailoverMode::Automatic;
    match conditions.get(name)? {
        Condition::Lost(LostBy::Ended(ago)) if *ago >= GONE && rebuilds && node.data.is_some() => {
            Some(rebuild("it has been down for five minutes"))
        }
        Condition::Lost(LostBy::Ended(ago)) if *ago >= AWAY => Some(restart),
        Condition::Alive if rebuilds => broken(case, name).map(rebuild),
        _ => None,
    }
}

/// Returns why a standby that answers cannot go on as it is.
fn broken(case: Case<'_>, node: &NodeName) -> Option<&'static str> {
    let said = case.evidence.get(node)?.said.as_ref().filter(|said| !said.writes)?;
    if said.diverged {
        return Some("its log is another branch than the primary's");
    }
    if said.slot == SlotState::Lost && !said.streams {
        return Some("the log that it needs is gone");
    }
    let far = said.lag_bytes.is_some_and(|bytes| bytes > FAR_BEHIND);
    (far && !said.streams).then_some("it is more than 1 GB behind")
}
