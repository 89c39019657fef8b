//! The format on disk, held still by `testdata/format-3.json`, and those before it: what was written once is read for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::backend::{Token, Version};
use crate::delta::Outputs;
use crate::identity::DataIdentity;
use crate::journal::{Event, EventKind, RunRow, RunStatus, StepRow};
use crate::lock::Owner;
use crate::lsn::Lsn;
use crate::object::{
    Cluster, CommitLevel, Data, Database, Election, ElectionReason, Endpoint, EndpointTarget, EngineKind,
    FailoverPolicy, FenceProof, Loss, MAX_LAG, Network, Node, OnStandbyLoss, Origin, Output, PoolMode, Power,
    ReplicationMode, Resources, Role, Seed, Slot, Switch, Term, User, Verdict, Verified, Witness, first_platform,
};
use crate::place::{Bind, Place};
use crate::position::{Distance, Position};
use crate::run::Took;
use crate::shared::Shared;

/// What version 0.1.0 wrote in format 1.
const FORMAT_1: &str = include_str!("../../testdata/format-1.json");

/// What version 0.1.0 wrote in format 2, later.
const FORMAT_2: &str = include_str!("../../testdata/format-2.json");

const TESTDATA: &str = include_str!("../../testdata/format-3.json");

fn testdata() -> BTreeMap<String, Value> {
    serde_json::from_str(TESTDATA).unwrap()
}

fn rows(text: &str) -> Vec<Row> {
    let values: BTreeMap<String, Value> = serde_json::from_str(text).unwrap();
    let row = |(key, value)| Row {
        key: Key::new(key),
        version: Version(1),
        bytes: encode(&value).into(),
    };
    values.into_iter().map(row).collect()
}

fn at(lsn: u64) -> Position {
    Position::Wal(Lsn(lsn))
}

fn place(port: u16) -> Place {
    Place::shared(Bind {
        host: "127.0.0.1".parse().unwrap(),
        port,
    })
}

fn nodes() -> BTreeMap<crate::address::NodeAddress, Shared<Node>> {
    let primary = Node {
        platform: None,
        place: Some(place(5432)),
        image: None,
        resources: Resources::default(),
        parameters: BTreeMap::from([("max_connections".to_owned(), "50".to_owned())]),
        data: Some(Data {
            generation: 1,
            identity: DataIdentity::from(7_123_456_789_012_345_678),
            outside: None,
            origin: Origin::Initialized,
        }),
        slot: None,
        left_slots: Vec::new(),
        role: Some(Role::Primary { term: Term(1) }),
        power: Power::Running,
        stopped_by_request: false,
        needs_rebuild: false,
        damage: None,
        prevent_destroy: false,
    };
    let standby = Node {
        platform: None,
        place: Some(place(5433)),
        image: None,
        resources: Resources::default(),
        parameters: BTreeMap::new(),
        data: Some(Data {
            generation: 2,
            identity: DataIdentity::from(7_123_456_789_012_345_678),
            outside: None,
            origin: Origin::Cloned {
                from: "a".parse().unwrap(),
            },
        }),
        slot: Some(Slot {
            upstream: "a".parse().unwrap(),
            name: "r_0".to_owned(),
        }),
        left_slots: vec![Slot {
            upstream: "r[1]".parse().unwrap(),
            name: "r_0".to_owned(),
        }],
        role: Some(Role::Standby {
            follows: "a".parse().unwrap(),
        }),
        power: Power::Stopped,
        stopped_by_request: true,
        needs_rebuild: false,
        damage: None,
        prevent_destroy: false,
    };
    let address = |text: &str| text.parse().unwrap();
    BTreeMap::from([
        (address("cluster.orders.node.a"), primary.into()),
        (address("cluster.orders.node.r[0]"), standby.into()),
        (address("cluster.orders.node.r[1]"), Shared::default()),
    ])
}

fn state() -> State {
    let orders = "orders".parse::<crate::name::ClusterName>().unwrap();
    let cluster = Cluster {
        platform: first_platform(),
        network: "lan".parse().unwrap(),
        engine: EngineKind::Postgresql,
        version: 15,
        replication: ReplicationMode::Quorum,
        synchronous_standbys: 1,
        synchronous_commit: CommitLevel::RemoteApply,
        on_standby_loss: OnStandbyLoss::Degrade,
        max_lag: MAX_LAG,
        sync_rule: "ANY 1 (r_0)".into(),
        pending_sync_rules: BTreeSet::new(),
        degraded: None,
        verified: Some(Verified {
            topology: "ab12".to_owned(),
            term: Term(1),
            marker: at(0x0000_0001_0300_0028),
        }),
        prevent_destroy: true,
        failover: FailoverPolicy::default(),
    };
    let election = Election {
        term: Term(1),
        primary: "a".parse().unwrap(),
        pin: Some("a".parse().unwrap()),
        reason: ElectionReason::Birth,
        chosen: false,
        switch: None,
    };
    let user = User {
        login: true,
        replication: false,
        password_version: 2,
        password_digest: Some("77aa".to_owned()),
        superuser: false,
        createdb: true,
        createrole: false,
        inherit: true,
        connection_limit: Some(20),
        member_of: BTreeSet::from(["pg_read_all_data".to_owned()]),
        settings: BTreeMap::new(),
    };
    let database = Database {
        owner: "app".to_owned(),
        encoding: None,
        locale: Some("C.UTF-8".to_owned()),
        ..Database::default()
    };
    let seed = Seed {
        database: "app".parse().unwrap(),
        digest: "e3b0".to_owned(),
    };
    let endpoint = Endpoint {
        target: EndpointTarget::Standby,
        nodes: vec!["r[0]".parse().unwrap(), "a".parse().unwrap()],
        hosts: vec![place(5433).peers, place(5432).peers],
        pooler: None,
    };
    let subnet = Some("127.1.0.0/24".to_owned());
    State {
        networks: BTreeMap::from([(
            "lan".parse().unwrap(),
            Network {
                platform: first_platform(),
                subnet,
                also_on: BTreeSet::new(),
            },
        )]),
        clusters: BTreeMap::from([(orders.clone(), cluster)]),
        elections: BTreeMap::from([(orders, election)]),
        nodes: nodes(),
        users: BTreeMap::from([("cluster.orders.user.app".parse().unwrap(), user)]),
        databases: BTreeMap::from([("cluster.orders.database.app".parse().unwrap(), database)]),
        seeds: BTreeMap::from([("cluster.orders.seed.schema".parse().unwrap(), seed)]),
        endpoints: BTreeMap::from([("cluster.orders.endpoint.ro".parse().unwrap(), endpoint)]),
        outputs: BTreeMap::from([
            ("port".to_owned(), Output::Value(json!(5432).into())),
            ("url".to_owned(), Output::Sensitive),
        ]),
        made_as: BTreeMap::new(),
    }
}

fn stored(prefixes: &[&str]) -> Vec<Row> {
    let rows = testdata().into_iter();
    let rows = rows.filter(|(key, _)| prefixes.iter().any(|prefix| key.starts_with(prefix)));
    rows.map(|(key, value)| Row {
        key: Key::new(key),
        version: Version(1),
        bytes: encode(&value).into(),
    })
    .collect()
}

/// Checks that a value is written as it was recorded, and read back as it is.
fn check<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(key: &str, value: &T) {
    let recorded = &testdata()[key];
    assert_eq!(&serde_json::to_value(value).unwrap(), recorded, "{key}");
    assert_eq!(decode::<T>(&stored(&[key])[0]).unwrap(), *value, "{key}");
}

#[test]
fn the_record_is_read_as_it_was_written_in_every_format() {
    assert_eq!(read_state(&rows(FORMAT_1), 1).unwrap(), state());
    assert_eq!(read_state(&rows(FORMAT_2), 2).unwrap(), state());
    assert_eq!(read_state(&rows(TESTDATA), FORMAT).unwrap(), state());
}

/// Checks that an object is written as these rows, and read back from them.
fn check_rows(state: &State, expected: &Value) {
    let writes = object_rows(state, &state.addresses());
    let written = writes.into_iter().filter_map(|write| {
        let value: Value = serde_json::from_slice(&write.bytes?).unwrap();
        Some((write.key.to_string(), value))
    });
    let written: BTreeMap<String, Value> = written.collect();
    assert_eq!(&serde_json::to_value(&written).unwrap(), expected);
    let text = serde_json::to_string(&written).unwrap();
    assert_eq!(&read_state(&rows(&text), FORMAT).unwrap(), state);
}

#[test]
fn a_cluster_of_mariadb_is_written_in_its_own_words() {
    let mut cluster = Cluster::new(first_platform(), "lan".parse().unwrap(), EngineKind::Mariadb, 1011);
    cluster.sync_rule = "ANY 1 (r_0)".into();
    cluster.degraded = Some("0-1001-7".parse().unwrap());
    let node = Node {
        data: Some(Data {
            generation: 1,
            identity: "b0a6f0de-13a2-11f0-9c3c-0242ac110002".parse().unwrap(),
            origin: Origin::Initialized,
            outside: None,
        }),
        ..Node::default()
    };
    let election = Election {
        term: Term(2),
        primary: "a".parse().unwrap(),
        pin: None,
        reason: ElectionReason::Failover,
        chosen: false,
        switch: Some(Switch {
            timeline: None,
            point: "0-1001-7".parse().unwrap(),
            verdict: Verdict::Unknown(Loss(Some(Distance::Transactions(3)))),
        }),
    };
    let state = State {
        clusters: BTreeMap::from([("shop".parse().unwrap(), cluster)]),
        elections: BTreeMap::from([("shop".parse().unwrap(), election)]),
        nodes: BTreeMap::from([("cluster.shop.node.a".parse().unwrap(), node.into())]),
        ..State::default()
    };
    let expected = json!({
        "election/shop": {
            "term": 2, "primary": "a", "pin": null, "reason": "failover",
            "switch": {"point": "0-1001-7", "verdict": {"unknown": {"bytes": null, "transactions": 3}}},
        },
        "object/cluster.shop": {"cluster": {
            "platform": "local", "network": "lan", "engine": "mariadb", "version": 1011,
            "replication": {
                "mode": "async", "synchronous_standbys": 0, "synchronous_commit": "on", "on_standby_loss": "block",
                "max_lag": MAX_LAG,
            },
            "verified": null, "prevent_destroy": false,
            "detail": {"mariadb": {"counting": "ANY 1 (r_0)", "pending": [], "degraded": "0-1001-7"}},
        }},
        "object/cluster.shop.node.a": {"node": {
            "place": null, "parameters": {},
            "data": {
                "generation": 1, "origin": "initialized",
                "identity": {"uuid": "b0a6f0de-13a2-11f0-9c3c-0242ac110002"},
            },
            "role": null, "power": "stopped", "stopped_by_request": false, "needs_rebuild": false, "damage": null,
            "detail": {"postgresql": {"slot": null, "left_slots": []}},
        }},
    });
    check_rows(&state, &expected);
}

#[test]
fn what_may_be_lost_is_written_in_bytes_or_in_transactions() {
    let written = |most| serde_json::to_value(Verdict::Unknown(Loss(most))).unwrap();
    for (most, expected) in [
        (None, json!({"unknown": {"bytes": null}})),
        (Some(Distance::Bytes(40)), json!({"unknown": {"bytes": 40}})),
        (
            Some(Distance::Transactions(2)),
            json!({"unknown": {"bytes": null, "transactions": 2}}),
        ),
    ] {
        assert_eq!(written(most), expected);
        let read: Verdict = serde_json::from_value(expected).unwrap();
        assert_eq!(read, Verdict::Unknown(Loss(most)));
    }
}

/// What versions before synchronous replication and cascading wrote.
#[test]
fn what_format_1_left_out_has_its_default() {
    let mut old: BTreeMap<String, Value> = serde_json::from_str(FORMAT_1).unwrap();
    let mut forget = |key: &str, later: &[&str]| {
        let object = old.get_mut(key).unwrap().as_object_mut().unwrap();
        for name in later {
            object.remove(*name).unwrap();
        }
    };
    let later = [
        "synchronous_standbys",
        "synchronous_commit",
        "on_standby_loss",
        "max_lag",
        "synchronous_standby_names",
        "verified",
        "prevent_destroy",
    ];
    forget("object/cluster.orders", &later);
    forget(
        "object/cluster.orders.node.r[0]",
        &["left_slots", "parameters", "power", "held"],
    );
    forget(
        "object/cluster.orders.user.app",
        &["inherit", "member_of", "createdb", "connection_limit"],
    );
    let state = read_state(&rows(&serde_json::to_string(&old).unwrap()), 1).unwrap();
    let cluster = &state.clusters[&"orders".parse().unwrap()];
    assert_eq!((cluster.synchronous_standbys, cluster.max_lag), (0, MAX_LAG));
    assert_eq!(cluster.synchronous_commit, CommitLevel::On);
    assert_eq!(cluster.on_standby_loss, OnStandbyLoss::Block);
    assert!(cluster.sync_rule.is_empty());
    assert_eq!((&cluster.verified, cluster.prevent_destroy), (&None, false));
    assert_eq!(cluster.platform, first_platform());
    let node = &state.nodes[&"cluster.orders.node.r[0]".parse().unwrap()];
    assert_eq!((node.left_slots.len(), node.parameters.len()), (0, 0));
    assert_eq!((node.power, node.stopped_by_request), (Power::Stopped, false));
    let user = &state.users[&"cluster.orders.user.app".parse().unwrap()];
    assert!(user.inherit && !user.createdb && user.member_of.is_empty());
}

#[test]
fn what_format_1_fenced_was_fenced_on_this_machine() {
    let fenced = |role: Value| {
        let node = json!({"listen": null, "data": null, "slot": null, "role": {"fenced": role}});
        let rows = [Row {
            key: Key::new("object/cluster.orders.node.a"),
            version: Version(1),
            bytes: encode(&node).into(),
        }];
        let state = read_state(&rows, 1).unwrap();
        state.nodes.into_values().next().unwrap().role.clone()
    };
    let expected = |proof| {
        Some(Role::Fenced {
            term: Term(3),
            proof,
            witness: Witness::ProcessesGone,
        })
    };
    let killed = json!({"term": 3, "proof": "killed"});
    assert_eq!(fenced(killed), expected(FenceProof::Killed));
    let checkpoint = at(0x28);
    let shut_down = json!({"term": 3, "proof": {"shut_down": {"checkpoint": "0/28"}}});
    assert_eq!(fenced(shut_down), expected(FenceProof::ShutDown { checkpoint }));
}

#[test]
fn an_election_that_does_not_say_who_chose_its_winner_counts_as_a_persons_choice() {
    let mut election = json!({"term": 2, "primary": "b", "pin": null, "reason": "failover", "switch": null});
    let read = |election: &Value| {
        let row = Row {
            key: Key::new("election/orders"),
            version: Version(1),
            bytes: encode(election).into(),
        };
        read_state(&[row], FORMAT).unwrap()
    };
    assert!(!read(&election).elections.values().next().unwrap().chosen);
    election["chosen"] = json!(true);
    let state = read(&election);
    assert!(state.elections.values().next().unwrap().chosen);
    let mut written = object_rows(&state, &state.addresses()).into_iter();
    let row = written.find_map(|row| row.bytes.filter(|_| row.key == Key::new("election/orders")));
    assert_eq!(serde_json::from_slice::<Value>(&row.unwrap()).unwrap(), election);
}

#[test]
fn a_pooler_of_format_1_is_read() {
    let pooler = json!({
        "listen": {"host": "127.0.0.1", "port": 6432}, "pool_mode": "session", "node": "a",
        "upstream": {"host": "127.0.0.1", "port": 5432}, "power": "running",
    });
    let row = Row {
        key: Key::new("object/cluster.orders.endpoint.rw"),
        version: Version(1),
        bytes: encode(&json!({"target": "primary", "nodes": [], "hosts": [], "pooler": pooler})).into(),
    };
    let state = read_state(&[row], 1).unwrap();
    let pooler = state.endpoints.into_values().next().unwrap().pooler.unwrap();
    assert_eq!((pooler.place, pooler.upstream), (place(6432), place(5432).peers));
    assert_eq!((pooler.pool_mode, pooler.paused), (PoolMode::Session, false));
}

#[test]
fn the_record_is_written_as_it_is_read() {
    let state = state();
    let writes = object_rows(&state, &state.addresses());
    let written = writes.into_iter().map(|write| {
        let value: Value = serde_json::from_slice(&write.bytes.unwrap()).unwrap();
        (write.key.to_string(), value)
    });
    let mut recorded = testdata();
    recorded.retain(|key, _| key.starts_with("object/") || key.starts_with("election/"));
    assert_eq!(written.collect::<BTreeMap<_, _>>(), recorded);
    check("output/port", &state.outputs["port"]);
    check("output/url", &state.outputs["url"]);
}

#[test]
fn head_journal_and_events_keep_their_format() {
    let lineage = Lineage("0123456789abcdef0123456789abcdef".to_owned());
    check(
        "meta/record",
        &Head {
            serial: 9,
            runs: 1,
            events: 3,
            settings: None,
            ..Head::new(lineage)
        },
    );
    let time = || "2026-01-02T03:04:05Z".to_owned();
    let run = run_id(1);
    let row = RunRow {
        operation: "apply".to_owned(),
        status: RunStatus::Failed,
        steps: 3,
        token: Token(4),
        began: time(),
        ended: Some(time()),
        who: None,
    };
    check("run/00000001", &row);
    let outputs = Outputs {
        identity: Some(DataIdentity::from(7)),
        marker: Some(at(40)),
        ..Outputs::default()
    };
    check("run/00000001/step/000000", &StepRow::Done { outputs, took: None });
    let took = Took {
        kind: "standby".to_owned(),
        milliseconds: 1200,
    };
    let outputs = Outputs::default();
    check(
        "run/00000001/step/000003",
        &StepRow::Done {
            outputs,
            took: Some(took),
        },
    );
    check("run/00000001/step/000001", &StepRow::Started);
    let cause = "no space left".to_owned();
    check("run/00000001/step/000002", &StepRow::Failed { cause });
    let event = Event {
        at: time(),
        run: Some(run),
        kind: EventKind::StepDone,
        step: Some(0),
        addresses: vec!["cluster.orders.node.a".parse().unwrap()],
        position: None,
        term: None,
    };
    check("event/000000000003", &event);
    let proof = Event {
        kind: EventKind::SyncEstablished,
        addresses: vec!["cluster.orders".parse().unwrap()],
        position: Some(at(40)),
        term: Some(Term(1)),
        ..event
    };
    check("event/000000000004", &proof);
}

#[test]
fn the_owner_of_a_lock_keeps_its_format() {
    let recorded = testdata()["lease"].clone();
    let owner: Owner = serde_json::from_value(recorded.clone()).unwrap();
    assert_eq!(serde_json::to_value(&owner).unwrap(), recorded);
    let now = serde_json::to_value(Owner::this_process("apply", Duration::from_secs(20))).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&now), names(&recorded));
}

#[test]
fn a_newer_format_is_refused_even_if_the_rest_looks_different() {
    let row = |value: Value| Row {
        key: Head::key(),
        version: Version(1),
        bytes: encode(&value).into(),
    };
    let newer = Head::read(Some(&row(json!({"format": FORMAT + 1, "lineage": {"id": 1}}))));
    assert!(matches!(newer, Err(FormatError::Newer { found }) if found == FORMAT + 1));
    let spoilt = Head::read(Some(&row(json!({"format": 1}))));
    assert!(matches!(spoilt, Err(FormatError::Value { .. })));
    assert!(matches!(Head::read(None), Err(FormatError::Missing(_))));
}

#[test]
fn a_row_that_is_not_understood_is_named() {
    let row = |key: &str, bytes: &str| Row {
        key: Key::new(key),
        version: Version(1),
        bytes: bytes.to_owned().into(),
    };
    let unknown = read_state(&[row("object/cluster.orders.slot.x", "{}")], FORMAT);
    assert!(matches!(unknown, Err(FormatError::UnknownKey(key)) if key.as_str() == "object/cluster.orders.slot.x"));
    let moved = read_state(&[row("object/network.lan", r#"{"database": {"owner": "a"}}"#)], FORMAT);
    assert!(matches!(moved, Err(FormatError::UnknownKey(key)) if key.as_str() == "object/network.lan"));
    let spoilt = read_state(&[row("election/orders", "{}")], FORMAT);
    assert!(matches!(spoilt, Err(FormatError::Value { key, .. }) if key.as_str() == "election/orders"));
}

#[test]
fn bytes_read_back_from_hexadecimal() {
    let all: Vec<u8> = (0..=255).collect();
    assert_eq!(from_hex(&to_hex(&all)), Some(all));
    assert_eq!(to_hex(&[0, 255, 16]), "00ff10");
    for bad in ["0", "0g", "zz", "000"] {
        assert_eq!(from_hex(bad), None, "{bad}");
    }
}

#[test]
fn times_are_written_for_people() {
    let now = now();
    assert_eq!(now.len(), "2026-01-02T03:04:05Z".len(), "{now}");
    assert!(now.ends_with('Z'));
}
