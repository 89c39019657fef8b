//! The answers that HCL's own rules ask for, in tables: those under `answers/`, and, where they are at hand, Terraform's in
//! addition. What differs from Terraform's is listed, so that a regression fails the test and so does an improvement.

use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::*;

#[expect(
    clippy::disallowed_methods,
    reason = "the answers are files; the language itself reads none"
)]
fn read(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

fn answers() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3);
    beside
        .expect("the workspace is in a directory")
        .join("shared/conformance")
}

/// Compares the expressions of a file; the known gaps, expressions or functions, are those that must differ.
fn compare(file: &str, quoted: bool, gaps: &[&str]) {
    let Some(lines) = read(&answers().join(file)) else {
        println!("{file} is not beside the workspace; the tables under answers/ are compared all the same");
        return;
    };
    let (mut agree, mut unexpected) = (0, Vec::new());
    for (expression, kind, answer) in lines.lines().map(columns) {
        let expression = if quoted {
            serde_json::from_str(expression).unwrap()
        } else {
            expression.to_owned()
        };
        let ours = evaluated(expression.trim_start());
        // Of expressions over several lines the table has no answers; those of the project's own table do.
        let same = if kind == "skip-multiline" {
            ours.is_ok()
        } else {
            agrees(&ours, kind, answer)
        };
        agree += usize::from(same);
        let is_gap = |gap: &&str| expression == **gap || expression.starts_with(&format!("{gap}("));
        if same == gaps.iter().any(is_gap) {
            unexpected.push(format!("{expression} -> {ours:?}, Terraform: {answer}"));
        }
    }
    println!("{file}: {agree} agree, {} known gaps", gaps.len());
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    assert!(agree > 50, "{agree} agree");
}

/// Cuts a row into an expression, `ok` or `err`, and a list that holds the value.
fn columns(line: &str) -> (&str, &str, &str) {
    let [expression, kind, answer] = line.split('\t').collect::<Vec<_>>()[..] else {
        panic!("{line:?} has three columns");
    };
    (expression, kind, answer)
}

fn agrees(ours: &Result<String, String>, kind: &str, answer: &str) -> bool {
    match (ours, kind) {
        (Ok(ours), "ok") if answer.starts_with('[') => {
            let wanted: Json = serde_json::from_str(answer).unwrap();
            let ours: Json = serde_json::from_str(ours).unwrap_or(Json::Null);
            equal(&ours, &wanted[0])
        }
        // An answer that is no list is hidden, as it is sensitive.
        (Ok(_), "ok") | (Err(_), "err") => true,
        _ => false,
    }
}

/// Compares every row of a table of the project's own. In some tables expressions are JSON strings, for their line ends.
fn check_table(table: &str, quoted: bool) {
    let differences: Vec<String> = table
        .lines()
        .map(columns)
        .filter_map(|(expression, kind, answer)| {
            let ours = if quoted {
                evaluated(&serde_json::from_str::<String>(expression).unwrap())
            } else {
                evaluated(expression)
            };
            (!agrees(&ours, kind, answer)).then(|| format!("{expression} -> {ours:?}, and not {kind} {answer}"))
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn every_kind_of_expression_has_its_value() {
    check_table(include_str!("answers/expressions.tsv"), false);
}

#[test]
fn every_expression_over_several_lines_has_its_value() {
    check_table(include_str!("answers/lines.tsv"), true);
}

#[test]
fn every_function_has_its_result() {
    check_table(include_str!("answers/functions.tsv"), false);
}

#[test]
fn the_example_of_every_function_has_the_result_that_is_written_with_it() {
    let functions = function_signatures();
    assert!(functions.len() > 110, "{}", functions.len());
    for function in functions {
        let (example, result) = (function.example, function.result);
        assert!(
            example.contains(&format!("{}(", function.name)),
            "{example} calls {}",
            function.name
        );
        assert_eq!(evaluated(example).as_deref(), Ok(result), "{example}");
        assert!(function.description.starts_with("Returns") || function.description.ends_with('.'));
        let optional = function.parameters.iter().skip_while(|parameter| !parameter.optional);
        assert!(
            optional
                .clone()
                .all(|parameter| parameter.optional || parameter.variadic)
        );
    }
}

fn equal(a: &Json, b: &Json) -> bool {
    match (a, b) {
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(key, value)| b.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => a == b,
    }
}

#[test]
fn expressions_have_the_values_that_terraform_gives_them() {
    // `.0.0` is a decimal number to Terraform; here it is what it looks like.
    compare(
        "expressions.tsv",
        true,
        &[
            "[[[{name:\"foo\"}]], [[{name:\"bar\"}], [{name:\"baz\"}]]].*.0.0.name",
            "[[\"hello\"]].0.0",
        ],
    );
}

#[test]
fn functions_have_the_results_that_terraform_gives_them() {
    // It is there while a plan is made, which Terraform's answers were not.
    compare("functions.tsv", false, &["plantimestamp"]);
}

#[test]
fn files_are_formatted_as_terraform_does() {
    let directory = answers().join("fmt");
    // An empty file stays empty.
    let gaps = ["000"];
    let (mut agree, mut unexpected) = (0, Vec::new());
    for number in 0..100 {
        let name = format!("{number:03}");
        let path = |kind| directory.join(format!("{name}.{kind}.hcl"));
        let (Some(input), Some(want)) = (read(&path("in")), read(&path("want"))) else {
            continue;
        };
        let ours = format("main", &input, &DIALECT);
        let same = ours.as_ref() == Ok(&want);
        agree += usize::from(same);
        if same == gaps.contains(&name.as_str()) {
            unexpected.push(format!("{name}: {ours:?}\n{want:?}"));
        }
    }
    if agree == 0 {
        println!("{} is not beside the workspace", directory.display());
    }
    println!("fmt: {agree} agree");
    assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
}
