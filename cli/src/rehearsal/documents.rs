//! Documents of real plans, held against their published schemas.

use serde_json::{Value, json};
use simdb_planner::config::Config;
use simdb_planner::planner::scope::Pattern;
use simdb_planner::planner::{self, Inputs};
use simdb_state::store::Took;

use super::{Rehearsal, cluster};
use crate::args::Shape;
use crate::ui::testing::terminal;
use crate::views::doc::{DiagnosticDoc, DriftDoc, Estimates, Operation, PlanDoc};
use crate::views::json::{Lines, failure};
use crate::views::schema;
use crate::views::schema::validation::assert_valid;

/// Plans of every kind: of what is new, what changes, what has drifted, what goes, and what is as it should be.
fn plans() -> Vec<PlanDoc> {
    let mut rehearsal = Rehearsal::default();
    let output = "output \"url\" { value = cluster.orders.endpoint.rw.url }\n";
    let (small, large) = (cluster(1, "8MB"), cluster(2, "4MB"));
    let mut plans = vec![rehearsal.plan(Operation::Apply, &(large.clone() + output)).document];
    rehearsal.apply(&large);
    plans.push(rehearsal.plan(Operation::Apply, &large).document);
    rehearsal.world.kill(&"cluster.orders.node.r[0]".parse().unwrap());
    rehearsal.estimates = Estimates::new(vec![Took {
        kind: "start".to_owned(),
        milliseconds: 1500,
    }]);
    plans.push(rehearsal.plan(Operation::Apply, &small).document);
    plans.push(rehearsal.plan(Operation::Destroy, &small).document);
    plans
}

#[test]
fn plans_are_what_their_schema_says() {
    let plans = plans();
    for plan in &plans {
        assert_valid("plan", &serde_json::to_value(plan).unwrap());
    }
    let codes = plans
        .iter()
        .flat_map(|plan| plan.steps.iter().map(|step| step.cause.name()));
    let codes: std::collections::BTreeSet<&str> = codes.collect();
    let expected = [
        "configuration",
        "configuration_and_drift",
        "not_declared",
        "request",
        "verification",
    ];
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_plan_says_what_has_drifted_what_is_due_to_it_and_how_long_it_takes() {
    let plans = plans();
    let document = serde_json::to_value(&plans[2]).unwrap();
    let node = |list: &str| {
        let mut all = document[list].as_array().unwrap().iter();
        all.find(|one| one["address"] == "cluster.orders.node.r[0]")
            .unwrap()
            .clone()
    };
    let change = node("resource_changes");
    assert_eq!(
        (&change["name"], &change["index"], &change["cluster"]),
        (&json!("r"), &json!(0), &json!("orders"))
    );
    assert_eq!(change["action_reason"], "update_because_configuration_and_drift");
    let drift = node("resource_drift");
    assert_eq!(
        (&drift["change"]["before"]["power"], &drift["change"]["after"]["power"]),
        (&json!("running"), &json!("stopped"))
    );
    let step = node("steps");
    assert_eq!(
        (&step["name"], &step["estimate_seconds"]),
        (&json!("start"), &json!(1.5))
    );
    assert_eq!(
        (&document["applyable"], &document["errored"]),
        (&json!(true), &json!(false))
    );
    let gone = document["resource_changes"].as_array().unwrap().iter();
    let reasons: Vec<&Value> = gone
        .filter(|one| one["change"]["after"].is_null())
        .map(|one| &one["action_reason"])
        .collect();
    assert_eq!(reasons, ["delete_because_no_resource_config"]);
    assert_eq!(serde_json::to_value(&plans[1]).unwrap()["applyable"], false);
}

#[test]
fn drift_is_what_its_schema_says() {
    let mut rehearsal = Rehearsal::default();
    rehearsal.apply(&cluster(2, "4MB"));
    rehearsal.world.kill(&"cluster.orders.node.a".parse().unwrap());
    let config = Config::recorded(&rehearsal.world.state, Rehearsal::settings(&cluster(2, "4MB")));
    let planned = planner::plan(Inputs {
        desired: &config.desired,
        recorded: &rehearsal.world.state,
        observed: &rehearsal.world.observe(),
        proposal: None,
    });
    let document = DriftDoc::new(&planned.plan, &planned.found, &planned.not_compared, Vec::new());
    assert!(document.drifted);
    assert_valid("drift", &serde_json::to_value(&document).unwrap());
}

#[test]
fn an_object_of_which_all_that_differs_is_ignored_is_counted() {
    let mut rehearsal = Rehearsal::default();
    rehearsal.apply(&cluster(1, "4MB"));
    let primary = rehearsal
        .world
        .directories
        .get_mut(&"cluster.orders.node.a".parse().unwrap());
    let primary = primary.unwrap();
    primary.configured.insert("work_mem".to_owned(), "1GB".to_owned());
    primary.slots.insert("backup".to_owned());
    primary.users.get_mut("app").unwrap().createdb = true;
    let config = Config::recorded(&rehearsal.world.state, Rehearsal::settings(&cluster(1, "4MB")));
    let planned = planner::plan(Inputs {
        desired: &config.desired,
        recorded: &rehearsal.world.state,
        observed: &rehearsal.world.observe(),
        proposal: None,
    });
    let left = |patterns: &[&str]| {
        let document = DriftDoc::new(&planned.plan, &planned.found, &planned.not_compared, Vec::new());
        let patterns: Vec<Pattern> = patterns.iter().map(|pattern| Pattern::new(pattern)).collect();
        let document = document.without_ignored(&patterns, &planned.differing);
        assert_eq!(document.drifted, !document.resource_drift.is_empty());
        (document.resource_drift.len(), document.ignored)
    };
    assert_eq!(left(&[]), (2, 0));
    assert_eq!(left(&["cluster.orders.user.app.createdb"]), (1, 1));
    assert_eq!(
        left(&["cluster.*.node.*.parameters.work_mem"]),
        (2, 0),
        "the slot is not ignored"
    );
    let both = ["cluster.*.node.*.parameters.*", "cluster.orders.node.a.slots.backup"];
    assert_eq!(left(&both), (1, 1));
    assert_eq!(left(&["cluster.orders.node.a", "cluster.*.user.*"]), (0, 2));
}

#[test]
fn events_and_failures_are_what_their_schemas_say() {
    let diagnostic = simdb_planner::diagnostic::Diagnostic::error("Wrong", "It is.");
    let diagnostic = DiagnosticDoc::unplaced(&diagnostic);
    let (ui, output, _) = terminal("", false);
    failure(&ui, Shape::Document, std::slice::from_ref(&diagnostic));
    assert_valid("failure", &serde_json::from_str(&output.text()).unwrap());
    let (ui, output, _) = terminal("", false);
    failure(&ui, Shape::Lines, &[diagnostic]);
    let lines = Lines::start(ui);
    for plan in plans() {
        lines.plan(&plan);
    }
    let mut kinds = std::collections::BTreeSet::new();
    for line in output.text().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_valid("event", &event);
        kinds.insert(event["type"].as_str().unwrap().to_owned());
    }
    let expected = [
        "change_summary",
        "diagnostic",
        "plan",
        "planned_change",
        "resource_drift",
        "version",
    ];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_schema_has_the_definitions_that_it_needs_and_no_others() {
    let failure = schema::of("failure");
    let names: Vec<&String> = failure["$defs"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["diagnostic", "failure", "position"]);
    assert_eq!(failure["$ref"], "#/$defs/failure");
    let fields = schema::fields("plan");
    assert!(
        fields
            .iter()
            .any(|(field, meaning)| field == "steps[].id" && meaning == "Its number, from 1.")
    );
}
