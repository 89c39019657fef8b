//! What is stopped and started on request, also in the midst of a role change.

use expect_test::expect;

use super::role::{election, lossy_failover, plan_of, proposed, quorum};
use super::*;
use crate::planner::ElectionKind;
use crate::simulate::Schedule;

#[test]
fn what_is_stopped_on_request_stays_stopped_and_comes_back_in_sync() {
    let desired = orders(&["a", "r[0]"]);
    let mut world = created(&["a", "r[0]"]);
    let stop = propose(&world, &desired, &["a", "r[0]"], Power::Stopped);
    assert_eq!(diagnostics(&stop), "");
    expect![[r#"
        0 stop cluster.orders.node.a after [] downtime
        1 stop cluster.orders.node.r[0] after [0] restart
    "#]]
    .assert_eq(&steps(&stop.plan));
    world.run(&stop.plan, Cut::Never).unwrap();
    assert!(world.directories.values().all(|directory| directory.server.is_none()));
    assert_second_plan_is_empty(&world, &desired);
    expect![[r#"
        cluster.orders.node.a is stopped on request. To start it, run: simdb start orders.a
        cluster.orders.node.r[0] is stopped on request. To start it, run: simdb start orders.r[0]"#]]
    .assert_eq(&plan_for(&world, &desired).plan.notes.join("\n"));
    let start = propose(&world, &desired, &["a", "r[0]"], Power::Running);
    expect![[r#"
        0 start cluster.orders.node.a after [] none
        1 start cluster.orders.node.r[0] after [0] none
        2 verify-sync cluster.orders after [1] none
    "#]]
    .assert_eq(&steps(&start.plan));
    world.run(&start.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_standby_stopped_on_request_is_left_out_of_everything_until_it_is_started() {
    let mut world = created(&["a", "r[0]", "r[1]"]);
    let desired = orders(&["a", "r[0]", "r[1]"]);
    world
        .run(&propose(&world, &desired, &["r[0]"], Power::Stopped).plan, Cut::Never)
        .unwrap();
    assert_second_plan_is_empty(&world, &desired);
    world.kill(&address("cluster.orders.node.r[1]"));
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 start cluster.orders.node.r[1] after [] none
        1 verify-sync cluster.orders after [0] none
    "#]],
    );
    // A node that is stopped can be removed like any other.
    check(
        &mut world,
        &orders(&["a", "r[1]"]),
        &expect![[r#"
        0 endpoint cluster.orders.endpoint.ro after [] none
        1 endpoint cluster.orders.endpoint.rw after [] none
        2 verify-sync cluster.orders after [0 1] none
        3 drop-node cluster.orders.node.r[0] after [2] none
        4 drop-slot cluster.orders.node.r[0] after [3] none
    "#]],
    );
}

#[test]
fn nobody_is_stopped_while_the_lead_passes() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    let plan = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
    world.run(&plan, Cut::Before(position(&plan, "promote"))).unwrap();
    let planned = propose(&world, &desired, &["b"], Power::Stopped);
    assert!(planned.plan.is_empty());
    expect![[r#"
        Role change is not finished: orders.b was elected, and does not lead yet. Let it take over with `simdb apply` first, or choose another node with `simdb switchover orders -to NODE`.
    "#]].assert_eq(&diagnostics(&planned));
    finish(&mut world, &desired);
}

#[test]
fn a_standby_that_is_stopped_on_request_is_started_to_lead_where_nobody_else_is_left() {
    let desired = quorum(&["a", "b"]);
    let mut world = applied(&desired);
    let stopped = propose(&world, &desired, &["b"], Power::Stopped);
    world.run(&stopped.plan, Cut::Never).unwrap();
    world.inject(&Fault::Kill(0));
    world.inject(&Fault::RemoveData(0));
    world.lossy = true;
    let planned = proposed(&world, &desired, &lossy_failover(None));
    assert_eq!(diagnostics(&planned), "");
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
    assert_eq!(world.state.elections.values().next().unwrap().primary.to_string(), "b");
}

#[test]
fn going_back_to_a_primary_that_is_stopped_on_request_starts_it() {
    let desired = quorum(&["a", "b"]);
    let mut world = applied(&desired);
    let stopped = propose(&world, &desired, &["a"], Power::Stopped);
    world.run(&stopped.plan, Cut::Never).unwrap();
    let failover = plan_of(&world, &desired, &election(ElectionKind::Failover, None));
    world
        .run(&failover, Cut::Before(position(&failover, "promote")))
        .unwrap();
    let back = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("a")));
    world.run(&back, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
    assert!(!world.state.nodes[&address("cluster.orders.node.a")].stopped_by_request);
}

#[test]
fn standbys_stay_where_they_are_while_their_primary_is_stopped() {
    let mut world = applied(&quorum(&["a", "b", "c"]));
    let mut desired = quorum(&["a", "b", "c"]);
    follow(&mut desired, "c", "b");
    let stop = propose(&world, &desired, &["a"], Power::Stopped);
    assert_eq!(diagnostics(&stop), "");
    expect![[r#"
        0 stop cluster.orders.node.a after [] downtime
    "#]]
    .assert_eq(&steps(&stop.plan));
    world.run(&stop.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
    let start = propose(&world, &desired, &["a"], Power::Running);
    expect![[r#"
        0 start cluster.orders.node.a after [] none
        1 slot cluster.orders.node.c after [] none
        2 sync-names cluster.orders after [0] reload
        3 follow cluster.orders.node.c after [1 2] reload
        4 drop-slot cluster.orders.node.c after [3] none
        5 verify-sync cluster.orders after [3] none
    "#]]
    .assert_eq(&steps(&start.plan));
    world.run(&start.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_server_that_was_started_before_that_was_recorded_moves_to_its_new_port() {
    let mut desired = quorum(&["a", "b"]);
    let mut world = applied(&desired);
    let stop = propose(&world, &desired, &["a", "b"], Power::Stopped);
    world.run(&stop.plan, Cut::Never).unwrap();
    let start = propose(&world, &desired, &["a", "b"], Power::Running);
    world.run(&start.plan, Cut::After(0)).unwrap();
    port(&mut desired, "a", 20_100);
    let start = propose(&world, &desired, &["a", "b"], Power::Running);
    expect![[r#"
        0 configure cluster.orders.node.a after [] downtime
        1 start cluster.orders.node.b after [0] none
        2 follow cluster.orders.node.b after [1] reload
        3 endpoint cluster.orders.endpoint.ro after [2] none
        4 endpoint cluster.orders.endpoint.rw after [2] none
        5 verify-sync cluster.orders after [3 4] none
    "#]]
    .assert_eq(&steps(&start.plan));
    world.run(&start.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_standby_that_commits_wait_for_moves_after_their_primary_has_stopped() {
    let mut desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    let switchover = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
    let c_dies = Schedule {
        faults: vec![(0, Fault::Kill(2))],
        ..Schedule::default()
    };
    world.follow(&switchover, &c_dies).unwrap_err();
    port(&mut desired, "a", 20_100);
    let stop = propose(&world, &desired, &["b"], Power::Stopped);
    assert_eq!(diagnostics(&stop), "");
    expect![[r#"
        0 configure cluster.orders.node.a after [] restart
        1 stop cluster.orders.node.b after [] downtime
        2 slot cluster.orders.node.c after [0] none
        3 start cluster.orders.node.c after [2] none
        4 follow cluster.orders.node.c after [1 3] reload
        5 endpoint cluster.orders.endpoint.ro after [4] none
        6 endpoint cluster.orders.endpoint.rw after [4] none
    "#]]
    .assert_eq(&steps(&stop.plan));
    world.run(&stop.plan, Cut::Never).unwrap();
    let start = propose(&world, &desired, &["b"], Power::Running);
    world.run(&start.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}
