//! `simdb psql`.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use simdb_planner::desired::Desired;
use simdb_planner::engine::instance::{SUPERUSER, superuser_password};
use simdb_state::address::NodeAddress;
use simdb_state::object::{EngineKind, State};
use simdb_state::place::Place;
use simdb_state::store::{Snapshot, Store};

use crate::args::Psql;
use crate::error::CliError;
use crate::exit::Exit;
use crate::session::{self, Project, block_on};
use crate::target;
use crate::ui::Ui;
use simdb_providers::platform::bridge::Bridge;
use simdb_providers::platform::{Dial, World};

/// Becomes psql, on the server that is meant. The password goes with the environment, which only the user can read. Where only the
/// server's platform reaches it, psql is led there for as long as it runs.
pub(super) fn run(arguments: &Psql, ui: &Ui) -> Result<Exit, CliError> {
    block_on(async {
        let (mut command, bridge) = prepare(arguments, ui).await?;
        command.args(&arguments.arguments);
        let failed = |source, command: &Command| CliError::Program {
            program: PathBuf::from(command.get_program()),
            source,
        };
        let Some(_bridge) = bridge else {
            let source = command.exec();
            return Err(failed(source, &command));
        };
        // What the user types to interrupt a query is for psql.
        let ignored = tokio::spawn(async { while tokio::signal::ctrl_c().await.is_ok() {} });
        let mut child = command.spawn().map_err(|source| failed(source, &command))?;
        let ended = tokio::task::spawn_blocking(move || child.wait()).await;
        ignored.abort();
        let status = ended.map_err(io::Error::other).flatten();
        let status = status.map_err(|source| failed(source, &command))?;
        Ok(if status.success() { Exit::Done } else { Exit::Failed })
    })
}

async fn prepare(arguments: &Psql, ui: &Ui) -> Result<(Command, Option<Bridge>), CliError> {
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
    let place = connect(&mut command, &store, &state, &node).await?;
    let bridge = bridge(&mut command, &world, &node, place).await?;
    Ok((command, bridge))
}

/// Leads the command to a server that is known by a name of its platform alone.
async fn bridge(
    command: &mut Command,
    world: &World,
    node: &NodeAddress,
    place: &Place,
) -> Result<Option<Bridge>, CliError> {
    if !place.is_named() {
        return Ok(None);
    }
    let dial = Arc::clone(&world.platform) as Arc<dyn Dial>;
    let bridge = Bridge::open(dial, node.into(), place.clone()).await;
    let bridge = bridge.map_err(|source| CliError::Program {
        program: PathBuf::from(command.get_program()),
        source,
    })?;
    command.env("PGHOST", bridge.at.ip().to_string());
    command.env("PGPORT", bridge.at.port().to_string());
    Ok(Some(bridge))
}

async fn connect<'a>(
    command: &mut Command,
    store: &Store,
    state: &'a State,
    node: &NodeAddress,
) -> Result<&'a Place, CliError> {
    let missing = || {
        let detail = format!("Node {node} has no server yet. Go on with what was begun: simdb apply");
        CliError::refused("No server", detail)
    };
    let place = state.nodes.get(node).and_then(|node| node.place.as_ref());
    let place = place.ok_or_else(missing)?;
    let at = place.clients.as_ref().ok_or_else(missing)?;
    let password = store.secret(&superuser_password(&node.cluster)).await?;
    command
        .env("PGHOST", at.host.to_string())
        .env("PGPORT", at.port.to_string())
        .env("PGUSER", SUPERUSER)
        .env("PGDATABASE", SUPERUSER);
    if let Some(password) = password {
        command.env("PGPASSWORD", password.expose());
    }
    Ok(place)
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
