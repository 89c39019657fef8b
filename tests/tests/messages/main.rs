//! What a person reads, word for word, when something is wrong, and the exit code that a script sees.

mod apply;
mod command_line;
mod configuration;
mod platform;

use std::fs;

use expect_test::Expect;
use simdb_tests::{Output, TestEnvironment};

const APPLY: [&str; 2] = ["apply", "-auto-approve"];

/// A cluster of one server.
const ONE_NODE: &str = "network \"lan\" {}\n
cluster \"c\" {
  network = network.lan\n
  engine \"postgresql\" {}\n
  replication {
    mode = \"async\"
  }\n
  node \"a\" {}
}
";

/// Asserts that simdb refuses, or fails, and what it says.
#[track_caller]
fn refuses(environment: &TestEnvironment, arguments: &[&str], expected: &Expect) {
    expected.assert_eq(&complaint(environment, &environment.run(arguments), 1));
}

/// Returns what simdb said on standard error, without what belongs to this run and this machine; it must have written
/// nothing else, and ended with this code.
#[track_caller]
fn complaint(environment: &TestEnvironment, output: &Output, code: i32) -> String {
    output.expect_code(code);
    assert_eq!(output.stdout, "");
    without_machine(&environment.redact(&unwrapped(&output.stderr)))
}

/// Joins the lines of a diagnostic's paragraphs: where they break depends on the lengths of paths and numbers.
fn unwrapped(text: &str) -> String {
    let prose = |line: &str| line.strip_prefix("│ ").is_some_and(|rest| !rest.starts_with(' '));
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        match lines.last_mut() {
            Some(last) if prose(last) && prose(line) && !last.starts_with("│ Error:") => {
                last.push_str(&line["│".len()..]);
            }
            _ => lines.push(line.to_owned()),
        }
    }
    lines.join("\n") + "\n"
}

/// Takes out what belongs to this machine: users, processes, times of day, the versions that are installed.
fn without_machine(text: &str) -> String {
    let own = fs::read_to_string("/proc/self/comm").expect("a process has a name");
    let text = text.replace(own.trim_end(), "[PROGRAM]");
    let text = [
        ("(pid ", ")"),
        ("(process ", ")"),
        ("locked by ", " for"),
        ("Who:       ", " ("),
        ("Since:     ", "\n"),
        ("Version:   ", "\n"),
        ("Found: ", ". Looked"),
        ("+ version     = ", "\n"),
        ("- version     = ", " "),
    ]
    .into_iter()
    .fold(text, |text, (start, end)| without_between(&text, start, end));
    // How far a step is after ten seconds is said only where it takes so long.
    let lines = text.lines().filter(|line| !line.contains(" still running... ["));
    let lines = lines.map(|line| match line.split_once("] ") {
        // 2026-01-02 03:04:05.678 GMT [123] FATAL:  …
        Some((stamp, message)) if stamp.trim_start().starts_with("20") => {
            let indentation = stamp.len() - stamp.trim_start().len();
            format!("{}[STAMP] {message}\n", " ".repeat(indentation))
        }
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// Takes out what stands between two texts, wherever they occur.
fn without_between(text: &str, start: &str, end: &str) -> String {
    let mut parts = text.split(start);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |done, part| {
        let kept = part
            .find(end)
            .map_or(part.to_owned(), |at| format!("[…]{}", &part[at..]));
        done + start + &kept
    })
}
