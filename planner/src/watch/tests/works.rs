//! Which work of others ends where a primary is lost, on plans as they are made.

use simdb_state::backend::{Lease, Token};
use simdb_state::journal::{RunReport, RunStatus, RunSummary, StepReport};
use simdb_state::lock::Owner;
use simdb_state::store;
use simdb_state::store::RunId;

use super::*;
use crate::plan::Plan;
use crate::planner::tests::{applied, cluster, orders as declared};
use crate::planner::{Inputs, Proposal, plan};
use crate::simulate::World;

const NODES: [&str; 2] = ["a", "b"];

fn world() -> World {
    applied(&declared(&NODES))
}

/// What a configuration of these nodes changes, or a proposal does.
fn planned(
    world: &World,
    nodes: &[&str],
    change: fn(&mut crate::desired::ClusterSpec),
    proposal: Option<&Proposal>,
) -> Plan {
    let mut desired = declared(nodes);
    change(cluster(&mut desired));
    let planned = plan(Inputs {
        desired: &desired,
        recorded: &world.state,
        observed: &world.observe(),
        proposal,
    });
    assert!(!planned.plan.is_empty());
    planned.plan
}

/// A run of a plan whose steps before the first one of this name are done, and that one has begun.
fn at(plan: &Plan, step: &str) -> store::Work {
    let mut steps = (0_u32..).zip(&plan.steps);
    let found = steps.find(|(_, planned)| planned.action.name() == step);
    let (number, _) = found.unwrap_or_else(|| panic!("no step is called {step}"));
    let steps = (0..number).map(|step| (step, StepReport::Done(None)));
    let begun = [(number, StepReport::Started)];
    work(Some((plan, steps.chain(begun).collect())))
}

fn work(run: Option<(&Plan, BTreeMap<u32, StepReport>)>) -> store::Work {
    let owner = Owner::this_process("apply", Duration::from_secs(20));
    let report = |(plan, steps)| RunReport {
        summary: RunSummary {
            id: RunId("00000001".to_owned()),
            operation: "apply".to_owned(),
            status: RunStatus::Running,
            steps: 0,
            began: String::new(),
            ended: None,
            who: None,
        },
        plan: serde_json::to_value(plan).unwrap(),
        steps,
    };
    store::Work {
        lease: Lease {
            token: Token(1),
            beat: 0,
            owner,
        },
        run: run.map(report),
    }
}

fn check(world: &World, work: &store::Work) -> bool {
    Trace::of(&orders(), &world.state, work).yields()
}

#[test]
fn a_plan_that_is_being_made_yields() {
    assert!(check(&world(), &work(None)));
}

#[test]
fn a_run_that_copies_a_standby_yields_at_any_of_its_steps() {
    let world = world();
    let plan = planned(&world, &["a", "b", "c"], |_| {}, None);
    for step in ["slot", "basebackup", "standby", "verify-sync"] {
        assert!(check(&world, &at(&plan, step)), "{step}");
    }
}

#[test]
fn a_run_that_restarts_the_primary_yields_before_and_after_that_and_not_within() {
    let world = world();
    let set = |spec: &mut crate::desired::ClusterSpec| {
        for node in spec.nodes.values_mut() {
            node.parameters.insert("max_connections".to_owned(), "77".into());
        }
    };
    let plan = planned(&world, &NODES, set, None);
    let steps: Vec<_> = (0_u32..).zip(&plan.steps).collect();
    let of_primary = |step: &crate::plan::Step| step.address.to_string() == "cluster.orders.node.a";
    let (number, _) = steps.iter().find(|(_, step)| of_primary(step)).unwrap();
    let state = |report: Option<StepReport>| {
        work(Some((
            &plan,
            report.map(|report| (*number, report)).into_iter().collect(),
        )))
    };
    assert!(check(&world, &state(None)), "it has not begun");
    assert!(
        !check(&world, &state(Some(StepReport::Started))),
        "the restart is the loss that is seen"
    );
    assert!(check(&world, &state(Some(StepReport::Done(None)))));
    let trace = |report| Trace::of(&orders(), &world.state, &state(report));
    assert_ne!(
        trace(None),
        trace(Some(StepReport::Done(None))),
        "it did something there"
    );
    assert_eq!(trace(None), trace(None));
    assert!(check(&world, &state(Some(StepReport::Failed(String::new())))));
}

#[test]
fn a_run_that_lets_another_node_lead_goes_on_until_that_is_done() {
    let world = world();
    let request = crate::planner::ElectionRequest {
        cluster: orders(),
        kind: crate::planner::ElectionKind::Switchover,
        to: Some(name("b")),
        lossy: false,
        assurance: crate::planner::Assurance::Proof,
    };
    let plan = planned(&world, &NODES, |_| {}, Some(&Proposal::Election(request)));
    for step in ["elect", "fence", "promote"] {
        assert!(!check(&world, &at(&plan, step)), "{step}");
    }
    assert!(!check(&world, &work(Some((&plan, BTreeMap::new())))), "it is about to");
    assert!(check(&world, &at(&plan, "verify-sync")), "another node leads by now");
}

#[test]
fn what_a_run_does_with_another_cluster_holds_nothing_up() {
    let world = world();
    let request = |cluster: &str| crate::planner::ElectionRequest {
        cluster: cluster.parse().unwrap(),
        kind: crate::planner::ElectionKind::Switchover,
        to: Some(name("b")),
        lossy: false,
        assurance: crate::planner::Assurance::Proof,
    };
    let plan = planned(&world, &NODES, |_| {}, Some(&Proposal::Election(request("orders"))));
    let trace = Trace::of(&"other".parse().unwrap(), &world.state, &at(&plan, "fence"));
    assert!(trace.yields());
}

#[test]
fn a_plan_that_cannot_be_read_does_not_yield() {
    let world = world();
    let mut work = work(Some((&Plan::default(), BTreeMap::new())));
    work.run.as_mut().unwrap().plan = serde_json::json!({ "written": "by a later version" });
    assert!(!check(&world, &work));
}

#[test]
fn a_lost_primary_is_replaced_whatever_yields_and_a_lost_standby_waits() {
    let work = |yields| Work {
        who: "ann@host (apply)".to_owned(),
        yields,
    };
    let lost = |node: &'static str, yields| {
        Scene::quorum().with(|scene| {
            scene.ended(node, seconds(2));
            scene.round.at_work = Some(work(yields));
        })
    };
    assert!(lost("a", true).told().starts_with("fail over from a"));
    assert!(!lost("a", true).told().contains("at work"));
    assert!(lost("a", false).told().ends_with("(ann@host (apply) is at work)"));
    assert!(lost("b", true).told().ends_with("(ann@host (apply) is at work)"));
}
