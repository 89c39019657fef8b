//! What is to be done about the node that leads, or should.

use std::collections::BTreeMap;
use std::time::Duration;

use simdb_state::name::NodeName;
use simdb_state::object::{FailoverPolicy, Node, Prefer, ReplicationMode, Role};

use super::Case;
use super::condition::{Condition, LostBy};
use super::decision::{Decision, Held, Subject};

/// How far back failovers count.
const HOUR: Duration = Duration::from_hours(1);

/// What is wanted, and what keeps it from being done where anything does.
pub(super) type Wanted = Option<(Decision, Option<Held>)>;

/// Returns what is wanted of the lead; nothing where a node leads as it should.
pub(super) fn wanted(case: Case<'_>, policy: &FailoverPolicy, conditions: &BTreeMap<NodeName, Condition>) -> Wanted {
    if let Some(winner) = pending(case) {
        return Some((carry_on(case, policy, conditions, winner), None));
    }
    let leader = &case.recorded.leader(case.cluster)?.node;
    if recorded(case, leader)?.stopped_by_request {
        return None;
    }
    match conditions.get(leader)? {
        Condition::Alive if case.history.cut_off => {
            let winner = leader.clone();
            Some((Decision::Finish { winner }, None))
        }
        Condition::Lost(by) => lost(case, policy, conditions, (leader, *by)),
        Condition::Alive => second_writer(case, leader, conditions).map(|node| (Decision::Fence { node }, None)),
        Condition::Unknown | Condition::Starting | Condition::Suspect(_) => None,
    }
}

/// Returns how a role change goes on whose winner does not lead yet. Where the winner cannot take over, another node does; where
/// none can, the node that led goes on: it has all that was acknowledged.
fn carry_on(
    case: Case<'_>,
    policy: &FailoverPolicy,
    conditions: &BTreeMap<NodeName, Condition>,
    winner: &NodeName,
) -> Decision {
    let lost = match conditions.get(winner) {
        Some(Condition::Lost(by)) => Some(*by),
        _ => None,
    };
    match (tried(case, &Subject::Lead) % 3, lost, former(case, winner)) {
        (1, Some(by), _) if candidates(case, policy, winner, conditions) => Decision::Elect {
            lost: winner.clone(),
            by,
            lossy: false,
        },
        (2, _, Some(to)) => Decision::GoBack { to },
        _ => Decision::Finish { winner: winner.clone() },
    }
}

/// Returns the node that led before the election that is being carried through, and leads still where it was not fenced yet.
fn former(case: Case<'_>, winner: &NodeName) -> Option<NodeName> {
    if let Some(leader) = case
        .recorded
        .leader(case.cluster)
        .filter(|leader| leader.node != *winner)
    {
        return Some(leader.node.clone());
    }
    let last = case.recorded.elections.get(case.cluster)?.term;
    let mut nodes = case.recorded.nodes_of(case.cluster);
    let led = |node: &Node| matches!(node.role, Some(Role::Fenced { term, .. }) if term == last);
    nodes
        .find(|(_, node)| led(node))
        .map(|(address, _)| address.node.clone())
}

/// Returns who was elected and does not lead yet: the run that was to let it lead was cut off.
fn pending(case: Case<'_>) -> Option<&NodeName> {
    let winner = &case.recorded.elections.get(case.cluster)?.primary;
    let node = recorded(case, winner)?;
    (!node.writes() && !node.stopped_by_request && node.data.is_some()).then_some(winner)
}

fn recorded<'a>(case: Case<'a>, node: &NodeName) -> Option<&'a Node> {
    let mut nodes = case.recorded.nodes_of(case.cluster);
    nodes.find(|(address, _)| address.node == *node).map(|(_, node)| node)
}

/// Returns a node that writes beside the one that leads.
fn second_writer(case: Case<'_>, leader: &NodeName, conditions: &BTreeMap<NodeName, Condition>) -> Option<NodeName> {
    let writes = |node: &&NodeName| {
        let said = case.evidence.get(*node).and_then(|evidence| evidence.said.as_ref());
        conditions.get(*node) == Some(&Condition::Alive) && said.is_some_and(|said| said.writes)
    };
    if !writes(&leader) {
        return None;
    }
    let mut others = case.evidence.keys().filter(|node| *node != leader);
    others.find(writes).cloned()
}

fn lost(
    case: Case<'_>,
    policy: &FailoverPolicy,
    conditions: &BTreeMap<NodeName, Condition>,
    (leader, by): (&NodeName, LostBy),
) -> Wanted {
    let restart = || Decision::Restart { node: leader.clone() };
    if all_ended(case, conditions) {
        return Some((restart(), ahead(case, leader).map(Held::Ahead)));
    }
    let waits = mode(case) != ReplicationMode::Async;
    let can_restart = by.is_certain() && case.evidence.get(leader)?.has_data != Some(false);
    let first = policy.prefer == Prefer::Restart || !waits;
    if can_restart && first && by.since() < policy.restart_within {
        return Some((restart(), None));
    }
    let elect = Decision::Elect {
        lost: leader.clone(),
        by,
        lossy: !waits && !policy.max_loss.is_nothing(),
    };
    if !candidates(case, policy, leader, conditions) {
        return Some(if can_restart {
            (restart(), None)
        } else {
            (elect, Some(Held::NoCandidate))
        });
    }
    if can_restart && tried(case, &Subject::Lead) > tried(case, &Subject::Node(leader.clone())) {
        return Some((restart(), None));
    }
    let recent = case.history.failovers.iter().filter(|ago| **ago < HOUR).count();
    if recent >= usize::try_from(policy.max_per_hour).unwrap_or(usize::MAX) {
        return Some((Decision::Pause { failovers: recent }, None));
    }
    let proven = by.is_certain() && waits;
    let cooling = case
        .history
        .failovers
        .iter()
        .min()
        .and_then(|ago| policy.cooldown.checked_sub(*ago));
    let held = cooling.filter(|_| !proven).map(Held::Cooldown);
    Some((elect, held))
}

fn mode(case: Case<'_>) -> ReplicationMode {
    let cluster = case.recorded.clusters.get(case.cluster);
    cluster.map_or(ReplicationMode::Async, |cluster| cluster.replication)
}

fn tried(case: Case<'_>, subject: &Subject) -> u32 {
    case.history.tried.get(subject).map_or(0, |attempt| attempt.times)
}

/// Returns whether every server of the cluster ended that was to run: their machine went down, and no election helps.
fn all_ended(case: Case<'_>, conditions: &BTreeMap<NodeName, Condition>) -> bool {
    let mut nodes = case
        .recorded
        .nodes_of(case.cluster)
        .filter(|(_, node)| !node.stopped_by_request && node.data.is_some());
    nodes.all(|(address, _)| matches!(conditions.get(&address.node), Some(Condition::Lost(LostBy::Ended(_)))))
}

/// Returns a node whose log is on a later timeline than that of the node that led.
fn ahead(case: Case<'_>, leader: &NodeName) -> Option<NodeName> {
    let timeline = |node: &NodeName| Some(case.evidence.get(node)?.said.as_ref()?.progress.timeline);
    let own = timeline(leader)?;
    let mut others = case.evidence.keys().filter(|node| *node != leader);
    others
        .find(|node| timeline(node).is_some_and(|other| other > own))
        .cloned()
}

/// Returns whether any node could take over; whether it may, the planner says.
fn candidates(
    case: Case<'_>,
    policy: &FailoverPolicy,
    leader: &NodeName,
    conditions: &BTreeMap<NodeName, Condition>,
) -> bool {
    let mut others = case.evidence.keys().filter(|node| *node != leader);
    others.any(|node| conditions.get(node) == Some(&Condition::Alive) && policy.priority(node) > 0)
}
