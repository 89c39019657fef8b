//! What the facts say about a cluster: pure judgement.

use simdb_planner::engine::postgresql::instance;
use simdb_planner::observed::{NodeFacts, Observation, Observed, ProcessFacts, ServerFacts, SlotFacts};
use simdb_state::address::{Address, EndpointAddress, NodeAddress};
use simdb_state::happening::Happening;
use simdb_state::journal::EventKind;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Endpoint, Node, OnStandbyLoss, Pooler, Power, Role, State};

use super::{ClusterState, EndpointStatus, NodeStatus};
use crate::views::human::text::{bytes, count};

/// What the facts say about a cluster.
pub(super) struct Judgement {
    pub(super) state: ClusterState,
    pub(super) nodes: Vec<NodeStatus>,
    pub(super) endpoints: Vec<EndpointStatus>,
    pub(super) problems: Vec<Problem>,
}

/// Something that is wrong, and how the cluster is because of it.
pub(super) struct Problem {
    pub(super) state: ClusterState,
    /// A fragment that starts with its subject.
    pub(super) text: String,
    /// What has happened, where that is worth keeping.
    pub(super) noticed: Option<Happening>,
}

/// Judges a cluster by what is recorded of it and what was seen of it; `max_lag` is how many bytes of log a standby may
/// have yet to replay. The cluster is the worst of these that holds:
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
pub(super) fn judge(name: &ClusterName, state: &State, observed: &Observed, max_lag: u64) -> Judgement {
    let mut look = Look {
        state,
        observed,
        max_lag,
        problems: Vec::new(),
    };
    look.split_brain(name);
    let nodes: Vec<NodeStatus> = state
        .nodes_of(name)
        .map(|(address, node)| look.node(address, node))
        .collect();
    look.waiting_commits(name);
    let endpoints = state.endpoints.iter().filter(|(address, _)| address.cluster == *name);
    let endpoints = endpoints.map(|(address, endpoint)| look.endpoint(address, endpoint));
    let endpoints = endpoints.collect();
    let sound = if !nodes.is_empty() && nodes.iter().all(|node| node.state == "stopped") {
        ClusterState::Stopped
    } else {
        ClusterState::Synchronized
    };
    let worst = look.problems.iter().map(|problem| problem.state).max();
    Judgement {
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

    fn noticed(&mut self, state: ClusterState, text: String, happening: Happening) {
        self.problems.push(Problem {
            state,
            text,
            noticed: Some(happening),
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
        let leads = |address: &&NodeAddress| self.state.nodes.get(*address).is_some_and(is_primary);
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
        let happening = Happening::new(EventKind::SplitBrain, Address::Cluster(name.clone()));
        self.noticed(ClusterState::Broken, text, happening);
    }

    /// Says that commits wait for more standbys than confirm them.
    fn waiting_commits(&mut self, name: &ClusterName) {
        let Some(cluster) = self.state.clusters.get(name) else {
            return;
        };
        if let Some(since) = cluster.degraded {
            let text = format!("commits wait for fewer standbys than they are to since {since}");
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

    fn node(&mut self, address: &NodeAddress, node: &Node) -> NodeStatus {
        let mut status = NodeStatus {
            node: address.node.to_string(),
            role: node.role.as_ref().map(ToString::to_string),
            slot: node.slot.as_ref().map(|slot| slot.name.clone()),
            address: node.listen.map(|listen| listen.to_string()),
            ..NodeStatus::default()
        };
        status.state = match self.observed.nodes.get(address) {
            None => self.missing(address, node, "unknown", "is unknown: it was not looked at"),
            Some(Observation::Unknown(reason)) => {
                self.missing(address, node, "unknown", &format!("is unknown: {reason}"))
            }
            Some(Observation::Absent) => {
                self.missing(address, node, "absent", "is gone: nothing is where its data was")
            }
            Some(Observation::Seen(facts)) => self.seen(address, node, facts, &mut status),
        };
        status
    }

    /// Says that a node does not do its part; returns its state.
    fn missing(&mut self, address: &NodeAddress, node: &Node, state: &str, text: &str) -> String {
        let weight = if is_primary(node) {
            ClusterState::Broken
        } else {
            ClusterState::Degraded
        };
        self.problem(weight, format!("{} {text}", address.node));
        state.to_owned()
    }

    /// Compares a node that was looked at; returns its state.
    fn seen(&mut self, address: &NodeAddress, node: &Node, facts: &NodeFacts, status: &mut NodeStatus) -> String {
        status.pid = facts.process.pid();
        match facts.process {
            ProcessFacts::Down if node.held => return "stopped".to_owned(),
            ProcessFacts::Down => return self.missing(address, node, "down", "is down"),
            ProcessFacts::Frozen { .. } => {
                return self.missing(address, node, "frozen", "is frozen: somebody halted it with SIGSTOP");
            }
            ProcessFacts::Stopping { .. } => return self.missing(address, node, "stopping", "was told to stop"),
            ProcessFacts::Foreign { .. } => {
                let text = "was not started by simdb, and may run with other settings";
                self.problem(ClusterState::Degraded, format!("{} {text}", address.node));
            }
            ProcessFacts::Running { .. } => {}
        }
        match &facts.server {
            Some(Observation::Seen(server)) => {
                self.clients(address, node, facts);
                self.serving(address, node, server, status)
            }
            Some(Observation::Unknown(reason)) => {
                self.missing(address, node, "unknown", &format!("is unknown: {reason}"))
            }
            Some(Observation::Absent) | None => {
                let weight = if is_primary(node) {
                    ClusterState::Broken
                } else {
                    ClusterState::Syncing
                };
                self.problem(weight, format!("{} runs and lets nobody in yet", address.node));
                "starting".to_owned()
            }
        }
    }

    /// Says that a primary that crashed lets nobody in but standbys and simdb, because an apply was cut off.
    fn clients(&mut self, address: &NodeAddress, node: &Node, facts: &NodeFacts) {
        let Some(listen) = node.listen.filter(|_| is_primary(node)) else {
            return;
        };
        if instance::keeps_clients_out(facts, listen.host) {
            let text = "crashed, and lets no clients in before its standbys have what it has. Run: simdb apply";
            self.problem(ClusterState::Broken, format!("{} {text}", address.node));
        }
    }

    /// Compares a node whose server answers; returns its state.
    fn serving(&mut self, address: &NodeAddress, node: &Node, server: &ServerFacts, status: &mut NodeStatus) -> String {
        let name = &address.node;
        status.timeline = Some(server.timeline);
        status.position = Some(server.position);
        let role = if server.in_recovery { "standby" } else { "primary" };
        let recorded = status.role.replace(role.to_owned());
        status.recorded_role = recorded.filter(|recorded| recorded != role);
        let data = node.data.as_ref();
        if let Some(data) = data.filter(|data| data.system_identifier != server.system_identifier) {
            let (recorded, seen) = (data.system_identifier, server.system_identifier);
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
                return self.standby(address, follows, server, status);
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
        "running".to_owned()
    }

    /// Compares a standby with the node it follows; returns its state.
    fn standby(
        &mut self,
        address: &NodeAddress,
        follows: &NodeName,
        server: &ServerFacts,
        status: &mut NodeStatus,
    ) -> String {
        let name = &address.node;
        status.lag_seconds = server.replay_lag_seconds;
        if server.replay_paused {
            self.problem(ClusterState::Lagging, format!("{name} has its replay paused"));
        }
        let upstream = NodeAddress {
            cluster: address.cluster.clone(),
            node: follows.clone(),
        };
        let Some(upstream) = self.server(&upstream) else {
            return "running".to_owned();
        };
        let lag = upstream.position.ahead_of(server.replayed);
        status.lag_bytes = Some(lag);
        if lag > self.max_lag {
            let text = format!("{name} is {} behind, and may be {}", bytes(lag), bytes(self.max_lag));
            let happening = Happening {
                position: Some(server.replayed),
                ..Happening::new(EventKind::LagDetected, address.clone())
            };
            self.noticed(ClusterState::Lagging, text, happening);
        }
        if upstream.timeline != server.timeline {
            let (own, other) = (server.timeline, upstream.timeline);
            let text = format!("{name} is on timeline {own}, {follows} on {other}");
            self.problem(ClusterState::Degraded, text);
        }
        self.slot(name, follows, upstream, status);
        let sender = upstream.senders.get(&name.identifier());
        status.sync_state = sender.map(|sender| sender.sync_state.clone());
        match sender.map(|sender| sender.state.as_str()) {
            Some("streaming") => "streaming".to_owned(),
            Some(state) => {
                let text = format!("{name} does not stream from {follows} yet: {state}");
                self.problem(ClusterState::Syncing, text);
                state.to_owned()
            }
            None => {
                self.problem(ClusterState::Degraded, format!("{name} does not stream from {follows}"));
                "running".to_owned()
            }
        }
    }

    fn slot(&mut self, name: &NodeName, follows: &NodeName, upstream: &ServerFacts, status: &mut NodeStatus) {
        let Some(slot) = &status.slot else { return };
        let Some(facts) = upstream.slots.get(slot) else {
            let text = format!("{name} has lost its slot {slot} on {follows}");
            return self.problem(ClusterState::Degraded, text);
        };
        let SlotFacts {
            active,
            wal_status,
            restart,
        } = facts;
        status.slot_active = Some(*active);
        status.slot_wal_status.clone_from(wal_status);
        status.slot_kept_bytes = restart.map(|restart| upstream.position.ahead_of(restart));
        if wal_status.as_deref() == Some("lost") {
            let text =
                format!("{name} can no longer catch up: {follows} has thrown away the log that slot {slot} kept");
            self.problem(ClusterState::Degraded, text);
        }
    }

    /// Judges the pooler that clients of an endpoint go through, and says what state it is in.
    fn pooler(&mut self, address: &EndpointAddress, pooler: &Pooler) -> String {
        let (state, problem) = match self.observed.poolers.get(address) {
            Some(Observation::Seen(facts)) => match facts.process {
                ProcessFacts::Running { .. } => ("running", None),
                ProcessFacts::Down if pooler.power == Power::Stopped => ("stopped", None),
                ProcessFacts::Down => ("down", Some("is down".to_owned())),
                ProcessFacts::Frozen { .. } => {
                    ("frozen", Some("is frozen: somebody halted it with SIGSTOP".to_owned()))
                }
                ProcessFacts::Stopping { .. } => ("stopping", Some("was told to stop".to_owned())),
                ProcessFacts::Foreign { .. } => ("running", Some("was not started by simdb".to_owned())),
            },
            Some(Observation::Absent) => ("absent", Some("is gone".to_owned())),
            Some(Observation::Unknown(reason)) => ("unknown", Some(format!("is unknown: {reason}"))),
            None => ("unknown", Some("is unknown: it was not looked at".to_owned())),
        };
        if let Some(problem) = problem {
            let text = format!("the PgBouncer of endpoint {} {problem}", address.endpoint);
            self.problem(ClusterState::Degraded, text);
        }
        if pooler.paused {
            let text = format!("the clients of endpoint {} may be waiting", address.endpoint);
            self.problem(ClusterState::Degraded, text);
        }
        format!("pgbouncer {state}, to {}", pooler.node)
    }

    fn endpoint(&mut self, address: &EndpointAddress, endpoint: &Endpoint) -> EndpointStatus {
        let name = &address.endpoint;
        let mut leads = endpoint.hosts.clone();
        let problem = match self.observed.endpoints.get(address) {
            Some(Observation::Seen(entry)) if entry.hosts == endpoint.hosts => None,
            Some(Observation::Seen(entry)) => {
                leads.clone_from(&entry.hosts);
                Some("leads elsewhere than recorded".to_owned())
            }
            Some(Observation::Absent) => {
                leads.clear();
                Some("is gone".to_owned())
            }
            Some(Observation::Unknown(reason)) => Some(format!("is unknown: {reason}")),
            None => Some("is unknown: it was not looked at".to_owned()),
        };
        if let Some(problem) = problem {
            self.problem(ClusterState::Degraded, format!("endpoint {name} {problem}"));
        }
        let pooler = endpoint.pooler.as_ref().map(|pooler| self.pooler(address, pooler));
        EndpointStatus {
            name: name.to_string(),
            target: endpoint.target.to_string(),
            service: format!("service={}", address.service()),
            pooler,
            addresses: leads.iter().map(ToString::to_string).collect(),
        }
    }
}

fn is_primary(node: &Node) -> bool {
    matches!(node.role, Some(Role::Primary { .. }))
}
