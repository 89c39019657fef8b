//! The health of clusters: what is recorded against what was seen.

use serde::Serialize;
use simdb_planner::observed::{NodeFacts, Observation, Observed, ProcessFacts, ServerFacts};
use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::lsn::Lsn;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Endpoint, EngineKind, Node, ReplicationMode, Role, State, Term};

use super::FORMAT_VERSION;

/// The health of clusters.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatusDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// Whether all of them are healthy.
    pub healthy: bool,
    /// The clusters, by name.
    pub clusters: Vec<ClusterStatus>,
}

/// The health of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: ClusterName,
    /// Whether nothing is wrong with it.
    pub healthy: bool,
    /// What it runs.
    pub engine: EngineKind,
    /// The engine's major version.
    pub version: u16,
    /// When a commit is acknowledged.
    pub replication: ReplicationMode,
    /// The number of its last election.
    pub term: Option<Term>,
    /// Where the marker of the last proof of replication stands in the log; absent where nothing is proven.
    pub verified: Option<Lsn>,
    /// Its nodes, by name.
    pub nodes: Vec<NodeStatus>,
    /// Its endpoints, by name.
    pub endpoints: Vec<EndpointStatus>,
    /// What is wrong with it, each a fragment that starts with its subject.
    pub problems: Vec<String>,
}

/// The health of one node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// What it is to its cluster: seen where that is known, else recorded.
    pub role: Option<String>,
    /// `running`, `streaming` (a standby that receives the log), `starting`, `stopped` (on purpose), `down`, `frozen`,
    /// `absent` or `unknown`.
    pub state: String,
    /// The timeline it writes or replays.
    pub timeline: Option<u32>,
    /// How far it wrote, received or replayed.
    pub position: Option<Lsn>,
    /// How many bytes of its upstream's log it has yet to replay.
    pub lag_bytes: Option<u64>,
    /// How old the last transaction is that it replayed, where something is behind.
    pub lag_seconds: Option<f64>,
    /// Its slot on its upstream.
    pub slot: Option<String>,
    /// Where it listens.
    pub address: Option<String>,
    /// The process of its server.
    pub pid: Option<u32>,
}

/// The health of one endpoint.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EndpointStatus {
    /// Its name.
    pub name: String,
    /// What it is meant to lead to.
    pub target: String,
    /// How a client names it: `service=orders-rw`.
    pub service: String,
    /// Where it leads, as seen; as recorded where that is unknown.
    pub addresses: Vec<String>,
}

impl StatusDoc {
    /// Compares what is recorded of clusters with what was seen of them.
    pub fn new<'a>(clusters: impl IntoIterator<Item = &'a ClusterName>, state: &State, observed: &Observed) -> Self {
        let clusters = clusters
            .into_iter()
            .filter_map(|name| ClusterStatus::new(name, state, observed));
        let clusters: Vec<ClusterStatus> = clusters.collect();
        Self {
            format_version: FORMAT_VERSION,
            healthy: clusters.iter().all(|cluster| cluster.healthy),
            clusters,
        }
    }
}

impl ClusterStatus {
    fn new(name: &ClusterName, state: &State, observed: &Observed) -> Option<Self> {
        let cluster = state.clusters.get(name)?;
        let mut problems = Vec::new();
        let look = Look { observed };
        let nodes = state.nodes_of(name);
        let nodes = nodes
            .map(|(address, node)| look.node(address, node, &mut problems))
            .collect();
        let endpoints = state.endpoints.iter().filter(|(address, _)| address.cluster == *name);
        let endpoints = endpoints.map(|(address, endpoint)| look.endpoint(address, endpoint, &mut problems));
        let endpoints = endpoints.collect();
        Some(Self {
            name: name.clone(),
            healthy: problems.is_empty(),
            engine: cluster.engine,
            version: cluster.version,
            replication: cluster.replication,
            term: state.elections.get(name).map(|election| election.term),
            verified: cluster.verified.as_ref().map(|verified| verified.marker),
            nodes,
            endpoints,
            problems,
        })
    }
}

/// What recorded things are compared with.
struct Look<'a> {
    observed: &'a Observed,
}

impl Look<'_> {
    fn node(&self, address: &NodeAddress, node: &Node, problems: &mut Vec<String>) -> NodeStatus {
        let name = &address.node;
        let mut problem = |text: String| problems.push(format!("{name} {text}"));
        let mut status = NodeStatus {
            node: name.to_string(),
            role: node.role.as_ref().map(ToString::to_string),
            slot: node.slot.as_ref().map(|slot| slot.name.clone()),
            address: node.listen.map(|listen| listen.to_string()),
            ..NodeStatus::default()
        };
        status.state = match self.observed.nodes.get(address) {
            None => unknown("it was not looked at", &mut problem),
            Some(Observation::Unknown(reason)) => unknown(reason, &mut problem),
            Some(Observation::Absent) => {
                problem("is gone: nothing is where its data was".to_owned());
                "absent".to_owned()
            }
            Some(Observation::Seen(facts)) => self.seen(address, node, facts, &mut status, &mut problem),
        };
        status
    }

    /// Compares a node that was looked at; returns its state.
    fn seen(
        &self,
        address: &NodeAddress,
        node: &Node,
        facts: &NodeFacts,
        status: &mut NodeStatus,
        problem: &mut dyn FnMut(String),
    ) -> String {
        let pid = match facts.process {
            ProcessFacts::Down if node.held => return "stopped".to_owned(),
            ProcessFacts::Down => {
                problem("is down".to_owned());
                return "down".to_owned();
            }
            ProcessFacts::Frozen { pid } => {
                status.pid = Some(pid);
                problem("is frozen: somebody halted it with SIGSTOP".to_owned());
                return "frozen".to_owned();
            }
            ProcessFacts::Foreign { pid } => {
                problem("was not started by simdb, and may run with other settings".to_owned());
                pid
            }
            ProcessFacts::Running { pid } => pid,
        };
        status.pid = Some(pid);
        let server = match &facts.server {
            Some(Observation::Seen(server)) => server,
            Some(Observation::Unknown(reason)) => return unknown(reason, problem),
            Some(Observation::Absent) | None => {
                problem("runs and lets nobody in yet".to_owned());
                return "starting".to_owned();
            }
        };
        status.timeline = Some(server.timeline);
        status.position = Some(server.position);
        status.role = Some(if server.in_recovery { "standby" } else { "primary" }.to_owned());
        if let Some(data) = node
            .data
            .as_ref()
            .filter(|data| data.system_identifier != server.system_identifier)
        {
            let (recorded, seen) = (data.system_identifier, server.system_identifier);
            problem(format!(
                "serves foreign data: system identifier {seen}, recorded is {recorded}"
            ));
        }
        match &node.role {
            Some(Role::Primary { .. }) if server.in_recovery => {
                problem("only replays, though it is the primary".to_owned());
            }
            Some(Role::Standby { .. }) if !server.in_recovery => problem("writes, though it is a standby".to_owned()),
            Some(Role::Standby { follows }) => return self.standby(address, follows, server, status, problem),
            Some(Role::Fenced { .. }) => problem("runs, though it was fenced".to_owned()),
            Some(Role::Primary { .. }) => {}
            None => problem("has no role yet".to_owned()),
        }
        "running".to_owned()
    }

    /// Compares a standby with the node it follows; returns its state.
    fn standby(
        &self,
        address: &NodeAddress,
        follows: &NodeName,
        server: &ServerFacts,
        status: &mut NodeStatus,
        problem: &mut dyn FnMut(String),
    ) -> String {
        let upstream = NodeAddress {
            cluster: address.cluster.clone(),
            node: follows.clone(),
        };
        status.lag_seconds = server.replay_lag_seconds;
        if server.replay_paused {
            problem("has its replay paused".to_owned());
        }
        let Some(upstream) = self.server(&upstream) else {
            return "running".to_owned();
        };
        status.lag_bytes = Some(upstream.position.ahead_of(server.replayed));
        if upstream.timeline != server.timeline {
            let (own, other) = (server.timeline, upstream.timeline);
            problem(format!("is on timeline {own}, {follows} on {other}"));
        }
        if let Some(slot) = &status.slot {
            match upstream.slots.get(slot) {
                None => problem(format!("has lost its slot {slot} on {follows}")),
                Some(facts) if facts.wal_status.as_deref() == Some("lost") => {
                    problem(format!(
                        "can no longer catch up: {follows} has thrown away the log that slot {slot} kept"
                    ));
                }
                Some(_) => {}
            }
        }
        let sender = upstream.senders.get(&address.node.identifier());
        match sender.map(|sender| sender.state.as_str()) {
            Some("streaming") => "streaming".to_owned(),
            Some(state) => {
                problem(format!("does not stream from {follows} yet: {state}"));
                state.to_owned()
            }
            None => {
                problem(format!("does not stream from {follows}"));
                "running".to_owned()
            }
        }
    }

    fn server(&self, address: &NodeAddress) -> Option<&ServerFacts> {
        self.observed.nodes.get(address)?.seen()?.server.as_ref()?.seen()
    }

    fn endpoint(&self, address: &EndpointAddress, endpoint: &Endpoint, problems: &mut Vec<String>) -> EndpointStatus {
        let name = &address.endpoint;
        let mut leads = endpoint.hosts.clone();
        match self.observed.endpoints.get(address) {
            Some(Observation::Seen(entry)) if entry.hosts != endpoint.hosts => {
                problems.push(format!("endpoint {name} leads elsewhere than recorded"));
                leads.clone_from(&entry.hosts);
            }
            Some(Observation::Seen(_)) => {}
            Some(Observation::Absent) => {
                problems.push(format!("endpoint {name} is gone"));
                leads.clear();
            }
            Some(Observation::Unknown(reason)) => problems.push(format!("endpoint {name} is unknown: {reason}")),
            None => problems.push(format!("endpoint {name} is unknown: it was not looked at")),
        }
        EndpointStatus {
            name: name.to_string(),
            target: endpoint.target.to_string(),
            service: format!("service={}-{name}", address.cluster),
            addresses: leads.iter().map(ToString::to_string).collect(),
        }
    }
}

fn unknown(reason: &str, problem: &mut (impl FnMut(String) + ?Sized)) -> String {
    problem(format!("is unknown: {reason}"));
    "unknown".to_owned()
}
