//! What was seen and cannot be: facts that contradict the record in a way that no step may mend by itself.
//!
//! Each is refused with an explanation, because either side may be the one worth keeping.

use simdb_state::address::NodeAddress;
use simdb_state::object::{Node, Role};

use crate::diagnostic::Diagnostic;
use crate::observed::{NodeFacts, Observation, ProcessFacts, ServerFacts};

/// Returns how what was seen on a node contradicts what is recorded of it, or what its primary says. A standby that was
/// elected may have been promoted by a run that was cut off before it could record it.
pub(crate) fn contradiction(
    address: &NodeAddress,
    recorded: &Node,
    facts: &NodeFacts,
    elected: bool,
    primary: Option<&ServerFacts>,
) -> Option<Diagnostic> {
    foreign_data(address, recorded, facts)
        .or_else(|| other_role(address, recorded, facts, elected))
        .or_else(|| unasked(address, recorded, facts))
        .or_else(|| other_timeline(address, recorded, facts, primary?))
}

fn server(facts: &NodeFacts) -> Option<&ServerFacts> {
    facts.server.as_ref().and_then(Observation::seen)
}

fn is_standby(recorded: &Node) -> bool {
    matches!(recorded.role, Some(Role::Standby { .. }))
}

pub(crate) fn foreign_data(address: &NodeAddress, recorded: &Node, facts: &NodeFacts) -> Option<Diagnostic> {
    let data = recorded.data.as_ref()?;
    let newest = facts.generations.last() == Some(&data.generation);
    let on_disk = facts
        .control
        .seen()
        .filter(|_| newest)
        .map(|control| &control.system_identifier);
    let served = server(facts).map(|server| &server.system_identifier);
    let found = served.or(on_disk).filter(|found| **found != data.identity)?;
    Some(Diagnostic::error(
        "Foreign data",
        format!(
            "{address} holds the data of another cluster: its system identifier is {found}, and the one on record is {}. \
             simdb neither starts nor removes data that it did not make. Put the node's own data directory back; or, for \
             a standby, move the foreign one away, and the next apply clones it again.",
            data.identity
        ),
    ))
}

/// Whether a node only replays, as its server says, or its data where that is down. Data that no server was started on
/// since it was copied says nothing, and neither does that of a node that was fenced: it is down, and was the primary.
fn replays(recorded: &Node, facts: &NodeFacts) -> Option<bool> {
    if let Some(server) = server(facts) {
        return Some(server.in_recovery);
    }
    let newest = facts.generations.last() == Some(&recorded.data.as_ref()?.generation);
    let fenced = matches!(recorded.role, Some(Role::Fenced { .. }));
    facts.control.replays().filter(|_| newest && !fenced)
}

/// Whether a node that is a standby on record takes writes, or did when it was last up.
pub(crate) fn wrote(recorded: &Node, facts: &NodeFacts) -> bool {
    is_standby(recorded) && replays(recorded, facts) == Some(false)
}

fn other_role(address: &NodeAddress, recorded: &Node, facts: &NodeFacts, elected: bool) -> Option<Diagnostic> {
    let (is, was) = match (recorded.role.as_ref()?, replays(recorded, facts)?) {
        (Role::Primary { .. }, true) => ("only replays", "the primary"),
        (Role::Standby { .. }, false) if !elected => ("takes writes", "a standby"),
        (Role::Fenced { .. }, false) if !elected => ("takes writes", "fenced"),
        _ => return None,
    };
    let answered_for = match &recorded.role {
        Some(Role::Fenced { witness, .. }) => !witness.is_proof(),
        _ => false,
    };
    if answered_for {
        return Some(Diagnostic::error(
            "Former primary was not down",
            format!(
                "Another node was promoted in place of {address} without proof that this one was down, and its server {is}: two nodes of \
                 the cluster may have taken writes since. {}",
                way_out(address)
            ),
        ));
    }
    let says = match server(facts) {
        Some(_) => format!("its server {is}"),
        None => format!("the last server on its data was one that {is}"),
    };
    let keep = if is_standby(recorded) {
        way_to_keep(address)
    } else {
        String::new()
    };
    Some(Diagnostic::error(
        "Role was changed without simdb",
        format!(
            "{address} is {was} on record, and {says}. It was promoted or its start was changed without simdb, and two nodes of a \
             cluster may have taken writes since. {}{keep}",
            way_out(address)
        ),
    ))
}

/// A server that somebody started otherwise may write, and may do so where we do not look.
fn unasked(address: &NodeAddress, recorded: &Node, facts: &NodeFacts) -> Option<Diagnostic> {
    let (ProcessFacts::Foreign { pid }, Some(Observation::Unknown(reason))) = (&facts.process, &facts.server) else {
        return None;
    };
    is_standby(recorded).then(|| {
        Diagnostic::error(
            "Server cannot be asked",
            format!(
                "{address} is a standby on record. A server was started on its data without simdb (pid {pid}), and \
                 whether that takes writes could not be found out: {reason}. Stop it, and plan again: its data tells."
            ),
        )
    })
}

/// A standby can go to a later timeline only where its primary went before it.
fn other_timeline(
    address: &NodeAddress,
    recorded: &Node,
    facts: &NodeFacts,
    primary: &ServerFacts,
) -> Option<Diagnostic> {
    let on_disk = facts.control.seen().map(|control| control.timeline);
    let timeline = server(facts).map(|server| server.timeline).or(on_disk)?;
    let ahead = is_standby(recorded) && timeline > primary.timeline;
    ahead.then(|| {
        Diagnostic::error(
            "Standby has diverged",
            format!(
                "{address} is on timeline {timeline}, and its primary on {}: it was promoted without simdb, and two nodes of the \
                 cluster may have taken writes since. {}",
                primary.timeline,
                way_out(address)
            ),
        )
    })
}

fn way_out(address: &NodeAddress) -> String {
    let (cluster, node) = (&address.cluster, &address.node);
    format!(
        "Nothing is done until that is settled: find out which node has the writes worth keeping. To give up those of \
         {address}, run: simdb resync {cluster} {node}"
    )
}

/// What else can be done where a standby was promoted by hand.
fn way_to_keep(address: &NodeAddress) -> String {
    let (cluster, node) = (&address.cluster, &address.node);
    format!(
        "; to keep them, and give up the writes of the other nodes since, run: simdb failover {cluster} -promote {node} -allow=data-loss"
    )
}
