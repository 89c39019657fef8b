//! `simdb state pull`, `push` and `list`.

use std::fs;

use serde_json::Value;
use simdb_tests::TestEnvironment;

fn declare(environment: &TestEnvironment, users: &[&str]) {
    let users: Vec<String> = users.iter().map(|user| format!("  user \"{user}\" {{}}\n")).collect();
    let users = users.concat();
    environment.write(
        "main.simdb.hcl",
        &format!("network \"lan\" {{}}\ncluster \"orders\" {{\n  network = network.lan\n  engine \"postgresql\" {{}}\n  node \"a\" {{}}\n{users}}}\n"),
    );
}

#[test]
fn a_state_that_was_pulled_is_pushed_where_it_was_lost_and_plans_nothing() {
    let environment = TestEnvironment::with_configuration("");
    environment.refuses(&["state", "pull"], "Nothing is recorded here yet");
    declare(&environment, &["app"]);
    environment.done(&["apply", "-auto-approve"]);

    let below = environment.done(&["state", "list", "cluster.orders.node.*"]).stdout;
    assert_eq!(below, "cluster.orders.node.a\n");
    let listed: Value = serde_json::from_str(&environment.done(&["state", "list", "-json"]).stdout).unwrap();
    assert_eq!(listed["objects"][0]["address"], "network.lan");
    environment.refuses(&["state", "list", "cluster.order"], "cluster.orders");

    let pulled = environment.done(&["state", "pull"]).stdout;
    environment.write("pulled.json", &pulled);
    let state = environment.project().join(".simdb/state.db");
    for file in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(state.with_extension(format!("db{file}")));
    }
    let dry = environment.done(&["state", "push", "-dry-run", "pulled.json"]).stdout;
    assert!(dry.starts_with("Would record "), "{dry}");
    assert!(!state.exists());
    environment.done(&["state", "push", "pulled.json"]);
    environment.done(&["plan", "-detailed-exitcode"]);

    declare(&environment, &["app", "second"]);
    // The lock's number begins anew with the file; the notes in the directories know of later ones.
    let notes = environment.data().join("orders/a/token.json");
    fs::remove_file(notes).unwrap();
    environment.done(&["apply", "-auto-approve"]);
    environment.refuses(&["state", "push", "pulled.json"], "it was written since");
    let forced = environment.run_with_input(&["state", "push", "-force", "-"], &pulled);
    forced.expect_code(0);
    assert!(
        forced.stderr.contains("A copy of the state as it was"),
        "{}",
        forced.stderr
    );
    let known = environment.done(&["state", "list"]).stdout;
    assert!(!known.contains("second"), "{known}");

    environment.write("broken.json", "{}");
    environment.refuses(&["state", "push", "broken.json"], "is not what simdb state pull writes");
    environment.destroy();
}
