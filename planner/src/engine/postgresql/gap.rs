//! Whether a standby needs log that its upstream no longer has: then it can never stream from there again.

use std::fmt;

use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::name::NodeName;
use simdb_state::object::{Node, Slot};

use crate::observed::{NodeFacts, Observation, Observed};
use crate::planner::before::server;

/// The size of a file of the log. A copy of a node's data begins its log with the file in which the copy began.
const SEGMENT: u64 = 16 << 20;

/// Log that a standby needs and that its upstream does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    standby: NodeName,
    upstream: NodeName,
    /// From where the standby needs it; absent where only its slot tells.
    needs: Option<Lsn>,
    /// From where its upstream has it.
    oldest: Option<Lsn>,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Gap {
            standby,
            upstream,
            needs,
            oldest,
        } = self;
        match (needs, oldest) {
            (Some(needs), Some(oldest)) => write!(
                f,
                "{standby} needs WAL from {needs} on, and the oldest that {upstream} has is {oldest}"
            ),
            _ => write!(
                f,
                "{upstream} no longer has the WAL that the slot of {standby} should retain"
            ),
        }
    }
}

/// Returns the log that a standby needs and that the node which keeps its slot no longer has.
pub(crate) fn gap(address: &NodeAddress, node: &Node, observed: &Observed) -> Option<Gap> {
    gap_on(address, node, node.slot.as_ref()?, observed)
}

/// Returns the log that a standby needs to stream through a slot, on record or yet to be made, and that the node which
/// keeps the slot no longer has.
///
/// What is taken for proof: a slot whose log is lost; a server that has replayed all it has, at a position before the
/// oldest log of its upstream; and, where the slot is gone, a position before that log, though the standby may have some
/// log that its control data does not know of. Without its slot nothing retains what it needs.
pub(crate) fn gap_on(address: &NodeAddress, node: &Node, slot: &Slot, observed: &Observed) -> Option<Gap> {
    let upstream = server(observed, &address.sibling(&slot.upstream))?;
    let found = upstream.slots.get(&slot.name);
    let lost = found.is_some_and(|slot| slot.wal_status.as_deref() == Some("lost"));
    let exhausted = server(observed, address).is_some_and(|standby| standby.exhausted);
    let needs = held(address, node, observed);
    let behind = needs.zip(upstream.oldest).is_some_and(|(needs, oldest)| needs < oldest);
    let gone = lost || (behind && (found.is_none() || exhausted));
    gone.then(|| Gap {
        standby: address.node.clone(),
        upstream: slot.upstream.clone(),
        needs: needs.filter(|_| behind),
        oldest: upstream.oldest.filter(|_| behind),
    })
}

/// Returns up to where a standby is known to have the log: what its server says, or its data where that is down.
pub(crate) fn held(address: &NodeAddress, node: &Node, observed: &Observed) -> Option<Lsn> {
    if let Some(standby) = server(observed, address) {
        return Some(standby.position);
    }
    let facts: &NodeFacts = observed.nodes.get(address).and_then(Observation::seen)?;
    let newest = facts.generations.last() == Some(&node.data.as_ref()?.generation);
    let control = facts.control.seen().filter(|_| newest)?;
    Some(control.reaches())
}

/// Returns the gap before the log of an upstream whose data is about to be copied from a source: it begins with the file
/// that the source writes by then.
pub(crate) fn starts_later(standby: &NodeAddress, needs: Lsn, upstream: &NodeName, source: Lsn) -> Option<Gap> {
    let oldest = source.0 / SEGMENT * SEGMENT;
    (needs.0 < oldest).then(|| Gap {
        standby: standby.node.clone(),
        upstream: upstream.clone(),
        needs: Some(needs),
        oldest: Some(Lsn(oldest)),
    })
}
