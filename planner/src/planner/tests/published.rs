//! Ports that the platform publishes: where clients reach servers whose own addresses they do not reach.

use std::collections::BTreeSet;
use std::net::IpAddr;

use expect_test::expect;
use simdb_state::instance::LOOPBACK;

use super::*;
use crate::observed::Reach;
use crate::plan::Action;

/// Two nodes with addresses of their own on a platform that publishes ports of 127.0.0.1.
fn published() -> (Desired, World) {
    let mut desired = replicating(&["a", "b"], ReplicationMode::Sync, 1);
    subnet(&mut desired, 1);
    let mut world = World {
        reach: Reach::Published(LOOPBACK),
        ..World::default()
    };
    finish(&mut world, &desired);
    (desired, world)
}

/// Where the nodes of a world are, and where clients reach them.
fn places(world: &World) -> String {
    let nodes = world.state.nodes.iter();
    let places = nodes.map(|(address, node)| {
        let place = node.place.as_ref().unwrap();
        format!("{} {} {}", address.node, place.peers, place.outer())
    });
    places.collect::<Vec<_>>().join("\n")
}

/// Why a plan does what it does to nodes.
fn reasons(world: &World, desired: &Desired) -> String {
    let plan = plan_for(world, desired).plan;
    let nodes = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action.name(), "configure" | "start"));
    let reasons: BTreeSet<String> = nodes.map(|step| step.reason.clone()).collect();
    reasons.into_iter().collect::<Vec<_>>().join("\n")
}

#[test]
fn servers_get_ports_of_the_platforms_machine_and_keep_them() {
    let (mut desired, mut world) = published();
    expect![[r#"
        a 127.20.1.1:5432 127.0.0.1:15432
        b 127.20.1.2:5432 127.0.0.1:15433"#]]
    .assert_eq(&places(&world));
    let routes = world.routes.values().flat_map(|route| &route.hosts);
    assert!(
        routes.into_iter().all(|at| at.to_string().starts_with("127.0.0.1:")),
        "{:?}",
        world.routes
    );
    // A declared port is the one that clients use.
    port(&mut desired, "b", 20_000);
    assert_eq!(
        reasons(&world, &desired),
        "b is published at 127.0.0.1:20000 in place of 127.0.0.1:15433"
    );
    finish(&mut world, &desired);
    expect![[r#"
        a 127.20.1.1:5432 127.0.0.1:15432
        b 127.20.1.2:5432 127.0.0.1:20000"#]]
    .assert_eq(&places(&world));
    port(&mut desired, "b", 15_432);
    expect![[r#"
        Port belongs to another node: cluster.orders.node.b takes the port that cluster.orders.node.a has until the end of this apply. Give cluster.orders.node.a another port, or remove it, and apply that first.
    "#]].assert_eq(&diagnostics(&plan_for(&world, &desired)));
}

#[test]
fn a_port_that_another_program_took_while_the_server_was_down_is_given_up() {
    let (mut desired, mut world) = published();
    world
        .directories
        .get_mut(&address("cluster.orders.node.b"))
        .unwrap()
        .server = None;
    world.busy_ports.insert(15433, "nginx (pid 12)".to_owned());
    assert_eq!(
        reasons(&world, &desired),
        "nginx (pid 12) took the port it was published at while it was down: b is published at 127.0.0.1:15434 in place of \
         127.0.0.1:15433"
    );
    finish(&mut world, &desired);
    world.busy_ports.insert(20_000, "nginx (pid 12)".to_owned());
    port(&mut desired, "b", 20_000);
    expect![[r#"
        Port is taken: Port 20000 of cluster.orders.node.b is in use by nginx (pid 12). Stop that program, or give the node another port.
    "#]].assert_eq(&diagnostics(&plan_for(&world, &desired)));
}

#[test]
fn servers_are_published_or_not_as_clients_reach_them() {
    let (desired, mut world) = published();
    // What nobody looked at changes nothing.
    world.reach = Reach::Unknown;
    assert_second_plan_is_empty(&world, &desired);
    world.reach = Reach::Direct;
    assert_eq!(
        reasons(&world, &desired),
        "a is no longer published, and is reached at 127.20.1.1:5432\nb is no longer published, and is reached at 127.20.1.2:5432"
    );
    finish(&mut world, &desired);
    let outer: IpAddr = "192.0.2.7".parse().unwrap();
    world.reach = Reach::Published(outer);
    assert_eq!(
        reasons(&world, &desired),
        "a is published at 192.0.2.7:15432\nb is published at 192.0.2.7:15433"
    );
    finish(&mut world, &desired);
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn clients_of_other_machines_are_let_in_where_a_server_is_published_to_them() {
    let rules = |host: &str| {
        let (desired, mut world) = published();
        world.reach = Reach::Published(host.parse().unwrap());
        let plan = plan_for(&world, &desired).plan;
        let configured = plan.steps.iter().find_map(|step| match &step.action {
            Action::Configure { instance, .. } => Some(instance),
            _ => None,
        });
        let file = configured.expect("it moves").files.get("pg_hba.conf").unwrap();
        format!("{file:?}").replace("\\n", "\n")
    };
    let outer = rules("192.0.2.7");
    assert!(outer.contains("host all all all scram-sha-256"), "{outer}");
    // Standbys come from the network of the nodes, whoever else is let in.
    assert!(
        outer.contains("host replication replicator 127.0.0.1/32 scram-sha-256"),
        "{outer}"
    );
    let inner = rules("127.0.0.2");
    assert!(inner.contains("host all all 127.0.0.1/32 scram-sha-256"), "{inner}");
}

#[test]
fn a_creation_that_was_cut_off_keeps_the_ports_that_its_servers_have() {
    let mut desired = orders(&["a", "b"]);
    subnet(&mut desired, 1);
    for cut in 0..6 {
        let mut world = World {
            reach: Reach::Published(LOOPBACK),
            ..World::default()
        };
        let planned = plan_for(&world, &desired);
        let _ = world.run(&planned.plan, Cut::After(cut));
        finish(&mut world, &desired);
        assert_eq!(
            places(&world).matches("127.0.0.1:1543").count(),
            2,
            "{}",
            places(&world)
        );
        for (node, directory) in &world.directories {
            assert_eq!(
                directory.published,
                world.state.nodes[node].place.as_ref().unwrap().published()
            );
        }
    }
}
