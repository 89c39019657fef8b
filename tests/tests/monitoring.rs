//! The alerts and the board of `examples/monitoring`, as Prometheus reads them.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use simdb_tests::skip;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/monitoring")
}

/// Runs promtool, where the machine has it.
fn promtool(arguments: &[&str], directory: &Path) {
    let output = Command::new("promtool").args(arguments).current_dir(directory).output();
    match output {
        Ok(output) => assert!(
            output.status.success(),
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip("there is no program \"promtool\"; `make test` installs it");
        }
        Err(error) => panic!("promtool cannot be started: {error}"),
    }
}

#[test]
fn alerts_begin_and_end_when_they_should() {
    promtool(&["check", "rules", "simdb.rules.yml"], &examples());
    promtool(&["test", "rules", "simdb.rules.test.yml"], &examples());
}

#[test]
fn every_query_of_the_board_is_one() {
    let text = std::fs::read_to_string(examples().join("simdb.dashboard.json")).unwrap();
    let board: Value = serde_json::from_str(&text).unwrap();
    let mut queries = Vec::new();
    collect(&board, &mut queries);
    assert!(queries.len() > 10, "{queries:?}");
    let rules: Vec<String> = queries
        .iter()
        .enumerate()
        .map(|(number, query)| {
            format!(
                "      - {{record: query{number}, expr: {}}}\n",
                Value::from(query.as_str())
            )
        })
        .collect();
    let directory = tempfile::tempdir().unwrap();
    let text = format!("groups:\n  - name: board\n    rules:\n{}", rules.concat());
    std::fs::write(directory.path().join("board.yml"), text).unwrap();
    promtool(&["check", "rules", "board.yml"], directory.path());
}

/// Collects the queries of a document, with values in place of what Grafana fills in.
fn collect(document: &Value, queries: &mut Vec<String>) {
    match document {
        Value::Object(members) => {
            if let Some(Value::String(query)) = members.get("expr") {
                queries.push(query.replace("$cluster", ".*").replace("$__rate_interval", "1m"));
            }
            members.values().for_each(|value| collect(value, queries));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, queries)),
        _ => {}
    }
}
