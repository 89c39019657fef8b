//! In an emergency no configuration is needed: what runs is found, moved, stopped, started and removed by the record alone.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use simdb_tests::{Scenario, Version, json_lines};

const BODY: &str = r#"
  replication { mode = "quorum" }
  node "a" {}
  node "r" {
    count = 2
    parameters = { work_mem = "8MB" }
  }
  user "app" { login = true }
  database "app" { owner = "app" }
  endpoint "rw" { target = "primary" }
}

output "url" {
  value     = cluster.orders.user.app.url
  sensitive = true
}

locals {
"#;

/// Moves the configuration away, and returns where it is.
fn without_configuration(scenario: &Scenario) -> Vec<(PathBuf, PathBuf)> {
    let away = scenario.environment.home();
    ["main.simdb.hcl", "provider.simdb.hcl"]
        .map(|name| {
            let (from, to) = (scenario.environment.project().join(name), away.join(name));
            fs::rename(&from, &to).expect("the project is ours");
            (from, to)
        })
        .to_vec()
}

fn back(files: Vec<(PathBuf, PathBuf)>) {
    for (file, away) in files {
        fs::rename(away, file).expect("the project is ours");
    }
}

#[test]
fn a_cluster_is_run_moved_and_removed_without_its_configuration() {
    let mut scenario = Scenario::new(&Version::installed(), BODY);
    let output = |scenario: &Scenario| scenario.environment.run(&["output", "-json"]).stdout;
    let outputs = output(&scenario);
    let files = without_configuration(&scenario);

    scenario.assert_healthy();
    let moved = scenario.simdb(&["switchover", "orders", "-auto-approve", "-to", "r[0]"]);
    assert!(moved.text().contains("There is no configuration here"), "{moved:?}");
    scenario.look();
    assert_eq!(scenario.primary(), "r[0]");
    scenario.kill("r[0]");
    scenario.simdb(&["failover", "orders", "-auto-approve", "-promote", "a"]);
    scenario.look();
    scenario.assert_healthy();
    scenario.simdb(&["stop", "r[1]", "-auto-approve"]);
    scenario.simdb(&["start", "r[1]", "-auto-approve"]);
    scenario.simdb(&["resync", "orders", "r[1]", "-auto-approve"]);
    scenario.assert_healthy();
    for arguments in [&["logs", "a"][..], &["events"], &["show"], &["output"]] {
        scenario.simdb(arguments);
    }
    let answer = scenario.simdb(&["psql", "orders", "--", "-Atc", "SHOW work_mem"]);
    assert!(answer.stdout.contains("MB"), "{answer:?}");
    assert_eq!(output(&scenario), outputs, "outputs stay as they are recorded");

    back(files);
    let plan = scenario.simdb(&["plan", "-detailed-exitcode"]);
    assert!(plan.text().contains("No changes"), "{plan:?}");
    without_configuration(&scenario);
    scenario.destroy();
}

#[test]
fn a_broken_configuration_and_a_variable_without_a_value_stop_no_failover() {
    let mut scenario = Scenario::new(&Version::installed(), "  node \"a\" {}\n  node \"r\" {}\n");
    let provider = scenario.environment.provider();
    scenario.environment.write(
        "provider.simdb.hcl",
        "variable \"root\" { type = string }\nprovider \"local\" { data_root = var.root }\n",
    );
    scenario.kill("a");
    let shown = scenario.environment.run(&["failover", "orders", "-plan", "-json"]);
    let warned = |line: &Value| line["diagnostic"]["summary"] == "The configuration cannot be read";
    assert!(json_lines(&shown.stdout).iter().any(warned), "{shown:?}");
    scenario.simdb(&["failover", "orders", "-auto-approve"]);
    scenario.look();
    assert_eq!(scenario.primary(), "r");
    scenario.environment.write("broken.simdb.hcl", "cluster \"orders\" {\n");
    scenario.simdb(&["switchover", "orders", "-auto-approve", "-to", "a"]);
    scenario.expect_refusal(&["apply", "-auto-approve"], "broken.simdb.hcl");
    fs::remove_file(scenario.environment.project().join("broken.simdb.hcl")).unwrap();
    scenario.environment.write("provider.simdb.hcl", &provider);
    let plan = scenario.simdb(&["plan", "-detailed-exitcode"]);
    assert!(plan.text().contains("No changes"), "{plan:?}");
    scenario.destroy();
}
