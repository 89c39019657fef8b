//! What answers are made of: a round, its clusters and their nodes, each with what is recorded and what was seen.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use simdb_planner::watch::{Alarm, Condition, Said, Standing, condition};
use simdb_providers::signs::{Report, Sender};
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Cluster, Election, FailoverMode, Node, Power, Role, State};
use simdb_state::position::Position;

use crate::monitor::board::{Round, Watched};

/// After how long a round says nothing about the present any more: the monitor itself stood still.
const STALE: Duration = Duration::from_secs(3);

/// A round, and how old it is.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) round: Arc<Round>,
    pub(super) age: Duration,
}

impl View {
    /// Returns a round as it is to be seen at a moment.
    pub(super) fn at(round: Arc<Round>, now: Timestamp) -> Self {
        // A wall clock that was set back makes a round no younger than new.
        let age = Duration::try_from(now.duration_since(round.at)).unwrap_or_default();
        Self { round, age }
    }

    /// Returns whether the round tells of the present.
    pub(super) fn is_fresh(&self) -> bool {
        self.round.number > 0 && self.age <= STALE
    }

    /// Returns whether this monitor may decide.
    pub(super) fn decides(&self) -> bool {
        self.round.standing == Standing::Decides
    }

    /// Returns the clusters, by name.
    pub(super) fn clusters(&self) -> impl Iterator<Item = ClusterView<'_>> {
        let watched = self.round.clusters.iter();
        watched.filter_map(|(name, watched)| {
            Some(ClusterView {
                view: self,
                name,
                recorded: self.round.state.clusters.get(name)?,
                watched,
            })
        })
    }

    /// Returns one cluster.
    pub(super) fn cluster(&self, name: &str) -> Option<ClusterView<'_>> {
        self.clusters().find(|cluster| cluster.name.as_str() == name)
    }
}

/// A cluster of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClusterView<'a> {
    pub(super) view: &'a View,
    pub(super) name: &'a ClusterName,
    pub(super) recorded: &'a Cluster,
    pub(super) watched: &'a Watched,
}

impl<'a> ClusterView<'a> {
    fn state(&self) -> &'a State {
        &self.view.round.state
    }

    /// Returns the nodes, by name.
    pub(super) fn nodes(&self) -> impl Iterator<Item = NodeView<'a>> + use<'a> {
        let cluster = *self;
        let nodes = cluster.state().nodes_of(cluster.name);
        nodes.map(move |(address, recorded)| NodeView {
            cluster,
            name: &address.node,
            recorded,
        })
    }

    /// Returns one node, by its name or by the name of its host: `r[0]` or `r-0`.
    pub(super) fn node(&self, name: &str) -> Option<NodeView<'a>> {
        self.nodes()
            .find(|node| node.name.to_string() == name || node.name.host() == name)
    }

    /// Returns the node that leads, as is recorded.
    pub(super) fn leader(&self) -> Option<NodeView<'a>> {
        let leader = self.state().leader(self.name)?;
        self.nodes().find(|node| *node.name == leader.node)
    }

    /// Returns the nodes that do not lead.
    pub(super) fn standbys(&self) -> impl Iterator<Item = NodeView<'a>> + use<'a> {
        self.nodes().filter(|node| !node.leads())
    }

    /// Returns the last election.
    pub(super) fn election(&self) -> Option<&'a Election> {
        self.state().elections.get(self.name)
    }

    /// Returns the number of the last election; 0 before the first.
    pub(super) fn term(&self) -> u64 {
        self.election().map_or(0, |election| election.term.0)
    }

    /// Returns the timeline that the leader writes, as it said last.
    pub(super) fn timeline(&self) -> Option<u32> {
        let said = self.leader()?.report()?.progress.timeline;
        Some(said)
    }

    /// Returns whether all of its servers are to be down.
    pub(super) fn is_stopped(&self) -> bool {
        self.nodes().all(|node| node.recorded.power == Power::Stopped)
    }

    /// Returns whether the monitor may let another node lead.
    pub(super) fn is_automatic(&self) -> bool {
        self.recorded.failover.mode == FailoverMode::Automatic
    }

    /// Returns how many standbys commits are to wait for.
    pub(super) fn required(&self) -> u32 {
        self.recorded.synchronous_standbys
    }

    /// Returns how many standbys the leader counts that commits may wait for.
    pub(super) fn synchronous(&self) -> u32 {
        let standbys = self.standbys().filter(|node| node.sync().confirms());
        u32::try_from(standbys.count()).unwrap_or(u32::MAX)
    }

    /// Returns how many commits wait.
    pub(super) fn waiting(&self) -> u32 {
        self.leader()
            .and_then(|leader| leader.said())
            .map_or(0, |said| said.waiting)
    }

    /// Returns when the lead last passed because the primary was lost, as far as the monitor remembers.
    pub(super) fn last_failover(&self) -> Option<Timestamp> {
        let ago = self.watched.history.failovers.iter().min()?;
        self.view.round.at.checked_sub(*ago).ok()
    }

    /// Returns why the cluster is not as it should be; nothing where it is, or where it is to be down.
    pub(super) fn reasons(&self) -> Vec<String> {
        if !self.view.is_fresh() {
            return vec!["the monitor's last round is too old to tell".to_owned()];
        }
        if self.is_stopped() {
            return Vec::new();
        }
        let mut reasons = Vec::new();
        if !self.leader().is_some_and(|leader| leader.serves_writes()) {
            reasons.push("no node is seen to lead".to_owned());
        }
        let running = self.nodes().filter(|node| node.recorded.power == Power::Running);
        let down = running.filter(|node| node.health() != Health::Running);
        reasons.extend(down.map(|node| format!("{} is {}", node.name, node.health().words())));
        if self.synchronous() < self.required() {
            let (seen, required) = (self.synchronous(), self.required());
            reasons.push(format!("commits are protected by {seen} of {required} standbys"));
        }
        let alarms = self.watched.judgement.alarms.iter();
        let alarms = alarms.filter(|alarm| !matches!(alarm, Alarm::NodeLost(_)));
        reasons.extend(alarms.map(ToString::to_string));
        reasons
    }
}

/// How a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// It answers, or did a moment ago.
    Running,
    /// It starts or recovers.
    Starting,
    /// It is down, and is to be.
    Stopped,
    /// It is down, or does not do its part.
    Crashed,
    /// Its data is not there yet.
    Creating,
    /// Nothing is known of it.
    Unknown,
}

impl Health {
    pub(super) fn words(self) -> &'static str {
        match self {
            Health::Running => "running",
            Health::Starting => "starting",
            Health::Stopped => "stopped",
            Health::Crashed => "crashed",
            Health::Creating => "creating replica",
            Health::Unknown => "unknown",
        }
    }
}

/// Whether commits wait for a standby, as its upstream sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// They wait for it.
    Sync,
    /// They wait for it or for others.
    Quorum,
    /// They would where one of those is lost that they wait for.
    Potential,
    /// They do not.
    Async,
    /// Nobody says so: it does not stream, or its upstream is not seen.
    Unknown,
}

impl Awaited {
    /// Every state.
    pub(super) const ALL: [Awaited; 5] = [
        Awaited::Sync,
        Awaited::Quorum,
        Awaited::Potential,
        Awaited::Async,
        Awaited::Unknown,
    ];

    pub(super) fn words(self) -> &'static str {
        match self {
            Awaited::Sync => "sync",
            Awaited::Quorum => "quorum",
            Awaited::Potential => "potential",
            Awaited::Async => "async",
            Awaited::Unknown => "unknown",
        }
    }

    fn confirms(self) -> bool {
        matches!(self, Awaited::Sync | Awaited::Quorum)
    }
}

/// A node of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct NodeView<'a> {
    pub(super) cluster: ClusterView<'a>,
    pub(super) name: &'a NodeName,
    pub(super) recorded: &'a Node,
}

impl<'a> NodeView<'a> {
    /// Returns what its server last said, and when.
    fn reported(&self) -> Option<&'a (Report, Timestamp)> {
        self.cluster.watched.reports.get(self.name)
    }

    /// Returns what its server last said.
    pub(super) fn report(&self) -> Option<&'a Report> {
        self.reported().map(|(report, _)| report)
    }

    /// Returns how long ago its server last answered.
    pub(super) fn last_seen(&self) -> Option<Duration> {
        let (_, at) = self.reported()?;
        let view = self.cluster.view;
        let before = Duration::try_from(view.round.at.duration_since(*at)).unwrap_or_default();
        Some(before + view.age)
    }

    /// Returns what its server last said, in the light of what the primary said.
    pub(super) fn said(&self) -> Option<&'a Said> {
        self.cluster.watched.evidence.get(self.name)?.said.as_ref()
    }

    /// Returns the monitor's own judgement.
    pub(super) fn condition(&self) -> Condition {
        if !self.cluster.view.is_fresh() {
            return Condition::Unknown;
        }
        let evidence = self.cluster.watched.evidence.get(self.name);
        let within = self.cluster.recorded.failover.restart_within;
        evidence.map_or(Condition::Unknown, |evidence| condition(evidence, within))
    }

    /// Returns how its server is.
    pub(super) fn health(&self) -> Health {
        match self.condition() {
            // A server that misses an answer or two is not down: clients that are sent away come back to nothing better.
            Condition::Alive | Condition::Suspect(_) => Health::Running,
            Condition::Starting => Health::Starting,
            Condition::Lost(_) if self.recorded.power == Power::Stopped => Health::Stopped,
            Condition::Lost(_) => Health::Crashed,
            Condition::Unknown if self.recorded.data.is_none() => Health::Creating,
            Condition::Unknown => Health::Unknown,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        self.health() == Health::Running
    }

    /// Returns whether it leads, as is recorded.
    pub(super) fn leads(&self) -> bool {
        self.recorded.writes()
    }

    /// Returns whether it runs, takes writes, and is the one that may: what is recorded and what is seen agree.
    pub(super) fn serves_writes(&self) -> bool {
        self.is_running() && self.leads() && self.said().is_some_and(|said| said.writes)
    }

    /// Returns whether it runs, and replays what another node writes.
    pub(super) fn is_replica(&self) -> bool {
        self.is_running() && !self.leads() && self.said().is_some_and(|said| !said.writes)
    }

    /// Returns whether its server takes writes, as it says itself.
    pub(super) fn writes(&self) -> bool {
        self.is_running() && self.said().is_some_and(|said| said.writes)
    }

    /// Returns whether it streams from its upstream.
    pub(super) fn streams(&self) -> bool {
        self.is_replica() && self.said().is_some_and(|said| said.streams)
    }

    /// Returns its role, as is recorded.
    pub(super) fn role(&self) -> &'static str {
        match &self.recorded.role {
            Some(Role::Primary { .. }) => "primary",
            Some(Role::Standby { .. }) => "standby",
            Some(Role::Fenced { .. }) => "fenced",
            None => "none",
        }
    }

    /// Returns the node it follows.
    pub(super) fn follows(&self) -> Option<&'a NodeName> {
        self.recorded.role.as_ref().and_then(Role::follows)
    }

    /// Returns what its upstream says of it, where that is seen.
    pub(super) fn sender(&self) -> Option<&'a Sender> {
        let upstream = self.follows()?;
        let upstream = self.cluster.nodes().find(|node| node.name == upstream)?;
        let seen = upstream.is_running();
        seen.then(|| upstream.report()?.senders.get(&self.name.identifier()))
            .flatten()
    }

    /// Returns whether commits wait for it.
    pub(super) fn sync(&self) -> Awaited {
        let sender = self.sender().filter(|sender| sender.streams);
        match sender.map(|sender| sender.sync_state.as_str()) {
            Some("sync") => Awaited::Sync,
            Some("quorum") => Awaited::Quorum,
            Some("potential") => Awaited::Potential,
            Some("async") => Awaited::Async,
            _ => Awaited::Unknown,
        }
    }

    /// Returns how far it has come: written, or received.
    pub(super) fn position(&self) -> Option<&'a Position> {
        Some(&self.report()?.progress.position)
    }

    /// Returns how many bytes of the leader's log it has yet to replay; absent where that is not known.
    pub(super) fn lag_bytes(&self) -> Option<u64> {
        self.behind(|report| &report.replayed)
    }

    /// Returns how many bytes of the leader's log it has yet to receive.
    pub(super) fn receive_lag_bytes(&self) -> Option<u64> {
        self.behind(|report| &report.progress.position)
    }

    fn behind(&self, reached: impl Fn(&Report) -> &Position) -> Option<u64> {
        let leader = self.cluster.leader()?;
        let report = self.report()?;
        leader.position()?.ahead_of(reached(report))?.bytes()
    }

    /// Returns how long ago the last thing was written that it has yet to replay. While it does not stream, that is at least the
    /// time since it was seen.
    pub(super) fn lag(&self) -> Option<Duration> {
        if self.leads() {
            return None;
        }
        let lag = self.said().and_then(|said| said.lag)?;
        if self.is_running() {
            Some(lag)
        } else {
            self.last_seen().map(|seen| lag.max(seen))
        }
    }

    /// Returns where others reach it.
    pub(super) fn peer(&self) -> Option<&'a simdb_state::place::HostPort> {
        self.recorded.place.as_ref().map(|place| &place.peers)
    }
}

/// Returns a position as the number of bytes before it, and that of an engine that counts no bytes as the number of its
/// transactions.
pub(super) fn bytes(position: &Position) -> u64 {
    match position {
        Position::Wal(lsn) => lsn.0,
        Position::Gtid(position) => position.transactions().map(|gtid| gtid.sequence).sum(),
    }
}
