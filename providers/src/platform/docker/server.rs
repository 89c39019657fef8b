//! Finds the server of a node, starts it and stops it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerUpdateBody, NetworkConnectRequest, RestartPolicyNameEnum};
use bollard::query_parameters::{KillContainerOptionsBuilder, LogsOptionsBuilder};
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryStreamExt};
use simdb_planner::observed::{FileFacts, Observation, ProcessFacts};
use simdb_state::digest::sha256;
use simdb_state::instance::{InstanceSpec, StopSignal, TaskSpec};
use simdb_state::object::Witness;
use simdb_state::sensitive::Secrets;

use super::Hold;
use super::build::{self, Data, Image};
use super::client::{At, optional, refused};
use super::images::Images;
use super::names::{DIRECTORY, Kind, LISTEN, SPEC};
use super::notes::{self, FILES, FORMAT, Files, Notes, WrittenFile};
use super::process::{is_detached, is_halted, label, look, parse_listen, process, process_of};
use super::script::{self, Ended};
use super::site::{Found, NOTES, STAGED, Site, now};
use super::task;
use crate::engine::PROGRAMS;
use crate::platform::{InstanceFacts, PlatformError, StopMode, text};

/// How long a server may take to stop that does not say.
const STOP_LIMIT: Duration = Duration::from_mins(1);

/// How long a server whose data is about to be removed may take to end in order.
const DROP_LIMIT: Duration = Duration::from_secs(5);

/// How long a killed container may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// How many lines of the log an error carries.
const LOG_LINES: usize = 20;

/// How often a removal that somebody looks on is tried again.
const REMOVALS: usize = 20;

/// Looks at a node.
pub(super) async fn inspect(site: &Site, images: &Images) -> Result<Observation<InstanceFacts>, PlatformError> {
    if !site.has_volume().await? {
        return Ok(Observation::Absent);
    }
    let seen = inspect_volume(site, images).await;
    // It may have been removed while it was looked at.
    if !matches!(seen, Ok(Observation::Seen(_))) && !site.has_volume().await? {
        return Ok(Observation::Absent);
    }
    seen
}

async fn inspect_volume(site: &Site, images: &Images) -> Result<Observation<InstanceFacts>, PlatformError> {
    let containers = site.containers().await?;
    let has = |kind| containers.iter().any(|found| found.kind == Some(kind));
    match (has(Kind::Home), has(Kind::Server)) {
        (true, _) => inspect_through(site, &containers, &site.own.home).await,
        (false, true) => inspect_through(site, &containers, &site.own.base).await,
        (false, false) => {
            // Somebody removed both: a container that is never started shows it for as long as it is looked at.
            let image = images.any(&site.daemon).await?;
            let place = site.path_of("").await?;
            let body = build::task(&site.names, Data::Place(&site.own, &place), &image, "");
            let name = task::unique(&format!("{}.look", site.own.base));
            let window = site.daemon.open(&name, body).await.at("create container", &name)?;
            let seen = inspect_through(site, &containers, &name).await;
            window.close().await?;
            seen
        }
    }
}

/// Looks at a node through one of the containers that have its volume.
async fn inspect_through(
    site: &Site,
    containers: &[Found],
    window: &str,
) -> Result<Observation<InstanceFacts>, PlatformError> {
    let own = &site.own;
    let server = look(&site.daemon, &own.base).await.at("look at container", &own.base)?;
    let process = match (strangers(containers, site).next(), &server) {
        (Some(stranger), _) => {
            let process = process(&site.daemon, &stranger.id).await;
            let pid = process.at("look at container", &stranger.name)?.pid();
            pid.map_or(ProcessFacts::Down, |pid| ProcessFacts::Foreign { pid })
        }
        (None, Some(server)) => process_of(&site.daemon.docker, server).await,
        (None, None) => ProcessFacts::Down,
    };
    let notes = Notes::read(site, window).await?;
    let directories = match notes.products() {
        Ok(products) => directories(site, window, &products).await?,
        Err(reason) => return Ok(Observation::Unknown(reason)),
    };
    Ok(Observation::Seen(InstanceFacts {
        process,
        listen: server.as_ref().and_then(|server| parse_listen(label(server, LISTEN)?)),
        directories,
        outside: BTreeMap::new(),
        files: files(site, window, notes.files()).await?,
    }))
}

/// Returns the servers on the volume that are not the node's own.
fn strangers<'a>(containers: &'a [Found], site: &'a Site) -> impl Iterator<Item = &'a Found> {
    let own = |found: &&Found| found.kind == Some(Kind::Server) && found.name == site.own.base;
    containers
        .iter()
        .filter(|found| found.is_server())
        .filter(move |found| !own(found))
}

/// Returns those of the products that are there, half made ones included.
async fn directories(
    site: &Site,
    window: &str,
    products: &BTreeSet<String>,
) -> Result<BTreeSet<String>, PlatformError> {
    let names = products
        .iter()
        .flat_map(|product| [product.clone(), TaskSpec::partial(product)]);
    let looks = names.map(async |name| {
        let found = site.stat(window, &name).await?;
        Ok(found.filter(|found| found.directory).map(|_| name))
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

/// Looks whether files still hold what was written. One whose size and time are as they were left does.
async fn files(
    site: &Site,
    window: &str,
    written: BTreeMap<String, WrittenFile>,
) -> Result<BTreeMap<String, FileFacts>, PlatformError> {
    let looks = written.into_iter().map(async |(name, file)| {
        let edited = !holds(site, window, &name, &file).await?;
        let digest = file.text;
        Ok((name, FileFacts { digest, edited }))
    });
    Ok(try_join_all(looks).await?.into_iter().collect())
}

async fn holds(site: &Site, window: &str, name: &str, file: &WrittenFile) -> Result<bool, PlatformError> {
    let Some(found) = site.stat(window, name).await? else {
        return Ok(false);
    };
    if (found.size, found.changed) == (file.size, file.changed) {
        return Ok(true);
    }
    let read = site.read(window, &format!("{DIRECTORY}/{name}")).await?;
    let content = read.unwrap_or_default().into_values().next();
    Ok(content.is_some_and(|content| sha256(content) == file.bytes))
}

/// Writes the files of a server, and starts it where it is down.
pub(super) async fn ensure(
    hold: &Hold,
    image: &Image,
    network: &str,
    spec: &InstanceSpec,
    secrets: &Secrets,
) -> Result<(), PlatformError> {
    let site = &hold.site;
    let own = &site.own;
    if !spec.data.is_empty()
        && !site
            .stat(&own.home, &spec.data)
            .await?
            .is_some_and(|found| found.directory)
    {
        return Err(PlatformError::DataMissing {
            node: own.node.clone(),
            path: format!("{DIRECTORY}/{}", spec.data).into(),
        });
    }
    task::settle(hold).await?;
    let containers = site.containers().await?;
    if let Some(stranger) = strangers(&containers, site).next() {
        let message = format!("container {} runs on its data; stop that first", stranger.name);
        return Err(refused("start the server of", &own.node.to_string(), message));
    }
    let found = look(&site.daemon, &own.base).await.at("look at container", &own.base)?;
    let state = found.as_ref().and_then(|found| found.state.as_ref());
    let restarts = state.is_some_and(|state| state.restarting == Some(true));
    let runs = !restarts && state.is_some_and(|state| state.running == Some(true));
    if restarts {
        // It ends and is started again all the time: now it stays down until all is in place.
        kill(hold, &own.base, "KILL").await?;
        site.daemon
            .wait(&own.base, "not-running", KILL_LIMIT)
            .await
            .at("wait for container", &own.base)?;
    }
    if let Some(found) = found.as_deref().filter(|_| runs) {
        thaw(hold, found, network, spec).await?;
    }
    let changes = Changes::of(hold, spec, secrets, runs).await?;
    changes.make(hold, image, runs).await?;
    if runs {
        return Ok(());
    }
    let body = build::server(&site.names, own, image, network, spec);
    start(hold, found.as_deref(), body).await
}

/// Lets a server go on that was halted, and connects it with its network again.
async fn thaw(
    hold: &Hold,
    found: &ContainerInspectResponse,
    network: &str,
    spec: &InstanceSpec,
) -> Result<(), PlatformError> {
    let site = &hold.site;
    let own = &site.own;
    let trouble = |error| site.daemon.trouble(error);
    let paused = found.state.as_ref().is_some_and(|state| state.paused == Some(true));
    if paused {
        hold.check().await?;
        let let_go = site.daemon.docker.unpause_container(&own.base).await;
        let_go.map_err(trouble).at("unpause container", &own.base)?;
    }
    if is_halted(&site.daemon.docker, found).await {
        hold.check().await?;
        // The first process is not among all others.
        let done = site.execute("kill -CONT 1; kill -CONT -1").await;
        done.at("continue the processes of container", &own.base)?;
    }
    if is_detached(found) {
        hold.check().await?;
        let wanted = NetworkConnectRequest {
            container: own.base.clone(),
            endpoint_config: Some(build::endpoint(own, spec.listen.host)),
        };
        // It may be in the network with another address.
        let networks = found
            .network_settings
            .as_ref()
            .and_then(|settings| settings.networks.clone());
        if networks.is_some_and(|networks| {
            networks
                .values()
                .any(|found| found.network_id.as_deref() == Some(network))
        }) {
            let request = bollard::models::NetworkDisconnectRequest {
                container: own.base.clone(),
                force: Some(true),
            };
            let left = site.daemon.docker.disconnect_network(network, request).await;
            left.map_err(trouble).at("disconnect container", &own.base)?;
        }
        let connected = site.daemon.docker.connect_network(network, wanted).await;
        connected.map_err(trouble).at("connect container", &own.base)?;
    }
    Ok(())
}

/// What has to change in a volume before a server is what its spec says.
struct Changes {
    /// What goes, of what is there.
    removed: Vec<String>,
    /// What is written: names, and contents.
    written: Vec<(String, Vec<u8>)>,
    /// What is noted of all files afterwards; absent where nothing changes.
    noted: Option<Files>,
}

impl Changes {
    async fn of(hold: &Hold, spec: &InstanceSpec, secrets: &Secrets, runs: bool) -> Result<Self, PlatformError> {
        let site = &hold.site;
        let home = &site.own.home;
        let notes = Notes::read(site, home).await?;
        let before = notes.files();
        let changed = i64::try_from(now()).unwrap_or_default();
        let mut files = BTreeMap::new();
        let mut written = Vec::new();
        for (name, content) in spec.written() {
            let bytes = text::render(&site.own.node, DIRECTORY, (name, &content), secrets)?;
            let bytes = bytes.expose().clone().into_bytes();
            let file = WrittenFile {
                text: content.digest(),
                bytes: sha256(&bytes),
                size: bytes.len() as u64,
                changed,
            };
            match before.get(name) {
                Some(old) if old.bytes == file.bytes && holds(site, home, name, old).await? => {
                    let changed = old.changed;
                    files.insert(name.clone(), WrittenFile { changed, ..file });
                }
                _ => {
                    files.insert(name.clone(), file);
                    written.push((name.clone(), bytes));
                }
            }
        }
        let stale = before
            .keys()
            .filter(|name| !files.contains_key(*name) && is_inside(name));
        let mut candidates: BTreeSet<String> = stale.chain(&spec.absent).cloned().collect();
        let forgotten = before.keys().any(|name| !files.contains_key(name));
        if !runs {
            let products = notes.products().unwrap_or_default();
            candidates.extend(products.iter().map(|product| TaskSpec::partial(product)));
        }
        let looks = candidates.into_iter().map(async |name| {
            let found = site.stat(home, &name).await?;
            Ok::<_, PlatformError>(found.map(|_| name))
        });
        let removed: Vec<String> = try_join_all(looks).await?.into_iter().flatten().collect();
        let texts_differ = files
            .iter()
            .any(|(name, file)| before.get(name).is_none_or(|old| old.text != file.text));
        let record = (forgotten || texts_differ || !written.is_empty()).then_some(Files { format: FORMAT, files });
        Ok(Self {
            removed,
            written,
            noted: record,
        })
    }

    /// Makes the changes: under a server that runs each file is replaced at once.
    async fn make(self, hold: &Hold, image: &Image, runs: bool) -> Result<(), PlatformError> {
        let site = &hold.site;
        let mut files = self.written;
        files.extend(
            self.noted
                .map(|noted| (format!("{NOTES}/{FILES}"), notes::text(&noted))),
        );
        if files.is_empty() && self.removed.is_empty() {
            return Ok(());
        }
        hold.check().await?;
        let staged: Vec<(String, Vec<u8>)> = files
            .iter()
            .enumerate()
            .map(|(number, (_, content))| (format!("{STAGED}/{number}"), content.clone()))
            .collect();
        site.write(image.owner, &staged).await?;
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        let script = script::arrange(&self.removed, STAGED, &names);
        hold.check().await?;
        let mut written = if runs {
            site.execute(&script)
                .await
                .at("write files in container", &site.own.base)?
                .1
        } else {
            let body = build::task(&site.names, Data::Home(&site.own), image, &script);
            site.daemon
                .run(&site.own.task, body)
                .await
                .at("run container", &site.own.task)?
        };
        match script::ended(&mut written.errors) {
            Ended::Done => Ok(()),
            _ => Err(refused(
                "write files into the volume of",
                &site.own.base,
                written.errors,
            )),
        }
    }
}

/// Notes can be written by the servers' user, and must not lead out of the volume.
fn is_inside(name: &str) -> bool {
    let path = std::path::Path::new(name);
    path.components()
        .all(|part| matches!(part, std::path::Component::Normal(_)))
}

/// Starts a server that is down, in the container that it has where that was made from the same spec.
async fn start(
    hold: &Hold,
    found: Option<&ContainerInspectResponse>,
    body: bollard::models::ContainerCreateBody,
) -> Result<(), PlatformError> {
    let site = &hold.site;
    let own = &site.own;
    let trouble = |error| site.daemon.trouble(error);
    let wanted = body.labels.as_ref().and_then(|labels| labels.get(SPEC));
    let fits = found.is_some_and(|found| {
        let dead = found.state.as_ref().is_some_and(|state| state.dead == Some(true));
        !dead && label(found, SPEC) == wanted
    });
    hold.check().await?;
    // What was renamed or is of another spec is in the way.
    for old in site.containers().await? {
        let replaced = old.kind == Some(Kind::Server) && !(fits && old.name == own.base);
        if replaced && !old.runs {
            site.daemon.remove(&old.id).await?;
        }
    }
    if fits {
        set_restart(site, RestartPolicyNameEnum::UNLESS_STOPPED).await?;
    } else {
        site.daemon
            .create(&own.base, body)
            .await
            .at("create container", &own.base)?;
    }
    hold.check().await?;
    let started = site
        .daemon
        .docker
        .start_container(&own.base, None)
        .await
        .map_err(trouble);
    started.at("start container", &own.base)
}

async fn set_restart(site: &Site, name: RestartPolicyNameEnum) -> Result<(), PlatformError> {
    let body = ContainerUpdateBody {
        restart_policy: Some(build::restart(name)),
        ..ContainerUpdateBody::default()
    };
    let updated = site.daemon.docker.update_container(&site.own.base, body).await;
    let updated = updated.map(drop).map_err(|error| site.daemon.trouble(error));
    optional(updated).at("update container", &site.own.base).map(drop)
}

/// Tells a server, where it runs, to read its files again. A signal that is sent through the daemon would count as a stop:
/// the server would not come back with the daemon.
pub(super) async fn reload(hold: &Hold) -> Result<(), PlatformError> {
    hold.check().await?;
    match hold.site.execute("kill -HUP 1").await {
        Err(trouble) if trouble.is_conflict() || trouble.is_absent() => Ok(()),
        done => done.at("reload the server in container", &hold.site.own.base).map(drop),
    }
}

/// Sends a signal to the first process of a container; one that does not run hears nothing.
async fn kill(hold: &Hold, name: &str, signal: &str) -> Result<(), PlatformError> {
    hold.check().await?;
    let options = KillContainerOptionsBuilder::new().signal(signal).build();
    let sent = hold.site.daemon.docker.kill_container(name, Some(options)).await;
    match sent.map_err(|error| hold.site.daemon.trouble(error)) {
        Err(trouble) if trouble.is_conflict() || trouble.is_absent() => Ok(()),
        sent => sent.at("signal container", name),
    }
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
        set_restart(site, RestartPolicyNameEnum::NO).await?;
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

/// Returns the last lines of a server's log, oldest first.
pub(super) async fn log(site: &Site, lines: usize) -> Result<Vec<String>, PlatformError> {
    log_of(site, &site.own.base, lines).await
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
    let text = optional(text).at("read the log of container", name)?;
    Ok(text.unwrap_or_default().lines().map(str::to_owned).collect())
}
