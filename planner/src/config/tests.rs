//! The language from outside: texts in, what is desired and said out.
#![expect(
    clippy::format_push_string,
    clippy::format_collect,
    clippy::needless_pass_by_value,
    clippy::needless_raw_string_hashes,
    reason = "tests are tables; what is expected is written by expect-test, and passed as it is written"
)]

mod access;
mod blocks;
mod broken;
mod ephemeral;
mod evaluation;
mod failover;
mod imports;
mod modules;
mod moved;
mod properties;
mod providers;
mod removed;
mod schema;
mod spread;
mod structure;
mod syntax;
mod toml;
mod triggers;

use expect_test::Expect;
use simdb_state::object::State;
use simdb_state::sensitive::Secrets;

use super::*;

/// One cluster that is right in every way, to be put around what a test is about.
const CLUSTER: &str = "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n}\n";

fn source(text: &str) -> Source {
    let mut source = Source::default();
    source.add("main", text);
    source
}

fn input(name: &str, text: &str) -> VariableInput {
    VariableInput {
        name: name.to_owned(),
        text: text.to_owned(),
        origin: "the command line".to_owned(),
        span: None,
    }
}

/// Writes diagnostics one by one: `file:line:column severity summary (in context) | detail | value; value`.
fn render(source: &Source, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for diagnostic in diagnostics {
        let place = diagnostic.span.as_ref().map_or_else(
            || "-".to_owned(),
            |span| {
                let (start, end) = source.positions(span).expect("the span is in a file of the source");
                let end = if start.line == end.line {
                    end.column.to_string()
                } else {
                    format!("{}:{}", end.line, end.column)
                };
                format!("{}:{}:{}-{end}", span.file, start.line, start.column)
            },
        );
        let severity = if diagnostic.is_error() { "error" } else { "warning" };
        out += &format!("{place} {severity} {}", diagnostic.summary);
        if let Some(context) = &diagnostic.context {
            out += &format!(" (in {context})");
        }
        out += &format!("\n  {}\n", diagnostic.detail);
        for value in &diagnostic.values {
            out += &format!("  - {value}\n");
        }
    }
    out
}

/// Compares what is said about a text.
fn check(text: &str, expected: Expect) {
    check_with(text, &[], expected);
}

fn check_with(text: &str, inputs: &[VariableInput], expected: Expect) {
    let source = source(text);
    let (config, diagnostics) = load(&source, inputs);
    let wrong = diagnostics.iter().any(Diagnostic::is_error);
    assert_eq!(
        config.is_none(),
        wrong,
        "there is a configuration exactly where there is no error"
    );
    expected.assert_eq(&render(&source, &diagnostics));
}

fn loaded(text: &str, inputs: &[VariableInput]) -> Config {
    let source = source(text);
    let (config, diagnostics) = load(&source, inputs);
    config.unwrap_or_else(|| panic!("{}", render(&source, &diagnostics)))
}

/// Compares what a text desires.
fn check_desired(text: &str, expected: Expect) {
    expected.assert_eq(&show(&loaded(text, &[]).desired));
}

fn show(desired: &Desired) -> String {
    let mut out = String::new();
    if desired.local != crate::desired::LocalSettings::default() {
        out += &format!("{:?}\n", desired.local);
    }
    for (name, network) in &desired.networks {
        let subnet = network.subnet.map_or_else(String::new, |subnet| format!(" {subnet}"));
        out += &format!("network {name}{subnet}\n");
    }
    for (name, cluster) in &desired.clusters {
        let version = cluster
            .version
            .map_or_else(|| "newest".to_owned(), |version| version.to_string());
        out += &format!(
            "cluster {name}: {} {version}, {}, in {}",
            cluster.engine, cluster.replication.mode, cluster.network
        );
        out += &format!(", first {}", cluster.first);
        out += &cluster
            .primary
            .as_ref()
            .map_or_else(String::new, |primary| format!(", primary {primary}"));
        out += if cluster.prevent_destroy { ", kept\n" } else { "\n" };
        for (node, spec) in &cluster.nodes {
            let port = spec.port.map_or_else(String::new, |port| format!(" port {port}"));
            let parameters: Vec<String> = spec
                .parameters
                .iter()
                .map(|(name, value)| format!(" {name}={value}"))
                .collect();
            assert!(
                spec.parameters.keys().eq(spec.parameter_spans.keys()),
                "every parameter has its place"
            );
            out += &format!("  node {node}{port}{}\n", parameters.concat());
        }
        for (endpoint, spec) in &cluster.endpoints {
            out += &format!("  endpoint {endpoint} -> {}\n", spec.target);
        }
    }
    out
}
