//! The health of clusters: what is recorded against what was seen.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
pub use simdb_planner::health::ClusterState;
use simdb_planner::health::{self, EndpointHealth, Health, NodeHealth};
use simdb_planner::observed::Observed;
use simdb_state::address::EndpointAddress;
use simdb_state::claim::Pause;
use simdb_state::journal::{Event, EventKind};
use simdb_state::name::ClusterName;
use simdb_state::object::{EngineKind, ReplicationMode, State, Term};
use simdb_state::position::Position;

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

/// How the replication of a cluster is, in few words: what its standbys are to it, for programs that keep a row for each cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InstanceRecord {
    /// Whether it has standbys.
    pub replication_enabled: bool,
    /// The node that leads, where one does.
    pub primary: Option<String>,
    /// The nodes that follow.
    pub standbys: Vec<String>,
    /// How replication is; absent where there is none, or the cluster is stopped.
    pub replication_status: Option<ReplicationStatus>,
    /// How many bytes of log the standby that is furthest behind has yet to replay, where that is known of all of them.
    pub lag_bytes: Option<u64>,
    /// How old the last transaction is that the standby replayed which is furthest behind, where something is behind.
    pub lag_seconds: Option<f64>,
    /// When all this was looked at, by the wall clock of this machine.
    pub last_check: Option<String>,
}

/// How replication is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReplicationStatus {
    /// Every standby has what the primary has.
    Synchronized,
    /// Every standby streams, and some are too far behind.
    Lagging,
    /// A standby is on its way.
    Syncing,
    /// A standby does not come along by itself, or no node takes writes.
    Broken,
}

/// The health of one cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: ClusterName,
    /// How it is.
    pub state: ClusterState,
    /// Whether nothing is wrong with it: it is synchronized, or stopped.
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
    pub verified: Option<Position>,
    /// When that was proven.
    pub verified_at: Option<String>,
    /// That monitors do nothing with it by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub paused: Option<PausedDoc>,
    /// How its replication is, in few words.
    pub instance: InstanceRecord,
    /// Its nodes, by name.
    pub nodes: Vec<NodeStatus>,
    /// Its endpoints, by name.
    pub endpoints: Vec<EndpointStatus>,
    /// What is wrong with it, each a fragment that starts with its subject.
    pub problems: Vec<String>,
}

/// That monitors do nothing with a cluster by themselves.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PausedDoc {
    /// Who paused it.
    pub by: String,
    /// Since when.
    pub since: String,
    /// Until when; absent, until somebody lets it go on.
    pub until: Option<String>,
    /// Why, in their words.
    pub reason: Option<String>,
}

/// The health of one node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeStatus {
    /// Its name.
    pub node: String,
    /// What it is to its cluster: seen where that is known, else recorded.
    pub role: Option<String>,
    /// What it is on record, where that is something else than was seen.
    pub recorded_role: Option<String>,
    /// `running`, `streaming` (a standby that receives the log), `starting`, `stopped` (on purpose), `down`, `frozen`,
    /// `absent` or `unknown`; a standby that is on its way has the state that its upstream gives it, such as `catchup`.
    pub state: String,
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
    pub slot: Option<String>,
    /// Whether it streams through that slot.
    pub slot_active: Option<bool>,
    /// What becomes of the log that the slot is for: `reserved`, `extended`, `unreserved` or `lost`.
    pub slot_wal_status: Option<String>,
    /// How many bytes of log the slot keeps back.
    pub slot_kept_bytes: Option<u64>,
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
    /// What it is meant to route to.
    pub target: String,
    /// How a client names it: `service=orders-rw`.
    pub service: String,
    /// Where it leads, as seen; as recorded where that is unknown.
    pub addresses: Vec<String>,
    /// What clients go through on their way, where they do: what it is, its state, and the node it routes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pooler: Option<String>,
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

    /// Adds when all of it was looked at.
    #[must_use]
    pub fn checked(mut self, at: &str) -> Self {
        for cluster in &mut self.clusters {
            cluster.instance.last_check = Some(at.to_owned());
        }
        self
    }

    /// Adds when replication was last proven, as far as that still holds.
    #[must_use]
    pub fn with_times(mut self, events: &[Event]) -> Self {
        for cluster in self.clusters.iter_mut().filter(|cluster| cluster.verified.is_some()) {
            let proof = events.iter().rev().find(|event| {
                let subject = event.addresses.first().and_then(|address| address.cluster());
                event.kind == EventKind::SyncEstablished && subject == Some(&cluster.name)
            });
            cluster.verified_at = proof.map(|event| event.at.clone());
        }
        self
    }
}

impl StatusDoc {
    /// Adds for which clusters monitors are paused at a moment.
    #[must_use]
    pub fn with_pauses(mut self, pauses: &BTreeMap<ClusterName, Pause>, at: Timestamp) -> Self {
        for cluster in &mut self.clusters {
            let pause = pauses.get(&cluster.name).filter(|pause| pause.holds(at.as_second()));
            cluster.paused = pause.map(PausedDoc::from);
        }
        self
    }
}

impl From<&Pause> for PausedDoc {
    fn from(pause: &Pause) -> Self {
        let until = pause.until.and_then(|until| Timestamp::from_second(until).ok());
        Self {
            by: pause.who.clone(),
            since: pause.since.clone(),
            until: until.map(|until| until.to_string()),
            reason: pause.reason.clone(),
        }
    }
}

impl ClusterStatus {
    fn new(name: &ClusterName, state: &State, observed: &Observed) -> Option<Self> {
        let cluster = state.clusters.get(name)?;
        let Health {
            state: condition,
            nodes,
            endpoints,
            problems,
        } = health::judge(name, state, observed);
        let nodes: Vec<NodeStatus> = nodes.into_iter().map(NodeStatus::from).collect();
        Some(Self {
            instance: InstanceRecord::new(condition, &nodes),
            name: name.clone(),
            state: condition,
            healthy: problems.is_empty(),
            engine: cluster.engine,
            version: cluster.version,
            replication: cluster.replication,
            term: state.elections.get(name).map(|election| election.term),
            verified: cluster.verified.as_ref().map(|verified| verified.marker.clone()),
            verified_at: None,
            paused: None,
            nodes,
            endpoints: endpoints
                .into_iter()
                .map(|endpoint| EndpointStatus::new(name, endpoint))
                .collect(),
            problems: problems.into_iter().map(|problem| problem.text).collect(),
        })
    }
}

impl InstanceRecord {
    fn new(condition: ClusterState, nodes: &[NodeStatus]) -> Self {
        let of = |role: &str| {
            let has = nodes.iter().filter(|node| node.role.as_deref() == Some(role));
            has.map(|node| node.node.clone()).collect::<Vec<String>>()
        };
        let standbys: Vec<&NodeStatus> = nodes
            .iter()
            .filter(|node| node.role.as_deref() == Some("standby"))
            .collect();
        let status = match condition {
            ClusterState::Stopped => None,
            ClusterState::Synchronized => Some(ReplicationStatus::Synchronized),
            ClusterState::Lagging => Some(ReplicationStatus::Lagging),
            ClusterState::Syncing => Some(ReplicationStatus::Syncing),
            ClusterState::Degraded | ClusterState::Broken => Some(ReplicationStatus::Broken),
        };
        let seconds = standbys.iter().filter_map(|standby| standby.lag_seconds);
        Self {
            replication_enabled: nodes.len() > 1,
            primary: of("primary").into_iter().next(),
            replication_status: status.filter(|_| nodes.len() > 1),
            lag_bytes: standbys
                .iter()
                .map(|standby| standby.lag_bytes)
                .collect::<Option<Vec<u64>>>()
                .and_then(|lags| lags.into_iter().max()),
            lag_seconds: seconds.reduce(f64::max),
            standbys: of("standby"),
            last_check: None,
        }
    }
}

impl From<NodeHealth> for NodeStatus {
    fn from(health: NodeHealth) -> Self {
        let NodeHealth {
            node,
            condition,
            recorded_role,
            seen_role,
            timeline,
            position,
            lag_bytes,
            lag_seconds,
            sync_state,
            slot,
            place,
            process,
        } = health;
        let seen_role = seen_role.map(str::to_owned);
        let differs = |recorded: &String| seen_role.as_ref().is_some_and(|seen| seen != recorded);
        Self {
            node: node.to_string(),
            recorded_role: recorded_role.clone().filter(differs),
            role: seen_role.or(recorded_role),
            state: condition.to_string(),
            timeline,
            position,
            lag_bytes,
            lag_seconds,
            sync_state,
            slot_active: slot.as_ref().and_then(|slot| slot.active),
            slot_kept_bytes: slot.as_ref().and_then(|slot| slot.kept_bytes),
            slot_wal_status: slot.as_ref().and_then(|slot| slot.wal_status.clone()),
            slot: slot.map(|slot| slot.name),
            address: place.map(|place| place.outer().to_string()),
            pid: process,
        }
    }
}

impl EndpointStatus {
    fn new(cluster: &ClusterName, health: EndpointHealth) -> Self {
        let EndpointHealth {
            name,
            target,
            hosts,
            pooler,
        } = health;
        let address = EndpointAddress {
            cluster: cluster.clone(),
            endpoint: name,
        };
        Self {
            name: address.endpoint.to_string(),
            target: target.to_string(),
            service: format!("service={}", address.service()),
            addresses: hosts.iter().map(ToString::to_string).collect(),
            pooler: pooler.map(|(condition, node)| format!("{} {condition}, to {node}", EngineKind::POOLER)),
        }
    }
}
