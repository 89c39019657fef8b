//! Endpoints through PgBouncer: when it is started, led elsewhere and removed, and when its clients wait.

use simdb_state::object::PoolMode;

use super::role::{election, proposed, quorum};
use super::*;
use crate::desired::PoolerSpec;
use crate::planner::ElectionKind;
use crate::planner::tests::role::plan_of;

/// A cluster whose clients go through a pooler.
pub(super) fn pooled(nodes: &[&str]) -> Desired {
    let mut desired = quorum(nodes);
    let rw = cluster(&mut desired).endpoints.get_mut(&"rw".parse().unwrap()).unwrap();
    rw.pooler = Some(PoolerSpec::default());
    cluster(&mut desired).endpoints.remove(&"ro".parse().unwrap());
    desired
}

/// Whoever leads, clients get there, and none of them waits.
fn assert_clients_go_on(world: &World) {
    let endpoint = world.state.endpoints.values().next().unwrap();
    let pooler = endpoint.pooler.as_ref().unwrap();
    let elected = &world.state.elections.values().next().unwrap().primary;
    assert_eq!(&pooler.node, elected);
    assert!(!pooler.paused);
    assert!(world.poolers.values().all(|pooler| pooler.runs && !pooler.paused));
}

#[test]
fn a_pooler_is_started_when_its_server_writes_and_published_after_that() {
    let mut world = World::default();
    check(
        &mut world,
        &pooled(&["a", "b"]),
        &expect![[r#"
            0 network network.lan after [] none
            1 primary cluster.orders.node.a after [0] none
            2 slot cluster.orders.node.b after [1] none
            3 user cluster.orders.user.pgbouncer after [1] none
            4 replication-user cluster.orders.user.replicator after [1] none
            5 basebackup cluster.orders.node.b after [2 4] none
            6 standby cluster.orders.node.b after [5] none
            7 pooler cluster.orders.endpoint.rw after [3] none
            8 endpoint cluster.orders.endpoint.rw after [7] none
            9 sync-names cluster.orders after [6] none
            10 verify-sync cluster.orders after [8 9] none
        "#]],
    );
    assert_clients_go_on(&world);
}

#[test]
fn clients_wait_from_before_the_fence_until_enough_standbys_stream() {
    for (nodes, expected) in [
        (
            &["a", "b", "c"][..],
            expect![[r#"
                0 elect cluster.orders after [] none
                1 slot cluster.orders.node.a after [0] none
                2 slot cluster.orders.node.c after [0] none
                3 pause cluster.orders.endpoint.rw after [1 2] write-pause
                4 fence cluster.orders.node.a after [3] write-pause
                5 promote cluster.orders.node.b after [4] write-pause
                6 standby cluster.orders.node.a after [5] none
                7 drop-slot cluster.orders.node.b after [6] none
                8 follow cluster.orders.node.c after [5] reload
                9 drop-slot cluster.orders.node.c after [6 8] none
                10 repoint cluster.orders.endpoint.rw after [5] none
                11 unpause cluster.orders.endpoint.rw after [8 10] none
                12 verify-sync cluster.orders after [6 11] none
            "#]],
        ),
        (
            &["a", "b"][..],
            expect![[r#"
                0 elect cluster.orders after [] none
                1 slot cluster.orders.node.a after [0] none
                2 pause cluster.orders.endpoint.rw after [1] write-pause
                3 fence cluster.orders.node.a after [2] write-pause
                4 promote cluster.orders.node.b after [3] write-pause
                5 standby cluster.orders.node.a after [4] none
                6 drop-slot cluster.orders.node.b after [5] none
                7 repoint cluster.orders.endpoint.rw after [4] none
                8 unpause cluster.orders.endpoint.rw after [5 7] none
                9 verify-sync cluster.orders after [8] none
            "#]],
        ),
    ] {
        let desired = pooled(nodes);
        let mut world = applied(&desired);
        let plan = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
        expected.assert_eq(&steps(&plan));
        world.run(&plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
        assert_clients_go_on(&world);
    }
}

#[test]
fn nobody_waits_for_a_server_that_is_lost_or_keeps_a_session_of_its_own() {
    let mut sessions = pooled(&["a", "b", "c"]);
    for endpoint in cluster(&mut sessions).endpoints.values_mut() {
        endpoint.pooler.as_mut().unwrap().pool_mode = PoolMode::Session;
    }
    let lost = pooled(&["a", "b", "c"]);
    for (desired, kind) in [(lost, ElectionKind::Failover), (sessions, ElectionKind::Switchover)] {
        let mut world = applied(&desired);
        if kind == ElectionKind::Failover {
            world.kill(&address("cluster.orders.node.a"));
        }
        let plan = plan_of(&world, &desired, &election(kind, None));
        let names: Vec<&str> = plan.steps.iter().map(|step| step.action.name()).collect();
        assert!(names.contains(&"repoint") && !names.contains(&"pause"), "{names:?}");
        world.run(&plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
        assert_clients_go_on(&world);
    }
}

#[test]
fn clients_go_on_whether_a_switchover_that_was_cut_off_is_carried_through_or_taken_back() {
    let desired = pooled(&["a", "b", "c"]);
    let switchover = election(ElectionKind::Switchover, Some("b"));
    let plan = plan_of(&applied(&desired), &desired, &switchover);
    let promote = position(&plan, "promote");
    for cut in (0..plan.steps.len()).flat_map(|at| [Cut::Before(at), Cut::After(at)]) {
        let mut world = applied(&desired);
        world.run(&plan, cut).unwrap();
        let next = plan_for(&world, &desired);
        assert_eq!(diagnostics(&next), "", "after {cut:?}");
        world.run(&next.plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
        assert_clients_go_on(&world);
    }
    for cut in (0..promote).flat_map(|at| [Cut::Before(at), Cut::After(at)]) {
        let mut world = applied(&desired);
        world.run(&plan, cut).unwrap();
        let back = proposed(&world, &desired, &election(ElectionKind::Switchover, Some("a")));
        assert_eq!(diagnostics(&back), "", "after {cut:?}");
        world.run(&back.plan, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
        assert_clients_go_on(&world);
    }
}

#[test]
fn a_pooler_that_is_down_is_started_and_one_that_was_edited_reads_its_settings_again() {
    let desired = pooled(&["a", "b"]);
    let mut world = applied(&desired);
    world.poolers.values_mut().next().unwrap().runs = false;
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 pooler cluster.orders.endpoint.rw after [] none
    "#]],
    );
    let pooler = world.poolers.values_mut().next().unwrap();
    pooler.files.get_mut("pgbouncer.ini").unwrap().edited = true;
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 pooler cluster.orders.endpoint.rw after [] reload
    "#]],
    );
}

#[test]
fn an_endpoint_that_no_longer_goes_through_a_pooler_leads_elsewhere_before_that_goes() {
    let mut world = applied(&pooled(&["a", "b"]));
    let mut desired = pooled(&["a", "b"]);
    for endpoint in cluster(&mut desired).endpoints.values_mut() {
        endpoint.pooler = None;
    }
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 endpoint cluster.orders.endpoint.rw after [] none
        1 drop-user cluster.orders.user.pgbouncer after [0] none
        2 drop-pooler cluster.orders.endpoint.rw after [0] none
    "#]],
    );
    assert!(world.poolers.is_empty());
}

#[test]
fn a_pooler_goes_with_its_cluster_also_where_nobody_recorded_it() {
    let desired = pooled(&["a", "b"]);
    let first = plan_for(&World::default(), &desired).plan;
    for cut in (0..first.steps.len()).flat_map(|at| [Cut::Before(at), Cut::After(at)]) {
        let mut world = World::default();
        world.run(&first, cut).unwrap();
        let gone = plan_for(&world, &Desired::default());
        assert_eq!(diagnostics(&gone), "");
        world.run(&gone.plan, Cut::Never).unwrap();
        assert!(
            world.poolers.is_empty() && world.directories.is_empty(),
            "after {cut:?}"
        );
        assert_second_plan_is_empty(&world, &Desired::default());
    }
}

#[test]
fn a_pooler_whose_program_is_missing_is_refused_with_a_way_out() {
    let mut observed = World::default().observe();
    for platform in observed.platforms.values_mut() {
        platform.engines.remove(&EngineKind::Pgbouncer);
    }
    let planned = plan(Inputs {
        desired: &pooled(&["a", "b"]),
        recorded: &State::default(),
        observed: &observed,
        proposal: None,
    });
    expect![[r#"
        PgBouncer not found: cluster.orders.endpoint.rw goes through PgBouncer, and its program "pgbouncer" is not on this machine. Install it (on Debian: apt-get install pgbouncer), name its directory in provider "local": binaries = ["/path/to/bin"], or remove via = "pgbouncer".
    "#]].assert_eq(&diagnostics(&planned));
}

#[test]
fn clients_that_wait_go_on_where_the_entry_of_their_endpoint_was_removed_meanwhile() {
    let desired = pooled(&["a", "b", "c"]);
    let mut world = applied(&desired);
    let plan = plan_of(&world, &desired, &election(ElectionKind::Switchover, None));
    world.run(&plan, Cut::After(position(&plan, "pause"))).unwrap();
    world.inject(&Fault::RemoveRoute(0));
    finish(&mut world, &desired);
    assert_clients_go_on(&world);
}
