//! Asks the API server, before anything is made, whether it would be: names that others have, quotas, classes, and what the objects
//! themselves come to, which is tried without being kept.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::FutureExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{LimitRange, PersistentVolumeClaim, Pod, ResourceQuota, Secret, Service};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use simdb_planner::planner::{Unmade, UnmadeServer};
use simdb_state::instance::Command;
use simdb_state::object::Resources;

use super::KubernetesPlatform;
use super::build;
use super::client::{Object, Server, Trouble};
use super::explain::explained;
use super::names::{InstanceNames, LINEAGE, MANAGER, Names};
use super::pod::Made;
use super::quotas::{self, Takes};
use crate::platform::Rehearsed;

/// What marks the class that volumes have which name none.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// The port that a pod is tried with: which one it is changes nothing.
const PORT: u16 = 5432;

/// The names of the objects of a kind in a namespace, each with whether this project made it.
type Taken = BTreeMap<String, bool>;

/// What is in the namespace under names that are needed.
struct There {
    volumes: Taken,
    sets: Taken,
    pods: Taken,
    services: Taken,
}

impl KubernetesPlatform {
    /// Says what keeps servers from being made.
    pub(super) async fn rehearsed(&self, unmade: &Unmade) -> Rehearsed {
        let mut rehearsed = Rehearsed::default();
        // The platform's own facts say what keeps it from being asked.
        let Ok(server) = self.reached().await else {
            return rehearsed;
        };
        let there = match self.there(&server).await {
            Ok(there) => there,
            Err(trouble) => {
                rehearsed.doubt("which names are taken", &trouble);
                return rehearsed;
            }
        };
        foreign(&server, unmade, &there, &mut rehearsed);
        self.class(&server, &mut rehearsed).await;
        self.priority(&server, &mut rehearsed).await;
        self.secret(&server, &mut rehearsed).await;
        let told = rehearsed.refusals.len();
        self.quotas(&server, self.takes(unmade, &there), &mut rehearsed).await;
        let is_short = rehearsed.refusals.len() > told;
        self.trials(&server, unmade, &there, is_short, &mut rehearsed).await;
        rehearsed
    }

    async fn there(&self, server: &Server) -> Result<There, Trouble> {
        let (volumes, sets, pods, services) = tokio::try_join!(
            server.list_metadata::<PersistentVolumeClaim>(""),
            server.list_metadata::<StatefulSet>(""),
            server.list_metadata::<Pod>(""),
            server.list_metadata::<Service>(""),
        )?;
        Ok(There {
            volumes: self.taken(volumes),
            sets: self.taken(sets),
            pods: self.taken(pods),
            services: self.taken(services),
        })
    }

    fn taken(&self, all: Vec<ObjectMeta>) -> Taken {
        let is_ours = |metadata: &ObjectMeta| {
            let labels = metadata.labels.as_ref();
            labels.and_then(|labels| labels.get(LINEAGE)) == Some(&self.names.lineage)
        };
        let named = all.into_iter().filter_map(|metadata| {
            let ours = is_ours(&metadata);
            Some((metadata.name?, ours))
        });
        named.collect()
    }

    /// Says that volumes get no class where they name none.
    async fn class(&self, server: &Server, rehearsed: &mut Rehearsed) {
        if self.settings.storage_class.is_some() {
            // The platform's facts say whether it is there.
            return;
        }
        let api: Api<StorageClass> = Api::all(server.client.clone());
        let listed = server.within(api.list(&ListParams::default()).boxed()).await;
        let is_default = |class: &StorageClass| {
            let annotations = class.metadata.annotations.as_ref();
            annotations
                .and_then(|all| all.get(DEFAULT_CLASS))
                .is_some_and(|is| is == "true")
        };
        match listed {
            Ok(classes) if classes.items.iter().any(is_default) => {}
            Ok(_) => rehearsed.doubts.push(
                "The cluster has no StorageClass that is the default, so that volumes are found only where somebody has made them. Name one in \
                 provider \"kubernetes\": storage_class = \"...\"; see kubectl get storageclass."
                    .to_owned(),
            ),
            Err(trouble) => rehearsed.doubt("whether the cluster has a StorageClass that is the default", &trouble),
        }
    }

    async fn priority(&self, server: &Server, rehearsed: &mut Rehearsed) {
        let Some(name) = &self.settings.priority_class else {
            return;
        };
        let api: Api<PriorityClass> = Api::all(server.client.clone());
        match server.within(api.get_opt(name).boxed()).await {
            Ok(Some(_)) => {}
            Ok(None) => rehearsed.refusals.push(format!(
                "The cluster has no PriorityClass \"{name}\". See which ones there are, kubectl get priorityclass, and name one in provider \
                 \"kubernetes\": priority_class = \"...\"."
            )),
            Err(trouble) => rehearsed.doubt(&format!("whether there is a PriorityClass \"{name}\""), &trouble),
        }
    }

    async fn secret(&self, server: &Server, rehearsed: &mut Rehearsed) {
        let Some(name) = &self.settings.pull_secret else {
            return;
        };
        let api = server.api::<Secret>();
        match server.within(api.get_metadata_opt(name).boxed()).await {
            Ok(Some(_)) => {}
            Ok(None) => rehearsed.refusals.push(format!(
                "Namespace {} has no Secret \"{name}\", with which images are fetched. Make it with kubectl create secret, or \
                 name another one in provider \"kubernetes\": pull_secret = \"...\".",
                server.namespace
            )),
            Err(trouble) => rehearsed.doubt(&format!("whether there is a Secret \"{name}\""), &trouble),
        }
    }

    /// Adds up what is to be made. What was made before simdb was killed is there, and counted as used.
    fn takes(&self, unmade: &Unmade, there: &There) -> Takes {
        let count = |taken: &Taken, names: &BTreeSet<String>| {
            let missing = names.iter().filter(|name| !taken.contains_key(*name)).count();
            u32::try_from(missing).unwrap_or(u32::MAX)
        };
        let own: Vec<(InstanceNames, Resources)> = unmade
            .servers
            .iter()
            .map(|server| (Names::instance(&server.instance), server.resources))
            .collect();
        let bases: BTreeSet<String> = own.iter().map(|(own, _)| own.base.clone()).collect();
        let mut services = bases.clone();
        services.extend(unmade.endpoints.iter().map(Names::endpoint));
        let new_pods: Vec<Resources> = own
            .iter()
            .filter(|(own, _)| !there.pods.contains_key(&own.pod))
            .map(|(_, resources)| *resources)
            .collect();
        let new_volumes = own.iter().filter(|(own, _)| !there.volumes.contains_key(&own.base));
        let storage: Vec<u64> = new_volumes
            .map(|(_, resources)| build::size(&self.settings, *resources))
            .collect();
        Takes {
            volumes: u32::try_from(storage.len()).unwrap_or(u32::MAX),
            sets: count(&there.sets, &bases),
            pods: u32::try_from(new_pods.len()).unwrap_or(u32::MAX),
            services: count(&there.services, &services),
            storage: storage.iter().sum(),
            storage_class: self.settings.storage_class.clone(),
            memory: new_pods.iter().map(|resources| resources.memory).sum(),
            cpus: new_pods.iter().map(|resources| resources.cpus.map(u64::from)).sum(),
            has_defaults: false,
        }
    }

    async fn quotas(&self, server: &Server, takes: Takes, rehearsed: &mut Rehearsed) {
        let (quotas, limits) = tokio::join!(server.list::<ResourceQuota>(""), server.list::<LimitRange>(""));
        let quotas = match quotas {
            Ok(quotas) => quotas.items,
            Err(trouble) => return rehearsed.doubt("whether quotas leave room", &trouble),
        };
        let takes = Takes {
            // Those who may not look cannot say that there are none.
            has_defaults: limits.map_or(true, |limits| !limits.items.is_empty()),
            ..takes
        };
        rehearsed.refusals.extend(quotas::refusals(&quotas, &takes));
    }

    /// Tries one server of each kind.
    async fn trials(&self, server: &Server, unmade: &Unmade, there: &There, is_short: bool, rehearsed: &mut Rehearsed) {
        let kind = |server: &UnmadeServer| {
            (
                server.engine,
                server.version,
                server.resources.memory,
                server.resources.cpus,
            )
        };
        let mut tried = BTreeSet::new();
        for unmade in &unmade.servers {
            let own = Names::instance(&unmade.instance);
            if there.sets.contains_key(&own.base) || !tried.insert(kind(unmade)) {
                continue;
            }
            match self.trial(server, &own, unmade, there).await {
                // Quotas that are short are told with what is left of them.
                Err(Trouble::Refused { message, .. }) if is_short && message.contains("exceeded quota") => {}
                Err(Trouble::Refused { message, .. }) => rehearsed.refusals.push(format!(
                    "The API server would not make {}: {}.",
                    unmade.instance,
                    explained(&message)
                )),
                Err(trouble) => rehearsed.doubt(&format!("whether {} would be made", unmade.instance), &trouble),
                Ok(()) => {}
            }
        }
    }

    async fn trial(
        &self,
        server: &Server,
        own: &InstanceNames,
        unmade: &UnmadeServer,
        there: &There,
    ) -> Result<(), Trouble> {
        let command = Command {
            engine: unmade.engine,
            version: unmade.version,
            program: String::new(),
            arguments: Vec::new(),
        };
        // Which images there are is told by the platform's facts.
        let Ok(image) = self.settings.image_of(&command, None) else {
            return Ok(());
        };
        let made = Made::of(&command, image, unmade.resources, Some(PORT));
        if !there.volumes.contains_key(&own.base) {
            let volume = build::volume(&self.names, own, &self.settings, &made);
            server.try_create(&volume).await?;
        }
        let set = build::set(&self.names, own, &self.settings, &made);
        server.try_apply(&own.base, &set).await
    }
}

/// Says which names somebody else has.
fn foreign(server: &Server, unmade: &Unmade, there: &There, rehearsed: &mut Rehearsed) {
    let mut check = |kind: &str, taken: &Taken, name: &str, address: &dyn std::fmt::Display| {
        if taken.get(name) == Some(&false) {
            rehearsed.refusals.push(format!(
                "Namespace {} has a {kind} {name}, which {address} is to have, and which this configuration did not make. Remove or rename it, \
                 or name another namespace in provider \"kubernetes\".",
                server.namespace
            ));
        }
    };
    for server in &unmade.servers {
        let InstanceNames { node, base, pod, .. } = Names::instance(&server.instance);
        check("PersistentVolumeClaim", &there.volumes, &base, &node);
        check("StatefulSet", &there.sets, &base, &node);
        check("Service", &there.services, &base, &node);
        check("Pod", &there.pods, &pod, &node);
    }
    for endpoint in &unmade.endpoints {
        check("Service", &there.services, &Names::endpoint(endpoint), endpoint);
    }
}

impl Server {
    /// Asks whether an object would be made, which must not be there.
    async fn try_create<T: Object>(&self, object: &T) -> Result<(), Trouble> {
        let options = PostParams {
            dry_run: true,
            field_manager: Some(MANAGER.to_owned()),
        };
        let api = self.api::<T>();
        self.within(api.create(&options, object).boxed()).await.map(drop)
    }

    /// Asks whether an object would be made, or changed.
    async fn try_apply<T: Object>(&self, name: &str, object: &T) -> Result<(), Trouble> {
        let options = PatchParams {
            dry_run: true,
            ..PatchParams::apply(MANAGER).force()
        };
        let api = self.api::<T>();
        let patch = Patch::Apply(object);
        self.within(api.patch(name, &options, &patch).boxed()).await.map(drop)
    }
}

impl Rehearsed {
    /// Says what could not be found out.
    fn doubt(&mut self, what: &str, trouble: &Trouble) {
        let message = trouble.message().trim_end_matches('.');
        self.doubts.push(format!("It is not known {what}: {message}."));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use simdb_state::object::EngineKind;

    use super::super::fake::{self, Fake};
    use super::*;
    use crate::platform::Provider;

    /// Returns what a cluster of two nodes and an endpoint takes.
    fn unmade() -> Unmade {
        let server = |node: &str| UnmadeServer {
            instance: format!("cluster.orders.node.{node}").parse().unwrap(),
            engine: EngineKind::Postgresql,
            version: 15,
            resources: Resources::default(),
        };
        Unmade {
            servers: vec![server("a"), server("b")],
            endpoints: ["cluster.orders.endpoint.rw".parse().unwrap()].into(),
        }
    }

    /// Answers as a cluster does that has room for everything.
    fn roomy(method: &str, path: &str) -> (u16, Value) {
        if method != "GET" {
            assert!(path.contains("dryRun=All"), "nothing is made: {method} {path}");
            let kind = if path.contains("statefulsets") {
                json!({ "metadata": {}, "spec": { "selector": {}, "template": {}, "serviceName": "" } })
            } else {
                json!({ "metadata": {} })
            };
            return (200, kind);
        }
        if path.contains("storageclasses") {
            let annotations = json!({ DEFAULT_CLASS: "true" });
            let class = json!({ "metadata": { "name": "usual", "annotations": annotations }, "provisioner": "test" });
            return fake::list(&[class]);
        }
        fake::list(&[])
    }

    async fn rehearsed(
        arguments: &[(&str, &str)],
        answers: impl Fn(&str, &str) -> (u16, Value) + Send + Sync + 'static,
    ) -> Rehearsed {
        let server = Fake::start(answers).await;
        server.platform(arguments).rehearse(&unmade()).await
    }

    #[tokio::test]
    async fn what_there_is_room_for_is_not_refused_and_few_requests_say_so() {
        let server = Fake::start(roomy).await;
        assert_eq!(server.platform(&[]).rehearse(&unmade()).await, Rehearsed::default());
        let asked = server.asked();
        assert_eq!(asked.len(), 9, "one of several servers of one kind is tried: {asked:?}");
    }

    #[tokio::test]
    async fn quotas_and_names_and_what_is_missing_are_told_each_with_a_way_out() {
        let told = rehearsed(
            &[("priority_class", "high"), ("pull_secret", "registry")],
            |method, path| {
                if path.contains("resourcequotas") {
                    let hard = json!({ "pods": "1" });
                    return fake::list(&[
                        json!({ "metadata": { "name": "small" }, "spec": { "hard": hard }, "status": { "hard": hard } }),
                    ]);
                }
                if path.contains("/priorityclasses/") || path.contains("/secrets/") {
                    return fake::missing();
                }
                if method == "GET" && path.contains("/services") {
                    return fake::list(&[json!({ "metadata": { "name": "orders-rw" } })]);
                }
                roomy(method, path)
            },
        )
        .await;
        for text in [
            "ResourceQuota small leaves 1 of pods, and what is to be made takes 2.",
            "has a Service orders-rw, which cluster.orders.endpoint.rw is to have",
            "has no PriorityClass \"high\"",
            "has no Secret \"registry\"",
        ] {
            assert_eq!(
                told.refusals.iter().filter(|refusal| refusal.contains(text)).count(),
                1,
                "{text} in {told:?}"
            );
        }
        assert_eq!((told.refusals.len(), told.doubts.len()), (4, 0), "{told:?}");
    }

    #[tokio::test]
    async fn what_the_api_server_would_refuse_is_told_and_what_may_not_be_looked_at_is_no_refusal() {
        let told = rehearsed(&[], |method, path| {
            if method != "GET" && path.contains("statefulsets") {
                let said = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Forbidden",
                    "message": "admission webhook \"policy\" denied the request", "code": 403 });
                return (403, said);
            }
            if path.contains("resourcequotas") || path.contains("storageclasses") {
                return fake::forbidden();
            }
            roomy(method, path)
        })
        .await;
        assert_eq!(
            told.refusals,
            ["The API server would not make cluster.orders.node.a: admission webhook \"policy\" denied the request."]
        );
        assert_eq!(told.doubts.len(), 2, "{told:?}");
        let nothing = rehearsed(&[], |_, _| fake::forbidden()).await;
        assert!(nothing.refusals.is_empty() && !nothing.doubts.is_empty(), "{nothing:?}");
    }
}
