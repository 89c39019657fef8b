//! How `plan`, `apply` and `destroy` are shown: to people, or as JSON lines.

use std::sync::Arc;

use simdb_providers::event::EventSink;

use super::doc::{DiagnosticDoc, OutcomeDoc, OutputDoc, PlanDoc, StepDoc};
use super::human;
use super::human::layout::Layout;
use super::human::progress::HumanProgress;
use super::json::Lines;
use crate::args::Viewing;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ui::Ui;

/// Writes a plan for people, as much of it as they ask for.
pub(crate) fn plan_text(plan: &PlanDoc, viewing: Viewing, ui: &Ui) -> String {
    let layout = Layout {
        width: ui.terminal.width,
        expand: viewing.folding.expand,
    };
    if viewing.summary {
        human::plan::summary::render(plan, layout)
    } else {
        human::plan::render(plan, layout)
    }
}

/// Shows an operation as it goes on.
pub(crate) enum View {
    /// To people.
    Human {
        /// The terminal.
        ui: Arc<Ui>,
        /// Whether the plan is the answer that was asked for, or what leads up to a question.
        answer: bool,
        /// How much of it is told.
        viewing: Viewing,
    },
    /// As JSON lines.
    Json(Lines),
}

impl View {
    /// Makes the view of `plan`, whose answer is the plan.
    pub(crate) fn of_plan(ui: &Arc<Ui>, json: bool, viewing: Viewing) -> Self {
        Self::new(ui, json, viewing, true)
    }

    /// Makes the view of `apply`, whose answer is the outputs.
    pub(crate) fn of_apply(ui: &Arc<Ui>, json: bool, viewing: Viewing) -> Self {
        Self::new(ui, json, viewing, false)
    }

    fn new(ui: &Arc<Ui>, json: bool, viewing: Viewing, answer: bool) -> Self {
        let ui = Arc::clone(ui);
        if json {
            View::Json(Lines::start(ui))
        } else {
            View::Human { ui, answer, viewing }
        }
    }

    /// Shows what is wrong.
    pub(crate) fn diagnostics(&self, diagnostics: &[DiagnosticDoc]) {
        match self {
            View::Human { ui, viewing, .. } if viewing.compact_warnings => {
                ui.tell(&human::diagnostic::render_compact(diagnostics, ui.terminal.width));
            }
            View::Human { ui, .. } => ui.tell(&human::diagnostic::render_all(diagnostics, ui.terminal.width)),
            View::Json(lines) => diagnostics.iter().for_each(|diagnostic| lines.diagnostic(diagnostic)),
        }
    }

    /// Shows a failure among what it interrupts where that is JSON; people are shown it by who called.
    pub(crate) fn closing(&self, result: Result<Exit, CliError>) -> Result<Exit, CliError> {
        match (self, result) {
            (View::Json(lines), Err(error)) => {
                let exit = error.exit();
                error
                    .into_documents()
                    .iter()
                    .for_each(|diagnostic| lines.diagnostic(diagnostic));
                Ok(exit)
            }
            (_, result) => result,
        }
    }

    /// Shows a plan.
    pub(crate) fn plan(&self, plan: &PlanDoc) {
        match self {
            View::Human { ui, answer, viewing } => {
                let text = plan_text(plan, *viewing, ui);
                if *answer { ui.answer(&text) } else { ui.tell(&text) }
            }
            View::Json(lines) => lines.plan(plan),
        }
    }

    /// Returns what shows the events of a run.
    pub(crate) fn progress(&self, steps: &[StepDoc]) -> Box<dyn EventSink> {
        match self {
            View::Human { ui, .. } => {
                ui.tell("\n");
                Box::new(HumanProgress::new(Arc::clone(ui), steps.to_vec()))
            }
            View::Json(lines) => Box::new(lines.with_steps(steps.to_vec())),
        }
    }

    /// Shows what came of a run.
    pub(crate) fn outcome(&self, outcome: &OutcomeDoc) {
        match self {
            View::Human { ui, .. } => ui.tell(&human::outcome::render(outcome, ui.terminal.width)),
            View::Json(lines) => lines.outcome(outcome),
        }
    }

    /// Shows the outputs of a run.
    pub(crate) fn outputs(&self, outputs: &[OutputDoc]) {
        match self {
            View::Human { .. } if outputs.is_empty() => {}
            View::Human { ui, .. } => {
                ui.tell("\nOutputs:\n\n");
                ui.answer(&human::outcome::outputs(outputs));
            }
            View::Json(lines) => lines.outputs(outputs),
        }
    }
}
