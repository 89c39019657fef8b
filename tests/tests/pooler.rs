//! An endpoint through a real PgBouncer: its clients wait while the lead passes from one node to another, and it is
//! looked at and mended like a node.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_planner::plan::Server;
use simdb_providers::engine::postgresql::ledger::{Ledger, Load, Target, Written};
use simdb_providers::platform::tcp::Tcp;
use simdb_providers::sessions::Sessions;
use simdb_state::address::NodeAddress;
use simdb_state::place::{Bind, HostPort, Place};
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};
use simdb_tests::{TestEnvironment, has_pgbouncer, wait_until};
use tokio::runtime::Runtime;

const ORDERS: &str = r#"network "lan" {}

cluster "orders" {
  engine "postgresql" {}
  node "a" {}
  node "b" {}
  node "c" {}
  user "app" { password = "not-a-secret" }
  database "app" { owner = "app" }
  endpoint "rw" {
    target = "primary"
    via    = "pgbouncer"
  }
}
"#;

const APPLY: [&str; 2] = ["apply", "-auto-approve"];

/// How often the lead passes from one node to another under load.
const SWITCHOVERS: usize = 20;

/// How long a client waits for an answer: on a machine that is busy with other things a switchover takes its time.
const PATIENCE: Duration = Duration::from_mins(1);

/// Makes the cluster; `None` where PgBouncer is not installed, which is said.
fn created() -> Option<TestEnvironment> {
    if !has_pgbouncer() {
        return None;
    }
    let environment = TestEnvironment::with_configuration(ORDERS);
    environment.run(&APPLY).expect_code(0);
    Some(environment)
}

fn assert_second_plan_is_empty(environment: &TestEnvironment) {
    let plan = environment.run(&["plan", "-detailed-exitcode"]);
    plan.expect_code(0);
    assert!(plan.stdout.contains("No changes."), "{}", plan.stdout);
}

fn directory(environment: &TestEnvironment) -> PathBuf {
    environment.data().join("orders").join("rw.pooler")
}

/// Returns the process of the pooler, as simdb noted it.
fn pooler(environment: &TestEnvironment) -> Pid {
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(directory(environment).join("server.json")).unwrap()).unwrap();
    let pid = record["process"]["pid"].as_i64().unwrap();
    Pid::from_raw(i32::try_from(pid).unwrap())
}

/// Returns a psql that goes through the pooler as the cluster's user.
fn psql(environment: &TestEnvironment, database: &str, query: &str) -> Command {
    let mut command = environment.command(&["psql", "orders", "--"]);
    command.args(["-X", "-At", "-v", "ON_ERROR_STOP=1", "-d"]);
    command.arg(format!(
        "service=orders-rw user=app password=not-a-secret dbname={database}"
    ));
    command.args(["-c", query]);
    command.env("PGSERVICEFILE", environment.project().join(".simdb/pg_service.conf"));
    command
}

/// Asks through the pooler.
fn ask(environment: &TestEnvironment, query: &str) -> String {
    let answer = psql(environment, "app", query).output().unwrap();
    assert!(answer.status.success(), "{answer:?}");
    String::from_utf8_lossy(&answer.stdout).trim().to_owned()
}

fn variables(environment: &TestEnvironment) -> BTreeMap<String, String> {
    let answer = environment.run(&["env", "-json", "orders"]);
    answer.expect_code(0);
    let document: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    serde_json::from_value(document["variables"].clone()).unwrap()
}

/// What a ledger through the pooler needs, and the servers it is checked against.
struct Account {
    target: Target,
    servers: Vec<Server>,
    secrets: Secrets,
}

impl Account {
    fn of(environment: &TestEnvironment) -> Self {
        let variables = variables(environment);
        let at = HostPort {
            host: variables["PGHOST"].parse().unwrap(),
            port: variables["PGPORT"].parse().unwrap(),
        };
        let password = SecretName::password(&"cluster.orders.user.postgres".parse().unwrap());
        let superuser = Sensitive::new(variables["PGPASSWORD"].clone());
        // A look waits for a server no longer than a user would; a machine that is slow at times may need another.
        wait_until("the cluster is healthy", || {
            environment.run(&["status"]).code == Some(0)
        });
        let status = environment.run(&["status", "-json"]);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
        let nodes = status["clusters"][0]["nodes"].as_array().unwrap().clone();
        let server = |node: &serde_json::Value| {
            let address: std::net::SocketAddr = node["address"].as_str().unwrap().parse().unwrap();
            let name: NodeAddress = format!("cluster.orders.node.{}", node["node"].as_str().unwrap())
                .parse()
                .unwrap();
            Server {
                node: name,
                place: Box::new(Place::shared(Bind {
                    host: address.ip(),
                    port: address.port(),
                })),
                password: password.clone(),
            }
        };
        Self {
            target: Target {
                hosts: vec![at],
                user: "app".to_owned(),
                password: Sensitive::new("not-a-secret".to_owned()),
                database: "app".to_owned(),
            },
            servers: nodes.iter().map(server).collect(),
            secrets: Secrets::from([(password, superuser)]),
        }
    }

    fn start(&self, runtime: &Runtime) -> Ledger {
        let load = Load {
            answer_limit: PATIENCE,
            ..Load::default()
        };
        runtime.block_on(Ledger::start(self.target.clone(), load)).unwrap()
    }

    /// Asserts that every row that was acknowledged is on every node.
    #[track_caller]
    fn expect_nothing_lost(&self, runtime: &Runtime, written: Written) {
        let sessions = Sessions::new(Arc::new(Tcp), &self.secrets);
        let report = written.check(&self.servers, &sessions, PATIENCE);
        let report = runtime.block_on(report).unwrap();
        assert!(report.nothing_is_lost(), "{report:?}");
        runtime.block_on(written.remove()).unwrap();
    }
}

#[test]
fn clients_of_a_pooler_wait_through_switchovers_and_lose_nothing() {
    let Some(environment) = created() else { return };
    assert_eq!(ask(&environment, "SELECT current_user"), "app");
    let account = Account::of(&environment);
    let runtime = Runtime::new().unwrap();
    let ledger = account.start(&runtime);
    let mut stretches = Vec::new();
    for to in ["b", "c", "a"].iter().cycle().take(SWITCHOVERS) {
        runtime.block_on(ledger.further(50));
        let from = ledger.started().elapsed();
        environment
            .run(&["switchover", "orders", "-to", to, "-auto-approve"])
            .expect_code(0);
        runtime.block_on(ledger.further(50));
        stretches.push(from..=ledger.started().elapsed());
    }
    let written = runtime.block_on(ledger.stop());
    let mut gaps: Vec<Duration> = stretches
        .into_iter()
        .filter_map(|stretch| written.fates.longest_gap_within(stretch))
        .collect();
    gaps.sort();
    println!("stalls of {SWITCHOVERS} switchovers: {gaps:?}");
    let tally = written.fates.tally();
    assert_eq!((tally.failed, tally.unknown), (0, 0), "{tally:?}");
    account.expect_nothing_lost(&runtime, written);
    assert_second_plan_is_empty(&environment);
    environment.destroy();
}

#[test]
fn clients_of_a_pooler_write_again_after_a_failover_and_lose_nothing() {
    let Some(environment) = created() else { return };
    let account = Account::of(&environment);
    let runtime = Runtime::new().unwrap();
    let ledger = account.start(&runtime);
    runtime.block_on(ledger.further(100));
    let pid = fs::read_to_string(environment.data().join("orders/a/data-1/postmaster.pid")).unwrap();
    let pid = Pid::from_raw(pid.lines().next().unwrap().parse().unwrap());
    kill(pid, Signal::SIGKILL).unwrap();
    environment.run(&["failover", "orders", "-auto-approve"]).expect_code(0);
    runtime.block_on(ledger.further(100));
    let written = runtime.block_on(ledger.stop());
    account.expect_nothing_lost(&runtime, written);
    assert_second_plan_is_empty(&environment);
    environment.destroy();
}

#[test]
fn a_pooler_is_looked_at_and_mended_like_a_node() {
    let Some(environment) = created() else { return };
    let settings = directory(&environment).join("pgbouncer.ini");
    let cases: [(&str, &dyn Fn(), &str); 4] = [
        (
            "it is killed",
            &|| kill(pooler(&environment), Signal::SIGKILL).unwrap(),
            "it is down",
        ),
        (
            "it is halted",
            &|| kill(pooler(&environment), Signal::SIGSTOP).unwrap(),
            "drift: a signal halted it",
        ),
        (
            "its settings are edited",
            &|| {
                let text = fs::read_to_string(&settings).unwrap();
                fs::write(&settings, text.replace("max_client_conn = 1000", "max_client_conn = 3")).unwrap();
            },
            "pgbouncer.ini of orders-rw does not hold what simdb wrote",
        ),
        (
            "somebody else starts it",
            &|| started_by_hand(&environment),
            "drift: it was started without simdb",
        ),
    ];
    for (what, disturb, reason) in cases {
        disturb();
        wait_until(what, || {
            let plan = environment.run(&["plan", "-detailed-exitcode"]);
            plan.code == Some(2) && plan.stdout.contains(reason)
        });
        environment
            .run(&["apply", "-auto-approve", "-allow=restart"])
            .expect_code(0);
        assert_eq!(ask(&environment, "SELECT 1"), "1", "{what}");
        assert_second_plan_is_empty(&environment);
    }
    let log = environment.run(&["logs", "orders.rw"]);
    log.expect_code(0);
    assert!(log.stdout.contains("process up"), "{}", log.stdout);
    environment.run(&["stop", "orders", "-auto-approve"]).expect_code(0);
    assert_second_plan_is_empty(&environment);
    environment.run(&["start", "orders", "-auto-approve"]).expect_code(0);
    assert_eq!(ask(&environment, "SELECT 1"), "1");
    environment.destroy();
}

/// Starts the pooler as somebody would who found its files, with other arguments.
fn started_by_hand(environment: &TestEnvironment) {
    let before = pooler(environment);
    kill(before, Signal::SIGKILL).unwrap();
    wait_until("the pooler is gone", || {
        !Path::new(&format!("/proc/{before}")).exists() || is_zombie(before)
    });
    let directory = directory(environment);
    let program = environment.home().join("by-hand.sh");
    let text = format!(
        "cd {} && exec setsid pgbouncer -q pgbouncer.ini </dev/null >/dev/null 2>&1\n",
        directory.display()
    );
    fs::write(&program, text).unwrap();
    let mut command = Command::new("setpriv");
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(&directory).unwrap()).to_string();
    command.args(["--reuid", &owner, "--clear-groups", "sh"]).arg(&program);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    // Others may not enter the directory of the test's instance directory.
    command.current_dir("/");
    drop(command.spawn().unwrap());
}

fn is_zombie(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") Z "))
}

/// Returns a text without the places where its lines end.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Starts a transaction through the pooler, and returns when it is under way.
fn long_transaction(environment: &TestEnvironment) -> Child {
    let mut command = psql(environment, "app", "SELECT 'long', pg_sleep(600)");
    let client = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the transaction is under way", || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT ''long''%'";
        ask(environment, count) == "1"
    });
    client
}

#[test]
fn a_switchover_that_a_transaction_holds_up_goes_back_and_clients_go_on() {
    let Some(environment) = created() else { return };
    let mut client = long_transaction(&environment);
    let failed = environment.run(&["switchover", "orders", "-to", "b", "-auto-approve"]);
    failed.expect_code(1);
    assert!(
        words(&failed.stderr).contains("a transaction still runs"),
        "{}\n{}",
        failed.stdout,
        failed.stderr
    );
    assert_eq!(ask(&environment, "SELECT pg_is_in_recovery()"), "f");
    client.kill().unwrap();
    client.wait().unwrap();
    wait_until("the transaction is over", || {
        ask(&environment, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT ''long''%'") == "0"
            || !ask(&environment, "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT ''long''%' AND usename = current_user").is_empty()
    });
    environment
        .run(&["switchover", "orders", "-to", "a", "-auto-approve"])
        .expect_code(0);
    assert_eq!(ask(&environment, "SELECT pg_is_in_recovery()"), "f");
    assert_second_plan_is_empty(&environment);
    environment.destroy();
}

#[test]
fn clients_that_wait_when_simdb_is_killed_go_on_after_the_next_apply() {
    let Some(environment) = created() else { return };
    for (step, to) in [
        ("pause", "b"),
        ("fence", "c"),
        ("promote", "a"),
        ("repoint", "b"),
        ("unpause", "c"),
    ] {
        cut_off(&environment, to, step);
        environment.run(&APPLY).expect_code(0);
        assert_eq!(ask(&environment, "SELECT pg_is_in_recovery()"), "f", "{step}");
        wait_until("nobody waits", || environment.run(&["status"]).code == Some(0));
        assert_second_plan_is_empty(&environment);
    }
    environment.destroy();
}

/// Runs a switchover and kills simdb when a step has been started.
fn cut_off(environment: &TestEnvironment, to: &str, step: &str) {
    let mut command = environment.command(&["switchover", "orders", "-to", to, "-auto-approve", "-json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    let wanted = format!("\"{step}\"");
    let started = lines.find(|line| line.contains("\"step_started\"") && line.contains(&wanted));
    assert!(started.is_some(), "no step {step:?} was started");
    child.kill().unwrap();
    child.wait().unwrap();
}
