//! What projects left on the daemon: all that has their labels, and names as simdb gives them.

use std::collections::HashMap;

use bollard::models::ContainerSummaryStateEnum;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder, RemoveVolumeOptions,
};

use super::daemon::Daemon;
use super::names::{ADDRESS, FORMAT_LABEL, LINEAGE, Names, PROJECT};
use crate::platform::requests::{At, optional};
use crate::platform::{Leftover, PlatformError};

const CONTAINER: &str = "container";
const VOLUME: &str = "volume";
const NETWORK: &str = "network";

/// Returns what is there of all projects, or of one: containers first, in which the others are used.
pub(super) async fn find(daemon: &Daemon, lineage: Option<&str>) -> Result<Vec<Leftover>, PlatformError> {
    let label = lineage.map_or_else(|| FORMAT_LABEL.to_owned(), |lineage| format!("{LINEAGE}={lineage}"));
    let filter = HashMap::from([("label".to_owned(), vec![label])]);
    let url = &daemon.host.url;
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
    let containers = daemon.docker.list_containers(Some(options)).await;
    let containers = containers
        .map_err(|error| daemon.trouble(error))
        .at("list containers of", url)?;
    let options = ListVolumesOptionsBuilder::new().filters(&filter).build();
    let volumes = daemon.docker.list_volumes(Some(options)).await;
    let volumes = volumes
        .map_err(|error| daemon.trouble(error))
        .at("list volumes of", url)?;
    let options = ListNetworksOptionsBuilder::new().filters(&filter).build();
    let networks = daemon.docker.list_networks(Some(options)).await;
    let networks = networks
        .map_err(|error| daemon.trouble(error))
        .at("list networks of", url)?;
    let of = |kind, name: String, labels: &HashMap<String, String>, runs| of(daemon, (kind, name), labels, runs);
    let containers = containers.into_iter().filter_map(|container| {
        let runs = matches!(
            container.state,
            Some(
                ContainerSummaryStateEnum::RUNNING
                    | ContainerSummaryStateEnum::PAUSED
                    | ContainerSummaryStateEnum::RESTARTING
            )
        );
        let name = container.names?.pop()?;
        of(
            CONTAINER,
            name.trim_start_matches('/').to_owned(),
            &container.labels?,
            runs,
        )
    });
    let volumes = volumes.volumes.unwrap_or_default().into_iter();
    let volumes = volumes.filter_map(|volume| of(VOLUME, volume.name, &volume.labels, false));
    let networks = networks.into_iter();
    let networks = networks.filter_map(|network| of(NETWORK, network.name?, &network.labels?, false));
    Ok(containers.chain(volumes).chain(networks).collect())
}

/// Describes an object whose name is one that simdb gave it: labels alone may come with an image that somebody made of a container.
fn of(
    daemon: &Daemon,
    (kind, name): (&'static str, String),
    labels: &HashMap<String, String>,
    runs: bool,
) -> Option<Leftover> {
    let lineage = labels.get(LINEAGE)?;
    let prefix = format!("{}.", Names::new(lineage, "").prefix());
    name.starts_with(&prefix).then(|| Leftover {
        lineage: lineage.clone(),
        // The projects of a daemon that is elsewhere may be anywhere.
        project: labels.get(PROJECT).filter(|_| !daemon.host.is_remote()).map(Into::into),
        kind,
        name,
        address: labels.get(ADDRESS).cloned(),
        runs,
    })
}

/// Removes what is there of a project.
pub(super) async fn discard(daemon: &Daemon, lineage: &str) -> Result<(), PlatformError> {
    for Leftover { kind, name, .. } in find(daemon, Some(lineage)).await? {
        match kind {
            CONTAINER => daemon.remove(&name).await?,
            VOLUME => {
                let removed = daemon.docker.remove_volume(&name, None::<RemoveVolumeOptions>).await;
                optional(removed.map_err(|error| daemon.trouble(error))).at("remove volume", &name)?;
            }
            _ => {
                let removed = daemon.docker.remove_network(&name).await;
                optional(removed.map_err(|error| daemon.trouble(error))).at("remove network", &name)?;
            }
        }
    }
    Ok(())
}
