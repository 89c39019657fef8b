//! Looking at real servers: health, history, the way in, and proof that all nodes hold the same.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use simdb_tests::{TestEnvironment, wait_until};

const ORDERS: &str = r#"network "lan" {}

cluster "orders" {
  network = network.lan
  engine "postgresql" {}
  replication { mode = "async" }
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
  endpoint "ro" { target = "standby" }
}
"#;

fn created() -> TestEnvironment {
    let environment = TestEnvironment::with_configuration(ORDERS);
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    environment
}

fn destroy(environment: &TestEnvironment) {
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
    environment.assert_nothing_left();
}

fn ask(environment: &TestEnvironment, node: &str, query: &str) -> String {
    let answer = environment.run(&["psql", node, "--", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-c", query]);
    answer.expect_code(0);
    answer.stdout.trim().to_owned()
}

/// Returns the process that leads a node's server.
fn server(environment: &TestEnvironment, node: &str) -> Pid {
    let file = environment
        .data()
        .join("orders")
        .join(node)
        .join("data-1/postmaster.pid");
    let text = fs::read_to_string(file).unwrap();
    Pid::from_raw(text.lines().next().unwrap().parse().unwrap())
}

/// Runs a command that writes a JSON document.
#[track_caller]
fn document(environment: &TestEnvironment, arguments: &[&str], code: i32) -> Value {
    let output = environment.run(arguments);
    output.expect_code(code);
    serde_json::from_str(&output.stdout).unwrap()
}

#[track_caller]
fn assert_state(environment: &TestEnvironment, state: &str, code: i32) -> Value {
    let mut document = document(environment, &["status", "orders", "-json"], code);
    let cluster = document["clusters"][0].take();
    assert_eq!(cluster["state"], state, "{cluster:#}");
    cluster
}

fn becomes(environment: &TestEnvironment, state: &str) {
    wait_until(&format!("the cluster is {state}"), || {
        let output = environment.run(&["status", "-json"]);
        serde_json::from_str::<Value>(&output.stdout).unwrap()["clusters"][0]["state"] == state
    });
}

#[test]
fn status_says_how_a_cluster_is_and_exits_with_5_where_it_is_not_healthy() {
    let environment = created();
    let cluster = assert_state(&environment, "synchronized", 0);
    assert!(cluster["verified_at"].as_str().unwrap().ends_with('Z'), "{cluster:#}");
    let record = &cluster["instance"];
    assert_eq!(
        (&record["primary"], &record["standbys"][0]),
        (&"a".into(), &"r[0]".into())
    );
    assert_eq!(record["replication_status"], "synchronized");
    assert!(record["last_check"].as_str().unwrap().ends_with('Z'), "{record:#}");
    let standby = &cluster["nodes"][1];
    assert_eq!(standby["sync_state"], "async");
    assert_eq!(
        (&standby["slot_active"], &standby["slot_wal_status"]),
        (&true.into(), &"reserved".into())
    );
    assert!(
        standby["slot_kept_bytes"].is_u64() && standby["lag_bytes"].is_u64(),
        "{standby:#}"
    );

    ask(&environment, "orders.r[0]", "SELECT pg_wal_replay_pause()");
    let cluster = assert_state(&environment, "lagging", 5);
    assert_eq!(cluster["problems"][0], "r[0] has its replay paused");
    ask(&environment, "orders.r[0]", "SELECT pg_wal_replay_resume()");
    becomes(&environment, "synchronized");

    kill(server(&environment, "r-0"), Signal::SIGKILL).unwrap();
    becomes(&environment, "degraded");
    let cluster = assert_state(&environment, "degraded", 5);
    assert_eq!(cluster["problems"][0], "r[0] is down");
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    becomes(&environment, "synchronized");

    ask(&environment, "orders.r[1]", "SELECT pg_promote()");
    let cluster = assert_state(&environment, "broken", 5);
    assert_eq!(cluster["nodes"][2]["recorded_role"], "standby");
    let problem = cluster["problems"][0].as_str().unwrap();
    assert!(problem.starts_with("split brain: a (timeline 1, at "), "{problem}");

    environment.run(&["apply", "-auto-approve"]).expect_code(1);
    let events = environment.run(&["events", "orders"]).stdout;
    assert!(events.contains("split_brain"), "{events}");

    kill(server(&environment, "a"), Signal::SIGKILL).unwrap();
    wait_until("the primary is seen to be down", || {
        environment.run(&["status"]).stdout.contains("a is down")
    });
    assert_state(&environment, "broken", 5);
}

#[test]
fn a_watched_status_is_written_again_when_it_changes_and_ends_well() {
    let environment = created();
    let mut command = environment.command(&["status", "orders", "-watch", "-interval=200ms", "-json"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Value>(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(next()["clusters"][0]["state"], "synchronized");
    kill(server(&environment, "r-1"), Signal::SIGKILL).unwrap();
    while next()["clusters"][0]["state"] != "degraded" {}
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn events_tell_what_happened_to_a_cluster_also_after_it_is_gone() {
    let environment = created();
    let told = |arguments: &[&str]| {
        let document = document(&environment, arguments, 0);
        let events = document["events"].as_array().unwrap().clone();
        let told = |event: &Value| {
            format!(
                "{} {}",
                event["event"].as_str().unwrap(),
                event["address"].as_str().unwrap()
            )
        };
        events.iter().map(told).collect::<Vec<_>>()
    };
    let mut expected = vec![
        "standby_created cluster.orders.node.r[0]",
        "standby_created cluster.orders.node.r[1]",
        "sync_established cluster.orders",
    ];
    let mut found = told(&["events", "orders", "-json"]);
    // The standbys are made side by side.
    found.sort();
    assert_eq!(found, expected);
    kill(server(&environment, "r-0"), Signal::SIGKILL).unwrap();
    becomes(&environment, "degraded");
    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    let mut found = told(&["events", "-json", "-since=1h"]);
    found.sort();
    expected.push("sync_established cluster.orders");
    assert_eq!(found, expected, "a standby that is started again is no new one");
    let shown = environment.run(&["events"]).stdout;
    assert!(
        shown.starts_with("Time ") && shown.contains("sync_established  cluster.orders"),
        "{shown}"
    );
    destroy(&environment);
    assert_eq!(told(&["events", "orders", "-json"]).len(), 4);
    let unknown = environment.run(&["events", "ordres"]);
    unknown.expect_code(1);
}

/// Returns a shell that knows what `simdb env` writes, and runs psql.
fn through_env(environment: &TestEnvironment, arguments: &[&str], psql: &str) -> String {
    let variables = environment.run(arguments);
    variables.expect_code(0);
    let output = Command::new("sh")
        .args(["-c", &format!("set -eu\n{}{psql}", variables.stdout)])
        .env_clear()
        .env("PATH", path_of_psql())
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Returns the search path with the directories of Debian's versions of PostgreSQL, where psql may be alone.
fn path_of_psql() -> std::ffi::OsString {
    let mut paths: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    paths.extend(versions.map(|version| version.path().join("bin")));
    std::env::join_paths(paths).unwrap()
}

#[test]
fn env_leads_psql_to_the_primary_or_to_a_standby() {
    let environment = created();
    let recovery = "psql -X -At -c 'SELECT pg_is_in_recovery()'";
    assert_eq!(through_env(&environment, &["env", "orders"], recovery), "f");
    assert_eq!(through_env(&environment, &["env", "orders", "ro"], recovery), "t");
    let by_url = |name: &str| format!("psql \"${name}\" -X -At -c 'SELECT pg_is_in_recovery()'");
    assert_eq!(through_env(&environment, &["env"], &by_url("DATABASE_URL")), "f");
    assert_eq!(
        through_env(&environment, &["env"], &by_url("DATABASE_REPLICA_URL")),
        "t"
    );
    ask(&environment, "orders", "CREATE DATABASE \"it's\"");
    let of_database = ["env", "orders", "-database", "it's"];
    let current = "psql -X -At -c 'SELECT current_database()'";
    assert_eq!(through_env(&environment, &of_database, current), "it's");
    let document = document(&environment, &["env", "-json"], 0);
    assert_eq!(document["variables"]["PGSERVICE"], "orders-rw");
    environment.run(&["env", "orders", "rx"]).expect_code(1);
    destroy(&environment);
}

#[test]
fn verify_compares_every_table_on_every_node_and_accounts_for_every_row_written_under_load() {
    let environment = created();
    ask(
        &environment,
        "orders",
        "CREATE TABLE t AS SELECT n, n * 1.5 AS m FROM generate_series(1, 1000) AS n",
    );
    let found = document(
        &environment,
        &["verify", "orders", "-load=1s", "-clients=2", "-json"],
        0,
    );
    assert_eq!(found["verified"], true, "{found:#}");
    let load = &found["load"];
    let acknowledged = load["acknowledged"].as_u64().unwrap();
    assert!(
        acknowledged > 0 && load["failed"] == 0 && load["unknown"] == 0,
        "{load:#}"
    );
    for node in load["nodes"].as_array().unwrap() {
        assert_eq!(
            (node["rows"].as_u64(), node["missing"].as_array().unwrap().len()),
            (Some(acknowledged), 0)
        );
    }
    let table = &found["databases"][0]["tables"][0];
    assert_eq!(
        (&table["name"], &table["rows"]),
        (&"public.t".into(), &1000.into()),
        "{found:#}"
    );
    let left = "SELECT count(*) FROM pg_namespace WHERE nspname = 'simdb_ledger'";
    assert_eq!(ask(&environment, "orders", left), "0");

    ask(&environment, "orders.r[1]", "SELECT pg_wal_replay_pause()");
    let paused = environment.run(&["verify", "orders", "-timeout=1s"]);
    paused.expect_code(5);
    assert!(paused.stdout.contains("its replay is paused"), "{}", paused.stdout);
    ask(&environment, "orders.r[1]", "SELECT pg_wal_replay_resume()");
    environment.run(&["verify"]).expect_code(0);
    destroy(&environment);
}

#[test]
fn a_switchover_under_load_loses_nothing_and_is_told() {
    let environment = created();
    let mut command = environment.command(&["verify", "orders", "-load=1h", "-clients=2", "-json"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let table = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('simdb_ledger') AND relkind = 'r'";
    wait_until("the table is made", || !ask(&environment, "orders", table).is_empty());
    let rows = format!(
        "SELECT count(*) FROM simdb_ledger.{}",
        ask(&environment, "orders", table)
    );
    let grow = || {
        let before: u64 = ask(&environment, "orders", &rows).parse().unwrap();
        wait_until("rows are written", || {
            ask(&environment, "orders", &rows).parse::<u64>().unwrap() > before
        });
    };
    grow();
    environment
        .run(&["switchover", "orders", "-auto-approve"])
        .expect_code(0);
    grow();
    kill(Pid::from_raw(child.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    let found: Value = serde_json::from_str(&text).unwrap();
    assert!(
        found["verified"] == true && found["load"]["acknowledged"].as_u64() > Some(0),
        "{text}"
    );
    assert_eq!(found["load"]["nodes"].as_array().unwrap().len(), 3);
    assert_state(&environment, "synchronized", 0);
    let events = environment.run(&["events", "orders"]).stdout;
    for event in ["switchover", "promoted", "rejoined"] {
        assert!(events.contains(&format!("  {event} ")), "{events}");
    }
    destroy(&environment);
}

#[test]
fn verify_finds_a_row_that_is_another_one_on_a_standby() {
    let environment = created();
    ask(
        &environment,
        "orders",
        "CREATE TABLE t AS SELECT 'an honest row' AS word",
    );
    // From here on nothing writes the page again: a standby that starts would mend it by replaying that.
    ask(&environment, "orders", "VACUUM (FREEZE) t");
    ask(
        &environment,
        "orders",
        "ALTER ROLE postgres SET ignore_checksum_failure = on",
    );
    ask(&environment, "orders", "CHECKPOINT");
    environment.run(&["verify", "orders"]).expect_code(0);
    let path = ask(&environment, "orders", "SELECT pg_relation_filepath('t')");
    environment
        .run(&["stop", "orders.r[0]", "-auto-approve"])
        .expect_code(0);
    let file = environment.data().join("orders/r-0/data-1").join(path);
    let mut page = fs::read(&file).unwrap();
    let row = b"an honest row";
    let at = page.windows(row.len()).position(|bytes| bytes == row).unwrap();
    page[at..at + row.len()].copy_from_slice(b"a crooked row");
    fs::write(&file, page).unwrap();
    environment
        .run(&["start", "orders.r[0]", "-auto-approve"])
        .expect_code(0);
    assert_eq!(ask(&environment, "orders.r[0]", "SELECT word FROM t"), "a crooked row");
    let found = environment.run(&["verify", "orders"]);
    found.expect_code(5);
    assert!(found.stdout.contains("other on r[0]"), "{}", found.stdout);
    let found = document(&environment, &["verify", "orders", "-json"], 5);
    let differences = found["databases"][0]["tables"][0]["differences"].as_array().unwrap();
    assert_eq!((differences.len(), &differences[0]["node"]), (1, &"r[0]".into()));
    destroy(&environment);
}

#[test]
fn a_cluster_that_is_written_to_all_the_time_is_not_called_verified() {
    let environment = created();
    ask(&environment, "orders", "CREATE TABLE t (n int)");
    let mut writer = environment
        .command(&["psql", "orders", "--", "-X", "-q"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"BEGIN; INSERT INTO t VALUES (1);\n").unwrap();
    wait_until("a transaction is under way", || {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid()";
        ask(&environment, "orders", open) == "1"
    });
    let busy = environment.run(&["verify", "orders", "-timeout=1s"]);
    busy.expect_code(5);
    assert!(busy.stdout.contains("without writes, so that"), "{}", busy.stdout);
    std::io::Write::write_all(&mut input, b"COMMIT;\n").unwrap();
    drop(input);
    writer.wait().unwrap();
    environment.run(&["verify", "orders"]).expect_code(0);
    destroy(&environment);
}

#[test]
fn the_older_spellings_do_the_same() {
    let environment = TestEnvironment::with_configuration(&ORDERS.replace("  node \"r\" { count = 2 }\n", ""));
    let file = environment.project().join("main.simdb.hcl");
    let create = [
        "cluster",
        "create",
        "--config",
        file.to_str().unwrap(),
        "--auto-approve",
    ];
    environment.run(&create).expect_code(0);
    environment.run(&["cluster", "status", "orders"]).expect_code(0);
    environment.run(&["replication", "status"]).expect_code(0);
    environment
        .run(&["cluster", "stop", "orders", "-auto-approve"])
        .expect_code(0);
    assert!(environment.run(&["cluster", "status"]).stdout.contains(": stopped"));
    environment
        .run(&["cluster", "start", "orders", "-auto-approve"])
        .expect_code(0);
    let destroy = ["cluster", "destroy", "-auto-approve", "-allow=data-loss"];
    environment.run(&destroy).expect_code(0);
    environment.assert_nothing_left();
}
