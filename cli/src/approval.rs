//! Whether a plan may run: the limit of what may run unattended, and the question to who sits at the terminal.

use std::collections::BTreeSet;

use simdb_planner::plan::Impact;
use simdb_state::name::ClusterName;

use crate::error::CliError;
use crate::session::workspace::Workspace;
use crate::ui::Ui;
use crate::views::doc::{Operation, PlanDoc, StepDoc};
use crate::views::human::style::{BAD, BOLD, paint};
use crate::views::human::text::count;

/// The worst that `-auto-approve` covers alone.
const UNATTENDED: Impact = Impact::Downtime;

/// What the command line says about approval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    /// `-auto-approve`
    pub(crate) auto_approve: bool,
    /// `-allow`
    pub(crate) allow: Option<Impact>,
    /// Whether somebody can be asked: a terminal, no `-input=false`, no `-json`.
    pub(crate) can_ask: bool,
}

/// What is left to do before a plan may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Approval {
    /// Nothing.
    Given,
    /// Somebody must be asked.
    Ask,
}

impl Policy {
    /// Judges a plan.
    pub(crate) fn judge(self, plan: &PlanDoc) -> Result<Approval, CliError> {
        let limit = self.allow.or(self.auto_approve.then_some(UNATTENDED));
        if let Some(limit) = limit.filter(|&limit| plan.impact > limit) {
            return Err(above(limit, plan));
        }
        match (self.auto_approve, self.can_ask) {
            (true, _) => Ok(Approval::Given),
            (false, true) => Ok(Approval::Ask),
            (false, false) => Err(nobody(plan)),
        }
    }
}

fn above(limit: Impact, plan: &PlanDoc) -> CliError {
    let steps: Vec<&StepDoc> = plan.steps.iter().filter(|step| step.impact > limit).collect();
    let list = steps
        .iter()
        .map(|step| format!("  {:>2}  {}  {}  {}", step.id, step.name, step.address, step.impact));
    let list = list.collect::<Vec<_>>().join("\n");
    CliError::refused(
        "Impact above the limit",
        format!(
            "The worst impact allowed is {limit}, and {} above it:\n{list}\n\nTo allow it, add -allow={}.",
            match steps.len() {
                1 => "one step is".to_owned(),
                _ => format!("{} are", count(steps.len(), "step")),
            },
            plan.impact
        ),
    )
}

fn nobody(plan: &PlanDoc) -> CliError {
    let flags = match plan.impact {
        Impact::DataLoss => "-auto-approve -allow=data-loss",
        _ => "-auto-approve",
    };
    CliError::refused(
        "No terminal to ask for approval",
        format!(
            "Standard input is no terminal or at its end, or -json or -input=false forbids to ask. To run this plan unattended, add {flags}."
        ),
    )
}

/// Asks who sits at the terminal; returns whether the plan may run. A workspace other than the default one is named.
pub(crate) fn ask(ui: &Ui, workspace: &Workspace, plan: &PlanDoc) -> Result<bool, CliError> {
    let losing = losing(plan);
    ui.tell(&question(plan.operation, workspace, !losing.is_empty()));
    if losing.is_empty() {
        return answer(ui, plan, "Enter a value", "yes");
    }
    for cluster in losing {
        if !answer(
            ui,
            plan,
            &format!("Enter the name of cluster \"{cluster}\""),
            cluster.as_str(),
        )? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Asks who sits at the terminal for a plain yes, where `-force` would have spared the question.
pub(crate) fn confirm(ui: &Ui, question: &str, consequence: &str) -> Result<bool, CliError> {
    let nobody = || {
        CliError::refused(
            "No terminal to ask",
            "Standard input is not a terminal. To do it without being asked, add -force.",
        )
    };
    if !ui.terminal.interactive {
        return Err(nobody());
    }
    ui.tell(&format!(
        "{}\n  {consequence}\n  Only 'yes' will be accepted to confirm.\n\n",
        paint(BOLD, question)
    ));
    let typed = ui
        .ask(&format!("  {}: ", paint(BOLD, "Enter a value")))
        .map_err(CliError::Input)?;
    Ok(typed.ok_or_else(nobody)?.trim() == "yes")
}

/// Returns the clusters whose data goes.
fn losing(plan: &PlanDoc) -> BTreeSet<&ClusterName> {
    let steps = plan.steps.iter().filter(|step| step.impact == Impact::DataLoss);
    steps.filter_map(|step| step.address.cluster()).collect()
}

fn question(operation: Operation, workspace: &Workspace, loses_data: bool) -> String {
    let question = match operation {
        Operation::Apply | Operation::Stop | Operation::Start | Operation::Resync => {
            "Do you want to perform these actions"
        }
        Operation::Refresh => "Do you want the record to take over what was seen",
        Operation::Switchover | Operation::Failover => "Do you want another node to lead",
        Operation::Destroy => "Do you really want to destroy everything that is recorded",
    };
    let question = if workspace.is_default() {
        format!("{question}?")
    } else {
        format!("{question} in workspace \"{workspace}\"?")
    };
    let rest = if loses_data {
        format!(
            "{}\n  Only the name of each cluster that loses data will be accepted to approve.",
            paint(BAD.bold(), "Data is lost, and there is no undo.")
        )
    } else {
        "Only 'yes' will be accepted to approve.".to_owned()
    };
    format!(
        "\n{}\n  simdb will perform the steps described above.\n  {rest}\n\n",
        paint(BOLD, question)
    )
}

fn answer(ui: &Ui, plan: &PlanDoc, prompt: &str, expected: &str) -> Result<bool, CliError> {
    let typed = ui
        .ask(&format!("  {}: ", paint(BOLD, prompt)))
        .map_err(CliError::Input)?;
    let Some(typed) = typed else {
        ui.tell("\n");
        return Err(nobody(plan));
    };
    Ok(typed.trim() == expected)
}

#[cfg(test)]
mod tests;
