//! What programs read: errors of every command as JSON, and policies over the document of a plan.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use simdb_tests::{Output, TestEnvironment, skip};

const ONE: &str = "network \"lan\" {}\ncluster \"orders\" {\n  network = network.lan\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n";

/// A command as it is typed, with its arguments.
struct Command {
    words: Vec<String>,
    arguments: Vec<String>,
}

/// Finds every command that can write JSON, as the help tells.
fn commands_with_json(environment: &TestEnvironment, words: &[String]) -> Vec<Command> {
    let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    arguments.push("-help");
    let help = environment.run(&arguments).stdout;
    if let Some((_, list)) = help.split_once("\nCommands:\n") {
        let names = list.lines().take_while(|line| line.starts_with("  "));
        let names = names
            .filter(|line| !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next());
        let within = names.filter(|name| *name != "help").map(|name| {
            let words: Vec<String> = words.iter().cloned().chain([name.to_owned()]).collect();
            commands_with_json(environment, &words)
        });
        return within.flatten().collect();
    }
    if !help.contains("--json") {
        return Vec::new();
    }
    let usage = help.lines().find(|line| line.contains("Usage: "));
    let usage = usage.expect("help says how a command is called");
    // An address is fit for all that commands ask for.
    let arguments = usage.matches('<').map(|_| "cluster.c".to_owned()).collect();
    let words = words.to_vec();
    vec![Command { words, arguments }]
}

/// Returns the diagnostics that a command wrote, whatever the shape of its answer.
#[track_caller]
fn diagnostics(command: &Command, output: &Output) -> Vec<Value> {
    let stream = serde_json::Deserializer::from_str(&output.stdout).into_iter::<Value>();
    let values: Result<Vec<Value>, _> = stream.collect();
    let values = values.unwrap_or_else(|error| panic!("{:?}: {error}\n{output:?}", command.words));
    let of_lines = values.iter().filter_map(|value| value.get("diagnostic").cloned());
    let of_document = values
        .iter()
        .filter_map(|value| value.get("diagnostics")?.as_array().cloned());
    of_lines.chain(of_document.flatten()).collect()
}

#[track_caller]
fn assert_failure_is_json(command: &Command, output: &Output, summary: &str) {
    output.expect_code(1);
    let diagnostics = diagnostics(command, output);
    let found = diagnostics.iter().any(|one| {
        let text = one["summary"].as_str().unwrap_or_default();
        one["severity"] == "error" && text.contains(summary)
    });
    assert!(found, "{:?}: {diagnostics:?}", command.words);
    assert!(!output.stderr.contains('│'), "{:?}: {}", command.words, output.stderr);
}

#[test]
fn every_command_with_json_fails_in_json() {
    let environment = TestEnvironment::with_configuration("cluster {\n");
    fs::create_dir(environment.project().join(".simdb")).unwrap();
    fs::write(environment.project().join(".simdb/state.db"), "this is no state").unwrap();
    let commands = commands_with_json(&environment, &[]);
    let names: BTreeSet<String> = commands.iter().map(|command| command.words.join(" ")).collect();
    for name in [
        "plan",
        "apply",
        "cluster failover",
        "metadata plan",
        "state show",
        "status",
        "version",
    ] {
        assert!(names.contains(name), "{names:?}");
    }
    for command in &commands {
        let run = |more: &[&str]| {
            let words = command.words.iter().chain(&command.arguments).map(String::as_str);
            let words: Vec<&str> = words.chain(["-json"]).chain(more.iter().copied()).collect();
            environment.run(&words)
        };
        assert_failure_is_json(command, &run(&["-no-such-option"]), "Unknown option");
        assert_failure_is_json(
            command,
            &run(&["-chdir=/no/such/directory"]),
            "Failed to work in directory",
        );
        // Nothing can be read; what needs nothing succeeds.
        let output = run(&[]);
        if output.code == Some(0) {
            assert!(
                ["version", "metadata", "ps", "gc", "workspace"].contains(&&*command.words[0]),
                "{:?}",
                command.words
            );
        } else {
            assert_failure_is_json(command, &output, "");
        }
    }
}

/// Returns an example's file.
fn example(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let root = root.expect("the tests are a directory of the project");
    root.join("examples").join(name)
}

/// Returns the policy of the examples as a command; nothing where there is no Python to run it.
fn policy() -> Option<String> {
    let found = std::process::Command::new("python3").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        skip("there is no program \"python3\"");
        return None;
    }
    Some(format!("python3 {}", example("policy/review.py").display()))
}

#[test]
fn a_policy_judges_the_document_of_a_plan_before_it_is_saved_or_run() {
    let Some(policy) = policy() else { return };
    let environment = TestEnvironment::with_configuration(ONE);
    let refused = environment.run(&["plan", "-out", "plan", "-policy-command", &policy]);
    refused.expect_code(1);
    assert!(
        refused
            .text()
            .contains("cluster.orders has one node: a production cluster has a standby")
    );
    assert!(refused.stdout.contains("Plan: "), "the plan is shown all the same");
    assert!(!environment.project().join("plan").exists());
    let json = environment.run(&["plan", "-output", "json", "-policy-command", &policy]);
    json.expect_code(1);
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (&document["errored"], &document["applyable"]),
        (&true.into(), &false.into())
    );
    assert_eq!(document["diagnostics"][0]["summary"], "Plan refused by policy");
    let apply = environment.run(&["apply", "-auto-approve", "-policy-command", &policy]);
    apply.expect_code(1);
    assert!(apply.text().contains("Plan refused by policy"));
    environment.assert_nothing_left();
    environment.write(
        "main.simdb.hcl",
        &ONE.replace("node \"a\" {}", "node \"a\" {}\n  node \"r\" {}"),
    );
    environment
        .run(&["plan", "-out", "plan", "-policy-command", &policy])
        .expect_code(0);
    assert!(environment.project().join("plan").exists());
}
