//! Looks at everything once, and compares it with the configuration and with the record. It takes no lock, and writes nothing.

use simdb_planner::config::Config;
use simdb_planner::desired::LocalSettings;
use simdb_planner::observed::Observed;
use simdb_planner::planner::scope::Scope;
use simdb_planner::planner::{self, Differing, Inputs};
use simdb_state::object::State;
use simdb_state::store::Store;

use crate::error::CliError;
use crate::ops::{self, Known};
use crate::session::{self, Project};
use crate::views::doc::{DiagnosticDoc, DriftDoc, Operation, PlanDoc};

/// What was found.
pub(crate) struct Looked {
    /// How often the record had been written by then.
    pub(crate) serial: u64,
    /// What an apply would do; why nothing is known of that where the configuration cannot be read.
    pub(crate) plan: Result<PlanDoc, CliError>,
    /// What differs from the record.
    pub(crate) drift: DriftDoc,
}

/// Looks at everything that is recorded or declared.
pub(crate) async fn now(project: &Project, store: &Store) -> Result<Looked, CliError> {
    let mut snapshot = store.snapshot().await?;
    let mut secrets = store.secrets().await?;
    let recorded = snapshot.state.clone();
    let loaded = project.load(&[]).map(|(config, _)| config);
    let (mut config, unread) = match loaded {
        Ok(config) => (config, None),
        Err(error) => (Project::recorded(&snapshot), Some(error)),
    };
    session::keep_providers(&mut config.desired, &snapshot);
    let moves = ops::relocate(Operation::Apply, &config.desired, &mut snapshot.state, &mut secrets);
    ops::digest_passwords(&mut config.desired, Some(store)).await?;
    let platforms = session::platforms(&snapshot.state, &config.desired);
    let world = project.world(Some(store.lineage()), &config.desired.local, platforms);
    let observed = ops::refresh(&world, &config.desired, &snapshot.state, &secrets).await;
    let scope = Scope::default();
    let known = Known {
        config: &config,
        recorded: &snapshot.state,
        unfinished: snapshot.unfinished.as_ref(),
        secrets: &secrets,
        moves: &moves,
        scope: &scope,
    };
    let plan = match unread {
        None => Ok(ops::plan(Operation::Apply, &known, &observed, None, &project.source).document),
        Some(error) => Err(error),
    };
    let (drift, differing) = drift(project, &recorded, config.desired.local.clone(), &observed);
    Ok(Looked {
        serial: snapshot.serial,
        plan,
        drift: drift.without_ignored(&config.desired.drift_patterns(), &differing),
    })
}

/// Compares what was seen with the record, whatever is declared by now. Nothing is left out of what differs; what a configuration
/// ignores is told by the second part.
pub(crate) fn drift(
    project: &Project,
    recorded: &State,
    local: LocalSettings,
    observed: &Observed,
) -> (DriftDoc, Differing) {
    let config = Config::recorded(recorded, local);
    let planned = planner::plan(Inputs {
        desired: &config.desired,
        recorded,
        observed,
        proposal: None,
    });
    let diagnostics = DiagnosticDoc::all(&planned.diagnostics, &project.source);
    let drift = DriftDoc::new(&planned.plan, &planned.found, &planned.not_compared, diagnostics);
    (drift, planned.differing)
}
