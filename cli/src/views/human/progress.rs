//! Progress for people: lines that stay, and on a terminal bars below them for what runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstream::adapter::strip_str;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use simdb_planner::plan::StepId;
use simdb_providers::event::{Event, EventSink};

use super::style::{BAD, BOLD, CHANGED, paint};
use super::text::{length, wrap};
use crate::ui::Ui;
use crate::views::doc::StepDoc;

/// How often the bars of running steps are drawn.
const TICK: Duration = Duration::from_millis(100);

/// Writes what happens to standard error.
pub(crate) struct HumanProgress {
    ui: Arc<Ui>,
    steps: Vec<StepDoc>,
    bars: Mutex<Bars>,
}

struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    running: BTreeMap<StepId, ProgressBar>,
}

impl HumanProgress {
    /// Makes the progress of steps.
    pub(crate) fn new(ui: Arc<Ui>, steps: Vec<StepDoc>) -> Self {
        let all = ui.bars();
        let total = all.add(ProgressBar::new(steps.len() as u64));
        total.set_style(style("[{bar:30}] {pos}/{len} steps, {elapsed}").progress_chars("=> "));
        let running = BTreeMap::new();
        Self {
            ui,
            steps,
            bars: Mutex::new(Bars { all, total, running }),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is a constant that parses")
}

/// Writes an event as one line.
pub(crate) fn line(step: &StepDoc, event: &Event) -> String {
    let subject = paint(BOLD, format!("{}: {}", step.address, step.name));
    match event {
        Event::Started(_) => format!("{subject}..."),
        Event::Running(_, elapsed) => format!("{subject} still running... [{}s elapsed]", elapsed.as_secs()),
        Event::Done(_, elapsed) => format!("{subject} done after {:.1}s", elapsed.as_secs_f64()),
        Event::Retrying(_, pause, cause) => {
            let seconds = pause.as_secs();
            format!(
                "{subject} {}: {cause}",
                paint(CHANGED, format!("is tried again in {seconds}s"))
            )
        }
        Event::Failed(_, _) => format!("{subject} {}", paint(BAD.bold(), "failed")),
        Event::Stopping => "Stopping: no other step is started.".to_owned(),
    }
}

/// Writes an event for a terminal, broken between words where it has fewer columns.
pub(crate) fn lines(step: &StepDoc, event: &Event, width: usize) -> String {
    let plain = strip_str(&line(step, event)).to_string();
    if length(&plain) <= width {
        return line(step, event) + "\n";
    }
    wrap(&plain, width).iter().map(|piece| format!("{piece}\n")).collect()
}

/// Returns the step an event is about.
pub(crate) fn step_of(event: &Event) -> Option<StepId> {
    match event {
        Event::Started(step)
        | Event::Running(step, _)
        | Event::Retrying(step, _, _)
        | Event::Done(step, _)
        | Event::Failed(step, _) => Some(*step),
        Event::Stopping => None,
    }
}

impl EventSink for HumanProgress {
    fn on_event(&self, event: &Event) {
        let Some(step) = step_of(event).and_then(|id| self.steps.get(id.index())) else {
            return;
        };
        let mut bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ui.terminal.animated {
            bars.update(step, event);
            let all = bars.all.clone();
            drop(bars);
            // A running step has its bar, and needs no lines that say so.
            if !matches!(event, Event::Started(_) | Event::Running(_, _)) {
                let lines = lines(step, event, self.ui.terminal.width);
                all.suspend(|| self.ui.tell(&lines));
            }
        } else {
            // What reads a log wants one line an event.
            self.ui.tell(&format!("{}\n", line(step, event)));
        }
    }
}

impl Bars {
    fn update(&mut self, step: &StepDoc, event: &Event) {
        match event {
            Event::Started(id) => {
                let bar = self.all.insert_before(&self.total, ProgressBar::new_spinner());
                bar.set_style(style("{spinner} {msg} {elapsed}"));
                bar.set_message(format!("{}: {}", step.address, step.name));
                bar.enable_steady_tick(TICK);
                self.running.insert(*id, bar);
            }
            Event::Done(id, _) | Event::Failed(id, _) => {
                if let Some(bar) = self.running.remove(id) {
                    bar.finish_and_clear();
                    self.all.remove(&bar);
                }
                self.total.inc(1);
            }
            Event::Running(_, _) | Event::Retrying(_, _, _) | Event::Stopping => {}
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.running.values().for_each(ProgressBar::finish_and_clear);
        self.total.finish_and_clear();
    }
}
