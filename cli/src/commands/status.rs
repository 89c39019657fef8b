//! `simdb status`.

use jiff::Timestamp;
use simdb_planner::desired::Desired;
use simdb_planner::observed::{Observation, Observed};
use simdb_state::name::ClusterName;
use simdb_state::object::State;
use simdb_state::sensitive::Secrets;
use simdb_state::store::Store;

use crate::args::Status;
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt;
use crate::ops;
use crate::session::{self, Project, block_on};
use crate::target;
use crate::ui::Ui;
use crate::views::doc::StatusDoc;
use crate::views::human::{self, diagnostic};
use crate::views::json::{document, line};
use simdb_providers::platform::World;

/// Shows the health of clusters: what is recorded against what is seen.
pub(super) fn run(arguments: &Status, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let watched = Watched::open(arguments, ui).await?;
        if arguments.watch {
            return watch(&watched, arguments, ui).await;
        }
        let status = watched.look().await?;
        ui.answer(&if arguments.json {
            document(&status.clone().checked(&Timestamp::now().to_string()))
        } else {
            human::status::render(&status, ui.terminal.width)
        });
        Ok(if status.healthy { Exit::Done } else { Exit::Unhealthy })
    })
}

/// Shows the status again and again: drawn over on a terminal, elsewhere whenever it has changed. Being interrupted is
/// how it ends.
async fn watch(watched: &Watched, arguments: &Status, ui: &Ui) -> Result<Exit, CliError> {
    let interrupted = interrupt::once()?;
    tokio::pin!(interrupted);
    let mut shown = None;
    while !ui.is_gone() {
        let status = tokio::select! {
            () = &mut interrupted => break,
            status = watched.look() => status?,
        };
        if arguments.json {
            if shown.as_ref() != Some(&status) {
                ui.answer(&line(&status.clone().checked(&Timestamp::now().to_string())));
            }
        } else if ui.terminal.redrawn {
            ui.redraw(&human::status::render(&status, ui.terminal.width));
        } else if shown.as_ref() != Some(&status) {
            let gap = if shown.is_some() { "\n" } else { "" };
            ui.answer(&format!("{gap}{}", human::status::render(&status, ui.terminal.width)));
        }
        shown = Some(status);
        tokio::select! {
            () = &mut interrupted => break,
            () = tokio::time::sleep(arguments.interval) => {}
        }
    }
    Ok(Exit::Done)
}

/// What is looked at.
struct Watched {
    /// Absent where nothing is recorded; the world, where nobody can say where it is.
    store: Option<(Store, Option<World>)>,
    cluster: Option<ClusterName>,
    secrets: Secrets,
}

impl Watched {
    async fn open(arguments: &Status, ui: &Ui) -> Result<Self, CliError> {
        let project = Project::open()?;
        let store = project.store().await?;
        let state = match &store {
            Some(store) => store.snapshot().await?.state,
            None => State::default(),
        };
        let cluster = arguments.cluster.as_ref();
        let cluster = cluster.map(|name| target::cluster(&state, name)).transpose()?;
        let Some(store) = store else {
            return Ok(Self {
                store: None,
                cluster,
                secrets: Secrets::new(),
            });
        };
        let settings = store.snapshot().await?.settings;
        let local = project.local_settings(&arguments.variables.0, settings, ui);
        let platforms = session::platforms(&state, &Desired::default());
        let world = local.map(|local| project.world(Some(store.lineage()), &local, platforms));
        let secrets = secrets(&store, ui).await;
        Ok(Self {
            store: Some((store, world)),
            cluster,
            secrets,
        })
    }

    async fn look(&self) -> Result<StatusDoc, CliError> {
        let Some((store, world)) = &self.store else {
            return Ok(StatusDoc::new([], &State::default(), &Observed::default()));
        };
        let state = store.snapshot().await?.state;
        let observed = match world {
            Some(world) => ops::refresh(world, &Desired::default(), &state, &self.secrets).await,
            None => nowhere(&state),
        };
        let status = match &self.cluster {
            Some(cluster) => StatusDoc::new([cluster], &state, &observed),
            None => StatusDoc::new(state.clusters.keys(), &state, &observed),
        };
        let status = status.with_pauses(&store.pauses().await?, Timestamp::now());
        Ok(status.with_times(&store.events().await?))
    }
}

/// What is seen where nobody can say where data lives: nothing is known, and nothing is gone.
fn nowhere(state: &State) -> Observed {
    fn unknown<T>() -> Observation<T> {
        Observation::Unknown(
            "the configuration cannot be read, and the record does not say where data lives".to_owned(),
        )
    }
    Observed {
        nodes: state.nodes.keys().map(|node| (node.clone(), unknown())).collect(),
        endpoints: state
            .endpoints
            .keys()
            .map(|endpoint| (endpoint.clone(), unknown()))
            .collect(),
        poolers: state
            .endpoints
            .keys()
            .map(|endpoint| (endpoint.clone(), unknown()))
            .collect(),
        ..Observed::default()
    }
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
