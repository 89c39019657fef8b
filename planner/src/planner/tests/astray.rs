//! Standbys that somebody promoted by hand: a person says which branch is kept.

use std::collections::BTreeSet;

use super::role::{election, proposed, quorum};
use super::*;
use crate::plan::{Action, Impact};

fn applied(desired: &Desired) -> World {
    let mut world = World::default();
    let planned = plan_for(&world, desired);
    world.run(&planned.plan, Cut::Never).unwrap();
    world
}

fn keep(node: &str) -> Proposal {
    Proposal::Election(ElectionRequest {
        cluster: "orders".parse().unwrap(),
        kind: ElectionKind::Failover,
        to: Some(node.parse().unwrap()),
        lossy: true,
        assurance: Assurance::Proof,
    })
}

/// A cluster of three, one of which somebody promoted by hand; both write.
fn torn(desired: &Desired) -> World {
    let mut world = applied(desired);
    world.inject(&Fault::Promote(1));
    world.write(&"orders".parse().unwrap(), &BTreeSet::new());
    world
}

fn carry_out(world: &mut World, desired: &Desired, proposal: &Proposal) -> Plan {
    let planned = proposed(world, desired, proposal);
    assert_eq!(diagnostics(&planned), "");
    assert_eq!(planned.plan.impact(), Impact::DataLoss);
    world.lossy = true;
    world.run(&planned.plan, Cut::Never).unwrap();
    let next = plan_for(world, desired);
    assert_eq!((diagnostics(&next).as_str(), steps(&next.plan).as_str()), ("", ""));
    planned.plan
}

#[test]
fn a_branch_is_kept_where_somebody_says_so_whether_the_primary_serves_or_not() {
    for kills in [&[][..], &["a"], &["a", "b"]] {
        let desired = quorum(&["a", "b", "c"]);
        let mut world = torn(&desired);
        for node in kills {
            world.kill(&address(&format!("cluster.orders.node.{node}")));
        }
        let refused = diagnostics(&plan_for(&world, &desired));
        assert!(refused.contains("-promote b -allow=data-loss"), "{refused}");
        let asked = election(ElectionKind::Failover, Some("b"));
        let refused = diagnostics(&proposed(&world, &desired, &asked));
        assert!(refused.contains("add -allow=data-loss"), "{refused}");
        let plan = carry_out(&mut world, &desired, &keep("b"));
        let kept = plan
            .notes
            .iter()
            .any(|note| note.contains("branch of cluster.orders.node.b is kept"));
        assert!(kept, "{:?}", plan.notes);
        assert!(
            world.directories[&address("cluster.orders.node.b")]
                .server
                .as_ref()
                .is_some_and(|server| !server.replays)
        );
    }
}

#[test]
fn a_branch_that_is_given_up_is_stopped_before_anybody_is_promoted_and_its_data_is_copied_anew() {
    let desired = quorum(&["a", "b", "c"]);
    let mut world = torn(&desired);
    world.kill(&address("cluster.orders.node.a"));
    let plan = carry_out(&mut world, &desired, &keep("c"));
    let at = |meant: fn(&Action) -> bool| plan.steps.iter().position(|step| meant(&step.action)).unwrap();
    let stop = at(|action| matches!(action, Action::Stop { .. }));
    let promote = at(|action| matches!(action, Action::Promote { .. }));
    let reaches = |from: usize, to: usize| plan.steps[from].after.iter().any(|earlier| earlier.index() == to);
    assert!(stop < promote && reaches(promote, stop), "{}", steps(&plan));
    let copy = plan
        .steps
        .iter()
        .find(|step| matches!(step.action, Action::Clone { .. }));
    assert!(copy.unwrap().reason.contains("what b wrote by itself is given up"));
}

#[test]
fn a_branch_that_is_no_longer_declared_is_given_up_as_a_loss_and_stopped_before_another_node_leads() {
    let mut world = torn(&quorum(&["a", "b", "c"]));
    let dropped = plan_for(&world, &quorum(&["a", "c"]));
    assert_eq!(diagnostics(&dropped), "");
    assert_eq!(dropped.plan.impact(), Impact::DataLoss);
    let mut desired = quorum(&["a", "c"]);
    cluster(&mut desired).primary = Some("c".parse().unwrap());
    let planned = plan_for(&world, &desired);
    assert_eq!(diagnostics(&planned), "");
    let stops = |step: &crate::plan::Step| step.action.name() == "stop" && step.impact == Impact::DataLoss;
    let stop = planned.plan.steps.iter().position(stops).unwrap();
    let promote = &planned.plan.steps[position(&planned.plan, "promote")];
    assert!(
        promote.after.iter().any(|earlier| earlier.index() == stop),
        "{}",
        steps(&planned.plan)
    );
    world.run(&planned.plan, Cut::Never).unwrap();
    assert_second_plan_is_empty(&world, &desired);
}
