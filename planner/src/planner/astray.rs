//! A standby that somebody promoted by hand: its writes are a branch that no other node has, and a person says which branch is
//! kept.

use std::fmt;

use simdb_state::address::NodeAddress;
use simdb_state::object::Node;
use simdb_state::position::{Distance, Position};

use super::before;
use super::contradiction::wrote;
use crate::observed::{NodeFacts, Observation, Observed};

/// How far the writes of a node have come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Branch {
    pub(crate) timeline: u32,
    /// Where its timeline branched off, where that is known.
    pub(crate) fork: Option<Position>,
    /// Its last position.
    pub(crate) position: Position,
    /// Whether it may have come further: its server is down, and its data tells of its last checkpoint alone.
    pub(crate) at_least: bool,
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Branch {
            timeline,
            fork,
            position,
            at_least,
        } = self;
        write!(f, "timeline {timeline}")?;
        if let Some(fork) = fork {
            write!(f, " since {fork}")?;
        }
        let word = if *at_least { "at least up to" } else { "up to" };
        write!(f, ", {word} {position}")
    }
}

impl Branch {
    /// Returns how much it has after a position, where that can be told.
    pub(crate) fn after(&self, fork: &Position) -> Option<Distance> {
        self.position.ahead_of(fork)
    }
}

/// Returns whether a standby on record writes, or did when it was last up.
pub(crate) fn is_astray(address: &NodeAddress, recorded: Option<&Node>, observed: &Observed) -> bool {
    let facts = observed.nodes.get(address).and_then(Observation::seen);
    recorded
        .zip(facts)
        .is_some_and(|(recorded, facts)| wrote(recorded, facts))
}

/// Returns how far a node has come, as far as anybody can tell.
pub(crate) fn branch(address: &NodeAddress, observed: &Observed) -> Option<Branch> {
    if let Some(server) = before::server(observed, address) {
        return Some(Branch {
            timeline: server.timeline,
            fork: server.fork.map(Position::from),
            position: server.progress().position,
            at_least: false,
        });
    }
    let facts: &NodeFacts = observed.nodes.get(address).and_then(Observation::seen)?;
    let control = facts.control.seen()?;
    Some(Branch {
        timeline: control.timeline,
        fork: None,
        position: control.reaches().into(),
        at_least: true,
    })
}

/// Says what each branch of a cluster holds, and which of them is kept.
pub(crate) fn notes<'a>(
    kept: &NodeAddress,
    nodes: impl Iterator<Item = (&'a NodeAddress, &'a Node)>,
    observed: &Observed,
) -> Vec<String> {
    let kept_branch = branch(kept, observed);
    let mut nodes: Vec<(&NodeAddress, &Node)> = nodes.collect();
    // The others are told against where they part from the one that is kept, or against where they branched off themselves.
    nodes.sort_by_key(|(address, _)| *address != kept);
    let told = nodes.into_iter().filter_map(|(address, node)| {
        let own = branch(address, observed)?;
        let leads = node.writes();
        let astray = is_astray(address, Some(node), observed);
        let fork = if astray {
            own.fork.as_ref()
        } else {
            kept_branch.as_ref().and_then(|kept| kept.fork.as_ref())
        };
        let lacking = fork.and_then(|fork| own.after(fork));
        if address != kept && !leads && !astray && lacking.is_none_or(Distance::is_nothing) {
            return None;
        }
        let size = match (lacking, own.at_least) {
            (None, _) => String::new(),
            (Some(distance), false) => format!(": {distance} that the others lack"),
            (Some(distance), true) => format!(": {distance} or more that the others lack"),
        };
        let fate = if address == kept { "is kept" } else { "is given up" };
        Some(format!("The branch of {address} {fate} ({own}{size})."))
    });
    told.collect()
}
