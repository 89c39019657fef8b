//! Progress for people: lines that stay, and on a terminal bars below them for what runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstream::adapter::strip_str;
use indicatif::{HumanBytes, MultiProgress, ProgressBar, ProgressStyle};
use simdb_planner::plan::StepId;
use simdb_providers::event::{Event, EventSink, Progress};

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
    /// How many quarters are done of what steps said last.
    quarters: BTreeMap<StepId, u64>,
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
            bars: Mutex::new(Bars {
                all,
                total,
                running,
                quarters: BTreeMap::new(),
            }),
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
        Event::Progress(_, Progress { what, done, total }) => {
            format!("{subject} {what}... [{} of {}]", HumanBytes(*done), HumanBytes(*total))
        }
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
        | Event::Progress(step, _)
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
            if !matches!(event, Event::Started(_) | Event::Running(_, _) | Event::Progress(_, _)) {
                let lines = lines(step, event, self.ui.terminal.width);
                all.suspend(|| self.ui.tell(&lines));
            }
        } else if bars.is_news(event) {
            // What reads a log wants one line an event.
            self.ui.tell(&format!("{}\n", line(step, event)));
        }
    }
}

impl Bars {
    /// Returns whether an event is worth a line: of what comes further all the time, where a quarter more is done.
    fn is_news(&mut self, event: &Event) -> bool {
        let Event::Progress(step, Progress { done, total, .. }) = event else {
            return true;
        };
        let quarter = done.saturating_mul(4).checked_div(*total).unwrap_or_default();
        self.quarters.insert(*step, quarter) != Some(quarter)
    }

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
            Event::Progress(id, Progress { what, done, total }) => {
                if let Some(bar) = self.running.get(id) {
                    bar.set_style(
                        style("{spinner} {msg} [{bar:20}] {bytes}/{total_bytes} {elapsed}").progress_chars("=> "),
                    );
                    bar.set_message(format!("{}: {} {what}", step.address, step.name));
                    bar.set_length(*total);
                    bar.set_position(*done);
                }
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
