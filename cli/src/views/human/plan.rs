//! A plan for people: the changes as Terraform lays them out, then the steps, what they cost and why they are there.

pub(crate) mod change;
pub(crate) mod summary;

use std::collections::BTreeSet;

use simdb_planner::plan::{ChangeAction, Impact};

use super::layout::Layout;
use super::style::{BAD, BOLD, CHANGED, DIM, GOOD, of_impact, paint, symbol};
use super::table::{Cell, Table};
use super::text::{count, wrap};
use crate::views::doc::{ComparedDoc, InterruptedDoc, NotComparedDoc, Operation, PlanDoc, StepDoc};
use crate::views::fold::{Group, groups};
use crate::views::overview;

/// Renders a plan.
pub fn render(plan: &PlanDoc, layout: Layout) -> String {
    let width = layout.width;
    let mut text = String::new();
    if let Some(interrupted) = &plan.interrupted {
        text += &paragraph("Interrupted: ", &sentence(interrupted), width);
        text.push('\n');
    }
    if !plan.is_empty() {
        text += &legend(plan, width);
        text += &changes_text(plan, layout);
        text += &steps_text(plan, layout);
        text += &losses_text(plan, width, usize::MAX);
        text += &summary(plan, width);
    } else if !plan.is_broken() {
        // A plan that could not be made says nothing about what runs.
        text += &if plan.complete {
            nothing(plan.operation, width)
        } else {
            paragraph("Incomplete. ", OPEN, width)
        };
        if plan.operation == Operation::Apply {
            text += &compared(&plan.compared, width);
        }
    }
    // Where a plan is refused, what is wrong says why.
    let unknown = plan.not_compared.iter().filter(|_| !plan.is_broken());
    for NotComparedDoc { address, reason } in unknown {
        text.push('\n');
        text += &paragraph("Not compared: ", &format!("{address}: {reason}."), width);
    }
    for line in plan.by_hand_lines() {
        text.push('\n');
        text += &paragraph("Drift: ", &line, width);
    }
    for note in &plan.notes {
        text.push('\n');
        text += &paragraph("Note: ", note, width);
    }
    text
}

/// What is said where no difference was found, and not everything was compared.
const OPEN: &str = "What could be compared needs no changes.";

/// Writes the line that sums a plan up.
pub fn summary_line(plan: &PlanDoc) -> String {
    let summary = plan.summary;
    let imported = if summary.import == 0 {
        String::new()
    } else {
        format!("{} to import, ", summary.import)
    };
    let moved = if summary.moved == 0 {
        String::new()
    } else {
        format!("{} to move, ", summary.moved)
    };
    let forgotten = if summary.forget == 0 {
        String::new()
    } else {
        format!(", {} to forget", summary.forget)
    };
    match plan.operation {
        Operation::Refresh => format!(
            "Plan: record only, {moved}{} to change, {} to forget; nothing changes on servers. Worst impact: {}.",
            summary.change, summary.remove, plan.impact
        ),
        _ => format!(
            "Plan: {moved}{imported}{} to add, {} to change, {} to destroy{forgotten}. Worst impact: {}.",
            summary.add, summary.change, summary.remove, plan.impact
        ),
    }
}

fn summary(plan: &PlanDoc, width: usize) -> String {
    let text = lines(&summary_line(plan), width);
    let impact = plan.impact.to_string();
    let style = if plan.impact == Impact::None {
        BOLD
    } else {
        of_impact(plan.impact)
    };
    // The impact is the last word.
    let (rest, end) = text.rsplit_once(&impact).expect("the line ends with the impact");
    let text = format!("{rest}{}{end}", paint(style, impact));
    text.replacen("Plan:", &paint(BOLD, "Plan:"), 1)
}

fn nothing(operation: Operation, width: usize) -> String {
    let rest = match operation {
        Operation::Apply => "Your clusters match the configuration.",
        Operation::Stop => "The servers are stopped already.",
        Operation::Start => "The servers run already.",
        Operation::Switchover | Operation::Failover => "That node leads already.",
        Operation::Resync => "The node's data is in line already.",
        Operation::Refresh => "There is nothing that the record could take over.",
        Operation::Destroy => "Nothing is recorded, so nothing needs to be destroyed.",
    };
    let lines = lines(&format!("No changes. {rest}"), width);
    lines.replacen("No changes.", &paint(GOOD.bold(), "No changes."), 1)
}

/// How many proofs are told one by one.
const PROOFS: usize = 5;

/// Says what was compared, so that "no changes" can be believed.
fn compared(compared: &ComparedDoc, width: usize) -> String {
    let ComparedDoc {
        recorded,
        nodes_looked_at: seen,
        proofs,
    } = compared;
    let objects: Vec<String> = recorded.iter().map(|(kind, number)| count(*number, kind)).collect();
    let Some(nodes) = recorded.get("node") else {
        return String::new();
    };
    let runs = match seen {
        None => "; what runs was not looked at (-refresh=false)".to_owned(),
        Some(seen) => format!(", and with what runs ({seen} of {} looked at)", count(*nodes, "node")),
    };
    let mut text = format!(
        "\nThe configuration was compared with the record ({}){runs}.\n",
        objects.join(", ")
    );
    for proof in proofs.iter().take(PROOFS) {
        text += &format!(
            "Replication of cluster {} was last proven at {} (term {}, {}).\n",
            proof.cluster,
            proof.marker,
            proof.term,
            count(proof.standbys, "standby")
        );
    }
    if let Some(more) = proofs.len().checked_sub(PROOFS + 1) {
        text += &format!("So was that of {}.\n", count(more + 1, "other cluster"));
    }
    lines(&text, width)
}

fn sentence(interrupted: &InterruptedDoc) -> String {
    let during = match &interrupted.during[..] {
        [] => "between two steps".to_owned(),
        steps => format!("during {}", steps.join(", ")),
    };
    format!(
        "the last {} was cut off {during}. This plan looked at its leftovers and goes on from there.",
        interrupted.operation
    )
}

fn paragraph(title: &str, text: &str, width: usize) -> String {
    let text = lines(&format!("{title}{text}"), width);
    text.replacen(title.trim_end(), &paint(CHANGED.bold(), title.trim_end()), 1)
}

fn lines(text: &str, width: usize) -> String {
    wrap(text, width).iter().map(|line| format!("{line}\n")).collect()
}

/// Explains the symbols that occur.
fn legend(plan: &PlanDoc, width: usize) -> String {
    let mut actions: Vec<ChangeAction> = plan
        .resource_changes
        .iter()
        .map(|change| change.change.action)
        .collect();
    actions.extend(plan.output_changes.iter().map(|output| output.action));
    actions.sort();
    actions.dedup();
    if actions.is_empty() {
        return String::new();
    }
    let mut text = lines("Changes are indicated with the following symbols:", width);
    for action in actions {
        let meaning = match action {
            ChangeAction::Create => "create",
            ChangeAction::Update => "update in-place",
            ChangeAction::Delete => "destroy",
            ChangeAction::Forget => "forget",
        };
        text += &format!("  {} {meaning}\n", symbol(action));
    }
    text + "\n"
}

/// Writes what happens to objects and outputs, attribute by attribute; alike changes once.
pub(crate) fn changes_text(plan: &PlanDoc, layout: Layout) -> String {
    let width = layout.width;
    let mut text = String::new();
    for moved in &plan.resource_moves {
        text += &lines(&format!("  # {}", moved.sentence()), width);
    }
    if !text.is_empty() {
        text.push('\n');
    }
    if !plan.resource_changes.is_empty() {
        let title = match plan.operation {
            Operation::Refresh => {
                "simdb will take over what was seen into the record, and change nothing else (record only):"
            }
            _ => "simdb will make the following changes:",
        };
        text += &lines(title, width);
        text.push('\n');
        let mut gone = false;
        for group in groups(&plan.resource_changes, layout.expand) {
            let goes = matches!(group.first().change.action, ChangeAction::Delete | ChangeAction::Forget);
            // What goes is one line each, and needs no room between.
            if gone && !goes {
                text.push('\n');
            }
            text += &change::block(&group, width);
            text += if goes { "" } else { "\n" };
            gone = goes;
        }
        text += if gone { "\n" } else { "" };
    }
    if !plan.output_changes.is_empty() {
        text += "Changes to Outputs:\n";
        text += &change::outputs(&plan.output_changes, width);
        text.push('\n');
    }
    text
}

/// Writes the steps as a table, those that are alike in one row.
pub(crate) fn steps_text(plan: &PlanDoc, layout: Layout) -> String {
    let steps = &plan.steps;
    if steps.is_empty() {
        return String::new();
    }
    let digits = steps.len().to_string().len().max(2);
    let row = |group: Group<'_, StepDoc>| {
        let step = group.first();
        let ids: Vec<u32> = group.all.iter().map(|step| step.id).collect();
        [
            Cell::styled(format!("{:>digits$}", ranges(&ids)), DIM),
            Cell::styled(step.name, BOLD),
            Cell::plain(group.subjects().text()),
            Cell::plain(waits(&group, &ids)),
            Cell::styled(step.impact, of_impact(step.impact)),
            Cell::styled(group.of_all(&step.reason), DIM),
        ]
    };
    let header = [" #", "Step", "Address", "After", "Impact", "Because"];
    let rows = groups(steps, layout.expand).into_iter().map(row).collect();
    format!("Steps:\n\n{}\n", Table::new(header, rows).render("  ", layout.width))
}

/// Names the steps that alike ones wait for, and says where they wait for each other.
fn waits(group: &Group<'_, StepDoc>, ids: &[u32]) -> String {
    let all: BTreeSet<u32> = group.all.iter().flat_map(|step| step.after.iter().copied()).collect();
    let (own, others): (Vec<u32>, Vec<u32>) = all.into_iter().partition(|id| ids.binary_search(id).is_ok());
    match (ranges(&others), own.is_empty()) {
        (others, true) => others,
        (others, false) if others.is_empty() => "in turn".to_owned(),
        (others, false) => format!("{others} in turn"),
    }
}

/// Lists the data that goes for good, up to a number of losses.
pub(crate) fn losses_text(plan: &PlanDoc, width: usize, limit: usize) -> String {
    let losses = overview::losses(plan);
    if losses.is_empty() {
        return String::new();
    }
    let title = "Data that is lost for good:";
    let mut text = lines(title, width).replacen(title, &paint(BAD.bold(), title), 1);
    for loss in losses.iter().take(limit) {
        let pieces = wrap(loss, width.saturating_sub(4));
        let bullets = std::iter::once("-").chain(std::iter::repeat(" "));
        text.extend(
            pieces
                .iter()
                .zip(bullets)
                .map(|(piece, bullet)| format!("  {bullet} {piece}\n")),
        );
    }
    if losses.len() > limit {
        text += &lines(&format!("  … and {} more", losses.len() - limit), width);
    }
    text + "\n"
}

/// How many ranges of steps are told; a proof waits for every standby, however many there are.
const RANGES: usize = 3;

/// Writes numbers in order, those in a row as a range: `1-3,5`; what is too much to read is counted: `1,3,5 +2`.
fn ranges(numbers: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let (told, more) = ranges.split_at(ranges.len().min(RANGES));
    let told = told.iter().map(|&(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    let told = told.collect::<Vec<_>>().join(",");
    match more.iter().map(|(first, last)| last - first + 1).sum::<u32>() {
        0 => told,
        more => format!("{told} +{more}"),
    }
}

#[cfg(test)]
mod tests;
