//! Endpoints as services: what clients in the cluster connect to.
//!
//! The service of an endpoint that leads to one server selects that server's pod by name: of several pods that take themselves for the
//! right one, none but this one has clients. A role change is one change of one object, which is refused where somebody else was
//! faster. An endpoint that leads to several servers selects what they are labelled with, their sets included, so that pods that are
//! made later have the label as well.
//!
//! Sessions that are open stay with their server, and machines that are cut off from the API server go on as before: no route
//! keeps a former primary from writing.

use std::collections::BTreeSet;

use async_trait::async_trait;
use futures_util::FutureExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt;
use kube::api::{DeleteParams, PostParams};
use serde::{Deserialize, Serialize};
use serde_json::json;
use simdb_planner::observed::{Observation, RouteFacts};
use simdb_planner::platform::{name_of_pooler, name_within};
use simdb_state::address::EndpointAddress;
use simdb_state::name::NodeName;
use simdb_state::place::HostPort;
use simdb_state::route::{Hints, Route, Wanted};

use super::KubernetesPlatform;
use super::build::service_port;
use super::client::{Object, Server, Trouble};
use super::names::{ADDRESS, CLUSTER, ENDPOINT, LINEAGE, MANAGER, Names, Pairs, ROLE, ROUTE, SERVER, pairs};
use super::site::annotation;
use super::tell::Told;
use crate::platform::requests::At;
use crate::platform::{Endpoints, PlatformError};

/// How often a change is tried where somebody else is faster each time.
const TRIES: usize = 5;

/// The port of a service that leads to no server: every service has one.
const NOWHERE: u16 = 1;

/// How the pod is labelled that leads.
const PRIMARY: &str = "primary";

/// A route as it was published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Published {
    to: Vec<NodeName>,
    hosts: Vec<HostPort>,
    hints: Hints,
}

/// Returns how many of a route's hosts its name leads to. An entry of a file names the others as well, after those that are wanted:
/// its readers tell who writes; a name has no such readers.
fn wanted(hosts: usize, wanted: Wanted) -> usize {
    match wanted {
        Wanted::Any => hosts,
        Wanted::Writer => hosts.min(1),
        Wanted::Reader => {
            if hosts > 1 {
                hosts - 1
            } else {
                hosts
            }
        }
    }
}

impl Published {
    /// Returns the servers that the name leads to, by the names of their pods' sets.
    fn targets(&self, endpoint: &EndpointAddress) -> Vec<String> {
        if self.to.is_empty() {
            return vec![name_of_pooler(&endpoint.cluster, &endpoint.endpoint)];
        }
        let number = wanted(self.hosts.len(), self.hints.wanted);
        let nodes = self.to.iter().take(number);
        nodes.map(|node| name_within(&endpoint.cluster, &node.host())).collect()
    }

    /// Returns what selects their pods.
    fn selector(&self, names: &Names, endpoint: &EndpointAddress) -> Pairs {
        let mut selector = pairs([(LINEAGE, &names.lineage)]);
        match self.targets(endpoint).as_slice() {
            [only] => selector.insert(SERVER.to_owned(), only.clone()),
            _ => selector.insert(label(endpoint), endpoint.cluster.to_string()),
        };
        selector
    }

    fn spec(&self, names: &Names, endpoint: &EndpointAddress, before: ServiceSpec) -> ServiceSpec {
        let port = self.hosts.first().map_or(NOWHERE, |host| host.port);
        ServiceSpec {
            selector: Some(self.selector(names, endpoint)),
            ports: Some(vec![service_port(port)]),
            // Who is led to one server alone is turned away by it, and need not wait until it is known that it is down.
            publish_not_ready_addresses: Some(self.targets(endpoint).len() == 1),
            ..before
        }
    }
}

/// Returns the label of what an endpoint leads to.
fn label(endpoint: &EndpointAddress) -> String {
    format!("{ENDPOINT}{}", endpoint.endpoint)
}

/// Returns the route of a service, where one was published with it.
fn published(service: &Service) -> Option<Published> {
    serde_json::from_str(annotation(&service.metadata, ROUTE)?).ok()
}

impl KubernetesPlatform {
    fn is_ours(&self, metadata: &ObjectMeta) -> bool {
        let labels = metadata.labels.as_ref();
        labels.and_then(|labels| labels.get(LINEAGE)) == Some(&self.names.lineage)
    }

    /// Makes of a service what it was, with another route.
    fn routed(&self, endpoint: &EndpointAddress, route: &Published, before: Option<Service>) -> Service {
        let mut service = before.unwrap_or_default();
        let mut labels = self.names.of_cluster(&endpoint.cluster);
        labels.extend(pairs([("app.kubernetes.io/component", "endpoint")]));
        service.metadata.name = Some(Names::endpoint(endpoint));
        service.metadata.managed_fields = None;
        service.labels_mut().extend(labels);
        let annotations = service.annotations_mut();
        annotations.extend(self.names.annotations(&endpoint.to_string()));
        let text = serde_json::to_string(route).expect("routes are plain data");
        annotations.insert(ROUTE.to_owned(), text);
        service.spec = Some(route.spec(&self.names, endpoint, service.spec.unwrap_or_default()));
        service
    }

    /// Switches the service of an endpoint, and decides anew where it was changed meanwhile. Returns it where it leads elsewhere now.
    async fn switch(
        &self,
        server: &Server,
        endpoint: &EndpointAddress,
        route: &Published,
    ) -> Result<Option<Service>, PlatformError> {
        let name = Names::endpoint(endpoint);
        let mut last = None;
        for _ in 0..TRIES {
            let has = server.get::<Service>(&name).await.at("look at Service", &name)?;
            if let Some(has) = has.as_ref().filter(|has| !self.is_ours(&has.metadata)) {
                return Err(PlatformError::ForeignEntry {
                    name: name.clone(),
                    path: format!("namespace {}, Service {}", server.namespace, has.name_any()).into(),
                });
            }
            let is_new = has.is_none();
            let led_to = has.as_ref().and_then(|has| has.spec.as_ref()?.selector.clone());
            let service = self.routed(endpoint, route, has);
            let leads_elsewhere = service.spec.as_ref().is_some_and(|spec| spec.selector != led_to);
            self.granted(format!("the service of {endpoint}")).await?;
            let options = PostParams {
                field_manager: Some(MANAGER.to_owned()),
                ..PostParams::default()
            };
            let api = server.api::<Service>();
            let changed = if is_new {
                server.within(api.create(&options, &service).boxed()).await
            } else {
                server.within(api.replace(&name, &options, &service).boxed()).await
            };
            match changed {
                Err(trouble) if trouble.is_conflict() || trouble.is_absent() => last = Some(trouble),
                changed => {
                    let changed = changed.at("change Service", &name)?;
                    return Ok((!is_new && leads_elsewhere).then_some(changed));
                }
            }
        }
        let trouble = last.expect("it was tried");
        Err(trouble.at("change Service", &name))
    }

    /// Labels what an endpoint leads to, and nothing else of its cluster.
    async fn label(
        &self,
        server: &Server,
        endpoint: &EndpointAddress,
        targets: &BTreeSet<String>,
    ) -> Result<(), PlatformError> {
        let key = label(endpoint);
        let value = |name: &str| targets.contains(name).then(|| endpoint.cluster.to_string());
        self.relabel(server, endpoint, &key, value).await
    }

    /// Tells people who leads, as far as endpoints tell.
    async fn label_roles(&self, server: &Server, endpoint: &EndpointAddress, leads: &str) -> Result<(), PlatformError> {
        let value = |name: &str| Some(if name == leads { PRIMARY } else { "standby" }.to_owned());
        self.relabel(server, endpoint, ROLE, value).await
    }

    /// Gives the pods of a cluster's nodes a label, now and when they are made anew.
    async fn relabel(
        &self,
        server: &Server,
        endpoint: &EndpointAddress,
        key: &str,
        value: impl Fn(&str) -> Option<String>,
    ) -> Result<(), PlatformError> {
        let selected = format!(
            "{},{CLUSTER}={},app.kubernetes.io/component=database",
            self.names.everything(),
            endpoint.cluster
        );
        let (sets, pods) = tokio::try_join!(server.list::<StatefulSet>(&selected), server.list::<Pod>(&selected))
            .at("list the pods of", endpoint.cluster.as_str())?;
        for set in sets.items {
            let wanted = value(&set.name_any());
            let template = set
                .spec
                .as_ref()
                .and_then(|spec| spec.template.metadata.as_ref()?.labels.as_ref());
            if template.and_then(|labels| labels.get(key)) != wanted.as_ref() {
                let patch = json!({ "spec": { "template": { "metadata": { "labels": { key: wanted } } } } });
                self.change::<StatefulSet>(server, &set.name_any(), &patch).await?;
            }
        }
        for pod in pods.items {
            let wanted = pod.labels().get(SERVER).and_then(|name| value(name));
            if pod.labels().get(key) != wanted.as_ref() {
                let patch = json!({ "metadata": { "labels": { key: wanted } } });
                self.change::<Pod>(server, &pod.name_any(), &patch).await?;
            }
        }
        Ok(())
    }

    /// Changes an object, unless it is gone by now.
    async fn change<T: Object>(
        &self,
        server: &Server,
        name: &str,
        patch: &serde_json::Value,
    ) -> Result<(), PlatformError> {
        self.granted(format!("the labels of {name}")).await?;
        match server.merge::<T>(name, patch).await {
            Err(Trouble::Refused { status: 404, .. }) => Ok(()),
            changed => changed.at("label", name).map(drop),
        }
    }

    /// Returns whether what tells people who leads names this node, and no other one.
    async fn is_told_to_lead(
        &self,
        server: &Server,
        endpoint: &EndpointAddress,
        node: &NodeName,
    ) -> Result<bool, PlatformError> {
        let pods = self.looks.pods_of(server, &self.names, &endpoint.cluster).await;
        let pods = pods.at("list the pods of", endpoint.cluster.as_str())?;
        let leads = name_within(&endpoint.cluster, &node.host());
        let is_right = |pod: &Pod| {
            let leads = pod.labels().get(SERVER) == Some(&leads);
            leads == (pod.labels().get(ROLE).map(String::as_str) == Some(PRIMARY))
        };
        let mut told = pods.iter().filter(|pod| pod.labels().contains_key(ROLE));
        Ok(told.all(is_right))
    }

    /// Returns the servers that have the label of an endpoint.
    async fn labelled(&self, server: &Server, endpoint: &EndpointAddress) -> Result<BTreeSet<String>, PlatformError> {
        let pods = self.looks.pods_of(server, &self.names, &endpoint.cluster).await;
        let pods = pods.at("list the pods of", endpoint.cluster.as_str())?;
        let key = label(endpoint);
        let pods = pods.into_iter().filter(|pod| pod.labels().contains_key(&key));
        Ok(pods.filter_map(|pod| pod.labels().get(SERVER).cloned()).collect())
    }
}

#[async_trait]
impl Endpoints for KubernetesPlatform {
    /// A service that leads elsewhere than was published is a route that differs.
    async fn lookup(&self, endpoint: &EndpointAddress) -> Result<Observation<RouteFacts>, PlatformError> {
        let (server, name) = (self.server().await?, Names::endpoint(endpoint));
        let found = self.looks.service(&server, &self.names, &name).await;
        let Some(service) = found.at("look at Service", &name)? else {
            return Ok(Observation::Absent);
        };
        if !self.is_ours(&service.metadata) {
            return Ok(Observation::Unknown(format!(
                "namespace {} has a Service {name} that was not made by this configuration",
                server.namespace
            )));
        }
        let Some(route) = published(&service) else {
            // Ours, but no longer as it was made: it leads nowhere, and publishing it again mends it.
            return Ok(Observation::Absent);
        };
        let spec = service.spec.unwrap_or_default();
        let mut leads = spec.selector == Some(route.selector(&self.names, endpoint));
        let targets = route.targets(endpoint);
        if leads && targets.len() > 1 {
            let labelled = self.labelled(&server, endpoint).await?;
            leads = labelled.iter().all(|name| targets.contains(name));
        }
        if leads
            && route.hints.wanted == Wanted::Writer
            && let Some(writer) = route.to.first()
        {
            leads = self.is_told_to_lead(&server, endpoint, writer).await?;
        }
        let hosts = if leads { route.hosts } else { Vec::new() };
        Ok(Observation::Seen(RouteFacts {
            hosts,
            hints: route.hints,
        }))
    }

    async fn routes(&self) -> Result<BTreeSet<EndpointAddress>, PlatformError> {
        let server = self.server().await?;
        let services = server.list::<Service>(&self.names.everything()).await;
        let services = services
            .at("list the services of", &server.namespace)?
            .items
            .into_iter();
        let routes = services.filter(|service| service.annotations().contains_key(ROUTE));
        Ok(routes
            .filter_map(|service| service.annotations().get(ADDRESS)?.parse().ok())
            .collect())
    }

    async fn publish(&self, route: &Route) -> Result<(), PlatformError> {
        let server = self.server().await?;
        let Route {
            endpoint,
            to,
            hosts,
            hints,
        } = route.clone();
        let published = Published { to, hosts, hints };
        let targets = published.targets(&endpoint);
        if targets.len() > 1 {
            self.label(&server, &endpoint, &targets.iter().cloned().collect())
                .await?;
        }
        if let Some(service) = self.switch(&server, &endpoint, &published).await? {
            let told = Told {
                reason: "EndpointSwitched".to_owned(),
                note: format!("{endpoint} leads to {}", targets.join(", ")),
            };
            // Who may not write events has none.
            let _ = server.post(&service, &told).await;
        }
        match (published.hints.wanted, published.to.first()) {
            (Wanted::Writer, Some(leads)) => {
                let leads = name_within(&endpoint.cluster, &leads.host());
                self.label_roles(&server, &endpoint, &leads).await
            }
            _ => Ok(()),
        }
    }

    async fn withdraw(&self, endpoint: &EndpointAddress) -> Result<(), PlatformError> {
        let (server, name) = (self.server().await?, Names::endpoint(endpoint));
        let Some(service) = server.get::<Service>(&name).await.at("look at Service", &name)? else {
            return Ok(());
        };
        if !self.is_ours(&service.metadata) || published(&service).is_none() {
            return Ok(());
        }
        self.granted(format!("the service of {endpoint}")).await?;
        let removed = server.delete::<Service>(&name, &DeleteParams::background()).await;
        removed.at("remove Service", &name)?;
        self.label(&server, endpoint, &BTreeSet::new()).await
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Mutex;

    use tokio::sync::OnceCell;

    use super::super::canned::{Objects, object, site};
    use super::super::looks::Looks;
    use super::super::settings::Settings;
    use super::*;

    fn route(to: &[&str], wanted: Wanted) -> Published {
        Published {
            to: to.iter().map(|name| name.parse().unwrap()).collect(),
            hosts: (0..to.len().max(1))
                .map(|number| HostPort {
                    host: format!("orders-{number}.db.svc").parse().unwrap(),
                    port: 5432,
                })
                .collect(),
            hints: Hints {
                database: "app".to_owned(),
                wanted,
            },
        }
    }

    fn endpoint() -> EndpointAddress {
        "cluster.orders.endpoint.rw".parse().unwrap()
    }

    /// Returns whether the route of an endpoint that leads to `a` is as it was published, with pods that are labelled so.
    async fn is_as_published(roles: &[(&str, Option<&str>)]) -> bool {
        let published = route(&["a", "b"], Wanted::Writer);
        let names = Names::new("0a1b", "/srv");
        let annotations = json!({ ROUTE: serde_json::to_string(&published).unwrap() });
        let selector = published.selector(&names, &endpoint());
        let service = json!({ "metadata": { "annotations": annotations }, "spec": { "selector": selector } });
        let pods = roles.iter().map(|(name, role)| {
            let labels = json!({ LINEAGE: "0a1b", CLUSTER: "orders", SERVER: name, ROLE: role.unwrap_or_default() });
            json!({ "metadata": { "name": format!("{name}-0"), "labels": labels } })
        });
        let pods = json!({ "kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods.collect::<Vec<_>>() });
        let objects = Objects::from([
            object("/api/v1", "services", "orders-rw", &service),
            ("/api/v1/namespaces/db/pods".to_owned(), pods),
        ]);
        let (site, _) = site(objects).await;
        let platform = KubernetesPlatform {
            settings: Settings::read(&BTreeMap::new(), Path::new("/")),
            names,
            grant: None,
            server: OnceCell::new_with(Some(site.server)),
            locks: Mutex::default(),
            looks: Looks::default(),
        };
        match platform.lookup(&endpoint()).await.unwrap() {
            Observation::Seen(facts) => !facts.hosts.is_empty(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_label_that_tells_of_another_primary_than_the_one_that_is_led_to_is_drift() {
        let (a, b) = ("orders-a", "orders-b");
        assert!(is_as_published(&[(a, Some("primary")), (b, Some("standby"))]).await);
        assert!(!is_as_published(&[(a, Some("primary")), (b, Some("primary"))]).await);
        assert!(!is_as_published(&[(a, Some("standby")), (b, Some("standby"))]).await);
        assert!(
            is_as_published(&[]).await,
            "a pod that is made anew is labelled by its set"
        );
    }

    #[test]
    fn a_name_leads_to_those_alone_that_are_wanted() {
        let targets = |to: &[&str], wanted| route(to, wanted).targets(&endpoint()).join(" ");
        assert_eq!(targets(&["a", "r[0]", "r[1]"], Wanted::Writer), "orders-a");
        assert_eq!(targets(&["r[0]", "r[1]", "a"], Wanted::Reader), "orders-r-0 orders-r-1");
        assert_eq!(targets(&["a"], Wanted::Reader), "orders-a");
        assert_eq!(targets(&["a", "b"], Wanted::Any), "orders-a orders-b");
        assert_eq!(targets(&[], Wanted::Any), "orders-rw-pooler");
    }

    #[test]
    fn one_server_is_selected_by_name_and_several_by_what_they_are_labelled_with() {
        let names = Names::new("0a1b", "/srv");
        let selector = |to: &[&str], wanted| route(to, wanted).selector(&names, &endpoint());
        assert_eq!(
            selector(&["a", "b"], Wanted::Writer),
            pairs([("simdb.dev/lineage", "0a1b"), ("simdb.dev/server", "orders-a")])
        );
        assert_eq!(
            selector(&["b", "c", "a"], Wanted::Reader),
            pairs([("simdb.dev/lineage", "0a1b"), ("endpoint.simdb.dev/rw", "orders")])
        );
    }
}
