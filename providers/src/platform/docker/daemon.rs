//! The daemon that was reached, and the life of its containers.

use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, DownloadFromContainerOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures_util::{Stream, StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::archive;
use super::client::Trouble;
use super::host::Host;
use crate::platform::PlatformError;
use crate::platform::requests::{At, optional};

/// How long a container that has ended may take to be gone.
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// What a container wrote until it ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    pub(super) output: String,
    pub(super) errors: String,
}

/// A daemon, and the way to it.
#[derive(Clone, Debug)]
pub(super) struct Daemon {
    pub(super) docker: Docker,
    pub(super) host: Host,
}

impl Daemon {
    /// Says what went wrong with a request.
    pub(super) fn trouble(&self, error: Error) -> Trouble {
        self.host.trouble(error)
    }

    /// Makes a container.
    pub(super) async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<(), Trouble> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = self.docker.create_container(Some(options), body).await;
        made.map(drop).map_err(|error| self.trouble(error))
    }

    /// Removes a container, whatever it does, and waits until it is gone.
    pub(super) async fn remove(&self, name: &str) -> Result<(), PlatformError> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self
            .docker
            .remove_container(name, Some(options))
            .await
            .map_err(|error| self.trouble(error))
        {
            // Somebody removes it at this moment.
            Err(trouble) if trouble.is_conflict() => {}
            removed => drop(optional(removed).at("remove container", name)?),
        }
        self.wait(name, "removed", GONE_LIMIT)
            .await
            .at("wait for the removal of container", name)?;
        Ok(())
    }

    /// Waits until a container does not run, or is gone. Returns false where it takes longer than the limit.
    pub(super) async fn wait(&self, name: &str, condition: &str, limit: Duration) -> Result<bool, Trouble> {
        match timeout(limit, self.comes_to(name, condition)).await {
            Err(_) => Ok(false),
            Ok(came) => came.map(|()| true),
        }
    }

    /// Waits until a container does not run, or is gone, for as long as the engine lets a request wait.
    pub(super) async fn ended(&self, name: &str) -> Result<(), Trouble> {
        self.comes_to(name, "not-running").await
    }

    async fn comes_to(&self, name: &str, condition: &str) -> Result<(), Trouble> {
        let options = WaitContainerOptionsBuilder::new().condition(condition).build();
        match self.docker.wait_container(name, Some(options)).next().await {
            // With a status other than 0 it has ended as well.
            None | Some(Ok(_) | Err(Error::DockerContainerWaitError { .. })) => Ok(()),
            Some(Err(error)) => optional(Err(self.trouble(error))).map(|_: Option<()>| ()),
        }
    }

    /// Makes a container that is never started, and goes when it is closed.
    pub(super) async fn open(&self, name: &str, body: ContainerCreateBody) -> Result<Unfinished, Trouble> {
        self.create(name, body).await?;
        Ok(Unfinished(Some((self.clone(), name.to_owned()))))
    }

    /// Runs a container to its end, and returns what it wrote. It goes when it ends, and when nobody waits for it any more.
    pub(super) async fn run(&self, name: &str, body: ContainerCreateBody) -> Result<Written, Trouble> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let made = self.docker.create_container(Some(options), body).await;
        let id = made.map_err(|error| self.trouble(error))?.id;
        let unfinished = Unfinished(Some((self.clone(), id.clone())));
        let options = AttachContainerOptionsBuilder::new()
            .stream(true)
            .stdout(true)
            .stderr(true)
            .build();
        let attached = self.docker.attach_container(&id, Some(options)).await;
        let attached = attached.map_err(|error| self.trouble(error))?;
        let started = self.docker.start_container(&id, None).await;
        started.map_err(|error| self.trouble(error))?;
        let written = self.collect(attached.output).await?;
        self.wait(&id, "removed", GONE_LIMIT).await?;
        unfinished.disarm();
        Ok(written)
    }

    /// Returns what a container writes until it ends.
    pub(super) async fn collect(
        &self,
        mut output: impl Stream<Item = Result<LogOutput, Error>> + Unpin,
    ) -> Result<Written, Trouble> {
        let mut written = Written::default();
        while let Some(piece) = output.next().await {
            match piece.map_err(|error| self.trouble(error))? {
                LogOutput::StdErr { message } => written.errors.push_str(&String::from_utf8_lossy(&message)),
                LogOutput::StdOut { message } | LogOutput::Console { message } => {
                    written.output.push_str(&String::from_utf8_lossy(&message));
                }
                LogOutput::StdIn { .. } => {}
            }
        }
        Ok(written)
    }

    /// Reads a file of an image, through a container that is never started.
    pub(super) async fn file_of_image(&self, image: &str, path: &str) -> Result<String, PlatformError> {
        let docker = &self.docker;
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec!["/bin/sh".to_owned()]),
            ..ContainerCreateBody::default()
        };
        let trouble = |error| self.trouble(error);
        let made = docker.create_container(None, body).await;
        let id = made.map_err(trouble).at("create a container of image", image)?.id;
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let chunks: Result<Vec<_>, Error> = docker.download_from_container(&id, Some(options)).try_collect().await;
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        let removed = docker.remove_container(&id, Some(options)).await;
        let chunks = optional(chunks.map_err(trouble)).at("read a file of image", image)?;
        removed.map_err(trouble).at("remove container", &id)?;
        let files = archive::read(&chunks.unwrap_or_default().concat());
        let text = files.into_values().next().unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// A container that was made and has not ended; removed when dropped.
pub(super) struct Unfinished(Option<(Daemon, String)>);

impl Unfinished {
    fn disarm(mut self) {
        self.0 = None;
    }

    /// Removes the container.
    pub(super) async fn close(mut self) -> Result<(), PlatformError> {
        match self.0.take() {
            Some((daemon, id)) => daemon.remove(&id).await,
            None => Ok(()),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let (Some((daemon, id)), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            // Nobody waits for it: where it cannot be removed now, the next task or the removal of the node does it.
            runtime.spawn(async move { drop(daemon.remove(&id).await) });
        }
    }
}
