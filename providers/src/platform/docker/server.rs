//! Starts the server of a node, and tells it to read its files.

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest,
    RestartPolicyNameEnum,
};
use simdb_state::instance::InstanceSpec;
use simdb_state::object::Resources;
use simdb_state::sensitive::Secrets;

use super::Hold;
use super::archive::Owner;
use super::build::{self, Image};
use super::changes::{Changes, Reader};
use super::images::Images;
use super::inspect::strangers;
use super::names::{DIRECTORY, Kind, LISTEN, SPEC};
use super::process::{self, is_detached, is_halted, label, look, parse_listen};
use super::site::Site;
use super::stop::{KILL_LIMIT, kill};
use super::task;
use crate::platform::PlatformError;
use crate::platform::requests::{At, optional, refused};

/// Writes the files of a server, and starts it where it is down.
pub(super) async fn ensure(
    hold: &Hold,
    (images, image): (&Images, &Image),
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
    let runs = found.as_deref().is_some_and(process::runs);
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
    let reader = match &found {
        Some(_) if runs => Reader::Runs,
        Some(_) => Reader::Down,
        None => Reader::None,
    };
    changes.make(hold, image, reader).await?;
    if runs {
        return Ok(());
    }
    let body = build::server(&site.names, own, image, network, spec);
    start(hold, found.as_deref(), (images, image), body, spec.resources).await
}

/// Lets a server go on that was halted, connects it with its network again, and gives it what it may take.
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
    let has = process::resources(found);
    if spec.resources.or(has) != has {
        hold.check().await?;
        site.update(build::update(RestartPolicyNameEnum::UNLESS_STOPPED, spec.resources))
            .await?;
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
            let request = NetworkDisconnectRequest {
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

/// Starts a server that is down, in the container that it has where that was made from the same spec.
async fn start(
    hold: &Hold,
    found: Option<&ContainerInspectResponse>,
    (images, image): (&Images, &Image),
    body: ContainerCreateBody,
    resources: Resources,
) -> Result<(), PlatformError> {
    let site = &hold.site;
    let own = &site.own;
    let trouble = |error| site.daemon.trouble(error);
    let wanted = body.labels.as_ref().and_then(|labels| labels.get(SPEC));
    let from_same_image = |found: &ContainerInspectResponse| {
        let image = body.image.as_deref();
        image.is_some_and(|image| process::is_made_from(found, image))
    };
    let fits = found.is_some_and(|found| {
        let dead = found.state.as_ref().is_some_and(|state| state.dead == Some(true));
        // One that somebody made anew has the labels that it had, and another image.
        !dead && label(found, SPEC) == wanted && from_same_image(found) && !resources.lifts(&process::resources(found))
    });
    if !fits {
        same_user(site, images.owner(&site.daemon, &image.id, &image.account).await?).await?;
    }
    hold.check().await?;
    // What was renamed or is of another spec is in the way.
    for old in site.containers().await? {
        let replaced = old.kind == Some(Kind::Server) && !(fits && old.name == own.base);
        if replaced && !old.runs {
            site.daemon.remove(&old.id).await?;
        }
    }
    if fits {
        site.update(build::update(RestartPolicyNameEnum::UNLESS_STOPPED, resources))
            .await?;
    } else {
        site.daemon
            .create(&own.base, body)
            .await
            .at("create container", &own.base)?;
        join(site, found).await?;
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

/// Lets a container into the other networks that the one before it was in: those of endpoints, and those that people gave it.
async fn join(site: &Site, before: Option<&ContainerInspectResponse>) -> Result<(), PlatformError> {
    let own = &site.own;
    let trouble = |error| site.daemon.trouble(error);
    let settings = before.and_then(|before| before.network_settings.as_ref());
    let networks = settings
        .and_then(|settings| settings.networks.clone())
        .unwrap_or_default();
    let listen = before.and_then(|before| parse_listen(label(before, LISTEN)?));
    let address = |network: &EndpointSettings| network.ipam_config.as_ref()?.ipv4_address.clone();
    for (name, network) in networks {
        // That of its cluster it is in already.
        let is_own = listen.is_some_and(|listen| address(&network) == Some(listen.host.to_string()));
        if is_own {
            continue;
        }
        // One that it was put into while it was down is known by name alone.
        let id = network.network_id.filter(|id| !id.is_empty()).unwrap_or(name);
        let request = NetworkConnectRequest {
            container: own.base.clone(),
            endpoint_config: Some(EndpointSettings {
                aliases: network.aliases,
                ..EndpointSettings::default()
            }),
        };
        let connected = site.daemon.docker.connect_network(&id, request).await;
        // One that is gone by now is no loss.
        optional(connected.map_err(trouble)).at("connect container", &own.base)?;
    }
    Ok(())
}

/// Refuses an image whose servers run as another user than the one that the data belongs to.
async fn same_user(site: &Site, wanted: Owner) -> Result<(), PlatformError> {
    let own = &site.own;
    let home = look(&site.daemon, &own.home).await.at("look at container", &own.home)?;
    let owner = home.and_then(|home| home.config?.user).unwrap_or_default();
    let wanted = wanted.to_string();
    if owner == wanted {
        return Ok(());
    }
    let message = format!(
        "its data belongs to user {owner}, and servers of the image run as user {wanted}; use an image whose servers run as {owner}"
    );
    Err(refused("start the server of", &own.node.to_string(), message))
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
