//! Gives nodes and poolers their ports: the one they have, the one they declare, else the lowest free one of a range.

use std::collections::BTreeSet;

use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::instance::LOOPBACK;
use simdb_state::object::{Listen, Node, Power, State};

use crate::desired::{Desired, EndpointSpec, NodeSpec, PoolerSpec};
use crate::diagnostic::{Diagnostic, Span};
use crate::observed::{Observation, Observed, ProcessFacts};

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
            .flat_map(|cluster| {
                let poolers = cluster
                    .endpoints
                    .values()
                    .filter_map(|endpoint| endpoint.pooler.as_ref());
                let nodes = cluster.nodes.values().map(|node| node.port);
                nodes.chain(poolers.map(|pooler| pooler.port))
            })
            .flatten();
        let poolers = before
            .endpoints
            .values()
            .filter_map(|endpoint| endpoint.pooler.as_ref());
        let had = before
            .nodes
            .values()
            .filter_map(|node| node.listen)
            .chain(poolers.map(|pooler| pooler.listen))
            .map(|listen| listen.port);
        let nodes = observed.nodes.values().filter_map(Observation::seen);
        let poolers = observed.poolers.values().filter_map(Observation::seen);
        let running = nodes
            .filter_map(|facts| own_port(&facts.process, facts.listen))
            .chain(poolers.filter_map(|facts| own_port(&facts.process, facts.listen)));
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
        let node = before.nodes.get(address);
        self.choose(
            before,
            &Claim {
                address: address.clone().into(),
                declared: spec.port,
                recorded: node.and_then(|node| node.listen),
                process: seen.map(|facts| (&facts.process, facts.listen)),
                placed: node.is_some_and(|node| node.role.is_some()),
                power,
                span: spec.port_span.as_ref().unwrap_or(&spec.span),
            },
        )
    }

    /// Returns where an endpoint's pooler listens, or what keeps it from getting a port.
    pub(super) fn pooler(
        &mut self,
        address: &EndpointAddress,
        (spec, pooler): (&EndpointSpec, &PoolerSpec),
        before: &State,
        power: Power,
    ) -> Result<Listen, Diagnostic> {
        let seen = self.observed.poolers.get(address).and_then(Observation::seen);
        let recorded = before
            .endpoints
            .get(address)
            .and_then(|endpoint| endpoint.pooler.as_ref());
        self.choose(
            before,
            &Claim {
                address: address.clone().into(),
                declared: pooler.port,
                recorded: recorded.map(|pooler| pooler.listen),
                process: seen.map(|facts| (&facts.process, facts.listen)),
                placed: recorded.is_some(),
                power,
                span: pooler.port_span.as_ref().unwrap_or(&spec.span),
            },
        )
    }

    fn choose(&mut self, before: &State, claim: &Claim<'_>) -> Result<Listen, Diagnostic> {
        let recorded = claim.recorded.map(|listen| listen.port);
        let alive = claim.process.filter(|(process, _)| process.is_alive());
        let own = alive.and_then(|(_, listen)| listen.map(|listen| listen.port).or(recorded));
        let had = recorded.or(own);
        // Whether what could not be looked at is what listens on its port is not known, either.
        let unseen = claim.process.is_none() && claim.placed;
        let at = |port| Listen { host: LOOPBACK, port };
        if let Some(other) = claim
            .declared
            .filter(|port| had != Some(*port))
            .and_then(|port| owner(before, &claim.address, port))
        {
            return Err(given(claim, &other));
        }
        match claim.declared.or(had) {
            Some(port) if own == Some(port) || (unseen && recorded == Some(port)) => Ok(at(port)),
            // Nobody needs it as long as the server is not to run.
            Some(port) if claim.power == Power::Stopped && recorded == Some(port) => Ok(at(port)),
            Some(port) => match self.observed.platform.busy_ports.get(&port) {
                None => Ok(at(port)),
                Some(owner) if claim.declared.is_some() => Err(taken(claim, port, owner)),
                Some(_) => self.any(claim).map(at),
            },
            None => self.any(claim).map(at),
        }
    }

    fn any(&mut self, claim: &Claim<'_>) -> Result<u16, Diagnostic> {
        self.lowest_free().ok_or_else(|| exhausted(claim, self.range))
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

/// What decides about one port.
struct Claim<'a> {
    address: Address,
    declared: Option<u16>,
    recorded: Option<Listen>,
    /// Its process, and where that was told to listen, where it was looked at.
    process: Option<(&'a ProcessFacts, Option<Listen>)>,
    /// Whether it was made, as far as is recorded.
    placed: bool,
    power: Power,
    span: &'a Span,
}

/// The port that a running server was started on.
fn own_port(process: &ProcessFacts, listen: Option<Listen>) -> Option<u16> {
    listen.filter(|_| process.is_alive()).map(|listen| listen.port)
}

/// The node that has a port on record.
fn owner(before: &State, address: &Address, port: u16) -> Option<NodeAddress> {
    let mut nodes = before.nodes.iter();
    let has = |node: &Node| node.listen.is_some_and(|listen| listen.port == port);
    nodes
        .find(|(other, node)| Address::from((*other).clone()) != *address && has(node))
        .map(|(other, _)| other.clone())
}

fn given(claim: &Claim<'_>, other: &NodeAddress) -> Diagnostic {
    let Claim { address, span, .. } = claim;
    Diagnostic::error(
        "Port belongs to another node",
        format!(
            "{address} is to have the port that {other} has until the end of this apply. Give {other} another port, or \
             remove it, and apply that first."
        ),
    )
    .at((*span).clone())
}

fn taken(claim: &Claim<'_>, port: u16, owner: &str) -> Diagnostic {
    let Claim { address, span, .. } = claim;
    Diagnostic::error(
        "Port is taken",
        format!(
            "Port {port} of {address} is in use by {owner}. Stop that program, or give the {} another port; without a \
             \"port\" argument simdb takes a free one.",
            address.kind()
        ),
    )
    .at((*span).clone())
}

fn exhausted(claim: &Claim<'_>, (first, last): (u16, u16)) -> Diagnostic {
    let Claim { address, span, .. } = claim;
    Diagnostic::error(
        "No free port",
        format!(
            "Every port from {first} to {last} is in use or belongs to another node, so {address} gets none. Set \
             \"port_range\" in provider \"local\" to a larger range."
        ),
    )
    .at((*span).clone())
}
