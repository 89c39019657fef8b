//! How much of its machine a server may take: limits change while it runs, and go with a restart.

use expect_test::expect;

use super::*;
use crate::plan::Action;

const SOME: Resources = Resources {
    memory: Some(512 << 20),
    cpus: Some(1500),
    storage: Some(1 << 30),
};
const MORE: Resources = Resources {
    memory: Some(1 << 30),
    ..SOME
};

fn limit(desired: &mut Desired, resources: Resources) {
    for node in cluster(desired).nodes.values_mut() {
        node.resources = resources;
    }
}

fn limited() -> (Desired, World) {
    let mut desired = replicating(&["a", "b"], ReplicationMode::Sync, 1);
    limit(&mut desired, SOME);
    let mut world = World::default();
    finish(&mut world, &desired);
    (desired, world)
}

fn reasons(world: &World, desired: &Desired) -> String {
    let plan = plan_for(world, desired).plan;
    let steps = plan.steps.iter().filter(|step| step.action.name() == "configure");
    steps
        .map(|step| format!("{} {}: {}", step.address, step.impact, step.reason))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn another_limit_is_given_to_a_server_that_runs() {
    let (mut desired, mut world) = limited();
    limit(&mut desired, MORE);
    expect![[r#"
        cluster.orders.node.b reload: configuration: memory 512MB -> 1GB
        cluster.orders.node.a reload: configuration: memory 512MB -> 1GB"#]]
    .assert_eq(&reasons(&world, &desired));
    finish(&mut world, &desired);
    assert!(world.directories.values().all(|directory| directory.resources == MORE));
    assert!(world.state.nodes.values().all(|node| node.resources == MORE));
}

#[test]
fn a_limit_that_goes_takes_a_restart() {
    let (mut desired, mut world) = limited();
    limit(&mut desired, Resources { cpus: None, ..MORE });
    expect![[r#"
        cluster.orders.node.b write-pause: configuration: memory 512MB -> 1GB, no cpus any more
        cluster.orders.node.a downtime: configuration: memory 512MB -> 1GB, no cpus any more"#]]
    .assert_eq(&reasons(&world, &desired));
    finish(&mut world, &desired);
    assert!(
        world
            .directories
            .values()
            .all(|directory| directory.resources.cpus.is_none())
    );
}

#[test]
fn limits_that_somebody_changed_have_drifted_and_other_settings_change_with_them() {
    let (mut desired, mut world) = limited();
    world
        .directories
        .get_mut(&address("cluster.orders.node.b"))
        .unwrap()
        .resources = MORE;
    let settings = BTreeMap::from([("shared_buffers".to_owned(), "64MB".to_owned())]);
    let spec = cluster(&mut desired).nodes.get_mut(&"b".parse().unwrap()).unwrap();
    spec.parameters = settings;
    expect!["cluster.orders.node.b write-pause: configuration: shared_buffers = 64MB; drift: memory is 1GB in place of 512MB"]
        .assert_eq(&reasons(&world, &desired));
    finish(&mut world, &desired);
}

#[test]
fn a_volume_has_its_size_from_the_task_on_that_fills_it() {
    let mut desired = replicating(&["a", "b"], ReplicationMode::Sync, 1);
    limit(&mut desired, SOME);
    let plan = plan_for(&World::default(), &desired).plan;
    let tasks = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Primary { birth: task, .. } | Action::Clone { task, .. } => Some(task.storage),
        _ => None,
    });
    assert_eq!(tasks.collect::<Vec<_>>(), [SOME.storage, SOME.storage]);
}

#[test]
fn volumes_get_larger_under_servers_that_run_and_never_smaller() {
    let (mut desired, mut world) = limited();
    let of_size = |storage| Resources {
        storage: Some(storage),
        ..SOME
    };
    limit(&mut desired, of_size(2 << 30));
    expect![[r#"
        cluster.orders.node.b reload: configuration: storage 1GB -> 2GB
        cluster.orders.node.a reload: configuration: storage 1GB -> 2GB"#]]
    .assert_eq(&reasons(&world, &desired));
    finish(&mut world, &desired);
    limit(&mut desired, SOME);
    assert_eq!(reasons(&world, &desired), "");
    let planned = plan_for(&world, &desired);
    let told = diagnostics(&planned);
    assert!(
        told.contains("Volume does not get smaller: The volume of cluster.orders.node.b has 2GB"),
        "{told}"
    );
    assert!(planned.plan.is_empty(), "{told}");
}

#[test]
fn a_platform_that_limits_nothing_refuses_limits() {
    let (desired, world) = limited();
    let mut observed = world.observe();
    for platform in observed.platforms.values_mut() {
        platform.unlimited = Some("It limits nothing.".to_owned());
    }
    let planned = plan(Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    });
    expect!["Servers cannot be limited there: It limits nothing."].assert_eq(diagnostics(&planned).trim());
}
