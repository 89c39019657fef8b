//! Data that nothing but a copy helps, and nodes that a verification found to differ.

use std::collections::BTreeSet;

use simdb_state::lsn::Lsn;
use simdb_state::object::Damage;

use super::role::{election, proposed, quorum};
use super::*;
use crate::observed::{Control, Observation};

fn reasons(plan: &Plan, action: &str, node: &str) -> String {
    let address = address(&format!("cluster.orders.node.{node}"));
    let mut steps = plan.steps.iter();
    let step = steps.find(|step| step.action.name() == action && step.address == address.clone().into());
    step.unwrap_or_else(|| panic!("no {action} of {node} in\n{}", crate::planner::tests::steps(plan)))
        .reason
        .clone()
}

fn applied(desired: &Desired) -> World {
    let mut world = World::default();
    let planned = plan_for(&world, desired);
    world.run(&planned.plan, Cut::Never).unwrap();
    world
}

/// Lets a primary write what one standby alone receives, and forget all that nothing retains.
fn write_and_forget(world: &mut World) {
    let receives = BTreeSet::from([address("cluster.orders.node.c")]);
    world.write(&"orders".parse().unwrap(), &receives);
    world.inject(&Fault::ForgetLog(0));
}

fn drop_slot(world: &mut World, node: &str) {
    let directory = world.directories.get_mut(&address("cluster.orders.node.a")).unwrap();
    assert!(directory.slots.remove(node));
}

fn settle(world: &mut World, desired: &Desired) {
    let planned = plan_for(world, desired);
    assert_eq!(diagnostics(&planned), "");
    world.run(&planned.plan, Cut::Never).unwrap();
    let next = plan_for(world, desired);
    assert_eq!(steps(&next.plan), "");
}

#[test]
fn a_standby_that_is_down_without_slot_and_log_is_cloned() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.b"));
    drop_slot(&mut world, "b");
    write_and_forget(&mut world);
    let plan = plan_for(&world, &desired).plan;
    assert_eq!(
        reasons(&plan, "basebackup", "b"),
        "b needs WAL from 0/3000000 on, and the oldest that a has is 0/3000100"
    );
    settle(&mut world, &desired);
}

#[test]
fn a_standby_that_is_down_without_slot_goes_on_where_the_log_is_there() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.b"));
    drop_slot(&mut world, "b");
    let plan = plan_for(&world, &desired).plan;
    assert!(plan.steps.iter().all(|step| step.action.name() != "basebackup"));
    settle(&mut world, &desired);
}

#[test]
fn what_a_step_found_out_about_data_lets_the_next_plan_clone_it() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.b"));
    drop_slot(&mut world, "b");
    write_and_forget(&mut world);
    // A slot that somebody made too late: what its standby needs is gone all the same.
    let directory = world.directories.get_mut(&address("cluster.orders.node.a")).unwrap();
    directory.slots.insert("b".to_owned());
    let planned = plan_for(&world, &desired);
    assert!(world.run(&planned.plan, Cut::Never).is_err());
    let damage = world.state.nodes[&address("cluster.orders.node.b")].damage.clone();
    assert!(matches!(damage, Some(Damage::Unrecoverable(_))), "{damage:?}");
    settle(&mut world, &desired);
}

#[test]
fn a_node_that_was_found_to_differ_takes_no_lead_and_stays_as_it_is_until_a_resync() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    world.inject(&Fault::Differ(1));
    let planned = plan_for(&world, &desired);
    assert_eq!(steps(&planned.plan), "");
    assert!(planned.plan.notes[0].contains("It takes no lead until its data is made anew"));
    let to_b = election(ElectionKind::Switchover, Some("b"));
    let refused = diagnostics(&proposed(&world, &desired, &to_b));
    assert!(
        refused.contains("its data has to be made anew with `simdb resync` first (a table holds fewer rows)"),
        "{refused}"
    );
    let other = proposed(&world, &desired, &election(ElectionKind::Switchover, None));
    assert_eq!(diagnostics(&other), "");
    let resync = Proposal::resync([address("cluster.orders.node.b")]);
    let plan = proposed(&world, &desired, &resync).plan;
    assert_eq!(
        reasons(&plan, "basebackup", "b"),
        "a resync copies its data anew: a table holds fewer rows"
    );
    world.run(&plan, Cut::Never).unwrap();
    assert_eq!(diagnostics(&proposed(&world, &desired, &to_b)), "");
}

#[test]
fn a_failover_to_a_node_that_was_found_to_differ_takes_somebody_who_accepts_a_loss() {
    let desired = quorum(&["a", "b"]);
    let mut world = applied(&desired);
    world.inject(&Fault::Differ(1));
    world.kill(&address("cluster.orders.node.a"));
    let failover = election(ElectionKind::Failover, None);
    let refused = diagnostics(&proposed(&world, &desired, &failover));
    assert!(refused.contains("add -promote b -allow=data-loss"), "{refused}");
    let lossy = Proposal::Election(ElectionRequest {
        cluster: "orders".parse().unwrap(),
        kind: ElectionKind::Failover,
        to: Some("b".parse().unwrap()),
        lossy: true,
        assurance: Assurance::Proof,
    });
    let planned = proposed(&world, &desired, &lossy);
    assert_eq!(diagnostics(&planned), "");
    world.lossy = true;
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_eq!(world.state.nodes[&address("cluster.orders.node.b")].damage, None);
}

#[test]
fn a_node_whose_upstream_is_about_to_be_cloned_is_cloned_where_its_log_will_begin_too_late() {
    let mut desired = quorum(&["a", "b", "c"]);
    let follows = desired.clusters.values_mut().next().unwrap();
    follows.nodes.get_mut(&"c".parse().unwrap()).unwrap().follows = Some("b".parse().unwrap());
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.c"));
    world.inject(&Fault::RemoveData(1));
    let mut observed = world.observe();
    for (node, at) in [("a", 0x0500_0100), ("c", 0x0300_0100)] {
        let seen = observed.nodes.get_mut(&address(&format!("cluster.orders.node.{node}")));
        let Some(Observation::Seen(facts)) = seen else {
            panic!("{node} is there")
        };
        if let Some(Observation::Seen(server)) = &mut facts.server {
            server.position = Lsn(at);
        }
        if let Control::Seen(control) = &mut facts.control {
            control.checkpoint = Lsn(at);
        }
    }
    let plan = plan(Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    })
    .plan;
    assert_eq!(
        reasons(&plan, "basebackup", "c"),
        "c needs WAL from 0/3000100 on, and the oldest that b has is 0/5000000"
    );
}

#[test]
fn a_standby_that_was_away_during_a_role_change_is_cloned_where_the_new_primary_no_longer_has_its_log() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.c"));
    let without = quorum(&["a", "b"]);
    let switchover = proposed(&world, &without, &election(ElectionKind::Switchover, Some("b"))).plan;
    let leaves = switchover
        .steps
        .iter()
        .position(|step| step.action.name() == "drop-node");
    world.run(&switchover, Cut::Before(leaves.unwrap())).unwrap();
    world.write(
        &"orders".parse().unwrap(),
        &BTreeSet::from([address("cluster.orders.node.a")]),
    );
    world.inject(&Fault::ForgetLog(1));
    let plan = plan_for(&world, &desired).plan;
    assert_eq!(
        reasons(&plan, "basebackup", "c"),
        "c needs WAL from 0/3000000 on, and the oldest that b has is 0/3000100"
    );
    settle(&mut world, &desired);
}
