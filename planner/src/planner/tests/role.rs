//! Role changes: who leads, why, and what is done in which order.

use std::collections::BTreeSet;

use expect_test::expect;
use simdb_state::object::{FenceProof, OnStandbyLoss, Role, Verdict};

use super::*;
use crate::observed::{Control, Observation};
use crate::plan::Step;
use crate::planner::{Assurance, ElectionKind, ElectionRequest, Proposal};

/// A cluster whose commits wait for one of its standbys.
pub(super) fn quorum(nodes: &[&str]) -> Desired {
    let mut desired = orders(nodes);
    let replication = &mut cluster(&mut desired).replication;
    replication.mode = ReplicationMode::Quorum;
    replication.synchronous_standbys = 1;
    desired
}

pub(super) fn election(kind: ElectionKind, to: Option<&str>) -> Proposal {
    Proposal::Election(ElectionRequest {
        cluster: "orders".parse().unwrap(),
        kind,
        to: to.map(|node| node.parse().unwrap()),
        lossy: false,
        assurance: Assurance::Proof,
    })
}

/// A failover whose loss somebody has accepted.
pub(super) fn lossy_failover(to: Option<&str>) -> Proposal {
    Proposal::Election(ElectionRequest {
        cluster: "orders".parse().unwrap(),
        kind: ElectionKind::Failover,
        to: to.map(|node| node.parse().unwrap()),
        lossy: true,
        assurance: Assurance::Proof,
    })
}

pub(super) fn proposed(world: &World, desired: &Desired, proposal: &Proposal) -> Planned {
    plan(Inputs {
        desired,
        recorded: &world.state,
        observed: &world.observe(),
        proposal: Some(proposal),
    })
}

pub(super) fn check_proposal(world: &mut World, desired: &Desired, proposal: &Proposal, expected: &Expect) {
    let planned = proposed(world, desired, proposal);
    assert_eq!(diagnostics(&planned), "");
    expected.assert_eq(&steps(&planned.plan));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(world, desired);
}

pub(super) fn refuses_proposal(world: &World, desired: &Desired, proposal: &Proposal, expected: &Expect) {
    let planned = proposed(world, desired, proposal);
    assert!(planned.plan.is_empty());
    expected.assert_eq(&diagnostics(&planned));
}

pub(super) fn verdict(world: &World) -> Verdict {
    let election = world.state.elections.values().next().unwrap();
    election.switch.as_ref().unwrap().verdict.clone()
}

#[test]
fn a_changed_pin_is_a_switchover() {
    let mut world = applied(&quorum(&["a", "r[0]", "r[1]"]));
    let mut desired = quorum(&["a", "r[0]", "r[1]"]);
    cluster(&mut desired).primary = Some("r[0]".parse().unwrap());
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 elect cluster.orders after [] none
            1 slot cluster.orders.node.a after [0] none
            2 slot cluster.orders.node.r[1] after [0] none
            3 fence cluster.orders.node.a after [1 2] write-pause
            4 promote cluster.orders.node.r[0] after [3] write-pause
            5 standby cluster.orders.node.a after [4] none
            6 drop-slot cluster.orders.node.r[0] after [5] none
            7 follow cluster.orders.node.r[1] after [4] reload
            8 drop-slot cluster.orders.node.r[1] after [5 7] none
            9 endpoint cluster.orders.endpoint.ro after [4] none
            10 endpoint cluster.orders.endpoint.rw after [4] none
            11 verify-sync cluster.orders after [5 7 9 10] none
        "#]],
    );
    assert!(matches!(verdict(&world), Verdict::Proven { .. }));
}

#[test]
fn a_pin_that_an_election_saw_moves_nothing_back() {
    let mut desired = quorum(&["a", "r[0]", "r[1]"]);
    cluster(&mut desired).primary = Some("a".parse().unwrap());
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.a"));
    let planned = proposed(&world, &desired, &election(ElectionKind::Failover, None));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
    assert_ne!(world.state.elections.values().next().unwrap().primary.to_string(), "a");
}

#[test]
fn removing_the_primary_moves_the_lead_and_fences_it_first() {
    let mut world = applied(&quorum(&["a", "r[0]", "r[1]"]));
    check(
        &mut world,
        &quorum(&["r[0]", "r[1]"]),
        &expect![[r#"
            0 elect cluster.orders after [] none
            1 slot cluster.orders.node.r[1] after [0] none
            2 fence cluster.orders.node.a after [1] write-pause
            3 promote cluster.orders.node.r[0] after [2] write-pause
            4 follow cluster.orders.node.r[1] after [3] reload
            5 endpoint cluster.orders.endpoint.ro after [3] none
            6 endpoint cluster.orders.endpoint.rw after [3] none
            7 verify-sync cluster.orders after [4 5 6] none
            8 drop-node cluster.orders.node.a after [7] none
        "#]],
    );
    assert_eq!(world.directories.len(), 2);
}

#[test]
fn a_node_is_added_another_removed_and_the_lead_moved_in_one_plan() {
    let mut world = applied(&quorum(&["a", "r[0]", "r[1]"]));
    let mut desired = quorum(&["r[0]", "r[1]", "r[2]"]);
    cluster(&mut desired).primary = Some("r[1]".parse().unwrap());
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 elect cluster.orders after [] none
            1 slot cluster.orders.node.r[0] after [0] none
            2 slot cluster.orders.node.r[2] after [0] none
            3 fence cluster.orders.node.a after [1 2] write-pause
            4 promote cluster.orders.node.r[1] after [3] write-pause
            5 follow cluster.orders.node.r[0] after [4] reload
            6 basebackup cluster.orders.node.r[2] after [4] none
            7 standby cluster.orders.node.r[2] after [6] none
            8 endpoint cluster.orders.endpoint.ro after [4] none
            9 endpoint cluster.orders.endpoint.rw after [4] none
            10 verify-sync cluster.orders after [5 7 8 9] none
            11 drop-node cluster.orders.node.a after [10] none
        "#]],
    );
}

#[test]
fn a_lost_primary_is_killed_for_certain_before_a_standby_is_promoted() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.a"));
    check_proposal(
        &mut world,
        &desired,
        &election(ElectionKind::Failover, None),
        &expect![[r#"
            0 elect cluster.orders after [] none
            1 fence cluster.orders.node.a after [0] none
            2 slot cluster.orders.node.a after [0] none
            3 promote cluster.orders.node.r[0] after [1] write-pause
            4 rewind cluster.orders.node.a after [2 3] none
            5 standby cluster.orders.node.a after [4] none
            6 drop-slot cluster.orders.node.r[0] after [5] none
            7 slot cluster.orders.node.r[1] after [0] none
            8 follow cluster.orders.node.r[1] after [3 7] reload
            9 drop-slot cluster.orders.node.r[1] after [5 8] none
            10 endpoint cluster.orders.endpoint.ro after [3] none
            11 endpoint cluster.orders.endpoint.rw after [3] none
            12 verify-sync cluster.orders after [5 8 10 11] none
        "#]],
    );
    assert_eq!(
        verdict(&world),
        Verdict::Argued {
            responders: 2,
            waited: 1,
            listed: 2
        }
    );
}

#[test]
fn a_failover_of_a_primary_that_serves_is_a_switchover() {
    let desired = quorum(&["a", "r[0]"]);
    let mut world = applied(&desired);
    let planned = proposed(&world, &desired, &election(ElectionKind::Failover, Some("r[0]")));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert!(matches!(verdict(&world), Verdict::Proven { .. }));
}

#[test]
fn the_most_advanced_survivor_is_promoted_and_no_other() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    let name = "orders".parse().unwrap();
    world.write(&name, &BTreeSet::from([address("cluster.orders.node.r[1]")]));
    world.kill(&address("cluster.orders.node.a"));
    refuses_proposal(
        &world,
        &desired,
        &election(ElectionKind::Failover, Some("r[0]")),
        &expect![[r#"
            Failover is refused: orders.r[0] is at 0/3000000, and r[1] at 0/3000100: 256 bytes of acknowledged writes are at stake. Promote r[1], or add -allow=data-loss.
        "#]],
    );
    let planned = proposed(&world, &desired, &election(ElectionKind::Failover, None));
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
    assert_eq!(world.state.elections[&name].primary.to_string(), "r[1]");
}

#[test]
fn a_failover_that_may_lose_writes_is_refused() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.a"));
    world.kill(&address("cluster.orders.node.r[1]"));
    refuses_proposal(
        &world,
        &desired,
        &election(ElectionKind::Failover, None),
        &expect![[r#"
            Failover is refused: Promoting orders.r[0] may lose writes: commits waited for 1 of 2 standbys, and only 1 answer, and an unknown number of acknowledged writes is at stake. Bring the primary back with `simdb apply`; or, to promote it all the same, add -allow=data-loss.
        "#]],
    );
    let mut world = applied(&orders(&["a", "r[0]"]));
    world.kill(&address("cluster.orders.node.a"));
    refuses_proposal(
        &world,
        &orders(&["a", "r[0]"]),
        &election(ElectionKind::Failover, None),
        &expect![[r#"
            Failover is refused: Promoting orders.r[0] may lose writes: commits do not wait for standbys, and an unknown number of acknowledged writes is at stake. Bring the primary back with `simdb apply`; or, to promote it all the same, add -allow=data-loss.
        "#]],
    );
}

#[test]
fn where_it_is_not_known_whom_commits_waited_for_the_answer_that_shows_least_counts() {
    let mut world = applied(&quorum(&["a", "r[0]"]));
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let planned = plan_for(&world, &desired);
    let tightens = |step: &Step| step.action.name() == "sync-names";
    let at = planned.plan.steps.iter().position(tightens).unwrap();
    world.run(&planned.plan, Cut::After(at)).unwrap();
    let name = "orders".parse().unwrap();
    assert_eq!(world.state.clusters[&name].sync_rule.to_string(), "ANY 1 (r_0)");
    world.write(&name, &BTreeSet::from([address("cluster.orders.node.r[1]")]));
    world.kill(&address("cluster.orders.node.a"));
    world.kill(&address("cluster.orders.node.r[1]"));
    refuses_proposal(
        &world,
        &desired,
        &election(ElectionKind::Failover, None),
        &expect![[r#"
            Failover is refused: Promoting orders.r[0] may lose writes: commits waited for 1 of 2 standbys, and only 1 answer, and an unknown number of acknowledged writes is at stake. Bring the primary back with `simdb apply`; or, to promote it all the same, add -allow=data-loss.
        "#]],
    );
}

#[test]
fn a_switchover_away_from_a_primary_that_is_down_is_refused() {
    let desired = quorum(&["a", "r[0]"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.a"));
    refuses_proposal(
        &world,
        &desired,
        &election(ElectionKind::Switchover, None),
        &expect![[r#"
            Switchover is refused: orders.a leads and does not answer, so that no node can take over without loss. Start it again with `simdb apply`; if it is lost, run `simdb failover orders`.
        "#]],
    );
}

#[test]
fn nobody_is_promoted_on_a_copy_while_a_standby_cannot_be_asked() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    for node in ["a", "r[0]", "r[1]"] {
        world.kill(&address(&format!("cluster.orders.node.{node}")));
    }
    let mut observed = world.observe();
    let silent = Observation::Unknown("did not answer within 2s".to_owned());
    observed.nodes.insert(address("cluster.orders.node.r[0]"), silent);
    let planned = plan(Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &observed,
        proposal: Some(&lossy_failover(None)),
    });
    expect![[r#"
        Failover is refused: orders.r[0] could not be asked how far it has come (did not answer within 2s), and it may have writes that no other node has. Bring it back or stop it first.
    "#]]
    .assert_eq(&diagnostics(&planned));
}

#[test]
fn a_switchover_to_a_node_that_cannot_take_over_says_why() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.r[0]"));
    refuses_proposal(
        &world,
        &desired,
        &election(ElectionKind::Switchover, Some("r[0]")),
        &expect![[r#"
            Switchover is refused: orders.r[0] cannot take over from a: its server does not answer. Start it with `simdb apply`, or choose another node.
        "#]],
    );
    let planned = proposed(&world, &desired, &election(ElectionKind::Switchover, None));
    assert_eq!(diagnostics(&planned), "");
    let name = "orders".parse().unwrap();
    assert_eq!(planned.after.elections[&name].primary.to_string(), "r[1]");
}

pub(super) fn plan_of(world: &World, desired: &Desired, proposal: &Proposal) -> Plan {
    let planned = proposed(world, desired, proposal);
    assert_eq!(diagnostics(&planned), "");
    planned.plan
}

#[test]
fn a_former_primary_is_recorded_as_fenced_with_its_proof() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    let planned = plan_of(&world, &desired, &election(ElectionKind::Switchover, None));
    let promote = position(&planned, "promote");
    world.run(&planned, Cut::Before(promote)).unwrap();
    let role = world.state.nodes[&address("cluster.orders.node.a")].role.clone();
    assert!(
        matches!(
            role,
            Some(Role::Fenced {
                proof: FenceProof::ShutDown { .. },
                ..
            })
        ),
        "{role:?}"
    );
}

#[test]
fn a_node_with_writes_of_its_own_is_brought_in_line_on_request_alone() {
    let desired = quorum(&["a", "r[0]"]);
    let mut world = applied(&desired);
    directory(&mut world, "r[0]").server.as_mut().unwrap().replays = false;
    let resync = Proposal::resync([address("cluster.orders.node.r[0]")]);
    check_proposal(
        &mut world,
        &desired,
        &resync,
        &expect![[r#"
            0 stop cluster.orders.node.r[0] after [] data-loss
            1 basebackup cluster.orders.node.r[0] after [0] data-loss
            2 standby cluster.orders.node.r[0] after [1] none
            3 verify-sync cluster.orders after [2] none
        "#]],
    );
}

#[test]
fn commits_stop_waiting_for_a_lost_standby_and_wait_again_once_it_is_back() {
    let mut desired = quorum(&["a", "r[0]"]);
    cluster(&mut desired).replication.on_standby_loss = OnStandbyLoss::Degrade;
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.r[0]"));
    degrade(&mut world, &desired);
    let recorded = &world.state.clusters.values().next().unwrap();
    assert!(recorded.sync_rule.is_empty());
    assert!(recorded.degraded.is_some());
    world.kill(&address("cluster.orders.node.a"));
    check_degraded(&mut world, &desired);
}

/// Runs a plan until commits wait for nobody who was lost any more.
fn degrade(world: &mut World, desired: &Desired) {
    let plan = plan_for(world, desired).plan;
    let loosened = position(&plan, "sync-names");
    world.run(&plan, Cut::Before(loosened + 1)).unwrap();
}

fn check_degraded(world: &mut World, desired: &Desired) {
    world.run(&plan_for(world, desired).plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(world, desired);
    let recorded = &world.state.clusters.values().next().unwrap();
    assert_eq!(
        (recorded.sync_rule.to_string().as_str(), recorded.degraded.clone()),
        ("ANY 1 (r_0)", None)
    );
}

#[test]
fn a_standby_that_was_lost_must_not_lead() {
    let mut desired = quorum(&["a", "r[0]"]);
    cluster(&mut desired).replication.on_standby_loss = OnStandbyLoss::Degrade;
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.r[0]"));
    degrade(&mut world, &desired);
    world.kill(&address("cluster.orders.node.a"));
    refuses_proposal(
        &world,
        &desired,
        &election(ElectionKind::Failover, None),
        &expect![[r#"
            Failover is refused: Promoting orders.r[0] may lose writes: commits do not wait for standbys, and an unknown number of acknowledged writes is at stake. Bring the primary back with `simdb apply`; or, to promote it all the same, add -allow=data-loss.
        "#]],
    );
}

#[test]
fn a_lost_standby_is_left_out_before_it_is_started_and_listed_after_it_streams() {
    let mut desired = quorum(&["a", "r[0]", "r[1]"]);
    cluster(&mut desired).replication.on_standby_loss = OnStandbyLoss::Degrade;
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.r[0]"));
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 start cluster.orders.node.r[0] after [] none
            1 degrade cluster.orders after [] none
            2 sync-names cluster.orders after [1] reload
            3 sync-names cluster.orders after [0 2] reload
            4 verify-sync cluster.orders after [3] none
        "#]],
    );
}

#[test]
fn a_step_of_an_earlier_election_is_refused() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    let old = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some("r[0]")));
    for to in ["r[1]", "r[0]"] {
        let next = plan_of(&world, &desired, &election(ElectionKind::Switchover, Some(to)));
        world.run(&next, Cut::Never).unwrap();
    }
    for step in &old.steps {
        let refused = crate::guard::check(step, &world.state).unwrap_err().to_string();
        let expected = "it belongs to the election of term 2, and one of term 3 was held since";
        assert_eq!(refused, expected, "{}", step.action.name());
    }
}

#[test]
fn clients_of_a_primary_that_crashed_are_let_in_once_a_standby_has_what_it_has() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = applied(&desired);
    world.kill(&address("cluster.orders.node.a"));
    let plan = plan_for(&world, &desired).plan;
    let open = position(&plan, "open");
    world.run(&plan, Cut::Before(open)).unwrap();
    check(
        &mut world,
        &desired,
        &expect![[r#"
            0 open cluster.orders.node.a after [] none
            1 verify-sync cluster.orders after [0] none
        "#]],
    );
}

#[test]
fn a_primary_of_which_nobody_can_say_how_it_ended_counts_as_crashed() {
    let desired = quorum(&["a", "r[0]"]);
    let mut world = applied(&desired);
    let stopped = propose(&world, &desired, &["a", "r[0]"], Power::Stopped);
    world.run(&stopped.plan, Cut::Never).unwrap();
    let mut observed = world.observe();
    let Some(Observation::Seen(facts)) = observed.nodes.get_mut(&address("cluster.orders.node.a")) else {
        panic!("the node is seen")
    };
    facts.control = Control::Unknown("pg_controldata did not answer within 2s".to_owned());
    let nodes = ["a", "r[0]"].map(|node| address(&format!("cluster.orders.node.{node}")));
    let planned = plan(Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &observed,
        proposal: Some(&Proposal::Power {
            nodes: nodes.into(),
            power: Power::Running,
        }),
    });
    let open = &planned.plan.steps[position(&planned.plan, "open")];
    expect![
        "a may have crashed (pg_controldata did not answer within 2s), and may show commits that no standby has yet"
    ]
    .assert_eq(&open.reason);
    expect![[r#"
        cluster.orders.node.a: its server is down, and its data could not be read: pg_controldata did not answer within 2s
    "#]]
    .assert_eq(&not_compared(&planned));
}

#[test]
fn a_primary_that_was_shut_down_in_order_is_started_with_its_clients() {
    let desired = quorum(&["a", "r[0]"]);
    let mut world = applied(&desired);
    let stopped = propose(&world, &desired, &["a", "r[0]"], Power::Stopped);
    world.run(&stopped.plan, Cut::Never).unwrap();
    let plan = propose(&world, &desired, &["a", "r[0]"], Power::Running).plan;
    assert!(plan.steps.iter().all(|step| step.action.name() != "open"));
}

#[test]
fn where_nobody_whom_commits_wait_for_stays_they_wait_for_others_before_clients_are_let_in() {
    let mut world = applied(&quorum(&["a", "b"]));
    for node in ["a", "b"] {
        world.kill(&address(&format!("cluster.orders.node.{node}")));
    }
    let mut desired = quorum(&["a", "c", "b"]);
    follow(&mut desired, "b", "c");
    check(
        &mut world,
        &desired,
        &expect![[r#"
        0 start cluster.orders.node.a after [] none
        1 slot cluster.orders.node.c after [0] none
        2 basebackup cluster.orders.node.c after [1] none
        3 standby cluster.orders.node.c after [2] none
        4 slot cluster.orders.node.b after [3] none
        5 start cluster.orders.node.b after [4] none
        6 sync-names cluster.orders after [3] reload
        7 follow cluster.orders.node.b after [5 6] reload
        8 drop-slot cluster.orders.node.b after [7] none
        9 endpoint cluster.orders.endpoint.ro after [7] none
        10 endpoint cluster.orders.endpoint.rw after [7] none
        11 open cluster.orders.node.a after [6] none
        12 verify-sync cluster.orders after [9 10 11] none
    "#]],
    );
}
