//! `primary` names another node than the one that leads: when that takes over, and what is mended before.

use expect_test::expect;

use super::role::{election, plan_of, quorum};
use super::*;
use crate::observed::Observation;
use crate::planner::ElectionKind;

fn pinned(desired: &Desired, node: &str) -> Desired {
    let mut desired = desired.clone();
    cluster(&mut desired).primary = Some(node.parse().unwrap());
    desired
}

fn leader(world: &World) -> String {
    world.state.elections[&"orders".parse().unwrap()].primary.to_string()
}

#[test]
fn a_node_that_primary_names_and_that_is_down_is_started_and_takes_over_with_the_next_apply() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.r[0]"));
    let pinned = pinned(&desired, "r[0]");
    let planned = plan_for(&world, &pinned);
    assert_eq!(diagnostics(&planned), "");
    expect![[r#"
        0 start cluster.orders.node.r[0] after [] none
        1 verify-sync cluster.orders after [0] none
    "#]]
    .assert_eq(&steps(&planned.plan));
    expect!["cluster.orders stays led by a while this plan runs, since r[0] cannot take over yet: its server does not answer. r[0] becomes primary with the next apply."]
        .assert_eq(&planned.plan.notes.join("\n"));
    world.run(&planned.plan, Cut::Never).unwrap();
    finish(&mut world, &pinned);
    assert_eq!(leader(&world), "r[0]");
}

#[test]
fn a_primary_that_is_down_is_started_before_the_node_that_primary_names_takes_over() {
    let desired = quorum(&["a", "r[0]"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.a"));
    let pinned = pinned(&desired, "r[0]");
    let planned = plan_for(&world, &pinned);
    assert_eq!(diagnostics(&planned), "");
    world.run(&planned.plan, Cut::Never).unwrap();
    finish(&mut world, &pinned);
    assert_eq!(leader(&world), "r[0]");
}

#[test]
fn a_node_that_primary_names_and_that_is_stopped_on_request_says_what_starts_it_and_can_be_started() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    world
        .run(&propose(&world, &desired, &["r[0]"], Power::Stopped).plan, Cut::Never)
        .unwrap();
    let pinned = pinned(&desired, "r[0]");
    expect![[r#"
        Switchover is refused: orders.r[0] cannot take over from a: it is stopped on request. Start it with `simdb start orders.r[0]`, or choose another node.
    "#]]
    .assert_eq(&diagnostics(&plan_for(&world, &pinned)));
    let start = propose(&world, &pinned, &["r[0]"], Power::Running);
    assert_eq!(diagnostics(&start), "");
    world.run(&start.plan, Cut::Never).unwrap();
    finish(&mut world, &pinned);
    assert_eq!(leader(&world), "r[0]");
}

#[test]
fn a_node_that_primary_names_and_that_nothing_in_the_plan_mends_is_refused() {
    let desired = quorum(&["a", "r[0]"]);
    let world = applied(&desired);
    let pinned = pinned(&desired, "r[0]");
    let mut observed = world.observe();
    let silent = Observation::Unknown("did not answer within 2s".to_owned());
    if let Some(Observation::Seen(facts)) = observed.nodes.get_mut(&address("cluster.orders.node.r[0]")) {
        facts.server = Some(silent);
    }
    let planned = plan(Inputs {
        desired: &pinned,
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    });
    expect![[r#"
        Switchover is refused: orders.r[0] cannot take over from a: its server does not answer. Start it with `simdb apply`, or choose another node.
    "#]]
    .assert_eq(&diagnostics(&planned));
}

#[test]
fn an_election_that_was_cut_off_is_carried_through_before_the_node_that_primary_names_takes_over() {
    let desired = quorum(&["a", "b", "c"]);
    for until in ["fence", "promote"] {
        let mut world = applied(&desired);
        let switchover = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
        world
            .run(&switchover, Cut::Before(position(&switchover, until)))
            .unwrap();
        world.kill(&address("cluster.orders.node.c"));
        let pinned = pinned(&desired, "c");
        let planned = plan_for(&world, &pinned);
        assert_eq!(diagnostics(&planned), "");
        expect!["cluster.orders comes to be led by b with this plan, since c cannot take over yet: b was elected before and takes over first. c becomes primary with the next apply."]
            .assert_eq(&planned.plan.notes.join("\n"));
        world.run(&planned.plan, Cut::Never).unwrap();
        assert_eq!(leader(&world), "b");
        finish(&mut world, &pinned);
        assert_eq!(leader(&world), "c");
    }
}
