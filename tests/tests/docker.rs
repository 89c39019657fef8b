//! Clusters in containers: made, changed, led by others, disturbed and removed, on a real daemon.

use std::process::Stdio;

use simdb_tests::{Scenario, first, wait_until};

const PAIR: &str = r#"
  node "a" {}
  node "r" { count = 1 }
  user "app" { login = true }
  database "app" { owner = "app" }
  endpoint "rw" { target = "primary" }
"#;

const THREE: &str = r#"
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
"#;

/// How many rows are written before and after a disturbance.
const ROWS: u64 = 50;

#[test]
fn a_primary_that_is_killed_loses_no_acknowledged_row() {
    let Some(scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    scenario.assert_settled(first(1));
    assert_no_secrets(&scenario);
    let writing = scenario.load();
    writing.further(ROWS);
    scenario.switchover(None);
    assert_eq!(scenario.primary(), "r[0]");
    writing.further(ROWS);
    scenario.docker(&["kill", &scenario.container("r[0]")]);
    scenario.failover();
    assert_eq!(scenario.primary(), "a");
    writing.further(ROWS);
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
    scenario.destroy_containers();
}

/// Asserts that no password stands where the daemon shows it to others.
#[track_caller]
fn assert_no_secrets(scenario: &Scenario) {
    let env = scenario.simdb(&["env", "orders", "-json"]).stdout;
    let env: serde_json::Value = serde_json::from_str(&env).expect("it is a document");
    let password = env["variables"]["PGPASSWORD"].as_str().expect("the password is known");
    for node in ["a", "r[0]"] {
        let container = scenario.container(node);
        for name in [&container, &format!("{container}.home")] {
            assert!(!scenario.docker(&["inspect", name]).contains(password), "{name}");
        }
        assert!(
            !scenario.docker(&["logs", &container]).contains(password),
            "{container}"
        );
    }
}

#[test]
fn what_happens_to_containers_is_drift_and_mended_without_loss() {
    let Some(scenario) = Scenario::in_containers(THREE) else {
        return;
    };
    scenario.ask("a", "CREATE TABLE kept AS SELECT 42 AS n; SELECT 1");
    let (primary, standby) = (scenario.container("a"), scenario.container("r[0]"));
    let network = scenario.network_name();
    let (down, cut_off) = ("its server is down", "its server was cut off from its network");
    let disturbances: [(&[&str], &str); 7] = [
        (&["stop", &standby], down),
        (&["rm", "--force", &standby], down),
        (&["rm", "--force", &primary], down),
        (&["pause", &primary], "its server was paused"),
        (&["kill", "--signal", "STOP", &standby], "a signal halted its server"),
        (&["network", "disconnect", &network, &standby], cut_off),
        (&["network", "disconnect", &network, &primary], cut_off),
    ];
    for (disturbance, told) in disturbances {
        scenario.docker(disturbance);
        let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
        let said = plan.text();
        assert_ne!(plan.code, Some(0), "{disturbance:?}: {said}");
        assert!(said.contains(told), "{disturbance:?}: no {told:?} in {said}");
        // A server that is halted cannot be compared, either.
        let drift = scenario.environment.run(&["drift"]);
        let said = drift.text();
        assert!(matches!(drift.code, Some(1 | 2)), "{disturbance:?}: {said}");
        assert!(said.contains("has drifted"), "{disturbance:?}: {said}");
        scenario.simdb(&["apply", "-auto-approve"]);
        assert_eq!(scenario.primary(), "a", "{disturbance:?}");
        scenario.assert_settled(first(1));
        assert_eq!(scenario.ask("a", "SELECT n FROM kept"), "42");
    }
    scenario.destroy_containers();
}

#[test]
fn a_parameter_is_reloaded_or_takes_a_restart_and_nodes_come_and_go() {
    let Some(mut scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    let started = |scenario: &Scenario, node: &str| {
        scenario.docker(&["inspect", "--format", "{{.State.StartedAt}}", &scenario.container(node)])
    };
    let before = started(&scenario, "a");
    let with = |parameters: &str| {
        PAIR.replace(
            "node \"a\" {}",
            &format!("node \"a\" {{ parameters = {{ {parameters} }} }}"),
        )
    };
    scenario.apply(&with("work_mem = \"8MB\""));
    assert_eq!(scenario.ask("a", "SHOW work_mem"), "8MB");
    assert_eq!(started(&scenario, "a"), before);
    scenario.apply(&with("shared_buffers = \"32MB\""));
    assert_eq!(scenario.ask("a", "SHOW shared_buffers"), "32MB");
    assert_ne!(started(&scenario, "a"), before);
    scenario.apply(&PAIR.replace("count = 1", "count = 2"));
    assert_eq!(scenario.nodes(), ["a", "r[0]", "r[1]"]);
    scenario.assert_settled(first(1));
    scenario.simdb(&["stop", "orders", "-auto-approve"]);
    scenario.simdb(&["start", "orders", "-auto-approve"]);
    scenario.assert_settled(first(1));
    scenario.apply(PAIR);
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn a_primary_that_nobody_reaches_is_fenced_through_the_daemon() {
    let Some(scenario) = Scenario::in_containers(THREE) else {
        return;
    };
    let writing = scenario.load();
    writing.further(ROWS);
    let container = scenario.container("a");
    scenario.docker(&["network", "disconnect", &scenario.network_name(), &container]);
    scenario.failover();
    assert_ne!(scenario.primary(), "a");
    writing.further(ROWS);
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
    scenario.destroy_containers();
}

#[test]
fn a_daemon_that_does_not_answer_proves_nothing() {
    let Some(scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    let started = scenario.docker(&["inspect", "--format", "{{.State.StartedAt}}", &scenario.container("a")]);
    scenario.declare_daemon(Some("unix:///run/simdb-no-such.sock"));
    let said =
        "cannot be reached: /run/simdb-no-such.sock does not exist. Servers in its containers may run all the same";
    scenario.expect_refusal(&["failover", "orders", "-auto-approve"], said);
    scenario.expect_refusal(&["plan"], said);
    scenario.expect_refusal(&["destroy", "-auto-approve", "-allow=data-loss"], said);
    scenario.declare_daemon(None);
    assert_eq!(
        scenario.docker(&["inspect", "--format", "{{.State.StartedAt}}", &scenario.container("a")]),
        started
    );
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn what_belongs_to_others_is_not_touched() {
    let Some(scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    let container = scenario.container("r[0]");
    // Somebody else's container of a name that a node needs.
    scenario.docker(&["rm", "--force", &container]);
    let image = scenario.docker(&["inspect", "--format", "{{.Image}}", &scenario.container("a")]);
    scenario.docker(&["create", "--name", &container, &image, "/bin/sh"]);
    scenario.expect_refusal(&["apply", "-auto-approve"], "is already in use by container");
    scenario.docker(&["inspect", &container]);
    scenario.docker(&["rm", &container]);
    scenario.simdb(&["apply", "-auto-approve"]);
    scenario.assert_settled(first(1));
    scenario.destroy_containers();
}

#[test]
fn what_a_killed_simdb_left_running_is_finished_or_ended_by_the_next_apply() {
    let Some(mut scenario) = Scenario::in_containers(PAIR) else {
        return;
    };
    for task in ["a", "r[0]"] {
        scenario.simdb(&["destroy", "-auto-approve", "-allow=data-loss"]);
        let mut apply = scenario.environment.command(&["apply", "-auto-approve"]);
        let mut apply = apply
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("simdb can be started");
        let name = format!("name=^/{}.task$", scenario.container(task));
        wait_until("the task runs", || {
            !scenario.docker(&["ps", "--quiet", "--filter", &name]).is_empty()
        });
        apply.kill().expect("it runs");
        apply.wait().expect("it is a child");
        scenario.simdb(&["apply", "-auto-approve"]);
        scenario.look();
        scenario.assert_settled(first(1));
    }
    scenario.destroy_containers();
}
