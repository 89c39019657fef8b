//! Does one step.

use std::fmt;

use async_trait::async_trait;
use simdb_planner::plan::Step;
use simdb_state::delta::Outputs;
use simdb_state::sensitive::Secrets;
use thiserror::Error;

/// Why a step failed.
#[derive(Debug, Error)]
pub enum StepError {}

/// Does steps. Every step is safe to do again.
#[async_trait]
pub trait Effects: fmt::Debug + Send + Sync {
    /// Does one step to its end.
    async fn run(&self, step: &Step, secrets: &Secrets) -> Result<Outputs, StepError>;
}
