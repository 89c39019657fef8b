//! Role changes that were cut off, and what the next command makes of what they left.

use expect_test::expect;
use simdb_state::object::{Damage, OnStandbyLoss, Role};

use super::role::{election, lossy_failover, plan_of, proposed, quorum, refuses_proposal};
use super::*;
use crate::observed::Observation;
use crate::plan::Impact;
use crate::planner::{ElectionKind, Proposal};

#[test]
fn a_switchover_that_was_cut_off_goes_back_on_request() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let switchover = election(ElectionKind::Switchover, Some("r[0]"));
    let planned = plan_of(&applied(&desired), &desired, &switchover);
    let promote = position(&planned, "promote");
    for cut in 0..=promote {
        let mut world = applied(&desired);
        world
            .run(&plan_of(&world, &desired, &switchover), Cut::Before(cut))
            .unwrap();
        let back = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("a")));
        world.run(&back, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
        let election = world.state.elections.values().next().unwrap();
        assert_eq!(election.primary.to_string(), "a");
    }
}

#[test]
fn a_role_change_that_was_cut_off_anywhere_is_carried_through() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    for kind in [ElectionKind::Switchover, ElectionKind::Failover] {
        let fresh = || {
            let mut world = applied(&desired);
            if kind == ElectionKind::Failover {
                world.kill(&address("cluster.orders.node.a"));
            }
            world
        };
        let count = plan_of(&fresh(), &desired, &election(kind, None)).steps.len();
        let cuts = (0..count).flat_map(|at| [Cut::Before(at), Cut::Within(at), Cut::After(at)]);
        for cut in cuts {
            let mut world = fresh();
            world
                .run(&plan_of(&world, &desired, &election(kind, None)), cut)
                .unwrap();
            let next = plan_for(&world, &desired);
            assert_eq!(diagnostics(&next), "", "after {cut:?}");
            world.run(&next.plan, Cut::Never).unwrap();
            assert_second_plan_is_empty(&world, &desired);
        }
    }
}

#[test]
fn a_promotion_that_was_not_recorded_is_not_gone_back_behind() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    let planned = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("r[0]")));
    let promotes = |step: &crate::plan::Step| step.action.name() == "promote";
    let promote = planned.steps.iter().position(promotes).unwrap();
    world.run(&planned, Cut::After(promote)).unwrap();
    let all = quorum(&["a", "r[1]"]);
    let back = proposed(&world, &all, &election(ElectionKind::Switchover, Some("a")));
    assert_ne!(diagnostics(&back), "", "a may lack what r[0] has acknowledged");
}

#[test]
fn a_failover_right_after_a_role_change_counts_on_what_the_former_primary_waited_for() {
    let mut desired = quorum(&["a", "b", "c"]);
    cluster(&mut desired).replication.on_standby_loss = OnStandbyLoss::Degrade;
    let mut world = applied(&desired);
    let plan = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
    world.run(&plan, Cut::Before(position(&plan, "promote") + 1)).unwrap();
    world.kill(&address("cluster.orders.node.b"));
    refuses_proposal(
        &world,
        &desired,
        &election(ElectionKind::Failover, Some("c")),
        &expect![[r#"
            Failover is refused: Promoting orders.c may lose writes: commits waited for 1 of 2 standbys, and only 1 answer, and an unknown number of acknowledged writes is at stake. Bring the primary back with `simdb apply`; or, to promote it all the same, add -allow=data-loss.
        "#]],
    );
}

#[test]
fn an_election_records_who_was_promoted_by_the_one_that_was_cut_off() {
    let mut desired = quorum(&["a", "b", "c"]);
    follow(&mut desired, "c", "b");
    let mut world = applied(&desired);
    let first = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
    world.run(&first, Cut::After(position(&first, "promote"))).unwrap();
    let second = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("c")));
    world.run(&second, Cut::Before(position(&second, "elect") + 1)).unwrap();
    let b = &world.state.nodes[&address("cluster.orders.node.b")];
    assert!(matches!(b.role, Some(Role::Primary { .. })), "{:?}", b.role);
    finish(&mut world, &desired);
    assert_eq!(world.state.elections.values().next().unwrap().primary.to_string(), "c");
}

#[test]
fn a_node_whose_promotion_was_not_recorded_is_started_as_the_primary_it_is() {
    let desired = orders(&["a", "b"]);
    let mut world = applied(&desired);
    let switchover = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
    world
        .run(&switchover, Cut::After(position(&switchover, "promote")))
        .unwrap();
    world.inject(&Fault::Write(0));
    world.kill(&address("cluster.orders.node.b"));
    let next = plan_for(&world, &desired).plan;
    expect![[r#"
        0 start cluster.orders.node.b after [] none
        1 promote cluster.orders.node.b after [0] write-pause
        2 standby cluster.orders.node.a after [1] none
        3 drop-slot cluster.orders.node.b after [2] none
        4 endpoint cluster.orders.endpoint.ro after [1] none
        5 endpoint cluster.orders.endpoint.rw after [1] none
        6 verify-sync cluster.orders after [2 4 5] none
    "#]]
    .assert_eq(&steps(&next));
    world.run(&next, Cut::Before(1)).unwrap();
    let back = proposed(&world, &desired, &election(ElectionKind::Switchover, Some("a")));
    assert_ne!(diagnostics(&back), "", "a lacks what b has acknowledged");
    finish(&mut world, &desired);
}

#[test]
fn a_standby_that_nobody_asked_when_a_primary_lost_its_data_is_made_anew() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    let switchover = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
    world
        .run(&switchover, Cut::Before(position(&switchover, "fence")))
        .unwrap();
    world.inject(&Fault::Write(0b100));
    world.kill(&address("cluster.orders.node.c"));
    world.inject(&Fault::RemoveData(0));
    let next = plan_for(&world, &desired).plan;
    expect![[r#"
        0 fence cluster.orders.node.a after [] write-pause
        1 promote cluster.orders.node.b after [0] data-loss
        2 basebackup cluster.orders.node.a after [1] none
        3 standby cluster.orders.node.a after [2] none
        4 basebackup cluster.orders.node.c after [1] none
        5 standby cluster.orders.node.c after [4] none
        6 drop-slot cluster.orders.node.c after [3 5] none
        7 endpoint cluster.orders.endpoint.ro after [1] none
        8 endpoint cluster.orders.endpoint.rw after [1] none
        9 verify-sync cluster.orders after [3 5 7 8] none
    "#]]
    .assert_eq(&steps(&next));
}

#[test]
fn nobody_is_promoted_on_a_copy_that_nobody_recorded() {
    let desired = quorum(&["a", "b"]);
    let mut world = applied(&desired);
    let resync = plan_of(&world, &desired, &Proposal::resync([address("cluster.orders.node.b")]));
    world.run(&resync, Cut::After(position(&resync, "basebackup"))).unwrap();
    world.inject(&Fault::RemoveData(0));
    refuses_proposal(
        &world,
        &desired,
        &lossy_failover(None),
        &expect![[r#"
        Failover is refused: No standby of cluster orders answers, so there is no node to promote. Start the remaining nodes with `simdb apply`; where that is refused, add -allow=data-loss to promote one that is down.
    "#]],
    );
}

#[test]
fn a_copy_that_never_streamed_is_made_anew_after_a_failover() {
    let mut world = applied(&quorum(&["a", "b"]));
    let mut desired = quorum(&["a", "b", "c"]);
    follow(&mut desired, "c", "b");
    let grown = plan_for(&world, &desired).plan;
    world.run(&grown, Cut::Before(position(&grown, "standby"))).unwrap();
    world.kill(&address("cluster.orders.node.a"));
    let failover = plan_of(&world, &desired, &election(ElectionKind::Failover, None));
    expect![[r#"
        0 elect cluster.orders after [] none
        1 fence cluster.orders.node.a after [0] none
        2 slot cluster.orders.node.a after [0] none
        3 promote cluster.orders.node.b after [1] write-pause
        4 rewind cluster.orders.node.a after [2 3] none
        5 standby cluster.orders.node.a after [4] none
        6 drop-slot cluster.orders.node.b after [5] none
        7 basebackup cluster.orders.node.c after [3] none
        8 standby cluster.orders.node.c after [7] none
        9 endpoint cluster.orders.endpoint.ro after [3] none
        10 endpoint cluster.orders.endpoint.rw after [3] none
        11 verify-sync cluster.orders after [5 8 9 10] none
    "#]]
    .assert_eq(&steps(&failover));
    world.run(&failover, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_primary_is_not_fenced_for_a_node_that_was_elected_and_cannot_be_asked() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    let switchover = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
    world
        .run(&switchover, Cut::Before(position(&switchover, "fence")))
        .unwrap();
    let silent = || Observation::Unknown("did not answer within 2s".to_owned());
    let b = address("cluster.orders.node.b");
    let mut unseen = world.observe();
    unseen.nodes.insert(b.clone(), silent());
    let mut unasked = world.observe();
    if let Some(Observation::Seen(facts)) = unasked.nodes.get_mut(&b) {
        facts.server = Some(Observation::Unknown("did not answer within 2s".to_owned()));
    }
    for observed in [unseen, unasked] {
        let inputs = Inputs {
            desired: &desired,
            recorded: &world.state,
            observed: &observed,
            proposal: None,
        };
        expect![[r#"
            Role change is not finished: orders.b was elected, does not lead yet, and could not be asked (did not answer within 2s), so a is not fenced. Make sure that b can be reached, or choose another node with `simdb switchover orders -to NODE`.
        "#]]
        .assert_eq(&diagnostics(&plan(inputs)));
        let other = election(ElectionKind::Switchover, Some("c"));
        let planned = plan(Inputs {
            proposal: Some(&other),
            ..inputs
        });
        assert_eq!(diagnostics(&planned), "");
    }
    finish(&mut world, &desired);
}

#[test]
fn an_election_whose_winner_was_found_to_differ_since_is_not_carried_through() {
    let desired = quorum(&["a", "b", "c"]);
    for until in ["fence", "promote"] {
        let mut world = applied(&desired);
        let switchover = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("b")));
        world
            .run(&switchover, Cut::Before(position(&switchover, until)))
            .unwrap();
        let winner = world.state.nodes.get_mut(&address("cluster.orders.node.b")).unwrap();
        winner.damage = Some(Damage::Differs("a table holds fewer rows".to_owned()));
        expect![[r#"
            Role change is not finished: orders.b was elected, does not lead yet, and a verification found that its data differs (a table holds fewer rows). Choose another node with `simdb switchover orders -to NODE`; to promote b all the same, run `simdb failover orders -promote b -allow=data-loss`.
        "#]]
        .assert_eq(&diagnostics(&plan_for(&world, &desired)));
        let back = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("a")));
        world.run(&back, Cut::Never).unwrap();
        assert_second_plan_is_empty(&world, &desired);
    }
}

#[test]
fn a_failover_that_was_cut_off_before_its_fence_is_held_again_unless_a_person_named_its_winner() {
    let desired = quorum(&["a", "b", "c"]);
    for (to, winner, impact) in [(None, "c", Impact::WritePause), (Some("b"), "b", Impact::DataLoss)] {
        let mut world = applied(&desired);
        world.inject(&Fault::Freeze(0));
        let failover = plan_of(&world, &desired, &election(ElectionKind::Failover, to));
        world.run(&failover, Cut::Before(position(&failover, "fence"))).unwrap();
        assert_eq!(world.state.elections.values().next().unwrap().primary.to_string(), "b");
        // What runs of it goes on, and c confirms what it writes.
        world.inject(&Fault::Thaw(0));
        world.inject(&Fault::Write(0b100));
        world.inject(&Fault::Freeze(0));
        let next = plan_for(&world, &desired).plan;
        let promotes = &next.steps[position(&next, "promote")];
        assert_eq!(promotes.address.to_string(), format!("cluster.orders.node.{winner}"));
        assert_eq!(promotes.impact, impact);
        if to.is_none() {
            world.run(&next, Cut::Never).unwrap();
            assert_second_plan_is_empty(&world, &desired);
        }
    }
}

#[test]
fn a_failover_that_was_cut_off_before_its_fence_stays_with_a_winner_that_has_everything() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    world.inject(&Fault::Freeze(0));
    let failover = plan_of(&world, &desired, &election(ElectionKind::Failover, None));
    world.run(&failover, Cut::Before(position(&failover, "fence"))).unwrap();
    world.inject(&Fault::Thaw(0));
    world.inject(&Fault::Write(0b110));
    world.inject(&Fault::Freeze(0));
    let next = plan_for(&world, &desired).plan;
    assert!(!steps(&next).contains("elect"), "{}", steps(&next));
    world.run(&next, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_failover_that_was_cut_off_before_its_fence_is_not_held_again_for_a_winner_that_cannot_be_asked() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = applied(&desired);
    world.inject(&Fault::Freeze(0));
    let failover = plan_of(&world, &desired, &election(ElectionKind::Failover, None));
    world.run(&failover, Cut::Before(position(&failover, "fence"))).unwrap();
    world.inject(&Fault::Thaw(0));
    world.inject(&Fault::Write(0b100));
    world.inject(&Fault::Freeze(0));
    let mut observed = world.observe();
    let silent = Observation::Unknown("did not answer within 2s".to_owned());
    observed.nodes.insert(address("cluster.orders.node.b"), silent);
    let planned = plan(Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    });
    expect![[r#"
        Role change is not finished: orders.b was elected, does not lead yet, and could not be asked (did not answer within 2s), so a is not fenced. Make sure that b can be reached, or choose another node with `simdb switchover orders -to NODE`.
    "#]]
    .assert_eq(&diagnostics(&planned));
}

#[test]
fn an_election_that_was_cut_off_is_carried_through_from_the_record_as_from_the_configuration() {
    let desired = quorum(&["a", "b", "c"]);
    for cut in [Cut::After(0), Cut::After(3), Cut::Before(4)] {
        let mut world = applied(&desired);
        world.kill(&address("cluster.orders.node.a"));
        let planned = proposed(&world, &desired, &election(ElectionKind::Failover, None));
        world.run(&planned.plan, cut).unwrap();
        let recorded = Desired::recorded(&world.state, desired.local.clone());
        let (declared, recorded) = (plan_for(&world, &desired), plan_for(&world, &recorded));
        assert_eq!(diagnostics(&recorded), diagnostics(&declared));
        assert_eq!(steps(&recorded.plan), steps(&declared.plan));
    }
}

#[test]
fn what_an_interrupted_run_left_goes_and_may_have_data_where_it_cannot_be_looked_at() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let world = applied(&desired);
    let mut observed = world.observe();
    let unknown = Observation::Unknown("its container does not start".to_owned());
    observed.nodes.insert(address("cluster.orders.node.left"), unknown);
    let planned = plan(Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &observed,
        proposal: None,
    });
    let [step] = &planned.plan.steps[..] else {
        panic!("{}", steps(&planned.plan))
    };
    expect!["drop-node cluster.orders.node.left (data-loss)"].assert_eq(&format!(
        "{} {} ({})",
        step.action.name(),
        step.address,
        step.impact
    ));
    expect!["an interrupted run left it, and the configuration does not declare it; what it holds is unknown: its container does not start"]
        .assert_eq(&step.reason);
}
