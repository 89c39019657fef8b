//! What happens during a run, for whoever watches.

use std::time::Duration;

use simdb_planner::plan::StepId;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step starts.
    Started(StepId),
    /// A step is still running; sent every ten seconds.
    Running(StepId, Duration),
    /// A step failed for a reason that passes by itself, and is tried again after so long; why, with all causes.
    Retrying(StepId, Duration, String),
    /// A step is done, after so long.
    Done(StepId, Duration),
    /// A step failed, and why, with all causes.
    Failed(StepId, String),
    /// No more steps are started, because somebody asked to stop.
    Stopping,
}

/// Watches a run. Called by one task, in the order things happen; must not block.
pub trait EventSink: Send + Sync {
    /// Takes notice of an event.
    fn on_event(&self, event: &Event);
}
