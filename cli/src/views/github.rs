//! Diagnostics as workflow commands of GitHub Actions, which shows them at their lines in a pull request.

use simdb_planner::diagnostic::Severity;

use super::doc::DiagnosticDoc;

/// Writes diagnostics, one command a line.
pub(crate) fn commands(diagnostics: &[DiagnosticDoc]) -> String {
    diagnostics.iter().map(command).collect()
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
