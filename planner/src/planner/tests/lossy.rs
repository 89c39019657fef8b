//! What a failover gives up whose loss somebody has accepted, and what becomes of standbys that have it.

use std::collections::BTreeSet;

use expect_test::expect;

use super::role::{check_proposal, lossy_failover, plan_of, quorum};
use super::*;
use crate::planner::Proposal;

#[test]
fn a_standby_that_crashed_with_more_than_a_lossy_failover_kept_is_cloned() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    let name = "orders".parse().unwrap();
    world.write(&name, &BTreeSet::from([address("cluster.orders.node.r[1]")]));
    world.kill(&address("cluster.orders.node.a"));
    world.kill(&address("cluster.orders.node.r[1]"));
    let lossy = lossy_failover(Some("r[0]"));
    world.lossy = true;
    let planned = plan_of(&world, &desired, &lossy);
    assert!(
        steps(&planned).contains("basebackup cluster.orders.node.r[1]"),
        "{}",
        steps(&planned)
    );
    world.run(&planned, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_standby_that_may_have_more_than_the_winner_never_streams_as_it_is() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.a"));
    world.kill(&address("cluster.orders.node.r[0]"));
    world.lossy = true;
    check_proposal(
        &mut world,
        &desired,
        &lossy_failover(None),
        &expect![[r#"
            0 elect cluster.orders after [] none
            1 fence cluster.orders.node.a after [0] none
            2 slot cluster.orders.node.a after [0] none
            3 slot cluster.orders.node.r[0] after [0] none
            4 promote cluster.orders.node.r[1] after [1] data-loss
            5 rewind cluster.orders.node.a after [2 4] none
            6 standby cluster.orders.node.a after [5] none
            7 basebackup cluster.orders.node.r[0] after [3 4] none
            8 standby cluster.orders.node.r[0] after [7] none
            9 drop-slot cluster.orders.node.r[0] after [6 8] none
            10 drop-slot cluster.orders.node.r[1] after [6] none
            11 endpoint cluster.orders.endpoint.ro after [4] none
            12 endpoint cluster.orders.endpoint.rw after [4] none
            13 verify-sync cluster.orders after [6 8 11 12] none
        "#]],
    );
}

/// A cluster that lost its primary, where a failover to `d` gives up what `b` has received. `c` streams from `b`.
fn b_has_more() -> (Desired, World, Proposal) {
    let mut desired = quorum(&["a", "b", "c", "d"]);
    follow(&mut desired, "c", "b");
    let mut world = applied(&desired);
    let name = "orders".parse().unwrap();
    world.write(&name, &BTreeSet::from([address("cluster.orders.node.b")]));
    world.kill(&address("cluster.orders.node.a"));
    world.lossy = true;
    (desired, world, lossy_failover(Some("d")))
}

#[test]
fn a_standby_of_one_that_is_brought_in_line_with_a_new_primary_is_brought_in_line_as_well() {
    for received in [true, false] {
        let (desired, mut world, lossy) = b_has_more();
        if received {
            world.send(&address("cluster.orders.node.b"));
        }
        // It may receive what `b` has until that is stopped.
        let planned = plan_of(&world, &desired, &lossy);
        let copies = planned.steps.iter().find(|step| step.action.name() == "basebackup");
        let copies = copies.map(|step| (step.address.to_string(), step.reason.clone()));
        let expected = ("cluster.orders.node.c", "it may hold writes that b does not have");
        assert_eq!(copies, Some((expected.0.to_owned(), expected.1.to_owned())));
        world.run(&planned, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
    }
}

#[test]
fn a_standby_that_was_stopped_to_be_brought_in_line_still_is_where_the_run_was_cut_off() {
    let (desired, mut world, lossy) = b_has_more();
    let planned = plan_of(&world, &desired, &lossy);
    let stops = planned.steps.iter().filter(|step| step.action.name() == "stop").count();
    assert_eq!(stops, 2, "{}", steps(&planned));
    let rewind = position(&planned, "rewind").min(position(&planned, "basebackup"));
    let last = planned
        .steps
        .iter()
        .rposition(|step| step.action.name() == "stop")
        .unwrap();
    world.run(&planned, Cut::Before(rewind.max(last + 1))).unwrap();
    let next = plan_for(&world, &desired);
    assert_eq!(diagnostics(&next), "");
    world.run(&next.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}
