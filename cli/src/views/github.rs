//! Diagnostics, plans and drift as workflow commands of GitHub Actions, which shows them in a pull request, at their lines where
//! they have some.

use simdb_planner::diagnostic::Severity;
use simdb_planner::plan::Impact;

use super::doc::{DiagnosticDoc, DriftDoc, PlanDoc};
use super::human::plan::summary_line;

/// Writes diagnostics, one command a line.
pub(crate) fn commands(diagnostics: &[DiagnosticDoc]) -> String {
    diagnostics.iter().map(command).collect()
}

/// Writes what a reviewer of a plan must see: what is wrong or could not be compared, and what loses data or stops writes.
pub(crate) fn plan(plan: &PlanDoc) -> String {
    let mut text = commands(&plan.diagnostics);
    for unknown in plan.not_compared_lines() {
        text += &unplaced("warning", "Not compared", &unknown);
    }
    for line in plan.by_hand_lines() {
        text += &unplaced("warning", "Drift", &line);
    }
    for step in plan.steps.iter().filter(|step| step.impact >= Impact::WritePause) {
        let title = format!("{}: {}", step.address, step.impact);
        text += &unplaced("warning", &title, &format!("{}: {}", step.name, step.reason));
    }
    if !plan.is_broken() {
        text += &unplaced("notice", "simdb plan", &summary_line(plan));
    }
    text
}

/// Writes what drifted, one command an object.
pub(crate) fn drift(drift: &DriftDoc) -> String {
    let mut text = commands(&drift.diagnostics);
    for unknown in &drift.not_compared {
        text += &unplaced(
            "error",
            "Not compared",
            &format!("{}: {}", unknown.address, unknown.reason),
        );
    }
    for object in &drift.resource_drift {
        let remedies = object.by_hand.iter().map(|one| one.remedy.as_str());
        let told: Vec<&str> = object.causes.iter().map(String::as_str).chain(remedies).collect();
        let title = format!("{} has drifted", object.address);
        text += &unplaced("warning", &title, &told.join("; "));
    }
    text
}

fn unplaced(kind: &str, title: &str, text: &str) -> String {
    format!("::{kind} title={}::{}\n", property(title), data(text))
}

fn command(diagnostic: &DiagnosticDoc) -> String {
    let kind = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let place = diagnostic.range.as_ref().map_or_else(String::new, |range| {
        format!(
            "file={},line={},endLine={},col={},endColumn={},",
            property(&range.filename),
            range.start.line,
            range.end.line,
            range.start.column,
            range.end.column
        )
    });
    format!(
        "::{kind} {place}title={}::{}\n",
        property(&diagnostic.summary),
        data(&diagnostic.detail)
    )
}

/// Escapes the text of a command, which ends with its line.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Escapes a property of a command, which ends with a comma or a colon.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use simdb_planner::config::Source;
    use simdb_planner::diagnostic::{Diagnostic, Span};

    use super::*;

    #[test]
    fn a_diagnostic_is_one_command() {
        let mut source = Source::default();
        source.add("main.simdb.hcl", "a = 1\nb = 2\n");
        let span = Span {
            file: "main.simdb.hcl".to_owned(),
            start: 6,
            end: 7,
        };
        let placed = Diagnostic::error("Wrong: b", "It is 50% wrong.\nMend it.").at(span);
        let unplaced = Diagnostic::warning("Odd", "Look.");
        let text = commands(&DiagnosticDoc::all([&placed, &unplaced], &source));
        assert_eq!(
            text,
            "::error file=main.simdb.hcl,line=2,endLine=2,col=1,endColumn=2,title=Wrong%3A b::It is 50%25 wrong.%0AMend it.\n\
             ::warning title=Odd::Look.\n"
        );
    }
}
