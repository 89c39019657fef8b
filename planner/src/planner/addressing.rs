//! Gives nodes and poolers their places: where they are, on the port they declare, else on the lowest free port of a range,
//! or, where their network has a subnet, on the lowest free address of that. Clients reach them there, or, where the platform
//! publishes them, on the port they declare of its machine, else on the lowest free one. Where the platform finds servers by name,
//! each has a name, all of its addresses, and the port it declares, else the usual one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{Ipv4AddrRange, Ipv4Net};
use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::instance::LOOPBACK;
use simdb_state::name::{ClusterName, PlatformName};
use simdb_state::object::{Power, State, first_platform};
use simdb_state::place::{Bind, Host, HostPort, Place};

use crate::desired::{Desired, EndpointSpec, NodeSpec, PoolerSpec};
use crate::diagnostic::{Diagnostic, Span};
use crate::observed::{NodeFacts, Observation, Observed, ProcessFacts, ProviderArgument, Reach};
use crate::platform::{name_of_pooler, name_within};

/// The range used unless the configuration names one: above the ports of well-known services, below those the kernel
/// gives to clients (from 32768 on Linux), which could take a node's port while its server is down.
pub const DEFAULT_RANGE: (u16, u16) = (15432, 32767);

/// The ports of servers that have an address of their own: those of nodes and those of poolers.
const OWN_PORTS: (u16, u16) = (5432, 6432);

/// The places of one plan.
pub(crate) struct Addressing<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    /// The port of each platform's range that is looked at next.
    next: BTreeMap<PlatformName, u32>,
    taken: BTreeSet<u16>,
    /// The addresses that servers have.
    hosts: BTreeSet<IpAddr>,
    /// The addresses of each subnet that were not given to anybody yet in this plan.
    free: BTreeMap<Ipv4Net, Ipv4AddrRange>,
}

impl<'a> Addressing<'a> {
    /// Sets aside every port that a node has or declares, and every address that one has.
    pub(crate) fn new(desired: &'a Desired, before: &State, observed: &'a Observed) -> Self {
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
            .filter_map(|node| node.place.as_ref())
            .chain(poolers.map(|pooler| &pooler.place))
            .flat_map(|place| [Some(place.bind), place.published()])
            .flatten();
        let nodes = observed.nodes.values().filter_map(Observation::seen);
        let poolers = observed.poolers.values().filter_map(Observation::seen);
        let running =
            nodes
                .flat_map(|facts| [own_place(facts), facts.published.filter(|_| facts.process.is_alive())])
                .chain(poolers.flat_map(|facts| {
                    [facts.listen, facts.published].map(|at| at.filter(|_| facts.process.is_alive()))
                }))
                .flatten();
        let listening: BTreeSet<Bind> = had.chain(running).collect();
        Self {
            desired,
            observed,
            next: BTreeMap::new(),
            taken: declared.chain(listening.iter().map(|listen| listen.port)).collect(),
            hosts: listening.iter().map(|listen| listen.host).collect(),
            free: BTreeMap::new(),
        }
    }

    /// Returns the place of a node, or what keeps it from getting a port. A port that simdb chose is no promise: where
    /// another program took it while the node was down, the node moves.
    pub(crate) fn node(
        &mut self,
        address: &NodeAddress,
        spec: &NodeSpec,
        before: &State,
        power: Power,
    ) -> Result<Place, Diagnostic> {
        let seen = self.observed.nodes.get(address).and_then(Observation::seen);
        let node = before.nodes.get(address);
        let claim = Claim {
            address: address.clone().into(),
            platform: spec.platform.clone().unwrap_or_else(|| self.platform(&address.cluster)),
            subnet: self.subnet(&address.cluster).map(|subnet| (subnet, OWN_PORTS.0)),
            name: name_within(&address.cluster, &address.node.host()),
            own_port: OWN_PORTS.0,
            declared: spec.port,
            recorded: node.and_then(|node| node.place.as_ref()),
            process: seen.map(|facts| &facts.process),
            listened: seen.and_then(own_place),
            published: seen.and_then(|facts| facts.published.filter(|_| facts.process.is_alive())),
            placed: node.is_some_and(|node| node.role.is_some()),
            power,
            span: spec.port_span.as_ref().unwrap_or(&spec.span),
        };
        self.place(before, claim)
    }

    /// Returns the place of an endpoint's pooler, or what keeps it from getting a port.
    pub(crate) fn pooler(
        &mut self,
        address: &EndpointAddress,
        (spec, pooler): (&EndpointSpec, &PoolerSpec),
        before: &State,
        power: Power,
    ) -> Result<Place, Diagnostic> {
        let seen = self.observed.poolers.get(address).and_then(Observation::seen);
        let recorded = before
            .endpoints
            .get(address)
            .and_then(|endpoint| endpoint.pooler.as_ref());
        let claim = Claim {
            address: address.clone().into(),
            platform: self.platform(&address.cluster),
            subnet: self.subnet(&address.cluster).map(|subnet| (subnet, OWN_PORTS.1)),
            name: name_of_pooler(&address.cluster, &address.endpoint),
            own_port: OWN_PORTS.1,
            declared: pooler.port,
            recorded: recorded.map(|pooler| &pooler.place),
            process: seen.map(|facts| &facts.process),
            listened: seen.and_then(|facts| facts.listen.filter(|_| facts.process.is_alive())),
            published: seen.and_then(|facts| facts.published.filter(|_| facts.process.is_alive())),
            placed: recorded.is_some(),
            power,
            span: pooler.port_span.as_ref().unwrap_or(&spec.span),
        };
        self.place(before, claim)
    }

    fn place(&mut self, before: &State, claim: Claim<'_>) -> Result<Place, Diagnostic> {
        let recorded = claim.recorded;
        let published = match &self.observed.platform(&claim.platform).reach {
            Reach::Unknown if recorded.is_some_and(Place::is_named) => return Ok(named(&claim, None)),
            Reach::Unknown => claim.published.or(recorded.and_then(Place::published)),
            Reach::Direct => None,
            Reach::Published(host) => Some(self.publication(before, &claim, *host)?),
            Reach::Named(domain) => return Ok(named(&claim, Some(domain))),
        };
        // A port that is declared is the one that clients use.
        let declared = claim.declared.filter(|_| published.is_none());
        let bind = self.choose(before, &Claim { declared, ..claim })?;
        Ok(Place::seen(Some(bind), published, recorded).expect("it listens there"))
    }

    /// Returns the address of the platform's machine at which clients reach a server.
    fn publication(&mut self, before: &State, claim: &Claim<'_>, host: IpAddr) -> Result<Bind, Diagnostic> {
        let recorded = claim.recorded.and_then(Place::published);
        let had = claim.published.or(recorded).filter(|at| at.host == host);
        let Some(port) = claim.declared.or(had.map(|at| at.port)) else {
            return self.free_port(claim, host);
        };
        let at = Bind { host, port };
        if had != Some(at)
            && let Some(other) = owner(before, &claim.address, at)
        {
            return Err(given(claim, &other));
        }
        let unseen = claim.process.is_none() && claim.placed;
        let rests = unseen || claim.power == Power::Stopped;
        if claim.published == Some(at) || (rests && recorded == Some(at)) {
            return Ok(at);
        }
        match self.observed.platform(&claim.platform).listener(at) {
            None => Ok(at),
            Some(owner) if claim.declared.is_some() => Err(taken(claim, port, owner)),
            Some(_) => self.free_port(claim, host),
        }
    }

    fn free_port(&mut self, claim: &Claim<'_>, host: IpAddr) -> Result<Bind, Diagnostic> {
        let port = self.lowest_free(&claim.platform, host);
        let port = port.ok_or_else(|| self.exhausted(claim))?;
        Ok(Bind { host, port })
    }

    fn platform(&self, cluster: &ClusterName) -> PlatformName {
        self.desired.platform(cluster).cloned().unwrap_or_else(first_platform)
    }

    fn subnet(&self, cluster: &ClusterName) -> Option<Ipv4Net> {
        self.desired.subnet(self.desired.clusters.get(cluster)?)
    }

    fn choose(&mut self, before: &State, claim: &Claim<'_>) -> Result<Bind, Diagnostic> {
        let noted = claim.recorded.map(|place| place.bind);
        let recorded = noted.filter(|bind| claim.may_have(bind.host));
        let alive = claim.process.is_some_and(ProcessFacts::is_alive);
        let own = claim.listened.or(noted).filter(|_| alive);
        let listened = own.or(claim.listened);
        let had = recorded.or(listened.filter(|bind| claim.may_have(bind.host)));
        // Whether what could not be looked at is what listens on its port is not known, either.
        let unseen = claim.process.is_none() && claim.placed;
        let Some(at) = self.wanted(claim, had) else {
            return self.any(claim);
        };
        if claim.declared.is_some()
            && had != Some(at)
            && let Some(other) = owner(before, &claim.address, at)
        {
            return Err(given(claim, &other));
        }
        let stays = own == Some(at) || (unseen && recorded == Some(at));
        // Nobody needs it as long as the server is not to run.
        if stays || (claim.power == Power::Stopped && recorded == Some(at)) {
            return Ok(at);
        }
        let platform = self.observed.platform(&claim.platform);
        let lowest = platform.lowest_port;
        match platform.listener(at) {
            _ if at.port < lowest && claim.declared.is_some() => Err(privileged(claim, at.port, lowest)),
            None => Ok(at),
            Some(owner) if claim.declared.is_some() => Err(taken(claim, at.port, owner)),
            Some(_) => self.any(claim),
        }
    }

    /// Returns where a server is to listen if nobody else does: where it did, on the port that is declared.
    fn wanted(&mut self, claim: &Claim<'_>, had: Option<Bind>) -> Option<Bind> {
        let port = claim.declared.or(had.map(|listen| listen.port))?;
        let host = match (had, claim.subnet) {
            (Some(had), _) => had.host,
            (None, None) => LOOPBACK,
            (None, Some((subnet, _))) => self.free_host(&claim.platform, subnet, port)?,
        };
        Some(Bind { host, port })
    }

    fn any(&mut self, claim: &Claim<'_>) -> Result<Bind, Diagnostic> {
        match claim.subnet {
            None => self.free_port(claim, LOOPBACK),
            Some((subnet, own)) => {
                let port = claim.declared.unwrap_or(own);
                let host = self.free_host(&claim.platform, subnet, port);
                let host = host.ok_or_else(|| self.full(claim, subnet, port))?;
                Ok(Bind { host, port })
            }
        }
    }

    /// Says why there is no address: somebody has the port on all of them, or every one is taken.
    fn full(&self, claim: &Claim<'_>, subnet: Ipv4Net, port: u16) -> Diagnostic {
        let everywhere = Bind {
            host: Ipv4Addr::UNSPECIFIED.into(),
            port,
        };
        if let Some(owner) = self.observed.platform(&claim.platform).listener(everywhere) {
            return taken(claim, port, owner);
        }
        let Claim { address, span, .. } = claim;
        Diagnostic::error(
            "No free address",
            format!(
                "Every address of subnet {subnet} belongs to another node or is in use, so {address} gets none. Give its \
                 network a larger \"subnet\"."
            ),
        )
        .at((*span).clone())
    }

    /// Says that the range has no port left. Where the range itself is what is wrong, that is where it is told.
    fn exhausted(&self, claim: &Claim<'_>) -> Diagnostic {
        let (
            Claim {
                address,
                span,
                platform,
                ..
            },
            (first, last),
        ) = (claim, self.range(&claim.platform));
        let lowest = self.observed.platform(&claim.platform).lowest_port;
        let why = if last < lowest {
            format!("is below {lowest}, where only root's servers may listen, and servers do not run as root")
        } else {
            "is in use or belongs to another node".to_owned()
        };
        let detail = format!(
            "Every port from {first} to {last} {why}, so {address} gets none. Set \"port_range\" in provider \"{platform}\" to a \
             larger range."
        );
        let range = self.desired.local.spans.get(&ProviderArgument::PortRange);
        let diagnostic = Diagnostic::error("No free port", detail);
        match range.filter(|_| last < lowest) {
            Some(range) => diagnostic.at(range.clone()).within("provider \"local\""),
            None => diagnostic.at((*span).clone()),
        }
    }

    fn range(&self, platform: &PlatformName) -> (u16, u16) {
        self.desired.local.range(platform).unwrap_or(DEFAULT_RANGE)
    }

    fn lowest_free(&mut self, platform: &PlatformName, host: IpAddr) -> Option<u16> {
        let facts = self.observed.platform(platform);
        let (first, last) = self.range(platform);
        let first = u32::from(first.max(facts.lowest_port));
        let next = self.next.entry(platform.clone()).or_insert(first);
        while *next <= u32::from(last) {
            let port = u16::try_from(*next).expect("the range ends at a port");
            *next += 1;
            let at = Bind { host, port };
            if !self.taken.contains(&port) && facts.listener(at).is_none() {
                return Some(port);
            }
        }
        None
    }

    /// Returns the lowest address of a subnet that no server has, and on whose port nobody listens.
    fn free_host(&mut self, platform: &PlatformName, subnet: Ipv4Net, port: u16) -> Option<IpAddr> {
        let Self {
            free, hosts, observed, ..
        } = self;
        let facts = observed.platform(platform);
        let mut rest = free.entry(subnet).or_insert_with(|| subnet.hosts()).map(IpAddr::V4);
        rest.find(|host| {
            let at = Bind { host: *host, port };
            *host != LOOPBACK && !hosts.contains(host) && facts.listener(at).is_none()
        })
    }
}

/// Returns where a node's server listens. One whose import was cut off, with its server down, listens there again.
fn own_place(facts: &NodeFacts) -> Option<Bind> {
    facts
        .listen
        .filter(|_| facts.process.is_alive() || facts.outside.is_some())
}

/// What decides about one port.
struct Claim<'a> {
    address: Address,
    platform: PlatformName,
    /// What it is called where servers are found by name, and the port that it then has.
    name: String,
    own_port: u16,
    /// The addresses of which it gets one of its own, and the port that it then has unless another one is declared.
    subnet: Option<(Ipv4Net, u16)>,
    declared: Option<u16>,
    recorded: Option<&'a Place>,
    /// Its process, where it was looked at.
    process: Option<&'a ProcessFacts>,
    /// Where it listens, or listened before an import of it was cut off.
    listened: Option<Bind>,
    /// Where it is published, as long as it runs.
    published: Option<Bind>,
    /// Whether it was made, as far as is recorded.
    placed: bool,
    power: Power,
    span: &'a Span,
}

/// Returns the place of a server that is found by name: in a domain, or where it is recorded. Its port changes while it is restarted
/// alone.
fn named(claim: &Claim<'_>, domain: Option<&str>) -> Place {
    let recorded = claim.recorded.filter(|place| place.is_named());
    let bind = Bind {
        host: Ipv4Addr::UNSPECIFIED.into(),
        port: claim
            .declared
            .or(recorded.map(|place| place.bind.port))
            .unwrap_or(claim.own_port),
    };
    let host = domain.and_then(|domain| format!("{}.{domain}", claim.name).parse().ok());
    let host: Host = match (host, recorded) {
        (Some(host), _) => host,
        (None, Some(recorded)) => recorded.peers.host.clone(),
        (None, None) => Host::Ip(bind.host),
    };
    let at = HostPort { host, port: bind.port };
    Place {
        bind,
        peers: at.clone(),
        clients: Some(at),
    }
}

impl Claim<'_> {
    fn may_have(&self, host: IpAddr) -> bool {
        belongs(self.subnet.map(|(subnet, _)| subnet), host)
    }
}

/// Returns whether a server of a network with this subnet, or with none, can have an address.
pub(crate) fn belongs(subnet: Option<Ipv4Net>, host: IpAddr) -> bool {
    match (subnet, host) {
        (None, host) => host == LOOPBACK || host.is_unspecified(),
        (Some(subnet), IpAddr::V4(own)) => host != LOOPBACK && subnet.contains(&own),
        (Some(_), IpAddr::V6(_)) => false,
    }
}

/// Whose server listens there, as far as is recorded: a node's or an endpoint's.
fn owner(before: &State, address: &Address, at: Bind) -> Option<Address> {
    let nodes = before.nodes.iter();
    let nodes = nodes.filter_map(|(other, node)| Some((Address::from(other.clone()), node.place.as_ref()?)));
    let endpoints = before.endpoints.iter();
    let poolers =
        endpoints.filter_map(|(other, endpoint)| Some((other.clone().into(), &endpoint.pooler.as_ref()?.place)));
    let mut others = nodes.chain(poolers);
    let has = |place: &Place| place.bind == at || place.published() == Some(at);
    let found = others.find(|(other, place)| other != address && has(place));
    found.map(|(other, _)| other)
}

fn given(claim: &Claim<'_>, other: &Address) -> Diagnostic {
    let Claim { address, span, .. } = claim;
    Diagnostic::error(
        format!("Port belongs to another {}", other.kind()),
        format!(
            "{address} takes the port that {other} has until the end of this apply. Give {other} another port, or \
             remove it, and apply that first."
        ),
    )
    .at((*span).clone())
}

fn taken(claim: &Claim<'_>, port: u16, owner: &str) -> Diagnostic {
    let Claim { address, span, .. } = claim;
    let kind = address.kind();
    let otherwise = match claim.subnet {
        None => "; without a \"port\" argument simdb takes a free one.",
        Some(_) => ".",
    };
    let detail = format!(
        "Port {port} of {address} is in use by {owner}. Stop that program, or give the {kind} another port{otherwise}"
    );
    Diagnostic::error("Port is taken", detail).at((*span).clone())
}

fn privileged(claim: &Claim<'_>, port: u16, lowest: u16) -> Diagnostic {
    let Claim { address, span, .. } = claim;
    let detail = format!(
        "{address} declares port {port}, and ports below {lowest} are for servers that run as root, which those of simdb \
         never do. Give the {} a port from {lowest} on.",
        address.kind()
    );
    Diagnostic::error("Port needs root's rights", detail).at((*span).clone())
}
