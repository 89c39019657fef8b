//! Endpoints as names in a network: what clients in containers connect to.
//!
//! An endpoint is a network of its own, of which the containers that it leads to are members, each by the name of the endpoint.
//! Its clients join that network. A role change makes another container a member; sessions within a cluster are in another network, and
//! notice nothing. Clients on this machine have the entry of a file.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;

use async_trait::async_trait;
use bollard::models::{ContainerSummary, EndpointSettings, NetworkConnectRequest, NetworkDisconnectRequest};
use bollard::query_parameters::ListContainersOptionsBuilder;
use futures_util::future::try_join;
use ipnet::Ipv4Net;
use simdb_planner::observed::{Observation, RouteFacts};
use simdb_state::address::EndpointAddress;
use simdb_state::place::{Host, HostPort};
use simdb_state::route::{Route, Wanted};

use super::client::Trouble;
use super::daemon::Daemon;
use super::names::{ADDRESS, Kind, LISTEN, PUBLISHED};
use super::process::parse_listen;
use super::{DockerPlatform, build};
use crate::platform::requests::{At, optional, refused};
use crate::platform::{Endpoints, PlatformError};

/// Where the networks of endpoints have their addresses from: nobody has to know them.
const POOL: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(10, 213, 0, 0), 16);

/// The prefix of each: room for a dozen servers and clients.
const PREFIX: u8 = 27;

/// A container of a server, as far as routes go.
struct Member {
    name: String,
    /// Where clients on this machine reach it.
    at: Option<HostPort>,
    /// The networks that it is in: by identifier, and by name, which is all that is known of one that it was put into while it was down.
    networks: BTreeSet<String>,
}

impl Member {
    fn of(container: ContainerSummary) -> Self {
        let labels = container.labels.unwrap_or_default();
        let at = labels.get(PUBLISHED).or(labels.get(LISTEN));
        let networks = container.network_settings.and_then(|settings| settings.networks);
        let name = container.names.unwrap_or_default().pop().unwrap_or_default();
        Self {
            name: name.trim_start_matches('/').to_owned(),
            at: at.and_then(|at| parse_listen(at)).map(HostPort::from),
            networks: networks
                .unwrap_or_default()
                .into_iter()
                .flat_map(|(name, network)| [Some(name), network.network_id])
                .flatten()
                .collect(),
        }
    }
}

/// Returns those of a route's hosts that a name leads to. An entry of a file names the others as well, after those that are wanted:
/// its readers tell who writes; a name has no such readers.
fn targets(hosts: &[HostPort], wanted: Wanted) -> &[HostPort] {
    match (wanted, hosts) {
        (Wanted::Any, _) | (_, []) => hosts,
        (Wanted::Writer, [writer, ..]) => std::slice::from_ref(writer),
        (Wanted::Reader, [only]) => std::slice::from_ref(only),
        (Wanted::Reader, [readers @ .., _]) => readers,
    }
}

impl Member {
    fn is_in(&self, network: &str, name: &str) -> bool {
        [network, name].iter().any(|known| self.networks.contains(*known))
    }
}

impl DockerPlatform {
    /// Returns whether an address leads to a server of this daemon, as far as that can be told: those of several ones are published at
    /// different addresses.
    fn has(&self, at: &HostPort) -> bool {
        self.publish.is_none_or(|publish| at.host == Host::Ip(publish))
    }

    /// Returns the containers of all servers of this project.
    async fn members(&self, daemon: &Daemon) -> Result<Vec<Member>, PlatformError> {
        let filter = self.names.filter(Kind::Server);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filter).build();
        let listed = daemon.docker.list_containers(Some(options)).await;
        let listed = listed
            .map_err(|error| daemon.trouble(error))
            .at("list containers of", &self.host.url)?;
        Ok(listed.into_iter().map(Member::of).collect())
    }

    /// Returns the identifiers of the networks of endpoints, by endpoint.
    async fn endpoint_networks(&self, daemon: &Daemon) -> Result<HashMap<EndpointAddress, String>, PlatformError> {
        let networks = self.bridges(daemon, &self.names.filter(Kind::Endpoint)).await?;
        let named = networks.into_iter().filter_map(|network| {
            let address = network.labels.as_ref()?.get(ADDRESS)?.parse().ok()?;
            Some((address, network.id?))
        });
        Ok(named.collect())
    }

    /// Returns the identifier of the network of an endpoint, which is made where it is missing: with addresses that no other
    /// network has.
    async fn endpoint_network(&self, daemon: &Daemon, endpoint: &EndpointAddress) -> Result<String, PlatformError> {
        if let Some(id) = self.endpoint_networks(daemon).await?.remove(endpoint) {
            return Ok(id);
        }
        let name = self.names.endpoint(endpoint);
        for subnet in POOL.subnets(PREFIX).into_iter().flatten() {
            if self.interface(daemon, subnet).await?.is_some() {
                continue;
            }
            let body = build::endpoint_network(&self.names, endpoint, subnet);
            match daemon
                .docker
                .create_network(body)
                .await
                .map_err(|error| daemon.trouble(error))
            {
                Ok(made) => return Ok(made.id),
                Err(trouble) if trouble.is_overlap() => {}
                Err(trouble) => return Err(trouble.at("create network", &name)),
            }
        }
        let message = format!("every network of {POOL} is taken. See which can go: docker network ls, simdb gc");
        Err(refused("create network", &name, message))
    }

    /// Makes the containers that clients are routed to members of an endpoint's network, and no other ones: those first, so that no
    /// client is led to both.
    async fn route(&self, route: &Route) -> Result<(), PlatformError> {
        let daemon = self.daemon()?;
        let endpoint = &route.endpoint;
        self.granted(format!("the network of {endpoint}")).await?;
        let (network, members) = try_join(self.endpoint_network(&daemon, endpoint), self.members(&daemon)).await?;
        let leads_to = targets(&route.hosts, route.hints.wanted);
        let wanted = |member: &&Member| member.at.as_ref().is_some_and(|at| leads_to.contains(at));
        let (targets, others): (Vec<_>, Vec<_>) = members.iter().partition(wanted);
        let name = self.names.endpoint(endpoint);
        for other in others.iter().filter(|other| other.is_in(&network, &name)) {
            self.leave(&daemon, &network, &other.name).await?;
        }
        for target in targets.iter().filter(|target| !target.is_in(&network, &name)) {
            let request = NetworkConnectRequest {
                container: target.name.clone(),
                endpoint_config: Some(EndpointSettings {
                    aliases: Some(vec![format!("{}.{}", endpoint.endpoint, endpoint.cluster)]),
                    ..EndpointSettings::default()
                }),
            };
            let connected = daemon.docker.connect_network(&network, request).await;
            connected
                .map_err(|error| daemon.trouble(error))
                .at("connect container", &target.name)?;
        }
        Ok(())
    }

    async fn leave(&self, daemon: &Daemon, network: &str, container: &str) -> Result<(), PlatformError> {
        let request = NetworkDisconnectRequest {
            container: container.to_owned(),
            force: Some(true),
        };
        let left = daemon.docker.disconnect_network(network, request).await;
        optional(left.map_err(|error| daemon.trouble(error)))
            .at("disconnect container", container)
            .map(drop)
    }

    /// Returns where the members of an endpoint's network are; nothing where there is no such network.
    async fn routed(&self, endpoint: &EndpointAddress) -> Result<Option<BTreeSet<HostPort>>, PlatformError> {
        let daemon = self.daemon()?;
        let (mut networks, members) = try_join(self.endpoint_networks(&daemon), self.members(&daemon)).await?;
        let Some(network) = networks.remove(endpoint) else {
            return Ok(None);
        };
        let name = self.names.endpoint(endpoint);
        let members = members.into_iter().filter(|member| member.is_in(&network, &name));
        Ok(Some(members.filter_map(|member| member.at).collect()))
    }
}

impl Trouble {
    /// Returns whether other networks, or the machine, have some of the addresses.
    fn is_overlap(&self) -> bool {
        matches!(self, Self::Refused { message, .. } if message.contains("overlaps") || message.contains("already used"))
    }
}

#[async_trait]
impl Endpoints for DockerPlatform {
    /// A name that leads elsewhere than the entry of the file is a route that differs, too.
    async fn lookup(&self, endpoint: &EndpointAddress) -> Result<Observation<RouteFacts>, PlatformError> {
        let seen = self.directory.lookup(endpoint).await?;
        let Observation::Seen(facts) = seen else {
            return Ok(seen);
        };
        let wanted = targets(&facts.hosts, facts.hints.wanted).iter();
        let wanted: BTreeSet<HostPort> = wanted.filter(|at| self.has(at)).cloned().collect();
        let hosts = match self.routed(endpoint).await? {
            Some(found) if found == wanted => facts.hosts,
            // Where an endpoint leads to no server of this daemon, its name need not be known here.
            None if wanted.is_empty() => facts.hosts,
            _ => Vec::new(),
        };
        Ok(Observation::Seen(RouteFacts { hosts, ..facts }))
    }

    async fn routes(&self) -> Result<BTreeSet<EndpointAddress>, PlatformError> {
        let mut routes = self.directory.routes().await?;
        routes.extend(self.endpoint_networks(&self.daemon()?).await?.into_keys());
        Ok(routes)
    }

    async fn publish(&self, route: &Route) -> Result<(), PlatformError> {
        self.directory.publish(route).await?;
        self.route(route).await
    }

    async fn withdraw(&self, endpoint: &EndpointAddress) -> Result<(), PlatformError> {
        self.directory.withdraw(endpoint).await?;
        self.withdraw_part(endpoint).await
    }

    async fn withdraw_part(&self, endpoint: &EndpointAddress) -> Result<(), PlatformError> {
        let daemon = self.daemon()?;
        let Some(network) = self.endpoint_networks(&daemon).await?.remove(endpoint) else {
            return Ok(());
        };
        self.granted(format!("the network of {endpoint}")).await?;
        for member in self.members(&daemon).await? {
            if member.is_in(&network, &self.names.endpoint(endpoint)) {
                self.leave(&daemon, &network, &member.name).await?;
            }
        }
        self.remove_network(&daemon, &network, &self.names.endpoint(endpoint))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_those_alone_that_are_wanted() {
        let host = |last: u8| HostPort::from(parse_listen(&format!("172.30.0.{last}:5432")).unwrap());
        let hosts = [host(1), host(2), host(3)];
        assert_eq!(targets(&hosts, Wanted::Writer), [host(1)]);
        assert_eq!(targets(&hosts, Wanted::Reader), [host(1), host(2)]);
        assert_eq!(targets(&hosts[..1], Wanted::Reader), [host(1)]);
        assert_eq!(targets(&hosts, Wanted::Any), hosts);
        assert_eq!(targets(&[], Wanted::Writer), []);
    }
}
