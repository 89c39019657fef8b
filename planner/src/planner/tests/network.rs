//! Networks: made, missing, in the way, and of another platform.

use expect_test::expect;
use simdb_state::address::Address;
use simdb_state::object::Network;
use simdb_state::relocation::Move;

use super::{created, diagnostics, not_compared, orders, plan_for};
use crate::observed::{NetworkFacts, Observation};
use crate::planner::{Inputs, plan};
use crate::simulate::Cut;

fn name() -> simdb_state::name::NetworkName {
    "lan".parse().unwrap()
}

fn reasons(planned: &crate::planner::Planned) -> String {
    let line = |step: &crate::plan::Step| format!("{} {}: {}\n", step.action.name(), step.address, step.reason);
    planned.plan.steps.iter().map(line).collect()
}

#[test]
fn a_network_that_its_platform_lost_is_made_again() {
    let desired = orders(&["a", "r[0]"]);
    let mut world = created(&["a", "r[0]"]);
    world.networks.clear();
    let planned = plan_for(&world, &desired);
    expect![[r#"
        network network.lan: drift: the platform no longer has it as simdb made it
    "#]]
    .assert_eq(&reasons(&planned));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert!(world.networks.contains_key(&name()));
    super::assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_network_of_other_addresses_is_drift() {
    let desired = orders(&["a"]);
    let mut world = created(&["a"]);
    world.networks.insert(
        name(),
        Network {
            subnet: Some("127.20.9.0/28".to_owned()),
            ..world.state.networks[&name()].clone()
        },
    );
    let planned = plan_for(&world, &desired);
    expect![[r#"
        network network.lan: drift: the platform no longer has it as simdb made it
    "#]]
    .assert_eq(&reasons(&planned));
    world.run(&planned.plan, Cut::Never).unwrap();
    super::assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_network_that_neither_record_nor_configuration_knows_is_removed() {
    let desired = orders(&["a"]);
    let mut world = created(&["a"]);
    let left = world.state.networks[&name()].clone();
    world.networks.insert("left".parse().unwrap(), left);
    let planned = plan_for(&world, &desired);
    expect![[r#"
        drop-network network.left: an interrupted run left it, and the configuration does not declare it
    "#]]
    .assert_eq(&reasons(&planned));
    world.run(&planned.plan, Cut::Never).unwrap();
    super::assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_network_that_cannot_be_looked_at_was_not_compared() {
    let world = created(&["a"]);
    let mut observed = world.observe();
    let unknown: Observation<NetworkFacts> = Observation::Unknown("the platform does not answer".to_owned());
    observed.networks.insert(name(), unknown);
    let planned = plan(Inputs {
        desired: &orders(&["a"]),
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    });
    assert!(planned.plan.is_empty());
    expect![[r#"
        network.lan: it could not be looked at: the platform does not answer
    "#]]
    .assert_eq(&not_compared(&planned));
}

#[test]
fn a_network_stays_on_its_platform_and_has_clusters_of_that_platform_alone() {
    let world = created(&["a"]);
    let mut desired = orders(&["a"]);
    desired.networks.get_mut(&name()).unwrap().platform = "cloud".parse().unwrap();
    let planned = plan_for(&world, &desired);
    expect![[r#"
        Platform cannot be changed: network.lan is on platform "local", and cannot move to "cloud". Declare another network there.
        Network is on another platform: Cluster orders runs on platform "local", and network.lan is on "cloud". Set provider = "local" in the network, or put the cluster into another one.
    "#]].assert_eq(&diagnostics(&planned));
}

#[test]
fn a_network_that_its_platform_knows_by_name_does_not_move() {
    let mut desired = orders(&["a"]);
    let mut world = created(&["a"]);
    let moved = Move {
        from: Address::Network("old".parse().unwrap()),
        to: Address::Network(name()),
    };
    desired.moved.push(moved);
    // Where every network is there from the start, the name is one of the record alone.
    assert!(plan_for(&world, &desired).plan.is_empty());
    let network = world.networks.remove(&name()).unwrap();
    world.networks.insert("old".parse().unwrap(), network);
    let planned = plan_for(&world, &desired);
    expect![[r#"
        Network cannot move: The platform of network.old knows it by that name, with all servers that are in it. Declare it by that name again, and remove the moved block.
    "#]].assert_eq(&diagnostics(&planned));
}

#[test]
fn what_is_new_cannot_have_the_place_of_what_moved_away() {
    let mut world = created(&["a", "r[0]"]);
    let moved = Move {
        from: "cluster.orders.node.r[0]".parse().unwrap(),
        to: "cluster.orders.node.b".parse().unwrap(),
    };
    world.state.relocate(&moved);
    let planned = plan_for(&world, &orders(&["a", "b", "r[0]"]));
    expect![[r#"
        Place is taken: cluster.orders.node.b was cluster.orders.node.r[0] before it moved, and still has the place of that name on its platform. Give what is new another name.
    "#]].assert_eq(&diagnostics(&planned));
}
