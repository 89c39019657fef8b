//! Servers that are made from another image: standbys first, then another node leads, then the one that led.

use expect_test::expect;

use simdb_state::identity::DataIdentity;

use super::role::{election, proposed};
use super::*;
use crate::planner::ElectionKind;

const OLD: &str = "db:15@sha256:0123456789abcdef";
const NEW: &str = "db:15@sha256:fedcba9876543210";

/// A cluster whose servers are made from the old image, while there is a new one.
fn outdated(nodes: &[&str]) -> (Desired, World) {
    let desired = replicating(nodes, ReplicationMode::Sync, u32::from(nodes.len() > 1));
    let mut world = World {
        images: vec![OLD.into()],
        ..World::default()
    };
    finish(&mut world, &desired);
    world.images = vec![NEW.into()];
    (desired, world)
}

/// The image of each node's server.
fn images(world: &World) -> String {
    let nodes = world.directories.iter();
    let images = nodes.map(|(address, directory)| {
        let image = directory
            .image
            .as_ref()
            .map_or_else(|| "-".to_owned(), ToString::to_string);
        format!("{} {image}", address.node)
    });
    images.collect::<Vec<_>>().join("\n")
}

fn reasons(world: &World, desired: &Desired) -> String {
    let plan = plan_for(world, desired).plan;
    let steps = plan
        .steps
        .iter()
        .filter(|step| matches!(step.action.name(), "configure" | "elect" | "standby"));
    steps
        .map(|step| format!("{} {}: {}", step.action.name(), step.address, step.reason))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn the_primary_is_replaced_after_a_standby_that_then_leads() {
    let (desired, mut world) = outdated(&["a", "b"]);
    expect![[r#"
        elect cluster.orders: b becomes primary in place of a, which gets another image (image: 0123456789ab -> fedcba987654)
        configure cluster.orders.node.b: image: 0123456789ab -> fedcba987654
        standby cluster.orders.node.a: a streams from b"#]].assert_eq(&reasons(&world, &desired));
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 elect cluster.orders after [] none
            1 slot cluster.orders.node.a after [0] none
            2 configure cluster.orders.node.b after [] write-pause
            3 fence cluster.orders.node.a after [1 2] write-pause
            4 promote cluster.orders.node.b after [3] write-pause
            5 standby cluster.orders.node.a after [4] none
            6 drop-slot cluster.orders.node.b after [5] none
            7 endpoint cluster.orders.endpoint.ro after [4] none
            8 endpoint cluster.orders.endpoint.rw after [4] none
            9 verify-sync cluster.orders after [5 7 8] none
        "#]],
    );
    expect![[r#"
        a db:15@sha256:fedcba9876543210
        b db:15@sha256:fedcba9876543210"#]]
    .assert_eq(&images(&world));
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn all_nodes_of_a_larger_cluster_are_replaced_one_after_the_other() {
    let (desired, mut world) = outdated(&["a", "b", "c"]);
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 elect cluster.orders after [] none
            1 slot cluster.orders.node.a after [0] none
            2 configure cluster.orders.node.b after [] restart
            3 slot cluster.orders.node.c after [0] none
            4 fence cluster.orders.node.a after [1 2 3] write-pause
            5 promote cluster.orders.node.b after [4] write-pause
            6 standby cluster.orders.node.a after [5] none
            7 drop-slot cluster.orders.node.b after [6] none
            8 configure cluster.orders.node.c after [6] restart
            9 follow cluster.orders.node.c after [8] reload
            10 drop-slot cluster.orders.node.c after [9] none
            11 endpoint cluster.orders.endpoint.ro after [5] none
            12 endpoint cluster.orders.endpoint.rw after [5] none
            13 verify-sync cluster.orders after [9 11 12] none
        "#]],
    );
    expect![[r#"
        a db:15@sha256:fedcba9876543210
        b db:15@sha256:fedcba9876543210
        c db:15@sha256:fedcba9876543210"#]]
    .assert_eq(&images(&world));
}

#[test]
fn a_primary_that_stays_is_replaced_in_place() {
    // Nobody can take over.
    let (desired, mut world) = outdated(&["a"]);
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 configure cluster.orders.node.a after [] downtime
        1 verify-sync cluster.orders after [0] none
    "#]],
    );
    // Somebody says who leads.
    let (mut desired, mut world) = outdated(&["a", "b"]);
    cluster(&mut desired).primary = Some("a".parse().unwrap());
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 configure cluster.orders.node.b after [] write-pause
        1 configure cluster.orders.node.a after [0] downtime
        2 verify-sync cluster.orders after [1] none
    "#]],
    );
}

#[test]
fn what_is_the_same_image_or_nobody_knows_replaces_nothing() {
    let (desired, mut world) = outdated(&["a", "b"]);
    for names in [&[][..], &[NEW, OLD]] {
        world.images = names.iter().map(|name| (*name).into()).collect();
        assert_second_plan_is_empty(&world, &desired);
    }
}

#[test]
fn a_replacement_that_was_cut_off_anywhere_is_finished_by_the_next_plan() {
    let (desired, world) = outdated(&["a", "b", "c"]);
    let plan = plan_for(&world, &desired).plan;
    for at in 0..plan.steps.len() {
        for cut in [Cut::Before(at), Cut::Within(at), Cut::After(at)] {
            let mut world = world.clone();
            let _ = world.run(&plan, cut);
            finish(&mut world, &desired);
            assert!(!images(&world).contains(OLD), "{at}: {}", images(&world));
            assert_second_plan_is_empty(&world, &desired);
        }
    }
}

#[test]
fn a_switchover_that_was_asked_for_replaces_the_same_nodes() {
    let (desired, mut world) = outdated(&["a", "b", "c"]);
    let planned = proposed(&world, &desired, &election(ElectionKind::Switchover, Some("c")));
    world.run(&planned.plan, Cut::Never).unwrap();
    finish(&mut world, &desired);
    assert!(!images(&world).contains(OLD), "{}", images(&world));
}

/// The changes of the image in a plan, one a line.
fn changes(plan: &Plan) -> String {
    let mut lines = Vec::new();
    for change in &plan.changes {
        for attribute in change.attributes.iter().filter(|attribute| attribute.name == "image") {
            lines.push(format!(
                "{} {:?} -> {:?}",
                change.address, attribute.before, attribute.after
            ));
        }
    }
    lines.join("\n")
}

fn recorded(world: &World) -> Vec<String> {
    let nodes = world.state.nodes.values();
    nodes
        .map(|node| node.image.as_ref().map(ToString::to_string).unwrap_or_default())
        .collect()
}

#[test]
fn the_image_is_an_attribute_of_a_node() {
    let desired = replicating(&["a", "b"], ReplicationMode::Sync, 1);
    let mut world = World {
        images: vec![OLD.into()],
        ..World::default()
    };
    expect![[r#"
        cluster.orders.node.a None -> Some(Value(String("db:15@sha256:0123456789abcdef")))
        cluster.orders.node.b None -> Some(Value(String("db:15@sha256:0123456789abcdef")))"#]]
    .assert_eq(&changes(&plan_for(&world, &desired).plan));
    finish(&mut world, &desired);
    assert_eq!(recorded(&world), [OLD, OLD]);
    world.images = vec![NEW.into()];
    expect![[r#"
        cluster.orders.node.a Some(Value(String("db:15@sha256:0123456789abcdef"))) -> Some(Value(String("db:15@sha256:fedcba9876543210")))
        cluster.orders.node.b Some(Value(String("db:15@sha256:0123456789abcdef"))) -> Some(Value(String("db:15@sha256:fedcba9876543210")))"#]]
    .assert_eq(&changes(&plan_for(&world, &desired).plan));
    finish(&mut world, &desired);
    assert_eq!(recorded(&world), [NEW, NEW]);
}

#[test]
fn an_image_that_is_fetched_with_the_plan_is_known_after_it() {
    let desired = replicating(&["a"], ReplicationMode::Async, 0);
    let world = World::default();
    let mut observed = world.observe();
    let platform = observed.platforms.values_mut().next().unwrap();
    platform.images.insert(EngineKind::Postgresql, BTreeMap::new());
    let planned = plan(Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    });
    expect!["cluster.orders.node.a None -> Some(KnownAfterApply)"].assert_eq(&changes(&planned.plan));
    // The step tells.
    let mut state = world.state.clone();
    for step in &planned.plan.steps {
        let outputs = Outputs {
            image: Some(Box::new(NEW.into())),
            identity: Some(DataIdentity::from(1)),
            ..Outputs::default()
        };
        state.apply(&step.delta, &outputs);
    }
    assert_eq!(state.nodes[&address("cluster.orders.node.a")].image, Some(NEW.into()));
}

#[test]
fn a_record_that_says_nothing_of_images_differs_from_none() {
    let (desired, mut world) = outdated(&["a", "b"]);
    world.images = vec![OLD.into()];
    for node in world.state.nodes.values_mut() {
        node.image = None;
    }
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_server_that_somebody_made_from_another_image_has_drifted() {
    let (desired, mut world) = outdated(&["a", "b"]);
    world.images = vec![OLD.into()];
    let standby = address("cluster.orders.node.b");
    world.directories.get_mut(&standby).unwrap().image = Some(NEW.into());
    let drifted = plan_for(&world, &Desired::recorded(&world.state, desired.local.clone())).plan;
    expect![[r#"cluster.orders.node.b Some(Value(String("db:15@sha256:fedcba9876543210"))) -> Some(Value(String("db:15@sha256:0123456789abcdef")))"#]]
        .assert_eq(&changes(&drifted));
    expect!["configure cluster.orders.node.b: drift: image is fedcba987654 in place of 0123456789ab"]
        .assert_eq(&reasons(&world, &desired));
    // Where it is the one that is wanted by now, the record alone says something else.
    let mut renewed = world.clone();
    renewed.images = vec![NEW.into()];
    for directory in renewed.directories.values_mut() {
        directory.image = Some(NEW.into());
    }
    check(
        &mut renewed,
        &desired,
        &expect![[r#"
            0 record cluster.orders.node.a after [] none
            1 record cluster.orders.node.b after [] none
        "#]],
    );
    assert_eq!(recorded(&renewed), [NEW, NEW]);
    finish(&mut world, &desired);
    assert!(!images(&world).contains(NEW), "{}", images(&world));
}
