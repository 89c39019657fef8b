//! What an observer would see of the world.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use simdb_state::address::NodeAddress;
use simdb_state::name::PlatformName;
use simdb_state::object::{EngineKind, Image, first_platform};
use simdb_state::place::Bind;

use super::{InstanceDirectory, World};
use crate::engine::simulated::{POOLER, SEARCHED, SERVER, programs};
use crate::observed::{
    Halt, Hidden, NetworkFacts, NodeFacts, Observation, Observed, PasswordFacts, PlatformFacts, ProcessFacts,
};

impl World {
    /// Looks at everything.
    pub fn observe(&self) -> Observed {
        let everywhere = self.busy_ports.iter().map(|(port, owner)| {
            let host = Ipv4Addr::UNSPECIFIED.into();
            (Bind { host, port: *port }, owner.clone())
        });
        let running = self.directories.values().filter(|directory| directory.server.is_some());
        let poolers = self.poolers.values().filter(|pooler| pooler.runs);
        let poolers = poolers
            .flat_map(|pooler| [Some(pooler.listen), pooler.published])
            .filter_map(|at| Some((at?, POOLER.to_owned())));
        let servers = running
            .flat_map(|directory| [directory.listen, directory.published])
            .filter_map(|at| Some((at?, SERVER.to_owned())));
        let mut busy_ports: BTreeMap<u16, BTreeMap<IpAddr, String>> = BTreeMap::new();
        for (listen, owner) in everywhere.chain(poolers).chain(servers) {
            busy_ports.entry(listen.port).or_default().insert(listen.host, owner);
        }
        let platform = PlatformFacts {
            images: self.images(),
            obtainable: false,
            engines: programs(),
            remedy: None,
            searched: vec![SEARCHED.to_owned()],
            busy_ports,
            lowest_port: 1024,
            reach: self.reach.clone(),
            unlimited: None,
            remedies: BTreeMap::new(),
            problems: BTreeSet::new(),
        };
        let seen = |(address, directory): (&NodeAddress, &InstanceDirectory)| {
            (address.clone(), Observation::Seen(self.facts(address, directory)))
        };
        let absent = self
            .state
            .nodes
            .keys()
            .map(|address| (address.clone(), Observation::Absent));
        let unreachable = self.unreachable.iter();
        let unknown = unreachable.map(|address| {
            let reason = "its machine does not answer".to_owned();
            (address.clone(), Observation::Unknown(reason))
        });
        let nodes = absent.chain(self.directories.iter().map(seen)).chain(unknown).collect();
        let lost = |address: &NodeAddress| (address.clone(), Hidden::Lost("Look after its machine.".to_owned()));
        let hidden = self.unreachable.iter().map(lost).collect();
        let missing = self
            .state
            .endpoints
            .keys()
            .map(|address| (address.clone(), Observation::Absent));
        let routes = self
            .routes
            .iter()
            .map(|(address, route)| (address.clone(), Observation::Seen(route.clone())));
        let missing_poolers = self
            .state
            .endpoints
            .keys()
            .map(|address| (address.clone(), Observation::Absent));
        let poolers = self
            .poolers
            .iter()
            .map(|(address, pooler)| (address.clone(), Observation::Seen(pooler.facts())));
        let missing_networks = self
            .state
            .networks
            .keys()
            .map(|name| (name.clone(), Observation::Absent));
        let networks = self.networks.iter().map(|(name, network)| {
            let recorded = self.state.networks.get(name).into_iter();
            let recorded = recorded.flat_map(|recorded| &recorded.also_on);
            let missing = recorded.map(|platform| (platform.clone(), Observation::Absent));
            let there = network.also_on.iter();
            let there = there.map(|platform| (platform.clone(), Observation::Seen(network.subnet.clone())));
            let facts = NetworkFacts {
                subnet: network.subnet.clone(),
                elsewhere: missing.chain(there).collect(),
            };
            (name.clone(), Observation::Seen(facts))
        });
        Observed {
            platforms: self.platforms(platform),
            networks: missing_networks.chain(networks).collect(),
            nodes,
            hidden,
            endpoints: missing.chain(routes).collect(),
            tried: Vec::new(),
            imports: BTreeMap::new(),
            poolers: missing_poolers.chain(poolers).collect(),
        }
    }

    /// Returns what the platforms offer: all the same, each where its servers are reached.
    fn platforms(&self, first: PlatformFacts) -> BTreeMap<PlatformName, PlatformFacts> {
        let elsewhere = self.elsewhere.iter().map(|(name, reach)| {
            let facts = PlatformFacts {
                reach: reach.clone(),
                ..first.clone()
            };
            (name.clone(), facts)
        });
        let mut platforms: BTreeMap<_, _> = elsewhere.collect();
        platforms.insert(first_platform(), first);
        platforms
    }

    pub(crate) fn facts(&self, address: &NodeAddress, directory: &InstanceDirectory) -> NodeFacts {
        let process = match &directory.server {
            None => ProcessFacts::Down,
            Some(server) if server.frozen => ProcessFacts::Frozen {
                pid: 4711,
                by: Halt::Signal,
            },
            Some(_) => ProcessFacts::Running { pid: 4711 },
        };
        let server = directory.server.as_ref().map(|server| {
            if server.frozen || !directory.data.contains_key(&server.generation) {
                return Observation::Unknown("did not answer within 2s".to_owned());
            }
            Observation::Seen(self.server_facts(address, directory, server))
        });
        NodeFacts {
            process,
            listen: directory.listen,
            published: directory.published,
            image: directory.image.clone(),
            resources: Some(directory.resources),
            generations: directory.data.keys().copied().collect(),
            partial: directory.partial,
            outside: None,
            control: self.control(address, directory),
            files: directory.files.clone(),
            server,
        }
    }

    /// Returns the names of the images of all versions.
    fn images(&self) -> BTreeMap<EngineKind, BTreeMap<u16, Vec<Image>>> {
        if self.images.is_empty() {
            return BTreeMap::new();
        }
        let named =
            |versions: BTreeMap<u16, String>| versions.into_keys().map(|version| (version, self.images.clone()));
        let engines = programs().into_iter();
        engines
            .map(|(engine, versions)| (engine, named(versions).collect()))
            .collect()
    }

    /// Compares the password of a role with the one on record.
    pub(crate) fn password(&self, node: &NodeAddress, directory: &InstanceDirectory, role: &str) -> PasswordFacts {
        let mut users = self.state.users.iter();
        let recorded = users.find(|(address, _)| address.cluster == node.cluster && address.user.as_str() == role);
        let known = recorded.filter(|(_, user)| user.login);
        let known = known.and_then(|(address, user)| self.secrets.get(&user.password(address)));
        match (known, directory.passwords.get(role)) {
            (None, _) => PasswordFacts::Unknown,
            (Some(known), Some(has)) if known == has => PasswordFacts::Recorded,
            (Some(_), _) => PasswordFacts::Other,
        }
    }
}
