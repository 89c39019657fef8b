//! `-target` and `-exclude`: what is planned of a part, and what stays.

use expect_test::{Expect, expect};

use super::access::{primary, shop};
use super::{assert_second_plan_is_empty, cluster, created, diagnostics, not_compared, orders, steps};
use crate::desired::Desired;
use crate::observed::Observation;
use crate::planner::scope::{Pattern, Scope};
use crate::planner::{Inputs, Planned, plan_within};
use crate::simulate::{Cut, World};

fn only(patterns: &[&str]) -> Scope {
    Scope {
        targets: patterns.iter().map(|given| Pattern::new(given)).collect(),
        excludes: Vec::new(),
    }
}

fn but(patterns: &[&str]) -> Scope {
    Scope {
        targets: Vec::new(),
        excludes: only(patterns).targets,
    }
}

fn planned(world: &World, desired: &Desired, scope: &Scope) -> Planned {
    let inputs = Inputs {
        desired,
        recorded: &world.state,
        observed: &world.observe(),
        proposal: None,
    };
    plan_within(inputs, scope)
}

/// Plans within a scope, runs that, and plans everything: then nothing of the scope is left to do.
fn check(world: &mut World, desired: &Desired, scope: &Scope, expected: &Expect) {
    let within = planned(world, desired, scope);
    expected.assert_eq(&steps(&within.plan));
    for change in &within.plan.changes {
        let by_step = within.plan.steps.iter().any(|step| step.address == change.address);
        assert!(by_step || scope.contains(&change.address), "{}", change.address);
    }
    world.run(&within.plan, Cut::Never).unwrap();
    assert_eq!(
        steps(&planned(world, desired, scope).plan),
        "",
        "nothing is left of the scope"
    );
    let rest = planned(world, desired, &Scope::default());
    assert_eq!(diagnostics(&rest), "");
    world.run(&rest.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(world, desired);
}

#[test]
fn a_node_is_added_and_what_else_is_declared_stays_away() {
    let desired = orders(&["a", "r[0]", "r[1]", "r[2]"]);
    check(
        &mut created(&["a", "r[0]"]),
        &desired,
        &only(&["cluster.orders.node.r[2]"]),
        &expect![[r#"
            0 slot cluster.orders.node.r[2] after [] none
            1 basebackup cluster.orders.node.r[2] after [0] none
            2 standby cluster.orders.node.r[2] after [1] none
        "#]],
    );
}

#[test]
fn drift_outside_stays() {
    let mut world = created(&["a", "r[0]", "r[1]"]);
    let file = |world: &mut World, node: &str| {
        let directory = world.directories.get_mut(&super::address(node)).unwrap();
        directory.files.get_mut("pg_hba.conf").unwrap().edited = true;
    };
    file(&mut world, "cluster.orders.node.r[0]");
    file(&mut world, "cluster.orders.node.r[1]");
    check(
        &mut world,
        &orders(&["a", "r[0]", "r[1]"]),
        &only(&["cluster.*.node.r[1]"]),
        &expect![[r#"
            0 configure cluster.orders.node.r[1] after [] reload
        "#]],
    );
}

#[test]
fn a_removed_node_stays_where_it_is_excluded() {
    check(
        &mut created(&["a", "r[0]", "r[1]"]),
        &orders(&["a", "b"]),
        &but(&["cluster.orders.node.r"]),
        &expect![[r#"
            0 slot cluster.orders.node.b after [] none
            1 basebackup cluster.orders.node.b after [0] none
            2 standby cluster.orders.node.b after [1] none
            3 endpoint cluster.orders.endpoint.ro after [2] none
            4 endpoint cluster.orders.endpoint.rw after [2] none
            5 verify-sync cluster.orders after [3 4] none
        "#]],
    );
}

#[test]
fn commits_wait_for_no_excluded_node() {
    check(
        &mut created(&["a"]),
        &orders(&["a", "r[0]", "b"]),
        &but(&["cluster.orders.node.r", "cluster.orders.node.b"]),
        &expect![[""]],
    );
}

#[test]
fn what_needs_an_excluded_user_is_left_out_and_what_a_targeted_seed_needs_is_made() {
    let desired = shop(&["a"]);
    let mut world = created(&["a"]);
    let excluded = planned(&world, &desired, &but(&["cluster.orders.user.app"]));
    expect![[r#"
        0 user cluster.orders.user.readers after [] none
    "#]]
    .assert_eq(&steps(&excluded.plan));
    check(
        &mut world,
        &desired,
        &only(&["cluster.orders.seed.schema"]),
        &expect![[r#"
            0 user cluster.orders.user.readers after [] none
            1 user cluster.orders.user.app after [0] none
            2 database cluster.orders.database.app after [1] none
            3 seed cluster.orders.seed.schema after [2] none
        "#]],
    );
    assert!(primary(&mut world).users.contains_key("app"));
}

#[test]
fn a_new_cluster_begins_with_what_is_targeted_and_a_role_change_is_never_cut_in_half() {
    let desired = orders(&["a", "r[0]"]);
    let new = planned(&World::default(), &desired, &only(&["cluster.orders.node.a"]));
    expect![[r#"
        0 network network.lan after [] none
        1 primary cluster.orders.node.a after [0] none
    "#]]
    .assert_eq(&steps(&new.plan));
    let mut moved = orders(&["a", "r[0]"]);
    cluster(&mut moved).primary = Some("r[0]".parse().unwrap());
    check(
        &mut created(&["a", "r[0]"]),
        &moved,
        &only(&["cluster.orders"]),
        &expect![[r#"
            0 elect cluster.orders after [] none
            1 slot cluster.orders.node.a after [0] none
            2 fence cluster.orders.node.a after [1] write-pause
            3 promote cluster.orders.node.r[0] after [2] write-pause
            4 standby cluster.orders.node.a after [3] none
            5 drop-slot cluster.orders.node.r[0] after [4] none
            6 endpoint cluster.orders.endpoint.ro after [3] none
            7 endpoint cluster.orders.endpoint.rw after [3] none
            8 verify-sync cluster.orders after [4 6 7] none
        "#]],
    );
}

#[test]
fn nothing_is_dropped_because_what_it_needs_is_excluded() {
    let mut world = created(&["a"]);
    let before = planned(&world, &shop(&["a"]), &Scope::default());
    world.run(&before.plan, Cut::Never).unwrap();
    let mut desired = shop(&["a"]);
    let access = &mut cluster(&mut desired).access;
    let app = access.users[&"app".parse().unwrap()].clone();
    access.users.insert("ops".parse().unwrap(), app);
    access
        .databases
        .get_mut(&"app".parse().unwrap())
        .unwrap()
        .attributes
        .owner = "ops".to_owned();
    let excluded = planned(&world, &desired, &but(&["cluster.orders.user.ops"]));
    assert_eq!(
        (diagnostics(&excluded).lines().count(), steps(&excluded.plan).as_str()),
        (1, "")
    );
}

#[test]
fn an_unknown_address_is_an_error_with_what_is_like_it() {
    let world = created(&["a", "r[0]"]);
    let found = planned(
        &world,
        &orders(&["a", "r[0]"]),
        &only(&["cluster.order", "cluster.orders.node.z"]),
    );
    expect![[r#"
        Unknown address: Neither the configuration nor the record has cluster.order. Did you mean "cluster.orders"? To list the addresses, run: simdb state list
        Unknown address: Neither the configuration nor the record has cluster.orders.node.z. Did you mean "cluster.orders.node.a"? To list the addresses, run: simdb state list
    "#]].assert_eq(&diagnostics(&found));
    let warned = planned(&world, &orders(&["a", "r[0]"]), &only(&["cluster.orders"]));
    expect![[r#"
        Resource targeting is in effect: The plan is confined by -target, so it may not be all that the configuration asks for. Plan without it before you rely on the result.
    "#]].assert_eq(&diagnostics(&warned));
}

#[test]
fn what_could_not_be_looked_at_outside_is_not_told() {
    let world = created(&["a", "r[0]"]);
    let mut observed = world.observe();
    for node in observed.nodes.values_mut() {
        *node = Observation::Unknown("did not answer".to_owned());
    }
    let inputs = Inputs {
        desired: &orders(&["a", "r[0]"]),
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    };
    let found = plan_within(inputs, &only(&["cluster.orders.node.r"]));
    expect![[r#"
        cluster.orders.node.r[0]: it could not be looked at: did not answer
    "#]]
    .assert_eq(&not_compared(&found));
}
