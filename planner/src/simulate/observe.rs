//! What an observer would see of the world.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use simdb_state::address::NodeAddress;
use simdb_state::object::{EngineKind, Listen};

use super::{Home, Log, Running, World};
use crate::observed::{
    Control, ControlData, NodeFacts, Observation, Observed, PasswordFacts, PlatformFacts, ProcessFacts, ReceiverFacts,
    SenderFacts, ServerFacts, SlotFacts, UserFacts,
};

impl World {
    /// Looks at everything.
    pub fn observe(&self) -> Observed {
        let engines = BTreeMap::from([(15, "/usr/lib/postgresql/15/bin".to_owned())]);
        let everywhere = self.busy_ports.iter().map(|(port, owner)| {
            let host = Ipv4Addr::UNSPECIFIED.into();
            (Listen { host, port: *port }, owner.clone())
        });
        let running = self.homes.values().filter(|home| home.server.is_some());
        let poolers = self.poolers.values().filter(|pooler| pooler.runs);
        let poolers = poolers.map(|pooler| (pooler.listen, "pgbouncer (pid 4712)".to_owned()));
        let servers = running.filter_map(|home| Some((home.listen?, "postgres (pid 4711)".to_owned())));
        let mut busy_ports: BTreeMap<u16, BTreeMap<IpAddr, String>> = BTreeMap::new();
        for (listen, owner) in everywhere.chain(poolers).chain(servers) {
            busy_ports.entry(listen.port).or_default().insert(listen.host, owner);
        }
        let platform = PlatformFacts {
            engines: BTreeMap::from([
                (EngineKind::Postgresql, engines),
                (EngineKind::Pgbouncer, BTreeMap::from([(1, "/usr/sbin".to_owned())])),
            ]),
            searched: vec!["/usr/lib/postgresql".to_owned()],
            busy_ports,
            lowest_port: 1024,
            problems: BTreeSet::new(),
        };
        let seen =
            |(address, home): (&NodeAddress, &Home)| (address.clone(), Observation::Seen(self.facts(address, home)));
        let absent = self
            .state
            .nodes
            .keys()
            .map(|address| (address.clone(), Observation::Absent));
        let nodes = absent.chain(self.homes.iter().map(seen)).collect();
        let missing = self
            .state
            .endpoints
            .keys()
            .map(|address| (address.clone(), Observation::Absent));
        let entries = self
            .entries
            .iter()
            .map(|(address, entry)| (address.clone(), Observation::Seen(entry.clone())));
        let missing_poolers = self
            .state
            .endpoints
            .keys()
            .map(|address| (address.clone(), Observation::Absent));
        let poolers = self
            .poolers
            .iter()
            .map(|(address, pooler)| (address.clone(), Observation::Seen(pooler.facts())));
        Observed {
            platform,
            nodes,
            endpoints: missing.chain(entries).collect(),
            tried: Vec::new(),
            poolers: missing_poolers.chain(poolers).collect(),
        }
    }

    pub(crate) fn facts(&self, address: &NodeAddress, home: &Home) -> NodeFacts {
        let newest = home.data.last_key_value();
        let log = newest.and_then(|(generation, _)| self.logs.get(&(address.clone(), *generation)));
        let log = log.cloned().unwrap_or_default();
        let process = match &home.server {
            None => ProcessFacts::Down,
            Some(server) if server.frozen => ProcessFacts::Frozen { pid: 4711 },
            Some(_) => ProcessFacts::Running { pid: 4711 },
        };
        let server = home.server.as_ref().map(|server| {
            if server.frozen || !home.data.contains_key(&server.generation) {
                return Observation::Unknown("did not answer within 2s".to_owned());
            }
            Observation::Seen(self.server_facts(address, home, server))
        });
        NodeFacts {
            process,
            listen: home.listen,
            generations: home.data.keys().copied().collect(),
            partial: home.partial,
            control: newest.map_or(Control::Absent, |(_, system_identifier)| {
                Control::Seen(ControlData {
                    system_identifier: *system_identifier,
                    state: control_state(home, log.shut_down).to_owned(),
                    timeline: log.timeline(),
                    checkpoint: log.position(),
                    consistent: None,
                })
            }),
            files: home.files.clone(),
            server,
        }
    }

    fn server_facts(&self, address: &NodeAddress, home: &Home, server: &Running) -> ServerFacts {
        let listed = home.sync_rule().standbys;
        let sender = |other: NodeAddress| {
            let name = other.node.identifier();
            let has = self.log(&other).map(Log::position);
            let facts = SenderFacts {
                state: "streaming".to_owned(),
                sync_state: if listed.contains(&name) { "sync" } else { "async" }.to_owned(),
                flushed: has,
                replayed: has,
            };
            (name, facts)
        };
        let log = self.log(address).cloned().unwrap_or_default();
        ServerFacts {
            in_recovery: server.replays,
            system_identifier: home.data[&server.generation],
            timeline: log.timeline(),
            position: log.position(),
            replayed: log.position(),
            replay_paused: server.paused,
            replay_lag_seconds: None,
            senders: self.streams_from(address).into_iter().map(sender).collect(),
            slots: home.slots.iter().map(|name| (name.clone(), slot(home, name))).collect(),
            receiver: server.replays.then(|| ReceiverFacts {
                status: "streaming".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: 0,
                slot: Some(address.node.identifier()),
            }),
            oldest: Some(Log::end_of(home.forgotten)),
            exhausted: server.replays,
            fork: None,
            configured: home.configured.clone(),
            users: home
                .users
                .iter()
                .map(|(name, facts)| {
                    let password = self.password(address, home, name);
                    (
                        name.clone(),
                        UserFacts {
                            password,
                            ..facts.clone()
                        },
                    )
                })
                .collect(),
            databases: home.databases.clone(),
        }
    }

    /// Compares the password of a role with the one on record.
    pub(crate) fn password(&self, node: &NodeAddress, home: &Home, role: &str) -> PasswordFacts {
        let mut users = self.state.users.iter();
        let recorded = users.find(|(address, _)| address.cluster == node.cluster && address.user.as_str() == role);
        let known = recorded.filter(|(_, user)| user.login);
        let known = known.and_then(|(address, user)| self.secrets.get(&user.password(address)));
        match (known, home.passwords.get(role)) {
            (None, _) => PasswordFacts::Unknown,
            (Some(known), Some(has)) if known == has => PasswordFacts::Recorded,
            (Some(_), _) => PasswordFacts::Other,
        }
    }
}

/// What `pg_controldata` says of the data that a server was last started on.
fn control_state(home: &Home, shut_down: bool) -> &'static str {
    let replays = home.files.keys().any(|file| file.ends_with("/standby.signal"));
    match (replays, shut_down) {
        (true, true) => "shut down in recovery",
        (true, false) => "in archive recovery",
        (false, true) => "shut down",
        (false, false) => "in production",
    }
}

fn slot(home: &Home, name: &String) -> SlotFacts {
    let status = if home.lost.contains(name) { "lost" } else { "reserved" };
    SlotFacts {
        active: status == "reserved",
        wal_status: Some(status.to_owned()),
        restart: None,
    }
}
