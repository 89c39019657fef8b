//! `simdb status`.

use simdb_planner::desired::Desired;
use simdb_state::object::State;
use simdb_state::sensitive::Secrets;
use simdb_state::store::Store;

use crate::args::Status;
use crate::error::CliError;
use crate::exit::Exit;
use crate::ops;
use crate::session::{Project, block_on};
use crate::target;
use crate::ui::Ui;
use crate::views::doc::StatusDoc;
use crate::views::human::{self, diagnostic};
use crate::views::json::document;

/// Shows the health of clusters: what is recorded against what is seen.
pub(super) fn run(arguments: &Status, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let status = look(arguments, ui).await?;
        ui.answer(&if arguments.json {
            document(&status)
        } else {
            human::status::render(&status, ui.terminal.width)
        });
        Ok(if status.healthy { Exit::Done } else { Exit::Unhealthy })
    })
}

async fn look(arguments: &Status, ui: &Ui) -> Result<StatusDoc, CliError> {
    let project = Project::open()?;
    let Some(store) = project.store().await? else {
        let nothing = State::default();
        arguments
            .cluster
            .as_ref()
            .map(|name| target::cluster(&nothing, name))
            .transpose()?;
        return Ok(StatusDoc::new(
            [],
            &nothing,
            &simdb_planner::observed::Observed::default(),
        ));
    };
    let state = store.snapshot().await?.state;
    let chosen = arguments
        .cluster
        .as_ref()
        .map(|name| target::cluster(&state, name))
        .transpose()?;
    let local = project.local_settings(&arguments.variables.0, ui);
    let world = project.world(Some(store.lineage()), &local);
    let secrets = secrets(&store, ui).await;
    let observed = ops::refresh(&world, &Desired::default(), &state, &secrets).await;
    Ok(match &chosen {
        Some(cluster) => StatusDoc::new([cluster], &state, &observed),
        None => StatusDoc::new(state.clusters.keys(), &state, &observed),
    })
}

/// Reads the secrets. Without their key there is still something to see: processes, files, addresses.
async fn secrets(store: &Store, ui: &Ui) -> Secrets {
    store.secrets().await.unwrap_or_else(|error| {
        let mut documents = CliError::from(error).into_documents();
        for document in &mut documents {
            document.severity = simdb_planner::diagnostic::Severity::Warning;
        }
        ui.tell(&diagnostic::render_all(&documents, ui.terminal.width));
        Secrets::new()
    })
}
