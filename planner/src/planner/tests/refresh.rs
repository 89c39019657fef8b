//! `-refresh-only`: what the record takes over, and what it does not.

use super::access::{made, primary, reasons, shop};
use super::*;
use crate::planner::refresh;

fn refreshed(world: &World, desired: &Desired) -> Planned {
    let inputs = Inputs {
        desired,
        recorded: &world.state,
        observed: &world.observe(),
        proposal: None,
    };
    refresh(inputs, &Scope::default())
}

/// What the record takes over, a line each, and what is noted.
fn told(planned: &Planned) -> String {
    let steps = planned.plan.steps.iter();
    let lines = steps.map(|step| format!("{} {}: {}\n", step.action.name(), step.address, step.reason));
    let notes = planned.plan.notes.iter().map(|note| format!("note: {note}\n"));
    lines.chain(notes).collect()
}

/// What has drifted from the record.
fn drift(world: &World, desired: &Desired) -> String {
    reasons(&plan_for(
        world,
        &Desired::recorded(&world.state, desired.local.clone()),
    ))
}

#[test]
fn what_a_configuration_could_declare_is_accepted_and_then_a_difference_to_it() {
    let mut desired = shop(&["a", "r[0]"]);
    for node in cluster(&mut desired).nodes.values_mut() {
        node.parameters.insert("work_mem".to_owned(), "8MB".to_owned());
    }
    let mut world = made(&desired);
    let before = world.clone();
    let directory = primary(&mut world);
    directory.configured.insert("work_mem".to_owned(), "65536".to_owned());
    directory.users.get_mut("app").unwrap().createdb = true;
    let set = BTreeMap::from([("jit".to_owned(), "off".to_owned())]);
    directory.users.get_mut("app").unwrap().settings = BTreeMap::from([(String::new(), set)]);
    directory.databases.get_mut("app").unwrap().owner = "readers".to_owned();
    let planned = refreshed(&world, &desired);
    assert_eq!(diagnostics(&planned), "");
    expect![[r#"
        record cluster.orders.node.a: the record takes over what was seen: parameters.work_mem
        record cluster.orders.user.app: the record takes over what was seen: createdb, settings.jit
        record cluster.orders.database.app: the record takes over what was seen: owner
    "#]]
    .assert_eq(&told(&planned));
    let servers = format!("{:?}", world.directories);
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_eq!(
        format!("{:?}", world.directories),
        servers,
        "nothing changes on servers"
    );
    assert_eq!(drift(&world, &desired), "");
    assert_eq!(told(&refreshed(&world, &desired)), "");
    expect![[r#"
        configure a: configuration: work_mem 64MB -> 8MB
        user app: configuration: no createdb any more
        database app: configuration: owner readers -> app
    "#]]
    .assert_eq(&reasons(&plan_for(&world, &desired)));
    finish(&mut world, &desired);
    let mut put_back = before.state.users.clone();
    let app = put_back.get_mut(&"cluster.orders.user.app".parse().unwrap()).unwrap();
    // Nothing declares what sessions begin with: what was accepted stays.
    app.settings
        .clone_from(&world.state.users[&"cluster.orders.user.app".parse().unwrap()].settings);
    assert_eq!(world.state.users, put_back);
}

#[test]
fn what_is_gone_is_forgotten_and_made_anew_by_the_next_apply() {
    let desired = shop(&["a"]);
    let mut world = made(&desired);
    primary(&mut world).databases.clear();
    primary(&mut world).users.remove("app");
    let planned = refreshed(&world, &desired);
    expect![[r#"
        record cluster.orders.user.app: it is gone, and the record forgets it
        record cluster.orders.database.app: it is gone, and the record forgets it
        record cluster.orders.seed.data: it is gone, and the record forgets it
        record cluster.orders.seed.schema: it is gone, and the record forgets it
    "#]]
    .assert_eq(&told(&planned));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_eq!(drift(&world, &desired), "");
    finish(&mut world, &desired);
}

#[test]
fn what_keeps_a_cluster_going_and_what_is_unknown_is_never_accepted() {
    let desired = shop(&["a", "r[0]"]);
    let mut world = made(&desired);
    let directory = primary(&mut world);
    directory.users.get_mut("replicator").unwrap().replication = false;
    directory
        .configured
        .insert("archive_command".to_owned(), "hush".to_owned());
    directory
        .configured
        .insert("wal_level".to_owned(), "replica".to_owned());
    world.kill(&address("cluster.orders.node.r[0]"));
    let planned = refreshed(&world, &desired);
    assert!(planned.plan.is_empty(), "{}", told(&planned));
    assert_eq!(planned.after, world.state);
    expect![[r#"
        note: What differs of cluster.orders.node.a is not accepted (drift: archive_command of a is not the one that simdb made, wal_level of a is replica in place of logical): the next apply mends it.
        note: What differs of cluster.orders.node.r[0] is not accepted (its server is down, and is started in place, on the same timeline): the next apply mends it.
        note: What differs of cluster.orders.user.replicator is not accepted (standbys stream with it, and with it alone): the next apply mends it.
    "#]]
    .assert_eq(&told(&planned));
    let mut unasked = world.observe();
    for node in unasked.nodes.values_mut() {
        *node = crate::observed::Observation::Unknown("the platform does not answer".to_owned());
    }
    let blind = refresh(
        Inputs {
            desired: &desired,
            recorded: &world.state,
            observed: &unasked,
            proposal: None,
        },
        &Scope::default(),
    );
    assert!(blind.plan.steps.is_empty() && blind.after == world.state);
    assert_eq!(blind.not_compared.len(), 2);
}
