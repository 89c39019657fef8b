//! Whom standbys stream from, and when they replay.

use expect_test::expect;

use super::*;

#[test]
fn a_cascaded_standby_is_cloned_from_its_upstream_and_no_commit_waits_for_it() {
    let mut world = World::default();
    check(
        &mut world,
        &following(&["a", "b", "c"], &[("b", "c")]),
        &expect![[r#"
            0 network network.lan after [] none
            1 primary cluster.orders.node.a after [0] none
            2 slot cluster.orders.node.c after [1] none
            3 replication-user cluster.orders.user.replicator after [1] none
            4 basebackup cluster.orders.node.c after [2 3] none
            5 standby cluster.orders.node.c after [4] none
            6 slot cluster.orders.node.b after [5] none
            7 basebackup cluster.orders.node.b after [6] none
            8 standby cluster.orders.node.b after [7] none
            9 endpoint cluster.orders.endpoint.ro after [8] none
            10 endpoint cluster.orders.endpoint.rw after [8] none
            11 sync-names cluster.orders after [5] none
            12 verify-sync cluster.orders after [9 10 11] none
        "#]],
    );
    let recorded = &world.state.clusters.values().next().unwrap().sync_rule;
    assert_eq!(recorded.to_string(), "FIRST 1 (c)");
}

#[test]
fn a_standby_moves_to_another_upstream_and_back_without_a_restart() {
    let mut world = applied(&following(&["a", "b", "c"], &[]));
    check(
        &mut world,
        &following(&["a", "b", "c"], &[("c", "b")]),
        &expect![[r#"
            0 slot cluster.orders.node.c after [] none
            1 sync-names cluster.orders after [] reload
            2 follow cluster.orders.node.c after [0 1] reload
            3 drop-slot cluster.orders.node.c after [2] none
            4 verify-sync cluster.orders after [2] none
        "#]],
    );
    check(
        &mut world,
        &following(&["a", "b", "c"], &[("b", "c")]),
        &expect![[r#"
            0 slot cluster.orders.node.c after [] none
            1 follow cluster.orders.node.c after [0] reload
            2 slot cluster.orders.node.b after [1] none
            3 sync-names cluster.orders after [1] reload
            4 follow cluster.orders.node.b after [2 3] reload
            5 drop-slot cluster.orders.node.b after [4] none
            6 drop-slot cluster.orders.node.c after [4] none
            7 verify-sync cluster.orders after [4] none
        "#]],
    );
    check(
        &mut world,
        &following(&["a", "b", "c"], &[]),
        &expect![[r#"
        0 slot cluster.orders.node.b after [] none
        1 follow cluster.orders.node.b after [0] reload
        2 drop-slot cluster.orders.node.b after [1] none
        3 sync-names cluster.orders after [1] reload
        4 verify-sync cluster.orders after [3] none
    "#]],
    );
}

#[test]
fn a_standby_moves_before_its_upstream_is_removed() {
    let mut world = applied(&following(&["a", "b", "c", "d"], &[("c", "b"), ("d", "c")]));
    check(
        &mut world,
        &following(&["a", "c", "d"], &[("d", "c")]),
        &expect![[r#"
            0 slot cluster.orders.node.c after [] none
            1 follow cluster.orders.node.c after [0] reload
            2 endpoint cluster.orders.endpoint.ro after [1] none
            3 endpoint cluster.orders.endpoint.rw after [1] none
            4 sync-names cluster.orders after [1] reload
            5 verify-sync cluster.orders after [2 3 4] none
            6 drop-node cluster.orders.node.b after [5] none
            7 drop-slot cluster.orders.node.b after [6] none
        "#]],
    );
    assert!(world.state.nodes.values().all(|node| node.left_slots.is_empty()));
}

#[test]
fn a_standby_whose_upstream_is_stopped_on_request_follows_that_ones_upstream_meanwhile() {
    let desired = following(&["a", "b", "c"], &[("c", "b")]);
    let mut world = applied(&desired);
    let mut ask = |power| {
        let proposal = Proposal::Power {
            nodes: [address("cluster.orders.node.b")].into(),
            power,
        };
        let planned = plan(Inputs {
            desired: &desired,
            recorded: &world.state,
            observed: &world.observe(),
            proposal: Some(&proposal),
        });
        assert_eq!(diagnostics(&planned), "");
        world.run(&planned.plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
        steps(&planned.plan)
    };
    expect![[r#"
        0 slot cluster.orders.node.c after [] none
        1 follow cluster.orders.node.c after [0] reload
        2 sync-names cluster.orders after [1] reload
        3 stop cluster.orders.node.b after [2] restart
        4 verify-sync cluster.orders after [3] none
    "#]]
    .assert_eq(&ask(Power::Stopped));
    expect![[r#"
        0 start cluster.orders.node.b after [] none
        1 slot cluster.orders.node.c after [0] none
        2 sync-names cluster.orders after [0] reload
        3 follow cluster.orders.node.c after [1 2] reload
        4 drop-slot cluster.orders.node.c after [3] none
        5 verify-sync cluster.orders after [3] none
    "#]]
    .assert_eq(&ask(Power::Running));
}

#[test]
fn whoever_leads_follows_nobody_whatever_is_declared() {
    let desired = following(&["a", "b"], &[("a", "b")]);
    let world = applied(&desired);
    let planned = plan_for(&world, &desired);
    assert!(planned.plan.is_empty());
    expect!["cluster.orders.node.a is declared to follow b. It leads the cluster, so it follows no node."]
        .assert_eq(&planned.plan.notes.join("\n"));
}

#[test]
fn commits_cannot_wait_for_more_standbys_than_stream_from_the_primary() {
    let mut desired = following(&["a", "b", "c"], &[("c", "b")]);
    cluster(&mut desired).replication.synchronous_standbys = 2;
    expect![[r#"
        Too few standbys to wait for: Commits of cluster orders wait for 2, and only one standby can be waited for: one that streams from a, which leads, and is not delayed while synchronous_commit is remote_apply. Let more of them follow the primary, or lower synchronous_standbys.
    "#]].assert_eq(&diagnostics(&plan_for(&World::default(), &desired)));
}

#[test]
fn a_delay_is_a_reload_and_nobody_waits_for_a_delayed_standby_to_show_a_commit() {
    let mut desired = following(&["a", "b", "c"], &[]);
    let mut world = applied(&desired);
    let spec = cluster(&mut desired).nodes.get_mut(&"c".parse().unwrap()).unwrap();
    spec.apply_delay = Some("5s".to_owned());
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 configure cluster.orders.node.c after [] reload
    "#]],
    );
    cluster(&mut desired).replication.synchronous_commit = CommitLevel::RemoteApply;
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 configure cluster.orders.node.b after [] reload
        1 configure cluster.orders.node.c after [0] reload
        2 configure cluster.orders.node.a after [1] reload
        3 cluster cluster.orders after [] none
        4 sync-names cluster.orders after [2 3] reload
        5 verify-sync cluster.orders after [4] none
    "#]],
    );
}

#[test]
fn standbys_change_places_without_following_a_circle() {
    let nodes = ["a", "b", "c", "d"];
    let mut world = applied(&following(&nodes, &[("c", "b"), ("d", "c")]));
    check(
        &mut world,
        &following(&nodes, &[("b", "d"), ("d", "c")]),
        &expect![[r#"
            0 slot cluster.orders.node.b after [] none
            1 slot cluster.orders.node.c after [] none
            2 follow cluster.orders.node.c after [1] reload
            3 sync-names cluster.orders after [2] reload
            4 follow cluster.orders.node.b after [0 3] reload
            5 drop-slot cluster.orders.node.b after [4] none
            6 drop-slot cluster.orders.node.c after [4] none
            7 verify-sync cluster.orders after [4] none
        "#]],
    );
}
