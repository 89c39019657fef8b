//! The health of a cluster: what the facts say of what is recorded. Pure judgement; views show it.

use std::fmt;

use serde::Serialize;
use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::cluster_event::ClusterEvent;
use simdb_state::journal::EventKind;
use simdb_state::name::{ClusterName, EndpointName, NodeName};
use simdb_state::object::{Endpoint, EndpointTarget, MAX_LAG, Node, OnStandbyLoss, Pooler, Power, Role, State};
use simdb_state::place::{HostPort, Place};
use simdb_state::position::Position;

use crate::engine::{POOLER, instance, title};
use crate::observed::{Halt, NodeFacts, Observation, Observed, ProcessFacts, ServerFacts, SlotFacts};
use crate::text::{bytes, count};

/// How a cluster is, the worst last. [`judge`] says exactly what each means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// It was stopped on request.
    Stopped,
    /// Every node is there, and every standby has what the primary has.
    Synchronized,
    /// Every standby streams, and some are too far behind.
    Lagging,
    /// A standby is on its way.
    Syncing,
    /// It serves, and something is missing that would be needed if more went wrong.
    Degraded,
    /// The node that should take writes does not, or more than one node does.
    Broken,
}

/// The health of a cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Health {
    /// How it is.
    pub state: ClusterState,
    /// Its nodes, by name.
    pub nodes: Vec<NodeHealth>,
    /// Its endpoints, by name.
    pub endpoints: Vec<EndpointHealth>,
    /// What is wrong with it.
    pub problems: Vec<Problem>,
}

/// Something that is wrong, and how the cluster is because of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// How the cluster is.
    pub state: ClusterState,
    /// A fragment that starts with its subject.
    pub text: String,
    /// What has happened, where that is worth keeping.
    pub noticed: Option<ClusterEvent>,
}

/// What a server does, or why it does nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// It could not be looked at.
    #[default]
    Unknown,
    /// Nothing is there.
    Absent,
    /// It is down, and should not be.
    Down,
    /// It was stopped on request.
    Stopped,
    /// It was told to stop.
    Stopping,
    /// A signal halted it.
    Frozen,
    /// It runs, and lets no session in yet.
    Starting,
    /// It runs.
    Running,
    /// It is a standby that receives the log.
    Streaming,
    /// It is a standby on its way, in the state that its upstream gives it (`catchup`).
    Approaching(String),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Condition::Unknown => "unknown",
            Condition::Absent => "absent",
            Condition::Down => "down",
            Condition::Stopped => "stopped",
            Condition::Stopping => "stopping",
            Condition::Frozen => "frozen",
            Condition::Starting => "starting",
            Condition::Running => "running",
            Condition::Streaming => "streaming",
            Condition::Approaching(state) => state,
        })
    }
}

/// The health of one node. What could not be seen is absent.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeHealth {
    /// Its name.
    pub node: NodeName,
    /// What its server does.
    pub condition: Condition,
    /// What it is on record: `primary`, `standby` or `fenced`.
    pub recorded_role: Option<String>,
    /// What it was seen to be: `primary` or `standby`.
    pub seen_role: Option<&'static str>,
    /// The timeline it writes or replays.
    pub timeline: Option<u32>,
    /// How far it wrote, received or replayed.
    pub position: Option<Position>,
    /// How many bytes of its upstream's log it has yet to replay.
    pub lag_bytes: Option<u64>,
    /// How old the last transaction is that it replayed, where something is behind.
    pub lag_seconds: Option<f64>,
    /// What its upstream makes of it: `async`, `potential`, `sync` or `quorum`.
    pub sync_state: Option<String>,
    /// Its slot on its upstream.
    pub slot: Option<SlotHealth>,
    /// Where it is.
    pub place: Option<Place>,
    /// The process of its server.
    pub process: Option<u32>,
}

/// The health of a standby's slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotHealth {
    /// Its name.
    pub name: String,
    /// Whether the standby streams through it.
    pub active: Option<bool>,
    /// What becomes of the log that it is for: `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
    /// How many bytes of log it retains.
    pub kept_bytes: Option<u64>,
}

/// The health of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointHealth {
    /// Its name.
    pub name: EndpointName,
    /// What it is meant to route to.
    pub target: EndpointTarget,
    /// Where it routes to, as seen; as recorded where that is unknown.
    pub hosts: Vec<HostPort>,
    /// The pooler that clients go through, where they do: what it does, and the node it routes to.
    pub pooler: Option<(Condition, NodeName)>,
}

/// Returns what has happened to the clusters by itself, and is worth keeping.
pub fn noticed(state: &State, observed: &Observed) -> Vec<ClusterEvent> {
    let problems = state
        .clusters
        .keys()
        .flat_map(|name| judge(name, state, observed).problems);
    problems.filter_map(|problem| problem.noticed).collect()
}

/// Judges a cluster by what is recorded of it and what was seen of it. The cluster is the worst of these that holds:
///
/// - *broken*: the node that is the primary on record does not take writes (it is down, frozen, absent, unknown, still
///   starting, only replays, or lets no clients in); or another node takes writes, alone or as well (split brain); or a
///   node serves another cluster's data.
/// - *degraded*: the primary takes writes, and a standby will not come along by itself: it is down, frozen, absent or
///   unknown, streams from nobody, is on another timeline, or has no slot or a lost one; or a node that was fenced has yet
///   to rejoin; or a server was not started by simdb; or commits wait for more standbys than are there; or an endpoint
///   does not lead where it should.
/// - *syncing*: a standby is on its way: it starts, or its upstream sends it what it missed (`startup`, `catchup`,
///   `backup`), or it has no role yet because a run was cut off.
/// - *lagging*: every standby streams, and one has more than `max_lag` to replay, or its replay is paused.
/// - *synchronized*: none of these. Every standby streams through its slot on the primary's timeline.
/// - *stopped*: none of these, and all nodes were stopped on request.
///
/// Nodes that were stopped on request are as they should be, the primary included.
pub fn judge(name: &ClusterName, state: &State, observed: &Observed) -> Health {
    let mut look = Look {
        state,
        observed,
        max_lag: state.clusters.get(name).map_or(MAX_LAG, |cluster| cluster.max_lag),
        problems: Vec::new(),
    };
    look.split_brain(name);
    let nodes: Vec<NodeHealth> = state
        .nodes_of(name)
        .map(|(address, node)| look.node(address, node))
        .collect();
    look.waiting_commits(name);
    let endpoints = state.endpoints.iter().filter(|(address, _)| address.cluster == *name);
    let endpoints = endpoints.map(|(address, endpoint)| look.endpoint(address, endpoint));
    let endpoints = endpoints.collect();
    let sound = if !nodes.is_empty() && nodes.iter().all(|node| node.condition == Condition::Stopped) {
        ClusterState::Stopped
    } else {
        ClusterState::Synchronized
    };
    let worst = look.problems.iter().map(|problem| problem.state).max();
    Health {
        state: worst.unwrap_or(sound),
        nodes,
        endpoints,
        problems: look.problems,
    }
}

/// What recorded things are compared with, and what was found wrong with them.
struct Look<'a> {
    state: &'a State,
    observed: &'a Observed,
    /// How many bytes of log a standby may have yet to replay.
    max_lag: u64,
    problems: Vec<Problem>,
}

impl<'a> Look<'a> {
    fn problem(&mut self, state: ClusterState, text: String) {
        self.problems.push(Problem {
            state,
            text,
            noticed: None,
        });
    }

    fn noticed(&mut self, state: ClusterState, text: String, event: ClusterEvent) {
        self.problems.push(Problem {
            state,
            text,
            noticed: Some(event),
        });
    }

    fn server(&self, address: &NodeAddress) -> Option<&'a ServerFacts> {
        self.observed.nodes.get(address)?.seen()?.server.as_ref()?.seen()
    }

    /// Says that several nodes take writes, and what to do.
    fn split_brain(&mut self, name: &ClusterName) {
        let nodes = self.state.nodes_of(name).map(|(address, _)| address);
        let writers: Vec<(&NodeAddress, &ServerFacts)> = nodes
            .filter_map(|address| Some((address, self.server(address)?)))
            .filter(|(_, server)| !server.in_recovery)
            .collect();
        if writers.len() < 2 {
            return;
        }
        let each = writers.iter().map(|(address, server)| {
            let NodeAddress { node, .. } = address;
            format!("{node} (timeline {}, at {})", server.timeline, server.position)
        });
        let look = writers
            .iter()
            .map(|(address, _)| format!("simdb psql {name}.{}", address.node));
        let leads = |address: &&NodeAddress| self.state.node(address).is_some_and(is_primary);
        let strays = writers
            .iter()
            .map(|(address, _)| *address)
            .filter(|address| !leads(address));
        let give_up: Vec<String> = strays
            .map(|address| format!("simdb resync {name} {}", address.node))
            .collect();
        let text = format!(
            "split brain: {} take writes, and none has what the others commit. Let no client write any more. Find out \
             which node has the writes worth keeping ({}), and save what you need from the others. To give up the writes \
             of one, run: {}",
            each.collect::<Vec<_>>().join(" and "),
            look.collect::<Vec<_>>().join(", "),
            give_up.join(", or: "),
        );
        let event = ClusterEvent::new(EventKind::SplitBrain, Address::Cluster(name.clone()));
        self.noticed(ClusterState::Broken, text, event);
    }

    /// Says that commits wait for more standbys than confirm them.
    fn waiting_commits(&mut self, name: &ClusterName) {
        let Some(cluster) = self.state.clusters.get(name) else {
            return;
        };
        if let Some(since) = &cluster.degraded {
            let text = format!("commits wait for fewer standbys than declared since {since}");
            self.problem(ClusterState::Degraded, text);
        }
        let needed = match cluster.on_standby_loss {
            OnStandbyLoss::Block => cluster.synchronous_standbys.max(1) as usize,
            OnStandbyLoss::Degrade => 1,
        };
        let primary = self.state.leader(name);
        let server = primary.and_then(|address| self.server(address));
        let (Some(primary), Some(server), false) = (primary, server, cluster.sync_rule.is_empty()) else {
            return;
        };
        let counts = |state: &str| matches!(state, "sync" | "quorum");
        let senders = server.senders.values();
        let confirm = senders.filter(|sender| counts(&sender.sync_state)).count();
        if !server.in_recovery && confirm < needed {
            let text = format!(
                "{} waits with every commit for {}, and {confirm} can confirm it",
                primary.node,
                count(needed, "standby")
            );
            self.problem(ClusterState::Degraded, text);
        }
    }

    fn node(&mut self, address: &NodeAddress, node: &Node) -> NodeHealth {
        let mut health = NodeHealth {
            node: address.node.clone(),
            condition: Condition::Unknown,
            recorded_role: node.role.as_ref().map(ToString::to_string),
            seen_role: None,
            timeline: None,
            position: None,
            lag_bytes: None,
            lag_seconds: None,
            sync_state: None,
            slot: node.slot.as_ref().map(|slot| SlotHealth {
                name: slot.name.clone(),
                active: None,
                wal_status: None,
                kept_bytes: None,
            }),
            place: node.place.clone(),
            process: None,
        };
        health.condition = match self.observed.nodes.get(address) {
            None => self.missing(address, node, Condition::Unknown, "is unknown: it was not looked at"),
            Some(Observation::Unknown(reason)) => {
                self.missing(address, node, Condition::Unknown, &format!("is unknown: {reason}"))
            }
            Some(Observation::Absent) => self.missing(
                address,
                node,
                Condition::Absent,
                "is gone: nothing is where its data was",
            ),
            Some(Observation::Seen(facts)) => self.seen(address, node, facts, &mut health),
        };
        health
    }

    /// Says that a node does not do its part; returns its condition.
    fn missing(&mut self, address: &NodeAddress, node: &Node, condition: Condition, text: &str) -> Condition {
        let weight = if is_primary(node) {
            ClusterState::Broken
        } else {
            ClusterState::Degraded
        };
        self.problem(weight, format!("{} {text}", address.node));
        condition
    }

    /// Compares a node that was looked at; returns its condition.
    fn seen(&mut self, address: &NodeAddress, node: &Node, facts: &NodeFacts, health: &mut NodeHealth) -> Condition {
        health.process = facts.process.pid();
        match facts.process {
            ProcessFacts::Down if node.stopped_by_request => return Condition::Stopped,
            ProcessFacts::Down => return self.missing(address, node, Condition::Down, "is down"),
            ProcessFacts::Frozen { by, .. } => return self.missing(address, node, Condition::Frozen, frozen(by)),
            ProcessFacts::Stopping { .. } => {
                return self.missing(address, node, Condition::Stopping, "was told to stop");
            }
            ProcessFacts::Foreign { .. } => {
                let text = "was not started by simdb, and may run with other settings";
                self.problem(ClusterState::Degraded, format!("{} {text}", address.node));
            }
            ProcessFacts::Running { .. } => {}
        }
        match &facts.server {
            Some(Observation::Seen(server)) => {
                self.clients(address, node, facts);
                self.serving(address, node, server, health)
            }
            Some(Observation::Unknown(reason)) => {
                self.missing(address, node, Condition::Unknown, &format!("is unknown: {reason}"))
            }
            Some(Observation::Absent) | None => {
                let weight = if is_primary(node) {
                    ClusterState::Broken
                } else {
                    ClusterState::Syncing
                };
                self.problem(weight, format!("{} runs and accepts no connection yet", address.node));
                Condition::Starting
            }
        }
    }

    /// Says that a primary that crashed lets nobody in but standbys and simdb, because an apply was cut off.
    fn clients(&mut self, address: &NodeAddress, node: &Node, facts: &NodeFacts) {
        let Some(place) = node.place.as_ref().filter(|_| is_primary(node)) else {
            return;
        };
        if instance::keeps_clients_out(facts, place) {
            let text = "crashed, and accepts no clients before its standbys have caught up. Run: simdb apply";
            self.problem(ClusterState::Broken, format!("{} {text}", address.node));
        }
    }

    /// Compares a node whose server answers; returns its condition.
    fn serving(
        &mut self,
        address: &NodeAddress,
        node: &Node,
        server: &ServerFacts,
        health: &mut NodeHealth,
    ) -> Condition {
        let name = &address.node;
        health.timeline = Some(server.timeline);
        health.position = Some(server.progress().position);
        health.seen_role = Some(if server.in_recovery { "standby" } else { "primary" });
        let data = node.data.as_ref();
        if let Some(data) = data.filter(|data| data.identity != server.system_identifier) {
            let (recorded, seen) = (&data.identity, &server.system_identifier);
            let text = format!("{name} serves foreign data: system identifier {seen}, recorded is {recorded}");
            self.problem(ClusterState::Broken, text);
        }
        match &node.role {
            Some(Role::Primary { .. }) if server.in_recovery => {
                self.problem(
                    ClusterState::Broken,
                    format!("{name} only replays, though it is the primary"),
                );
            }
            Some(Role::Primary { .. }) => {}
            Some(Role::Standby { follows }) if server.in_recovery => {
                return self.standby(address, follows, server, health);
            }
            Some(role) if !server.in_recovery => {
                self.problem(ClusterState::Broken, format!("{name} writes, though it is a {role}"));
            }
            Some(role) => self.problem(
                ClusterState::Degraded,
                format!("{name} is {role}, and has yet to rejoin"),
            ),
            None => self.problem(ClusterState::Syncing, format!("{name} has no role yet")),
        }
        Condition::Running
    }

    /// Compares a standby with the node it follows; returns its condition.
    fn standby(
        &mut self,
        address: &NodeAddress,
        follows: &NodeName,
        server: &ServerFacts,
        health: &mut NodeHealth,
    ) -> Condition {
        let name = &address.node;
        health.lag_seconds = server.replay_lag_seconds;
        if server.replay_paused {
            self.problem(ClusterState::Lagging, format!("{name} has its replay paused"));
        }
        let upstream = NodeAddress {
            cluster: address.cluster.clone(),
            node: follows.clone(),
        };
        let Some(upstream) = self.server(&upstream) else {
            return Condition::Running;
        };
        let lag = upstream.position.ahead_of(server.replayed);
        health.lag_bytes = Some(lag);
        if lag > self.max_lag {
            let text = format!("{name} is {} behind, and may be {}", bytes(lag), bytes(self.max_lag));
            let event = ClusterEvent {
                position: Some(server.replayed.into()),
                ..ClusterEvent::new(EventKind::LagDetected, address.clone())
            };
            self.noticed(ClusterState::Lagging, text, event);
        }
        if upstream.timeline != server.timeline {
            let (own, other) = (server.timeline, upstream.timeline);
            let text = format!("{name} is on timeline {own}, {follows} on {other}");
            self.problem(ClusterState::Degraded, text);
        }
        self.slot(name, follows, upstream, health);
        let sender = upstream.senders.get(&name.identifier());
        health.sync_state = sender.map(|sender| sender.sync_state.clone());
        match sender.map(|sender| sender.state.as_str()) {
            Some("streaming") => Condition::Streaming,
            Some(state) => {
                let text = format!("{name} does not stream from {follows} yet: {state}");
                self.problem(ClusterState::Syncing, text);
                Condition::Approaching(state.to_owned())
            }
            None => {
                self.problem(ClusterState::Degraded, format!("{name} does not stream from {follows}"));
                Condition::Running
            }
        }
    }

    fn slot(&mut self, name: &NodeName, follows: &NodeName, upstream: &ServerFacts, health: &mut NodeHealth) {
        let Some(slot) = &mut health.slot else { return };
        let Some(facts) = upstream.slots.get(&slot.name) else {
            let text = format!("{name} has lost its slot {} on {follows}", slot.name);
            return self.problem(ClusterState::Degraded, text);
        };
        let SlotFacts {
            active,
            wal_status,
            restart,
            database: _,
            transient: _,
        } = facts;
        slot.active = Some(*active);
        slot.wal_status.clone_from(wal_status);
        slot.kept_bytes = restart.map(|restart| upstream.position.ahead_of(restart));
        if wal_status.as_deref() == Some("lost") {
            let text = format!(
                "{name} can no longer catch up: {follows} has thrown away the log that slot {} kept",
                slot.name
            );
            self.problem(ClusterState::Degraded, text);
        }
    }

    /// Judges the pooler that clients of an endpoint go through, and returns what it does.
    fn pooler(&mut self, address: &EndpointAddress, pooler: &Pooler) -> Condition {
        let (condition, problem) = match self.observed.poolers.get(address) {
            Some(Observation::Seen(facts)) => match facts.process {
                ProcessFacts::Running { .. } => (Condition::Running, None),
                ProcessFacts::Down if pooler.power == Power::Stopped => (Condition::Stopped, None),
                ProcessFacts::Down => (Condition::Down, Some("is down".to_owned())),
                ProcessFacts::Frozen { by, .. } => (Condition::Frozen, Some(frozen(by).to_owned())),
                ProcessFacts::Stopping { .. } => (Condition::Stopping, Some("was told to stop".to_owned())),
                ProcessFacts::Foreign { .. } => (Condition::Running, Some("was not started by simdb".to_owned())),
            },
            Some(Observation::Absent) => (Condition::Absent, Some("is gone".to_owned())),
            Some(Observation::Unknown(reason)) => (Condition::Unknown, Some(format!("is unknown: {reason}"))),
            None => (Condition::Unknown, Some("is unknown: it was not looked at".to_owned())),
        };
        if let Some(problem) = problem {
            let pooler = title(POOLER);
            let text = format!("the {pooler} of endpoint {} {problem}", address.endpoint);
            self.problem(ClusterState::Degraded, text);
        }
        if pooler.paused {
            let text = format!("the clients of endpoint {} may be waiting", address.endpoint);
            self.problem(ClusterState::Degraded, text);
        }
        condition
    }

    fn endpoint(&mut self, address: &EndpointAddress, endpoint: &Endpoint) -> EndpointHealth {
        let name = &address.endpoint;
        let mut hosts = endpoint.hosts.clone();
        let problem = match self.observed.endpoints.get(address) {
            Some(Observation::Seen(route)) if route.hosts == endpoint.hosts => None,
            Some(Observation::Seen(route)) => {
                hosts.clone_from(&route.hosts);
                Some("routes elsewhere than recorded".to_owned())
            }
            Some(Observation::Absent) => {
                hosts.clear();
                Some("is gone".to_owned())
            }
            Some(Observation::Unknown(reason)) => Some(format!("is unknown: {reason}")),
            None => Some("is unknown: it was not looked at".to_owned()),
        };
        if let Some(problem) = problem {
            self.problem(ClusterState::Degraded, format!("endpoint {name} {problem}"));
        }
        let pooler = endpoint.pooler.as_ref();
        let pooler = pooler.map(|pooler| (self.pooler(address, pooler), pooler.node.clone()));
        EndpointHealth {
            name: name.clone(),
            target: endpoint.target,
            hosts,
            pooler,
        }
    }
}

fn is_primary(node: &Node) -> bool {
    node.writes()
}

/// Says that a server answers nobody, and why.
fn frozen(by: Halt) -> &'static str {
    match by {
        Halt::Signal => "is frozen: SIGSTOP halted it",
        Halt::Pause => "is frozen: it is paused",
        Halt::Detached => "is cut off from its network",
    }
}
