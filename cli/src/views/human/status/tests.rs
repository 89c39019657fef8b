use std::collections::BTreeMap;

use anstream::adapter::strip_str;
use expect_test::expect;
use serde_json::json;
use simdb_planner::engine::NodeContext;
use simdb_planner::engine::parameters::Release;
use simdb_planner::engine::postgresql::instance;
use simdb_planner::health;
use simdb_planner::observed::{
    FileFacts, Halt, NodeFacts, Observation, Observed, ProcessFacts, RouteFacts, SenderFacts, ServerFacts, SlotFacts,
};
use simdb_state::address::NodeAddress;
use simdb_state::identity::DataIdentity;
use simdb_state::lsn::Lsn;
use simdb_state::object::{
    Cluster, Data, Election, ElectionReason, Endpoint, EndpointTarget, EngineKind, Node, Origin, Power, Role, Slot,
    State, Term,
};
use simdb_state::place::{Bind, Place};
use simdb_state::route::Hints;
use simdb_state::sync::SyncRule;

use super::*;

fn place(port: u16) -> Place {
    Place::shared(Bind {
        host: simdb_state::instance::LOOPBACK,
        port,
    })
}

fn address(node: &str) -> NodeAddress {
    format!("cluster.orders.node.{node}").parse().unwrap()
}

fn node(role: Role, port: u16, slot: Option<&str>) -> Node {
    Node {
        place: Some(place(port)),
        data: Some(Data {
            generation: 1,
            identity: DataIdentity::from(7),
            origin: Origin::Initialized,
            outside: None,
        }),
        slot: slot.map(|name| Slot {
            upstream: "a".parse().unwrap(),
            name: name.to_owned(),
        }),
        role: Some(role),
        power: Power::Running,
        ..Node::default()
    }
}

fn state() -> State {
    let mut state = State::default();
    let name: simdb_state::name::ClusterName = "orders".parse().unwrap();
    let cluster = Cluster::new(
        simdb_state::object::first_platform(),
        "lan".parse().unwrap(),
        EngineKind::Postgresql,
        15,
    );
    let election = Election {
        term: Term(1),
        primary: "a".parse().unwrap(),
        pin: None,
        reason: ElectionReason::Birth,
        chosen: false,
        switch: None,
    };
    state.clusters.insert(name.clone(), cluster);
    state.elections.insert(name, election);
    let standby = Role::Standby {
        follows: "a".parse().unwrap(),
    };
    state
        .nodes
        .insert(address("a"), node(Role::Primary { term: Term(1) }, 5433, None).into());
    state
        .nodes
        .insert(address("r[0]"), node(standby, 5434, Some("r_0")).into());
    let endpoint = Endpoint {
        target: EndpointTarget::Primary,
        nodes: vec!["a".parse().unwrap()],
        hosts: vec![place(5433).peers],
        pooler: None,
    };
    state
        .endpoints
        .insert("cluster.orders.endpoint.rw".parse().unwrap(), endpoint);
    state
}

fn server(in_recovery: bool, position: u64) -> ServerFacts {
    let facts = json!({
        "in_recovery": in_recovery,
        "system_identifier": "7",
        "timeline": 1,
        "position": Lsn(position),
        "replayed": Lsn(position),
        "replay_paused": false,
        "replay_lag_seconds": null,
        "senders": {},
        "slots": {},
        "receiver": null,
        "users": {},
    });
    serde_json::from_value(facts).unwrap()
}

fn seen(server: ServerFacts) -> Observation<NodeFacts> {
    Observation::Seen(NodeFacts {
        process: ProcessFacts::Running { pid: 4711 },
        server: Some(Observation::Seen(server)),
        ..NodeFacts::default()
    })
}

/// A primary that its standby streams from.
fn primary() -> ServerFacts {
    let mut primary = server(false, 0x0300_0148);
    let sender = SenderFacts {
        state: "streaming".to_owned(),
        sync_state: "async".to_owned(),
        flushed: None,
        replayed: None,
    };
    let slot = SlotFacts {
        active: true,
        wal_status: Some("reserved".to_owned()),
        restart: Some(Lsn(0x0300_0060)),
        database: None,
        transient: false,
    };
    primary.senders.insert("r_0".to_owned(), sender);
    primary.slots.insert("r_0".to_owned(), slot);
    primary
}

fn observed(primary: Observation<NodeFacts>, standby: Observation<NodeFacts>) -> Observed {
    let route = RouteFacts {
        hosts: vec![place(5433).peers],
        hints: Hints::default(),
    };
    Observed {
        nodes: BTreeMap::from([(address("a"), primary), (address("r[0]"), standby)]),
        endpoints: BTreeMap::from([("cluster.orders.endpoint.rw".parse().unwrap(), Observation::Seen(route))]),
        ..Observed::default()
    }
}

fn status(observed: &Observed) -> StatusDoc {
    let state = state();
    StatusDoc::new(state.clusters.keys(), &state, observed)
}

#[test]
fn a_cluster_whose_standbys_stream_is_healthy() {
    let healthy = status(&observed(seen(primary()), seen(server(true, 0x0300_0060))));
    assert!(healthy.healthy);
    expect![[r#"
        cluster orders: synchronized (postgresql 15, async, term 1)

          Node  Role     State      TL  LSN        Lag    Sync   Slot   Address
          a     primary  running    1   0/3000148  -      -      -      127.0.0.1:5433
          r[0]  standby  streaming  1   0/3000060  232 B  async  232 B  127.0.0.1:5434

          Endpoint  Target   Connection         Leads to
          rw        primary  service=orders-rw  127.0.0.1:5433
    "#]]
    .assert_eq(&strip_str(&render(&healthy, 80)).to_string());
}

#[test]
fn every_problem_is_named() {
    let mut lagging = server(true, 0x0100_0000);
    lagging.timeline = 2;
    lagging.replay_paused = true;
    lagging.replay_lag_seconds = Some(12.34);
    let mut lonely = primary();
    lonely.senders.clear();
    lonely.slots.get_mut("r_0").unwrap().wal_status = Some("lost".to_owned());
    let mut facts = observed(seen(lonely), seen(lagging));
    facts
        .endpoints
        .insert("cluster.orders.endpoint.rw".parse().unwrap(), Observation::Absent);
    let sick = status(&facts);
    assert!(!sick.healthy);
    expect![[r#"
        cluster orders: degraded (postgresql 15, async, term 1)

          Node  Role     State    TL  LSN        Lag             Sync  Slot
          a     primary  running  1   0/3000148  -               -     -
                127.0.0.1:5433
          r[0]  standby  running  2   0/1000000  32.0 MB, 12.3s  -     lost, 232 B
                127.0.0.1:5434

          Endpoint  Target   Connection         Leads to
          rw        primary  service=orders-rw

          Problems:
            - r[0] has its replay paused
            - r[0] is 32.0 MB behind, and may be 16.0 MB
            - r[0] is on timeline 2, a on 1
            - r[0] can no longer catch up: a has thrown away the log that slot r_0 kept
            - r[0] does not stream from a
            - endpoint rw is gone
    "#]]
    .assert_eq(&strip_str(&render(&sick, 80)).to_string());
}

#[test]
fn what_cannot_be_reached_is_down_absent_or_unknown() {
    let problems = |primary, standby| status(&observed(primary, standby)).clusters.remove(0).problems;
    let down = Observation::Seen(NodeFacts::default());
    expect![[r#"
        [
            "a is down",
            "r[0] is gone: nothing is where its data was",
        ]
    "#]]
    .assert_debug_eq(&problems(down, Observation::Absent));
    let unknown = Observation::Unknown("it did not answer within 2 s".to_owned());
    expect![[r#"
        [
            "a is unknown: it did not answer within 2 s",
            "r[0] writes, though it is a standby",
        ]
    "#]]
    .assert_debug_eq(&problems(unknown, seen(server(false, 1))));
}

#[test]
fn what_was_stopped_on_request_is_no_problem() {
    let mut state = state();
    state.nodes.values_mut().for_each(|node| node.stopped_by_request = true);
    let down = || Observation::Seen(NodeFacts::default());
    let stopped = StatusDoc::new(state.clusters.keys(), &state, &observed(down(), down()));
    let text = strip_str(&render(&stopped, 80)).to_string();
    assert!(stopped.healthy && text.starts_with("cluster orders: stopped"), "{text}");
}

#[test]
fn a_frozen_server_is_a_problem() {
    let frozen = Observation::Seen(NodeFacts {
        process: ProcessFacts::Frozen {
            pid: 4711,
            by: Halt::Signal,
        },
        ..NodeFacts::default()
    });
    let status = status(&observed(seen(primary()), frozen));
    assert_eq!(status.clusters[0].problems, ["r[0] is frozen: SIGSTOP halted it"]);
}

/// Returns how the cluster is, and what is wrong with it.
fn judged(primary: Observation<NodeFacts>, standby: Observation<NodeFacts>) -> (ClusterState, Vec<String>) {
    let cluster = status(&observed(primary, standby)).clusters.remove(0);
    assert_eq!(cluster.healthy, cluster.problems.is_empty());
    (cluster.state, cluster.problems)
}

/// A primary that says this of its standby.
fn primary_whose_standby(state: &str) -> ServerFacts {
    let mut primary = primary();
    state.clone_into(&mut primary.senders.get_mut("r_0").unwrap().state);
    primary
}

/// A primary that was started after a crash, and does not let its clients in yet.
fn without_clients() -> Observation<NodeFacts> {
    let address = address("a");
    let instance = instance::without_clients(&NodeContext {
        made_as: address.clone(),
        address: &address,
        release: Release {
            engine: EngineKind::Postgresql,
            version: 15,
        },
        image: None,
        resources: simdb_state::object::Resources::default(),
        place: place(5433),
        parameters: &BTreeMap::new(),
        generation: 1,
        outside: false,
        has_peers_elsewhere: false,
        upstream: None,
        sync_rule: SyncRule::default(),
        replication_password: instance::replication_password(&address.cluster),
    });
    let file = FileFacts {
        digest: instance.files.get(instance::HBA).unwrap().digest(),
        edited: false,
    };
    Observation::Seen(NodeFacts {
        process: ProcessFacts::Running { pid: 4711 },
        files: BTreeMap::from([(instance::HBA.to_owned(), file)]),
        server: Some(Observation::Seen(primary())),
        ..NodeFacts::default()
    })
}

#[test]
fn a_cluster_is_the_worst_that_holds() {
    let position = 0x0300_0148;
    let streaming = || server(true, position);
    let down = || Observation::Seen(NodeFacts::default());
    let starting = || {
        Observation::Seen(NodeFacts {
            process: ProcessFacts::Running { pid: 1 },
            ..NodeFacts::default()
        })
    };
    let unknown = || Observation::Unknown("no answer".to_owned());
    let mut paused = streaming();
    paused.replay_paused = true;
    let mut ahead = primary();
    ahead.position = Lsn(position + (16 << 20));
    let mut too_far = ahead.clone();
    too_far.position = Lsn(position + (16 << 20) + 1);
    let mut slotless = primary();
    slotless.slots.clear();
    let mut inactive = primary();
    inactive.senders.clear();
    let mut foreign = streaming();
    foreign.system_identifier = DataIdentity::from(8);
    let mut other_timeline = streaming();
    other_timeline.timeline = 2;
    for (what, primary, standby, expected) in vec![
        (
            "streams",
            seen(primary()),
            seen(streaming()),
            ClusterState::Synchronized,
        ),
        (
            "as far behind as it may be",
            seen(ahead),
            seen(streaming()),
            ClusterState::Synchronized,
        ),
        (
            "a byte further",
            seen(too_far),
            seen(streaming()),
            ClusterState::Lagging,
        ),
        ("paused", seen(primary()), seen(paused), ClusterState::Lagging),
        (
            "catches up",
            seen(primary_whose_standby("catchup")),
            seen(streaming()),
            ClusterState::Syncing,
        ),
        ("starts", seen(primary()), starting(), ClusterState::Syncing),
        ("down", seen(primary()), down(), ClusterState::Degraded),
        ("unknown", seen(primary()), unknown(), ClusterState::Degraded),
        (
            "without a slot",
            seen(slotless),
            seen(streaming()),
            ClusterState::Degraded,
        ),
        (
            "streams from nobody",
            seen(inactive),
            seen(streaming()),
            ClusterState::Degraded,
        ),
        (
            "on another timeline",
            seen(primary()),
            seen(other_timeline),
            ClusterState::Degraded,
        ),
        ("primary down", down(), seen(streaming()), ClusterState::Broken),
        ("primary unknown", unknown(), seen(streaming()), ClusterState::Broken),
        ("primary starts", starting(), seen(streaming()), ClusterState::Broken),
        (
            "lets no clients in",
            without_clients(),
            seen(streaming()),
            ClusterState::Broken,
        ),
        (
            "nobody writes",
            seen(streaming()),
            seen(streaming()),
            ClusterState::Broken,
        ),
        ("foreign data", seen(primary()), seen(foreign), ClusterState::Broken),
        (
            "two write",
            seen(primary()),
            seen(server(false, 1)),
            ClusterState::Broken,
        ),
        ("the other writes", down(), seen(server(false, 1)), ClusterState::Broken),
    ] {
        assert_eq!(judged(primary, standby).0, expected, "{what}");
    }
}

#[test]
fn two_servers_that_take_writes_are_a_split_brain_with_a_way_out() {
    let mut promoted = server(false, 0x0300_0200);
    promoted.timeline = 2;
    let status = status(&observed(seen(primary()), seen(promoted)));
    expect![[r#"
        cluster orders: broken (postgresql 15, async, term 1)

          Node  Role                         State    TL  LSN        Lag  Sync  Slot
          a     primary                      running  1   0/3000148  -    -     -
                127.0.0.1:5433
          r[0]  primary (recorded: standby)  running  2   0/3000200  -    -     -
                127.0.0.1:5434

          Endpoint  Target   Connection         Leads to
          rw        primary  service=orders-rw  127.0.0.1:5433

          Problems:
            - split brain: a (timeline 1, at 0/3000148) and r[0] (timeline 2, at
              0/3000200) take writes, and none has what the others commit. Let no client
              write any more. Find out which node has the writes worth keeping (simdb
              psql orders.a, simdb psql orders.r[0]), and save what you need from the
              others. To give up the writes of one, run: simdb resync orders r[0]
            - r[0] writes, though it is a standby
    "#]]
    .assert_eq(&strip_str(&render(&status, 80)).to_string());
}

#[test]
fn commits_that_wait_for_nobody_are_told() {
    let mut state = state();
    let cluster = state.clusters.values_mut().next().unwrap();
    cluster.sync_rule = "ANY 1 (r_0)".into();
    let problems = |primary: ServerFacts| {
        let observed = observed(seen(primary), seen(server(true, 0x0300_0148)));
        let mut status = StatusDoc::new(state.clusters.keys(), &state, &observed);
        status.clusters.remove(0).problems
    };
    assert_eq!(
        problems(primary()),
        ["a waits with every commit for 1 standby, and 0 can confirm it"]
    );
    let mut confirmed = primary();
    "quorum".clone_into(&mut confirmed.senders.get_mut("r_0").unwrap().sync_state);
    assert!(problems(confirmed).is_empty());
}

#[test]
fn a_proof_is_told_with_its_time_as_long_as_it_holds() {
    use simdb_state::journal::{Event, EventKind};
    let proof = |at: &str, cluster: &str| Event {
        at: at.to_owned(),
        run: None,
        kind: EventKind::SyncEstablished,
        step: None,
        addresses: vec![cluster.parse().unwrap()],
        position: None,
        term: None,
    };
    let events = [
        proof("2026-01-01T00:00:00Z", "cluster.orders"),
        proof("2026-01-02T00:00:00Z", "cluster.orders"),
        proof("2026-01-03T00:00:00Z", "cluster.other"),
    ];
    let mut state = state();
    let facts = observed(seen(primary()), seen(server(true, 0x0300_0148)));
    let told = |state: &State| {
        let status = StatusDoc::new(state.clusters.keys(), state, &facts).with_times(&events);
        status.clusters[0].verified_at.clone()
    };
    assert_eq!(told(&state), None, "nothing is proven");
    state.clusters.values_mut().next().unwrap().verified = Some(simdb_state::object::Verified {
        topology: String::new(),
        term: Term(1),
        marker: Lsn(7).into(),
    });
    assert_eq!(told(&state).as_deref(), Some("2026-01-02T00:00:00Z"));
}

#[test]
fn the_record_of_an_instance_says_how_its_replication_is() {
    let record = |primary, standby| {
        let mut status = status(&observed(primary, standby)).checked("2026-01-02T00:00:00Z");
        serde_json::to_value(status.clusters.remove(0).instance).expect("it is plain data")
    };
    let near = record(seen(primary()), seen(server(true, 0x0300_0148)));
    let expected = serde_json::json!({
        "replication_enabled": true,
        "primary": "a",
        "standbys": ["r[0]"],
        "replication_status": "synchronized",
        "lag_bytes": 0,
        "lag_seconds": null,
        "last_check": "2026-01-02T00:00:00Z",
    });
    assert_eq!(near, expected);
    let behind = record(seen(primary()), seen(server(true, 0x0300_0048)));
    assert_eq!(behind["lag_bytes"], 0x100);
    let gone = record(seen(primary()), Observation::Seen(NodeFacts::default()));
    assert_eq!(
        (&gone["replication_status"], &gone["lag_bytes"]),
        (&"broken".into(), &serde_json::Value::Null)
    );
}

#[test]
fn lag_and_split_brain_are_worth_keeping() {
    let kept = |primary, standby| {
        let kept = health::noticed(&state(), &observed(primary, standby)).into_iter();
        kept.map(|event| format!("{} {}", event.kind.name(), event.subject))
            .collect::<Vec<_>>()
    };
    let behind = server(true, 0x0100_0000);
    assert_eq!(
        kept(seen(primary()), seen(behind)),
        ["lag_detected cluster.orders.node.r[0]"]
    );
    assert_eq!(
        kept(seen(primary()), seen(server(false, 1))),
        ["split_brain cluster.orders"]
    );
    assert!(kept(seen(primary()), seen(server(true, 0x0300_0148))).is_empty());
}
