//! simdb killed at every step of a switchover and of a failover with its rejoin, at three moments of each, under load: the
//! next apply finishes it, or nothing has happened; never do two nodes write, and no acknowledged row is lost.
//!
//! The steps come from the plans themselves, so a new one is killed, too. The lead goes round the nodes of one cluster.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use serde_json::Value;
use simdb_tests::{
    Moment, Scenario, Step, Version, disturb_under_load, errors_of, first, has_pgbouncer, is_thorough, json_lines,
    leave_to_faults, plan_of,
};

/// Commits wait for the first of two standbys; clients of the endpoint wait where there is a pooler.
const CLUSTER: &str = r#"
  replication { mode = "sync" }
  node "a" {}
  node "r" { count = 2 }
  user "app" { login = true }
  database "app" { owner = "app" }
  endpoint "rw" { target = "primary" }
"#;

/// Steps that are always cut off, before they are recorded; everything else where scenarios are run in full.
const ALWAYS: [&str; 2] = ["fence", "promote"];

/// How the lead moves.
#[derive(Clone, Copy, Debug)]
enum Change {
    Switchover,
    Failover,
}

impl Change {
    /// Returns the command, after what it takes for it to be the one to run.
    fn prepare(self, scenario: &Scenario, former: &str) -> &'static str {
        match self {
            Change::Switchover => "switchover",
            Change::Failover => {
                scenario.kill_all(former);
                "failover"
            }
        }
    }
}

#[test]
fn a_switchover_that_is_killed_before_a_step_is_carried_through() {
    every_step(Change::Switchover, Moment::Before);
}

#[test]
fn a_switchover_that_is_killed_in_the_middle_of_a_step_is_carried_through() {
    every_step(Change::Switchover, Moment::Within);
}

#[test]
fn a_switchover_that_is_killed_before_a_step_is_recorded_is_carried_through() {
    every_step(Change::Switchover, Moment::After);
}

#[test]
fn a_failover_that_is_killed_before_a_step_is_carried_through() {
    every_step(Change::Failover, Moment::Before);
}

#[test]
fn a_failover_that_is_killed_in_the_middle_of_a_step_is_carried_through() {
    every_step(Change::Failover, Moment::Within);
}

#[test]
fn a_failover_that_is_killed_before_a_step_is_recorded_is_carried_through() {
    every_step(Change::Failover, Moment::After);
}

#[expect(clippy::print_stdout, reason = "which step it was is what a failure is about")]
fn every_step(change: Change, moment: Moment) {
    if !is_thorough() && !matches!(moment, Moment::After) {
        leave_to_faults("it takes a minute");
        return;
    }
    let pooled = CLUSTER.replace("\"primary\" }", "\"primary\"\n via = \"pgbouncer\"\n }");
    let pooled = pooled.replace("{ target", "{\n target");
    let body = if has_pgbouncer() { &pooled } else { CLUSTER };
    disturb_under_load(&[Version::installed()], body, first(1), |scenario, load| {
        let rehearsed = rehearse(scenario, change);
        for (round, rehearsed_step) in rehearsed.iter().enumerate() {
            if !is_thorough() && !ALWAYS.contains(&rehearsed_step.name.as_str()) {
                continue;
            }
            load.further(20);
            let former = scenario.primary();
            let command = change.prepare(scenario, &former);
            let shown = lines(scenario, &[command, "orders", "-plan", "-json"]);
            let steps = steps(&shown);
            assert_eq!(names(&steps), names(&rehearsed), "one {command} is like another");
            let step = Step {
                seconds: rehearsed_step.seconds,
                ..steps[round].clone()
            };
            println!("{change:?} {moment:?} {} of {}", step.name, step.address);
            let winner = winner(&shown);
            let approved = [command, "orders", "-auto-approve"];
            step.kill(&scenario.environment, &approved, moment, round);
            recover(scenario, &step);
            // Only who was not yet recorded as elected has no claim to lead.
            let leads = if step.name == "elect" { former } else { winner };
            assert_eq!(scenario.primary(), leads, "{step:?}");
            load.further(20);
            scenario.assert_settled(first(1));
        }
    });
}

/// Moves the lead once, undisturbed.
fn rehearse(scenario: &Scenario, change: Change) -> Vec<Step> {
    let former = scenario.primary();
    let command = change.prepare(scenario, &former);
    let steps = steps(&lines(scenario, &[command, "orders", "-auto-approve", "-json"]));
    for step in ["elect", "fence", "promote"].iter().chain(match change {
        Change::Switchover => &["standby"],
        Change::Failover => &["rewind"],
    }) {
        assert!(steps.iter().any(|found| found.name == *step), "no {step} in {steps:?}");
    }
    steps
}

/// Lets the next apply finish; it must say what was cut off, and be all that there is to do.
fn recover(scenario: &Scenario, step: &Step) {
    let lines = lines(scenario, &["apply", "-auto-approve", "-json"]);
    step.assert_in_doubt(&lines);
    let second = json_lines(&scenario.environment.run(&["plan", "-json"]).stdout);
    assert_eq!(plan_of(&second)["steps"], Value::Array(Vec::new()), "{step:?}");
    assert_eq!(plan_of(&second)["interrupted"], Value::Null, "{step:?}");
}

/// Runs simdb, which must do what it is told, and returns its lines.
fn lines(scenario: &Scenario, arguments: &[&str]) -> Vec<Value> {
    let output = scenario.environment.run(arguments);
    let lines = json_lines(&output.stdout);
    assert_eq!(
        output.code,
        Some(0),
        "{arguments:?}: {}{}",
        errors_of(&lines),
        output.stderr
    );
    lines
}

/// Returns the steps of a plan in an order that does not depend on who led before.
fn steps(lines: &[Value]) -> Vec<Step> {
    let mut steps = Step::all(lines);
    steps.sort_by(|one, other| (&one.name, &one.address).cmp(&(&other.name, &other.address)));
    steps
}

fn names(steps: &[Step]) -> Vec<&str> {
    steps.iter().map(|step| step.name.as_str()).collect()
}

/// Returns who is to be promoted.
fn winner(lines: &[Value]) -> String {
    let steps = Step::all(lines);
    let promote = steps.iter().find(|step| step.name == "promote").unwrap();
    promote.address.rsplit_once("node.").unwrap().1.to_owned()
}
