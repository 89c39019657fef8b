//! Networks of one machine: all of its processes share its loopback interface, so every network is there from the start.

use std::collections::BTreeSet;
use std::net::{IpAddr, TcpListener};

use async_trait::async_trait;
use ipnet::IpNet;
use simdb_planner::observed::{NetworkFacts, Observation};
use simdb_state::name::NetworkName;
use simdb_state::object::Network;

use super::{LocalPlatform, blocking};
use crate::platform::{Fabric, PlatformError};

#[async_trait]
impl Fabric for LocalPlatform {
    async fn networks(&self) -> Result<BTreeSet<NetworkName>, PlatformError> {
        Ok(BTreeSet::new())
    }

    async fn network(&self, _: &NetworkName) -> Result<Observation<NetworkFacts>, PlatformError> {
        Ok(Observation::Seen(NetworkFacts::default()))
    }

    async fn ensure_network(&self, name: &NetworkName, network: &Network) -> Result<(), PlatformError> {
        let Some(subnet) = network.subnet.clone() else {
            return Ok(());
        };
        let tried = subnet.clone();
        let tried = blocking(move || can_listen(&tried)).await;
        tried.map_err(|reason| PlatformError::Addresses {
            network: name.clone(),
            subnet,
            reason,
        })
    }

    async fn drop_network(&self, _: &NetworkName) -> Result<(), PlatformError> {
        Ok(())
    }
}

/// Tries whether this machine has the first address of a subnet: the system hands out a free port on it.
fn can_listen(subnet: &str) -> Result<(), String> {
    let subnet: IpNet = subnet.parse().map_err(|error| format!("{error}"))?;
    let host: IpAddr = subnet.hosts().next().unwrap_or_else(|| subnet.addr());
    let listener = TcpListener::bind((host, 0));
    listener
        .map(drop)
        .map_err(|error| format!("a server cannot listen on {host}: {error}"))
}
