//! A cluster's whole life on real servers: made, proven, looked at, removed without a trace.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::process::{Command, Stdio};

use nix::unistd::geteuid;
use simdb_tests::{TestEnvironment, files_below, processes_below, wait_until};

/// A primary and two standbys, and a value that nobody may see.
const ORDERS: &str = r#"network "lan" {}

cluster "orders" {
  network = network.lan
  engine "postgresql" {
    parameters = { work_mem = "8MB" }
  }
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
  endpoint "ro" { target = "standby" }
}

variable "token" {
  default   = "hush-hush-4711"
  sensitive = true
}

output "url" { value = cluster.orders.endpoint.rw.url }
output "token" {
  value     = var.token
  sensitive = true
}
"#;

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-allow=data-loss"];

fn created() -> TestEnvironment {
    let environment = TestEnvironment::with_configuration(ORDERS);
    environment.run(&APPLY).expect_code(0);
    environment
}

fn assert_second_plan_is_empty(environment: &TestEnvironment) {
    let plan = environment.run(&["plan", "-detailed-exitcode"]);
    plan.expect_code(0);
    assert!(plan.stdout.contains("No changes."), "{}", plan.stdout);
}

/// A look waits for a server no longer than a user would; a machine that is slow at times may need another.
fn assert_healthy(environment: &TestEnvironment) {
    wait_until("every cluster is healthy", || {
        environment.run(&["status"]).code == Some(0)
    });
}

fn destroy(environment: &TestEnvironment) {
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

fn ask(environment: &TestEnvironment, node: &str, query: &str) -> String {
    let answer = environment.run(&["psql", node, "--", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", query]);
    answer.expect_code(0);
    answer.stdout.trim().to_owned()
}

#[test]
fn a_cluster_is_made_proven_and_removed_without_a_trace() {
    let environment = created();
    assert_second_plan_is_empty(&environment);
    assert_healthy(&environment);
    ask(&environment, "orders", "CREATE TABLE t AS SELECT 42 AS n");
    wait_until("the standby has the row", || {
        let found = "SELECT count(*) FROM pg_class WHERE relname = 't'";
        ask(&environment, "orders.r[1]", found) == "1"
    });
    assert_eq!(ask(&environment, "orders.r[1]", "SELECT n FROM t"), "42");
    assert_eq!(ask(&environment, "orders", "SHOW work_mem"), "8MB");
    destroy(&environment);
}

#[test]
fn no_password_is_seen_anywhere_but_in_the_passfiles() {
    let environment = TestEnvironment::with_configuration(ORDERS);
    let mut command = environment.command(&["apply", "-auto-approve", "-json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let watcher = std::thread::spawn(move || {
        let mut lines = BTreeSet::new();
        while fs::metadata(format!("/proc/{pid}/stat")).is_ok() && !is_zombie(pid) {
            lines.extend(command_lines());
        }
        lines
    });
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut seen: Vec<String> = watcher.join().unwrap().into_iter().collect();
    seen.push(String::from_utf8(output.stdout).unwrap());
    seen.push(String::from_utf8(output.stderr).unwrap());
    let commands: &[&[&str]] = &[
        &["plan"],
        &["plan", "-json"],
        &["show"],
        &["show", "-json"],
        &["status", "-json"],
        &["state", "list"],
        &["state", "show", "cluster.orders.user.replicator"],
        &["logs", "orders.a"],
        &["output"],
    ];
    for command in commands {
        let output = environment.run(command);
        seen.extend([output.stdout, output.stderr]);
    }
    let passfile = fs::read_to_string(environment.data().join("orders/a/passfile")).unwrap();
    let password = passfile.trim().rsplit(':').next().unwrap().to_owned();
    assert_eq!(password.len(), 32);
    for secret in [password.as_str(), "hush-hush-4711"] {
        for text in &seen {
            assert!(!text.contains(secret), "{secret} is seen in {text}");
        }
        let holds = |path: &std::path::Path| {
            let bytes = fs::read(path).unwrap_or_default();
            String::from_utf8_lossy(&bytes).contains(secret)
        };
        for root in [environment.project(), environment.home(), environment.data()] {
            let allowed = |path: &std::path::Path| path.ends_with("passfile") || path.ends_with("main.simdb.hcl");
            let found: Vec<_> = files_below(&root)
                .into_iter()
                .filter(|path| holds(path) && !allowed(path))
                .collect();
            assert!(found.is_empty(), "{found:?}");
        }
    }
    assert_eq!(
        environment.run(&["output", "-raw", "token"]).stdout.trim(),
        "hush-hush-4711"
    );
    destroy(&environment);
}

fn is_zombie(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// What every process of the machine was started with.
fn command_lines() -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).into_owned()).collect()
}

#[test]
fn fifty_quiet_plans_are_empty_and_stop_and_start_come_back_in_sync() {
    let environment = created();
    for _ in 0..50 {
        assert_second_plan_is_empty(&environment);
    }
    environment.run(&["stop", "orders", "-auto-approve"]).expect_code(0);
    assert!(processes_below(&environment.data()).is_empty());
    assert_second_plan_is_empty(&environment);
    environment.run(&["start", "orders", "-auto-approve"]).expect_code(0);
    assert_healthy(&environment);
    assert_second_plan_is_empty(&environment);
    destroy(&environment);
}

#[test]
fn a_user_who_is_not_root_needs_nobody() {
    if !geteuid().is_root() {
        println!("covered: every other test runs as this user, who is not root");
        return;
    }
    let environment = TestEnvironment::with_configuration(ORDERS);
    let nobody = 65534;
    let binary = environment.home().join("simdb");
    fs::copy(environment.command(&[]).get_program(), &binary).unwrap();
    for path in [
        environment.project(),
        environment.home(),
        environment.project().join("main.simdb.hcl"),
    ] {
        chown(path, Some(nobody), Some(nobody)).unwrap();
    }
    // Data beside the configuration, where a user's own data goes.
    let ports = environment.ports();
    let provider = format!(
        "provider \"local\" {{ port_range = \"{}-{}\" }}\n",
        ports.start(),
        ports.end()
    );
    environment.write("provider.simdb.hcl", &provider);
    let run = |arguments: &[&str]| {
        let as_root = environment.command(arguments);
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
            .arg(&binary)
            .args(arguments);
        command.current_dir(environment.project()).env_clear();
        command.envs(as_root.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        text
    };
    run(&APPLY);
    assert!(run(&["plan"]).contains("No changes."));
    run(&DESTROY);
    assert!(processes_below(&environment.project()).is_empty());
}
