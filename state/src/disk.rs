//! Recorded objects as they are on disk (format 3), apart from those in memory.
//!
//! A row holds one [`Object`]; a new kind is one variant. What only one engine has stands in a part of its own. Words and
//! positions (modes, levels, roles' proofs, origins, log positions) are the types of `object`: each has one spelling for good.
//! A field is never renamed or given another meaning under the same format number; older formats are brought up to
//! this one by [`upgrade`] before they are read.

mod access;
mod cluster;
mod endpoint;
mod node;
pub(crate) mod upgrade;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::access::{Database, Seed, User};
use self::cluster::Cluster;
pub(crate) use self::cluster::Election;
use self::endpoint::Endpoint;
use self::node::Node;
use crate::address::Address;
use crate::name::PlatformName;
use crate::object::{self, State};

/// One recorded object.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Object {
    Network(Network),
    Cluster(Cluster),
    Node(Node),
    User(User),
    Database(Database),
    Seed(Seed),
    Endpoint(Endpoint),
}

/// A network.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Network {
    /// Left out where it is the one that networks had before there was another.
    #[serde(default = "object::first_platform", skip_serializing_if = "is_first")]
    platform: PlatformName,
    subnet: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    also_on: BTreeSet<PlatformName>,
}

fn is_first(platform: &PlatformName) -> bool {
    *platform == object::first_platform()
}

impl Object {
    /// Returns what stands at an address, as it is written.
    pub(crate) fn at(state: &State, address: &Address) -> Option<Self> {
        Some(match address {
            Address::Network(name) => Self::Network(state.networks.get(name)?.into()),
            Address::Cluster(name) => Self::Cluster(state.clusters.get(name)?.into()),
            Address::Node(address) => Self::Node((&**state.nodes.get(address)?).into()),
            Address::User(address) => Self::User(state.users.get(address)?.into()),
            Address::Database(address) => Self::Database(state.databases.get(address)?.into()),
            Address::Seed(address) => Self::Seed(state.seeds.get(address)?.into()),
            Address::Endpoint(address) => Self::Endpoint(state.endpoints.get(address)?.into()),
        })
    }

    /// Puts an object at its address. Returns false where an object of that kind cannot stand there.
    pub(crate) fn put(self, state: &mut State, address: Address) -> bool {
        match (self, address) {
            (Self::Network(network), Address::Network(name)) => drop(state.networks.insert(name, network.into())),
            (Self::Cluster(cluster), Address::Cluster(name)) => drop(state.clusters.insert(name, cluster.into())),
            (Self::Node(node), Address::Node(address)) => {
                state.nodes.insert(address, object::Node::from(node).into());
            }
            (Self::User(user), Address::User(address)) => drop(state.users.insert(address, user.into())),
            (Self::Database(database), Address::Database(address)) => {
                state.databases.insert(address, database.into());
            }
            (Self::Seed(seed), Address::Seed(address)) => drop(state.seeds.insert(address, seed.into())),
            (Self::Endpoint(endpoint), Address::Endpoint(address)) => {
                state.endpoints.insert(address, endpoint.into());
            }
            _ => return false,
        }
        true
    }
}

impl From<&object::Network> for Network {
    fn from(network: &object::Network) -> Self {
        let object::Network {
            platform,
            subnet,
            also_on,
        } = network.clone();
        Self {
            platform,
            subnet,
            also_on,
        }
    }
}

impl From<Network> for object::Network {
    fn from(network: Network) -> Self {
        let Network {
            platform,
            subnet,
            also_on,
        } = network;
        Self {
            platform,
            subnet,
            also_on,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_no_parts_elsewhere_where_its_row_names_none() {
        let whole: Network = serde_json::from_str(r#"{"subnet":"10.1.0.0/24"}"#).unwrap();
        let mut network = object::Network::from(whole);
        assert_eq!(network.also_on, BTreeSet::new());
        let row = |network: &object::Network| serde_json::to_value(Network::from(network)).unwrap();
        assert_eq!(row(&network), serde_json::json!({ "subnet": "10.1.0.0/24" }));
        network.also_on.insert("far.west".parse().unwrap());
        let read: Network = serde_json::from_value(row(&network)).unwrap();
        assert_eq!(object::Network::from(read), network);
    }
}
