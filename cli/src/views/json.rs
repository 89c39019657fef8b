//! JSON lines in Terraform's envelope, so that what reads its `-json` reads this, and whole documents.

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use simdb_planner::diagnostic::Severity;
use simdb_planner::plan::{ChangeAction, Impact};
use simdb_providers::event::{Event, EventSink};
use simdb_state::address::Address;
use simdb_state::json::{Json, Members};

use crate::args::Shape;
use crate::ui::Ui;
use crate::views::doc::{DiagnosticDoc, FORMAT_VERSION, OutcomeDoc, OutputDoc, PlanDoc, StepDoc, StepEnd, Summary};
use crate::views::human::{outcome as human_outcome, plan as human_plan, progress};

/// Writes a document over several lines, its end included.
pub fn document(document: &(impl Serialize + ?Sized)) -> String {
    let text = serde_json::to_string_pretty(document);
    text.expect("a document has string keys and no other way to fail") + "\n"
}

/// Writes a document on one line, its end included.
pub fn line(document: &(impl Serialize + ?Sized)) -> String {
    let text = serde_json::to_string(document);
    text.expect("a document has string keys and no other way to fail") + "\n"
}

/// Writes why a command failed, as its answer would have been written.
pub(crate) fn failure(ui: &Arc<Ui>, shape: Shape, diagnostics: &[DiagnosticDoc]) {
    match shape {
        Shape::Document => {
            let failure = json!({ "format_version": FORMAT_VERSION, "errored": true, "diagnostics": diagnostics });
            // One line is a document and a line: some commands write a document, and one a line with -watch or -follow.
            ui.answer(&line(&failure));
        }
        Shape::Lines => {
            let lines = Lines::start(Arc::clone(ui));
            for diagnostic in diagnostics {
                lines.diagnostic(diagnostic);
            }
        }
    }
}

/// Writes events as JSON lines to standard output.
pub(crate) struct Lines {
    ui: Arc<Ui>,
    steps: Vec<StepDoc>,
}

impl Lines {
    /// Starts a stream with the line that says who writes it.
    pub(crate) fn start(ui: Arc<Ui>) -> Self {
        let lines = Self { ui, steps: Vec::new() };
        let version = env!("CARGO_PKG_VERSION");
        let members = json!({ "simdb": version, "ui": FORMAT_VERSION });
        lines.write("info", "version", &format!("simdb {version}"), members);
        lines
    }

    /// Returns a stream that goes on with the events of steps.
    pub(crate) fn with_steps(&self, steps: Vec<StepDoc>) -> Self {
        let ui = Arc::clone(&self.ui);
        Self { ui, steps }
    }

    fn write(&self, level: &str, kind: &str, message: &str, members: impl Into<Json>) {
        let timestamp = jiff::Timestamp::now().to_string();
        self.ui
            .answer(&envelope(level, kind, message, &timestamp, members.into()));
    }

    pub(crate) fn diagnostic(&self, diagnostic: &DiagnosticDoc) {
        let level = match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warn",
        };
        self.write(
            level,
            "diagnostic",
            &diagnostic.summary,
            json!({ "diagnostic": diagnostic }),
        );
    }

    pub(crate) fn plan(&self, plan: &PlanDoc) {
        for moved in &plan.resource_moves {
            let named = |address: &Address| resource(address.kind(), address, &address.name(), None);
            let members = json!({ "change": {
                "resource": named(&moved.address),
                "previous_resource": named(&moved.previous_address),
                "action": "move",
                "reason": null,
                "impact": Impact::None,
            }});
            self.write("info", "planned_change", &moved.sentence(), members);
        }
        for change in &plan.resource_changes {
            let message = format!("{}: Plan to {}", change.address, verb(change.change.action));
            let members = json!({ "change": {
                "resource": resource(change.kind, &change.address, &change.name, change.index),
                "action": change.change.action,
                "reason": change.action_reason,
                "impact": change.impact,
            }});
            self.write("info", "planned_change", &message, members);
        }
        for object in &plan.resource_drift {
            let message = format!("{}: Drift detected ({})", object.address, verb(object.change.action));
            let members = json!({ "change": {
                "resource": resource(object.kind, &object.address, &object.name, object.index),
                "action": object.change.action,
            }});
            self.write("info", "resource_drift", &message, members);
        }
        let summary = human_plan::summary_line(plan);
        let mut changes = changes(plan.summary, "plan");
        changes["impact"] = json!(plan.impact);
        self.write("info", "change_summary", &summary, json!({ "changes": changes }));
        self.write("info", "plan", "The whole plan", member("plan", Json::of(plan)));
    }

    pub(crate) fn outcome(&self, outcome: &OutcomeDoc) {
        for switch in &outcome.switches {
            self.write(
                "info",
                "switch",
                &human_outcome::switched(switch),
                json!({ "switch": switch }),
            );
        }
        for proof in &outcome.proofs {
            self.write(
                "info",
                "proof",
                &human_outcome::proven(proof),
                json!({ "proof": proof }),
            );
        }
        let operation = outcome.operation.name();
        if let Some(summary) = outcome.changes {
            let message = human_outcome::complete(outcome.operation, summary);
            let members = json!({ "changes": changes(summary, operation) });
            return self.write("info", "change_summary", &message, members);
        }
        let ids = |ends: &[StepEnd]| ends.iter().map(|end| end.id).collect::<Vec<_>>();
        let members = json!({
            "operation": operation,
            "cancelled": outcome.cancelled,
            "done": ids(&outcome.done),
            "failed": ids(&outcome.failed),
            "not_attempted": ids(&outcome.not_attempted),
        });
        self.write("error", "incomplete", &human_outcome::incomplete_line(outcome), members);
    }

    pub(crate) fn outputs(&self, outputs: &[OutputDoc]) {
        let members = outputs.iter().map(|output| {
            let value = output.value.clone().unwrap_or_default();
            let members = [
                ("sensitive".to_owned(), output.sensitive.into()),
                ("value".to_owned(), value),
            ];
            (output.name.clone(), Json::Object(Members::from_iter(members)))
        });
        let message = format!("Outputs: {}", outputs.len());
        self.write(
            "info",
            "outputs",
            &message,
            member("outputs", Json::Object(members.collect())),
        );
    }
}

/// Names an object as Terraform's events do.
fn resource(kind: &str, address: &Address, name: &str, index: Option<u32>) -> Value {
    json!({ "addr": address, "resource_type": kind, "resource_name": name, "resource_key": index })
}

fn verb(action: ChangeAction) -> &'static str {
    match action {
        ChangeAction::Create => "create",
        ChangeAction::Update => "update",
        ChangeAction::Delete => "delete",
        ChangeAction::Forget => "forget",
    }
}

fn changes(summary: Summary, operation: &str) -> Value {
    let Summary {
        add,
        change,
        remove,
        forget,
        moved,
        import,
    } = summary;
    json!({
        "add": add, "change": change, "forget": forget, "import": import, "move": moved, "remove": remove, "operation": operation
    })
}

/// Returns an object with one member.
fn member(name: &str, value: Json) -> Json {
    Json::Object(Members::from_iter([(name.to_owned(), value)]))
}

/// Writes one line of the stream.
fn envelope(level: &str, kind: &str, message: &str, timestamp: &str, members: Json) -> String {
    let mut all = Json::from(json!({
        "@level": level,
        "@message": message,
        "@module": "simdb.ui",
        "@timestamp": timestamp,
        "type": kind,
    }));
    if let (Json::Object(all), Json::Object(members)) = (&mut all, members) {
        all.extend(members);
    }
    format!("{all}\n")
}

impl EventSink for Lines {
    fn on_event(&self, event: &Event) {
        let Some(step) = progress::step_of(event).and_then(|id| self.steps.get(id.index())) else {
            return;
        };
        let message = anstream::adapter::strip_str(&progress::line(step, event)).to_string();
        let subject = json!({ "id": step.id, "name": step.name, "addr": step.address });
        let (level, kind, members) = match event {
            Event::Started(_) => ("info", "step_started", json!({ "step": subject })),
            Event::Running(_, elapsed) => {
                let seconds = elapsed.as_secs_f64();
                (
                    "info",
                    "step_progress",
                    json!({ "step": subject, "elapsed_seconds": seconds }),
                )
            }
            Event::Progress(_, progress) => (
                "info",
                "step_progress",
                json!({
                    "step": subject, "does": progress.what, "bytes_done": progress.done, "bytes_total": progress.total
                }),
            ),
            Event::Done(_, elapsed) => {
                let seconds = elapsed.as_secs_f64();
                (
                    "info",
                    "step_done",
                    json!({ "step": subject, "elapsed_seconds": seconds }),
                )
            }
            Event::Retrying(_, pause, cause) => {
                let seconds = pause.as_secs_f64();
                (
                    "warn",
                    "step_retrying",
                    json!({ "step": subject, "cause": cause, "pause_seconds": seconds }),
                )
            }
            Event::Failed(_, cause) => ("error", "step_failed", json!({ "step": subject, "cause": cause })),
            Event::Stopping => return,
        };
        self.write(level, kind, &message, members);
    }
}

#[cfg(test)]
mod tests;
