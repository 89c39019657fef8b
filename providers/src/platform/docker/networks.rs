//! Networks: bridges with addresses of their own. Names of networks are not unique, addresses are.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use async_trait::async_trait;
use bollard::models::Network as Bridge;
use bollard::query_parameters::ListNetworksOptionsBuilder;
use ipnet::Ipv4Net;
use simdb_planner::observed::{NetworkFacts, Observation};
use simdb_state::name::NetworkName;
use simdb_state::object::Network;

use super::client::Trouble;
use super::daemon::Daemon;
use super::names::{ADDRESS, Kind};
use super::{DockerPlatform, build};
use crate::platform::requests::{At, optional, refused};
use crate::platform::{Fabric, PlatformError};

/// Where the kernel says which interface leads where.
const ROUTES: &str = "/proc/net/route";

impl DockerPlatform {
    pub(super) async fn bridges(
        &self,
        daemon: &Daemon,
        filter: &HashMap<String, Vec<String>>,
    ) -> Result<Vec<Bridge>, PlatformError> {
        let options = ListNetworksOptionsBuilder::new().filters(filter).build();
        let listed = daemon.docker.list_networks(Some(options)).await;
        listed
            .map_err(|error| daemon.trouble(error))
            .at("list networks of", &self.host.url)
    }

    /// Returns the bridges that were made for a network.
    async fn bridges_of(&self, daemon: &Daemon, name: &NetworkName) -> Result<Vec<Bridge>, PlatformError> {
        let mut bridges = self.bridges(daemon, &self.names.filter(Kind::Network)).await?;
        bridges.retain(|bridge| named(bridge).as_ref() == Some(name));
        Ok(bridges)
    }

    /// Returns the identifier of the network in which an address is.
    pub(super) async fn network_of(&self, daemon: &Daemon, host: IpAddr) -> Result<String, PlatformError> {
        let bridges = self.bridges(daemon, &self.names.filter(Kind::Network)).await?;
        let has = |bridge: &Bridge| match (subnet(bridge), host) {
            (Some(subnet), IpAddr::V4(host)) => subnet.contains(&host),
            _ => false,
        };
        let found = bridges.into_iter().find(has).and_then(|bridge| bridge.id);
        found.ok_or_else(|| {
            PlatformError::Unusable(format!(
                "No network of this project has the address {host}. To have it made again: simdb apply"
            ))
        })
    }

    async fn remove_bridge(&self, daemon: &Daemon, bridge: &Bridge) -> Result<(), PlatformError> {
        let id = bridge.id.clone().unwrap_or_default();
        let name = bridge.name.clone().unwrap_or_default();
        self.remove_network(daemon, &id, &name).await
    }

    /// Removes a network, or says whose containers are in it.
    pub(super) async fn remove_network(&self, daemon: &Daemon, id: &str, name: &str) -> Result<(), PlatformError> {
        let removed = daemon.docker.remove_network(id).await;
        let removed = removed.map_err(|error| daemon.trouble(error));
        if let Err(Trouble::Refused { status: 403, message }) = &removed {
            let who = self.users(daemon, id).await;
            let message = format!("{message}. Containers in it: {}", who.join(", "));
            return Err(refused("remove network", name, message));
        }
        optional(removed).at("remove network", name).map(drop)
    }

    /// Returns the names of the containers that are in a network, as far as they are known.
    async fn users(&self, daemon: &Daemon, id: &str) -> Vec<String> {
        let Ok(network) = daemon.docker.inspect_network(id, None).await else {
            return Vec::new();
        };
        let members = network.containers.unwrap_or_default().into_values();
        members.filter_map(|member| member.name).collect()
    }

    /// Returns the interface of this machine that leads to some of the addresses already, where no network of the daemon does: the
    /// daemon would make the network all the same, and the machine would no longer reach what it reached there.
    pub(super) async fn interface(&self, daemon: &Daemon, wanted: Ipv4Net) -> Result<Option<String>, PlatformError> {
        if self.host.is_remote() {
            return Ok(None);
        }
        let bridges = self.bridges(daemon, &HashMap::new()).await?;
        let shares = |other: &Ipv4Net| other.contains(&wanted) || wanted.contains(other);
        if bridges.iter().filter_map(subnet).any(|other| shares(&other)) {
            return Ok(None);
        }
        let text = fs::read_to_string(ROUTES).unwrap_or_default();
        let mut routes = text.lines().filter_map(route);
        Ok(routes
            .find(|(_, other)| shares(other))
            .map(|(interface, _)| interface.to_owned()))
    }

    /// Says who has some of the addresses already.
    async fn overlap(&self, daemon: &Daemon, wanted: Ipv4Net, message: String) -> String {
        let bridges = self.bridges(daemon, &HashMap::new()).await.unwrap_or_default();
        let shares =
            |bridge: &&Bridge| subnet(bridge).is_some_and(|other| other.contains(&wanted) || wanted.contains(&other));
        match bridges.iter().find(shares) {
            Some(bridge) => format!(
                "network \"{}\" of the Docker Engine has addresses of it already; choose a subnet beside it",
                bridge.name.as_deref().unwrap_or_default()
            ),
            None => message,
        }
    }
}

/// Reads a line of the kernel's table: the interface, and where it leads to, unless that is everywhere.
fn route(line: &str) -> Option<(&str, Ipv4Net)> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    // Numbers are written as they are in memory.
    let address = |field: &str| {
        u32::from_str_radix(field, 16)
            .ok()
            .map(|number| Ipv4Addr::from(number.to_ne_bytes()))
    };
    let (destination, mask) = (address(fields.get(1)?)?, address(fields.get(7)?)?);
    let leads_to = Ipv4Net::with_netmask(destination, mask).ok()?;
    (leads_to.prefix_len() > 0).then_some((fields[0], leads_to))
}

/// Returns the network that a bridge was made for.
fn named(bridge: &Bridge) -> Option<NetworkName> {
    bridge
        .labels
        .as_ref()?
        .get(ADDRESS)?
        .strip_prefix("network.")?
        .parse()
        .ok()
}

fn subnet(bridge: &Bridge) -> Option<Ipv4Net> {
    let configs = bridge.ipam.as_ref()?.config.as_ref()?;
    configs.iter().find_map(|config| config.subnet.as_ref()?.parse().ok())
}

#[async_trait]
impl Fabric for DockerPlatform {
    async fn networks(&self) -> Result<BTreeSet<NetworkName>, PlatformError> {
        let bridges = self.bridges(&self.daemon()?, &self.names.filter(Kind::Network)).await?;
        Ok(bridges.iter().filter_map(named).collect())
    }

    async fn network(&self, name: &NetworkName) -> Result<Observation<NetworkFacts>, PlatformError> {
        let bridges = self.bridges_of(&self.daemon()?, name).await?;
        Ok(match bridges.first() {
            None => Observation::Absent,
            Some(bridge) => Observation::Seen(NetworkFacts {
                subnet: subnet(bridge).map(|subnet| subnet.to_string()),
                ..NetworkFacts::default()
            }),
        })
    }

    async fn ensure_network(&self, name: &NetworkName, network: &Network) -> Result<(), PlatformError> {
        let refused = |subnet: &str, reason: String| PlatformError::Addresses {
            network: name.clone(),
            subnet: subnet.to_owned(),
            reason,
        };
        let text = network.subnet.as_deref().unwrap_or("no subnet");
        let wanted: Ipv4Net = text.parse().map_err(|error| refused(text, format!("{error}")))?;
        let daemon = self.daemon()?;
        let bridges = self.bridges_of(&daemon, name).await?;
        if bridges.iter().any(|bridge| subnet(bridge) == Some(wanted)) {
            return Ok(());
        }
        self.granted(format!("network {name}")).await?;
        for bridge in &bridges {
            self.remove_bridge(&daemon, bridge).await?;
        }
        if let Some(interface) = self.interface(&daemon, wanted).await? {
            let reason =
                format!("interface {interface} of this machine leads to some of it already; choose a subnet beside it");
            return Err(refused(text, reason));
        }
        let made = daemon
            .docker
            .create_network(build::network(&self.names, name, wanted))
            .await;
        match made.map_err(|error| daemon.trouble(error)) {
            Ok(_) => Ok(()),
            Err(Trouble::Refused { status: 403, message }) => {
                Err(refused(text, self.overlap(&daemon, wanted, message).await))
            }
            Err(trouble) => Err(trouble.at("create network", &self.names.network(name))),
        }
    }

    async fn drop_network(&self, name: &NetworkName) -> Result<(), PlatformError> {
        let daemon = self.daemon()?;
        let bridges = self.bridges_of(&daemon, name).await?;
        for bridge in &bridges {
            self.granted(format!("network {name}")).await?;
            self.remove_bridge(&daemon, bridge).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_leads_where_the_kernel_says() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                     eth0\t00000000\t010011AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                     eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";
        if cfg!(target_endian = "little") {
            let routes: Vec<_> = table.lines().filter_map(route).collect();
            assert_eq!(routes, [("eth0", "172.17.0.0/16".parse().unwrap())]);
        }
    }
}
