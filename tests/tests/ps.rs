//! `simdb ps`: the servers of all projects.

use std::fs;
use std::path::Path;

use serde_json::Value;
use simdb_tests::TestEnvironment;

const TWO: &str = "network \"lan\" {}\ncluster \"orders\" {\n  network = network.lan\n  engine \"postgresql\" {}\n  \
                   replication { mode = \"async\" }\n  node \"a\" {}\n  node \"b\" {}\n}\n";

/// Returns what `ps` says of the servers whose data is below a directory, as seen from another one.
fn listed(from: &TestEnvironment, root: &Path) -> Vec<Value> {
    let output = from.run(&["ps", "-json"]);
    output.expect_code(0);
    let document: Value = serde_json::from_str(&output.stdout).expect("a document is JSON");
    let servers = document["servers"].as_array().expect("servers are a list").clone();
    let below = |server: &Value| {
        server["data"]
            .as_str()
            .is_some_and(|data| Path::new(data).starts_with(root))
    };
    servers.into_iter().filter(below).collect()
}

fn column<'a>(servers: &'a [Value], name: &str) -> Vec<&'a str> {
    let text = |server: &'a Value| server[name].as_str().unwrap_or("-");
    servers.iter().map(text).collect()
}

#[test]
fn servers_of_every_project_are_found_those_included_whose_state_or_directory_is_gone() {
    let project = TestEnvironment::with_configuration(TWO);
    let elsewhere = TestEnvironment::new();
    project.run(&["apply", "-auto-approve"]).expect_code(0);
    let root = project.data();

    let both = listed(&elsewhere, &root);
    let addresses = ["cluster.orders.node.a", "cluster.orders.node.b"];
    assert_eq!(column(&both, "address"), addresses);
    assert_eq!(column(&both, "status"), ["running", "running"]);
    assert_eq!(column(&both, "state"), ["found", "found"]);
    let home = project.project().display().to_string();
    assert_eq!(column(&both, "project"), [&home, &home]);

    project
        .run(&["stop", "cluster.orders.node.b", "-auto-approve"])
        .expect_code(0);
    assert_eq!(column(&listed(&elsewhere, &root), "status"), ["running", "down"]);
    project
        .run(&["start", "cluster.orders.node.b", "-auto-approve"])
        .expect_code(0);

    // The state is gone, and both servers run on.
    let state = project.project().join(".simdb/state.db");
    let aside = project.project().join(".simdb/aside.db");
    fs::rename(&state, &aside).unwrap();
    let lost = listed(&elsewhere, &root);
    assert_eq!(column(&lost, "state"), ["lost", "lost"]);
    let text = elsewhere.run(&["ps"]).stdout;
    assert!(text.contains("is lost, so no command of simdb reaches"), "{text}");
    fs::rename(&aside, &state).unwrap();

    // The instance directory is gone, and its server runs on.
    let data = both[0]["data"].as_str().unwrap();
    fs::remove_dir_all(data).unwrap();
    let bereft = listed(&elsewhere, &root);
    assert_eq!(column(&bereft, "address"), ["-", addresses[1]]);
    assert_eq!(bereft[0]["pid"], both[0]["pid"]);
    assert!(elsewhere.run(&["ps"]).stdout.contains("directory removed"));
}
