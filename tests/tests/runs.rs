//! `simdb runs`: what the journal keeps of runs.

use serde_json::Value;
use simdb_tests::TestEnvironment;

const ONE: &str = "network \"lan\" {}\ncluster \"orders\" {\n  network = network.lan\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("a document is JSON")
}

#[test]
fn runs_are_kept_with_their_steps() {
    let environment = TestEnvironment::with_configuration(ONE);
    let none = environment.run(&["runs", "list"]);
    none.expect_code(0);
    assert_eq!(none.stdout, "No run is kept.\n");
    environment.run(&["runs", "show"]).expect_code(1);

    environment.run(&["apply", "-auto-approve"]).expect_code(0);
    environment
        .run(&["destroy", "-auto-approve", "-allow=data-loss"])
        .expect_code(0);
    let runs = json(&environment.run(&["runs", "list", "-json"]).stdout);
    let operations: Vec<&str> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| {
            assert_eq!(run["status"], "done");
            assert!(run["who"].as_str().unwrap().contains('@'), "{run}");
            run["operation"].as_str().unwrap()
        })
        .collect();
    assert_eq!(operations, ["destroy", "apply"]);

    // Leading zeros may be left out; without a number it is the newest.
    let apply = json(&environment.run(&["runs", "show", "1", "-json"]).stdout);
    assert_eq!(apply["run"]["operation"], "apply");
    let steps = apply["steps"].as_array().unwrap();
    assert_eq!(apply["run"]["steps"], steps.len());
    for step in steps {
        assert_eq!(step["status"], "done", "{step}");
        assert!(step["milliseconds"].is_u64(), "{step}");
    }
    let primary = steps.iter().find(|step| step["kind"] == "primary").unwrap();
    assert_eq!(primary["address"], "cluster.orders.node.a");
    let newest = environment.run(&["runs", "show"]);
    newest.expect_code(0);
    assert!(newest.stdout.contains("drop-node"), "{}", newest.stdout);

    let unknown = environment.run(&["runs", "show", "99"]);
    unknown.expect_code(1);
    assert!(unknown.stderr.contains("simdb runs list"), "{}", unknown.stderr);
}
