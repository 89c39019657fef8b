//! The images that containers are made from.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bollard::models::ImageInspect;
use bollard::query_parameters::ListImagesOptions;
use simdb_state::instance::Command;
use simdb_state::object::{EngineKind, Image as MadeFrom, ImageNames};

use super::archive::Owner;
use super::build::Image;
use super::daemon::Daemon;
use super::pull::{self, Pull};
use super::site::Site;
use crate::engine::PROGRAMS;
use crate::platform::PlatformError;
use crate::platform::requests::{At, optional, refused};

/// What stands for the major version in the name of an image.
pub(super) const VERSION: &str = "{version}";

/// As whom a container is made that is never started.
const ROOT: Owner = Owner { user: 0, group: 0 };

/// The version of an engine whose versions are not told apart.
pub(super) const ONLY_VERSION: u16 = 1;

/// The image that is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// What is run in it.
    pub(super) command: &'a Command,
    /// The name that only it has, where it must be that one.
    pub(super) name: Option<&'a str>,
    /// Whether it is fetched where it is missing.
    pub(super) fetched: bool,
}

/// The images that containers are made from.
#[derive(Debug)]
pub(super) struct Images {
    /// The name of those with data, where one is declared.
    declared: Option<String>,
    /// The name of that of the pooler, where one is declared. It has no place for a version.
    pooler: Option<String>,
    /// When they are fetched.
    pub(super) pull: Pull,
    /// The users of images that were looked at before: an image never changes.
    owners: Mutex<BTreeMap<(String, String), Owner>>,
}

impl Images {
    /// Makes what finds images. One that is declared has a place for the major version in its name.
    pub(super) fn new(declared: Option<String>, pooler: Option<&String>, pull: Pull) -> Self {
        Self {
            declared,
            pooler: pooler.map(|name| tagged(name)),
            pull,
            owners: Mutex::default(),
        }
    }

    /// Returns what images of an engine are called, where there are some.
    pub(super) fn name(&self, engine: EngineKind) -> Option<String> {
        let mut contained = PROGRAMS.iter().filter(|programs| programs.contained);
        let programs = contained.find(|programs| programs.engine == engine)?;
        match programs.image {
            Some(usual) => Some(self.declared.clone().unwrap_or_else(|| usual.to_owned())),
            None => self.pooler.clone(),
        }
    }

    /// Finds the image of a command's program, by one of its names where it must be that one. Its programs run as the owner of the volume,
    /// where that is known.
    pub(super) async fn image(
        &self,
        daemon: &Daemon,
        wanted: Wanted<'_>,
        owner: Option<Owner>,
    ) -> Result<Image, PlatformError> {
        let command = wanted.command;
        let Some(name) = self.name(command.engine) else {
            return Err(PlatformError::EngineMissing {
                engine: command.engine,
                version: command.version,
                searched: "no image: it does not run in containers with this version".to_owned(),
            });
        };
        let name = name.replace(VERSION, &command.version.to_string());
        let mut found = self.find(daemon, &name, wanted.name).await?;
        if found.is_none() && wanted.fetched && self.pull != Pull::Never {
            pull::pull(daemon, &name).await?;
            found = self.find(daemon, &name, wanted.name).await?;
        }
        let Some(found) = found else {
            return Err(match wanted.name {
                Some(wanted) => {
                    let message =
                        format!("it is no longer {wanted}, with which this was planned. Plan again: simdb apply");
                    refused("use image", &name, message)
                }
                None => PlatformError::EngineMissing {
                    engine: command.engine,
                    version: command.version,
                    searched: format!("images of {}; get it with: docker pull {name}", daemon.host.url),
                },
            });
        };
        let names = names(&found.repo_digests.unwrap_or_default(), found.id.as_deref(), &name);
        let config = found.config.unwrap_or_default();
        let id = found.id.unwrap_or_else(|| name.clone());
        let account = PROGRAMS.iter().find(|programs| programs.engine == command.engine);
        let account = account.map(|programs| programs.server).unwrap_or_default();
        let user = config.user.filter(|user| !user.is_empty());
        let account = user.unwrap_or_else(|| account.to_owned());
        let owner = match owner {
            Some(owner) => owner,
            None => self.owner(daemon, &id, &account).await?,
        };
        Ok(Image {
            name: MadeFrom::from(ImageNames {
                digest: wanted
                    .name
                    .map_or_else(|| names.first().cloned().unwrap_or_default(), str::to_owned),
                reference: name.clone(),
            }),
            account,
            owner,
            volumes: config.volumes.unwrap_or_default(),
            id,
        })
    }

    /// Looks for an image: under its name, or, where it must be another one than that is now, under the name that only it has.
    async fn find(
        &self,
        daemon: &Daemon,
        name: &str,
        wanted: Option<&str>,
    ) -> Result<Option<ImageInspect>, PlatformError> {
        let own = wanted.map(|wanted| [wanted.to_owned(), format!("{}@{wanted}", repository(name))]);
        for candidate in std::iter::once(name.to_owned()).chain(own.into_iter().flatten()) {
            let found = daemon.docker.inspect_image(&candidate).await;
            let found = found.map_err(|error| daemon.trouble(error));
            let Some(found) = optional(found).at("look at image", &candidate)? else {
                continue;
            };
            let names = names(
                found.repo_digests.as_deref().unwrap_or_default(),
                found.id.as_deref(),
                name,
            );
            if wanted.is_none_or(|wanted| names.iter().any(|name| name == wanted)) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// Returns the numbers of an image's user. Where it is a name, they stand in a file of the image, which is read through a
    /// container that is never started.
    pub(super) async fn owner(&self, daemon: &Daemon, image: &str, user: &str) -> Result<Owner, PlatformError> {
        if let Some(numbers) = numbers(user) {
            return Ok(numbers);
        }
        let owners = || self.owners.lock().unwrap_or_else(PoisonError::into_inner);
        let known_by = (image.to_owned(), user.to_owned());
        if let Some(known) = owners().get(&known_by) {
            return Ok(*known);
        }
        let name = user.split_once(':').map_or(user, |(name, _)| name);
        let users = daemon.file_of_image(image, "/etc/passwd").await?;
        let mut entries = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
        let entry = entries.find(|fields| fields.first() == Some(&name));
        let found = entry.and_then(|fields| numbers(&format!("{}:{}", fields.get(2)?, fields.get(3)?)));
        let found = found.ok_or_else(|| {
            let message = format!("it has no user \"{name}\" in /etc/passwd to run servers as");
            refused("use image", image, message)
        })?;
        owners().insert(known_by, found);
        Ok(found)
    }

    /// Returns some image, for a container that is never started.
    pub(super) async fn any(&self, daemon: &Daemon) -> Result<Image, PlatformError> {
        let listed = daemon.docker.list_images(None::<ListImagesOptions>).await;
        let listed = listed
            .map_err(|error| daemon.trouble(error))
            .at("list images of", &daemon.host.url)?;
        let names: Vec<String> = PROGRAMS
            .iter()
            .filter_map(|programs| self.name(programs.engine))
            .collect();
        let ours = |tag: &String| names.iter().any(|name| version_of(name, tag).is_some());
        let found = listed.into_iter().find(|image| image.repo_tags.iter().any(ours));
        let found = found.ok_or_else(|| {
            PlatformError::Unusable(format!(
                "{} has none of the images {}",
                daemon.host.url,
                names.join(", ")
            ))
        })?;
        Ok(Image {
            name: MadeFrom::from(found.id.as_str()),
            id: found.id,
            account: ROOT.to_string(),
            owner: ROOT,
            volumes: Vec::new(),
        })
    }

    /// Returns the image that the volume of a node is seen through.
    pub(super) async fn of_home(&self, site: &Site) -> Result<Image, PlatformError> {
        let home = site.daemon.docker.inspect_container(&site.own.home, None).await;
        let home = home
            .map_err(|error| site.daemon.trouble(error))
            .at("look at container", &site.own.home)?;
        let config = home.config.unwrap_or_default();
        let user = config.user.unwrap_or_default();
        let owner = numbers(&user).ok_or_else(|| {
            refused(
                "look at container",
                &site.own.home,
                format!("its user {user:?} is no number"),
            )
        })?;
        let id = home.image.unwrap_or_default();
        let image = site.daemon.docker.inspect_image(&id).await;
        let image = optional(image.map_err(|error| site.daemon.trouble(error))).at("look at image", &id)?;
        let volumes = image.and_then(|image| image.config?.volumes);
        Ok(Image {
            name: MadeFrom::from(id.as_str()),
            id,
            account: user,
            owner,
            volumes: volumes.unwrap_or_default(),
        })
    }
}

/// Returns the names that only one image has: its digests in the registry of a name, and its identifier.
pub(super) fn names(digests: &[String], id: Option<&str>, name: &str) -> Vec<String> {
    let own = digests.iter().filter_map(|digest| digest.split_once('@'));
    let own = own.filter(|(of, _)| same_repository(of, repository(name)));
    own.map(|(_, digest)| digest.to_owned())
        .chain(id.map(str::to_owned))
        .collect()
}

/// Returns the name of an image without its tag.
fn repository(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// Returns whether two names are those of one repository, of which the daemon leaves out what is usual.
fn same_repository(one: &str, other: &str) -> bool {
    let short = |name: &str| {
        name.trim_start_matches("docker.io/")
            .trim_start_matches("library/")
            .to_owned()
    };
    short(one) == short(other)
}

/// Returns the name of an image with its tag, which is a certain one where nobody says which.
fn tagged(name: &str) -> String {
    if name.contains('@') || repository(name) != name {
        name.to_owned()
    } else {
        format!("{name}:latest")
    }
}

/// Returns the version that a name with a placeholder has in a tag. One without a placeholder is of the only version that there is.
pub(super) fn version_of(name: &str, tag: &str) -> Option<u16> {
    if !name.contains(VERSION) {
        return (name == tag).then_some(ONLY_VERSION);
    }
    let (before, after) = name.split_once(VERSION)?;
    tag.strip_prefix(before)?.strip_suffix(after)?.parse().ok()
}

/// Reads `999:999`, or `999`, whose group is then the same.
fn numbers(user: &str) -> Option<Owner> {
    let (user, group) = user.split_once(':').unwrap_or((user, user));
    Some(Owner {
        user: user.parse().ok()?,
        group: group.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_an_image_is_where_its_name_says() {
        assert_eq!(version_of("db:{version}", "db:15"), Some(15));
        assert_eq!(
            version_of("host:5000/db:{version}-slim", "host:5000/db:18-slim"),
            Some(18)
        );
        assert_eq!(version_of("pool:2", "pool:2"), Some(ONLY_VERSION));
        assert_eq!(version_of("pool:2", "pool:3"), None);
        assert_eq!(tagged("r:5000/pool"), "r:5000/pool:latest");
        assert_eq!(tagged("r:5000/pool:2"), "r:5000/pool:2");
        for tag in ["db:15.4", "db:latest", "other:15", "db:15-slim"] {
            assert_eq!(version_of("db:{version}", tag), None, "{tag}");
        }
    }

    #[test]
    fn an_image_is_known_by_its_digests_of_that_repository_and_by_its_identifier() {
        let digests = ["postgres@sha256:1", "r:5000/db@sha256:2"].map(str::to_owned);
        assert_eq!(
            names(&digests, Some("sha256:3"), "postgres:15"),
            ["sha256:1", "sha256:3"]
        );
        assert_eq!(
            names(&digests, Some("sha256:3"), "docker.io/library/postgres"),
            ["sha256:1", "sha256:3"]
        );
        assert_eq!(
            names(&digests, Some("sha256:3"), "r:5000/db:15"),
            ["sha256:2", "sha256:3"]
        );
        assert_eq!(names(&[], None, "db"), [""; 0]);
    }

    #[test]
    fn a_user_is_two_numbers_or_one() {
        assert_eq!(numbers("26:70"), Some(Owner { user: 26, group: 70 }));
        assert_eq!(numbers("26"), Some(Owner { user: 26, group: 26 }));
        assert_eq!(numbers("somebody"), None);
    }
}
