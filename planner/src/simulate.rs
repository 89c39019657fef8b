//! A world of values that runs steps and enforces the invariants, so that plans can be tried by the thousands.
//!
//! It folds the same deltas and asks the same guards as the executor. What it adds is the effect: what a step does to
//! homes, servers, slots and endpoints, with the rules of real servers where they matter to a plan (a server needs its
//! data, a standby needs a slot and an upstream that serves, a clone comes from a server that runs).

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::delta::{Edit, Outputs};
use simdb_state::instance::{FilePart, FileText, InstanceSpec, ServiceEntry, TaskSpec};
use simdb_state::lsn::{Lsn, SystemIdentifier};
use simdb_state::object::{EngineKind, Listen, Power, State};

use crate::guard;
use crate::observed::{
    ControlData, FileFacts, NodeFacts, Observation, Observed, PlatformFacts, ProcessFacts, ReceiverFacts, SenderFacts,
    ServerFacts, SlotFacts, UserFacts,
};
use crate::plan::{Action, Plan, Server, Step};

/// Where a run is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nowhere.
    Never,
    /// The step was started, and nothing of it happened.
    Before(usize),
    /// The step's data was begun and not finished; for a step without data the same as [`Cut::Before`].
    Within(usize),
    /// The step happened, and was not recorded.
    After(usize),
}

/// Everything that is there, and what is recorded of it.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The record.
    pub state: State,
    /// The homes of nodes.
    pub homes: BTreeMap<NodeAddress, Home>,
    /// The endpoints' entries.
    pub entries: BTreeMap<EndpointAddress, ServiceEntry>,
    /// Ports that others listen on.
    pub busy_ports: BTreeMap<u16, String>,
    made: u64,
}

/// A node's home.
#[derive(Clone, Debug, Default)]
pub struct Home {
    /// Complete data directories by generation, with whose data they hold.
    pub data: BTreeMap<u32, SystemIdentifier>,
    /// Whether an unfinished data directory is there.
    pub partial: bool,
    /// The server, where it runs.
    pub server: Option<Running>,
    /// Where the last server listened.
    pub listen: Option<Listen>,
    /// The settings the server was last given.
    pub configured: BTreeMap<String, String>,
    /// The files last written for it, and whether somebody edited them.
    pub files: BTreeMap<String, FileFacts>,
    /// Slots by name. They live in the data, and so outlive the server.
    pub slots: BTreeSet<String>,
    /// Slots whose log is gone: they were kept back too long.
    pub lost: BTreeSet<String>,
    /// Logins by name.
    pub users: BTreeMap<String, UserFacts>,
}

/// A server that runs.
#[derive(Clone, Debug)]
pub struct Running {
    /// The generation of the data it serves.
    pub generation: u32,
    /// Where it streams from; a server that streams from nowhere writes.
    pub upstream: Option<String>,
    /// Whether it was halted by a signal.
    pub frozen: bool,
}

impl World {
    /// Runs a plan until it is done, cut off or fails, and enforces the invariants after every step. An error is what a
    /// real step would say of something that could not be seen when the plan was made.
    ///
    /// # Panics
    /// Where a guard refuses, an effect cannot happen, or an invariant is broken: each is a defect of the planner.
    pub fn run(&mut self, plan: &Plan, cut: Cut) -> Result<(), String> {
        for (at, step) in plan.steps.iter().enumerate() {
            if let Err(refusal) = guard::check(step, &self.state) {
                panic!("{} of {} is refused: {refusal}", step.action.name(), step.address);
            }
            match cut {
                Cut::Before(last) if last == at => return Ok(()),
                Cut::Within(last) if last == at => {
                    self.begin(step);
                    return Ok(());
                }
                _ => {}
            }
            let outputs = self.effect(step)?;
            self.one_writer();
            if cut == Cut::After(at) {
                return Ok(());
            }
            self.state.apply(&step.delta, &outputs);
            self.truthful(step);
        }
        Ok(())
    }

    /// Stops a server as `kill -9` would.
    pub fn kill(&mut self, node: &NodeAddress) {
        self.homes.get_mut(node).expect("the node has a home").server = None;
    }

    /// Looks at everything.
    pub fn observe(&self) -> Observed {
        let engines = BTreeMap::from([(15, "/usr/lib/postgresql/15/bin".to_owned())]);
        let mut busy_ports = self.busy_ports.clone();
        let running = self.homes.values().filter(|home| home.server.is_some());
        busy_ports.extend(running.filter_map(|home| Some((home.listen?.port, "postgres (pid 4711)".to_owned()))));
        let platform = PlatformFacts {
            engines: BTreeMap::from([(EngineKind::Postgresql, engines)]),
            searched: vec!["/usr/lib/postgresql".to_owned()],
            busy_ports,
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
        Observed {
            platform,
            nodes,
            endpoints: missing.chain(entries).collect(),
        }
    }

    fn facts(&self, address: &NodeAddress, home: &Home) -> NodeFacts {
        let newest = home.data.last_key_value();
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
            control: newest.map(|(_, system_identifier)| ControlData {
                system_identifier: *system_identifier,
                state: if home.server.is_some() {
                    "in production"
                } else {
                    "shut down"
                }
                .to_owned(),
                timeline: 1,
                checkpoint: Lsn(0),
            }),
            files: home.files.clone(),
            server,
        }
    }

    fn server_facts(&self, address: &NodeAddress, home: &Home, server: &Running) -> ServerFacts {
        let upstream = server.upstream.as_ref();
        let streaming = |other: &Home| {
            other.server.as_ref().and_then(|other| other.upstream.as_ref()) == Some(&address.node.to_string())
        };
        let senders = self
            .homes
            .iter()
            .filter(|(other, home)| other.cluster == address.cluster && streaming(home));
        let sender = SenderFacts {
            state: "streaming".to_owned(),
            sync_state: "async".to_owned(),
            flushed: Some(Lsn(0)),
            replayed: Some(Lsn(0)),
        };
        ServerFacts {
            in_recovery: upstream.is_some(),
            system_identifier: home.data[&server.generation],
            timeline: 1,
            position: Lsn(0),
            replayed: Lsn(0),
            replay_paused: false,
            replay_lag_seconds: None,
            senders: senders
                .map(|(other, _)| (other.node.identifier(), sender.clone()))
                .collect(),
            slots: home.slots.iter().map(|name| (name.clone(), slot(home, name))).collect(),
            receiver: upstream.map(|_| ReceiverFacts {
                status: "streaming".to_owned(),
                host: "127.0.0.1".to_owned(),
                port: 0,
                slot: Some(address.node.identifier()),
            }),
            oldest: Some(Lsn(0)),
            configured: home.configured.clone(),
            users: home.users.clone(),
        }
    }

    fn begin(&mut self, step: &Step) {
        match &step.action {
            Action::Primary { server, .. } => self.home(&server.node).partial = true,
            Action::Basebackup { node, .. } => self.home(node).partial = true,
            _ => {}
        }
    }

    fn home(&mut self, node: &NodeAddress) -> &mut Home {
        self.homes.entry(node.clone()).or_default()
    }

    /// Lets a step happen, and returns what it found out. The record is not touched.
    pub fn effect(&mut self, step: &Step) -> Result<Outputs, String> {
        match &step.action {
            Action::Network { .. }
            | Action::DropNetwork { .. }
            | Action::DropUser { .. }
            | Action::DropCluster { .. } => {}
            Action::Primary {
                initdb,
                instance,
                server,
            } => return Ok(self.primary(initdb, instance, server)),
            Action::ReplicationUser {
                user,
                attributes,
                server,
                ..
            } => {
                let facts = UserFacts {
                    login: attributes.login,
                    replication: attributes.replication,
                };
                self.serving(server).users.insert(user.user.to_string(), facts);
            }
            Action::Slot { slot, server, .. } => {
                let home = self.serving(server);
                home.lost.remove(&slot.name);
                home.slots.insert(slot.name.clone());
            }
            Action::Basebackup { node, task, .. } => return Ok(self.basebackup(node, task)),
            Action::Standby {
                instance,
                server,
                upstream,
                application_name,
            } => {
                if !self.serving(upstream).slots.contains(application_name) {
                    return Err(format!("{} does not stream: its slot is gone", server.node));
                }
                self.ensure(&server.node, instance, Some(&upstream.node));
            }
            Action::Start {
                instance,
                server,
                in_recovery,
            } => {
                let follows = self.follows(&server.node).filter(|_| *in_recovery);
                self.ensure(&server.node, instance, follows.as_ref());
            }
            Action::Stop { node } => self.home(node).server = None,
            Action::Configure { instance, server, .. } => {
                let home = self.serving(server);
                write_files(home, instance);
                home.configured = read_settings(instance);
            }
            Action::VerifySync { primary, standbys, .. } => return self.verify(primary, standbys),
            Action::Endpoint { entry, .. } => drop(self.entries.insert(entry.endpoint.clone(), entry.clone())),
            Action::DropNode { node } => drop(self.homes.remove(node)),
            Action::DropSlot { slot, server, .. } => drop(self.serving(server).slots.remove(&slot.name)),
            Action::DropEndpoint { endpoint, .. } => drop(self.entries.remove(endpoint)),
        }
        Ok(Outputs::default())
    }

    fn serving(&mut self, server: &Server) -> &mut Home {
        let home = self.homes.get_mut(&server.node).filter(|home| home.server.is_some());
        home.unwrap_or_else(|| panic!("{} does not serve", server.node))
    }

    fn follows(&self, node: &NodeAddress) -> Option<NodeAddress> {
        let slot = self.state.nodes.get(node)?.slot.as_ref()?;
        Some(NodeAddress {
            cluster: node.cluster.clone(),
            node: slot.upstream.clone(),
        })
    }

    fn primary(&mut self, initdb: &TaskSpec, instance: &InstanceSpec, server: &Server) -> Outputs {
        let generation = generation_of(initdb.product.as_deref());
        self.made += 1;
        let made = SystemIdentifier(self.made);
        let home = self.home(&server.node);
        home.partial = false;
        let system_identifier = Some(*home.data.entry(generation).or_insert(made));
        self.ensure(&server.node, instance, None);
        Outputs {
            system_identifier,
            marker: None,
        }
    }

    fn basebackup(&mut self, node: &NodeAddress, task: &TaskSpec) -> Outputs {
        let upstream = self.follows(node).expect("a node that is cloned has a slot");
        let source = self
            .homes
            .get(&upstream)
            .and_then(|home| Some(home.data[&home.server.as_ref()?.generation]));
        let source = source.unwrap_or_else(|| panic!("{node} is cloned from {upstream}, which does not serve"));
        let generation = generation_of(task.product.as_deref());
        let home = self.home(node);
        assert!(
            home.server.is_none() || home.data.contains_key(&generation),
            "{node} is cloned while it runs"
        );
        home.partial = false;
        home.data
            .retain(|old, _| !task.replaces.contains(&format!("data-{old}")));
        Outputs {
            system_identifier: Some(*home.data.entry(generation).or_insert(source)),
            marker: None,
        }
    }

    fn ensure(&mut self, node: &NodeAddress, instance: &InstanceSpec, upstream: Option<&NodeAddress>) {
        let generation = generation_of(Some(&instance.data));
        let home = self.home(node);
        assert!(home.data.contains_key(&generation), "{node} is started without data");
        home.listen = Some(instance.listen);
        write_files(home, instance);
        let upstream = upstream.map(|upstream| upstream.node.to_string());
        let server = home.server.get_or_insert(Running {
            generation,
            upstream,
            frozen: false,
        });
        server.frozen = false;
        home.configured = read_settings(instance);
    }

    fn verify(&mut self, primary: &Server, standbys: &BTreeMap<String, Server>) -> Result<Outputs, String> {
        let data = |home: &Home| home.server.as_ref().map(|server| home.data[&server.generation]);
        let source = self.serving(primary);
        let (identifier, slots) = (data(source), source.slots.clone());
        for (name, standby) in standbys {
            let home = self.serving(standby);
            assert_eq!(
                data(home),
                identifier,
                "{} has other data than its primary",
                standby.node
            );
            if !slots.contains(name) {
                return Err(format!("{} does not stream: its slot is gone", standby.node));
            }
        }
        Ok(Outputs {
            system_identifier: None,
            marker: Some(Lsn(0x0300_0060)),
        })
    }

    /// At no time do two servers of a cluster write.
    fn one_writer(&self) {
        let mut writers = BTreeSet::new();
        let takes_writes = |home: &Home| home.server.as_ref().is_some_and(|server| server.upstream.is_none());
        for (address, _) in self.homes.iter().filter(|(_, home)| takes_writes(home)) {
            assert!(
                writers.insert(&address.cluster),
                "{address} is a second writer of its cluster"
            );
        }
    }

    /// The record never leads the world: what a step has recorded is so.
    fn truthful(&self, step: &Step) {
        for edit in &step.delta.0 {
            let Address::Node(address) = edit.address() else {
                continue;
            };
            let home = self.homes.get(&address);
            match edit {
                Edit::Data { generation, .. } => {
                    let there = home.and_then(|home| home.data.get(generation));
                    let recorded = self.state.nodes[&address]
                        .data
                        .as_ref()
                        .map(|data| &data.system_identifier);
                    assert_eq!(there, recorded, "{address} is recorded with data it does not have");
                }
                Edit::Power(_, Power::Running) => {
                    let runs = home.is_some_and(|home| home.server.is_some());
                    assert!(runs, "{address} is recorded as running, and does not run");
                }
                _ => {}
            }
        }
    }
}

fn slot(home: &Home, name: &String) -> SlotFacts {
    let status = if home.lost.contains(name) { "lost" } else { "reserved" };
    SlotFacts {
        active: status == "reserved",
        wal_status: Some(status.to_owned()),
    }
}

/// Notes what a platform notes of the files it writes.
fn write_files(home: &mut Home, instance: &InstanceSpec) {
    let facts = |text: &FileText| FileFacts {
        digest: text.digest(),
        edited: false,
    };
    home.files = instance
        .files
        .iter()
        .map(|(path, text)| (path.clone(), facts(text)))
        .collect();
}

/// Reads the settings that a server would take from its `postgresql.conf`.
fn read_settings(instance: &InstanceSpec) -> BTreeMap<String, String> {
    let parts = instance
        .files
        .get("postgresql.conf")
        .into_iter()
        .flat_map(|file| &file.0);
    let text: String = parts
        .filter_map(|part| {
            if let FilePart::Text(text) = part {
                Some(text.as_str())
            } else {
                None
            }
        })
        .collect();
    let unquoted = |value: &str| value.trim_matches('\'').replace("''", "'").replace("\\\\", "\\");
    text.lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, value)| (name.to_owned(), unquoted(value)))
        .collect()
}

fn generation_of(directory: Option<&str>) -> u32 {
    let number = directory
        .and_then(|directory| directory.strip_prefix("data-"))
        .and_then(|number| number.parse().ok());
    number.expect("data directories are called data-N")
}
