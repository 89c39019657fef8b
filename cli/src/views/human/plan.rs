//! A plan for people: the changes as Terraform lays them out, then the steps, what they cost and why they are there.

pub(crate) mod change;

use std::fmt::Write;

use simdb_planner::plan::{ChangeAction, Impact};

use super::style::{BOLD, CHANGED, DIM, GOOD, of_impact, paint, symbol};
use super::table::{Cell, Table};
use super::text::{count, wrap};
use crate::views::doc::{ComparedDoc, InterruptedDoc, NotComparedDoc, Operation, PlanDoc, StepDoc};

/// Renders a plan.
pub fn render(plan: &PlanDoc, width: usize) -> String {
    let mut text = String::new();
    if let Some(interrupted) = &plan.interrupted {
        text += &paragraph("Interrupted: ", &sentence(interrupted), width);
        text.push('\n');
    }
    if !plan.is_empty() {
        text += &legend(plan);
        text += &changes_text(plan, width);
        text += &steps_text(plan, width);
        text += &summary(plan);
    } else if !plan.is_broken() {
        // A plan that could not be made says nothing about what runs.
        text += &if plan.complete {
            nothing(plan.operation)
        } else {
            format!("{} {OPEN}\n", paint(CHANGED.bold(), "Incomplete."))
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
    format!(
        "Plan: {} to add, {} to change, {} to destroy. Worst impact: {}.",
        summary.add, summary.change, summary.remove, plan.impact
    )
}

fn summary(plan: &PlanDoc) -> String {
    let line = summary_line(plan).replacen("Plan:", &paint(BOLD, "Plan:"), 1);
    let (rest, impact) = line.rsplit_once(": ").expect("the line ends with the impact");
    let style = if plan.impact == Impact::None {
        BOLD
    } else {
        of_impact(plan.impact)
    };
    format!("{rest}: {}.\n", paint(style, impact.trim_end_matches('.')))
}

fn nothing(operation: Operation) -> String {
    let rest = match operation {
        Operation::Apply => "Your clusters match the configuration.",
        Operation::Stop => "The servers are stopped already.",
        Operation::Start => "The servers run already.",
        Operation::Switchover | Operation::Failover => "That node leads already.",
        Operation::Resync => "The node's data is in line already.",
        Operation::Destroy => "Nothing is recorded, so nothing needs to be destroyed.",
    };
    format!("{} {rest}\n", paint(GOOD.bold(), "No changes."))
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
    wrap(&text, width).iter().map(|line| format!("{line}\n")).collect()
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
    let lines = wrap(&format!("{title}{text}"), width);
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    text.replacen(title, &paint(CHANGED.bold(), title), 1)
}

/// Explains the symbols that occur.
fn legend(plan: &PlanDoc) -> String {
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
    let mut text = "Changes are indicated with the following symbols:\n".to_owned();
    for action in actions {
        let meaning = match action {
            ChangeAction::Create => "create",
            ChangeAction::Update => "update in-place",
            ChangeAction::Delete => "destroy",
        };
        writeln!(text, "  {} {meaning}", symbol(action)).expect("a string takes everything");
    }
    text + "\n"
}

/// Writes what happens to objects and outputs, attribute by attribute.
pub(crate) fn changes_text(plan: &PlanDoc, width: usize) -> String {
    let mut text = String::new();
    if !plan.resource_changes.is_empty() {
        text += "simdb will make the following changes:\n\n";
        let blocks = plan.resource_changes.iter().map(|one| change::block(one, width));
        text += &blocks.collect::<Vec<_>>().join("\n");
        text.push('\n');
    }
    if !plan.output_changes.is_empty() {
        text += "Changes to Outputs:\n";
        text += &change::outputs(&plan.output_changes, width);
        text.push('\n');
    }
    text
}

/// Writes the steps as a table.
pub(crate) fn steps_text(plan: &PlanDoc, width: usize) -> String {
    let steps = &plan.steps;
    if steps.is_empty() {
        return String::new();
    }
    let digits = steps.len().to_string().len().max(2);
    let row = |step: &StepDoc| {
        [
            Cell::styled(format!("{:>digits$}", step.id), DIM),
            Cell::styled(step.name, BOLD),
            Cell::plain(&step.address),
            Cell::plain(ranges(&step.after)),
            Cell::styled(step.impact, of_impact(step.impact)),
            Cell::styled(&step.reason, DIM),
        ]
    };
    let header = [" #", "Step", "Address", "After", "Impact", "Because"];
    let table = Table::new(header, steps.iter().map(row).collect());
    format!("Steps:\n\n{}\n", table.render("  ", width))
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
