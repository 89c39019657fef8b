//! What happens during a run, for whoever watches.

use std::future::Future;
use std::time::Duration;

use simdb_planner::plan::StepId;
use tokio::sync::mpsc::UnboundedSender;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step starts.
    Started(StepId),
    /// A step is still running; sent every ten seconds.
    Running(StepId, Duration),
    /// A step has come further with something that takes its time.
    Progress(StepId, Progress),
    /// A step failed for a reason that passes by itself, and is tried again after so long; why, with all causes.
    Retrying(StepId, Duration, String),
    /// A step is done, after so long.
    Done(StepId, Duration),
    /// A step failed, and why, with all causes.
    Failed(StepId, String),
    /// No more steps are started, because somebody asked to stop.
    Stopping,
}

/// How far a step has come with something that takes its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it does, as a fragment: `fetches image db:15`.
    pub what: String,
    /// How many bytes are done.
    pub done: u64,
    /// How many there are to do, as far as that is known by now.
    pub total: u64,
}

/// Where steps say how far they have come.
pub(crate) type Watcher = UnboundedSender<(StepId, Progress)>;

tokio::task_local! {
    /// The step that a task does, and who watches it.
    static WATCHED: (StepId, Watcher);
}

/// Does a step; what it says of how far it has come reaches the watcher.
pub(crate) async fn watched<T>(step: StepId, watcher: Watcher, work: impl Future<Output = T>) -> T {
    WATCHED.scope((step, watcher), work).await
}

/// Says how far the step has come that this task does; nobody hears it elsewhere.
pub(crate) fn progress(progress: Progress) {
    let _ = WATCHED.try_with(|(step, watcher)| watcher.send((*step, progress)));
}

/// Watches a run. Called by one task, in the order things happen; must not block.
pub trait EventSink: Send + Sync {
    /// Takes notice of an event.
    fn on_event(&self, event: &Event);
}
