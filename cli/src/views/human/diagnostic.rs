//! Diagnostics in Terraform's box: what, where, the line itself, the values involved, the way out.

use anstyle::Style;
use simdb_planner::diagnostic::Severity;

use super::style::{BAD, BOLD, CHANGED, DIM, paint};
use super::text::wrap;
use crate::views::doc::{DiagnosticDoc, FunctionCallDoc, RangeDoc, SnippetDoc};

/// Renders diagnostics, one box each.
pub fn render_all(diagnostics: &[DiagnosticDoc], width: usize) -> String {
    diagnostics.iter().map(|diagnostic| render(diagnostic, width)).collect()
}

/// Renders errors one box each, and of warnings the titles, each with the first of its places and how many more there are.
pub fn render_compact(diagnostics: &[DiagnosticDoc], width: usize) -> String {
    let (errors, warnings): (Vec<&DiagnosticDoc>, Vec<_>) = diagnostics.iter().partition(|one| one.is_error());
    let mut titles: Vec<(&str, Vec<&DiagnosticDoc>)> = Vec::new();
    for warning in warnings {
        match titles.iter_mut().find(|(title, _)| *title == warning.summary) {
            Some((_, alike)) => alike.push(warning),
            None => titles.push((&warning.summary, vec![warning])),
        }
    }
    let title = |(title, alike): &(&str, Vec<&DiagnosticDoc>)| {
        let place = alike.iter().find_map(|warning| warning.range.as_ref());
        let place = place.map(|range| format!("on {} line {}", range.filename, range.start.line));
        let more = (alike.len() > 1).then(|| format!("and {} more", alike.len() - 1));
        let about: Vec<String> = place.into_iter().chain(more).collect();
        let about = if about.is_empty() {
            String::new()
        } else {
            format!(" ({})", about.join(" "))
        };
        let lines = wrap(&format!("{title}{about}"), width.saturating_sub(2));
        format!("- {}\n", lines.join("\n  "))
    };
    let mut text = String::new();
    if !titles.is_empty() {
        text += &format!("{}\n\n", paint(CHANGED.bold(), "Warnings:"));
        text.extend(titles.iter().map(title));
        text += "\nTo see all that they say, leave -compact-warnings out.\n\n";
    }
    text.extend(errors.into_iter().map(|error| render(error, width)));
    text
}

/// Renders one diagnostic.
pub fn render(diagnostic: &DiagnosticDoc, width: usize) -> String {
    let (style, title) = match diagnostic.severity {
        Severity::Error => (BAD, "Error: "),
        Severity::Warning => (CHANGED, "Warning: "),
    };
    let mut lines = vec![paint(style.bold(), title) + &paint(BOLD, &diagnostic.summary)];
    if let Some(range) = &diagnostic.range {
        lines.push(String::new());
        lines.extend(place(range, diagnostic.snippet.as_ref()));
    }
    if !diagnostic.detail.is_empty() {
        lines.push(String::new());
        lines.extend(wrap(&diagnostic.detail, width.saturating_sub(2)));
    }
    boxed(style, &lines)
}

fn boxed(style: Style, lines: &[String]) -> String {
    let bar = paint(style, "│");
    let lines = lines
        .iter()
        .map(|line| format!("{bar} {line}").trim_end().to_owned() + "\n");
    format!(
        "{}\n{}{}\n",
        paint(style, "╷"),
        lines.collect::<String>(),
        paint(style, "╵")
    )
}

fn place(range: &RangeDoc, snippet: Option<&SnippetDoc>) -> Vec<String> {
    let context = snippet.and_then(|snippet| snippet.context.as_ref());
    let within = context.map(|context| format!(", in {context}")).unwrap_or_default();
    let mut lines = vec![format!("  on {} line {}{within}:", range.filename, range.start.line)];
    lines.extend(snippet.map(source_line).unwrap_or_default());
    lines
}

/// Writes the source line, the place underlined: by the terminal where it can, and with carets.
fn source_line(snippet: &SnippetDoc) -> Vec<String> {
    let SnippetDoc {
        code,
        start_line,
        highlight_start_offset: start,
        highlight_end_offset: end,
        values,
        function_call,
        context: _,
    } = snippet;
    let part = |range: std::ops::Range<usize>| code.get(range).unwrap_or_default();
    let (before, marked, after) = (part(0..*start), part(*start..*end), part(*end..code.len()));
    let number = format!("{start_line:4}: ");
    let blank: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let carets = "^".repeat(marked.chars().count().max(1));
    let mut lines = vec![
        format!("{number}{before}{}{after}", paint(BOLD.underline(), marked)),
        format!("{:width$}{blank}{}", "", paint(DIM, carets), width = number.len()),
    ];
    if !values.is_empty() || function_call.is_some() {
        lines.push(paint(DIM, "    ├────────────────"));
        let bar = paint(DIM, "    │");
        let calling = |call: &FunctionCallDoc| format!("{bar} while calling {}", paint(BOLD, &call.text));
        lines.extend(function_call.as_ref().map(calling));
        lines.extend(
            values
                .iter()
                .map(|value| format!("{bar} {} {}", paint(BOLD, &value.traversal), value.statement)),
        );
    }
    lines
}

#[cfg(test)]
mod tests;
