//! Addresses: the same text in the configuration, the state, `-target` and JSON.
//!
//! [`path`] is the grammar, which also covers modules and the keys of `for_each`; an [`Address`] is a path that names an object.

pub mod path;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::path::{Key, Path, PathError, Segment};
use crate::name::{ClusterName, DatabaseName, EndpointName, NetworkName, NodeName, SeedName, UserName};

/// One node of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeAddress {
    /// The cluster.
    pub cluster: ClusterName,
    /// The node in it.
    pub node: NodeName,
}

impl NodeAddress {
    /// Returns another node of the same cluster.
    #[must_use]
    pub fn sibling(&self, node: &NodeName) -> Self {
        Self {
            cluster: self.cluster.clone(),
            node: node.clone(),
        }
    }
}

/// One login of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserAddress {
    /// The cluster.
    pub cluster: ClusterName,
    /// The login in it.
    pub user: UserName,
}

/// One database of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DatabaseAddress {
    /// The cluster.
    pub cluster: ClusterName,
    /// The database in it.
    pub database: DatabaseName,
}

/// One seed of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeedAddress {
    /// The cluster.
    pub cluster: ClusterName,
    /// The seed in it.
    pub seed: SeedName,
}

/// One endpoint of one cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointAddress {
    /// The cluster.
    pub cluster: ClusterName,
    /// The endpoint in it.
    pub endpoint: EndpointName,
}

impl EndpointAddress {
    /// Returns the name of the endpoint for clients: `service=orders-rw` where names are entries of a file.
    pub fn service(&self) -> String {
        format!("{}-{}", self.cluster, self.endpoint)
    }
}

/// Returns what a map holds for the nodes of one cluster, by name.
pub fn nodes_of<'a, T>(
    nodes: &'a BTreeMap<NodeAddress, T>,
    cluster: &'a ClusterName,
) -> impl Iterator<Item = (&'a NodeAddress, &'a T)> {
    let first = NodeAddress {
        cluster: cluster.clone(),
        node: NodeName::single("a".parse().expect("a is a name")),
    };
    nodes
        .range(first..)
        .take_while(move |(address, _)| address.cluster == *cluster)
}

/// What has an instance directory on a platform: a node, or the pooler that an endpoint goes through.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceAddress {
    /// The instance directory of a node.
    Node(NodeAddress),
    /// The instance directory of an endpoint's pooler.
    Pooler(EndpointAddress),
}

impl InstanceAddress {
    /// Returns the cluster that it belongs to.
    pub fn cluster(&self) -> &ClusterName {
        match self {
            InstanceAddress::Node(node) => &node.cluster,
            InstanceAddress::Pooler(endpoint) => &endpoint.cluster,
        }
    }
}

/// The addresses that instances had when they were made, of those that were moved since.
pub type MadeAs = BTreeMap<InstanceAddress, InstanceAddress>;

/// Returns the address that a node had when it was made.
pub fn node_made_as(made_as: &MadeAs, node: &NodeAddress) -> NodeAddress {
    match made_as.get(&node.into()) {
        Some(InstanceAddress::Node(made_as)) => made_as.clone(),
        Some(InstanceAddress::Pooler(_)) | None => node.clone(),
    }
}

impl From<&NodeAddress> for InstanceAddress {
    fn from(address: &NodeAddress) -> Self {
        InstanceAddress::Node(address.clone())
    }
}

impl From<&EndpointAddress> for InstanceAddress {
    fn from(address: &EndpointAddress) -> Self {
        InstanceAddress::Pooler(address.clone())
    }
}

impl From<InstanceAddress> for Address {
    fn from(instance: InstanceAddress) -> Self {
        match instance {
            InstanceAddress::Node(node) => node.into(),
            InstanceAddress::Pooler(endpoint) => endpoint.into(),
        }
    }
}

impl fmt::Display for InstanceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InstanceAddress::Node(address) => address.fmt(f),
            InstanceAddress::Pooler(address) => address.fmt(f),
        }
    }
}

impl FromStr for InstanceAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        match text.parse()? {
            Address::Node(address) => Ok(InstanceAddress::Node(address)),
            Address::Endpoint(address) => Ok(InstanceAddress::Pooler(address)),
            _ => Err(AddressError::Shape(text.to_owned())),
        }
    }
}

/// Whatever can be recorded, changed and shown: `network.lan`, `cluster.orders.node.r[0]`.
///
/// Addresses sort by network first, then cluster by cluster, so that what belongs together is read together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `network.NAME`
    Network(NetworkName),
    /// `cluster.NAME`
    Cluster(ClusterName),
    /// `cluster.NAME.node.NODE`
    Node(NodeAddress),
    /// `cluster.NAME.user.USER`
    User(UserAddress),
    /// `cluster.NAME.database.DATABASE`
    Database(DatabaseAddress),
    /// `cluster.NAME.seed.SEED`
    Seed(SeedAddress),
    /// `cluster.NAME.endpoint.ENDPOINT`
    Endpoint(EndpointAddress),
}

impl Address {
    /// Returns the cluster the address belongs to; a network belongs to none.
    pub fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Address::Network(_) => None,
            Address::Cluster(cluster) => Some(cluster),
            Address::Node(address) => Some(&address.cluster),
            Address::User(address) => Some(&address.cluster),
            Address::Database(address) => Some(&address.cluster),
            Address::Seed(address) => Some(&address.cluster),
            Address::Endpoint(address) => Some(&address.cluster),
        }
    }

    /// Returns the kind of thing at the address, as the configuration spells it: `network`, `cluster`, `node`, …
    pub fn kind(&self) -> &'static str {
        match self {
            Address::Network(_) => "network",
            Address::Cluster(_) => "cluster",
            Address::Node(_) => "node",
            Address::User(_) => "user",
            Address::Database(_) => "database",
            Address::Seed(_) => "seed",
            Address::Endpoint(_) => "endpoint",
        }
    }

    /// Returns the last part of the address: the thing's own name.
    pub fn name(&self) -> String {
        match self {
            Address::Network(name) => name.to_string(),
            Address::Cluster(name) => name.to_string(),
            Address::Node(address) => address.node.to_string(),
            Address::User(address) => address.user.to_string(),
            Address::Database(address) => address.database.to_string(),
            Address::Seed(address) => address.seed.to_string(),
            Address::Endpoint(address) => address.endpoint.to_string(),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Address::Network(_) => 0,
            Address::Cluster(_) => 1,
            Address::Node(_) => 2,
            Address::User(_) => 3,
            Address::Database(_) => 4,
            Address::Seed(_) => 5,
            Address::Endpoint(_) => 6,
        }
    }
}

impl Ord for Address {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_kind = || match (self, other) {
            (Address::Network(a), Address::Network(b)) => a.cmp(b),
            (Address::Node(a), Address::Node(b)) => a.cmp(b),
            (Address::User(a), Address::User(b)) => a.cmp(b),
            (Address::Database(a), Address::Database(b)) => a.cmp(b),
            (Address::Seed(a), Address::Seed(b)) => a.cmp(b),
            (Address::Endpoint(a), Address::Endpoint(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        };
        self.cluster().cmp(&other.cluster()).then_with(by_kind)
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Why a text is not an address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AddressError {
    /// The text has none of the known shapes.
    #[error("address {0:?} must look like network.NAME, cluster.NAME or cluster.NAME.node.NODE")]
    Shape(String),
    /// The text is in no grammar.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A word of the language has a key.
    #[error("address {0:?} has a key where none belongs: names have keys, as in cluster.NAME[\"KEY\"]")]
    Key(String),
    /// One of the names in it is not a name.
    #[error(transparent)]
    Name(#[from] crate::name::NameError),
}

/// Returns what something is called: its block, and its key after a hyphen.
fn called(segment: &Segment<'_>) -> String {
    match &segment.key {
        None => segment.name.to_owned(),
        Some(Key::Number(number)) => format!("{}-{number}", segment.name),
        Some(Key::Text(text)) => format!("{}-{text}", segment.name),
    }
}

/// Returns what stands before the names of all that is declared in the innermost of some modules.
fn prefix(modules: &[&Segment<'_>]) -> String {
    modules.iter().map(|module| called(module) + "-").collect()
}

/// Returns what stands before the names of all that a module declares, given the address of the module: `team-eu-` for
/// `module.team["eu"]`. Nothing where a text is not the address of a module.
pub fn module_prefix(text: &str) -> Option<String> {
    let path = Path::parse(text).ok()?;
    let (modules, within) = path.modules();
    (within.is_empty() && !modules.is_empty()).then(|| prefix(&modules))
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let path = Path::parse(text)?;
        let (modules, within) = path.modules();
        let prefix = prefix(&modules);
        // Words and names take turns, and only names have keys.
        let mut names = Vec::new();
        for (place, segment) in within.iter().enumerate() {
            match (place, &segment.key) {
                (0 | 2, Some(_)) => return Err(AddressError::Key(text.to_owned())),
                (0 | 2, None) => names.push(segment.name.to_owned()),
                (1, _) => names.push(format!("{prefix}{}", called(segment))),
                (_, Some(Key::Number(_))) if names[2] == "node" => names.push(segment.to_string()),
                _ => names.push(called(segment)),
            }
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        Ok(match names[..] {
            ["network", name] => Address::Network(name.parse()?),
            ["cluster", cluster, "node", node] => Address::Node(NodeAddress {
                cluster: cluster.parse()?,
                node: node.parse()?,
            }),
            ["cluster", name] => Address::Cluster(name.parse()?),
            ["cluster", cluster, "user", user] => Address::User(UserAddress {
                cluster: cluster.parse()?,
                user: user.parse()?,
            }),
            ["cluster", cluster, "database", database] => Address::Database(DatabaseAddress {
                cluster: cluster.parse()?,
                database: database.parse()?,
            }),
            ["cluster", cluster, "seed", seed] => Address::Seed(SeedAddress {
                cluster: cluster.parse()?,
                seed: seed.parse()?,
            }),
            ["cluster", cluster, "endpoint", endpoint] => Address::Endpoint(EndpointAddress {
                cluster: cluster.parse()?,
                endpoint: endpoint.parse()?,
            }),
            _ => return Err(AddressError::Shape(text.to_owned())),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Network(name) => write!(f, "network.{name}"),
            Address::Cluster(name) => write!(f, "cluster.{name}"),
            Address::Node(address) => address.fmt(f),
            Address::User(address) => address.fmt(f),
            Address::Database(address) => address.fmt(f),
            Address::Seed(address) => address.fmt(f),
            Address::Endpoint(address) => address.fmt(f),
        }
    }
}

macro_rules! part_of_cluster {
    ($type:ident, $kind:literal, $field:ident, $variant:ident) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!("cluster.{}.", $kind, ".{}"), self.cluster, self.$field)
            }
        }

        impl FromStr for $type {
            type Err = AddressError;

            fn from_str(text: &str) -> Result<Self, AddressError> {
                match text.parse()? {
                    Address::$variant(address) => Ok(address),
                    _ => Err(AddressError::Shape(text.to_owned())),
                }
            }
        }

        impl From<$type> for Address {
            fn from(address: $type) -> Address {
                Address::$variant(address)
            }
        }
    };
}

part_of_cluster!(NodeAddress, "node", node, Node);
part_of_cluster!(UserAddress, "user", user, User);
part_of_cluster!(DatabaseAddress, "database", database, Database);
part_of_cluster!(SeedAddress, "seed", seed, Seed);
part_of_cluster!(EndpointAddress, "endpoint", endpoint, Endpoint);

macro_rules! serde_as_text {
    ($($type:ident)*) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(Address NodeAddress UserAddress DatabaseAddress SeedAddress EndpointAddress InstanceAddress);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_reads_back_as_it_is_written() {
        for text in [
            "network.lan",
            "cluster.orders",
            "cluster.orders.node.a",
            "cluster.orders.node.r[0]",
            "cluster.orders.user.app",
            "cluster.orders.user.app_rw",
            "cluster.orders.database.app",
            "cluster.orders.seed.schema",
            "cluster.orders.endpoint.rw",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "lan",
            "network",
            "network.a.b",
            "cluster.orders.node",
            "cluster.orders.slot.x",
            "cluster.O",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_has_a_key_or_is_in_a_module_is_called_after_them() {
        for (text, expected) in [
            (
                r#"module.a["k"].cluster.orders.node.r[0]"#,
                "cluster.a-k-orders.node.r[0]",
            ),
            ("module.a.module.b[1].network.lan", "network.a-b-1-lan"),
            (
                r#"cluster.orders["eu"].node.r["west"]"#,
                "cluster.orders-eu.node.r-west",
            ),
            (r#"cluster.orders.user.app["x"]"#, "cluster.orders.user.app-x"),
            ("cluster.orders[0]", "cluster.orders-0"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), expected);
        }
        for (text, expected) in [
            (r#"cluster["a"].orders"#, "has a key where none belongs"),
            (
                r#"cluster.orders.node.r["eu.west"]"#,
                "must start with a lower-case letter",
            ),
            ("module.a", "must look like"),
            ("cluster.orders.node.r[01]", "from byte 23 on"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn addresses_sort_cluster_by_cluster() {
        let mut all: Vec<Address> = [
            "cluster.b.node.a",
            "cluster.a.user.u",
            "cluster.b",
            "network.z",
            "cluster.a.node.n",
        ]
        .iter()
        .map(|text| text.parse().unwrap())
        .collect();
        all.sort();
        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "network.z",
                "cluster.a.node.n",
                "cluster.a.user.u",
                "cluster.b",
                "cluster.b.node.a"
            ]
        );
    }
}
