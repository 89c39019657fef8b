//! simdb killed at a step of a creation, of a switchover and of a failover in pods: the next apply ends where an undisturbed one does.
//!
//! Where scenarios are run in full it is killed at every step, at three moments of each, else at those that take longest to get over.

use serde_json::Value;
use simdb_tests::contained::{PAIR, ROWS, THREE};
use simdb_tests::{Moment, Scenario, Step, first, is_thorough, json_lines};

/// Returns the steps and moments at which simdb is killed, of those of a plan.
fn points(steps: Vec<Step>, always: &[(&str, Moment)]) -> Vec<(Step, Moment)> {
    let moments = |step: &Step| -> Vec<Moment> {
        if is_thorough() {
            return vec![Moment::Before, Moment::Within, Moment::After];
        }
        let chosen = always.iter().filter(|(name, _)| *name == step.name);
        chosen.map(|(_, moment)| *moment).collect()
    };
    let points = steps.into_iter().flat_map(|step| {
        let moments = moments(&step);
        moments.into_iter().map(move |moment| (step.clone(), moment))
    });
    points.collect()
}

fn steps(scenario: &Scenario, arguments: &[&str]) -> Vec<Step> {
    let lines: Vec<Value> = json_lines(&scenario.simdb(arguments).stdout);
    Step::all(&lines)
}

#[test]
fn a_creation_that_is_killed_at_a_step_is_finished_by_the_next_apply() {
    let Some(mut scenario) = Scenario::in_pods(PAIR) else {
        return;
    };
    let apply = ["apply", "-auto-approve", "-json"];
    let destroy = ["destroy", "-auto-approve", "-allow=data-loss"];
    scenario.simdb(&destroy);
    let all = steps(&scenario, &apply);
    let always = [
        ("primary", Moment::Within),
        ("basebackup", Moment::Within),
        ("standby", Moment::After),
    ];
    for (round, (step, moment)) in points(all, &always).into_iter().enumerate() {
        println!("killed {moment:?} {step:?}");
        scenario.simdb(&destroy);
        assert_eq!(scenario.objects_in_pods(), "", "nothing is left of it");
        step.kill(&scenario.environment, &apply, moment, round);
        scenario.simdb(&apply);
        scenario.look();
        scenario.assert_healthy();
        scenario.assert_settled(first(1));
    }
    scenario.destroy_pods();
}

/// Changes roles until simdb is killed at a step of that name, and returns whether it was. Which node is fenced and which is promoted is another
/// one each time, and the election may fall on another node than the plan before it; and some plans have no such step.
fn is_killed(
    scenario: &Scenario,
    change: &[&str],
    step: &Step,
    moment: Moment,
    round: usize,
    disturb: impl Fn(&Scenario),
) -> bool {
    (0..3).any(|_| {
        disturb(scenario);
        let planned = scenario.environment.run(&[change[0], "orders", "-plan", "-json"]);
        let now = Step::all(&json_lines(&planned.stdout));
        let Some(now) = now.iter().find(|now| now.name == step.name) else {
            scenario.simdb(&["apply", "-auto-approve"]);
            return false;
        };
        let now = Step {
            seconds: step.seconds,
            ..now.clone()
        };
        match now.try_kill(&scenario.environment, change, moment, round) {
            Ok(()) => true,
            Err(ended) => {
                ended.expect_code(0);
                false
            }
        }
    })
}

/// Changes roles again and again, each time with simdb killed at a step, and lets the next apply carry on. What happens before each role
/// change is up to the caller.
#[expect(clippy::print_stdout, reason = "what fails late is told by where simdb was killed")]
fn killed_at_steps(command: &str, always: &[(&str, Moment)], disturb: impl Fn(&Scenario)) {
    let Some(scenario) = Scenario::in_pods(THREE) else {
        return;
    };
    let change = [command, "orders", "-auto-approve", "-json"];
    disturb(&scenario);
    let all = steps(&scenario, &change);
    let writing = scenario.load();
    for (round, (step, moment)) in points(all, always).into_iter().enumerate() {
        println!("killed {moment:?} {step:?}");
        writing.further(ROWS);
        let former = scenario.primary();
        if !is_killed(&scenario, &change, &step, moment, round, &disturb) {
            println!("no plan had such a step");
        }
        scenario.simdb(&["apply", "-auto-approve"]);
        writing.further(ROWS);
        scenario.assert_healthy();
        scenario.assert_settled(first(1));
        println!("{former} led before, and {} leads", scenario.primary());
    }
    writing.expect_nothing_lost();
    scenario.destroy_pods();
}

#[test]
fn a_switchover_that_is_killed_at_a_step_is_carried_through_and_loses_nothing() {
    let always = [
        ("fence", Moment::After),
        ("promote", Moment::Within),
        ("promote", Moment::After),
    ];
    killed_at_steps("switchover", &always, |_| ());
}

#[test]
fn a_failover_that_is_killed_at_a_step_is_carried_through_and_loses_nothing() {
    let always = [("fence", Moment::After), ("rewind", Moment::Within)];
    killed_at_steps("failover", &always, |scenario| {
        let primary = scenario.primary();
        // All of its processes: sessions would write on, and which standby has most would be another one with every look.
        scenario.in_pod(
            &primary,
            "p=$(cat /tmp/simdb/pid); kill -STOP $p; kill -STOP $(cat /proc/$p/task/*/children)",
        );
    });
}
