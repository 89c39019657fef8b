//! `simdb plan`: looks, plans, shows; takes no lock, and writes nothing but the plan itself where that is to be saved.

mod generated;

use std::path::Path;
use std::sync::Arc;

use simdb_state::object::State;
use simdb_state::sensitive::Secrets;

use crate::args::{Facts, Format, Plan};
use crate::error::CliError;
use crate::exit::Exit;
use crate::ops::{self, Known, Planned, beforehand};
use crate::policy;
use crate::request::Request;
use crate::saved::SavedPlan;
use crate::session::{self, Project, block_on};
use crate::ui::Ui;
use crate::views::doc::{Estimates, Operation, PlanDoc};
use crate::views::operation::View;
use crate::views::{github, json, markdown};

/// Shows what an apply, or a destroy, would do.
pub(super) fn run(arguments: &Plan, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let view = View::of_plan(ui, arguments.planning.json, arguments.planning.viewing);
    let result = block_on(async {
        let operation = if arguments.refresh_only {
            Operation::Refresh
        } else {
            operation(arguments.destroy)
        };
        if let Some(path) = &arguments.generate_config_out {
            generated::write(path, &arguments.planning.facts.variables.0, ui).await?;
        }
        let record = match arguments.out {
            Some(_) => Record::Made,
            None => Record::Found,
        };
        let mut made = make(
            operation,
            &Request::Configuration(&arguments.selection),
            &arguments.planning.facts,
            record,
            &view,
        )
        .await?;
        judge(&mut made, arguments.planning.policy_command.as_deref(), ui).await?;
        let saved = match &arguments.out {
            Some(path) if !made.planned.is_broken() => Some(save(&made, path, arguments).await?),
            _ => None,
        };
        let document = made.into_document();
        match arguments.output {
            Format::Human => {
                view.plan(&document);
                view.diagnostics(&document.diagnostics);
            }
            Format::Json => ui.answer(&json::document(&document)),
            Format::Markdown => ui.answer(&markdown::plan(&document)),
            Format::Github => ui.answer(&github::plan(&document)),
        }
        if let Some(sentence) = saved {
            ui.tell(&sentence);
        }
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

/// Lets the policy judge a plan; a refusal is part of what is wrong with it.
pub(super) async fn judge(made: &mut Made, command: Option<&str>, ui: &Ui) -> Result<(), CliError> {
    let Some(command) = command.filter(|_| !made.planned.is_broken()) else {
        return Ok(());
    };
    let document = &mut made.planned.document;
    match policy::judge(command, document, ui).await {
        Ok(()) => Ok(()),
        Err(CliError::Diagnosed(refusal)) => {
            document.add_diagnostics(refusal);
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Returns what a plan is for that is only looked at.
pub(super) fn operation(destroy: bool) -> Operation {
    if destroy { Operation::Destroy } else { Operation::Apply }
}

/// Saves a plan, and returns what is said of it.
async fn save(made: &Made, path: &Path, arguments: &Plan) -> Result<String, CliError> {
    let Made {
        project,
        planned,
        recorded,
        serial: _,
        estimates,
    } = made;
    let inputs = project.kept_inputs(&arguments.planning.facts.variables.0)?;
    let saved = SavedPlan::new(
        (&planned.plan, &planned.drift, &planned.found),
        &planned.document,
        estimates.clone(),
        (&project.source, &inputs),
        &arguments.selection,
        recorded,
    );
    saved.write(path, &project.create_store().await?).await?;
    let path = path.display();
    Ok(format!(
        "\nSaved the plan to: {path}\n\nTo perform exactly these actions, run the following command to apply:\n    simdb \
         apply \"{path}\"\n"
    ))
}

/// A plan to be looked at, and what it was made from.
pub(super) struct Made {
    pub(super) project: Project,
    pub(super) planned: Planned,
    pub(super) recorded: State,
    /// Counts the commits of the record; absent where there was none.
    serial: Option<u64>,
    estimates: Estimates,
}

impl Made {
    /// Returns whether the record was written since.
    async fn has_moved(&self) -> Result<bool, CliError> {
        let store = self.project.store().await?;
        let serial = match (&store, self.serial) {
            (Some(store), Some(_)) => Some(store.serial().await?),
            _ => None,
        };
        Ok(serial != self.serial)
    }

    /// Returns what is shown. The steps as they are run go: they are what is large.
    pub(super) fn into_document(self) -> PlanDoc {
        self.planned.document
    }
}

/// What is done where nothing is recorded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// It is left at that.
    Found,
    /// An empty record is made: its key seals the plan, and tells passwords apart.
    Made,
}

/// How often a record is looked at that changes meanwhile: a run goes on then, and what was seen may be of another moment.
const LOOKS: usize = 3;

/// Looks and plans. What was seen is of the moment of the record: where a run goes on meanwhile it is looked again.
pub(super) async fn make(
    operation: Operation,
    request: &Request<'_>,
    arguments: &Facts,
    record: Record,
    view: &View,
) -> Result<Made, CliError> {
    let mut made = look(operation, request, arguments, record, Some(view)).await?;
    for _ in 1..LOOKS {
        if !arguments.refresh || !made.has_moved().await? {
            break;
        }
        made = look(operation, request, arguments, record, None).await?;
    }
    Ok(made)
}

/// Looks once and plans. Warnings are shown where there is a view.
async fn look(
    operation: Operation,
    request: &Request<'_>,
    arguments: &Facts,
    record: Record,
    view: Option<&View>,
) -> Result<Made, CliError> {
    let project = Project::open()?;
    let store = project.store().await?;
    let (mut snapshot, mut secrets) = match &store {
        Some(store) => (Some(store.snapshot().await?), store.secrets().await?),
        None => (None, Secrets::new()),
    };
    let (mut config, warnings) = match (request, &snapshot) {
        (Request::Configuration(_) | Request::Import { .. }, _) | (_, None) => project.load(&arguments.variables.0)?,
        (_, Some(snapshot)) => project.load_or_recorded(&arguments.variables.0, snapshot)?,
    };
    if let Some(view) = view {
        view.diagnostics(&warnings);
    }
    if let Some(snapshot) = &snapshot {
        session::keep_providers(&mut config.desired, snapshot);
    }
    let moves = match &mut snapshot {
        Some(snapshot) => ops::relocate(operation, &config.desired, &mut snapshot.state, &mut secrets),
        None => Vec::new(),
    };
    let nothing = State::default();
    let recorded = snapshot.as_ref().map_or(&nothing, |snapshot| &snapshot.state);
    request.adjust(&mut config, recorded)?;
    let store = match (store, record) {
        (None, Record::Made) => Some(project.create_store().await?),
        (store, _) => store,
    };
    ops::digest_passwords(&mut config.desired, store.as_ref()).await?;
    let known = Known {
        config: &config,
        recorded,
        unfinished: snapshot.as_ref().and_then(|snapshot| snapshot.unfinished.as_ref()),
        secrets: &secrets,
        moves: &moves,
        scope: &request.scope(),
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
    let mut planned = ops::plan(operation, &known, &observed, proposal.as_ref(), &project.source);
    if arguments.refresh {
        beforehand::check(&world, &known, &observed, &mut planned).await;
    }
    let estimates = ops::estimates(&planned.plan, store.as_ref()).await?;
    planned.document.estimate(&estimates);
    Ok(Made {
        project,
        planned,
        serial: snapshot.as_ref().map(|snapshot| snapshot.serial),
        recorded: snapshot.map(|snapshot| snapshot.state).unwrap_or_default(),
        estimates,
    })
}
