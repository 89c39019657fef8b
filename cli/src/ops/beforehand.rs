//! Asks the platforms, before anything is made, whether they would make it.

use std::collections::BTreeSet;

use simdb_planner::desired::Desired;
use simdb_planner::diagnostic::Diagnostic;
use simdb_planner::observed::Observed;
use simdb_planner::plan::ChangeAction;
use simdb_planner::planner::unmade;
use simdb_providers::platform::{Rehearsed, World};
use simdb_state::address::Address;
use simdb_state::object::State;

use super::{Known, Planned};
use crate::views::doc::DiagnosticDoc;

/// Adds to a plan what keeps its platforms from making what it makes.
pub(crate) async fn check(world: &World, known: &Known<'_>, observed: &Observed, planned: &mut Planned) {
    if planned.is_broken() {
        return;
    }
    let changes = planned.plan.changes.iter();
    let made: BTreeSet<&Address> = changes
        .filter(|change| change.action == ChangeAction::Create)
        .map(|change| &change.address)
        .collect();
    let mut unmade = unmade(&known.config.desired, known.recorded, observed);
    for of in unmade.values_mut() {
        of.servers
            .retain(|server| made.contains(&Address::from(server.instance.clone())));
        of.endpoints
            .retain(|endpoint| made.contains(&Address::Endpoint(endpoint.clone())));
    }
    let refusals = world.rehearse(&unmade).await.into_iter().flat_map(|said| said.refusals);
    let told: Vec<DiagnosticDoc> = refusals
        .map(|detail| DiagnosticDoc::unplaced(&refused(detail)))
        .collect();
    if !told.is_empty() {
        planned.document.add_diagnostics(told);
    }
}

/// Returns all that platforms say of what is declared and not made yet: what they refuse, and what is not known.
pub(crate) async fn judge(world: &World, desired: &Desired, recorded: &State) -> Vec<Diagnostic> {
    let observed = Observed {
        platforms: world.facts().await,
        ..Observed::default()
    };
    let mut told: Vec<Diagnostic> = Vec::new();
    for facts in observed.platforms.values() {
        let problems = facts.problems.iter();
        told.extend(problems.map(|problem| Diagnostic::error("Platform cannot be used", &problem.detail)));
    }
    for Rehearsed { refusals, doubts } in world.rehearse(&unmade(desired, recorded, &observed)).await {
        told.extend(refusals.into_iter().map(refused));
        let doubt = |detail| Diagnostic::warning("Platform could not be asked everything", detail);
        told.extend(doubts.into_iter().map(doubt));
    }
    told
}

fn refused(detail: String) -> Diagnostic {
    Diagnostic::error("Platform would not make what is declared", detail)
}
