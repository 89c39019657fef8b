//! Looks at a node: what runs on its volume, and what is in it.

use std::collections::{BTreeMap, BTreeSet};

use bollard::models::ContainerInspectResponse;
use futures_util::future::{try_join, try_join_all};
use simdb_planner::observed::{FileFacts, Observation, ProcessFacts};
use simdb_state::digest::sha256;
use simdb_state::instance::TaskSpec;
use simdb_state::object::{Image, ImageNames};

use super::build::{self, Data};
use super::images::Images;
use super::names::{DIRECTORY, IMAGE, IMAGE_ID, Kind, LISTEN, PUBLISHED};
use super::notes::{Notes, WrittenFile};
use super::process::{self, label, look, parse_listen, process, process_of, resources};
use super::site::{Found, Site};
use super::task;
use crate::platform::requests::At;
use crate::platform::{InstanceFacts, PlatformError};

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
    match seen {
        // The daemon has many words for what goes away while it is read.
        Err(PlatformError::Io { doing, path, source }) => Ok(Observation::Unknown(format!(
            "failed to {doing} {}: {source}",
            path.display()
        ))),
        seen => seen,
    }
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
    // The daemon is slow where a machine is busy, and who looks waits for no node for long.
    let ((process, server), content) = try_join(server(site, containers), content(site, window)).await?;
    let (directories, files) = match content {
        Ok(content) => content,
        Err(reason) => return Ok(Observation::Unknown(reason)),
    };
    let shown = look(&site.daemon, window).await.at("look at container", window)?;
    if shown.is_none() {
        // What was not found may have been there.
        return Ok(Observation::Unknown("it was changed while it was looked at".to_owned()));
    }
    Ok(Observation::Seen(InstanceFacts {
        process,
        listen: server.as_ref().and_then(|server| parse_listen(label(server, LISTEN)?)),
        image: server.as_deref().and_then(image),
        resources: server.as_deref().map(resources),
        published: server
            .as_ref()
            .and_then(|server| parse_listen(label(server, PUBLISHED)?)),
        directories,
        outside: BTreeMap::new(),
        files,
    }))
}

/// Looks at the server of a node, and at who else runs on its volume.
async fn server(
    site: &Site,
    containers: &[Found],
) -> Result<(ProcessFacts, Option<Box<ContainerInspectResponse>>), PlatformError> {
    let base = &site.own.base;
    let server = look(&site.daemon, base).await.at("look at container", base)?;
    let process = match (strangers(containers, site).next(), &server) {
        (Some(stranger), _) => {
            let process = process(&site.daemon, &stranger.id).await;
            let pid = process.at("look at container", &stranger.name)?.pid();
            pid.map_or(ProcessFacts::Down, |pid| ProcessFacts::Foreign { pid })
        }
        (None, Some(server)) => process_of(&site.daemon.docker, server).await,
        (None, None) => ProcessFacts::Down,
    };
    Ok((process, server))
}

/// Returns the image that a server's container was made from: the one that it was given, unless somebody made it anew from another
/// one and kept its labels.
pub(super) fn image(server: &ContainerInspectResponse) -> Option<Image> {
    let given = Image::from(label(server, IMAGE)?.as_str());
    match (label(server, IMAGE_ID), &server.image) {
        (Some(noted), Some(has)) if !process::is_made_from(server, noted) => {
            let reference = server.config.as_ref().and_then(|config| config.image.clone());
            let names = ImageNames {
                reference: reference
                    .filter(|name| !name.starts_with("sha256:"))
                    .unwrap_or_default(),
                digest: has.clone(),
            };
            Some(names.into())
        }
        _ => Some(given),
    }
}

/// What is in a volume: the directories and files that were noted.
type Content = (BTreeSet<String>, BTreeMap<String, FileFacts>);

/// Looks at what is in the volume, or says why that is not known.
async fn content(site: &Site, window: &str) -> Result<Result<Content, String>, PlatformError> {
    let notes = Notes::read(site, window).await?;
    let products = match notes.products() {
        Ok(products) => products,
        Err(reason) => return Ok(Err(reason)),
    };
    let looks = try_join(directories(site, window, &products), files(site, window, notes.files()));
    Ok(Ok(looks.await?))
}

/// Returns the servers on the volume that are not the node's own.
pub(super) fn strangers<'a>(containers: &'a [Found], site: &'a Site) -> impl Iterator<Item = &'a Found> {
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

/// Returns whether a file still holds what was written.
pub(super) async fn holds(site: &Site, window: &str, name: &str, file: &WrittenFile) -> Result<bool, PlatformError> {
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use bollard::models::ContainerConfig;

    use super::*;

    #[test]
    fn the_image_of_a_server_is_the_one_that_its_container_was_made_from() {
        let server = |noted: &[(&str, &str)]| ContainerInspectResponse {
            image: Some("sha256:2".to_owned()),
            config: Some(ContainerConfig {
                image: Some("db:15".to_owned()),
                labels: Some(
                    noted
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                        .collect::<HashMap<_, _>>(),
                ),
                ..ContainerConfig::default()
            }),
            ..ContainerInspectResponse::default()
        };
        let seen = |noted: &[(&str, &str)]| image(&server(noted)).map(|image| image.to_string());
        let given = (IMAGE, "r:5000/db:15@sha256:7");
        assert_eq!(
            seen(&[given, (IMAGE_ID, "sha256:2")]).as_deref(),
            Some("r:5000/db:15@sha256:7")
        );
        assert_eq!(
            seen(&[given, (IMAGE_ID, "sha256:1")]).as_deref(),
            Some("db:15@sha256:2"),
            "somebody made it anew"
        );
        assert_eq!(
            seen(&[(IMAGE, "sha256:7")]).as_deref(),
            Some("sha256:7"),
            "as it was noted before"
        );
        assert_eq!(seen(&[]), None);
    }
}
