//! Networks: pods have addresses of their cluster wherever they are, so that a network is who may connect.
//!
//! A network that is declared lets in the pods of its own namespace. Machines reach pods in any case, and so does simdb, through them.
//! Whether the rule is kept is up to what connects the pods of the cluster.

use std::collections::BTreeSet;

use async_trait::async_trait;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::ResourceExt;
use kube::api::DeleteParams;
use simdb_planner::observed::{NetworkFacts, Observation};
use simdb_state::name::NetworkName;
use simdb_state::object::Network;

use super::names::ADDRESS;
use super::{KubernetesPlatform, build};
use crate::platform::requests::At;
use crate::platform::{Fabric, PlatformError};

/// The network of clusters that name none where none is declared: everybody may connect.
const DEFAULT: &str = "default";

#[async_trait]
impl Fabric for KubernetesPlatform {
    async fn networks(&self) -> Result<BTreeSet<NetworkName>, PlatformError> {
        let server = self.server().await?;
        let listed = server.list::<NetworkPolicy>(&self.names.everything()).await;
        let listed = listed.at("list the policies of", &server.namespace)?.items.into_iter();
        let names = listed.filter_map(|policy| {
            let name = policy.annotations().get(ADDRESS)?.strip_prefix("network.")?;
            name.parse().ok()
        });
        Ok(names.collect())
    }

    async fn network(&self, name: &NetworkName) -> Result<Observation<NetworkFacts>, PlatformError> {
        let there = Observation::Seen(NetworkFacts::default());
        if name.as_str() == DEFAULT {
            return Ok(there);
        }
        let server = self.server().await?;
        let own = self.names.network(name);
        let policy = server
            .get::<NetworkPolicy>(&own)
            .await
            .at("look at NetworkPolicy", &own)?;
        Ok(policy.map_or(Observation::Absent, |_| there))
    }

    async fn ensure_network(&self, name: &NetworkName, network: &Network) -> Result<(), PlatformError> {
        if let Some(subnet) = &network.subnet {
            return Err(PlatformError::Addresses {
                network: name.clone(),
                subnet: subnet.clone(),
                reason: "pods get their addresses from their cluster; leave \"subnet\" out".to_owned(),
            });
        }
        if name.as_str() == DEFAULT {
            return Ok(());
        }
        let server = self.server().await?;
        self.granted(format!("network {name}")).await?;
        let own = self.names.network(name);
        let applied = server.apply(&own, &build::policy(&self.names, name)).await;
        applied.at("apply NetworkPolicy", &own).map(drop)
    }

    async fn drop_network(&self, name: &NetworkName) -> Result<(), PlatformError> {
        let server = self.server().await?;
        let own = self.names.network(name);
        if server
            .get::<NetworkPolicy>(&own)
            .await
            .at("look at NetworkPolicy", &own)?
            .is_none()
        {
            return Ok(());
        }
        self.granted(format!("network {name}")).await?;
        let removed = server.delete::<NetworkPolicy>(&own, &DeleteParams::background()).await;
        removed.at("remove NetworkPolicy", &own)
    }
}
