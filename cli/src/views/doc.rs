//! The documents: what machines read, and what the human views are rendered from.
//!
//! Each carries [`FORMAT_VERSION`]. Within one major version fields are added, never renamed, removed or given another
//! meaning. No document holds a secret, but the one of `env`, which is asked for it.

mod cause;
mod change;
mod diagnostic;
mod drift;
mod env;
mod estimates;
mod events;
mod gc;
mod graph;
mod operation;
mod outcome;
mod plan;
mod ps;
mod runs;
mod state;
mod status;
mod verify;
mod workspace;

pub use cause::Cause;
pub use change::{ChangeDoc, OutputChangeDoc, Sides};
pub use diagnostic::{DiagnosticDoc, FunctionCallDoc, PositionDoc, RangeDoc, SnippetDoc, ValidationDoc, ValueDoc};
pub use drift::{ByHandDoc, DriftDoc, DriftedDoc};
pub use env::EnvDoc;
pub use estimates::Estimates;
pub use events::{EventDoc, EventsDoc};
pub use gc::{GcDoc, LeftProjectDoc};
pub use graph::GraphDoc;
pub use operation::Operation;
pub use outcome::{OutcomeDoc, ProofDoc, StepEnd, SwitchDoc, Unproven};
pub use plan::{ComparedDoc, InterruptedDoc, MoveDoc, NotComparedDoc, PlanDoc, StepDoc, Summary};
pub use ps::{HomeDoc, ProjectState, PsDoc, ServerDoc};
pub use runs::{RunDoc, RunsDoc, StepRunDoc};
pub use state::{ObjectDoc, OutputDoc, StateDoc};
pub use status::{ClusterState, ClusterStatus, EndpointStatus, NodeStatus, PausedDoc, StatusDoc};
pub use verify::{DatabaseDoc, DifferenceDoc, LoadDoc, LoadNodeDoc, TableDoc, VerifyDoc};
pub use workspace::{WorkspaceDoc, WorkspacesDoc};

/// The version of every document.
pub const FORMAT_VERSION: &str = "1.0";
