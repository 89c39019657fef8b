//! Plans and drift as a comment of a pull request: the summary first and whole, the details folded and cut where they are
//! too long for a comment.

use anstream::adapter::strip_str;
use simdb_planner::plan::Impact;

use super::doc::{DiagnosticDoc, DriftDoc, DriftedDoc, GraphDoc, MoveDoc, PlanDoc, Summary};
use super::human::layout::Layout;
use super::human::text::count;
use super::human::{drift as human_drift, plan as human_plan};
use super::{graph, overview};

/// By what a workflow finds its comment again, to edit it in place.
const PLAN_MARKER: &str = "<!-- simdb plan -->";
const DRIFT_MARKER: &str = "<!-- simdb drift -->";

/// How many bytes a comment has at most: GitHub takes 65 536 characters, and a workflow adds some.
const LIMIT: usize = 60_000;

/// How wide the text of details is.
const LAYOUT: Layout = Layout {
    width: 120,
    expand: false,
};

/// How many clusters, and how many findings of each kind, the summary tells one by one.
const ROWS: usize = 50;

/// Up to how many steps a graph is of use.
const GRAPH: usize = 60;

/// Writes a plan.
pub fn plan(plan: &PlanDoc) -> String {
    let title = match () {
        () if plan.is_broken() && plan.is_empty() => "the plan cannot be made".to_owned(),
        () if plan.is_broken() => "the plan must not run".to_owned(),
        () if !plan.is_empty() => human_plan::summary_line(plan).trim_start_matches("Plan: ").to_owned(),
        () if plan.complete => "no changes".to_owned(),
        () => "no changes in what could be compared".to_owned(),
    };
    let mut text = format!("{PLAN_MARKER}\n### simdb {}: {title}\n\n", plan.operation.name());
    text += &clusters(plan);
    let moved: Vec<String> = plan.resource_moves.iter().map(MoveDoc::sentence).collect();
    text += &list("Moved", &moved);
    text += &list("Drift", &plan.by_hand_lines());
    text += &findings(&plan.diagnostics, &plan.not_compared_lines(), &plan.notes);
    if plan.is_empty() {
        return text;
    }
    let mut sections = vec![
        Section::new("Changes", "diff", diff(&human_plan::changes_text(plan, LAYOUT))),
        Section::new("Steps", "text", plain(&human_plan::steps_text(plan, LAYOUT))),
    ];
    if plan.steps.len() <= GRAPH {
        let drawn = graph::mermaid(&GraphDoc::of_steps(plan));
        sections.push(Section::new("Order of the steps", "mermaid", drawn));
    }
    fold(text, &sections, "simdb plan")
}

/// Writes drift.
pub fn drift(drift: &DriftDoc) -> String {
    let title = match (drift.errored, drift.resource_drift.len(), drift.complete) {
        (true, ..) => "it cannot be told what differs".to_owned(),
        (_, 0, true) => "none".to_owned(),
        (_, 0, false) => "not everything could be compared".to_owned(),
        (_, 1, _) => "one object differs from what is recorded".to_owned(),
        (_, number, _) => format!("{} differ from what is recorded", count(number, "object")),
    };
    let ignored = match drift.ignored {
        0 => String::new(),
        number => format!(" ({number} ignored)"),
    };
    let mut text = format!("{DRIFT_MARKER}\n### simdb drift: {title}{ignored}\n\n");
    if let Some(run) = &drift.last_run {
        let who = run.who.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
        let at = run.ended.as_ref().unwrap_or(&run.began);
        text += &format!("Last run: {}{}, {at}\n\n", run.operation, escaped(&who));
    }
    if !drift.resource_drift.is_empty() {
        text += "| Object | What was found | Mending costs |\n|---|---|---|\n";
        for object in drift.resource_drift.iter().take(ROWS) {
            text += &format!(
                "| `{}` | {} | {} |\n",
                object.address,
                escaped(&object.causes.join("; ")),
                mending(object)
            );
        }
        text += &more(drift.resource_drift.len(), "object");
        text.push('\n');
    }
    let unknown: Vec<String> = drift
        .not_compared
        .iter()
        .map(|one| format!("{}: {}", one.address, one.reason))
        .collect();
    text += &findings(&drift.diagnostics, &unknown, &drift.notes);
    if drift.resource_drift.is_empty() {
        return text;
    }
    let details = diff(&human_drift::objects(drift, LAYOUT));
    fold(
        text,
        &[Section::new("Recorded and seen", "diff", details)],
        "simdb drift",
    )
}

/// Says what mending an object costs, where a step does, and what is left to a person.
fn mending(object: &DriftedDoc) -> String {
    let cost = (!object.mended_by.is_empty()).then(|| object.impact.to_string());
    let remedies = object.by_hand.iter().map(|one| escaped(&one.remedy));
    cost.into_iter().chain(remedies).collect::<Vec<_>>().join("; ")
}

/// One row a cluster, the worst impact first.
fn clusters(plan: &PlanDoc) -> String {
    let rows = overview::clusters(plan);
    if rows.is_empty() {
        return String::new();
    }
    let mut text = "| Cluster | Worst impact | Add | Change | Destroy | Steps | Worst steps |\n\
                    |---|---|---|---|---|---|---|\n"
        .to_owned();
    for one in rows.iter().take(ROWS) {
        let name = one.cluster.map_or("–".to_owned(), |name| format!("`{name}`"));
        let impact = if one.impact() >= Impact::WritePause {
            format!("**{}**", one.impact())
        } else {
            one.impact().to_string()
        };
        let Summary {
            add, change, remove, ..
        } = one.summary;
        text += &format!(
            "| {name} | {impact} | {add} | {change} | {remove} | {} | {} |\n",
            one.steps,
            escaped(&one.worst_steps())
        );
    }
    text + &more(rows.len(), "cluster") + "\n" + &lost(plan)
}

/// Lists the data that goes for good.
fn lost(plan: &PlanDoc) -> String {
    let losses = overview::losses(plan);
    if losses.is_empty() {
        return String::new();
    }
    let told = losses.iter().take(ROWS).map(|loss| format!("- {}\n", escaped(loss)));
    let told: String = told.collect();
    format!("**Data is lost for good:**\n\n{told}{}\n", more(losses.len(), "loss"))
}

fn findings(diagnostics: &[DiagnosticDoc], unknown: &[String], notes: &[String]) -> String {
    let mut text = String::new();
    for diagnostic in diagnostics.iter().take(ROWS) {
        let kind = if diagnostic.is_error() { "Error" } else { "Warning" };
        let place = diagnostic.range.as_ref().map_or_else(String::new, |range| {
            format!(" (`{}` line {})", range.filename, range.start.line)
        });
        let (summary, detail) = (escaped(&diagnostic.summary), escaped(&diagnostic.detail));
        text += &format!("- **{kind}: {summary}**{place}: {detail}\n");
    }
    text += &list("Not compared", unknown);
    text += &list("Note", notes);
    if text.is_empty() { text } else { text + "\n" }
}

fn list(title: &str, lines: &[String]) -> String {
    let told = lines
        .iter()
        .take(ROWS)
        .map(|line| format!("- **{title}:** {}\n", escaped(line)));
    told.collect::<String>() + &more(lines.len(), "line")
}

/// Says how many rows a table leaves out.
fn more(number: usize, what: &str) -> String {
    match number.checked_sub(ROWS) {
        None | Some(0) => String::new(),
        Some(left) => format!("\n… and {left} more ({} in all)\n", count(number, what)),
    }
}

/// A part that is folded.
struct Section {
    title: &'static str,
    language: &'static str,
    text: String,
}

impl Section {
    fn new(title: &'static str, language: &'static str, text: String) -> Self {
        Self { title, language, text }
    }

    fn write(&self, text: &str) -> String {
        let Self { title, language, .. } = self;
        // What is fenced may have fences in it.
        let fence = "`".repeat(longest_fence(text).max(2) + 1);
        format!("<details><summary>{title}</summary>\n\n{fence}{language}\n{text}{fence}\n\n</details>\n")
    }
}

fn longest_fence(text: &str) -> usize {
    let runs = text.split(|c| c != '`').map(str::len);
    runs.max().unwrap_or_default()
}

/// Adds the sections as far as there is room; a drawing that does not fit is left out.
fn fold(mut text: String, sections: &[Section], command: &str) -> String {
    for section in sections {
        let room = LIMIT.saturating_sub(text.len());
        let whole = section.write(&section.text);
        if whole.len() <= room {
            text += &whole;
            continue;
        }
        if section.language == "mermaid" {
            continue;
        }
        let note = |left: usize| format!("… {left} more lines: {command} -expand\n");
        let frame = section.write(&note(usize::MAX)).len();
        let mut kept = 0;
        let lines: Vec<&str> = section.text.split_inclusive('\n').collect();
        let fits = lines.iter().take_while(|line| {
            kept += line.len();
            kept + frame <= room
        });
        let fits = fits.count();
        if fits > 0 {
            text += &section.write(&(lines[..fits].concat() + &note(lines.len() - fits)));
        }
    }
    text
}

/// Moves the symbols of changes to the first column, where a diff has them.
fn diff(text: &str) -> String {
    let line = |line: &str| {
        let inner = line.trim_start();
        let indent = &line[..line.len() - inner.len()];
        let moved = [("+ ", '+'), ("- ", '-'), ("~ ", '!')];
        match moved.iter().find(|(symbol, _)| inner.starts_with(symbol)) {
            Some((symbol, column)) if !indent.is_empty() => {
                format!("{column}{}  {}\n", &indent[1..], &inner[symbol.len()..])
            }
            _ => format!("{line}\n"),
        }
    };
    plain(text).lines().map(line).collect()
}

fn plain(text: &str) -> String {
    strip_str(text).to_string()
}

/// Writes a text so that Markdown takes it as it is, on one line.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("<br>"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '@' | '#' => {
                escaped.push('\\');
                escaped.push(c);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
