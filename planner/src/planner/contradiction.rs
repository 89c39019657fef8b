//! What was seen and cannot be: facts that contradict the record in a way that no step may mend by itself.
//!
//! Each is refused with an explanation, because either side may be the one worth keeping.

use simdb_state::address::NodeAddress;
use simdb_state::object::{Node, Role};

use crate::diagnostic::Diagnostic;
use crate::observed::{NodeFacts, Observation};

/// Returns how what was seen on a node contradicts what is recorded of it. A standby that was elected may have been
/// promoted by a run that was cut off before it could record it.
pub(super) fn contradiction(
    address: &NodeAddress,
    recorded: &Node,
    facts: &NodeFacts,
    elected: bool,
) -> Option<Diagnostic> {
    foreign_data(address, recorded, facts).or_else(|| other_role(address, recorded, facts, elected))
}

fn foreign_data(address: &NodeAddress, recorded: &Node, facts: &NodeFacts) -> Option<Diagnostic> {
    let data = recorded.data.as_ref()?;
    let newest = facts.generations.last() == Some(&data.generation);
    let on_disk = facts
        .control
        .as_ref()
        .filter(|_| newest)
        .map(|control| control.system_identifier);
    let served = facts
        .server
        .as_ref()
        .and_then(Observation::seen)
        .map(|server| server.system_identifier);
    let found = served.or(on_disk).filter(|found| *found != data.system_identifier)?;
    Some(Diagnostic::error(
        "Foreign data",
        format!(
            "{address} holds the data of another cluster: its system identifier is {found}, and the one on record is {}. \
             simdb neither starts nor removes data that it did not make. Put the node's own data directory back; or, for \
             a standby, move the foreign one away, and the next apply clones it again.",
            data.system_identifier
        ),
    ))
}

fn other_role(address: &NodeAddress, recorded: &Node, facts: &NodeFacts, elected: bool) -> Option<Diagnostic> {
    let server = facts.server.as_ref().and_then(Observation::seen)?;
    let (is, was) = match (recorded.role.as_ref()?, server.in_recovery) {
        (Role::Primary { .. }, true) => ("only replays", "the primary"),
        (Role::Standby { .. }, false) if !elected => ("takes writes", "a standby"),
        (Role::Fenced { .. }, false) => ("takes writes", "fenced"),
        _ => return None,
    };
    Some(Diagnostic::error(
        "Role was changed by somebody else",
        format!(
            "{address} is {was} on record, and its server {is}. Somebody promoted it or changed how it starts, and two \
             nodes of a cluster may have taken writes since. Nothing is done until that is settled: find out which node \
             has the writes worth keeping. To give up those of {address}, run: simdb resync {} {}",
            address.cluster, address.node
        ),
    ))
}
