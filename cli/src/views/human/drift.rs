//! Drift for people: what was found of each object, and the values that differ.

use simdb_state::journal::RunSummary;

use super::layout::Layout;
use super::plan::change;
use super::style::{CHANGED, DIM, GOOD, paint};
use super::text::{count, wrap};
use crate::views::doc::{DriftDoc, DriftedDoc, NotComparedDoc};
use crate::views::fold::{Group, groups};

/// Renders what differs from the record.
pub fn render(drift: &DriftDoc, layout: Layout) -> String {
    let width = layout.width;
    let mut text = objects(drift, layout);
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

/// Writes the objects that differ, attribute by attribute; those that differ alike once.
pub(crate) fn objects(drift: &DriftDoc, layout: Layout) -> String {
    let blocks = groups(&drift.resource_drift, layout.expand).into_iter();
    blocks.map(|group| block(&group, layout.width) + "\n").collect()
}

fn block(group: &Group<'_, DriftedDoc>, width: usize) -> String {
    let object = group.first();
    let subjects = group.subjects();
    let outcome = match group.all.len() {
        1 => "has drifted".to_owned(),
        number => format!("have drifted ({number} alike)"),
    };
    let mut text = change::title(&subjects.text(), &outcome, width);
    for cause in &object.causes {
        text += &change::remark(&group.of_all(cause), width);
    }
    for one in &object.by_hand {
        text += &change::remark(&group.of_all(&one.remedy), width);
    }
    let all = group.all.iter().map(|object| &object.change);
    text + &change::sides(all, object.kind, &subjects.names(), width)
}

fn verdict(drift: &DriftDoc, width: usize) -> String {
    let since = drift.last_run.as_ref().map(last).unwrap_or_default();
    let (ignored, but) = match drift.ignored {
        0 => (String::new(), ""),
        number => (format!(" {number} ignored."), " that counts"),
    };
    let (style, title, rest) = match (drift.resource_drift.len(), drift.complete) {
        (0, true) => (
            GOOD,
            "No drift.",
            format!("Everything{but} is as it is recorded{since}."),
        ),
        (0, false) => {
            let rest = format!("What could be compared is as it is recorded{since}.");
            (CHANGED, "Incomplete.", rest)
        }
        (number, _) => {
            let differ = match number {
                1 => "one object differs".to_owned(),
                _ => format!("{} differ", count(number, "object")),
            };
            let mended = drift.resource_drift.iter().any(|object| !object.mended_by.is_empty());
            let mend = if mended {
                "To mend it: simdb apply"
            } else {
                "An apply mends nothing of it."
            };
            let rest = format!("{differ} from what is recorded{since}. {mend}");
            (CHANGED, "Drift:", rest)
        }
    };
    let lines = wrap(&format!("{title} {rest}{ignored}"), width);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    text.replacen(title, &paint(style.bold(), title), 1)
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
