//! Leads every call to the platform that it is for.
//!
//! ```text
//!   engine, executor ─► World { platform, endpoints } ─► Router ─► the platform of the node, else of its cluster
//! ```
//!
//! A cluster's platform is the one that the record names, else the one that is declared, and so is that of a node. What a platform
//! lists that is neither recorded nor declared belongs to that platform. How networks and endpoints have parts on several platforms
//! stands in [`parts`].

mod parts;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use simdb_planner::observed::{Hidden, Observation};
use simdb_state::address::{Address, InstanceAddress, MadeAs, NodeAddress};
use simdb_state::cluster_event::ClusterEvent;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::name::{ClusterName, NetworkName, PlatformName};
use simdb_state::object::{Image, Witness, first_platform};
use simdb_state::place::Place;
use simdb_state::sensitive::Secrets;

use super::{Dial, Held, InstanceFacts, LOOK_LIMIT, Platform, PlatformError, Provider, StopMode, Stream, Unmanaged};

/// The platforms by name.
pub type Providers = BTreeMap<PlatformName, Arc<dyn Provider>>;

/// The platforms of what is declared or recorded.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Those of clusters.
    pub clusters: BTreeMap<ClusterName, PlatformName>,
    /// Those of nodes that are not on the platform of their cluster.
    pub nodes: BTreeMap<NodeAddress, PlatformName>,
    /// Those of networks.
    pub networks: BTreeMap<NetworkName, PlatformName>,
    /// The other platforms that have, or are to have, a part of a network.
    pub parts: BTreeMap<NetworkName, BTreeSet<PlatformName>>,
    /// The nodes that are on record with the platform that they are on.
    pub placed: BTreeSet<NodeAddress>,
    /// The addresses by which platforms know instances that were moved since they were made.
    pub made_as: MadeAs,
}

impl Known {
    /// Returns the platform of an instance that is not on the one of its cluster.
    fn own(&self, instance: &InstanceAddress) -> Option<&PlatformName> {
        match instance {
            InstanceAddress::Node(node) => self.nodes.get(node),
            InstanceAddress::Pooler(_) => None,
        }
    }

    /// Returns the platforms that anything is on; the embedded one where nothing is anywhere.
    pub fn platforms(&self) -> BTreeSet<PlatformName> {
        let parts = self.parts.values().flatten();
        let all = self.clusters.values().chain(self.nodes.values());
        let all = all.chain(self.networks.values()).chain(parts);
        let mut platforms: BTreeSet<PlatformName> = all.cloned().collect();
        if platforms.is_empty() {
            platforms.insert(first_platform());
        }
        platforms
    }
}

/// Knows the platform of each cluster and network.
#[derive(Debug)]
pub(super) struct Router {
    providers: Providers,
    known: Mutex<Known>,
}

impl Router {
    /// Makes a router of platforms, for clusters and networks whose platform is known.
    pub(super) fn new(providers: Providers, known: Known) -> Self {
        Self {
            providers,
            known: Mutex::new(known),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the platform of that name, or, where there is no name, the only one.
    fn named(&self, name: Option<&PlatformName>) -> Option<&dyn Provider> {
        let only = || self.providers.keys().next().filter(|_| self.providers.len() == 1);
        let found = name.or_else(only).and_then(|name| self.providers.get(name));
        found.map(|provider| &**provider)
    }

    /// Returns the platform of a cluster.
    fn of(&self, cluster: &ClusterName) -> Result<&dyn Provider, PlatformError> {
        let platform = self.known().clusters.get(cluster).cloned();
        self.named(platform.as_ref()).ok_or_else(|| PlatformError::Elsewhere {
            cluster: cluster.clone(),
            platform,
        })
    }

    /// Returns the platform of a network.
    fn of_network(&self, network: &NetworkName) -> Result<&dyn Provider, PlatformError> {
        let platform = self.known().networks.get(network).cloned();
        self.named(platform.as_ref())
            .ok_or_else(|| PlatformError::NetworkElsewhere {
                network: network.clone(),
                platform,
            })
    }

    /// Returns the platform of an instance, and the address by which that knows it. An address that another instance had when it was
    /// made leads nowhere: that instance would be taken for it, and removed in its stead.
    fn platform(&self, instance: &InstanceAddress) -> Result<(&dyn Provider, InstanceAddress), PlatformError> {
        let (own, made_as) = {
            let known = self.known();
            (known.own(instance).cloned(), known.made_as.get(instance).cloned())
        };
        if made_as.is_none()
            && let Some(moved) = self.moved(instance)
        {
            return Err(PlatformError::Moved {
                instance: instance.clone(),
                moved,
            });
        }
        let platform = match own {
            None => self.of(instance.cluster())?,
            Some(own) => self.named(Some(&own)).ok_or_else(|| PlatformError::Elsewhere {
                cluster: instance.cluster().clone(),
                platform: Some(own.clone()),
            })?,
        };
        Ok((platform, made_as.unwrap_or_else(|| instance.clone())))
    }

    /// Returns the address of an instance that a platform knows by another one.
    fn address(&self, made_as: InstanceAddress) -> InstanceAddress {
        self.moved(&made_as).unwrap_or(made_as)
    }

    /// Returns where the instance is now that had an address when it was made, and has another one since.
    fn moved(&self, address: &InstanceAddress) -> Option<InstanceAddress> {
        let known = self.known();
        let moved = known.made_as.iter().find(|(_, made_as)| *made_as == address);
        moved.map(|(address, _)| address.clone())
    }

    /// Notes where clusters were found that were not known.
    fn found<'a>(&self, name: &PlatformName, clusters: impl Iterator<Item = &'a ClusterName>) {
        let mut known = self.known();
        for cluster in clusters {
            known.clusters.entry(cluster.clone()).or_insert_with(|| name.clone());
        }
    }

    /// Notes where nodes were found that are elsewhere than their cluster, and of which nothing else was known.
    fn found_nodes<'a>(&self, name: &PlatformName, instances: impl Iterator<Item = &'a InstanceAddress>) {
        let mut known = self.known();
        for instance in instances {
            if let InstanceAddress::Node(node) = instance
                && !known.placed.contains(node)
                && known.clusters.get(&node.cluster) != Some(name)
            {
                known.nodes.entry(node.clone()).or_insert_with(|| name.clone());
            }
        }
    }
}

#[async_trait]
impl Dial for Router {
    async fn dial(&self, instance: &InstanceAddress, place: &Place) -> io::Result<Box<dyn Stream>> {
        let (platform, instance) = self.platform(instance).map_err(io::Error::other)?;
        platform.dial(&instance, place).await
    }
}

#[async_trait]
impl Platform for Router {
    async fn list(&self) -> Result<BTreeSet<InstanceAddress>, PlatformError> {
        let all = join_all(self.providers.values().map(|provider| provider.list())).await;
        let mut directories = BTreeSet::new();
        for (name, listed) in self.answers(all)? {
            let listed: Vec<InstanceAddress> = listed.into_iter().map(|listed| self.address(listed)).collect();
            self.found(name, listed.iter().map(InstanceAddress::cluster));
            self.found_nodes(name, listed.iter());
            directories.extend(listed);
        }
        Ok(directories)
    }

    fn look_limit(&self, instance: &InstanceAddress) -> Duration {
        self.platform(instance)
            .map_or(LOOK_LIMIT, |(platform, instance)| platform.look_limit(&instance))
    }

    async fn inspect(&self, instance: &InstanceAddress) -> Result<Observation<InstanceFacts>, PlatformError> {
        match self.platform(instance) {
            Err(PlatformError::Moved { .. }) => Ok(Observation::Absent),
            found => {
                let (platform, instance) = found?;
                platform.inspect(&instance).await
            }
        }
    }

    async fn is_down(&self, instance: &InstanceAddress) -> Result<bool, PlatformError> {
        match self.platform(instance) {
            Err(PlatformError::Moved { .. }) => Ok(true),
            found => {
                let (platform, instance) = found?;
                platform.is_down(&instance).await
            }
        }
    }

    async fn unmanaged(
        &self,
        instance: &InstanceAddress,
        id: &str,
        files: &[&str],
    ) -> Result<Observation<Unmanaged>, PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.unmanaged(&instance, id, files).await
    }

    async fn ensure(
        &self,
        instance: &InstanceAddress,
        spec: &InstanceSpec,
        secrets: &Secrets,
    ) -> Result<(), PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.ensure(&instance, spec, secrets).await
    }

    async fn made_from(&self, instance: &InstanceAddress) -> Result<Option<Image>, PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.made_from(&instance).await
    }

    async fn reload(&self, instance: &InstanceAddress) -> Result<(), PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.reload(&instance).await
    }

    async fn stop(&self, instance: &InstanceAddress, mode: StopMode) -> Result<Witness, PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.stop(&instance, mode).await
    }

    async fn hidden(&self, instance: &InstanceAddress) -> Result<Option<Hidden>, PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.hidden(&instance).await
    }

    async fn condemn(&self, instance: &InstanceAddress) -> Result<(), PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.condemn(&instance).await
    }

    async fn run_task(
        &self,
        instance: &InstanceAddress,
        task: &TaskSpec,
        secrets: &Secrets,
    ) -> Result<String, PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.run_task(&instance, task, secrets).await
    }

    async fn hold(&self, instance: &InstanceAddress) -> Result<Option<Held>, PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.hold(&instance).await
    }

    async fn drop(&self, instance: &InstanceAddress) -> Result<(), PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        Platform::drop(platform, &instance).await
    }

    async fn announce(&self, happened: &ClusterEvent) {
        match &happened.subject {
            Address::Node(node) => {
                let Ok((platform, InstanceAddress::Node(known))) = self.platform(&node.into()) else {
                    return;
                };
                let happened = ClusterEvent {
                    subject: Address::Node(known),
                    ..happened.clone()
                };
                platform.announce(&happened).await;
            }
            Address::Cluster(cluster) => {
                if let Ok(platform) = self.of(cluster) {
                    platform.announce(happened).await;
                }
            }
            _ => {}
        }
    }

    async fn ended(&self, instance: &InstanceAddress) -> Result<(), PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.ended(&instance).await
    }

    async fn files(&self, instance: &InstanceAddress, path: &str) -> Result<PathBuf, PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.files(&instance, path).await
    }

    async fn log(&self, instance: &InstanceAddress, lines: usize) -> Result<Vec<String>, PlatformError> {
        let (platform, instance) = self.platform(instance)?;
        platform.log(&instance, lines).await
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use simdb_planner::observed::RouteFacts;
    use simdb_state::address::EndpointAddress;

    use simdb_state::instance::LOOPBACK;
    use simdb_state::place::{Bind, HostPort};
    use simdb_state::route::{Hints, Route, Wanted};
    use tempfile::TempDir;

    use super::*;
    use crate::conformance::grant;
    use crate::platform::Endpoints;
    use crate::platform::local::{LocalConfig, LocalPlatform};

    fn provider(directory: &Path) -> Arc<dyn Provider> {
        let config = LocalConfig {
            root: directory.join("data"),
            run_as: None,
            binaries: Vec::new(),
            path: Vec::new(),
            lineage: "lineage-1".to_owned(),
            project: directory.to_owned(),
            service_file: directory.join("services"),
        };
        Arc::new(LocalPlatform::new(config).under(grant()))
    }

    fn router(one: &TempDir, two: &TempDir, clusters: &[(&str, &str)]) -> Router {
        let providers = [("one", provider(one.path())), ("two", provider(two.path()))];
        let clusters = clusters.iter();
        let clusters = clusters.map(|(cluster, platform)| (cluster.parse().unwrap(), platform.parse().unwrap()));
        let providers = providers.into_iter();
        Router::new(
            providers
                .map(|(name, provider)| (name.parse().unwrap(), provider))
                .collect(),
            Known {
                clusters: clusters.collect(),
                ..Known::default()
            },
        )
    }

    fn route(cluster: &str) -> Route {
        Route {
            endpoint: format!("cluster.{cluster}.endpoint.rw").parse().unwrap(),
            to: vec!["a".parse().unwrap()],
            hosts: vec![HostPort::from(Bind {
                host: LOOPBACK,
                port: 5432,
            })],
            hints: Hints {
                database: "app".to_owned(),
                wanted: Wanted::Writer,
            },
        }
    }

    #[tokio::test]
    async fn a_call_reaches_the_platform_of_its_cluster_and_no_other_one() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let router = router(&one, &two, &[("orders", "one"), ("sales", "two")]);
        router.publish(&route("sales")).await.unwrap();
        assert!(!one.path().join("services").exists() && two.path().join("services").exists());
        let seen = router.lookup(&route("sales").endpoint).await.unwrap();
        let Route { hosts, hints, .. } = route("sales");
        assert_eq!(seen, Observation::Seen(RouteFacts { hosts, hints }));
        let orders = "cluster.orders.node.a".parse().unwrap();
        assert_eq!(router.inspect(&orders).await.unwrap(), Observation::Absent);
        let lost = router
            .inspect(&"cluster.lost.node.a".parse().unwrap())
            .await
            .unwrap_err();
        assert!(
            matches!(lost, PlatformError::Elsewhere { platform: None, .. }),
            "{lost:?}"
        );
    }

    #[tokio::test]
    async fn what_a_platform_lists_belongs_to_it() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        router(&one, &two, &[("left", "two")])
            .publish(&route("left"))
            .await
            .unwrap();
        let router = router(&one, &two, &[]);
        assert!(router.lookup(&route("left").endpoint).await.is_err());
        assert_eq!(router.routes().await.unwrap(), [route("left").endpoint].into());
        router.withdraw(&route("left").endpoint).await.unwrap();
        assert!(!two.path().join("services").exists());
    }

    #[tokio::test]
    async fn a_cluster_whose_platform_is_not_set_up_is_not_taken_for_absent() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let router = router(&one, &two, &[("orders", "three")]);
        let error = router
            .inspect(&"cluster.orders.node.a".parse().unwrap())
            .await
            .unwrap_err();
        let told = "reach the platform of cluster orders: \"three\" is not set up here";
        assert_eq!(error.to_string(), told);
    }

    #[tokio::test]
    async fn the_address_that_something_moved_from_leads_nowhere() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let router = router(&one, &two, &[("orders", "one"), ("shop", "one")]);
        let pooler = |cluster: &str| {
            let endpoint: EndpointAddress = format!("cluster.{cluster}.endpoint.pool").parse().unwrap();
            InstanceAddress::from(&endpoint)
        };
        let (before, now) = (pooler("orders"), pooler("shop"));
        let directory = one.path().join("data/orders/pool.pooler");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join("mine"), "").unwrap();
        router.known().made_as = [(now.clone(), before.clone())].into();
        assert!(router.inspect(&now).await.is_err(), "it is looked at where it was made");
        assert_eq!(router.inspect(&before).await.unwrap(), Observation::Absent);
        let refused = Platform::drop(&router, &before).await.unwrap_err();
        assert!(matches!(refused, PlatformError::Moved { .. }), "{refused}");
    }

    #[tokio::test]
    async fn a_node_elsewhere_is_reached_there_and_the_rest_of_its_cluster_is_not() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let router = router(&one, &two, &[("orders", "one")]);
        let node = |name: &str| format!("cluster.orders.node.{name}");
        let elsewhere = [("b", "two"), ("c", "three")];
        router.known().nodes = elsewhere
            .map(|(name, platform)| (node(name).parse().unwrap(), platform.parse().unwrap()))
            .into();
        for near in ["a", "b"] {
            let seen = router.inspect(&node(near).parse().unwrap()).await.unwrap();
            assert_eq!(seen, Observation::Absent);
        }
        let lost = router.inspect(&node("c").parse().unwrap()).await.unwrap_err();
        assert!(lost.to_string().contains("\"three\" is not set up here"), "{lost}");
        // Clients are led on each platform with nodes that a route leads to.
        router.publish(&route("orders")).await.unwrap();
        let published = || [&one, &two].map(|directory| directory.path().join("services").exists());
        assert_eq!(published(), [true, false]);
        let both = Route {
            to: vec!["a".parse().unwrap(), "b".parse().unwrap()],
            ..route("orders")
        };
        router.publish(&both).await.unwrap();
        assert_eq!(published(), [true, true]);
        let seen = router.lookup(&both.endpoint).await.unwrap();
        assert!(seen.seen().is_some(), "{seen:?}");
    }
}
