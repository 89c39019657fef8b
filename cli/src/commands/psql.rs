//! `simdb psql`.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use simdb_planner::desired::Desired;
use simdb_planner::engine::instance::{SUPERUSER, superuser_password};
use simdb_state::address::NodeAddress;
use simdb_state::object::{EngineKind, State};
use simdb_state::store::{Snapshot, Store};

use crate::args::Psql;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{self, Project, block_on};
use crate::target;
use crate::ui::Ui;
use simdb_providers::platform::World;

/// Becomes psql, on the server that is meant. The password goes with the environment, which only the user can read.
pub(super) fn run(arguments: &Psql, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let mut command = prepare(arguments, ui).await?;
        let source = command.args(&arguments.arguments).exec();
        let program = PathBuf::from(command.get_program());
        Err(CliError::Program { program, source })
    })
}

async fn prepare(arguments: &Psql, ui: &Ui) -> Result<Command, CliError> {
    let project = Project::open()?;
    let Some(store) = project.store().await? else {
        target::server(&State::default(), arguments.target.as_deref())?;
        return Err(CliError::refused(
            "No state",
            "Nothing is recorded. Make a cluster first: simdb apply",
        ));
    };
    let Snapshot { state, settings, .. } = store.snapshot().await?;
    let node = target::server(&state, arguments.target.as_deref())?;
    let local = project.local_settings(&arguments.variables.0, settings, ui);
    let local = local.unwrap_or_default();
    let world = project.world(
        Some(store.lineage()),
        &local,
        session::platforms(&state, &Desired::default()),
    );
    let mut command = Command::new(program(&state, &node, &world).await);
    connect(&mut command, &store, &state, &node).await?;
    Ok(command)
}

async fn connect(command: &mut Command, store: &Store, state: &State, node: &NodeAddress) -> Result<(), CliError> {
    let place = state.nodes.get(node).and_then(|node| node.place.as_ref());
    let at = place.and_then(|place| place.clients.as_ref()).ok_or_else(|| {
        let detail = format!("Node {node} has no server yet. Go on with what was begun: simdb apply");
        CliError::refused("No server", detail)
    })?;
    let password = store.secret(&superuser_password(&node.cluster)).await?;
    command
        .env("PGHOST", at.host.to_string())
        .env("PGPORT", at.port.to_string())
        .env("PGUSER", SUPERUSER)
        .env("PGDATABASE", SUPERUSER);
    if let Some(password) = password {
        command.env("PGPASSWORD", password.expose());
    }
    Ok(())
}

/// Finds psql among the programs of the cluster's version, else leaves it to the search path.
async fn program(state: &State, node: &NodeAddress, world: &World) -> PathBuf {
    let cluster = state.clusters.get(&node.cluster);
    let provider = cluster.and_then(|cluster| Some((world.providers.get(&cluster.platform)?, cluster.version)));
    let directory = match provider {
        Some((provider, version)) => {
            let facts = provider.facts().await;
            let directories = facts.engines.get(&EngineKind::Postgresql);
            directories.and_then(|directories| directories.get(&version)).cloned()
        }
        None => None,
    };
    let found = directory
        .map(|directory| PathBuf::from(directory).join("psql"))
        .filter(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from("psql"))
}
