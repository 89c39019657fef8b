//! What came of a run, for people: one line after success, and after a failure all that is needed to go on.

use simdb_state::object::Witness;

use super::style::{BAD, BOLD, CHANGED, GOOD, PLAIN, paint};
use super::text::{count, wrap};
use super::value::inline;
use crate::views::doc::{Operation, OutcomeDoc, OutputDoc, ProofDoc, StepEnd, Summary, SwitchDoc, Unproven};

/// Renders what came of a run, outputs excluded.
pub fn render(outcome: &OutcomeDoc, width: usize) -> String {
    let mut text = String::from("\n");
    for switch in &outcome.switches {
        text.extend(
            wrap(&switched(switch), width)
                .iter()
                .map(|line| paint(BOLD, line) + "\n"),
        );
    }
    for proof in &outcome.proofs {
        text.extend(wrap(&proven(proof), width).iter().map(|line| paint(GOOD, line) + "\n"));
    }
    if !outcome.proofs.is_empty() || !outcome.switches.is_empty() {
        text.push('\n');
    }
    text += &match outcome.changes {
        Some(changes) => paint(GOOD.bold(), complete(outcome.operation, changes)) + "\n",
        None => incomplete(outcome, width),
    };
    text
}

/// Says who leads since, and what became of the writes acknowledged before.
pub fn switched(switch: &SwitchDoc) -> String {
    let SwitchDoc {
        cluster,
        primary,
        term,
        timeline,
        point,
        verdict,
        unproven,
    } = switch;
    let timeline = timeline.map_or_else(String::new, |timeline| format!(", timeline {timeline}"));
    let former = unproven.as_ref().map(answered_for).unwrap_or_default();
    format!(
        "{primary} leads cluster {cluster} since {point} (term {term}{timeline}). Acknowledged writes: {verdict}.{former}"
    )
}

/// Says what a person answers for where no platform proved that the former primary is down.
fn answered_for(Unproven { node, witness }: &Unproven) -> String {
    match witness {
        Witness::Waived => {
            format!(" Whether {node} is down is not known: it may still take writes, and they are lost.")
        }
        _ => format!(
            " That {node} takes no writes is no proof but an attestation: an operator said that its machine is off."
        ),
    }
}

/// Says what was proven.
pub fn proven(proof: &ProofDoc) -> String {
    let ProofDoc {
        cluster,
        standbys,
        term,
        marker,
    } = proof;
    let standbys = match standbys {
        1 => "its standby".to_owned(),
        standbys => format!("all {standbys} standbys"),
    };
    format!("Proven: {standbys} of cluster {cluster} received and replayed the marker at {marker} (term {term}).")
}

/// Says that everything is done.
pub fn complete(operation: Operation, changes: Summary) -> String {
    let Summary {
        add,
        change,
        remove,
        forget,
        moved,
        import,
    } = changes;
    let imported = if import == 0 {
        String::new()
    } else {
        format!("{import} imported, ")
    };
    let imported = if moved == 0 {
        imported
    } else {
        format!("{moved} moved, {imported}")
    };
    let forgotten = if forget == 0 {
        String::new()
    } else {
        format!(", {forget} forgotten")
    };
    let title = operation.title();
    match operation {
        Operation::Destroy => format!("{title} complete! {remove} destroyed."),
        _ => format!("{title} complete! {imported}{add} added, {change} changed, {remove} destroyed{forgotten}."),
    }
}

/// Says in one line that not everything is done.
pub fn incomplete_line(outcome: &OutcomeDoc) -> String {
    let operation = outcome.operation.title();
    let end = match (outcome.failed.is_empty(), outcome.cancelled) {
        (true, true) => "stopped",
        _ => "failed",
    };
    let total = outcome.done.len() + outcome.failed.len() + outcome.not_attempted.len();
    format!(
        "{operation} {end}: {} of {} done, {} failed, {} not attempted.",
        outcome.done.len(),
        count(total, "step"),
        outcome.failed.len(),
        outcome.not_attempted.len()
    )
}

fn incomplete(outcome: &OutcomeDoc, width: usize) -> String {
    let line = incomplete_line(outcome);
    let style = if outcome.failed.is_empty() { CHANGED } else { BAD };
    let mut text = paint(style.bold(), line) + "\n";
    text += &list("Done", PLAIN, &outcome.done, width);
    text += &list("Failed", BAD, &outcome.failed, width);
    text += &list("Not attempted", PLAIN, &outcome.not_attempted, width);
    let condition = if outcome.failed.is_empty() {
        ""
    } else {
        " once the cause is gone"
    };
    let again = match outcome.operation {
        Operation::Apply | Operation::Destroy => format!(":\n    simdb {}", outcome.operation.name()),
        Operation::Refresh => ":\n    simdb apply -refresh-only".to_owned(),
        // Theirs has an argument that is not known here.
        Operation::Stop | Operation::Start | Operation::Switchover | Operation::Failover | Operation::Resync => {
            ", run the same command again.".to_owned()
        }
    };
    text + &format!("\nWhat is done is recorded. To go on{condition}{again}\n")
}

fn list(title: &str, style: anstyle::Style, steps: &[StepEnd], width: usize) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", paint(style.bold(), format!("{title}:")));
    for end in steps {
        text += &format!("  {:>2}  {}  {}\n", end.id, paint(BOLD, end.name), end.address);
        let cause = end
            .cause
            .as_deref()
            .map(|cause| wrap(cause, width.saturating_sub(6)))
            .unwrap_or_default();
        text.extend(cause.iter().map(|line| format!("      {line}\n")));
    }
    text
}

/// Renders outputs as the configuration language would write them.
pub fn outputs(outputs: &[OutputDoc]) -> String {
    let line = |output: &OutputDoc| match (&output.value, output.sensitive) {
        (Some(value), false) => format!("{} = {}\n", output.name, inline(value)),
        _ => format!("{} = <sensitive>\n", output.name),
    };
    outputs.iter().map(line).collect()
}

#[cfg(test)]
mod tests;
