//! Servers that are found by name: each has all of its addresses, and all ports for itself.

use expect_test::expect;

use super::pooler::pooled;
use super::*;
use crate::observed::Reach;
use crate::plan::Action;

fn named(desired: &Desired) -> World {
    let mut world = World {
        reach: Reach::Named("db.svc".to_owned()),
        ..World::default()
    };
    finish(&mut world, desired);
    world
}

/// Where the nodes and poolers of a world are, and where clients are led.
fn places(world: &World) -> String {
    let nodes = world.state.nodes.iter();
    let nodes = nodes.filter_map(|(address, node)| Some((address.to_string(), node.place.as_ref()?)));
    let endpoints = world.state.endpoints.iter();
    let poolers = endpoints
        .clone()
        .filter_map(|(address, endpoint)| Some((address.to_string(), &endpoint.pooler.as_ref()?.place)));
    let places = nodes.chain(poolers);
    let places = places.map(|(name, place)| format!("{name} {} {} {}", place.bind, place.peers, place.outer()));
    let routes = endpoints.map(|(address, endpoint)| {
        let hosts: Vec<String> = endpoint.hosts.iter().map(ToString::to_string).collect();
        format!("{address} {}", hosts.join(" "))
    });
    places.chain(routes).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_server_that_is_found_by_name_has_all_ports_for_itself() {
    let mut desired = replicating(&["a", "b"], ReplicationMode::Sync, 1);
    let mut world = named(&desired);
    expect![[r#"
        cluster.orders.node.a 0.0.0.0:5432 orders-a.db.svc:5432 orders-a.db.svc:5432
        cluster.orders.node.b 0.0.0.0:5432 orders-b.db.svc:5432 orders-b.db.svc:5432
        cluster.orders.endpoint.ro orders-b.db.svc:5432 orders-a.db.svc:5432
        cluster.orders.endpoint.rw orders-a.db.svc:5432 orders-b.db.svc:5432"#]]
    .assert_eq(&places(&world));
    // What nobody looked at changes nothing.
    world.reach = Reach::Unknown;
    assert_second_plan_is_empty(&world, &desired);
    world.reach = Reach::Named("db.svc".to_owned());
    for node in ["a", "b"] {
        port(&mut desired, node, 5433);
    }
    finish(&mut world, &desired);
    expect![[r#"
        cluster.orders.node.a 0.0.0.0:5433 orders-a.db.svc:5433 orders-a.db.svc:5433
        cluster.orders.node.b 0.0.0.0:5433 orders-b.db.svc:5433 orders-b.db.svc:5433
        cluster.orders.endpoint.ro orders-b.db.svc:5433 orders-a.db.svc:5433
        cluster.orders.endpoint.rw orders-a.db.svc:5433 orders-b.db.svc:5433"#]]
    .assert_eq(&places(&world));
}

#[test]
fn so_has_a_pooler() {
    let desired = pooled(&["a", "b", "c"]);
    expect![[r#"
        cluster.orders.node.a 0.0.0.0:5432 orders-a.db.svc:5432 orders-a.db.svc:5432
        cluster.orders.node.b 0.0.0.0:5432 orders-b.db.svc:5432 orders-b.db.svc:5432
        cluster.orders.node.c 0.0.0.0:5432 orders-c.db.svc:5432 orders-c.db.svc:5432
        cluster.orders.endpoint.rw 0.0.0.0:6432 orders-rw-pooler.db.svc:6432 orders-rw-pooler.db.svc:6432
        cluster.orders.endpoint.rw orders-rw-pooler.db.svc:6432"#]]
    .assert_eq(&places(&named(&desired)));
}

#[test]
fn the_superuser_of_a_server_that_is_found_by_name_comes_from_its_own_machine() {
    let desired = replicating(&["a"], ReplicationMode::Async, 0);
    let world = World {
        reach: Reach::Named("db.svc".to_owned()),
        ..World::default()
    };
    let plan = plan_for(&world, &desired).plan;
    let instance = plan.steps.iter().find_map(|step| match &step.action {
        Action::Primary { instance, .. } => Some(instance),
        _ => None,
    });
    let instance = instance.expect("it is made");
    let text = |name: &str| format!("{:?}", instance.files.get(name).unwrap().0);
    expect![[r##"
        [Text("# Written by simdb from the configuration; edits made here are undone.
        # TYPE DATABASE USER ADDRESS METHOD
        host replication replicator all scram-sha-256
        host postgres replicator all scram-sha-256
        host all postgres 127.0.0.1/32 scram-sha-256
        host all postgres ::1/128 scram-sha-256
        host all postgres all reject
        host all all all scram-sha-256
        ")]"##]]
    .assert_eq(&text("pg_hba.conf").replace("\\n", "\n"));
    assert!(text("postgresql.conf").contains("listen_addresses = '*'"));
    let probe = instance.probe.as_ref().expect("people look at it");
    assert!(format!("{probe:?}").contains("127.0.0.1"), "{probe:?}");
}
