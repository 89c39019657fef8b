//! Drift for people: what was found of each object, and the values that differ.

use simdb_state::journal::RunSummary;

use super::plan::change;
use super::style::{BOLD, CHANGED, DIM, GOOD, paint};
use super::text::{count, wrap};
use crate::views::doc::{DriftDoc, DriftedDoc, NotComparedDoc};

/// Renders what differs from the record.
pub fn render(drift: &DriftDoc, width: usize) -> String {
    let mut text = objects(drift, width);
    for NotComparedDoc { address, reason } in &drift.not_compared {
        text += &paragraph("Not compared: ", &format!("{address}: {reason}."), width);
    }
    for note in &drift.notes {
        text += &paragraph("Note: ", note, width);
    }
    if !drift.errored {
        text += &verdict(drift, width);
    }
    text
}

/// Writes the objects that differ, attribute by attribute.
pub(crate) fn objects(drift: &DriftDoc, width: usize) -> String {
    let blocks = drift.resource_drift.iter();
    blocks.map(|object| block(object, width) + "\n").collect()
}

fn block(object: &DriftedDoc, width: usize) -> String {
    let mut text = format!("  {}\n", paint(BOLD, format!("# {} has drifted", object.address)));
    for cause in &object.causes {
        let lines = wrap(cause, width.saturating_sub(4));
        text.extend(lines.iter().map(|line| format!("  # {line}\n")));
    }
    text + &change::sides(object.kind, &object.name, &object.change, width)
}

fn verdict(drift: &DriftDoc, width: usize) -> String {
    let since = drift.last_run.as_ref().map(last).unwrap_or_default();
    let line = match (drift.resource_drift.len(), drift.complete) {
        (0, true) => format!(
            "{} Everything is as it is recorded{since}.",
            paint(GOOD.bold(), "No drift.")
        ),
        (0, false) => format!(
            "{} What could be compared is as it is recorded{since}.",
            paint(CHANGED.bold(), "Incomplete.")
        ),
        (number, _) => format!(
            "{} {} from what is recorded{since}. To mend it: simdb apply",
            paint(CHANGED.bold(), "Drift:"),
            match number {
                1 => "one object differs".to_owned(),
                _ => format!("{} differ", count(number, "object")),
            }
        ),
    };
    wrap(&line, width).iter().map(|line| format!("{line}\n")).collect()
}

fn last(run: &RunSummary) -> String {
    let who = run.who.as_ref().map(|who| format!(" by {who}")).unwrap_or_default();
    format!(
        " (last run: {}{who}, {})",
        run.operation,
        run.ended.as_ref().unwrap_or(&run.began)
    )
}

fn paragraph(title: &str, text: &str, width: usize) -> String {
    let lines = wrap(&format!("{title}{text}"), width);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    text.replacen(title, &paint(DIM, title), 1) + "\n"
}
