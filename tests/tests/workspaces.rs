//! Workspaces: one configuration, several states, and nothing of one in another.

use std::fs;

use serde_json::{Value, json};
use simdb_tests::TestEnvironment;

/// A server that says which workspace made it.
const SERVER: &str = r#"
network "lan" {}

cluster "c" {
  network = network.lan
  engine "postgresql" {}
  node "a" {}
  endpoint "rw" { target = "primary" }
}

output "workspace" { value = simdb.workspace }
"#;

/// Data of each workspace has a place of its own below one that the test knows.
fn environment() -> TestEnvironment {
    let environment = TestEnvironment::new();
    let provider = environment.provider();
    let data = environment.data().display().to_string();
    let apart = provider.replace(&data, &format!("{data}/${{simdb.workspace}}"));
    assert_ne!(apart, provider, "the provider says where data is");
    environment.write("main.simdb.hcl", &(apart + SERVER));
    environment
}

#[test]
fn what_one_workspace_made_another_one_does_not_see() {
    let environment = environment();
    let answer = |arguments: &[&str]| environment.done(arguments).stdout;
    let apply = ["apply", "-auto-approve"];
    assert_eq!(answer(&["workspace", "list"]), "* default\n");
    environment.done(&apply);

    let created = environment.done(&["workspace", "new", "staging"]).text();
    assert!(
        created.contains("Created and switched to workspace \"staging\"!"),
        "{created}"
    );
    assert_eq!(answer(&["workspace", "show"]), "staging\n");
    assert_eq!(answer(&["workspace", "list"]), "  default\n* staging\n");
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(2);
    environment.done(&apply);
    assert_eq!(answer(&["output", "-raw", "workspace"]), "staging");
    let read = |workspace: &str| {
        let mut psql = environment.command(&["psql", "c", "--", "-XAtc", "SHOW data_directory"]);
        let output = simdb_tests::Output::of(psql.env("SIMDB_WORKSPACE", workspace));
        output.expect_code(0);
        output.stdout
    };
    assert!(read("staging").contains("/staging/"), "{}", read("staging"));
    assert!(read("default").contains("/default/"), "{}", read("default"));

    let listed: Value = serde_json::from_str(&answer(&["ps", "-json"])).expect("a document is JSON");
    let servers = listed["servers"].as_array().expect("servers are a list").iter();
    let project = json!(environment.project());
    let of_project = servers.filter(|server| server["project"] == project);
    let mut workspaces: Vec<&Value> = of_project.map(|server| &server["workspace"]).collect();
    workspaces.sort_by_key(ToString::to_string);
    assert_eq!(workspaces, [&json!("default"), &json!("staging")]);

    let destroy = ["destroy", "-auto-approve", "-allow=data-loss"];
    environment.done(&destroy);
    environment.done(&["workspace", "select", "default"]);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    assert!(read("default").contains("/default/"), "the other one is untouched");
    environment.done(&["workspace", "delete", "staging"]);
    assert_eq!(answer(&["workspace", "list"]), "* default\n");
    environment.destroy();
}

#[test]
fn a_workspace_is_made_selected_and_removed_by_name() {
    let environment = TestEnvironment::new();
    let configuration = "network \"lan\" {}\noutput \"o\" { value = simdb.workspace }\n";
    environment.write("main.simdb.hcl", configuration);
    let answer = |arguments: &[&str]| environment.done(arguments).stdout;
    environment.refuses(&["workspace", "select", "staging"], "Workspace does not exist");
    environment.done(&["workspace", "select", "-or-create", "staging"]);
    environment.refuses(&["workspace", "new", "staging"], "Workspace already exists");
    environment.refuses(&["workspace", "new", "../x"], "Invalid name of a workspace");
    environment.refuses(&["workspace", "delete", "staging"], "Workspace is selected");
    environment.refuses(&["workspace", "delete", "default"], "Workspace cannot be deleted");
    let listed: Value = serde_json::from_str(&answer(&["workspace", "list", "-json"])).expect("a document is JSON");
    assert_eq!(
        listed["workspaces"],
        json!([{ "name": "default", "current": false }, { "name": "staging", "current": true }])
    );

    // What is asked names the workspace, and what is on record keeps it from being removed.
    let asked = environment.run_with_input(&["apply"], "").text();
    assert!(
        !asked.contains("in workspace"),
        "without a terminal nothing is asked: {asked}"
    );
    environment.done(&["apply", "-auto-approve"]);
    let state = environment.project().join(".simdb/workspaces/staging/state.db");
    assert!(state.is_file());
    environment.done(&["workspace", "select", "default"]);
    environment.refuses(&["workspace", "delete", "staging"], "- network.lan");
    environment.done(&["workspace", "delete", "-force", "staging"]);
    assert!(!state.parent().expect("it has a directory").exists());

    // The environment counts more than what is selected, and then nothing is selected.
    let overridden = |arguments: &[&str], name: &str| {
        let mut command = environment.command(arguments);
        simdb_tests::Output::of(command.env("SIMDB_WORKSPACE", name))
    };
    let missing = overridden(&["plan"], "gone");
    missing.expect_code(1);
    assert!(
        missing.text().contains("There is no workspace \"gone\" here"),
        "{}",
        missing.text()
    );
    let refused = overridden(&["workspace", "new", "other"], "default");
    refused.expect_code(1);
    assert!(refused.text().contains("SIMDB_WORKSPACE"), "{}", refused.text());

    // A selected workspace that somebody removed is told, and nothing is made in its place.
    environment.done(&["workspace", "new", "brief"]);
    fs::remove_dir_all(environment.project().join(".simdb/workspaces/brief")).expect("the project is ours");
    environment.refuses(&["apply", "-auto-approve"], "Workspace does not exist");
    environment.done(&["workspace", "select", "default"]);
    environment.done(&["plan"]);
}
