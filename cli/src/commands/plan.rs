//! `simdb plan`: looks, plans, shows; writes nothing and takes no lock.

use std::sync::Arc;

use simdb_state::object::State;
use simdb_state::sensitive::Secrets;

use crate::args::{Facts, Plan};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ops::{self, Known};
use crate::request::Request;
use crate::session::{self, Project, block_on};
use crate::ui::Ui;
use crate::views::doc::{Operation, PlanDoc};
use crate::views::operation::View;

/// Shows what an apply, or a destroy, would do.
pub(super) fn run(arguments: &Plan, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let view = View::of_plan(ui, arguments.planning.json);
    let result = block_on(async {
        let operation = operation(arguments.destroy);
        let made = make(operation, &Request::Configuration, &arguments.planning.facts, &view).await?;
        let document = made.document;
        view.plan(&document);
        view.diagnostics(&document.diagnostics);
        Ok(match () {
            () if document.is_broken() => Exit::Failed,
            // Whatever else there is: what could not be compared may differ, too.
            () if arguments.detailed_exitcode && !document.complete => Exit::Failed,
            () if arguments.detailed_exitcode && !document.is_empty() => Exit::Difference,
            () => Exit::Done,
        })
    });
    view.closing(result)
}

/// Returns what a plan is for that is only looked at.
pub(super) fn operation(destroy: bool) -> Operation {
    if destroy { Operation::Destroy } else { Operation::Apply }
}

/// A plan to be looked at, and the record it starts from. The steps as they are run are gone: they are what is large.
pub(super) struct Made {
    pub(super) document: PlanDoc,
    pub(super) recorded: State,
}

/// Looks and plans.
pub(super) async fn make(
    operation: Operation,
    request: &Request<'_>,
    arguments: &Facts,
    view: &View,
) -> Result<Made, CliError> {
    let project = Project::open()?;
    let store = project.store().await?;
    let (snapshot, secrets) = match &store {
        Some(store) => (Some(store.snapshot().await?), store.secrets().await?),
        None => (None, Secrets::new()),
    };
    let (mut config, warnings) = match (request, &snapshot) {
        (Request::Configuration, _) | (_, None) => project.load(&arguments.variables.0)?,
        (_, Some(snapshot)) => project.load_or_recorded(&arguments.variables.0, snapshot)?,
    };
    view.diagnostics(&warnings);
    ops::digest_passwords(&mut config.desired, store.as_ref()).await?;
    let nothing = State::default();
    let known = Known {
        config: &config,
        recorded: snapshot.as_ref().map_or(&nothing, |snapshot| &snapshot.state),
        unfinished: snapshot.as_ref().and_then(|snapshot| snapshot.unfinished.as_ref()),
        secrets: &secrets,
    };
    let world = project.world(
        store.as_ref().map(simdb_state::store::Store::lineage),
        &config.desired.local,
        session::platforms(known.recorded, &config.desired),
    );
    let observed = if arguments.refresh {
        ops::refresh(&world, &config.desired, known.recorded, &secrets).await
    } else {
        ops::believe(&world, &config.desired, known.recorded).await
    };
    let proposal = request.proposal(known.recorded)?;
    let document = ops::plan(operation, &known, &observed, proposal.as_ref(), &project.source).document;
    Ok(Made {
        document,
        recorded: snapshot.map(|snapshot| snapshot.state).unwrap_or_default(),
    })
}
