//! A corpus of broken configurations: each line at which something must be said ends with `#! SUMMARY`.
//!
//! A case starts with `=== file`, or with `=== cluster` where it stands within a cluster that is right. To write down what
//! is said now, copy the text that a failed test prints.

use super::*;

const CORPUS: &str = include_str!("answers/broken.txt");
const MARK: &str = " #! ";
const BEFORE: &str = "network \"lan\" {}\ncluster \"c\" {\n  engine \"postgresql\" {}\n  node \"a\" {}\n";

/// Returns what is said about a case, by line.
fn said(kind: &str, text: &str) -> BTreeMap<usize, Vec<String>> {
    let (whole, before) = match kind {
        "cluster" => (format!("{BEFORE}{text}}}\n"), BEFORE.lines().count()),
        _ => (text.to_owned(), 0),
    };
    let source = source(&whole);
    let mut said: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for diagnostic in load(&source, &[]).1 {
        let span = diagnostic
            .span
            .as_ref()
            .expect("what is wrong with a text has a place in it");
        let (start, _) = source.positions(span).expect("the place is in the text");
        // What is wrong with the cluster as a whole stands at the first line of the case.
        let line = start.line.saturating_sub(before).max(1);
        said.entry(line).or_default().push(diagnostic.summary.clone());
    }
    said
}

#[test]
fn what_is_wrong_is_said_at_its_line() {
    let mut now = String::new();
    for case in CORPUS.split("=== ").skip(1) {
        let (kind, marked) = case.split_once('\n').expect("a case has a line for its kind");
        let lines: Vec<&str> = marked
            .lines()
            .map(|line| line.split(MARK).next().unwrap_or(line))
            .collect();
        let said = said(kind, &lines.iter().map(|line| format!("{line}\n")).collect::<String>());
        assert!(!said.is_empty(), "nothing is said about {marked}");
        now += &format!("=== {kind}\n");
        for (index, line) in lines.iter().enumerate() {
            let summaries = said.get(&(index + 1)).into_iter().flatten();
            let marks: String = summaries.map(|summary| format!("{MARK}{summary}")).collect();
            now += &format!("{line}{marks}\n");
        }
    }
    assert!(CORPUS.matches("=== ").count() >= 150);
    assert!(now == CORPUS, "{now}");
}
