//! Tells those who look at the cluster what happened, and what is meant to be: events, and annotations of sets and services.
//!
//! The record of simdb is what counts. Nothing here is read again, and nothing fails because it could not be told: who may not write
//! events has none. An API server forgets events after an hour.

use std::fmt::Write;

use futures_util::FutureExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ObjectReference, Service};
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use serde_json::json;
use simdb_state::address::{Address, InstanceAddress};
use simdb_state::cluster_event::ClusterEvent;
use simdb_state::name::ClusterName;

use super::KubernetesPlatform;
use super::client::{Object, Server, Trouble};
use super::names::{CLUSTER, INTENT, MANAGER, Names, TERM};
use super::site::Site;

/// What is told of an object.
pub(super) struct Told {
    /// What happened, in one word: `Promoted`.
    pub(super) reason: String,
    /// The same with what it is about.
    pub(super) note: String,
}

impl Told {
    pub(super) fn of(happened: &ClusterEvent) -> Self {
        let words = happened.kind.name().split('_').map(|word| {
            let (first, rest) = word.split_at(1);
            format!("{}{rest}", first.to_uppercase())
        });
        let reason: String = words.collect();
        let mut note = format!("{}: {}", happened.subject, happened.kind.name().replace('_', " "));
        if let Some(term) = happened.term {
            let _ = write!(note, ", term {term}");
        }
        if let Some(position) = &happened.position {
            let _ = write!(note, ", at {position}");
        }
        Self { reason, note }
    }
}

/// Notes at the set of a node whether its server is to run, for those who see a pod that is not ready.
pub(super) async fn intent(site: &Site, intent: &str) {
    // Who may not note it is not kept from stopping servers.
    let _ = site
        .server
        .annotate::<StatefulSet>(&site.own.base, INTENT, intent)
        .await;
}

impl KubernetesPlatform {
    /// Tells what happened to a cluster or a node, at the objects that it happened to.
    pub(super) async fn tell(&self, happened: &ClusterEvent) {
        let Ok(server) = self.reached().await else { return };
        // What cannot be told is on record all the same.
        let _ = match &happened.subject {
            Address::Node(node) => self.tell_of_node(&server, &node.into(), happened).await,
            Address::Cluster(cluster) => self.tell_of_cluster(&server, cluster, happened).await,
            _ => Ok(()),
        };
    }

    async fn tell_of_node(
        &self,
        server: &Server,
        node: &InstanceAddress,
        happened: &ClusterEvent,
    ) -> Result<(), Trouble> {
        let name = Names::instance(node).base;
        let set = match happened.term {
            Some(term) => server.annotate::<StatefulSet>(&name, TERM, &term.to_string()).await?,
            None => match server.get::<StatefulSet>(&name).await? {
                Some(set) => set,
                None => return Ok(()),
            },
        };
        server.post(&set, &Told::of(happened)).await
    }

    /// Tells it at each of the cluster's endpoints, which say of which term they are since; at what the cluster has in any case where it
    /// has none.
    async fn tell_of_cluster(
        &self,
        server: &Server,
        cluster: &ClusterName,
        happened: &ClusterEvent,
    ) -> Result<(), Trouble> {
        let labels = format!(
            "{},{CLUSTER}={cluster},app.kubernetes.io/component=endpoint",
            self.names.everything()
        );
        let endpoints = server.list::<Service>(&labels).await?.items;
        if endpoints.is_empty() {
            let budget = server.get::<PodDisruptionBudget>(cluster.as_str()).await?;
            return match budget {
                Some(budget) => server.post(&budget, &Told::of(happened)).await,
                None => Ok(()),
            };
        }
        for service in endpoints {
            let name = service.metadata.name.as_deref().unwrap_or_default();
            let service = match happened.term {
                Some(term) => server.annotate::<Service>(name, TERM, &term.to_string()).await?,
                None => service,
            };
            server.post(&service, &Told::of(happened)).await?;
        }
        Ok(())
    }
}

impl Server {
    /// Notes something at an object.
    async fn annotate<T: Object>(&self, name: &str, key: &str, value: &str) -> Result<T, Trouble> {
        self.merge::<T>(name, &json!({ "metadata": { "annotations": { key: value } } }))
            .await
    }

    /// Makes an event of an object.
    pub(super) async fn post<T: Object>(&self, object: &T, told: &Told) -> Result<(), Trouble> {
        let event = event(object, &self.namespace, told, Timestamp::now());
        let api = self.api::<Event>();
        let options = PostParams {
            field_manager: Some(MANAGER.to_owned()),
            ..PostParams::default()
        };
        self.within(api.create(&options, &event).boxed()).await.map(drop)
    }
}

fn event<T: Object>(object: &T, namespace: &str, told: &Told, at: Timestamp) -> Event {
    let metadata = object.meta();
    let name = metadata.name.clone().unwrap_or_default();
    Event {
        metadata: ObjectMeta {
            // As other controllers call theirs: of one object there is none at the same moment.
            name: Some(format!("{name}.{:x}", at.as_nanosecond())),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        action: Some(told.reason.clone()),
        event_time: Some(MicroTime(at)),
        note: Some(told.note.clone()),
        reason: Some(told.reason.clone()),
        regarding: Some(ObjectReference {
            api_version: Some(T::api_version(&()).into_owned()),
            kind: Some(T::kind(&()).into_owned()),
            name: Some(name),
            namespace: Some(namespace.to_owned()),
            uid: metadata.uid.clone(),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(MANAGER.to_owned()),
        reporting_instance: Some(MANAGER.to_owned()),
        type_: Some("Normal".to_owned()),
        ..Event::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use simdb_state::journal::EventKind;
    use simdb_state::object::Term;

    use super::super::fake::{self, Fake};
    use super::*;
    use crate::platform::Platform;

    fn happened(kind: EventKind, subject: &str, term: Option<Term>) -> ClusterEvent {
        let subject: Address = subject.parse().unwrap();
        ClusterEvent {
            term,
            ..ClusterEvent::new(kind, subject)
        }
    }

    /// Answers as an API server that has a set, and the service of an endpoint where that is asked for.
    fn has(endpoint: bool) -> impl Fn(&str, &str) -> (u16, Value) + Send + Sync {
        move |method, path| {
            let object = json!({ "metadata": { "name": "orders-rw", "uid": "77" } });
            match (method, path.contains("/events")) {
                ("GET", _) if path.contains("/services") && endpoint => fake::list(&[object]),
                ("GET", _) if path.contains("/services") => fake::list(&[]),
                (_, true) => (201, object),
                _ if path.contains("statefulsets") => {
                    let spec = json!({ "selector": {}, "template": {}, "serviceName": "" });
                    (
                        200,
                        json!({ "metadata": { "name": "orders-r-0", "uid": "78" }, "spec": spec }),
                    )
                }
                _ => (200, object),
            }
        }
    }

    #[tokio::test]
    async fn what_happened_is_told_at_the_set_of_its_node_and_at_the_endpoints_of_its_cluster() {
        let server = Fake::start(has(true)).await;
        let platform = server.platform(&[]);
        let promoted = happened(EventKind::Promoted, "cluster.orders.node.r[0]", Some(Term(2)));
        platform.announce(&promoted).await;
        assert_eq!(
            server.asked(),
            [
                "PATCH /apis/apps/v1/namespaces/db/statefulsets/orders-r-0",
                "POST /apis/events.k8s.io/v1/namespaces/db/events",
            ]
        );
        let switched = happened(EventKind::Switchover, "cluster.orders", Some(Term(2)));
        platform.announce(&switched).await;
        assert_eq!(
            server.asked(),
            [
                "GET /api/v1/namespaces/db/services",
                "PATCH /api/v1/namespaces/db/services/orders-rw",
                "POST /apis/events.k8s.io/v1/namespaces/db/events",
            ]
        );
        let without = Fake::start(has(false)).await;
        without.platform(&[]).announce(&switched).await;
        assert_eq!(
            without.asked(),
            [
                "GET /api/v1/namespaces/db/services",
                "GET /apis/policy/v1/namespaces/db/poddisruptionbudgets/orders",
                "POST /apis/events.k8s.io/v1/namespaces/db/events",
            ]
        );
    }

    #[tokio::test]
    async fn who_may_not_tell_anything_is_kept_from_nothing() {
        let server = Fake::start(|_, _| fake::forbidden()).await;
        let platform = server.platform(&[]);
        let promoted = happened(EventKind::Promoted, "cluster.orders.node.r[0]", Some(Term(2)));
        platform.announce(&promoted).await;
        assert_eq!(server.asked().len(), 1);
    }

    #[test]
    fn what_happened_is_an_event_of_the_object_that_it_happened_to() {
        let happened = happened(EventKind::StandbyCreated, "cluster.orders.node.r[0]", Some(Term(2)));
        let mut set = StatefulSet::default();
        set.metadata.name = Some("orders-r-0".to_owned());
        set.metadata.uid = Some("77".to_owned());
        let event = event(&set, "db", &Told::of(&happened), Timestamp::UNIX_EPOCH);
        let document = json!(event);
        assert_eq!(document["reason"], "StandbyCreated");
        assert_eq!(document["note"], "cluster.orders.node.r[0]: standby created, term 2");
        assert_eq!(
            document["regarding"],
            json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "orders-r-0", "namespace": "db", "uid": "77" })
        );
        assert_eq!(document["metadata"]["name"], "orders-r-0.0");
    }
}
