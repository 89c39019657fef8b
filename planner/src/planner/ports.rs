//! Gives nodes their ports: the one they have, the one they declare, else the lowest free one of a range.

use std::collections::BTreeSet;

use simdb_state::address::NodeAddress;
use simdb_state::instance::LOOPBACK;
use simdb_state::object::{Listen, Node, Power, State};

use crate::desired::{Desired, NodeSpec};
use crate::diagnostic::Diagnostic;
use crate::observed::{NodeFacts, Observation, Observed};

/// The range used unless the configuration names one: above the ports of well-known services, below those the kernel
/// gives to clients (from 32768 on Linux), which could take a node's port while its server is down.
pub const DEFAULT_RANGE: (u16, u16) = (15432, 32767);

/// The ports of one plan.
pub(super) struct Ports<'a> {
    observed: &'a Observed,
    range: (u16, u16),
    next: u32,
    taken: BTreeSet<u16>,
}

impl<'a> Ports<'a> {
    /// Sets aside every port that a node has or declares.
    pub(super) fn new(desired: &Desired, before: &State, observed: &'a Observed) -> Self {
        let range = desired.local.ports.unwrap_or(DEFAULT_RANGE);
        let declared = desired
            .clusters
            .values()
            .flat_map(|cluster| cluster.nodes.values())
            .filter_map(|node| node.port);
        let had = before
            .nodes
            .values()
            .filter_map(|node| node.listen)
            .map(|listen| listen.port);
        let running = observed
            .nodes
            .values()
            .filter_map(Observation::seen)
            .filter_map(own_port);
        Self {
            observed,
            range,
            next: u32::from(range.0),
            taken: declared.chain(had).chain(running).collect(),
        }
    }

    /// Returns where a node listens, or what keeps it from getting a port. A port that simdb chose is no promise: where
    /// another program took it while the node was down, the node moves.
    pub(super) fn listen(
        &mut self,
        address: &NodeAddress,
        spec: &NodeSpec,
        before: &State,
        power: Power,
    ) -> Result<Listen, Diagnostic> {
        let seen = self.observed.nodes.get(address).and_then(Observation::seen);
        let recorded = before
            .nodes
            .get(address)
            .and_then(|node| node.listen)
            .map(|listen| listen.port);
        let alive = seen.filter(|facts| facts.process.is_alive());
        let own = alive.and_then(|facts| own_port(facts).or(recorded));
        let had = recorded.or(own);
        // Whether a node that could not be looked at is the one that listens on its port is not known, either.
        let unseen = seen.is_none() && before.nodes.get(address).is_some_and(|node| node.role.is_some());
        let at = |port| Listen { host: LOOPBACK, port };
        let wanted = spec.port.or(had);
        if let Some(other) = spec
            .port
            .filter(|port| had != Some(*port))
            .and_then(|port| owner(before, address, port))
        {
            return Err(given(address, spec, &other));
        }
        match wanted {
            Some(port) if own == Some(port) || (unseen && recorded == Some(port)) => Ok(at(port)),
            // Nobody needs it as long as the server is not to run.
            Some(port) if power == Power::Stopped && recorded == Some(port) => Ok(at(port)),
            Some(port) => match self.observed.platform.busy_ports.get(&port) {
                None => Ok(at(port)),
                Some(owner) if spec.port.is_some() => Err(taken(address, spec, port, owner)),
                Some(_) => self.any(address, spec).map(at),
            },
            None => self.any(address, spec).map(at),
        }
    }

    fn any(&mut self, address: &NodeAddress, spec: &NodeSpec) -> Result<u16, Diagnostic> {
        self.lowest_free().ok_or_else(|| exhausted(address, spec, self.range))
    }

    fn lowest_free(&mut self) -> Option<u16> {
        while self.next <= u32::from(self.range.1) {
            let port = u16::try_from(self.next).expect("the range ends at a port");
            self.next += 1;
            if !self.taken.contains(&port) && !self.observed.platform.busy_ports.contains_key(&port) {
                return Some(port);
            }
        }
        None
    }
}

/// The port that a node's running server was started on.
fn own_port(facts: &NodeFacts) -> Option<u16> {
    facts
        .process
        .is_alive()
        .then(|| facts.listen.map(|listen| listen.port))
        .flatten()
}

/// The node that has a port on record.
fn owner(before: &State, address: &NodeAddress, port: u16) -> Option<NodeAddress> {
    let mut nodes = before.nodes.iter();
    let has = |node: &Node| node.listen.is_some_and(|listen| listen.port == port);
    nodes
        .find(|(other, node)| *other != address && has(node))
        .map(|(other, _)| other.clone())
}

fn given(address: &NodeAddress, spec: &NodeSpec, other: &NodeAddress) -> Diagnostic {
    Diagnostic::error(
        "Port belongs to another node",
        format!(
            "{address} is to have the port that {other} has until the end of this apply. Give {other} another port, or \
             remove it, and apply that first."
        ),
    )
    .at(spec.port_span.clone().unwrap_or_else(|| spec.span.clone()))
}

fn taken(address: &NodeAddress, spec: &NodeSpec, port: u16, owner: &str) -> Diagnostic {
    Diagnostic::error(
        "Port is taken",
        format!(
            "Port {port} of {address} is in use by {owner}. Stop that program, or give the node another port; without a \
             \"port\" argument simdb takes a free one."
        ),
    )
    .at(spec.port_span.clone().unwrap_or_else(|| spec.span.clone()))
}

fn exhausted(address: &NodeAddress, spec: &NodeSpec, (first, last): (u16, u16)) -> Diagnostic {
    Diagnostic::error(
        "No free port",
        format!(
            "Every port from {first} to {last} is in use or belongs to another node, so {address} gets none. Set \
             \"port_range\" in provider \"local\" to a larger range."
        ),
    )
    .at(spec.span.clone())
}
