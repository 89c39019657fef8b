//! What a container says of its first process.

use std::net::SocketAddr;

use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::TopOptionsBuilder;
use simdb_planner::observed::{Halt, ProcessFacts};
use simdb_state::object::Resources;
use simdb_state::place::Bind;

use super::build::NANOSECONDS;
use super::client::Trouble;
use super::daemon::Daemon;
use super::names::LISTEN;
use crate::platform::requests::optional;

/// Reads where a server listens.
pub(super) fn parse_listen(text: &str) -> Option<Bind> {
    let address: SocketAddr = text.parse().ok()?;
    Some(Bind {
        host: address.ip(),
        port: address.port(),
    })
}

/// Returns how much of its machine a container may take.
pub(super) fn resources(container: &ContainerInspectResponse) -> Resources {
    let config = container.host_config.as_ref();
    let limit = |value: Option<i64>| {
        value
            .and_then(|value| u64::try_from(value).ok())
            .filter(|value| *value > 0)
    };
    let nanoseconds = limit(config.and_then(|config| config.nano_cpus));
    Resources {
        memory: limit(config.and_then(|config| config.memory)),
        cpus: nanoseconds.and_then(|cpus| u32::try_from(cpus / NANOSECONDS).ok()),
        storage: None,
    }
}

/// Returns whether a container was made from an image. Engines that keep images in several ways may call it by another identifier than the
/// one that they were asked for: either tells.
pub(super) fn is_made_from(container: &ContainerInspectResponse, image: &str) -> bool {
    let asked_for = container.config.as_ref().and_then(|config| config.image.as_deref());
    [container.image.as_deref(), asked_for].contains(&Some(image))
}

/// Looks at a container, where it is there.
pub(super) async fn look(daemon: &Daemon, name: &str) -> Result<Option<Box<ContainerInspectResponse>>, Trouble> {
    let found = daemon.docker.inspect_container(name, None).await;
    optional(found.map(Box::new).map_err(|error| daemon.trouble(error)))
}

/// Returns a label of a container.
pub(super) fn label<'a>(container: &'a ContainerInspectResponse, name: &str) -> Option<&'a String> {
    container.config.as_ref()?.labels.as_ref()?.get(name)
}

/// Returns what is known of the process of a container.
pub(super) async fn process(daemon: &Daemon, name: &str) -> Result<ProcessFacts, Trouble> {
    match look(daemon, name).await? {
        Some(container) => Ok(process_of(&daemon.docker, &container).await),
        None => Ok(ProcessFacts::Down),
    }
}

/// Returns what is known of the process of a container that was looked at.
pub(super) async fn process_of(docker: &Docker, container: &ContainerInspectResponse) -> ProcessFacts {
    let Some(state) = container.state.as_ref().filter(|_| runs(container)) else {
        return ProcessFacts::Down;
    };
    let pid = state.pid.and_then(|pid| u32::try_from(pid).ok()).unwrap_or_default();
    let frozen = |by| ProcessFacts::Frozen { pid, by };
    if state.paused == Some(true) {
        return frozen(Halt::Pause);
    }
    if is_halted(docker, container).await {
        return frozen(Halt::Signal);
    }
    if is_detached(container) {
        return frozen(Halt::Detached);
    }
    ProcessFacts::Running { pid }
}

/// Returns whether a container has a process, and is not one that is about to be started again.
pub(super) fn runs(container: &ContainerInspectResponse) -> bool {
    let state = container.state.as_ref();
    state.is_some_and(|state| state.running == Some(true) && state.restarting != Some(true))
}

/// Returns whether a process of a container was halted by a signal. A daemon that cannot tell has none that is.
pub(super) async fn is_halted(docker: &Docker, container: &ContainerInspectResponse) -> bool {
    let options = TopOptionsBuilder::new().ps_args("-o pid,stat").build();
    let id = container.id.clone().unwrap_or_default();
    let listed = docker.top_processes(&id, Some(options)).await.unwrap_or_default();
    let mut processes = listed.processes.unwrap_or_default().into_iter();
    processes.any(|process| process.last().is_some_and(|state| state.starts_with('T')))
}

/// Returns whether a server is not in the network, or not at the address, that it was made for: then nobody reaches it.
pub(super) fn is_detached(container: &ContainerInspectResponse) -> bool {
    let Some(listen) = label(container, LISTEN).and_then(|listen| parse_listen(listen)) else {
        return false;
    };
    let settings = container.network_settings.as_ref();
    let networks = settings.and_then(|settings| settings.networks.as_ref());
    let mut addresses = networks.into_iter().flat_map(|networks| networks.values());
    !addresses.any(|network| network.ip_address.as_ref() == Some(&listen.host.to_string()))
}
