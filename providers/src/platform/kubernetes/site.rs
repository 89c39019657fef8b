//! What the API server has of one node: a volume, a service, a set of one pod, and that pod.

use std::time::Duration;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerState, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{DeleteParams, Preconditions};
use serde_json::json;
use tokio::time::{Instant, sleep};

use super::build;
use super::client::{Object, Server};
use super::exec::Written;
use super::explain;
use super::looks::Looks;
use super::names::{CLUSTER, CONTAINER, FENCED, HOLD, InstanceNames, LINEAGE, Names, SPEC};
use super::pod::Made;
use super::quantity;
use super::script::{self, Ended};
use super::settings::Settings;
use crate::platform::PlatformError;
use crate::platform::requests::{At, refused};

/// How often it is looked whether something is there, or gone.
const POLL: Duration = Duration::from_millis(100);

/// How long a pod may take until its container runs: a large image is fetched meanwhile.
const START_LIMIT: Duration = Duration::from_mins(5);

/// How long a pod that no machine takes is waited for: volumes are made meanwhile.
const UNSCHEDULED_LIMIT: Duration = Duration::from_mins(1);

/// How long what is removed may take to be gone.
const GONE_LIMIT: Duration = Duration::from_mins(6);

/// How long a volume may take to get larger until its server is started all the same.
const GROWTH_LIMIT: Duration = Duration::from_secs(30);

/// How long a pod that is removed may take to end its server, which was stopped before.
const GRACE: u32 = 30;

/// How long something is waited for.
pub(super) struct Patience {
    begun: Instant,
    limit: Duration,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        let begun = Instant::now();
        Self { begun, limit }
    }

    /// Waits a moment, and returns whether there is still time.
    pub(super) async fn lasts(&self) -> bool {
        sleep(POLL).await;
        self.begun.elapsed() < self.limit
    }
}

/// Where one node is.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) server: Server,
    pub(super) names: Names,
    pub(super) own: InstanceNames,
}

/// What there is of a node.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) volume: Option<PersistentVolumeClaim>,
    pub(super) set: Option<StatefulSet>,
    pub(super) pod: Option<Pod>,
}

impl Found {
    /// Returns whether there is nothing of it.
    pub(super) fn is_absent(&self) -> bool {
        self.volume.is_none() && self.set.is_none() && self.pod.is_none()
    }

    /// Returns whether its volume goes, with its data, as soon as no pod uses it.
    pub(super) fn is_leaving(&self) -> bool {
        let volume = self.volume.as_ref();
        volume.is_some_and(|volume| volume.metadata.deletion_timestamp.is_some())
    }

    /// Returns whether no pod is to be.
    pub(super) fn is_off(&self) -> bool {
        let spec = self.set.as_ref().and_then(|set| set.spec.as_ref());
        spec.is_some_and(|spec| spec.replicas == Some(0))
    }
}

/// Returns an annotation of an object.
pub(super) fn annotation<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a String> {
    metadata.annotations.as_ref()?.get(name)
}

/// Returns how large a volume is, in bytes, where that is known.
fn capacity(volume: &PersistentVolumeClaim) -> Option<u64> {
    let capacity = volume.status.as_ref()?.capacity.as_ref()?;
    capacity.get("storage").and_then(quantity::bytes)
}

/// Returns how large a volume was asked to be, in bytes.
pub(super) fn asked_for(volume: &PersistentVolumeClaim) -> Option<u64> {
    let requests = volume.spec.as_ref()?.resources.as_ref()?.requests.as_ref()?;
    requests.get("storage").and_then(quantity::bytes)
}

/// Returns the state of the container of a pod.
pub(super) fn container(pod: &Pod) -> Option<&ContainerState> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    // A mesh may have put containers of its own beside it.
    let own = statuses.iter().find(|status| status.name == CONTAINER);
    own?.state.as_ref()
}

impl Site {
    /// Looks at all that there is. An object of somebody else is an error.
    pub(super) async fn find(&self) -> Result<Found, PlatformError> {
        let own = &self.own;
        let found = tokio::try_join!(
            self.server.get::<PersistentVolumeClaim>(&own.base),
            self.server.get::<StatefulSet>(&own.base),
            self.server.get::<Pod>(&own.pod),
        );
        self.found(found.at("look at the objects of", &own.base)?)
    }

    /// Looks at all that there is, together with everybody who looks at another node at this moment.
    pub(super) async fn find_among(&self, looks: &Looks) -> Result<Found, PlatformError> {
        let Self { server, names, own } = self;
        let found = tokio::try_join!(
            looks.volume(server, names, &own.base),
            looks.set(server, names, &own.base),
            looks.pod(server, names, &own.pod),
        );
        self.found(found.at("look at the objects of", &own.base)?)
    }

    fn found(
        &self,
        (volume, set, pod): (Option<PersistentVolumeClaim>, Option<StatefulSet>, Option<Pod>),
    ) -> Result<Found, PlatformError> {
        self.is_ours(volume.as_ref().map(|volume| &volume.metadata), "PersistentVolumeClaim")?;
        self.is_ours(set.as_ref().map(|set| &set.metadata), "StatefulSet")?;
        self.is_ours(pod.as_ref().map(|pod| &pod.metadata), "Pod")?;
        Ok(Found { volume, set, pod })
    }

    fn is_ours(&self, metadata: Option<&ObjectMeta>, kind: &str) -> Result<(), PlatformError> {
        let Some(metadata) = metadata else { return Ok(()) };
        let labels = metadata.labels.as_ref();
        let lineage = labels.and_then(|labels| labels.get(LINEAGE));
        if lineage == Some(&self.names.lineage) {
            return Ok(());
        }
        let name = metadata.name.as_deref().unwrap_or_default();
        let namespace = &self.server.namespace;
        let whose = match lineage {
            Some(_) => "it belongs to another configuration of simdb",
            None => "it was not made by simdb",
        };
        Err(PlatformError::ForeignInstanceDirectory {
            node: self.own.node.clone(),
            path: format!("{kind} {namespace}/{name}").into(),
            reason: whose.to_owned(),
        })
    }

    /// Returns the container's pod where a script can be run in it, or why not.
    pub(super) async fn usable(&self) -> Result<Result<Pod, String>, PlatformError> {
        let found = self.find().await?;
        Ok(match found.pod {
            None if found.is_off() => Err("its StatefulSet is scaled to 0".to_owned()),
            None => Err("it has no pod".to_owned()),
            Some(pod) => match explain::waits(&pod) {
                None => Ok(pod),
                Some(waits) => Err(format!("pod {} does not run: {}", self.own.pod, waits.why)),
            },
        })
    }

    /// Makes what a server needs beside its files, and waits until its container runs. A pod that was made from something else and has no
    /// server that runs is made anew. Returns whether pods of the set do not start their server by themselves, which was proven to be down.
    pub(super) async fn claim(&self, settings: &Settings, made: &Made) -> Result<bool, PlatformError> {
        let set = build::set(&self.names, &self.own, settings, made);
        let found = self.make(settings, made, &set).await?;
        let wanted = build::digest(&set);
        let has = found.pod.as_ref().and_then(|pod| annotation(&pod.metadata, SPEC));
        if let Some(pod) = found.pod.as_ref().filter(|_| has != wanted)
            && !self.is_in_use(pod).await?
        {
            self.remove_pod(pod).await?;
        }
        self.wait_started().await?;
        Ok(made.hold.is_some() || found.set.as_ref().is_some_and(is_held))
    }

    /// Makes the objects that are missing, and makes those that differ what they should be. The pod of a set that is changed stays.
    async fn make(&self, settings: &Settings, made: &Made, set: &StatefulSet) -> Result<Found, PlatformError> {
        let own = &self.own;
        let mut found = self.find().await?;
        if found.is_leaving() {
            self.wait_gone::<PersistentVolumeClaim>(&own.base).await?;
            found = self.find().await?;
        }
        if found.volume.is_none() {
            let volume = build::volume(&self.names, own, settings, made);
            let created = self.server.create(&volume).await;
            created.at("create PersistentVolumeClaim", &own.base)?;
        } else if let Some(volume) = &found.volume {
            self.grow(volume, build::size(settings, made.resources)).await?;
        }
        if let Some(port) = made.port {
            let service = build::service(&self.names, own, made, port);
            self.apply(&own.base, &service, "Service").await?;
            let budget = build::budget(&self.names, &own.cluster);
            self.apply(own.cluster.as_str(), &budget, "PodDisruptionBudget").await?;
        }
        let is_same = found
            .set
            .as_ref()
            .is_some_and(|has| build::digest(has) == build::digest(set));
        if !is_same || found.is_off() {
            let applied = self.server.apply(&own.base, set).await;
            applied.at("apply StatefulSet", &own.base)?;
        }
        Ok(found)
    }

    async fn apply<T: Object>(&self, name: &str, object: &T, kind: &str) -> Result<(), PlatformError> {
        let has = self.server.get::<T>(name).await.at("look at", name)?;
        self.is_ours(has.as_ref().map(Resource::meta), kind)?;
        self.server
            .apply(name, object)
            .await
            .at("apply", &format!("{kind} {name}"))
            .map(drop)
    }

    /// Lets the set make its pod, which starts no server by itself where that was proven to be down.
    pub(super) async fn power_on(&self) -> Result<(), PlatformError> {
        let merged = self
            .server
            .merge::<StatefulSet>(&self.own.base, &json!({ "spec": { "replicas": 1 } }))
            .await;
        merged.at("scale StatefulSet", &self.own.base).map(drop)
    }

    /// Lets the next pod start its server by itself again: the volume says by now that it is to run.
    pub(super) async fn release(&self) -> Result<(), PlatformError> {
        let patch = json!({
            "metadata": { "annotations": { FENCED: null } },
            "spec": { "template": { "metadata": { "annotations": { HOLD: null } } } },
        });
        let merged = self.server.merge::<StatefulSet>(&self.own.base, &patch).await;
        merged.at("change StatefulSet", &self.own.base).map(drop)
    }

    /// Makes a volume larger. None gets smaller.
    async fn grow(&self, volume: &PersistentVolumeClaim, wanted: u64) -> Result<(), PlatformError> {
        if asked_for(volume).is_none_or(|has| has >= wanted) {
            return Ok(());
        }
        let patch = json!({ "spec": { "resources": { "requests": { "storage": quantity::of_bytes(wanted) } } } });
        let merged = self.server.merge::<PersistentVolumeClaim>(&self.own.base, &patch).await;
        merged.at("enlarge PersistentVolumeClaim", &self.own.base)?;
        // A server that is down for lack of space is started once there is some.
        let patience = Patience::new(GROWTH_LIMIT);
        while patience.lasts().await {
            let volume = self.server.get::<PersistentVolumeClaim>(&self.own.base).await;
            let volume = volume.at("look at PersistentVolumeClaim", &self.own.base)?;
            if volume.as_ref().and_then(capacity).is_none_or(|has| has >= wanted) {
                break;
            }
        }
        Ok(())
    }

    /// Returns whether a server runs in a pod. One whose container does not run has none.
    async fn is_in_use(&self, pod: &Pod) -> Result<bool, PlatformError> {
        if explain::waits(pod).is_some() {
            return Ok(false);
        }
        let (_, ended) = self.run(&script::occupied(), None).await?;
        Ok(matches!(ended, Ended::Used(_)))
    }

    /// Removes a pod, so that its set makes another one, and waits until it is gone.
    async fn remove_pod(&self, pod: &Pod) -> Result<(), PlatformError> {
        let name = &self.own.pod;
        let uid = pod.metadata.uid.clone();
        let options = DeleteParams {
            grace_period_seconds: Some(GRACE),
            preconditions: Some(Preconditions {
                uid: uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.server.delete::<Pod>(name, &options).await {
            // Another one of that name is there already.
            Err(trouble) if trouble.is_conflict() => return Ok(()),
            deleted => deleted.at("remove pod", name)?,
        }
        let patience = Patience::new(GONE_LIMIT);
        loop {
            let has = self.server.get::<Pod>(name).await.at("look at pod", name)?;
            if has.is_none_or(|pod| pod.metadata.uid != uid) {
                return Ok(());
            }
            if !patience.lasts().await {
                return Err(self.stays("pod", name));
            }
        }
    }

    /// Waits until the container of the pod runs.
    pub(super) async fn wait_started(&self) -> Result<Pod, PlatformError> {
        let name = &self.own.pod;
        let begun = Instant::now();
        loop {
            let pod = self.server.get::<Pod>(name).await.at("look at pod", name)?;
            let waits = match &pod {
                None => explain::Waits {
                    why: "its StatefulSet has not made it yet: kubectl describe statefulset tells why".to_owned(),
                    is_hopeless: false,
                },
                Some(pod) => match explain::waits(pod) {
                    None => return Ok(pod.clone()),
                    Some(waits) => waits,
                },
            };
            let is_placed = pod
                .as_ref()
                .is_some_and(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()));
            let limit = if is_placed { START_LIMIT } else { UNSCHEDULED_LIMIT };
            if waits.is_hopeless || begun.elapsed() > limit {
                let message = format!("it does not run after {} s: {}", begun.elapsed().as_secs(), waits.why);
                return Err(refused("start pod", name, message));
            }
            sleep(POLL).await;
        }
    }

    /// Runs a script in the pod, and returns what it wrote and how it ended.
    pub(super) async fn run(&self, script: &str, limit: Option<Duration>) -> Result<(Written, Ended), PlatformError> {
        let ran = self.server.run(&self.own.pod, script, limit).await;
        let mut written = ran.at("run a command in pod", &self.own.pod)?;
        let ended = script::ended(&mut written.errors);
        Ok((written, ended))
    }

    /// Waits until an object is gone.
    async fn wait_gone<T: Object>(&self, name: &str) -> Result<(), PlatformError> {
        let patience = Patience::new(GONE_LIMIT);
        while self.server.get::<T>(name).await.at("look at", name)?.is_some() {
            if !patience.lasts().await {
                return Err(self.stays(&T::kind(&()), name));
            }
        }
        Ok(())
    }

    fn stays(&self, kind: &str, name: &str) -> PlatformError {
        let message = format!(
            "the {kind} is still there after {} s. See what holds it: kubectl -n {} describe {} {name}",
            GONE_LIMIT.as_secs(),
            self.server.namespace,
            kind.to_lowercase()
        );
        refused("remove", name, message)
    }

    /// Removes everything of the node, its volume last.
    pub(super) async fn remove(&self) -> Result<(), PlatformError> {
        let (server, base) = (&self.server, &self.own.base);
        let now = DeleteParams::background();
        server
            .delete::<StatefulSet>(base, &now)
            .await
            .at("remove StatefulSet", base)?;
        let pod = DeleteParams::default().grace_period(GRACE);
        server
            .delete::<Pod>(&self.own.pod, &pod)
            .await
            .at("remove pod", &self.own.pod)?;
        self.wait_gone::<Pod>(&self.own.pod).await?;
        server.delete::<Service>(base, &now).await.at("remove Service", base)?;
        server
            .delete::<PersistentVolumeClaim>(base, &now)
            .await
            .at("remove PersistentVolumeClaim", base)?;
        self.wait_gone::<PersistentVolumeClaim>(base).await?;
        self.wait_gone::<StatefulSet>(base).await?;
        let labels = format!("{},{CLUSTER}={}", self.names.everything(), self.own.cluster);
        let others = server.list::<PersistentVolumeClaim>(&labels).await;
        if others
            .at("list the volumes of", self.own.cluster.as_str())?
            .items
            .is_empty()
        {
            let budget = self.own.cluster.as_str();
            let removed = server.delete::<PodDisruptionBudget>(budget, &now).await;
            removed.at("remove PodDisruptionBudget", budget)?;
        }
        Ok(())
    }
}

/// Returns whether the pods of a set do not start their server by themselves.
pub(super) fn is_held(set: &StatefulSet) -> bool {
    let template = set.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    template.is_some_and(|template| annotation(template, HOLD).is_some())
}
