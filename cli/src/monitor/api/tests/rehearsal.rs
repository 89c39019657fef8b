//! A round without servers: cluster orders with primary a, the synchronous standby r[0], and r[1], for which no commit waits.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use simdb_planner::watch::{NodeEvidence, Process, Said, Sign, SlotState, Standing};
use simdb_providers::signs::{Report, Sender, Slot};
use simdb_state::address::NodeAddress;
use simdb_state::identity::DataIdentity;
use simdb_state::lsn::Lsn;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{
    Cluster, Data, Election, ElectionReason, EngineKind, Node, Origin, Power, ReplicationMode, Role, State, Switch,
    Term, Verdict, first_platform,
};
use simdb_state::place::{Bind, Place};
use simdb_state::position::{Position, Progress};

use crate::monitor::board::{Event, Kind, Round, Watched};

/// The end of the primary's log.
pub(super) const END: u64 = 0x400_0430;

pub(crate) struct Rehearsal {
    pub(crate) round: Round,
}

pub(crate) fn at() -> Timestamp {
    "2026-12-01T06:00:00Z".parse().unwrap()
}

pub(super) fn position(bytes: u64) -> Position {
    Position::Wal(Lsn(bytes))
}

pub(super) fn name(host: &str) -> NodeName {
    match host.split_once('-') {
        Some((block, index)) => format!("{block}[{index}]").parse().unwrap(),
        None => host.parse().unwrap(),
    }
}

pub(super) fn event(number: u64, kind: Kind) -> Event {
    Event {
        number,
        at: at(),
        kind,
        cluster: Some("orders".parse().unwrap()),
        node: Some(name("a")),
        term: Some(Term(2)),
        text: "its process ended".to_owned(),
    }
}

fn address(cluster: &str, host: &str) -> NodeAddress {
    NodeAddress {
        cluster: cluster.parse().unwrap(),
        node: name(host),
    }
}

fn node(port: u16, role: Role) -> Node {
    let bind = Bind {
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        port,
    };
    Node {
        place: Some(Place::shared(bind)),
        data: Some(Data {
            generation: 1,
            identity: DataIdentity::from(7_300_000_000_000_000_001),
            origin: Origin::Initialized,
            outside: None,
        }),
        role: Some(role),
        power: Power::Running,
        ..Node::default()
    }
}

fn report(writes: bool) -> Report {
    Report {
        writes,
        progress: Progress {
            timeline: 2,
            position: position(END),
        },
        replayed: position(END),
        behind: None,
        paused: false,
        receives: !writes,
        senders: BTreeMap::new(),
        slots: BTreeMap::new(),
        archived: None,
        waiting: 0,
        started: Some(at().as_second() - 3_600),
        version: Some(150_018),
    }
}

fn slot() -> Slot {
    Slot {
        state: SlotState::Kept,
        active: true,
        retained: Some(4_096),
        safe: Some(64 << 20),
        limit: Some(128 << 20),
    }
}

fn sender(sync_state: &str) -> Sender {
    Sender {
        streams: true,
        sync_state: sync_state.to_owned(),
        flushed: Some(position(END)),
        replayed: Some(position(END)),
    }
}

fn evidence(writes: bool) -> NodeEvidence {
    NodeEvidence {
        process: Process::Runs,
        has_data: Some(true),
        answer: Sign::Alive,
        entry: Sign::Alive,
        commit: if writes { Sign::Alive } else { Sign::Unwatched },
        said: Some(Said {
            writes,
            progress: report(writes).progress,
            streams: !writes,
            lag_bytes: (!writes).then_some(0),
            lag: (!writes).then_some(Duration::ZERO),
            slot: SlotState::Kept,
            diverged: false,
            archive_fails: false,
            waiting: 0,
        }),
        ..NodeEvidence::default()
    }
}

fn recorded(state: &mut State, cluster: &str) {
    let cluster_name: ClusterName = cluster.parse().unwrap();
    let mut recorded = Cluster::new(first_platform(), "default".parse().unwrap(), EngineKind::Postgresql, 15);
    recorded.replication = ReplicationMode::Sync;
    recorded.synchronous_standbys = 1;
    state.clusters.insert(cluster_name.clone(), recorded);
    let standby = || Role::Standby { follows: name("a") };
    let roles = [
        ("a", Role::Primary { term: Term(2) }),
        ("r-0", standby()),
        ("r-1", standby()),
    ];
    for (port, (host, role)) in (5_433..).zip(roles) {
        state.nodes.insert(address(cluster, host), node(port, role).into());
    }
    let election = Election {
        term: Term(2),
        primary: name("a"),
        pin: None,
        reason: ElectionReason::Failover,
        chosen: false,
        switch: Some(Switch {
            timeline: Some(2),
            point: position(0x300_0000),
            verdict: Verdict::Argued {
                responders: 1,
                waited: 1,
                listed: 1,
            },
        }),
    };
    state.elections.insert(cluster_name, election);
}

fn watched() -> Watched {
    let mut watched = Watched::default();
    for (host, writes) in [("a", true), ("r-0", false), ("r-1", false)] {
        watched.evidence.insert(name(host), evidence(writes));
        watched.reports.insert(name(host), (report(writes), at()));
    }
    let primary = &mut watched.reports.get_mut(&name("a")).unwrap().0;
    for (host, sync_state) in [("r-0", "sync"), ("r-1", "async")] {
        primary.senders.insert(name(host).identifier(), sender(sync_state));
        primary.slots.insert(name(host).identifier(), slot());
    }
    primary.archived = Some(true);
    watched.history.failovers = vec![Duration::from_mins(10)];
    watched
}

impl Rehearsal {
    pub(crate) fn new() -> Self {
        let mut state = State::default();
        recorded(&mut state, "orders");
        let round = Round {
            number: 7,
            at: at(),
            started: at(),
            who: "ann@east".to_owned(),
            standing: Standing::Decides,
            at_work: None,
            late: Duration::ZERO,
            took: Duration::from_millis(1),
            state: Arc::new(state),
            serial: 12,
            store_away: None,
            clusters: BTreeMap::from([("orders".parse().unwrap(), watched())]),
        };
        Self { round }
    }

    /// Puts another cluster of the same shape beside the first one.
    pub(super) fn beside(mut self, cluster: &str) -> Self {
        recorded(Arc::make_mut(&mut self.round.state), cluster);
        self.round.clusters.insert(cluster.parse().unwrap(), watched());
        self
    }

    pub(super) fn watched(&mut self) -> &mut Watched {
        self.round.clusters.values_mut().next().unwrap()
    }

    pub(super) fn cluster(&mut self) -> &mut Cluster {
        let state = Arc::make_mut(&mut self.round.state);
        state.clusters.values_mut().next().unwrap()
    }

    pub(super) fn node(&mut self, host: &str) -> &mut Node {
        let state = Arc::make_mut(&mut self.round.state);
        state.nodes.get_mut(&address("orders", host)).unwrap()
    }

    /// Changes what was seen of one node.
    pub(super) fn with(mut self, host: &str, change: impl FnOnce(&mut NodeEvidence, &mut Report)) -> Self {
        let watched = self.watched();
        let evidence = watched.evidence.get_mut(&name(host)).unwrap();
        let report = &mut watched.reports.get_mut(&name(host)).unwrap().0;
        change(evidence, report);
        self
    }
}
