//! Stops the server of a node, and removes the node.

use std::time::Duration;

use bollard::models::{ContainerInspectResponse, RestartPolicyNameEnum};
use bollard::query_parameters::{KillContainerOptionsBuilder, LogsOptionsBuilder};
use futures_util::{StreamExt, TryStreamExt};
use simdb_state::instance::StopSignal;
use simdb_state::object::{Resources, Witness};

use super::Hold;
use super::build;
use super::explain;
use super::inspect::strangers;
use super::names::Kind;
use super::process::{self, is_halted, look, process};
use super::site::{Found, Site};
use super::task;
use crate::engine::PROGRAMS;
use crate::platform::requests::{At, optional, refused};
use crate::platform::{PlatformError, StopMode};

/// How long a server may take to stop that does not say.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// How long a server whose data is about to be removed may take to end in order.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// How long it takes until a server that was asked to end is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// How often it is asked again: by then it has said what it does when it is asked.
const ASKED_AGAIN: usize = 4;

/// How long a killed container may take to be gone.
pub(super) const KILL_LIMIT: Duration = Duration::from_secs(20);

/// How many lines of the log an error carries.
const LOG_LINES: usize = 20;

/// How often a removal that somebody looks on is tried again.
const REMOVALS: usize = 20;

/// Sends a signal to the first process of a container; one that does not run hears nothing.
pub(super) async fn kill(hold: &Hold, name: &str, signal: &str) -> Result<(), PlatformError> {
    hold.check().await?;
    let options = KillContainerOptionsBuilder::new().signal(signal).build();
    let sent = hold.site.daemon.docker.kill_container(name, Some(options)).await;
    match sent.map_err(|error| hold.site.daemon.trouble(error)) {
        Err(trouble) if trouble.is_conflict() || trouble.is_absent() => Ok(()),
        sent => sent.at("signal container", name),
    }
}

/// Waits until the containers end in which a server runs: the engine says so at once, and an engine that does not answer says nothing.
pub(super) async fn ended(site: &Site) -> Result<(), PlatformError> {
    let containers = site.containers().await?;
    for container in containers.iter().filter(|container| container.is_server()) {
        let ended = site.daemon.ended(&container.id).await;
        ended.at("wait for container", &container.name)?;
    }
    Ok(())
}

/// Returns whether nothing of the server runs: one that ends and is started again all the time does not.
pub(super) async fn is_down(site: &Site) -> Result<bool, PlatformError> {
    let own = &site.own;
    if let Some(found) = look(&site.daemon, &own.base).await.at("look at container", &own.base)? {
        return Ok(!process::runs(&found));
    }
    // Somebody may have renamed it.
    Ok(strangers(&site.containers().await?, site).next().is_none())
}

/// Stops whatever runs on the volume, and returns how it is known that nothing does.
pub(super) async fn stop(hold: &Hold, mode: StopMode) -> Result<Witness, PlatformError> {
    stop_within(hold, mode, None).await
}

async fn stop_within(hold: &Hold, mode: StopMode, limit: Option<Duration>) -> Result<Witness, PlatformError> {
    let site = &hold.site;
    task::settle(hold).await?;
    if mode == StopMode::Immediate {
        // Should the signal be lost, nothing starts the container again.
        hold.check().await?;
        site.update(build::update(RestartPolicyNameEnum::NO, Resources::default()))
            .await?;
    }
    for container in site
        .containers()
        .await?
        .iter()
        .filter(|container| container.is_server())
    {
        match mode {
            StopMode::Fast => ask_to_end(hold, container, limit).await?,
            StopMode::Immediate => {
                kill(hold, &container.id, "KILL").await?;
                wait_ended(hold, container, KILL_LIMIT).await?;
            }
        }
    }
    match site.containers().await?.iter().find(|container| container.is_server()) {
        None => Ok(Witness::ContainerExited),
        Some(container) => Err(PlatformError::Unprovable {
            node: site.own.node.clone(),
            reason: format!("container {} was started on its data meanwhile", container.name),
        }),
    }
}

/// Asks a server to end in order, and waits until it has.
async fn ask_to_end(hold: &Hold, container: &Found, limit: Option<Duration>) -> Result<(), PlatformError> {
    let site = &hold.site;
    let found = look(&site.daemon, &container.id)
        .await
        .at("look at container", &container.name)?;
    let Some(found) = found else { return Ok(()) };
    let config = found.config.clone().unwrap_or_default();
    let own = (container.kind == Some(Kind::Server))
        .then_some(config.stop_signal)
        .flatten();
    let signal = own.unwrap_or_else(|| usual_signal(&found).to_owned());
    let noted = config.stop_timeout.and_then(|seconds| u64::try_from(seconds).ok());
    let limit = limit.or(noted.map(Duration::from_secs)).unwrap_or(STOP_LIMIT);
    kill(hold, &container.id, &signal).await?;
    if found.state.as_ref().is_some_and(|state| state.paused == Some(true)) {
        // It has gone on by itself where the daemon knew the signal.
        let _ = site.daemon.docker.unpause_container(&container.id).await;
    }
    if is_halted(&site.daemon.docker, &found).await {
        kill(hold, &container.id, "CONT").await?;
    }
    // The first process of a container hears nothing of a signal before it has said what it does then: one that was started a
    // moment ago is asked again.
    for _ in 0..ASKED_AGAIN {
        let ended = site.daemon.wait(&container.id, "not-running", ASK_AGAIN).await;
        if ended.at("wait for container", &container.name)? {
            return Ok(());
        }
        kill(hold, &container.id, &signal).await?;
    }
    wait_ended(hold, container, limit).await
}

/// Returns what asks a server to end whose container says nothing of it: what its engine's servers are asked with.
fn usual_signal(container: &ContainerInspectResponse) -> &'static str {
    let program = container
        .path
        .as_deref()
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or_default();
    match PROGRAMS
        .iter()
        .find(|engine| engine.server == program)
        .map(|engine| engine.stop)
    {
        Some(StopSignal::Interrupt) => "SIGINT",
        Some(StopSignal::Terminate) | None => "SIGTERM",
    }
}

async fn wait_ended(hold: &Hold, container: &Found, limit: Duration) -> Result<(), PlatformError> {
    let site = &hold.site;
    let ended = site.daemon.wait(&container.id, "not-running", limit).await;
    if ended.at("wait for container", &container.name)? {
        return Ok(());
    }
    let process = process(&site.daemon, &container.id).await;
    let process = process.at("look at container", &container.name)?;
    Err(PlatformError::StillRunning {
        node: site.own.node.clone(),
        pids: process.pid().into_iter().collect(),
        limit,
        log: log_of(site, &container.id, LOG_LINES).await?.join("\n"),
    })
}

/// Stops whatever runs on the volume, and removes the volume and the containers that have it.
pub(super) async fn drop_all(hold: &Hold) -> Result<(), PlatformError> {
    let site = &hold.site;
    if !site.has_volume().await? {
        return Ok(());
    }
    if let Err(error) = stop_within(hold, StopMode::Fast, Some(DROP_LIMIT)).await {
        if matches!(error, PlatformError::LockLost { .. } | PlatformError::Unusable(_)) {
            return Err(error);
        }
        stop_within(hold, StopMode::Immediate, None).await?;
    }
    let mut message = None;
    for _ in 0..REMOVALS {
        hold.check().await?;
        let mut containers = site.containers().await?;
        // The one that shows the volume goes last: as long as it is there no other one can bring the volume back.
        containers.sort_by_key(|container| container.kind == Some(Kind::Home));
        for container in &containers {
            if container.kind.is_none() {
                let message = format!(
                    "container {} has it, and is none of this project; remove that first",
                    container.name
                );
                return Err(refused("remove volume", &site.own.base, message));
            }
            site.daemon.remove(&container.id).await?;
        }
        message = site.remove_volume().await?;
        if message.is_none() {
            return Ok(());
        }
    }
    Err(refused("remove volume", &site.own.base, message.unwrap_or_default()))
}

/// Returns the last lines of a server's log, oldest first, and how its container ended where that was not in order.
pub(super) async fn log(site: &Site, lines: usize) -> Result<Vec<String>, PlatformError> {
    let name = &site.own.base;
    let mut log = log_of(site, name, lines).await?;
    let found = look(&site.daemon, name).await.at("look at container", name)?;
    let Some(found) = found else { return Ok(log) };
    let memory = process::resources(&found).memory;
    log.extend(explain::said(&log, memory));
    log.extend(found.state.and_then(|state| explain::ended(&state, memory)));
    Ok(log)
}

async fn log_of(site: &Site, name: &str, lines: usize) -> Result<Vec<String>, PlatformError> {
    let tail = if lines == usize::MAX {
        "all".to_owned()
    } else {
        lines.to_string()
    };
    let options = LogsOptionsBuilder::new().stdout(true).stderr(true).tail(&tail).build();
    let pieces = site
        .daemon
        .docker
        .logs(name, Some(options))
        .map_err(|error| site.daemon.trouble(error));
    let text = pieces
        .map(|piece| piece.map(|piece| piece.to_string()))
        .try_collect::<String>()
        .await;
    // One that is being removed has no log any more.
    let text = match text {
        Err(trouble) if trouble.is_conflict() => None,
        text => optional(text).at("read the log of container", name)?,
    };
    Ok(text.unwrap_or_default().lines().map(str::to_owned).collect())
}
