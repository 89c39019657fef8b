//! What the last server on a node's data did, as far as that was seen: data that a server wrote to is never streamed on as
//! if it had only replayed.

use simdb_state::object::{FenceProof, Node, Role};

use crate::engine::postgresql::instance::LastRun;
use crate::observed::{ControlData, NodeFacts, Observation};

/// Returns what the last server on a node's data did. What nobody saw is taken from the record: the node that leads wrote,
/// and so did one that was killed since.
pub(crate) fn last_run(recorded: &Node, facts: Option<&NodeFacts>) -> LastRun {
    let server = facts.and_then(|facts| facts.server.as_ref()?.seen());
    let killed = FenceProof::Killed;
    match (server, control(recorded, facts)) {
        (Some(server), _) if server.in_recovery => LastRun::Replayed,
        (Some(_), _) => LastRun::Wrote,
        (None, Some(control)) => match control.state.as_str() {
            "shut down" => LastRun::WroteToTheEnd,
            "in production" | "in crash recovery" | "shutting down" => LastRun::Wrote,
            _ => LastRun::Replayed,
        },
        (None, None) => match &recorded.role {
            Some(Role::Primary { .. }) => LastRun::Wrote,
            Some(Role::Fenced { proof, .. }) if *proof == killed => LastRun::Wrote,
            _ => LastRun::Replayed,
        },
    }
}

/// Returns whether a server that replayed was shut down in order, or can be.
pub(crate) fn ends_in_order(recorded: &Node, facts: Option<&NodeFacts>) -> bool {
    let answers = facts.is_some_and(|facts| facts.server.as_ref().and_then(Observation::seen).is_some());
    answers || control(recorded, facts).is_some_and(|control| control.state == "shut down in recovery")
}

/// Returns the control data of a node whose server is down.
fn control<'a>(recorded: &Node, facts: Option<&'a NodeFacts>) -> Option<&'a ControlData> {
    let facts = facts?;
    let newest = facts.generations.last() == Some(&recorded.data.as_ref()?.generation);
    facts.control.seen().filter(|_| newest && !facts.process.is_alive())
}
