//! A primary that is lost while somebody else is at work: what is done with another cluster holds nothing up, and what is done with this
//! one ends there.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::{Monitor, Output, Scenario, Version, WATCHED, any, disturb_under_load, wait_until};

/// A cluster beside that one.
const BESIDE: &str = r#"cluster "beside" {
  network = network.lan
  engine "postgresql" {}
  node "a" {}
}
"#;

/// Starts an apply to which something happens before the effect of a step, and waits until that step has begun.
fn apply_until(scenario: &Scenario, what: &str, step: &str) -> Child {
    let program = Path::new(env!("CARGO_BIN_EXE_simdb-failpoint"));
    let mut command: Command = scenario.environment.command_of(program, &["apply", "-auto-approve"]);
    command.env("SIMDB_FAILPOINT", format!("{what} before {step}"));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("the program can be started");
    let (name, address) = step.split_once(' ').expect("a step has a name and an address");
    wait_until("the step has begun", || {
        let told = scenario.environment.run(&["runs", "show", "-json"]);
        let run: serde_json::Value = serde_json::from_str(&told.stdout).unwrap_or_default();
        let mut steps = run["steps"].as_array().into_iter().flatten();
        steps.any(|step| step["kind"] == name && step["address"] == address && step["status"] == "started")
    });
    child
}

fn ended(child: Child) -> Output {
    Output::from(child.wait_with_output().expect("it was started"))
}

fn go_on(child: &Child) {
    let pid = i32::try_from(child.id()).expect("process numbers are small");
    kill(Pid::from_raw(pid), Signal::SIGCONT).expect("it is there");
}

#[test]
fn an_apply_of_one_cluster_holds_up_no_failover_of_another() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        scenario.environment.write("beside.simdb.hcl", BESIDE);
        let monitor = scenario.monitor("monitor");
        let apply = apply_until(scenario, "halt", "verify-sync cluster.beside");
        let refused = scenario.environment.run(&["apply", "-auto-approve"]);
        refused.expect_code(4);
        let text = refused.text();
        assert!(text.contains("for apply of cluster beside"), "{text}");
        assert!(text.contains("About: cluster beside"), "{text}");
        let primary = scenario.primary();
        scenario.kill_all(&primary);
        monitor.wait_until_replaced(load);
        assert_ne!(scenario.primary(), primary);
        go_on(&apply);
        ended(apply).expect_code(0);
        scenario.environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
        scenario.simdb(&["verify", "beside"]);
        assert!(monitor.stop(), "it ends well");
    });
}

/// Removes what was declared beside the nodes of the scenario, and stops the monitor.
fn end(scenario: &Scenario, monitor: Monitor) {
    scenario.declare(WATCHED);
    scenario
        .environment
        .done(&["apply", "-auto-approve", "-allow=data-loss"]);
    assert!(monitor.stop(), "it ends well");
}

/// The three nodes, and one that is yet to be made.
fn with_another_node() -> String {
    WATCHED.replace("  endpoint", "  node \"d\" {}\n  endpoint")
}

#[test]
fn an_apply_that_is_busy_with_a_standby_ends_where_the_primary_is_lost_and_the_next_one_goes_on() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        scenario.declare(&with_another_node());
        let apply = apply_until(scenario, "linger", "basebackup cluster.orders.node.d");
        let primary = scenario.primary();
        scenario.kill(&primary);
        let lost = Instant::now();
        let apply = ended(apply);
        let took = lost.elapsed();
        apply.expect_code(4);
        let text = apply.text();
        for said in [
            "was taken over by",
            "for failover of cluster orders",
            "No step was begun since",
            "plan again to see what is left",
        ] {
            assert!(text.contains(said), "{said} is not in {text}");
        }
        assert!(took < Duration::from_secs(10), "it went on for {took:?}");
        monitor.wait_until_replaced(load);
        assert_ne!(scenario.primary(), primary);
        scenario.environment.done(&["apply", "-auto-approve"]);
        assert!(
            scenario.status()["nodes"]
                .as_array()
                .is_some_and(|nodes| nodes.len() == 4)
        );
        end(scenario, monitor);
    });
}

#[test]
fn an_apply_that_was_halted_meanwhile_runs_no_further_step_once_it_wakes_up() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        scenario.declare(&with_another_node());
        let apply = apply_until(scenario, "halt", "basebackup cluster.orders.node.d");
        let primary = scenario.primary();
        scenario.kill_all(&primary);
        monitor.wait_until_replaced(load);
        let recorded = scenario.environment.run(&["show", "-json"]).stdout;
        go_on(&apply);
        let apply = ended(apply);
        assert!(matches!(apply.code, Some(1 | 4)), "{}", apply.text());
        assert!(apply.text().contains("lock of state"), "{}", apply.text());
        assert_eq!(scenario.environment.run(&["show", "-json"]).stdout, recorded);
        end(scenario, monitor);
    });
}

#[test]
fn an_apply_that_restarts_the_primary_is_not_taken_for_its_loss() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        let primary = scenario.primary();
        let other = WATCHED.replace("node \"a\" {}", "node \"a\" { parameters = { max_connections = 77 } }");
        scenario.declare(&other);
        scenario
            .environment
            .done(&["apply", "-auto-approve", "-allow=downtime"]);
        load.further(20);
        assert_eq!(scenario.primary(), primary);
        assert_eq!(monitor.count("decided"), 0, "{:?}", monitor.events());
        assert_eq!(scenario.ask(&primary, "SHOW max_connections"), "77");
        scenario.declare(WATCHED);
        scenario
            .environment
            .done(&["apply", "-auto-approve", "-allow=downtime"]);
        load.further(20);
        assert_eq!(monitor.count("decided"), 0, "{:?}", monitor.events());
        assert!(monitor.stop(), "it ends well");
    });
}

#[test]
fn an_apply_whose_plan_is_judged_while_the_primary_is_lost_waits_for_that_and_plans_anew() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        let other = WATCHED.replace("node \"a\" {}", "node \"a\" { parameters = { work_mem = \"2MB\" } }");
        scenario.declare(&other);
        let project = scenario.environment.project();
        let (asked, answer) = (project.join("asked"), project.join("answer"));
        let judge = format!(
            "touch {}; while [ ! -e {} ]; do sleep 0.1; done",
            asked.display(),
            answer.display()
        );
        let mut apply = scenario
            .environment
            .command(&["apply", "-auto-approve", &format!("-policy-command={judge}")]);
        let apply = apply.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let apply = apply.expect("the program can be started");
        wait_until("its plan is judged", || asked.exists());
        let primary = scenario.primary();
        scenario.kill(&primary);
        monitor.wait_until_replaced(load);
        std::fs::write(&answer, "").expect("the directory is ours");
        let apply = ended(apply);
        apply.expect_code(0);
        let text = apply.text();
        assert!(
            text.contains("Nothing was changed yet, and the lock of state"),
            "{text}"
        );
        assert_ne!(scenario.primary(), primary);
        assert_eq!(scenario.ask("a", "SHOW work_mem"), "2MB");
        scenario.declare(WATCHED);
        scenario.environment.done(&["apply", "-auto-approve"]);
        assert!(monitor.stop(), "it ends well");
    });
}
