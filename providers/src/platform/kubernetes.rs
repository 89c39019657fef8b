//! Servers as pods of a Kubernetes cluster.
//!
//! ```text
//!   KubernetesPlatform ─► client    the way to the API server, and what keeps simdb from it ─► settings
//!                      ─► site      what the API server has of one node: volume, service, set, pod
//!                      ─► exec      runs scripts in a pod ─► script  what they do ─► keeper.sh  the first process of every pod
//!                      ─► inspect   looks at a node ─► look
//!                      ─► server    starts a server
//!                      ─► stop      stops a server, and removes a node ─► fence  where its pod does not answer
//!                      ─► task      runs to the end
//!                      ─► forward   the way to a server's port
//!                      ─► routes    services that lead clients to servers
//!                      ─► networks  who may connect
//!                      ─► facts     what the cluster is like ─► rights
//!                      ─► leftovers what projects left whose record is lost
//!                      ─► names, build, pod   what is sent; pure
//!                      ─► explain   what to do about what is said; pure
//! ```
//!
//! A node is a volume, and a set of one pod that has it. The first process of the pod runs the server, and stays where the server is down:
//! looking, tasks, files and stopping are a command in that pod each, and none of them waits for a pod to be made. Whether the server is to
//! run stands on the volume, so that a pod that comes back after an eviction does what was said last. A server that ends by itself is
//! started again by the first process, sooner than its machine would start a container, and the pod can be asked meanwhile.
//!
//! The first process comes with the description of the pod, and all that commands do with their text: there is no object that several
//! nodes share, and no version of simdb finds scripts of another one. Nothing runs in the cluster but the servers.
//!
//! An API server that does not answer says nothing of its pods. That a server is down is known from its pod, where that answers, or from
//! its machine, where that reports the end of this very pod (see the module `fence`), and from nothing else.
//!
//! Limits: data that was made without simdb is not supported. A volume gets larger, where its class allows it, when its server is started.
//! A pod that answers speaks for its volume: where an earlier pod of that name was removed by force, and the storage lets two machines write one
//! `ReadWriteOnce` volume, that one may run on, and nothing here sees it.

mod build;
#[cfg(test)]
mod canned;
pub(crate) mod client;
mod exec;
mod explain;
mod facts;
mod fence;
mod forward;
mod hidden;
mod inspect;
mod leftovers;
mod look;
mod names;
mod networks;
mod pod;
mod rights;
mod routes;
mod script;
mod server;
mod settings;
pub(super) mod setup;
mod site;
mod stop;
mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use simdb_planner::observed::{Hidden, Observation, PlatformFacts, ProcessFacts};
use simdb_state::address::InstanceAddress;
use simdb_state::backend::Token;
use simdb_state::instance::{InstanceSpec, TaskSpec, TrialSpec};
use simdb_state::object::{Image, Witness};
use simdb_state::place::Place;
use simdb_state::sensitive::Secrets;
use simdb_state::store::Grant;
use tokio::sync::{Mutex as Lock, OnceCell, OwnedMutexGuard};

use self::client::{Server, Trouble};
use self::names::{ADDRESS, LINEAGE, MANAGED_BY, MANAGER, Names, PROJECT};
use self::settings::Settings;
use self::site::Site;
use super::requests::{At, refused};
use super::{
    Dial, Failure, Held, InstanceFacts, Leftover, Platform, PlatformError, Provider, StopMode, Stream, Survey,
    Surveyed, Unmanaged,
};

pub(super) use self::rights::documents as rights_documents;

/// How long looking at a node may take: a few requests, one of which is carried out on the machine of its pod.
const LOOK_LIMIT: Duration = Duration::from_secs(6);

/// Runs servers and tasks in pods.
#[derive(Debug)]
pub(super) struct KubernetesPlatform {
    settings: Settings,
    names: Names,
    /// Absent where it is only looked at.
    grant: Option<Grant>,
    /// What speaks to the API server, once it was found.
    server: OnceCell<Server>,
    /// The nodes that are being changed: one change of a node at a time.
    locks: Mutex<BTreeMap<InstanceAddress, Arc<Lock<()>>>>,
}

/// The right to change a node: this process changes it nowhere else meanwhile.
#[derive(Debug)]
struct Hold {
    site: Site,
    grant: Grant,
    _lock: OwnedMutexGuard<()>,
}

impl Hold {
    /// Asks whether the lock of the record is still held.
    async fn check(&self) -> Result<(), PlatformError> {
        check(&self.grant, format!("the volume of {}", self.site.own.node)).await
    }

    /// Returns what tells the lock of the record from earlier ones.
    fn token(&self) -> Token {
        self.grant.token()
    }
}

async fn check(grant: &Grant, subject: String) -> Result<(), PlatformError> {
    grant.check().await.map_err(|source| PlatformError::LockLost {
        subject,
        source: Box::new(source),
    })
}

impl KubernetesPlatform {
    /// Returns what speaks to the API server.
    async fn reached(&self) -> Result<Server, Trouble> {
        let connected = self.server.get_or_try_init(|| Server::connect(&self.settings)).await;
        connected.cloned()
    }

    async fn server(&self) -> Result<Server, PlatformError> {
        self.reached()
            .await
            .map_err(|trouble| PlatformError::Unusable(trouble.message().to_owned()))
    }

    async fn site(&self, node: &InstanceAddress) -> Result<Site, PlatformError> {
        Ok(Site {
            server: self.server().await?,
            names: self.names.clone(),
            own: Names::instance(node),
        })
    }

    /// Returns the grant of the record's lock, which is still held.
    async fn granted(&self, subject: String) -> Result<&Grant, PlatformError> {
        let Some(grant) = &self.grant else {
            return Err(PlatformError::OnlyLooked(subject));
        };
        check(grant, subject).await.map(|()| grant)
    }

    /// Takes the right to change a node.
    async fn take(&self, node: &InstanceAddress) -> Result<Hold, PlatformError> {
        let subject = format!("the volume of {node}");
        self.granted(subject.clone()).await?;
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(locks.entry(node.clone()).or_default())
        };
        let lock = lock.lock_owned().await;
        let grant = self.granted(subject).await?.clone();
        Ok(Hold {
            site: self.site(node).await?,
            grant,
            _lock: lock,
        })
    }

    /// Returns a pod of the project that a trial can be made in: one that runs, and has the image.
    async fn pod_of(&self, image: &str) -> Result<Option<Site>, PlatformError> {
        let server = self.server().await?;
        let pods = server.list::<Pod>(&self.names.everything()).await;
        let pods = pods.at("list the pods of", &server.namespace)?;
        for pod in &pods.items {
            let has = inspect::image(pod).is_some_and(|has| has == Image::from(image));
            let node = pod.annotations().get(ADDRESS).and_then(|address| address.parse().ok());
            if let (true, None, Some(node)) = (has, explain::waits(pod), node) {
                return self.site(&node).await.map(Some);
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Dial for KubernetesPlatform {
    async fn dial(&self, instance: &InstanceAddress, place: &Place) -> io::Result<Box<dyn Stream>> {
        let server = self.server().await.map_err(io::Error::other)?;
        let pod = Names::instance(instance).pod;
        Ok(Box::new(server.forward(&pod, place.bind.port).await?))
    }
}

#[async_trait]
impl Platform for KubernetesPlatform {
    async fn list(&self) -> Result<BTreeSet<InstanceAddress>, PlatformError> {
        let server = self.server().await?;
        let labels = self.names.everything();
        let (volumes, sets) = tokio::try_join!(
            server.list::<PersistentVolumeClaim>(&labels),
            server.list::<StatefulSet>(&labels)
        )
        .at("list the objects of", &server.namespace)?;
        let metadata = volumes.items.iter().map(|volume| &volume.metadata);
        let metadata = metadata.chain(sets.items.iter().map(|set| &set.metadata));
        let nodes = metadata.filter_map(|metadata| {
            let node: InstanceAddress = site::annotation(metadata, ADDRESS)?.parse().ok()?;
            (Some(&Names::instance(&node).base) == metadata.name.as_ref()).then_some(node)
        });
        Ok(nodes.collect())
    }

    fn look_limit(&self, _: &InstanceAddress) -> Duration {
        LOOK_LIMIT
    }

    async fn inspect(&self, node: &InstanceAddress) -> Result<Observation<InstanceFacts>, PlatformError> {
        inspect::inspect(&self.site(node).await?).await
    }

    async fn unmanaged(
        &self,
        _: &InstanceAddress,
        _: &str,
        _: &[&str],
    ) -> Result<Observation<Unmanaged>, PlatformError> {
        Ok(Observation::Unknown(
            "servers that were made without simdb cannot become pods with this version. Make the cluster without the import block, and bring \
             the data over as a dump"
                .to_owned(),
        ))
    }

    async fn ensure(
        &self,
        node: &InstanceAddress,
        spec: &InstanceSpec,
        secrets: &Secrets,
    ) -> Result<(), PlatformError> {
        let hold = self.take(node).await?;
        Box::pin(server::ensure(&hold, &self.settings, spec, secrets)).await
    }

    async fn hidden(&self, node: &InstanceAddress) -> Result<Option<Hidden>, PlatformError> {
        hidden::hidden(&self.site(node).await?).await.map(Some)
    }

    async fn condemn(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        hidden::condemn(&self.take(node).await?).await
    }

    async fn made_from(&self, node: &InstanceAddress) -> Result<Option<Image>, PlatformError> {
        let found = self.site(node).await?.find().await?;
        Ok(found.pod.as_ref().and_then(inspect::image))
    }

    async fn reload(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        let hold = self.take(node).await?;
        server::reload(&hold).await
    }

    async fn stop(&self, node: &InstanceAddress, mode: StopMode) -> Result<Witness, PlatformError> {
        let stopped = match self.take(node).await {
            Ok(hold) => Box::pin(stop::stop(&hold, mode)).await,
            Err(error) => Err(error),
        };
        // An API server that does not answer proves nothing.
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
        if task.is_question() && !task.commands.is_empty() {
            return task::ask(&self.site(node).await?, task).await;
        }
        let hold = self.take(node).await?;
        Box::pin(task::run(&hold, &self.settings, task, secrets)).await
    }

    async fn hold(&self, node: &InstanceAddress) -> Result<Option<Held>, PlatformError> {
        let hold = self.take(node).await?;
        if hold.site.find().await?.volume.is_none() {
            return Ok(None);
        }
        task::settle(&hold).await?;
        Ok(Some(Box::new(hold)))
    }

    async fn drop(&self, node: &InstanceAddress) -> Result<(), PlatformError> {
        let hold = self.take(node).await?;
        stop::drop_all(&hold).await
    }

    async fn log(&self, node: &InstanceAddress, lines: usize) -> Result<Vec<String>, PlatformError> {
        stop::log(&self.site(node).await?, lines).await
    }
}

#[async_trait]
impl Provider for KubernetesPlatform {
    async fn facts(&self) -> PlatformFacts {
        self.look().await
    }

    async fn survey(&self) -> Result<Survey, PlatformError> {
        let server = self.server().await?;
        let labels = format!("{MANAGED_BY}={MANAGER},{LINEAGE}");
        let pods = server
            .list::<Pod>(&labels)
            .await
            .at("list the pods of", &server.namespace)?;
        let mut servers: Vec<Surveyed> = pods.items.iter().map(|pod| surveyed(&server, pod)).collect();
        servers.sort_by(|a, b| a.data.cmp(&b.data));
        Ok(Survey {
            servers,
            unseen: Vec::new(),
        })
    }

    async fn leftovers(&self) -> Result<Vec<Leftover>, PlatformError> {
        leftovers::find(&self.server().await?, None).await
    }

    async fn discard(&self, lineage: &str) -> Result<(), PlatformError> {
        leftovers::discard(&self.server().await?, lineage).await
    }

    async fn try_out(&self, trial: &TrialSpec) -> Result<Option<Failure>, PlatformError> {
        let Some(command) = trial.commands.first() else {
            return Ok(None);
        };
        let image = self.settings.image_of(command, None)?;
        match self.pod_of(&image).await? {
            Some(site) => task::try_out(&site, trial).await,
            None => Err(refused(
                "try parameters in a pod of",
                &image,
                "none runs yet, and looking makes none".to_owned(),
            )),
        }
    }
}

fn surveyed(server: &Server, pod: &Pod) -> Surveyed {
    let runs = explain::waits(pod).is_none();
    Surveyed {
        lineage: pod.labels().get(LINEAGE).cloned(),
        project: pod.annotations().get(PROJECT).map(Into::into),
        address: pod.annotations().get(ADDRESS).and_then(|address| address.parse().ok()),
        process: if runs {
            ProcessFacts::Running { pid: 1 }
        } else {
            ProcessFacts::Down
        },
        listen: None,
        data: format!(
            "PersistentVolumeClaim {}/{}",
            server.namespace,
            pod.name_any().trim_end_matches("-0")
        ),
    }
}
