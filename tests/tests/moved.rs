//! `moved` blocks and `simdb state mv`: what is at another address, and is the same.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use simdb_tests::{Scenario, THREE, TWO, TestEnvironment, Version, any, has_pgbouncer};

/// A cluster with all that one can have.
fn declare(environment: &TestEnvironment, cluster: &str, nodes: &str, more: &str) {
    let text = format!(
        "network \"lan\" {{}}\ncluster \"{cluster}\" {{\n  network = network.lan\n  engine \"postgresql\" {{}}\n{nodes}  user \"app\" {{}}\n  \
         database \"shop\" {{ owner = \"app\" }}\n  endpoint \"rw\" {{ target = \"primary\" }}\n}}\noutput \"url\" {{\n  value     = \
         cluster.{cluster}.user.app.url\n  sensitive = true\n}}\n{more}"
    );
    environment.write("main.simdb.hcl", &text);
}

const NODES: &str = "  node \"a\" {}\n  node \"r\" { count = 2 }\n";

fn moved(from: &str, to: &str) -> String {
    format!("moved {{\n  from = {from}\n  to   = {to}\n}}\n")
}

fn ask(environment: &TestEnvironment, target: &str, sql: &str) -> String {
    let answer = environment.done(&["psql", target, "--", "-XAtc", sql]).stdout;
    answer.trim_end().to_owned()
}

/// When the server of a node was started: the same time, where it was not touched.
const STARTED: &str = "SELECT pg_postmaster_start_time()";

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const EMPTY: [&str; 2] = ["plan", "-detailed-exitcode"];

/// Makes the cluster, with a table of 100 rows.
fn made() -> TestEnvironment {
    let environment = TestEnvironment::with_configuration("");
    declare(&environment, "orders", NODES, "");
    environment.done(&APPLY);
    ask(
        &environment,
        "orders",
        "CREATE TABLE t AS SELECT generate_series(1, 100) AS id",
    );
    environment
}

#[test]
fn a_cluster_goes_by_another_name_and_is_the_same() {
    let environment = made();
    let started = |node: &str| ask(&environment, node, STARTED);
    let before = ["orders.a", "orders.r[0]"].map(started);

    declare(&environment, "shop", NODES, &moved("cluster.orders", "cluster.shop"));
    let plan = environment.run(&EMPTY);
    plan.expect_code(2);
    for words in [
        "  # cluster.orders has moved to cluster.shop\n",
        "Plan: 1 to move, 1 to add, 3 to change, 1 to destroy",
    ] {
        assert!(plan.stdout.contains(words), "no {words:?} in {}", plan.stdout);
    }
    let document: Value =
        serde_json::from_str(&environment.run(&["plan", "-output", "json"]).stdout).expect("a document is JSON");
    assert_eq!(
        document["resource_moves"],
        json!([{ "address": "cluster.shop", "previous_address": "cluster.orders" }])
    );
    // Looking wrote nothing.
    assert_eq!(ask(&environment, "orders", "SELECT count(*) FROM t"), "100");

    let applied = environment.done(&APPLY);
    assert!(
        applied.text().contains("Apply complete! 1 moved, 1 added"),
        "{}",
        applied.text()
    );
    environment.done(&EMPTY);
    assert_eq!(["shop.a", "shop.r[0]"].map(started), before, "no server was touched");
    assert_eq!(ask(&environment, "shop", "SELECT count(*) FROM t"), "100");
    let url = environment.done(&["output", "-raw", "url"]).stdout;
    assert_eq!(ask(&environment, "shop", "SELECT 1"), "1");
    let mut psql = environment.command_of("/usr/bin/psql".as_ref(), &[&url, "-XAtc", "SELECT current_user"]);
    assert_eq!(
        simdb_tests::Output::of(&mut psql).stdout,
        "app\n",
        "its password is the same"
    );
    let services = fs::read_to_string(environment.project().join(".simdb/pg_service.conf")).expect("there are routes");
    assert!(
        services.contains("[shop-rw]") && !services.contains("[orders-rw]"),
        "{services}"
    );

    // All that is done to a cluster is done to this one.
    environment.done(&["switchover", "shop", "-to", "r[0]", "-auto-approve"]);
    environment.done(&EMPTY);
    environment.done(&["drift"]);
    environment.done(&["stop", "shop.a", "-auto-approve"]);
    environment.done(&["start", "shop.a", "-auto-approve"]);
    assert!(!environment.done(&["logs", "shop.a"]).stdout.is_empty());
    environment.done(&EMPTY);
    environment.destroy();
}

#[test]
fn a_node_goes_by_another_name_and_keeps_its_data() {
    let environment = made();
    let data = ask(&environment, "orders.r[0]", "SHOW data_directory");
    let started = ask(&environment, "orders.r[0]", STARTED);
    let primary = ask(&environment, "orders.a", STARTED);

    let nodes = "  node \"first\" {}\n  node \"s\" { for_each = toset([\"eu\", \"us\"]) }\n";
    let blocks = [
        moved("cluster.orders.node.a", "cluster.orders.node.first"),
        moved("cluster.orders.node.r[0]", "cluster.orders.node.s[\"eu\"]"),
        moved("cluster.orders.node.r[1]", "cluster.orders.node.s[\"us\"]"),
    ];
    declare(&environment, "orders", nodes, &blocks.concat());
    let plan = environment.run(&EMPTY);
    plan.expect_code(2);
    assert!(plan.stdout.contains("Plan: 3 to move, 0 to add,"), "{}", plan.stdout);
    assert!(plan.stdout.contains("0 to destroy"), "{}", plan.stdout);
    environment.done(&APPLY);
    environment.done(&EMPTY);
    assert_eq!(ask(&environment, "orders.s-eu", "SHOW data_directory"), data);
    assert_eq!(ask(&environment, "orders.s-eu", STARTED), started, "its server went on");
    assert_eq!(
        ask(&environment, "orders.first", STARTED),
        primary,
        "the primary's went on"
    );
    let slots = "SELECT string_agg(slot_name || ' ' || active, ', ' ORDER BY slot_name) FROM pg_replication_slots";
    assert_eq!(ask(&environment, "orders.first", slots), "s_eu true, s_us true");
    environment.done(&["status"]);
    environment.done(&[
        "failover",
        "orders",
        "-promote",
        "s-eu",
        "-auto-approve",
        "-allow=data-loss",
    ]);
    environment.done(&APPLY);
    environment.done(&EMPTY);
    assert_eq!(ask(&environment, "orders", "SELECT count(*) FROM t"), "100");

    // What is new cannot have the place of what has moved away.
    let taken = format!("{nodes}  node \"a\" {{}}\n");
    declare(&environment, "orders", &taken, &blocks[1..].concat());
    environment.refuses(&["plan"], "Place is taken");
    declare(&environment, "orders", nodes, &blocks.concat());
    environment.destroy();
}

#[test]
fn a_pooler_goes_with_its_cluster() {
    if !has_pgbouncer() {
        return;
    }
    let environment = TestEnvironment::with_configuration("");
    let nodes = "  node \"a\" {}\n  endpoint \"pool\" {\n    target = \"primary\"\n    via    = \"pgbouncer\"\n  }\n";
    declare(&environment, "orders", nodes, "");
    environment.done(&APPLY);
    declare(&environment, "shop", nodes, &moved("cluster.orders", "cluster.shop"));
    let applied = environment.done(&APPLY).text();
    assert!(!applied.contains("drop-pooler"), "its pooler was removed: {applied}");
    environment.done(&EMPTY);
    environment.done(&["status"]);
    let asked = environment.done(&["env", "shop", "pool"]).stdout;
    assert!(asked.contains("shop-pool"), "{asked}");
    environment.destroy();
}

#[test]
fn an_object_is_recorded_at_another_address_by_hand() {
    let environment = TestEnvironment::with_configuration("");
    declare(&environment, "orders", "  node \"a\" {}\n", "");
    environment.done(&APPLY);
    let (from, to) = ("cluster.orders", "cluster.team-orders");
    let dry = environment.done(&["state", "mv", "-dry-run", from, to]);
    assert!(
        dry.stdout
            .starts_with("Would move:\ncluster.orders -> cluster.team-orders\n"),
        "{}",
        dry.stdout
    );
    let known = environment.done(&["state", "list"]).stdout;
    assert!(known.contains("cluster.orders.node.a"), "{known}");
    environment.refuses(&["state", "mv", "cluster.order", to], "cluster.orders");
    environment.refuses(&["state", "mv", from, "network.x"], "an object stays what it is");
    environment.refuses(
        &["state", "mv", "cluster.orders.user.app", "cluster.orders.user.b"],
        "does not rename it",
    );

    let done = environment.done(&["state", "mv", from, to]);
    assert!(
        done.stdout
            .contains("cluster.orders.node.a -> cluster.team-orders.node.a\n"),
        "{}",
        done.stdout
    );
    assert!(
        done.stderr.contains("A copy of the state as it was:"),
        "{}",
        done.stderr
    );
    declare(&environment, "team-orders", "  node \"a\" {}\n", "");
    // Its route goes by the name of the cluster.
    environment.done(&APPLY);
    environment.done(&EMPTY);
    environment.destroy();
}

/// Lets nodes go by other names while clients write and wait for standbys.
fn renamed_under_load(before: &str, after: &str, moves: &[(&str, &str)]) {
    let mut scenario = Scenario::new(&Version::installed(), before);
    let load = scenario.load();
    load.further(20);
    let node = |name: &str| format!("cluster.orders.node.{name}");
    let blocks = moves.iter().map(|(from, to)| moved(&node(from), &node(to)));
    scenario
        .environment
        .write("moved.simdb.hcl", &blocks.collect::<String>());
    scenario.declare(after);
    scenario.simdb(&APPLY);
    load.further(20);
    load.expect_nothing_lost();
    scenario.look();
    scenario.assert_settled(any(1));
    scenario.destroy();
}

#[test]
fn writes_that_wait_for_standbys_go_on_while_these_get_other_names() {
    let after = THREE.replace("node \"r\" { count = 2 }", "node \"east\" {}\n  node \"west\" {}");
    renamed_under_load(THREE, &after, &[("r[0]", "east"), ("r[1]", "west")]);
    let after = TWO.replace("\"a\"", "\"first\"").replace("\"b\"", "\"second\"");
    renamed_under_load(TWO, &after, &[("a", "first"), ("b", "second")]);
}

#[test]
fn a_move_that_is_killed_has_happened_or_has_not() {
    let environment = TestEnvironment::new();
    environment.write("main.simdb.hcl", "network \"lan\" {}\n");
    environment.done(&APPLY);
    let listed = || environment.done(&["state", "list"]).stdout;
    let (mut here, mut there) = ("network.lan".to_owned(), "network.wan".to_owned());
    for milliseconds in 0..20 {
        let mut child = environment
            .command(&["state", "mv", &here, &there])
            .spawn()
            .expect("simdb can be started");
        thread::sleep(Duration::from_millis(4 * milliseconds));
        // It may have ended by itself.
        let _ = child.kill();
        child.wait().expect("simdb can be waited for");
        match listed().trim_end() {
            name if name == here => {}
            name if name == there => std::mem::swap(&mut here, &mut there),
            other => panic!("{other:?} is recorded"),
        }
    }
    // Its lock is taken over.
    environment.done(&["state", "mv", &here, &there]);
    assert_eq!(listed().trim_end(), there);
}
