//! Whom commits wait for: tightened once a standby streams, loosened before one goes.

use expect_test::expect;
use simdb_state::sync::SyncRule;

use super::*;

#[test]
fn at_birth_commits_wait_for_standbys_only_once_those_stream() {
    let mut world = World::default();
    let desired = replicating(&["a", "r[0]"], ReplicationMode::Sync, 1);
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 network network.lan after [] none
        1 primary cluster.orders.node.a after [0] none
        2 slot cluster.orders.node.r[0] after [1] none
        3 replication-user cluster.orders.user.replicator after [1] none
        4 basebackup cluster.orders.node.r[0] after [2 3] none
        5 standby cluster.orders.node.r[0] after [4] none
        6 endpoint cluster.orders.endpoint.ro after [5] none
        7 endpoint cluster.orders.endpoint.rw after [5] none
        8 sync-names cluster.orders after [5] none
        9 verify-sync cluster.orders after [6 7 8] none
    "#]],
    );
    let recorded = &world.state.clusters.values().next().unwrap().sync_rule;
    assert_eq!(recorded.to_string(), "FIRST 1 (r_0)");
    let configured = &world.directories[&address("cluster.orders.node.a")].configured;
    assert_eq!(configured["synchronous_standby_names"], "FIRST 1 (r_0)");
}

#[test]
fn a_mode_is_changed_by_a_reload() {
    let declared = |mode, number| replicating(&["a", "r[0]", "r[1]"], mode, number);
    let mut world = applied(&declared(ReplicationMode::Async, 0));
    let modes = [
        (ReplicationMode::Sync, 1),
        (ReplicationMode::Quorum, 2),
        (ReplicationMode::Async, 0),
    ];
    for (mode, number) in modes {
        check(
            &mut world,
            &declared(mode, number),
            &expect![[r#"
                0 cluster cluster.orders after [] none
                1 sync-names cluster.orders after [0] reload
                2 verify-sync cluster.orders after [1] none
            "#]],
        );
    }
}

#[test]
fn a_listed_standby_goes_only_when_no_commit_waits_for_it() {
    let mut world = applied(&replicating(&["a", "r[0]"], ReplicationMode::Sync, 1));
    let other = replicating(&["a", "r[1]"], ReplicationMode::Sync, 1);
    check(
        &mut world,
        &other,
        &expect![[r#"
        0 slot cluster.orders.node.r[1] after [] none
        1 basebackup cluster.orders.node.r[1] after [0] none
        2 standby cluster.orders.node.r[1] after [1] none
        3 endpoint cluster.orders.endpoint.ro after [2] none
        4 endpoint cluster.orders.endpoint.rw after [2] none
        5 sync-names cluster.orders after [2] reload
        6 verify-sync cluster.orders after [3 4 5] none
        7 drop-node cluster.orders.node.r[0] after [6] none
        8 drop-slot cluster.orders.node.r[0] after [7] none
    "#]],
    );
    let alone = replicating(&["a"], ReplicationMode::Async, 0);
    check(
        &mut world,
        &alone,
        &expect![[r#"
        0 endpoint cluster.orders.endpoint.ro after [] none
        1 endpoint cluster.orders.endpoint.rw after [] none
        2 cluster cluster.orders after [] none
        3 sync-names cluster.orders after [2] reload
        4 verify-sync cluster.orders after [0 1 3] none
        5 drop-node cluster.orders.node.r[1] after [4] none
        6 drop-slot cluster.orders.node.r[1] after [5] none
    "#]],
    );
}

#[test]
fn a_listed_standby_is_stopped_only_when_no_commit_waits_for_it_and_a_note_says_what_that_costs() {
    let desired = replicating(&["a", "r[0]"], ReplicationMode::Sync, 1);
    let mut world = applied(&desired);
    let proposal = Proposal::Power {
        nodes: [address("cluster.orders.node.r[0]")].into(),
        power: Power::Stopped,
    };
    let planned = plan(Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &world.observe(),
        proposal: Some(&proposal),
    });
    expect![[r#"
        0 sync-names cluster.orders after [] reload
        1 stop cluster.orders.node.r[0] after [0] restart
        2 verify-sync cluster.orders after [1] none
        Commits of cluster.orders wait for no standby while r[0] is stopped on request."#]]
    .assert_eq(&format!("{}{}", steps(&planned.plan), planned.plan.notes.join("\n")));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn whom_commits_wait_for_is_recorded_where_a_crash_kept_it_from_being() {
    let desired = replicating(&["a", "r[0]"], ReplicationMode::Sync, 1);
    let mut world = applied(&desired);
    world.state.clusters.values_mut().next().unwrap().sync_rule = SyncRule::default();
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 sync-names cluster.orders after [] reload
        1 verify-sync cluster.orders after [0] none
    "#]],
    );
    world.kill(&address("cluster.orders.node.a"));
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 start cluster.orders.node.a after [] none
            1 open cluster.orders.node.a after [0] none
            2 verify-sync cluster.orders after [1] none
        "#]],
    );
}

#[test]
fn a_change_that_lets_commits_wait_for_fewer_waits_for_no_standby_that_is_down() {
    let mut world = applied(&replicating(&["a", "r[0]", "r[1]"], ReplicationMode::Quorum, 2));
    world.kill(&address("cluster.orders.node.r[1]"));
    let fewer = replicating(&["a", "r[0]", "r[1]"], ReplicationMode::Quorum, 1);
    check(
        &mut world,
        &fewer,
        &expect![[r#"
        0 start cluster.orders.node.r[1] after [] none
        1 cluster cluster.orders after [] none
        2 sync-names cluster.orders after [1] reload
        3 verify-sync cluster.orders after [0 2] none
    "#]],
    );
}

#[test]
fn restarting_the_only_standby_that_commits_wait_for_pauses_writes() {
    let mut desired = replicating(&["a", "r[0]", "r[1]"], ReplicationMode::Sync, 2);
    let mut world = applied(&desired);
    for node in cluster(&mut desired).nodes.values_mut() {
        node.parameters.insert("max_connections".to_owned(), "200".to_owned());
    }
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 configure cluster.orders.node.r[0] after [] write-pause
        1 configure cluster.orders.node.r[1] after [0] write-pause
        2 configure cluster.orders.node.a after [1] downtime
        3 verify-sync cluster.orders after [2] none
    "#]],
    );
}

#[test]
fn a_standby_that_streams_from_elsewhere_follows_its_upstream_again() {
    let desired = replicating(&["a", "r[0]"], ReplicationMode::Sync, 1);
    let mut world = applied(&desired);
    let directory = world.directories.get_mut(&address("cluster.orders.node.r[0]")).unwrap();
    directory
        .configured
        .insert("primary_conninfo".to_owned(), "host=elsewhere".to_owned());
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 follow cluster.orders.node.r[0] after [] reload
        1 verify-sync cluster.orders after [0] none
    "#]],
    );
}

#[test]
fn the_level_of_commits_is_a_setting_of_every_node() {
    let mut desired = replicating(&["a", "r[0]"], ReplicationMode::Sync, 1);
    let mut world = applied(&desired);
    cluster(&mut desired).replication.synchronous_commit = CommitLevel::RemoteApply;
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 configure cluster.orders.node.r[0] after [] reload
        1 configure cluster.orders.node.a after [0] reload
        2 cluster cluster.orders after [] none
    "#]],
    );
}

#[test]
fn commits_wait_for_a_standby_whose_slot_was_dropped_once_that_is_there_again() {
    let mut world = created(&["a", "b"]);
    world.inject(&Fault::DropSlot(0));
    check(
        &mut world,
        &replicating(&["a", "b"], ReplicationMode::Sync, 1),
        &expect![[r#"
            0 slot cluster.orders.node.b after [] none
            1 cluster cluster.orders after [] none
            2 sync-names cluster.orders after [0 1] reload
            3 verify-sync cluster.orders after [2] none
        "#]],
    );
}
