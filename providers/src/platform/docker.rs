//! Servers as containers of a Docker Engine, which is called the daemon here.
//!
//! ```text
//!   DockerPlatform ─► host      where the daemon listens
//!                  ─► client    the way to it, and what keeps simdb from it
//!                  ─► daemon    the life of containers
//!                  ─► facts     what the daemon is like
//!                  ─► images    what containers are made from ─► pull ─► credentials
//!                  ─► networks  bridge networks with addresses of their own
//!                  ─► routes    names that lead clients in containers to servers
//!                  ─► site      what the daemon has of one node: volume, containers, files ─► archive
//!                  ─► process   what a container says of its first process
//!                  ─► inspect   looks at a node ─► notes  what is noted in its volume
//!                  ─► server    starts a server ─► changes  its files
//!                  ─► stop      stops a server, and removes a node
//!                  ─► task      runs to the end ─► script
//!                  ─► leftovers what projects left whose record is lost
//!                  ─► names, build    what is sent; pure
//!                  ─► explain   what to do about what the daemon says; pure
//! ```
//!
//! The instance directory of a node is a volume. A container that is never started shows it as long as the node is there, so that
//! looking at a node that is down starts nothing. Servers do not protect their data against each other: each sees its own
//! processes alone. What keeps a second one out is the name of the server's container, and that before every start all
//! containers that have the volume are looked at.
//!
//! A daemon that does not answer says nothing of its containers: they run on without it, and answer others. That a server is
//! down is known from a daemon that says so, and from nothing else.
//!
//! Who holds the lock of the record is asked before every change. Of two processes with the record of one project only one holds
//! it; the containers of a node have fixed names, so that what an earlier one began is found.
//!
//! Addresses of containers are reached from their own machine alone. Where the daemon is elsewhere, rootless or in a virtual
//! machine, each server has a port of its machine as well, which the planner chooses and the daemon publishes.
//!
//! Limits: data that was made without simdb is not supported.

mod archive;
mod build;
mod changes;
mod client;
mod credentials;
mod daemon;
mod explain;
mod facts;
mod host;
mod images;
mod inspect;
mod leftovers;
mod names;
mod networks;
mod notes;
mod process;
mod pull;
mod routes;
mod script;
mod server;
pub(super) mod setup;
mod site;
mod stop;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bollard::Docker;
use bollard::query_parameters::{ListContainersOptionsBuilder, ListVolumesOptionsBuilder};
use simdb_planner::observed::{Observation, PlatformFacts, ProcessFacts};
use simdb_state::address::InstanceAddress;
use simdb_state::instance::{Command, InstanceSpec, TaskSpec, TrialSpec};
use simdb_state::object::{Image as MadeFrom, Witness};
use simdb_state::place::Place;
use simdb_state::sensitive::Secrets;
use simdb_state::store::Grant;
use tokio::sync::{Mutex as Lock, OwnedMutexGuard};

use self::archive::Owner;
use self::build::Image;
use self::client::Trouble;
use self::daemon::Daemon;
use self::host::Host;
use self::images::{Images, Wanted};
use self::names::{ADDRESS, FORMAT_LABEL, KIND, Kind, LINEAGE, LISTEN, Names, PROJECT};
use self::notes::{FORMAT, Noted, Notes, TOKEN};
use self::site::{Claimed, NOTES, Site};
use super::requests::At;
use super::tcp::Tcp;
use super::{
    Dial, Endpoints, Failure, Held, InstanceFacts, Leftover, Platform, PlatformError, Provider, StopMode, Stream,
    Survey, Surveyed, Unmanaged,
};

/// How long looking at a node may take. That is a dozen requests, which the daemon answers slowly while it starts containers on a busy
/// machine.
const LOOK_LIMIT: Duration = Duration::from_secs(6);

/// Runs servers and tasks as containers.
#[derive(Debug)]
pub(super) struct DockerPlatform {
    host: Host,
    /// What speaks to the daemon with TLS, for which all certificates of this machine are read once.
    secure: OnceLock<Docker>,
    names: Names,
    images: Images,
    /// Absent where it is only looked at.
    grant: Option<Grant>,
    /// Routes the clients on this machine: they read the same file, wherever servers run.
    directory: Arc<dyn Endpoints>,
    /// The address of the daemon's machine at which ports are published, where one is declared.
    publish: Option<IpAddr>,
    /// Returns the TCP ports of this machine that something listens on.
    listeners: fn() -> BTreeMap<u16, BTreeMap<IpAddr, String>>,
    /// The nodes that are being changed: one change of a node at a time.
    locks: Mutex<BTreeMap<InstanceAddress, Arc<Lock<Token>>>>,
}

/// What became of the token of the record's lock in the notes of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Token {
    /// It was not looked for.
    #[default]
    Unknown,
    /// It is there, in a volume of this owner. Who held the lock since would have changed that, and then it is no longer held here.
    Noted(Owner),
}

/// The right to change a node, which nobody else of this process changes meanwhile.
#[derive(Debug)]
struct Hold {
    site: Site,
    grant: Grant,
    token: OwnedMutexGuard<Token>,
}

impl Hold {
    /// Asks whether the lock of the record is still held.
    async fn check(&self) -> Result<(), PlatformError> {
        check(&self.grant, format!("the volume of {}", self.site.own.node)).await
    }

    /// Refuses to go on where a later holder of the lock was at work than the record knows of. Returns whether any was.
    async fn compare_token(&self) -> Result<bool, PlatformError> {
        let held = self.grant.token();
        let noted = Notes::read(&self.site, &self.site.own.home).await?.token();
        match noted.filter(|noted| *noted > held) {
            None => Ok(noted.is_some()),
            Some(noted) => Err(PlatformError::OlderState {
                node: self.site.own.node.clone(),
                noted: noted.0,
                held: held.0,
                notes: self.site.path_of(&format!("{NOTES}/{TOKEN}")).await?,
            }),
        }
    }

    /// Returns the owner of the volume, where that is known.
    fn owner(&self) -> Option<Owner> {
        match *self.token {
            Token::Unknown => None,
            Token::Noted(owner) => Some(owner),
        }
    }

    /// Makes the volume, and the container that it is seen through, unless they are there.
    async fn claim(&mut self, image: &Image) -> Result<(), PlatformError> {
        if self.owner().is_some() && self.site.has_home().await? {
            return Ok(());
        }
        self.check().await?;
        if self.site.claim(image, &self.note()).await? == Claimed::Again {
            self.compare_token().await?;
            self.note_token(image.owner).await?;
        }
        *self.token = Token::Noted(image.owner);
        Ok(())
    }

    /// Notes the token of the lock in a volume that is there.
    async fn note_token(&mut self, owner: Owner) -> Result<(), PlatformError> {
        self.check().await?;
        self.site.write(owner, &[self.note()]).await?;
        *self.token = Token::Noted(owner);
        Ok(())
    }

    /// Returns the note of the lock's token: its name, and its text.
    fn note(&self) -> (String, Vec<u8>) {
        let noted = Noted {
            format: FORMAT,
            token: self.grant.token(),
        };
        (format!("{NOTES}/{TOKEN}"), notes::text(&noted))
    }
}

async fn check(grant: &Grant, subject: String) -> Result<(), PlatformError> {
    grant.check().await.map_err(|source| PlatformError::LockLost {
        subject,
        source: Box::new(source),
    })
}

impl DockerPlatform {
    fn connect(&self) -> Result<Docker, Trouble> {
        if let Some(docker) = self.secure.get() {
            return Ok(docker.clone());
        }
        let docker = self.host.connect()?;
        Ok(match self.host.certificates {
            Some(_) => self.secure.get_or_init(|| docker).clone(),
            None => docker,
        })
    }

    /// Returns what speaks to the daemon.
    fn daemon(&self) -> Result<Daemon, PlatformError> {
        let docker = self.connect();
        let docker = docker.map_err(|trouble| PlatformError::Unusable(trouble.message().to_owned()))?;
        let host = self.host.clone();
        Ok(Daemon { docker, host })
    }

    fn site(&self, node: &InstanceAddress) -> Result<Site, PlatformError> {
        Ok(Site {
            daemon: self.daemon()?,
            names: self.names.clone(),
            own: self.names.instance(node),
        })
    }

    /// Returns the image that is looked for. Who only looks fetches none.
    fn wanted<'a>(&self, command: &'a Command, name: Option<&'a str>) -> Wanted<'a> {
        Wanted {
            command,
            name,
            fetched: self.grant.is_some(),
        }
    }

    /// Returns the grant of the record's lock, which is still held.
    async fn granted(&self, subject: String) -> Result<&Grant, PlatformError> {
        let Some(grant) = &self.grant else {
            return Err(PlatformError::OnlyLooked(subject));
        };
        check(grant, subject).await.map(|()| grant)
    }

    /// Takes the right to change a node. A record that is older than the last change of the node changes nothing.
    async fn take(&self, node: &InstanceAddress) -> Result<Hold, PlatformError> {
        let subject = format!("the volume of {node}");
        self.granted(subject.clone()).await?;
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(node.clone()).or_default())
        };
        let lock = lock.lock_owned().await;
        let grant = self.granted(subject).await?.clone();
        let mut hold = Hold {
            site: self.site(node)?,
            grant,
            token: lock,
        };
        // One without a note may not belong to the servers' user yet: it is claimed first.
        if *hold.token == Token::Unknown && hold.site.has_home().await? && hold.compare_token().await? {
            let image = self.images.of_home(&hold.site).await?;
            hold.note_token(image.owner).await?;
        }
        Ok(hold)
    }
}

#[async_trait]
impl Dial for DockerPlatform {
    async fn dial(&self, instance: &InstanceAddress, place: &Place) -> io::Result<Box<dyn Stream>> {
        Tcp.dial(instance, place).await
    }
}

#[async_trait]
impl Platform for DockerPlatform {
    async fn list(&self) -> Result<BTreeSet<InstanceAddress>, PlatformError> {
        let options = ListVolumesOptionsBuilder::new()
            .filters(&self.names.filter(Kind::Home))
            .build();
        let daemon = self.daemon()?;
        let listed = daemon.docker.list_volumes(Some(options)).await;
        let listed = listed
            .map_err(|error| daemon.trouble(error))
            .at("list volumes of", &self.host.url)?;
        let volumes = listed.volumes.unwrap_or_default().into_iter();
        let nodes = volumes.filter_map(|volume| {
            let node: InstanceAddress = volume.labels.get(ADDRESS)?.parse().ok()?;
            (self.names.instance(&node).base == volume.name).then_some(node)
        });
        Ok(nodes.collect())
    }

    fn look_limit(&self, _: &InstanceAddress) -> Duration {
        LOOK_LIMIT
    }

    async fn inspect(&self, node: &InstanceAddress) -> Result<Observation<InstanceFacts>, PlatformError> {
        inspect::inspect(&self.site(node)?, &self.images).await
    }

    async fn is_down(&self, node: &InstanceAddress) -> Result<bool, PlatformError> {
        stop::is_down(&self.site(node)?).await
    }

    async fn unmanaged(
        &self,
        _: &InstanceAddress,
        _: &str,
        _: &[&str],
    ) -> Result<Observation<Unmanaged>, PlatformError> {
        Ok(Observation::Unknown(
            "servers that were made without simdb cannot become containers with this version: their data is in a directory, and a \
             container's is in a volume. Make the cluster without the import block, and bring the data over as a dump: pg_dumpall -h HOST | \
             simdb psql CLUSTER"
                .to_owned(),
        ))
    }

    async fn ensure(
        &self,
        node: &InstanceAddress,
        spec: &InstanceSpec,
        secrets: &Secrets,
    ) -> Result<(), PlatformError> {
        let daemon = self.daemon()?;
        let mut hold = self.take(node).await?;
        let image = self
            .images
            .image(&daemon, self.wanted(&spec.command, spec.image.as_deref()), hold.owner())
            .await?;
        let network = self.network_of(&daemon, spec.listen.host).await?;
        hold.claim(&image).await?;
        let made_from = (&self.images, &image);
        server::ensure(&hold, made_from, &network, spec, secrets).await
    }

    async fn made_from(&self, node: &InstanceAddress) -> Result<Option<MadeFrom>, PlatformError> {
        let site = self.site(node)?;
        let server = process::look(&site.daemon, &site.own.base).await;
        let server = server.at("look at container", &site.own.base)?;
        Ok(server.as_deref().and_then(inspect::image))
    }

    async fn reload(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        let hold = self.take(node).await?;
        server::reload(&hold).await
    }

    async fn stop(&self, node: &InstanceAddress, mode: StopMode) -> Result<Witness, PlatformError> {
        let stopped = match self.take(node).await {
            Ok(hold) => stop::stop(&hold, mode).await,
            Err(error) => Err(error),
        };
        // A daemon that does not answer proves nothing.
        stopped.map_err(|error| match error {
            PlatformError::Unusable(reason) => PlatformError::Unprovable {
                node: node.clone(),
                reason,
            },
            error => error,
        })
    }

    async fn run_task(
        &self,
        node: &InstanceAddress,
        task: &TaskSpec,
        secrets: &Secrets,
    ) -> Result<String, PlatformError> {
        let daemon = self.daemon()?;
        let Some(command) = task.commands.first() else {
            // What only writes or removes files needs no program of an engine, but an image to do it in.
            let hold = self.take(node).await?;
            let image = self.images.of_home(&hold.site).await?;
            return task::run(&hold, &image, task, secrets).await;
        };
        if task.is_question() {
            return task::ask(&self.site(node)?, &self.images, task).await;
        }
        let mut hold = self.take(node).await?;
        let image = self
            .images
            .image(&daemon, self.wanted(command, None), hold.owner())
            .await?;
        hold.claim(&image).await?;
        task::run(&hold, &image, task, secrets).await
    }

    async fn hold(&self, node: &InstanceAddress) -> Result<Option<Held>, PlatformError> {
        let hold = self.take(node).await?;
        if !hold.site.has_volume().await? {
            return Ok(None);
        }
        task::settle(&hold).await?;
        Ok(Some(Box::new(hold)))
    }

    async fn drop(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        let mut hold = self.take(node).await?;
        *hold.token = Token::Unknown;
        stop::drop_all(&hold).await
    }

    async fn ended(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        stop::ended(&self.site(node)?).await
    }

    async fn log(&self, node: &InstanceAddress, lines: usize) -> Result<Vec<String>, PlatformError> {
        stop::log(&self.site(node)?, lines).await
    }
}

#[async_trait]
impl Provider for DockerPlatform {
    async fn facts(&self) -> PlatformFacts {
        self.look().await
    }

    async fn survey(&self) -> Result<Survey, PlatformError> {
        let filter = HashMap::from([(
            "label".to_owned(),
            vec![FORMAT_LABEL.to_owned(), format!("{KIND}={}", Kind::Server.name())],
        )]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        let daemon = self.daemon()?;
        let listed = daemon.docker.list_containers(Some(options)).await;
        let listed = listed
            .map_err(|error| daemon.trouble(error))
            .at("list containers of", &self.host.url)?;
        let mut servers = Vec::new();
        for container in listed {
            let labels = container.labels.unwrap_or_default();
            let label = |name: &str| labels.get(name).cloned();
            let id = container.id.unwrap_or_default();
            let process = process::process(&daemon, &id).await;
            let name = container.names.unwrap_or_default().pop().unwrap_or(id);
            servers.push(Surveyed {
                lineage: label(LINEAGE),
                project: label(PROJECT).map(Into::into),
                address: label(ADDRESS).and_then(|address| address.parse().ok()),
                process: process.unwrap_or(ProcessFacts::Down),
                listen: label(LISTEN).and_then(|listen| process::parse_listen(&listen)),
                data: format!("volume {}", name.trim_start_matches('/')),
            });
        }
        servers.sort_by(|a, b| a.data.cmp(&b.data));
        Ok(Survey {
            servers,
            unseen: Vec::new(),
        })
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, PlatformError> {
        leftovers::find(&self.daemon()?, None).await
    }

    async fn discard(&self, lineage: &str) -> Result<(), PlatformError> {
        leftovers::discard(&self.daemon()?, lineage).await
    }

    async fn try_out(&self, trial: &TrialSpec) -> Result<Option<Failure>, PlatformError> {
        let Some(command) = trial.commands.first() else {
            return Ok(None);
        };
        let daemon = self.daemon()?;
        let wanted = Wanted {
            command,
            name: None,
            fetched: false,
        };
        let image = self.images.image(&daemon, wanted, None).await?;
        task::try_out(&daemon, &self.names, &image, trial).await
    }
}
