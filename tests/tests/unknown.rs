//! What cannot be known: it is told with its reason, it is never taken for "no", and no gate opens on it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;

use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use simdb_tests::{Scenario, TestEnvironment, Version, json_lines, plan_of, wait_until};

const PAIR: &str = r#"
  node "a" {}
  node "r" { count = 1 }
  endpoint "rw" { target = "primary" }
"#;

const PLAN: [&str; 2] = ["plan", "-detailed-exitcode"];

/// Returns what a plan could not be compared with, and the reasons.
#[track_caller]
fn not_compared(environment: &TestEnvironment) -> Vec<(String, String)> {
    let output = environment.run(&["plan", "-detailed-exitcode", "-json"]);
    output.expect_code(1);
    let plan = plan_of(&json_lines(&output.stdout)).clone();
    assert_eq!(plan["complete"], false, "{plan:#}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let unknown = plan["not_compared"].as_array().unwrap().iter();
    unknown
        .map(|unknown| (text(&unknown["address"]), text(&unknown["reason"])))
        .collect()
}

/// Asserts that plan and apply say that a node or an endpoint could not be compared, and that nothing matches.
#[track_caller]
fn assert_told(environment: &TestEnvironment, address: &str, reason: &str) {
    let found = not_compared(environment);
    let told = found.iter().any(|(at, why)| at == address && why.contains(reason));
    assert!(told, "{address}: {reason:?} is not in {found:?}");
    let plan = environment.run(&PLAN);
    plan.expect_code(1);
    let text = plan.text().replace('\n', " ");
    assert!(text.contains(&format!("Not compared: {address}:")), "{text}");
    assert!(!text.contains("No changes") && !text.contains("match the"), "{text}");
}

#[test]
fn a_plan_that_could_not_ask_a_server_does_not_say_that_nothing_differs() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, PAIR);
        let environment = &scenario.environment;
        environment.run(&PLAN).expect_code(0);
        for node in ["a", "r[0]"] {
            let address = format!("cluster.orders.node.{node}");
            kill(scenario.postmaster(node), Signal::SIGSTOP).unwrap();
            wait_until("the server is halted", || {
                environment.run(&["status"]).stdout.contains("frozen")
            });
            assert_told(environment, &address, "halted by a signal");
            kill(scenario.postmaster(node), Signal::SIGCONT).unwrap();
            wait_until("the server answers", || environment.run(&PLAN).code == Some(0));
        }
        scenario.begin("a", &["BEGIN", "LOCK TABLE pg_authid", "SELECT pg_sleep(3600)"]);
        wait_until("nobody can log in", || {
            environment.run(&["status"]).stdout.contains("a is unknown")
        });
        assert_told(environment, "cluster.orders.node.a", "its server could not be asked");
        let apply = environment.run(&["apply", "-auto-approve"]);
        apply.expect_code(1);
        assert!(apply.text().contains("Apply is not complete"), "{}", apply.text());
        scenario.signal("a", "SELECT", Signal::SIGTERM);
        wait_until("the server answers", || environment.run(&PLAN).code == Some(0));
        scenario.destroy();
    }
}

#[test]
fn what_lies_where_a_plan_looks_and_cannot_be_read_is_told() {
    let environment = TestEnvironment::with_configuration(&format!(
        "network \"lan\" {{}}\n\ncluster \"orders\" {{\n  network = network.lan\n  engine \"postgresql\" {{}}\n{PAIR}}}\n"
    ));
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    let (directory, away) = (environment.data().join("orders/r-0"), environment.data().join("away"));
    let (marker, aside) = (directory.join("home.json"), environment.data().join("aside"));
    fs::rename(&marker, &aside).unwrap();
    assert_told(&environment, "cluster.orders.node.r[0]", "no home.json");
    fs::rename(&aside, &marker).unwrap();
    let entries = environment.project().join(".simdb/pg_service.conf");
    fs::rename(&entries, &aside).unwrap();
    fs::create_dir(&entries).unwrap();
    assert_told(
        &environment,
        "cluster.orders.endpoint.rw",
        "its entry could not be looked at",
    );
    fs::remove_dir(&entries).unwrap();
    fs::rename(&aside, &entries).unwrap();
    for node in ["r-0", "a"] {
        // The server goes on, and nothing says whose it is.
        let directory = environment.data().join("orders").join(node);
        fs::rename(&directory, &away).unwrap();
        let name = if node == "a" { "a" } else { "r[0]" };
        assert_told(
            &environment,
            &format!("cluster.orders.node.{name}"),
            "its directory is gone, and postgres",
        );
        let failover = environment.run(&["failover", "orders", "-auto-approve", "-allow=data-loss"]);
        failover.expect_code(1);
        fs::rename(&away, &directory).unwrap();
    }
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    environment.destroy();
}

#[test]
fn a_look_finds_the_nodes_where_the_record_says_when_the_configuration_cannot_be_read() {
    let environment = TestEnvironment::with_configuration(&format!(
        "network \"lan\" {{}}\n\ncluster \"orders\" {{\n  network = network.lan\n  engine \"postgresql\" {{}}\n{PAIR}}}\n"
    ));
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    environment.write("memory.simdb.hcl", "variable \"memory\" {}\n");
    environment.run(&["plan"]).expect_code(1);
    wait_until("the cluster is healthy", || {
        environment.run(&["status"]).code == Some(0)
    });
    let status = environment.run(&["status"]);
    assert!(status.text().contains("as it is on record"), "{}", status.text());
    environment.run(&["logs", "orders.a"]).expect_code(0);
    environment
        .run(&["psql", "orders.a", "--", "-c", "SELECT 1"])
        .expect_code(0);
    fs::remove_file(environment.project().join("memory.simdb.hcl")).unwrap();
    environment.destroy();
}
