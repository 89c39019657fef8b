//! What a monitor writes: a line for each event, for people or for programs.

use std::sync::Arc;

use super::board::Event;
use crate::ui::Ui;
use crate::views::json::line;

/// Where events are written.
pub(super) struct Log {
    ui: Arc<Ui>,
    json: bool,
}

impl Log {
    pub(super) fn new(ui: Arc<Ui>, json: bool) -> Self {
        Self { ui, json }
    }

    /// Writes an event: it is what the command answers.
    pub(super) fn event(&self, event: &Event) {
        if self.json {
            self.ui.answer(&line(event));
            return;
        }
        let subject = match (&event.cluster, &event.node) {
            (Some(cluster), Some(node)) => format!("{cluster}.{node} "),
            (Some(cluster), None) => format!("{cluster} "),
            (None, _) => String::new(),
        };
        let at = event.at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        self.ui
            .answer(&format!("{at} {subject}{}: {}\n", event.kind.name(), event.text));
    }
}
