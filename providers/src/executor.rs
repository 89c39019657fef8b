//! Runs a plan: what its steps say, in the order they allow, and nothing else.

use std::sync::Arc;

use simdb_planner::plan::{Plan, StepId};
use simdb_state::store::{StoreError, Writer};
use tokio_util::sync::CancellationToken;

use crate::effects::Effects;
use crate::event::EventSink;

/// How many steps run at once unless told otherwise.
pub const PARALLELISM: usize = 10;

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that are done.
    pub done: Vec<StepId>,
    /// Steps that failed, and why, with all causes.
    pub failed: Vec<(StepId, String)>,
    /// Steps that were never started.
    pub not_attempted: Vec<StepId>,
    /// Whether somebody asked to stop.
    pub cancelled: bool,
}

/// Runs the plan. Cancelling `cancel` finishes the steps that run and starts no other.
pub async fn execute(
    _plan: &Plan,
    _writer: &mut Writer,
    _effects: Arc<dyn Effects>,
    _events: &dyn EventSink,
    _parallelism: usize,
    _cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    todo!()
}
