use anstream::adapter::strip_str;
use expect_test::expect;

use super::*;
use crate::views::doc::{PositionDoc, ValueDoc};

fn sample() -> DiagnosticDoc {
    let at = |column, byte| PositionDoc { line: 3, column, byte };
    DiagnosticDoc {
        severity: Severity::Error,
        summary: "Unsupported argument".to_owned(),
        detail: "An argument named \"netwrok\" is not expected here; the block takes engine, network, node, primary and replication. Did you mean \"network\"?".to_owned(),
        range: Some(RangeDoc {
            filename: "main.simdb.hcl".to_owned(),
            start: at(3, 40),
            end: at(10, 47),
        }),
        snippet: Some(SnippetDoc {
            context: Some("cluster \"orders\"".to_owned()),
            code: "  netwrok = network.lan".to_owned(),
            start_line: 3,
            highlight_start_offset: 2,
            highlight_end_offset: 9,
            values: vec![ValueDoc {
                traversal: "network.lan".to_owned(),
                statement: "is a network".to_owned(),
            }],
            function_call: None,
        }),
    }
}

#[test]
fn a_diagnostic_shows_its_line_with_the_place_marked() {
    expect![[r#"
        ╷
        │ Error: Unsupported argument
        │
        │   on main.simdb.hcl line 3, in cluster "orders":
        │    3:   netwrok = network.lan
        │         ^^^^^^^
        │     ├────────────────
        │     │ network.lan is a network
        │
        │ An argument named "netwrok" is not expected here; the block takes engine,
        │ network, node, primary and replication. Did you mean "network"?
        ╵
    "#]]
    .assert_eq(&strip_str(&render(&sample(), 80)).to_string());
}

#[test]
fn a_diagnostic_is_framed_in_the_colour_of_its_severity() {
    let warning = DiagnosticDoc {
        severity: Severity::Warning,
        detail: String::new(),
        range: None,
        snippet: None,
        ..sample()
    };
    expect![[r"
        ^[33m╷^[0m
        ^[33m│^[0m ^[1m^[33mWarning: ^[0m^[1mUnsupported argument^[0m
        ^[33m╵^[0m
    "]]
    .assert_eq(&render(&warning, 80).replace('\u{1b}', "^"));
}

#[test]
fn a_place_beyond_the_line_does_not_break_the_box() {
    let mut odd = sample();
    let snippet = odd.snippet.as_mut().unwrap();
    snippet.highlight_start_offset = 400;
    snippet.highlight_end_offset = 4;
    assert!(
        strip_str(&render(&odd, 80))
            .to_string()
            .contains("Unsupported argument")
    );
}

#[test]
fn code_in_a_detail_is_not_wrapped() {
    let mut long = sample();
    long.detail = "Run:\n    simdb destroy -auto-approve -allow=data-loss -chdir=/a/very/long/path".to_owned();
    let text = strip_str(&render(&long, 40)).to_string();
    assert!(
        text.contains("│     simdb destroy -auto-approve -allow=data-loss -chdir=/a/very/long/path\n"),
        "{text}"
    );
}

#[test]
fn compact_warnings_are_titles_each_once_and_errors_stay_whole() {
    let warning = |summary: &str, range| DiagnosticDoc {
        severity: Severity::Warning,
        summary: summary.to_owned(),
        range,
        ..sample()
    };
    let all = [
        warning("Seed was changed after it ran", sample().range),
        warning("Seed was changed after it ran", None),
        sample(),
        warning("There is no configuration here", None),
    ];
    expect![[r#"
        Warnings:

        - Seed was changed after it ran (on main.simdb.hcl line 3 and 1 more)
        - There is no configuration here

        To see all that they say, leave -compact-warnings out.

        ╷
        │ Error: Unsupported argument
    "#]]
    .assert_eq(
        &(strip_str(&render_compact(&all, 80))
            .to_string()
            .lines()
            .take(9)
            .collect::<Vec<_>>()
            .join("\n")
            + "\n"),
    );
}
