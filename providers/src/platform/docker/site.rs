//! What the daemon has of one node: a volume, the container that the volume is seen through, those of its server and tasks.
//!
//! The volume is the instance directory. Containers other than the one that shows it take it from that one, so that a
//! container that is made a moment too late cannot bring back a volume that was removed.

use std::collections::{BTreeMap, HashMap};

use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecResults};
use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, ContainerUpdateBody, VolumeCreateRequest};
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveVolumeOptions, UploadToContainerOptionsBuilder,
};
use futures_util::TryStreamExt;
use jiff::Timestamp;

use super::archive::{self, Archive, Owner};
use super::build::{self, Image};
use super::client::Trouble;
use super::daemon::{Daemon, Written};
use super::names::{DIRECTORY, InstanceNames, KIND, Kind, Names};
use crate::platform::PlatformError;
use crate::platform::requests::{At, optional};

/// The bit of a file's mode that says it is a directory, as Go writes modes.
const MODE_DIRECTORY: u32 = 1 << 31;

/// The bits that say who may do what with it.
const MODE_RIGHTS: u32 = 0o777;

/// What a directory's owner alone may enter has: the daemon makes volumes that everybody may enter.
const PRIVATE: u32 = 0o700;

/// A container that has the volume of a node.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: Option<Kind>,
    /// Whether it has processes: also one that is halted, or is about to be started again.
    pub(super) runs: bool,
}

/// A file or directory in a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) directory: bool,
    /// Who may do what with it, as `chmod` takes it.
    pub(super) rights: u32,
    pub(super) size: u64,
    /// When it was last changed, in seconds since 1970.
    pub(super) changed: i64,
}

/// How a volume was found that was claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It was made, and has the note that it was claimed with.
    Anew,
    /// It was there, with notes of its own.
    Again,
}

/// What the daemon has of one node, and the way to it.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) daemon: Daemon,
    pub(super) names: Names,
    pub(super) own: InstanceNames,
}

impl Site {
    /// Returns whether the volume is there. One that is somebody else's is an error.
    pub(super) async fn has_volume(&self) -> Result<bool, PlatformError> {
        let own = &self.own;
        let found = self.daemon.docker.inspect_volume(&own.base).await;
        let found = optional(found.map_err(|error| self.daemon.trouble(error))).at("look at volume", &own.base)?;
        match found {
            None => Ok(false),
            Some(volume) if self.names.own(&volume.labels, &own.node.to_string()) => Ok(true),
            Some(_) => Err(self.foreign("the volume of that name has no labels of this project")),
        }
    }

    /// Returns whether the container is there that the volume is seen through.
    pub(super) async fn has_home(&self) -> Result<bool, PlatformError> {
        let containers = self.containers().await?;
        Ok(containers.iter().any(|container| container.kind == Some(Kind::Home)))
    }

    /// Returns where a file of the volume is on the daemon's machine.
    pub(super) async fn path_of(&self, name: &str) -> Result<String, PlatformError> {
        let own = &self.own;
        let volume = self.daemon.docker.inspect_volume(&own.base).await;
        let volume = volume
            .map_err(|error| self.daemon.trouble(error))
            .at("look at volume", &own.base)?;
        Ok(format!("{}/{name}", volume.mountpoint))
    }

    /// Writes files into the volume, where nothing runs that reads them.
    pub(super) async fn write(&self, owner: Owner, files: &[(String, Vec<u8>)]) -> Result<(), PlatformError> {
        let mut archive = Archive::new(owner, now());
        if files.iter().any(|(name, _)| name.starts_with(STAGED)) {
            archive.directory(STAGED).at("name directory", STAGED)?;
        }
        for (name, content) in files {
            archive.file(name, content).at("name file", name)?;
        }
        self.upload(DIRECTORY, archive).await
    }

    fn foreign(&self, reason: &str) -> PlatformError {
        PlatformError::ForeignInstanceDirectory {
            node: self.own.node.clone(),
            path: self.own.base.clone().into(),
            reason: reason.to_owned(),
        }
    }

    /// Returns all containers that have the volume. One of our names that has another one is an error.
    pub(super) async fn containers(&self) -> Result<Vec<Found>, PlatformError> {
        let own = &self.own;
        let filter = HashMap::from([("volume".to_owned(), vec![own.base.clone()])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        let listed = self.daemon.docker.list_containers(Some(options)).await;
        let listed = listed
            .map_err(|error| self.daemon.trouble(error))
            .at("list containers of", &own.base)?;
        let found = listed.into_iter().map(|container| self.found(container));
        Ok(found.collect())
    }

    fn found(&self, container: ContainerSummary) -> Found {
        let labels = container.labels.unwrap_or_default();
        let ours = self.names.own(&labels, &self.own.node.to_string());
        let kind = |kind: &Kind| labels.get(KIND).is_some_and(|name| name == kind.name());
        let names = container.names.unwrap_or_default();
        let stopped = matches!(
            container.state,
            Some(
                ContainerSummaryStateEnum::CREATED
                    | ContainerSummaryStateEnum::EXITED
                    | ContainerSummaryStateEnum::DEAD
                    | ContainerSummaryStateEnum::REMOVING
            )
        );
        Found {
            id: container.id.unwrap_or_default(),
            name: names
                .first()
                .map(|name| name.trim_start_matches('/').to_owned())
                .unwrap_or_default(),
            kind: [Kind::Home, Kind::Server, Kind::Task]
                .into_iter()
                .find(|known| ours && kind(known)),
            runs: !stopped,
        }
    }

    /// Makes the volume with a note in it, and the container that it is seen through, unless they are there.
    pub(super) async fn claim(
        &self,
        image: &Image,
        (name, text): &(String, Vec<u8>),
    ) -> Result<Claimed, PlatformError> {
        let own = &self.own;
        let labels = self.names.labels(Kind::Home, &own.node.to_string());
        let made = self.daemon.docker.create_volume(VolumeCreateRequest {
            name: Some(own.base.clone()),
            labels: Some(labels),
            ..VolumeCreateRequest::default()
        });
        // A volume that is there already is what the daemon answers with, whosever it is.
        made.await
            .map_err(|error| self.daemon.trouble(error))
            .at("create volume", &own.base)?;
        self.has_volume().await?;
        let containers = self.containers().await?;
        if !containers.iter().any(|container| container.kind == Some(Kind::Home)) {
            match self
                .daemon
                .create(&own.home, build::home(&self.names, own, image))
                .await
            {
                Err(trouble) if trouble.is_conflict() => {
                    return Err(self.foreign(&format!("container {} is there, and is none of this project", own.home)));
                }
                made => made.at("create container", &own.home)?,
            }
        }
        // Notes that were written before the volume was given away do not count: the daemon made their directory then.
        let volume = self.stat(&own.home, "").await?;
        if volume.is_some_and(|found| found.rights == PRIVATE) && self.stat(&own.home, NOTES).await?.is_some() {
            return Ok(Claimed::Again);
        }
        // The volume itself belongs to the servers' user, too.
        let mut archive = Archive::new(image.owner, now());
        for name in [DIRECTORY.to_owned(), format!("{DIRECTORY}/{NOTES}")] {
            archive
                .directory(name.trim_start_matches('/'))
                .at("name directory", &name)?;
        }
        let name = format!("{}/{name}", DIRECTORY.trim_start_matches('/'));
        archive.file(&name, text).at("name file", &name)?;
        self.upload("/", archive).await.map(|()| Claimed::Anew)
    }

    /// Removes the volume. Returns who has it where it cannot be.
    pub(super) async fn remove_volume(&self) -> Result<Option<String>, PlatformError> {
        let removed = self
            .daemon
            .docker
            .remove_volume(&self.own.base, None::<RemoveVolumeOptions>)
            .await;
        match removed.map_err(|error| self.daemon.trouble(error)) {
            Err(trouble) if trouble.is_conflict() => Ok(Some(trouble.message().to_owned())),
            removed => optional(removed).at("remove volume", &self.own.base).map(|_| None),
        }
    }

    /// Looks at a path of the volume.
    pub(super) async fn stat(&self, window: &str, path: &str) -> Result<Option<Stat>, PlatformError> {
        let full = format!("{DIRECTORY}/{path}");
        let options = ContainerArchiveInfoOptionsBuilder::new().path(&full).build();
        let found = self
            .daemon
            .docker
            .get_container_archive_info(window, Some(options))
            .await;
        let found = match found {
            // An answer without a body tells its status alone.
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Ok(None),
            found => found.map_err(|error| self.daemon.trouble(error)).at("look at", &full)?,
        };
        let changed = found.modification_time.and_then(|time| time.parse::<Timestamp>().ok());
        Ok(Some(Stat {
            directory: found.file_mode & MODE_DIRECTORY != 0,
            rights: found.file_mode & MODE_RIGHTS,
            size: u64::try_from(found.size).unwrap_or_default(),
            changed: changed.map(Timestamp::as_second).unwrap_or_default(),
        }))
    }

    /// Reads a file of a container, or the files of a directory, by name. Returns nothing where it is not there.
    pub(super) async fn read(
        &self,
        window: &str,
        path: &str,
    ) -> Result<Option<BTreeMap<String, Vec<u8>>>, PlatformError> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let chunks = self.daemon.docker.download_from_container(window, Some(options));
        let bytes = chunks
            .map_err(|error| self.daemon.trouble(error))
            .try_fold(Vec::new(), async |mut all, chunk| {
                all.extend_from_slice(&chunk);
                Ok(all)
            });
        let bytes = optional(bytes.await).at("read", path)?;
        Ok(bytes.map(|bytes| archive::read(&bytes)))
    }

    /// Puts files below a path of the node's containers.
    pub(super) async fn upload(&self, path: &str, archive: Archive) -> Result<(), PlatformError> {
        let options = UploadToContainerOptionsBuilder::new().path(path).build();
        let body = bollard::body_full(archive.finish().into());
        let sent = self
            .daemon
            .docker
            .upload_to_container(&self.own.home, Some(options), body)
            .await;
        sent.map_err(|error| self.daemon.trouble(error))
            .at("write files into the volume of", &self.own.base)
    }

    /// Changes what can be changed of the container of the server while it lives: when the daemon starts it by itself, and what
    /// it may take.
    pub(super) async fn update(&self, body: ContainerUpdateBody) -> Result<(), PlatformError> {
        let updated = self.daemon.docker.update_container(&self.own.base, body).await;
        let updated = updated.map(drop).map_err(|error| self.daemon.trouble(error));
        optional(updated).at("update container", &self.own.base).map(drop)
    }

    /// Runs a script in the server's container, which runs. Returns the status it ended with, and what it wrote.
    pub(super) async fn execute(&self, script: &str) -> Result<(i64, Written), Trouble> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command),
            ..CreateExecOptions::default()
        };
        let made = self.daemon.docker.create_exec(&self.own.base, options).await;
        let id = made.map_err(|error| self.daemon.trouble(error))?.id;
        let started = self.daemon.docker.start_exec(&id, None).await;
        let written = match started.map_err(|error| self.daemon.trouble(error))? {
            StartExecResults::Attached { output, .. } => self.daemon.collect(output).await?,
            StartExecResults::Detached => Written::default(),
        };
        let ended = self.daemon.docker.inspect_exec(&id).await;
        let ended = ended.map_err(|error| self.daemon.trouble(error))?;
        Ok((ended.exit_code.unwrap_or_default(), written))
    }
}

/// Where files are on their way to their places, in the volume.
pub(super) const STAGED: &str = ".simdb/new";

/// The directory of the volume in which the platform notes things for itself.
pub(super) const NOTES: &str = ".simdb";

/// Returns the time, in seconds since 1970.
pub(super) fn now() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or_default()
}
