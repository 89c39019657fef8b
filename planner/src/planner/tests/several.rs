//! Clusters whose nodes are on several platforms: how they reach each other, what is made where, and what becomes of plans while one
//! of the platforms does not answer.

use expect_test::expect;
use simdb_state::delta::Edit;
use simdb_state::name::PlatformName;

use super::role::{election, proposed};
use super::*;
use crate::observed::{Observation, Observed, PlatformProblem, Reach};
use crate::plan::{Action, Step};
use crate::planner::scope::Pattern;

const WEST: &str = "far.west";

/// A primary `a`, a standby `b` in the west, and a standby `c` beside the primary.
fn across() -> (Desired, World) {
    let (mut desired, mut world) = beside();
    put_west(&mut desired, "b");
    finish(&mut world, &desired);
    (desired, world)
}

/// The same, with all nodes beside each other, and nothing made.
fn beside() -> (Desired, World) {
    let mut desired = replicating(&["a", "b", "c"], ReplicationMode::Sync, 1);
    subnet(&mut desired, 1);
    desired.networks.values_mut().next().unwrap().reachable = true;
    let world = World {
        reach: Reach::Published("192.0.2.7".parse().unwrap()),
        elsewhere: BTreeMap::from([(west(), Reach::Published("192.0.2.8".parse().unwrap()))]),
        ..World::default()
    };
    (desired, world)
}

fn west() -> PlatformName {
    WEST.parse().unwrap()
}

fn put_west(desired: &mut Desired, node: &str) {
    let spec = cluster(desired).nodes.get_mut(&node.parse().unwrap()).unwrap();
    spec.platform = Some(west());
}

/// Where each node streams from, and whose login the primary lets in from where.
fn streams(world: &World) -> String {
    let line = |(address, directory): (&NodeAddress, &crate::simulate::InstanceDirectory)| {
        let upstream = directory.upstream().map(|at| at.to_string());
        format!("{} {}\n", address.node, upstream.unwrap_or_else(|| "leads".to_owned()))
    };
    world.directories.iter().map(line).collect()
}

/// Lets the west give no answer.
fn without_west(world: &World) -> Observed {
    let mut observed = world.observe();
    let silence = "nothing listens there".to_owned();
    let facts = observed.platforms.get_mut(&west()).unwrap();
    *facts = crate::observed::PlatformFacts::default();
    facts.problems.insert(PlatformProblem {
        argument: None,
        detail: "The west gives no answer.".to_owned(),
    });
    let unknown = Observation::Unknown(silence);
    observed.nodes.insert(address("cluster.orders.node.b"), unknown);
    observed
}

fn planned(desired: &Desired, world: &World, observed: &Observed) -> Planned {
    plan(Inputs {
        desired,
        recorded: &world.state,
        observed,
        proposal: None,
    })
}

#[test]
fn nodes_reach_those_of_other_platforms_where_these_are_published() {
    let (desired, mut world) = across();
    expect![[r#"
        a leads
        b 192.0.2.7:15432
        c 127.20.1.1:5432
    "#]]
    .assert_eq(&streams(&world));
    let node = &world.state.nodes[&address("cluster.orders.node.b")];
    assert_eq!(node.platform, Some(west()));
    assert_eq!(world.state.networks.values().next().unwrap().also_on, [west()].into());
    // The lead passes there, and all others come from elsewhere.
    let proposal = election(ElectionKind::Switchover, Some("b"));
    let switchover = proposed(&world, &desired, &proposal);
    assert_eq!(diagnostics(&switchover), "");
    world.run(&switchover.plan, Cut::Never).unwrap();
    expect![[r#"
        a 192.0.2.8:15432
        b leads
        c 192.0.2.8:15432
    "#]]
    .assert_eq(&streams(&world));
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_node_that_comes_to_be_elsewhere_is_let_in_first_and_others_stay_as_they_are() {
    let (mut desired, mut world) = beside();
    let all = desired.clone();
    cluster(&mut desired).nodes.remove(&"b".parse().unwrap());
    finish(&mut world, &desired);
    let mut desired = all;
    put_west(&mut desired, "b");
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 network network.lan after [] none
            1 configure cluster.orders.node.c after [] reload
            2 configure cluster.orders.node.a after [1] reload
            3 slot cluster.orders.node.b after [2] none
            4 basebackup cluster.orders.node.b after [0 3] none
            5 standby cluster.orders.node.b after [4] none
            6 endpoint cluster.orders.endpoint.ro after [5] none
            7 endpoint cluster.orders.endpoint.rw after [5] none
            8 sync-names cluster.orders after [5] reload
            9 verify-sync cluster.orders after [6 7 8] none
        "#]],
    );
}

#[test]
fn the_login_of_standbys_alone_is_let_in_from_everywhere_where_some_are_elsewhere() {
    let (mut desired, world) = beside();
    let rules = |desired: &Desired| {
        let plan = plan_for(&world, desired).plan;
        let born = plan.steps.iter().find_map(|step| match &step.action {
            Action::Primary { instance, .. } => Some(instance),
            _ => None,
        });
        format!("{:?}", born.unwrap().files.get("pg_hba.conf").unwrap()).replace("\\n", "\n")
    };
    let near = rules(&desired);
    assert!(
        near.contains("host replication replicator 127.0.0.1/32 scram-sha-256"),
        "{near}"
    );
    put_west(&mut desired, "b");
    let far = rules(&desired);
    assert!(far.contains("host replication replicator all scram-sha-256"), "{far}");
}

#[test]
fn a_new_endpoint_says_that_its_name_leads_no_client_to_another_platform() {
    let (mut desired, mut world) = beside();
    let notes = |world: &World, desired: &Desired| plan_for(world, desired).plan.notes;
    assert_eq!(notes(&world, &desired), Vec::<String>::new());
    put_west(&mut desired, "b");
    let told = notes(&world, &desired);
    assert!(
        told[0].starts_with("cluster.orders.endpoint.ro leads clients"),
        "{told:?}"
    );
    finish(&mut world, &desired);
    assert_eq!(notes(&world, &desired), Vec::<String>::new());
}

#[test]
fn a_part_of_a_network_goes_with_the_last_node_there() {
    let (mut desired, mut world) = across();
    cluster(&mut desired).nodes.remove(&"b".parse().unwrap());
    let planned = plan_for(&world, &desired);
    let step = |name: &str| planned.plan.steps.iter().position(|step| step.action.name() == name);
    let leaves = &planned.plan.steps[step("drop-network").unwrap()];
    assert_eq!(leaves.reason, "no node in it is on far.west any more");
    assert!(step("drop-node") < step("drop-network"), "{}", steps(&planned.plan));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
    assert!(world.networks.values().all(|network| network.also_on.is_empty()));
}

#[test]
fn a_part_of_a_network_that_its_platform_lost_is_made_again() {
    let (desired, mut world) = across();
    world.networks.values_mut().next().unwrap().also_on.clear();
    let planned = plan_for(&world, &desired);
    let reasons: Vec<&str> = planned.plan.steps.iter().map(|step| step.reason.as_str()).collect();
    assert_eq!(reasons, ["drift: far.west no longer has it as simdb made it"]);
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_node_stays_where_its_data_is() {
    let (mut desired, world) = across();
    put_west(&mut desired, "c");
    expect![[r#"
        Platform cannot be changed: cluster.orders.node.c runs on provider local, and its server and data cannot move to far.west. Set provider = local for it again. To have a node on far.west, declare one of another name there, apply, and then remove this one.
    "#]].assert_eq(&diagnostics(&plan_for(&world, &desired)));
}

#[test]
fn a_platform_that_does_not_answer_keeps_no_plan_from_being_made_that_does_nothing_there() {
    let (mut desired, world) = across();
    let observed = without_west(&world);
    let nothing = planned(&desired, &world, &observed);
    assert_eq!(steps(&nothing.plan), "");
    expect![[r#"
        Platform cannot be used: The west gives no answer. This plan does nothing on it, and the state of its servers is unknown.
    "#]]
    .assert_eq(&diagnostics(&nothing));
    expect![[r#"
        cluster.orders.node.b: it could not be looked at: nothing listens there
    "#]]
    .assert_eq(&not_compared(&nothing));
    let set = |desired: &mut Desired, node: &str| {
        let spec = cluster(desired).nodes.get_mut(&node.parse().unwrap()).unwrap();
        spec.parameters.insert("work_mem".to_owned(), "8MB".to_owned());
    };
    set(&mut desired, "c");
    let elsewhere = planned(&desired, &world, &observed);
    assert!(!elsewhere.diagnostics.iter().any(Diagnostic::is_error));
    assert!(!elsewhere.plan.is_empty());
    set(&mut desired, "b");
    let there = planned(&desired, &world, &observed);
    expect![[r#"
        Platform cannot be used: The west gives no answer.
    "#]]
    .assert_eq(&diagnostics(&there));
    assert!(there.plan.is_empty());
}

#[test]
fn a_creation_across_platforms_that_is_cut_off_anywhere_is_finished_by_the_next_plan() {
    let (mut desired, world) = beside();
    put_west(&mut desired, "b");
    let length = plan_for(&world, &desired).plan.steps.len();
    for cut in 0..length {
        let mut world = world.clone();
        let plan = plan_for(&world, &desired).plan;
        let _ = world.run(&plan, Cut::After(cut));
        finish(&mut world, &desired);
    }
}

#[test]
fn a_plan_of_a_node_elsewhere_alone_has_its_part_of_the_network() {
    let (mut desired, mut world) = beside();
    let all = desired.clone();
    cluster(&mut desired).nodes.remove(&"b".parse().unwrap());
    finish(&mut world, &desired);
    let mut desired = all;
    put_west(&mut desired, "b");
    let scope = Scope {
        targets: vec![Pattern::new("cluster.orders.node.b")],
        ..Scope::default()
    };
    let inputs = Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &world.observe(),
        proposal: None,
    };
    let planned = plan_within(inputs, &scope);
    expect![[r#"
        0 network network.lan after [] none
        1 configure cluster.orders.node.a after [] reload
        2 slot cluster.orders.node.b after [1] none
        3 basebackup cluster.orders.node.b after [0 2] none
        4 standby cluster.orders.node.b after [3] none
    "#]]
    .assert_eq(&steps(&planned.plan));
    world.run(&planned.plan, Cut::Never).unwrap();
    finish(&mut world, &desired);
}

#[test]
fn a_part_of_another_network_is_none_of_the_own_one() {
    let (desired, world) = across();
    let mut state = world.state.clone();
    let own = state.networks.values().next().unwrap().clone();
    let step = world_step(&world, &desired);
    assert_eq!(crate::guard::check(&step, &state), Ok(()));
    for network in state.networks.values_mut() {
        network.also_on.clear();
    }
    state.networks.insert("wan".parse().unwrap(), own);
    assert_eq!(
        crate::guard::check(&step, &state).unwrap_err().to_string(),
        format!("the network of its cluster is not recorded to have a part on {WEST}")
    );
}

/// Returns the step that starts the server in the west, which was killed.
fn world_step(world: &World, desired: &Desired) -> Step {
    let mut world = world.clone();
    world.kill(&address("cluster.orders.node.b"));
    let plan = plan_for(&world, desired).plan;
    let in_the_west = |step: &Step| step.delta.0.iter().any(|edit| matches!(edit, Edit::Instance(_)));
    plan.steps.into_iter().find(in_the_west).expect("it is started again")
}
