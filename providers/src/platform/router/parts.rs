//! Networks and endpoints that have parts on several platforms.
//!
//! A network has a part on each platform with nodes in it, and an endpoint one on each platform with nodes that it leads to. A part
//! of an endpoint leads clients on its platform to the nodes there, and to no other ones. What leads clients on this machine is the
//! same for all parts.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use futures_util::future::join_all;
use simdb_planner::observed::{NetworkFacts, Observation, RouteFacts};
use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::name::{ClusterName, NetworkName, NodeName, PlatformName};
use simdb_state::object::Network;
use simdb_state::route::Route;

use super::{Provider, Router};
use crate::executor::chain;
use crate::platform::{Endpoints, Fabric, PlatformError};

impl Router {
    /// Returns what platforms answered, by platform. One that cannot be used is left out as long as another one answers: its own
    /// facts say why, and what is known to be there is looked at one by one.
    pub(super) fn answers<T>(
        &self,
        all: Vec<Result<T, PlatformError>>,
    ) -> Result<Vec<(&PlatformName, T)>, PlatformError> {
        let mut answers = Vec::new();
        let mut unusable = None;
        for (name, answer) in self.providers.keys().zip(all) {
            match answer {
                Ok(answer) => answers.push((name, answer)),
                Err(error @ PlatformError::Unusable(_)) => unusable = unusable.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        match unusable {
            Some(error) if answers.is_empty() => Err(error),
            _ => Ok(answers),
        }
    }

    /// Returns the other platforms than its own that nodes of a cluster are on, as far as they are set up.
    fn elsewhere(&self, cluster: &ClusterName) -> BTreeMap<PlatformName, &dyn Provider> {
        let known = self.known();
        let nodes = known.nodes.iter().filter(|(node, _)| node.cluster == *cluster);
        let own = known.clusters.get(cluster);
        nodes
            .filter(|(_, platform)| Some(*platform) != own)
            .filter_map(|(_, platform)| Some((platform.clone(), self.named(Some(platform))?)))
            .collect()
    }

    /// Returns the other platforms than that of its cluster to whose nodes a route leads.
    fn led_to(&self, route: &Route) -> BTreeSet<PlatformName> {
        let known = self.known();
        let platform = |node: &NodeName| {
            let address = NodeAddress {
                cluster: route.endpoint.cluster.clone(),
                node: node.clone(),
            };
            known.nodes.get(&address).cloned()
        };
        route.to.iter().filter_map(platform).collect()
    }

    /// Returns the other platforms than its own that have a part of a network.
    fn parts(&self, network: &NetworkName) -> BTreeSet<PlatformName> {
        let known = self.known();
        let mut parts = known.parts.get(network).cloned().unwrap_or_default();
        if let Some(own) = known.networks.get(network) {
            parts.remove(own);
        }
        parts
    }

    fn part(&self, name: &NetworkName, platform: &PlatformName) -> Result<&dyn Provider, PlatformError> {
        self.named(Some(platform))
            .ok_or_else(|| PlatformError::NetworkElsewhere {
                network: name.clone(),
                platform: Some(platform.clone()),
            })
    }

    /// Looks at the part of a network that is on a platform.
    async fn look_at_part(&self, name: &NetworkName, platform: &PlatformName) -> Observation<Option<String>> {
        let seen = match self.part(name, platform) {
            Ok(provider) => provider.network(name).await,
            Err(error) => Err(error),
        };
        match seen {
            Ok(Observation::Seen(facts)) => Observation::Seen(facts.subnet),
            Ok(Observation::Absent) => Observation::Absent,
            Ok(Observation::Unknown(reason)) => Observation::Unknown(reason),
            Err(error) => Observation::Unknown(chain(&error)),
        }
    }
}

#[async_trait]
impl Endpoints for Router {
    /// Returns the worst of all parts: one that leads elsewhere comes before one that could not be looked at.
    async fn lookup(&self, endpoint: &EndpointAddress) -> Result<Observation<RouteFacts>, PlatformError> {
        let own = self.of(&endpoint.cluster)?.lookup(endpoint).await;
        let elsewhere = self.elsewhere(&endpoint.cluster);
        let parts = join_all(elsewhere.values().map(|provider| provider.lookup(endpoint))).await;
        let mut all: Vec<_> = std::iter::once(own).chain(parts).collect();
        let weight = |seen: &Result<Observation<RouteFacts>, PlatformError>| match seen {
            Ok(Observation::Absent) => 0,
            Ok(Observation::Seen(facts)) if facts.hosts.is_empty() => 1,
            Ok(Observation::Unknown(_)) | Err(_) => 2,
            Ok(Observation::Seen(_)) => 3,
        };
        all.sort_by_key(weight);
        all.swap_remove(0)
    }

    async fn routes(&self) -> Result<BTreeSet<EndpointAddress>, PlatformError> {
        let all = join_all(self.providers.values().map(|provider| provider.routes())).await;
        let mut routes = BTreeSet::new();
        for (name, found) in self.answers(all)? {
            self.found(name, found.iter().map(|endpoint| &endpoint.cluster));
            routes.extend(found);
        }
        Ok(routes)
    }

    /// Publishes all parts. A platform that cannot be used does not keep the others from leading their clients on: its own part is seen to
    /// lead elsewhere once it can be used again.
    async fn publish(&self, route: &Route) -> Result<(), PlatformError> {
        let own = self.of(&route.endpoint.cluster)?;
        let leads_to = self.led_to(route);
        let mut published = vec![own.publish(route).await];
        for (name, provider) in self.elsewhere(&route.endpoint.cluster) {
            published.push(if leads_to.contains(&name) {
                provider.publish(route).await
            } else {
                provider.withdraw_part(&route.endpoint).await
            });
        }
        let is_done = published.iter().any(Result::is_ok);
        let is_unusable = |error: &PlatformError| matches!(error, PlatformError::Unusable(_));
        let mut errors = published.into_iter().filter_map(Result::err);
        let error = errors.find(|error| !is_done || !is_unusable(error));
        error.map_or(Ok(()), Err)
    }

    async fn withdraw(&self, endpoint: &EndpointAddress) -> Result<(), PlatformError> {
        for provider in self.elsewhere(&endpoint.cluster).into_values() {
            provider.withdraw_part(endpoint).await?;
        }
        self.of(&endpoint.cluster)?.withdraw(endpoint).await
    }
}

#[async_trait]
impl Fabric for Router {
    async fn networks(&self) -> Result<BTreeSet<NetworkName>, PlatformError> {
        let all = join_all(self.providers.values().map(|provider| provider.networks())).await;
        let mut names = BTreeSet::new();
        let mut known = self.known();
        for (name, networks) in self.answers(all)? {
            for network in &networks {
                let own = known.networks.entry(network.clone()).or_insert_with(|| name.clone());
                if own != name {
                    known.parts.entry(network.clone()).or_default().insert(name.clone());
                }
            }
            names.extend(networks);
        }
        Ok(names)
    }

    async fn network(&self, name: &NetworkName) -> Result<Observation<NetworkFacts>, PlatformError> {
        let own = self.of_network(name)?.network(name).await?;
        let parts = self.parts(name);
        if parts.is_empty() || matches!(own, Observation::Unknown(_)) {
            return Ok(own);
        }
        let seen = join_all(parts.iter().map(|platform| self.look_at_part(name, platform))).await;
        let mut elsewhere: BTreeMap<_, _> = parts.iter().cloned().zip(seen).collect();
        if let Observation::Seen(facts) = own {
            return Ok(Observation::Seen(NetworkFacts { elsewhere, ..facts }));
        }
        if elsewhere.values().all(|part| matches!(part, Observation::Absent)) {
            return Ok(Observation::Absent);
        }
        // It is there in part, and is made whole again.
        let platform = self.known().networks.get(name).cloned();
        elsewhere.extend(platform.map(|platform| (platform, Observation::Absent)));
        Ok(Observation::Seen(NetworkFacts {
            subnet: None,
            elsewhere,
        }))
    }

    async fn ensure_network(&self, name: &NetworkName, network: &Network) -> Result<(), PlatformError> {
        for platform in network.platforms() {
            self.part(name, platform)?.ensure_network(name, network).await?;
        }
        Ok(())
    }

    async fn drop_network(&self, name: &NetworkName) -> Result<(), PlatformError> {
        self.leave_network(name, &self.parts(name)).await?;
        self.of_network(name)?.drop_network(name).await
    }

    async fn leave_network(&self, name: &NetworkName, on: &BTreeSet<PlatformName>) -> Result<(), PlatformError> {
        for platform in on {
            self.part(name, platform)?.drop_network(name).await?;
        }
        Ok(())
    }
}
