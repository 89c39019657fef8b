//! What the daemon is like, and what it has images of: facts.

use std::collections::{BTreeMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ImageSummary, SystemInfo};
use bollard::query_parameters::{ListContainersOptions, ListImagesOptions};
use futures_util::future::join_all;
use simdb_planner::observed::{PlatformFacts, PlatformProblem, Reach};
use simdb_state::instance::LOOPBACK;
use simdb_state::object::{Image, ImageNames};
use tokio::time::timeout;

use super::DockerPlatform;
use super::client::Trouble;
use super::images::{self, ONLY_VERSION, VERSION, version_of};
use super::pull::{self, Pull};
use crate::engine::PROGRAMS;

/// How long the daemon may take to say what it is.
const LIMIT: Duration = Duration::from_secs(10);

/// The oldest API that has all that is asked of it.
const OLDEST_API: (u32, u32) = (1, 41);

/// Ports in use by address, with who uses them.
type Listeners = BTreeMap<u16, BTreeMap<IpAddr, String>>;

impl DockerPlatform {
    /// Looks at the daemon. What keeps it from being used is a problem in the answer.
    pub(super) async fn look(&self) -> PlatformFacts {
        let (images, url) = (&self.images, &self.host.url);
        let searched = PROGRAMS.iter().filter_map(|programs| images.name(programs.engine));
        let searched: Vec<String> = searched.map(|name| format!("the images {name} of {url}")).collect();
        let mut facts = PlatformFacts {
            searched,
            remedy: images.name(PROGRAMS[0].engine).map(|name| {
                format!(
                    "Get its image (docker pull {name}), or name another one in provider \"docker\": image = \"...\"."
                )
            }),
            ..PlatformFacts::default()
        };
        let problem = match timeout(LIMIT, self.ask(&mut facts)).await {
            Ok(Ok(())) => None,
            Ok(Err(trouble)) => Some(trouble.message().to_owned()),
            Err(_) => Some(format!(
                "The Docker Engine at {url} gave no answer within {} s. Servers in its containers may run all the same.",
                LIMIT.as_secs()
            )),
        };
        facts.problems.extend(problem.map(told));
        facts
    }

    async fn ask(&self, facts: &mut PlatformFacts) -> Result<(), Trouble> {
        let docker = self.connect()?;
        let trouble = |error| self.host.trouble(error);
        let (version, info, images) = tokio::join!(
            docker.version(),
            docker.info(),
            docker.list_images(None::<ListImagesOptions>)
        );
        let (version, info, images) = (
            version.map_err(trouble)?,
            info.map_err(trouble)?,
            images.map_err(trouble)?,
        );
        let url = &self.host.url;
        let api = version.api_version.unwrap_or_default();
        if parse_api(&api).is_none_or(|api| api < OLDEST_API) {
            facts.problems.insert(told(format!(
                "The Docker Engine at {url} has API {api}, and 1.41 is needed. Use Docker Engine 20.10 or newer."
            )));
        }
        if info.os_type.as_deref() != Some("linux") {
            let problem = format!("The Docker Engine at {url} does not run Linux containers.");
            facts.problems.insert(told(problem));
        }
        facts.unlimited = (info.memory_limit == Some(false) || info.cpu_cfs_quota == Some(false)).then(|| {
            format!(
                "The Docker Engine at {url} limits no memory or processors on this machine (docker info): it needs the cgroups for \
                 that. Remove \"memory\" and \"cpus\"."
            )
        });
        match self.reach(&info) {
            Ok(reach) => facts.reach = reach,
            Err(problem) => drop(facts.problems.insert(told(problem))),
        }
        facts.busy_ports = if self.host.is_remote() {
            BTreeMap::new()
        } else {
            (self.listeners)()
        };
        published(&docker, &mut facts.busy_ports).await.map_err(trouble)?;
        for engine in PROGRAMS.iter().map(|programs| programs.engine) {
            let Some(name) = self.images.name(engine) else { continue };
            let tags = images.iter().flat_map(|image| &image.repo_tags);
            for (tag, version) in tags.filter_map(|tag| Some((tag, version_of(&name, tag)?))) {
                let found = facts.engines.entry(engine).or_default();
                found.insert(version, format!("image {tag}"));
            }
            if !name.contains(VERSION) && self.images.pull != Pull::Never {
                let found = facts.engines.entry(engine).or_default();
                found.entry(ONLY_VERSION).or_insert_with(|| format!("image {name}"));
            }
            let found = facts.engines.get(&engine).into_iter().flat_map(BTreeMap::keys);
            let named = found.map(async |version| {
                let name = name.replace(VERSION, &version.to_string());
                let digests = self.names(&docker, &name, &images).await;
                let named = digests.into_iter().map(|digest| {
                    let reference = name.clone();
                    Image::from(ImageNames { reference, digest })
                });
                (*version, named.collect())
            });
            let named: BTreeMap<u16, Vec<Image>> = join_all(named).await.into_iter().collect();
            facts.images.insert(engine, named);
        }
        for programs in PROGRAMS
            .iter()
            .filter(|programs| programs.contained && programs.image.is_none())
        {
            let remedy = match self.images.name(programs.engine) {
                Some(name) => format!("{url} has no image {name}. Get it (docker pull {name}), or"),
                None => "it runs in containers of an image that provider \"docker\" names. Add there pooler_image = \"...\", with one that has it \
                         on its PATH, or"
                    .to_owned(),
            };
            facts.remedies.insert(programs.engine, remedy);
        }
        facts.obtainable = self.images.pull != Pull::Never;
        Ok(())
    }

    /// Returns the names that only the image of a name has: as it is, or as it will be once it was fetched.
    async fn names(&self, docker: &Docker, name: &str, images: &[ImageSummary]) -> Vec<String> {
        let own = images
            .iter()
            .find(|image| image.repo_tags.iter().any(|tag| tag == name));
        let own = own.map(|image| images::names(&image.repo_digests, Some(&image.id), name));
        let own = own.unwrap_or_default();
        let newest = match self.images.pull {
            Pull::Always => pull::digest(docker, name).await,
            Pull::Missing | Pull::Never => None,
        };
        match newest.filter(|newest| !own.contains(newest)) {
            Some(newest) => vec![newest],
            None => own,
        }
    }

    /// Returns how the servers of the daemon's containers are reached from here, or what has to be said for that.
    fn reach(&self, info: &SystemInfo) -> Result<Reach, String> {
        if let Some(host) = self.publish {
            return Ok(Reach::Published(host));
        }
        if self.host.is_remote() {
            return Err(format!(
                "The Docker Engine at {} is on another machine, so the ports of servers have to be published there. Say at \
                 which of its addresses, in provider \"docker\": publish = \"192.0.2.7\".",
                self.host.url
            ));
        }
        let options: HashSet<&str> = info.security_options.iter().flatten().map(String::as_str).collect();
        let system = info.operating_system.as_deref().unwrap_or_default();
        // The addresses of its containers are those of a network, or a virtual machine, of its own.
        let apart = options.iter().any(|option| option.contains("rootless")) || system.contains("Docker Desktop");
        Ok(if apart {
            Reach::Published(LOOPBACK)
        } else {
            Reach::Direct
        })
    }
}

/// Adds the ports that containers publish.
async fn published(docker: &Docker, ports: &mut Listeners) -> Result<(), bollard::errors::Error> {
    for container in docker.list_containers(None::<ListContainersOptions>).await? {
        let name = container.names.unwrap_or_default().pop().unwrap_or_default();
        for port in container.ports.unwrap_or_default() {
            let host = port.ip.and_then(|host| host.parse().ok());
            if let (Some(host), Some(public)) = (host, port.public_port) {
                let owner = format!("container {}", name.trim_start_matches('/'));
                ports.entry(public).or_default().insert(host, owner);
            }
        }
    }
    Ok(())
}

fn told(detail: String) -> PlatformProblem {
    PlatformProblem { argument: None, detail }
}

fn parse_api(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
