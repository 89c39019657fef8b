//! The pipeline from facts to plan.

use simdb_state::object::State;

use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::observed::Observed;
use crate::plan::Plan;

/// What a plan is made from.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// What the configuration declares; empty when everything is to be destroyed.
    pub desired: &'a Desired,
    /// What the state holds.
    pub recorded: &'a State,
    /// What was seen.
    pub observed: &'a Observed,
}

/// A plan, and everything that is wrong with making it. With an error among the diagnostics the plan must not run.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The record as it will be when every step is done, where it can be told now.
    pub after: State,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

/// Makes the plan that leads from what is there to what is declared.
pub fn plan(_inputs: Inputs<'_>) -> Planned {
    todo!()
}
