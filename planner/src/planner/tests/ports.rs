//! Where servers listen: they move with their data, and followers go along.

use expect_test::expect;

use super::*;

#[test]
fn a_node_moves_to_another_port_with_its_data_and_its_followers_go_along() {
    let mut desired = following(&["a", "b", "c"], &[("c", "b")]);
    let mut world = applied(&desired);
    port(&mut desired, "a", 20001);
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 configure cluster.orders.node.a after [] downtime
        1 follow cluster.orders.node.b after [0] reload
        2 endpoint cluster.orders.endpoint.ro after [1] none
        3 endpoint cluster.orders.endpoint.rw after [1] none
        4 verify-sync cluster.orders after [2 3] none
    "#]],
    );
    let reasons: Vec<_> = {
        port(&mut desired, "b", 20002);
        let planned = plan_for(&world, &desired);
        planned.plan.steps.iter().map(|step| step.reason.clone()).collect()
    };
    expect![[r#"
        b moves to 127.0.0.1:20002
        c streams from b, and b moves to 127.0.0.1:20002
        a node that orders-ro routes to has another address
        a node that orders-rw routes to has another address
        every standby must be seen to replay what the primary commits"#]]
    .assert_eq(&reasons.join("\n"));
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 configure cluster.orders.node.b after [] write-pause
        1 follow cluster.orders.node.c after [0] reload
        2 endpoint cluster.orders.endpoint.ro after [1] none
        3 endpoint cluster.orders.endpoint.rw after [1] none
        4 verify-sync cluster.orders after [2 3] none
    "#]],
    );
}

#[test]
fn nodes_do_not_swap_ports_in_one_apply() {
    let mut desired = replicating(&["a", "b"], ReplicationMode::Sync, 1);
    port(&mut desired, "a", 20001);
    port(&mut desired, "b", 20002);
    let mut world = applied(&desired);
    port(&mut desired, "a", 20002);
    port(&mut desired, "b", 20001);
    expect![[r#"
        Port belongs to another node: cluster.orders.node.a takes the port that cluster.orders.node.b has until the end of this apply. Give cluster.orders.node.b another port, or remove it, and apply that first.
        Port belongs to another node: cluster.orders.node.b takes the port that cluster.orders.node.a has until the end of this apply. Give cluster.orders.node.a another port, or remove it, and apply that first.
    "#]].assert_eq(&diagnostics(&plan_for(&world, &desired)));
    port(&mut desired, "b", 20003);
    port(&mut desired, "a", 20001);
    finish(&mut world, &desired);
    port(&mut desired, "a", 20002);
    finish(&mut world, &desired);
    port(&mut desired, "b", 20001);
    finish(&mut world, &desired);
}

#[test]
fn another_network_is_recorded_before_the_old_one_goes() {
    let mut desired = replicating(&["a", "b"], ReplicationMode::Sync, 1);
    let mut world = applied(&desired);
    let spec = desired.networks.pop_first().unwrap().1;
    desired.networks.insert("dmz".parse().unwrap(), spec);
    cluster(&mut desired).network = "dmz".parse().unwrap();
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 network network.dmz after [] none
        1 cluster cluster.orders after [0] none
        2 drop-network network.lan after [1] none
    "#]],
    );
}

#[test]
fn an_unfinished_copy_goes_when_an_earlier_one_is_wanted_again() {
    let mut world = created(&["a", "b"]);
    let c = address("cluster.orders.node.c");
    let position = |plan: &Plan, name: &str| {
        let meant = |step: &crate::plan::Step| step.action.name() == name && step.address == c.clone().into();
        plan.steps.iter().position(meant).unwrap()
    };
    let direct = orders(&["a", "b", "c"]);
    let plan = plan_for(&world, &direct).plan;
    let cut = Cut::Before(position(&plan, "standby"));
    world.run(&plan, cut).unwrap();
    let mut cascading = direct.clone();
    follow(&mut cascading, "c", "b");
    let plan = plan_for(&world, &cascading).plan;
    let cut = Cut::Within(position(&plan, "basebackup"));
    world.run(&plan, cut).unwrap();
    assert!(world.directories[&c].partial);
    world.run(&plan_for(&world, &direct).plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &direct);
    assert!(!world.directories[&c].partial);
}

#[test]
fn streams_get_another_password_where_they_are_before_their_primary_moves() {
    let mut world = created(&["a", "b", "c"]);
    let mut desired = orders(&["a", "b", "c"]);
    let spec = cluster(&mut desired);
    spec.access.replication_password_version = Some(2);
    spec.nodes.get_mut(&"a".parse().unwrap()).unwrap().port = Some(20_000);
    spec.nodes.get_mut(&"c".parse().unwrap()).unwrap().follows = Some("b".parse().unwrap());
    world.run(&plan_for(&world, &desired).plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_halted_server_goes_on_where_it_listens_and_moves_with_the_next_apply() {
    let mut world = created(&["a", "b"]);
    world.inject(&Fault::Freeze(1));
    let mut desired = orders(&["a", "b"]);
    let b = address("cluster.orders.node.b");
    cluster(&mut desired).nodes.get_mut(&b.node).unwrap().port = Some(20_000);
    let planned = plan_for(&world, &desired);
    let note =
        "cluster.orders.node.b stays on port 15433 while this plan runs, and moves to 20000 with the next apply.";
    assert_eq!(planned.plan.notes, [note]);
    world.run(&planned.plan, Cut::Never).unwrap();
    world.run(&plan_for(&world, &desired).plan, Cut::Never).unwrap();
    assert_eq!(world.directories[&b].listen.unwrap().port, 20_000);
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn ports_and_the_password_of_streams_stay_while_the_lead_passes() {
    let mut world = created(&["a", "b", "c"]);
    let mut desired = orders(&["a", "b", "c"]);
    let spec = cluster(&mut desired);
    spec.primary = Some("b".parse().unwrap());
    spec.access.replication_password_version = Some(2);
    spec.nodes.get_mut(&"b".parse().unwrap()).unwrap().port = Some(20_000);
    let planned = plan_for(&world, &desired);
    assert_eq!(planned.plan.notes.len(), 2, "{:?}", planned.plan.notes);
    world.run(&planned.plan, Cut::Never).unwrap();
    let planned = plan_for(&world, &desired);
    assert_eq!(planned.plan.notes, [""; 0]);
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn standbys_of_a_stopped_primary_follow_it_to_another_port_once_it_is_started() {
    let mut desired = orders(&["a", "b"]);
    let mut world = applied(&desired);
    let stopped = propose(&world, &desired, &["a"], Power::Stopped);
    world.run(&stopped.plan, Cut::Never).unwrap();
    port(&mut desired, "a", 20_000);
    let meanwhile = plan_for(&world, &desired).plan;
    assert!(meanwhile.steps.iter().all(|step| step.action.name() != "follow"));
    world.run(&meanwhile, Cut::Never).unwrap();
    let started = propose(&world, &desired, &["a"], Power::Running);
    world.run(&started.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

/// Where the nodes of a world listen, as is recorded.
fn places(world: &World) -> String {
    let nodes = world.state.nodes.iter();
    let places = nodes.map(|(address, node)| format!("{} {}", address.node, node.place.as_ref().unwrap().peers));
    places.collect::<Vec<_>>().join("\n")
}

#[test]
fn nodes_of_a_network_with_a_subnet_have_addresses_of_their_own() {
    let mut desired = following(&["a", "b", "c"], &[("c", "b")]);
    subnet(&mut desired, 1);
    let mut world = applied(&desired);
    expect![[r#"
        a 127.20.1.1:5432
        b 127.20.1.2:5432
        c 127.20.1.3:5432"#]]
    .assert_eq(&places(&world));
    // Whoever is new gets the lowest address that nobody has; the others stay.
    desired = following(&["a", "c"], &[]);
    subnet(&mut desired, 1);
    finish(&mut world, &desired);
    desired = replicating(&["a", "b", "c", "d"], ReplicationMode::Sync, 1);
    subnet(&mut desired, 1);
    port(&mut desired, "d", 6000);
    finish(&mut world, &desired);
    expect![[r#"
        a 127.20.1.1:5432
        b 127.20.1.2:5432
        c 127.20.1.3:5432
        d 127.20.1.4:6000"#]]
    .assert_eq(&places(&world));
}

#[test]
fn nodes_move_to_another_subnet_with_their_data_and_back() {
    let mut desired = following(&["a", "b", "c"], &[("c", "b")]);
    let mut world = applied(&desired);
    let data: Vec<_> = world.state.nodes.values().map(|node| node.data.clone()).collect();
    subnet(&mut desired, 1);
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 network network.lan after [] none
        1 configure cluster.orders.node.b after [] write-pause
        2 configure cluster.orders.node.c after [1] restart
        3 configure cluster.orders.node.a after [2] downtime
        4 follow cluster.orders.node.b after [3] reload
        5 follow cluster.orders.node.c after [4] reload
        6 endpoint cluster.orders.endpoint.ro after [5] none
        7 endpoint cluster.orders.endpoint.rw after [5] none
        8 verify-sync cluster.orders after [6 7] none
    "#]],
    );
    subnet(&mut desired, 2);
    finish(&mut world, &desired);
    expect![[r#"
        a 127.20.2.1:5432
        b 127.20.2.2:5432
        c 127.20.2.3:5432"#]]
    .assert_eq(&places(&world));
    desired.networks.values_mut().for_each(|network| network.subnet = None);
    finish(&mut world, &desired);
    expect![[r#"
        a 127.0.0.1:15432
        b 127.0.0.1:15433
        c 127.0.0.1:15434"#]]
    .assert_eq(&places(&world));
    let kept: Vec<_> = world.state.nodes.values().map(|node| node.data.clone()).collect();
    assert_eq!(data, kept);
}

#[test]
fn a_halted_server_moves_to_its_own_address_with_the_next_apply() {
    let mut desired = replicating(&["a", "b"], ReplicationMode::Sync, 1);
    let mut world = applied(&desired);
    directory(&mut world, "b").server.as_mut().unwrap().frozen = true;
    subnet(&mut desired, 1);
    let planned = plan_for(&world, &desired);
    expect!["cluster.orders.node.b stays at 127.0.0.1 while this plan runs, and moves to an address of 127.20.1.0/28 with the next apply."].assert_eq(&planned.plan.notes.join("\n"));
    world.run(&planned.plan, Cut::Never).unwrap();
    finish(&mut world, &desired);
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn who_finds_no_address_is_told_why() {
    let mut desired = orders(&["a", "b", "c"]);
    desired.networks.values_mut().next().unwrap().subnet = Some("127.20.0.0/30".parse().unwrap());
    refuses(
        &World::default(),
        &desired,
        &expect![[r#"
        No free address: Every address of subnet 127.20.0.0/30 belongs to another node or is in use, so cluster.orders.node.c gets none. Give its network a larger "subnet".
    "#]],
    );
    let mut world = World::default();
    world.busy_ports.insert(5432, "postgres (pid 12)".to_owned());
    let mut desired = orders(&["a"]);
    subnet(&mut desired, 1);
    refuses(
        &world,
        &desired,
        &expect![[r#"
            Port is taken: Port 5432 of cluster.orders.node.a is in use by postgres (pid 12). Stop that program, or give the node another port.
        "#]],
    );
}

#[test]
fn ports_for_root_alone_are_refused_and_never_chosen() {
    let world = World::default();
    let mut desired = orders(&["a", "b"]);
    port(&mut desired, "a", 80);
    let text = expect![[r#"
        Port needs root's rights: cluster.orders.node.a declares port 80, and ports below 1024 are for servers that run as root, which those of simdb never do. Give the node a port from 1024 on.
    "#]];
    text.assert_eq(&diagnostics(&plan_for(&world, &desired)));
    let mut desired = orders(&["a", "b"]);
    desired.local.ports = Some((1000, 1100));
    let mut world = World::default();
    finish(&mut world, &desired);
    assert_eq!(
        world.directories[&address("cluster.orders.node.a")]
            .listen
            .unwrap()
            .port,
        1024
    );
    desired.local.ports = Some((80, 90));
    let text = expect![[r#"
        No free port: Every port from 80 to 90 is below 1024, where only root's servers may listen, and servers do not run as root, so cluster.orders.node.a gets none. Set "port_range" in provider "local" to a larger range.
        No free port: Every port from 80 to 90 is below 1024, where only root's servers may listen, and servers do not run as root, so cluster.orders.node.b gets none. Set "port_range" in provider "local" to a larger range.
    "#]];
    text.assert_eq(&diagnostics(&plan_for(&World::default(), &desired)));
}

#[test]
fn a_node_does_not_get_the_port_of_a_pooler_that_is_down() {
    let mut desired = orders(&["a", "b"]);
    let rw = cluster(&mut desired).endpoints.get_mut(&"rw".parse().unwrap()).unwrap();
    rw.pooler = Some(crate::desired::PoolerSpec::default());
    let mut world = applied(&desired);
    let pooler = world.poolers.values_mut().next().unwrap();
    pooler.runs = false;
    let had = pooler.listen.port;
    port(&mut desired, "b", had);
    let text = expect![[r#"
        Port belongs to another endpoint: cluster.orders.node.b takes the port that cluster.orders.endpoint.rw has until the end of this apply. Give cluster.orders.endpoint.rw another port, or remove it, and apply that first.
    "#]];
    text.assert_eq(&diagnostics(&plan_for(&world, &desired)));
}
