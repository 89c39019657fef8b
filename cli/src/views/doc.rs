//! The documents: what machines read, and what the human views are rendered from.
//!
//! Each carries [`FORMAT_VERSION`]. Within one major version fields are added, never renamed, removed or given another
//! meaning. No document holds a secret.

mod diagnostic;
mod outcome;
mod plan;
mod state;
mod status;

pub use diagnostic::{DiagnosticDoc, PositionDoc, RangeDoc, SnippetDoc, ValidationDoc, ValueDoc};
pub use outcome::{OutcomeDoc, ProofDoc, StepEnd};
pub use plan::{ChangeDoc, InterruptedDoc, Operation, OutputChangeDoc, PlanDoc, Sides, StepDoc, Summary};
pub use state::{ObjectDoc, OutputDoc, StateDoc};
pub use status::{ClusterStatus, EndpointStatus, NodeStatus, StatusDoc};

/// The version of every document.
pub const FORMAT_VERSION: &str = "1.0";
