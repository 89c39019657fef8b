//! A primary that its platform cannot look at: its platform proves that it is down, a person answers for it, or nobody takes over.

use expect_test::expect;
use simdb_state::object::{FenceProof, Loss, Power, Role, Verdict, Witness};

use super::role::{plan_of, proposed, quorum, refuses_proposal};
use super::*;
use crate::observed::{Hidden, Observation, Observed, ProcessFacts};
use crate::plan::{Action, FenceMethod, Impact, Step};

fn failover(assurance: Assurance) -> Proposal {
    Proposal::Election(ElectionRequest {
        cluster: "orders".parse().unwrap(),
        kind: ElectionKind::Failover,
        to: None,
        lossy: false,
        assurance,
    })
}

fn a() -> NodeAddress {
    address("cluster.orders.node.a")
}

/// A cluster whose primary is on a machine that lost its power, and that nobody reaches.
fn lost(desired: &Desired) -> World {
    let mut world = World::default();
    world.run(&plan_for(&world, desired).plan, Cut::Never).unwrap();
    world.kill(&a());
    world.unreachable.insert(a());
    world
}

fn verdict(world: &World) -> Verdict {
    let election = world.state.elections.values().next().unwrap();
    election.switch.as_ref().unwrap().verdict.clone()
}

fn planned(world: &World, desired: &Desired, observed: &Observed, proposal: Option<&Proposal>) -> Planned {
    plan(Inputs {
        desired,
        recorded: &world.state,
        observed,
        proposal,
    })
}

/// Asserts that a plan finds nothing to do, and leaves the node that is out of reach as it is.
fn assert_left_alone(world: &World, desired: &Desired) {
    let planned = plan_for(world, desired);
    assert_eq!(
        (diagnostics(&planned).as_str(), steps(&planned.plan).as_str()),
        ("", "")
    );
    assert_eq!(planned.plan.changes, []);
    assert!(planned.not_compared.iter().any(|unknown| unknown.address == a().into()));
}

#[test]
fn a_primary_that_nobody_reaches_is_not_replaced_without_proof() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    refuses_proposal(
        &lost(&desired),
        &desired,
        &failover(Assurance::Proof),
        &expect![[r#"
            Failover is refused: orders.a leads and could not be looked at (its machine does not answer), so it cannot be proven that it takes no writes. Look after its machine. If its machine is off for certain, and stays off, run: simdb failover orders -fenced-by-operator. To go on without knowing, at the price of what it still writes: simdb failover orders -force -allow=data-loss
        "#]],
    );
}

#[test]
fn an_attestation_takes_the_place_of_the_proof_and_is_recorded_as_what_it_is() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = lost(&desired);
    let plan = plan_of(&world, &desired, &failover(Assurance::Attested));
    expect![[r#"
        0 elect cluster.orders after [] none
        1 fence cluster.orders.node.a after [0] none
        2 promote cluster.orders.node.r[0] after [1] write-pause
        3 slot cluster.orders.node.r[1] after [0] none
        4 follow cluster.orders.node.r[1] after [2 3] reload
        5 endpoint cluster.orders.endpoint.ro after [2] none
        6 endpoint cluster.orders.endpoint.rw after [2] none
        7 verify-sync cluster.orders after [4 5 6] none
    "#]]
    .assert_eq(&steps(&plan));
    expect![[r#"
        "cluster.orders.node.a led, and cannot be looked at: an operator attests that its machine is off. It is left as it is; once its machine is back, `simdb apply` makes it a standby."
    "#]]
    .assert_eq(&format!("{}\n", plan.notes.iter().map(|note| format!("{note:?}")).collect::<Vec<_>>().join("\n")));
    world.run(&plan, Cut::Never).unwrap();
    assert!(matches!(verdict(&world), Verdict::Argued { .. }));
    let node = &world.state.nodes[&a()];
    let term = world.state.elections.values().next().unwrap().term;
    let fenced = Role::Fenced {
        term,
        proof: FenceProof::Killed,
        witness: Witness::NodeFenced,
    };
    assert_eq!((node.role.as_ref(), node.power), (Some(&fenced), Power::Stopped));
    assert_left_alone(&world, &desired);
}

#[test]
fn a_machine_that_is_back_has_its_former_primary_rewound() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = lost(&desired);
    let attested = plan_of(&world, &desired, &failover(Assurance::Attested));
    world.run(&attested, Cut::Never).unwrap();
    world.unreachable.clear();
    let plan = plan_for(&world, &desired).plan;
    expect![[r#"
        0 slot cluster.orders.node.a after [] none
        1 rewind cluster.orders.node.a after [0] none
        2 standby cluster.orders.node.a after [1] none
        3 drop-slot cluster.orders.node.r[0] after [2] none
        4 drop-slot cluster.orders.node.r[1] after [2] none
        5 sync-names cluster.orders after [2] reload
        6 verify-sync cluster.orders after [5] none
    "#]]
    .assert_eq(&steps(&plan));
    world.run(&plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}

#[test]
fn a_waived_proof_makes_the_verdict_unknown_also_after_a_cut() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = lost(&desired);
    let plan = plan_of(&world, &desired, &failover(Assurance::Waived));
    let promote = position(&plan, "promote");
    assert_eq!(plan.steps[promote].impact, Impact::DataLoss);
    world.run(&plan, Cut::Before(promote)).unwrap();
    let rest = plan_for(&world, &desired).plan;
    assert_eq!(rest.impact(), Impact::DataLoss, "{}", steps(&rest));
    world.lossy = true;
    world.run(&rest, Cut::Never).unwrap();
    assert_eq!(verdict(&world), Verdict::Unknown(Loss(None)));
    let role = world.state.nodes[&a()].role.clone();
    assert!(
        matches!(
            role,
            Some(Role::Fenced {
                witness: Witness::Waived,
                ..
            })
        ),
        "{role:?}"
    );
    assert_left_alone(&world, &desired);
}

#[test]
fn a_plan_that_was_cut_off_before_the_fence_waits_for_the_proof_or_for_a_person() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = lost(&desired);
    let plan = plan_of(&world, &desired, &failover(Assurance::Attested));
    world.run(&plan, Cut::Before(position(&plan, "fence"))).unwrap();
    let rest = plan_for(&world, &desired);
    assert!(rest.plan.is_empty());
    expect![[r#"
        Role change is not finished: orders.r[0] was elected, and does not lead before it is proven that a takes no writes. Look after its machine. If its machine is off for certain, and stays off, run: simdb failover orders -promote r[0] -fenced-by-operator. To go on without knowing, at the price of what it still writes: simdb failover orders -promote r[0] -force -allow=data-loss
    "#]]
    .assert_eq(&diagnostics(&rest));
    let again = plan_of(&world, &desired, &failover(Assurance::Attested));
    world.run(&again, Cut::Never).unwrap();
    assert_left_alone(&world, &desired);
}

/// Returns how the primary is fenced where its platform tells this of it, or nothing where the failover is refused.
fn fenced_by(hidden: Hidden, assurance: Assurance) -> Option<FenceMethod> {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let world = lost(&desired);
    let mut observed = world.observe();
    observed.hidden.insert(a(), hidden);
    let planned = planned(&world, &desired, &observed, Some(&failover(assurance)));
    planned.plan.steps.iter().find_map(|step| match step.action {
        Action::Fence { method, .. } => Some(method),
        _ => None,
    })
}

#[test]
fn the_word_of_a_person_counts_where_no_platform_proves_anything() {
    let lost = || Hidden::Lost("Look after it.".to_owned());
    for (hidden, proof, attested, waived) in [
        (
            Hidden::Provable,
            Some(FenceMethod::Kill),
            FenceMethod::Kill,
            FenceMethod::Waived,
        ),
        (lost(), None, FenceMethod::Attested, FenceMethod::Waived),
    ] {
        let by = |assurance| fenced_by(hidden.clone(), assurance);
        assert_eq!(by(Assurance::Proof), proof, "{hidden:?}");
        assert_eq!(by(Assurance::Attested), Some(attested), "{hidden:?}");
        assert_eq!(by(Assurance::Waived), Some(waived), "{hidden:?}");
    }
}

#[test]
fn a_primary_that_is_gone_counts_as_down_only_where_its_platform_does_not_doubt_it() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = lost(&desired);
    world.unreachable.clear();
    let mut observed = world.observe();
    observed.nodes.insert(a(), Observation::Absent);
    observed.hidden.insert(a(), Hidden::Lost("Look after it.".to_owned()));
    let by = |assurance| planned(&world, &desired, &observed, Some(&failover(assurance)));
    expect![[r#"
        Failover is refused: orders.a leads and is gone, so it cannot be proven that it takes no writes. Look after it. If its machine is off for certain, and stays off, run: simdb failover orders -fenced-by-operator. To go on without knowing, at the price of what it still writes: simdb failover orders -force -allow=data-loss
    "#]]
    .assert_eq(&diagnostics(&by(Assurance::Proof)));
    assert_eq!(diagnostics(&by(Assurance::Attested)), "");
}

#[test]
fn a_word_is_not_needed_for_a_primary_that_can_be_looked_at() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = lost(&desired);
    world.unreachable.clear();
    let planned = proposed(&world, &desired, &failover(Assurance::Waived));
    let fences = |step: &&Step| {
        matches!(
            step.action,
            Action::Fence {
                method: FenceMethod::Kill,
                ..
            }
        )
    };
    assert_eq!(planned.plan.steps.iter().filter(fences).count(), 1);
    assert_eq!(planned.plan.impact(), Impact::WritePause);
}

#[test]
fn a_former_primary_that_was_not_down_is_told_and_given_up_on_request() {
    let desired = quorum(&["a", "r[0]", "r[1]"]);
    let mut world = lost(&desired);
    let waived = plan_of(&world, &desired, &failover(Assurance::Waived));
    world.lossy = true;
    world.run(&waived, Cut::Never).unwrap();
    let mut observed = World {
        unreachable: BTreeSet::new(),
        ..world.clone()
    }
    .observe();
    let mut server = before::server(&observed, &address("cluster.orders.node.r[0]"))
        .unwrap()
        .clone();
    server.senders.clear();
    let Some(Observation::Seen(facts)) = observed.nodes.get_mut(&a()) else {
        panic!("it is seen");
    };
    facts.process = ProcessFacts::Running { pid: 4711 };
    facts.server = Some(Observation::Seen(server));
    expect![[r#"
        Former primary was not down: Another node was promoted in place of cluster.orders.node.a without proof that this one was down, and its server takes writes: two nodes of the cluster may have taken writes since. Nothing is done until that is settled: find out which node has the writes worth keeping. To give up those of cluster.orders.node.a, run: simdb resync orders a
    "#]]
    .assert_eq(&diagnostics(&planned(&world, &desired, &observed, None)));
    let resync = planned(&world, &desired, &observed, Some(&Proposal::resync([a()])));
    assert_eq!(diagnostics(&resync), "");
    assert_eq!(resync.plan.impact(), Impact::DataLoss);
}
