//! What was done behind simdb's back, and what the plan makes of it.

use simdb_state::route::Wanted;

use super::*;
use crate::observed::{Control, Observation, ProcessFacts, RouteFacts};

/// Reasons of the steps, a line each.
fn reasons(plan: &Plan) -> String {
    let line = |step: &crate::plan::Step| format!("{}: {}\n", step.action.name(), step.reason);
    plan.steps.iter().map(line).collect()
}

/// Plans for `a` and `r[0]` after somebody changed what is observed of `r[0]`.
fn seen(world: &World, change: impl FnOnce(&mut crate::observed::NodeFacts)) -> Planned {
    let mut observed = world.observe();
    let node = observed.nodes.get_mut(&address("cluster.orders.node.r[0]"));
    let Some(Observation::Seen(facts)) = node else {
        panic!("the node is seen")
    };
    change(facts);
    plan(Inputs {
        desired: &orders(&["a", "r[0]"]),
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    })
}

fn server(facts: &mut crate::observed::NodeFacts) -> &mut crate::observed::ServerFacts {
    match &mut facts.server {
        Some(Observation::Seen(server)) => server,
        other => panic!("the server is seen, not {other:?}"),
    }
}

fn control(facts: &mut crate::observed::NodeFacts) -> &mut crate::observed::ControlData {
    match &mut facts.control {
        Control::Seen(control) => control,
        other => panic!("the control data is seen, not {other:?}"),
    }
}

#[test]
fn replay_that_somebody_paused_is_resumed_and_proven() {
    after(
        |world| directory(world, "r[0]").server.as_mut().unwrap().paused = true,
        &expect![[r#"
            0 resume cluster.orders.node.r[0] after [] none
            1 verify-sync cluster.orders after [0] none
        "#]],
    );
    let pause_and_edit = |world: &mut World| {
        let directory = directory(world, "r[0]");
        directory.server.as_mut().unwrap().paused = true;
        directory.files.get_mut("pg_hba.conf").unwrap().edited = true;
    };
    after(
        pause_and_edit,
        &expect![[r#"
            0 resume cluster.orders.node.r[0] after [] none
            1 configure cluster.orders.node.r[0] after [] reload
            2 verify-sync cluster.orders after [0 1] none
        "#]],
    );
}

#[test]
fn a_node_moves_where_its_port_was_taken_while_it_was_down_and_is_followed_there() {
    let mut world = created(&["a", "r[0]"]);
    let (standby, primary) = (address("cluster.orders.node.r[0]"), address("cluster.orders.node.a"));
    world.kill(&standby);
    world.busy_ports.insert(15433, "nginx (pid 12)".to_owned());
    let desired = orders(&["a", "r[0]"]);
    expect![[r#"
        start: nginx (pid 12) took its port while it was down, and it moves to 127.0.0.1:15434
        endpoint: a node that orders-ro routes to has another address
        endpoint: a node that orders-rw routes to has another address
        verify-sync: every standby must be seen to replay what the primary commits
    "#]]
    .assert_eq(&reasons(&plan_for(&world, &desired).plan));
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 start cluster.orders.node.r[0] after [] none
            1 endpoint cluster.orders.endpoint.ro after [0] none
            2 endpoint cluster.orders.endpoint.rw after [0] none
            3 verify-sync cluster.orders after [1 2] none
        "#]],
    );
    assert_eq!(world.state.nodes[&standby].place.as_ref().unwrap().bind.port, 15434);
    world.kill(&primary);
    world.busy_ports.insert(15432, "nginx (pid 12)".to_owned());
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 start cluster.orders.node.a after [] none
        1 follow cluster.orders.node.r[0] after [0] reload
        2 endpoint cluster.orders.endpoint.ro after [1] none
        3 endpoint cluster.orders.endpoint.rw after [1] none
        4 verify-sync cluster.orders after [2 3] none
    "#]],
    );
    world.kill(&primary);
    let mut declared = desired.clone();
    cluster(&mut declared).nodes.get_mut(&primary.node).unwrap().port = Some(15435);
    world.busy_ports.insert(15435, "nginx (pid 12)".to_owned());
    refuses(
        &world,
        &declared,
        &expect![[r#"
        Port is taken: Port 15435 of cluster.orders.node.a is in use by nginx (pid 12). Stop that program, or give the node another port; without a "port" argument simdb takes a free one.
    "#]],
    );
}

#[test]
fn a_node_that_is_stopped_on_request_is_left_alone_whatever_becomes_of_it() {
    let desired = orders(&["a", "r[0]"]);
    let mut world = created(&["a", "r[0]"]);
    world
        .run(&propose(&world, &desired, &["r[0]"], Power::Stopped).plan, Cut::Never)
        .unwrap();
    world.busy_ports.insert(15433, "nginx (pid 12)".to_owned());
    assert_second_plan_is_empty(&world, &desired);
    let mut promoted = world.clone();
    directory(&mut promoted, "r[0]").files.clear();
    assert_second_plan_is_empty(&promoted, &desired);
    let start = propose(&promoted, &desired, &["r[0]"], Power::Running);
    assert!(diagnostics(&start).starts_with("Role was changed without simdb"));
    directory(&mut world, "r[0]").data.clear();
    assert_second_plan_is_empty(&world, &desired);
    let mut other = desired.clone();
    for node in cluster(&mut other).nodes.values_mut() {
        node.parameters.insert("work_mem".to_owned(), "1MB".to_owned());
    }
    world.run(&plan_for(&world, &other).plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &other);
    let start = propose(&world, &other, &["r[0]"], Power::Running);
    expect![[r#"
        0 basebackup cluster.orders.node.r[0] after [] none
        1 standby cluster.orders.node.r[0] after [0] none
        2 endpoint cluster.orders.endpoint.ro after [1] none
        3 endpoint cluster.orders.endpoint.rw after [1] none
        4 verify-sync cluster.orders after [2 3] none
    "#]]
    .assert_eq(&steps(&start.plan));
    world.run(&start.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &other);
}

#[test]
fn the_data_of_a_server_that_is_down_tells_whether_it_wrote() {
    let mut world = created(&["a", "r[0]"]);
    world.kill(&address("cluster.orders.node.r[0]"));
    world.kill(&address("cluster.orders.node.a"));
    let state = |state: &'static str| {
        let planned = seen(&world, |facts| control(facts).state = state.to_owned());
        planned.diagnostics.first().map(|found| found.summary.clone())
    };
    let refused = Some("Role was changed without simdb".to_owned());
    for writes in ["in production", "shut down", "in crash recovery"] {
        assert_eq!(state(writes), refused, "{writes}");
    }
    for replays in ["in archive recovery", "shut down in recovery", "something new"] {
        assert_eq!(state(replays), None, "{replays}");
    }
}

#[test]
fn a_copy_that_was_never_started_says_nothing_of_its_node() {
    let mut world = created(&["a", "r[0]"]);
    directory(&mut world, "a").lost.insert("r_0".to_owned());
    let desired = orders(&["a", "r[0]"]);
    let again = plan_for(&world, &desired).plan;
    let copied = again.steps.iter().position(|step| step.action.name() == "basebackup");
    world.run(&again, Cut::Before(copied.unwrap() + 1)).unwrap();
    // The copy has the control data of the server it was copied from.
    let planned = seen(&world, |facts| {
        control(facts).state = "in production".to_owned();
    });
    assert_eq!(diagnostics(&planned), "");
    expect![[r#"
        0 standby cluster.orders.node.r[0] after [] none
        1 verify-sync cluster.orders after [0] none
    "#]]
    .assert_eq(&steps(&planned.plan));
}

#[test]
fn a_standby_ahead_of_its_primary_has_diverged() {
    let world = created(&["a", "r[0]"]);
    let planned = seen(&world, |facts| server(facts).timeline = 2);
    expect![[r#"
        Standby has diverged: cluster.orders.node.r[0] is on timeline 2, and its primary on 1: it was promoted without simdb, and two nodes of the cluster may have taken writes since. Nothing is done until that is settled: find out which node has the writes worth keeping. To give up those of cluster.orders.node.r[0], run: simdb resync orders r[0]
    "#]]
    .assert_eq(&diagnostics(&planned));
}

#[test]
fn a_server_started_by_hand_that_does_not_answer_is_not_restarted_blindly() {
    let world = created(&["a", "r[0]"]);
    let planned = seen(&world, |facts| {
        facts.process = ProcessFacts::Foreign { pid: 12 };
        facts.server = Some(Observation::Unknown("did not answer within 2s".to_owned()));
    });
    expect![[r#"
        Server cannot be asked: cluster.orders.node.r[0] is a standby on record. A server was started on its data without simdb (pid 12), and whether that takes writes could not be found out: did not answer within 2s. Stop it, and plan again: its data tells.
    "#]]
    .assert_eq(&diagnostics(&planned));
}

#[test]
fn a_server_that_does_not_answer_is_told() {
    let world = created(&["a", "r[0]"]);
    let planned = seen(&world, |facts| {
        facts.server = Some(Observation::Unknown("did not answer within 2s".to_owned()));
    });
    assert!(planned.plan.is_empty());
    expect![[r#"
        cluster.orders.node.r[0]: its server could not be asked: did not answer within 2s
    "#]]
    .assert_eq(&not_compared(&planned));
}

#[test]
fn a_server_whose_instance_directory_was_removed_is_stopped_and_keeps_its_port() {
    let world = created(&["a", "r[0]"]);
    let planned = seen(&world, |facts| {
        *facts = crate::observed::NodeFacts {
            process: ProcessFacts::Foreign { pid: 12 },
            server: Some(Observation::Unknown("its files are gone".to_owned())),
            ..crate::observed::NodeFacts::default()
        };
    });
    assert_eq!(diagnostics(&planned), "");
    expect![[r#"
        0 stop cluster.orders.node.r[0] after [] restart
        1 basebackup cluster.orders.node.r[0] after [0] none
        2 standby cluster.orders.node.r[0] after [1] none
        3 verify-sync cluster.orders after [2] none
    "#]]
    .assert_eq(&steps(&planned.plan));
    assert_eq!(
        planned.after.nodes[&address("cluster.orders.node.r[0]")].place,
        world.state.nodes[&address("cluster.orders.node.r[0]")].place
    );
}

#[test]
fn an_entry_that_was_edited_in_any_part_is_written_again() {
    let mut world = created(&["a", "r[0]"]);
    let desired = orders(&["a", "r[0]"]);
    let edits: [fn(&mut RouteFacts); 3] = [
        |route| route.hints.wanted = Wanted::Any,
        |route| route.hints.database = "other".to_owned(),
        |route| route.hosts.reverse(),
    ];
    for edit in edits {
        edit(
            world
                .routes
                .get_mut(&"cluster.orders.endpoint.rw".parse().unwrap())
                .unwrap(),
        );
        let plan = plan_for(&world, &desired).plan;
        expect![[r#"
            endpoint: the entry of orders-rw is not the one that simdb wrote
        "#]]
        .assert_eq(&reasons(&plan));
        world.run(&plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
    }
}

#[test]
fn what_is_destroyed_goes_because_it_was_asked_for() {
    let world = created(&["a"]);
    let planned = plan(Inputs {
        desired: &Desired::default(),
        recorded: &world.state,
        observed: &world.observe(),
        proposal: Some(&Proposal::Destroy),
    });
    expect![[r#"
        drop-endpoint: the plan destroys everything
        drop-endpoint: the plan destroys everything
        drop-node: the plan destroys everything
        drop-user: it goes with its cluster
        drop-cluster: the plan destroys everything
        drop-network: the plan destroys everything
    "#]]
    .assert_eq(&reasons(&planned.plan));
}

#[test]
fn what_somebody_set_as_free_text_is_named_and_not_shown() {
    let world = created(&["a", "r[0]"]);
    let planned = seen(&world, |facts| {
        let configured = &mut server(facts).configured;
        configured.insert("archive_command".to_owned(), "copy --key=hush".to_owned());
        configured.insert("app.token".to_owned(), "hush".to_owned());
        configured.insert("work_mem".to_owned(), "64kB".to_owned());
    });
    expect![[r#"
        configure: drift: app.token of r[0] is not the one that simdb made, archive_command of r[0] is not the one that simdb made, work_mem of r[0] is 64kB in place of its default
    "#]].assert_eq(&reasons(&planned.plan));
    assert!(!serde_json::to_string(&planned.plan).unwrap().contains("hush"));
}

#[test]
fn a_slot_that_simdb_did_not_make_is_told_and_left() {
    let mut world = created(&["a", "r[0]"]);
    directory(&mut world, "a").slots.insert("backup".to_owned());
    directory(&mut world, "r[0]").slots.insert("cdc".to_owned());
    let desired = orders(&["a", "r[0]"]);
    assert_second_plan_is_empty(&world, &desired);
    expect![[r#"
        cluster.orders.node.a: physical slot "backup" was not made by simdb, retains no WAL yet and is in use. An apply leaves it as it is. Where nothing needs it, drop it: simdb psql orders.a -- -c "SELECT pg_drop_replication_slot('backup')"
        cluster.orders.node.r[0]: physical slot "cdc" was not made by simdb, retains no WAL yet and is in use. An apply leaves it as it is. Where nothing needs it, drop it: simdb psql orders.r[0] -- -c "SELECT pg_drop_replication_slot('cdc')"
    "#]]
    .assert_eq(&found(&plan_for(&world, &desired)));
    world
        .run(&plan_for(&world, &orders(&["a", "r[0]", "r[1]"])).plan, Cut::Never)
        .unwrap();
    assert!(directory(&mut world, "a").slots.contains("backup"));
    let destroy = plan(Inputs {
        desired: &Desired::default(),
        recorded: &world.state,
        observed: &world.observe(),
        proposal: Some(&Proposal::Destroy),
    });
    assert_eq!(found(&destroy), "");
}

#[test]
fn a_foreign_slot_is_told_with_the_wal_it_retains() {
    use crate::observed::SlotFacts;
    use simdb_state::lsn::Lsn;
    let world = created(&["a", "r[0]"]);
    let planned = seen(&world, |facts| {
        let server = server(facts);
        server.position = Lsn(0x4000_0000);
        let slot = |restart, status: &str, transient| SlotFacts {
            active: false,
            wal_status: Some(status.to_owned()),
            restart,
            database: Some("app".to_owned()),
            transient,
        };
        let slots = [
            ("cdc", slot(Some(Lsn(0x3fe0_0000)), "reserved", false)),
            ("old", slot(None, "lost", false)),
            ("copy", slot(Some(Lsn(1)), "reserved", true)),
        ];
        server.slots = slots.map(|(name, slot)| (name.to_owned(), slot)).into();
    });
    let found: Vec<&str> = planned.found.iter().map(|finding| finding.cause.as_str()).collect();
    assert_eq!(
        found,
        [
            "logical slot \"cdc\" of database \"app\" was not made by simdb, retains 2.0 MB of WAL and is not in use",
            "logical slot \"old\" of database \"app\" was not made by simdb, has lost the WAL that it needs and is not in use",
        ]
    );
}
