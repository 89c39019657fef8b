//! The pipeline from facts to plan, one stage a module:
//!
//! ```text
//!   before ─► intend ─► diff ─► [Change]
//!      │         └────► lower ─► order ─► check ─► Plan
//!      └── recorded, corrected by what was observed
//! ```

mod before;
mod check;
mod diff;
mod intend;
mod lower;
mod order;
mod ports;
mod versions;

use simdb_state::delta::Outputs;
use simdb_state::object::State;

use crate::desired::Desired;
use crate::diagnostic::Diagnostic;
use crate::observed::Observed;
use crate::plan::{FORMAT, Plan};

pub use ports::DEFAULT_RANGE;

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

/// Makes the plan that leads from what is there to what is declared. Same inputs, same plan.
pub fn plan(inputs: Inputs<'_>) -> Planned {
    let mut diagnostics = unusable(inputs);
    let mut notes = Vec::new();
    let before = before::before(inputs.recorded, inputs.observed, &mut notes);
    let intended = intend::intend(inputs, &before, &mut diagnostics);
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Planned {
            diagnostics,
            after: before,
            ..Planned::default()
        };
    }
    let mut changes = diff::diff(&before, &intended);
    let steps = match order::order(lower::lower(&before, &intended, inputs.observed), &before, &intended) {
        Ok(steps) => steps,
        Err(diagnostic) => {
            return Planned {
                diagnostics: vec![diagnostic],
                after: before,
                ..Planned::default()
            };
        }
    };
    diff::explain(&mut changes, &steps);
    let plan = Plan {
        format: FORMAT,
        changes,
        steps,
        notes,
    };
    diagnostics.extend(check::check(&plan));
    let after = fold(before, &plan);
    Planned {
        plan,
        after,
        diagnostics,
    }
}

/// A platform that cannot be used is no obstacle to an empty configuration without a record.
fn unusable(inputs: Inputs<'_>) -> Vec<Diagnostic> {
    if inputs.desired.clusters.is_empty() && inputs.recorded.nodes.is_empty() {
        return Vec::new();
    }
    let problems = inputs.observed.platform.problems.iter();
    problems
        .map(|problem| Diagnostic::error("Platform cannot be used", problem))
        .collect()
}

/// Returns the record after all steps. What only a step can find out stays out of it.
fn fold(mut state: State, plan: &Plan) -> State {
    for step in &plan.steps {
        state.apply(&step.delta, &Outputs::default());
    }
    state
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
