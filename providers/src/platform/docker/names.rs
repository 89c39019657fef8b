//! What the objects of a project are called, and the labels that say whose they are.
//!
//! ```text
//!   simdb-<l8>.<network>                  a network
//!   simdb-<l8>.<cluster>.<endpoint>       the network of an endpoint
//!   simdb-<l8>.<cluster>.<node>           the volume of a node, and the container of its server
//!   simdb-<l8>.<cluster>.<node>.home      the container that is never started, through which the volume is seen
//!   simdb-<l8>.<cluster>.<node>.task      a task, as long as it runs; its name is its lock
//! ```
//!
//! `l8` is what the lineage of the record begins with. Names of simdb have no dots. An object is ours where its name and its
//! labels are right: labels alone prove nothing, as an image that was made from a container hands them on.

use std::collections::HashMap;

use simdb_state::address::{EndpointAddress, InstanceAddress, NodeAddress};
use simdb_state::name::NetworkName;

/// Where the volume of a node is in each of its containers.
pub(super) const DIRECTORY: &str = "/simdb";

/// What each object has, and how it is laid out.
pub(super) const FORMAT_LABEL: &str = "dev.simdb.format";
const FORMAT: &str = "1";
pub(super) const LINEAGE: &str = "dev.simdb.lineage";
pub(super) const KIND: &str = "dev.simdb.kind";
pub(super) const ADDRESS: &str = "dev.simdb.address";
pub(super) const PROJECT: &str = "dev.simdb.project";
/// Of a server: where it listens.
pub(super) const LISTEN: &str = "dev.simdb.listen";
/// Of a server that is published: at which address of the daemon's machine.
pub(super) const PUBLISHED: &str = "dev.simdb.published";
/// Of a server: the image that it was made from.
pub(super) const IMAGE: &str = "dev.simdb.image";
/// Of a server: what the daemon itself tells that image from others by.
pub(super) const IMAGE_ID: &str = "dev.simdb.image.id";
/// Of a server: the digest of all that its container was made from.
pub(super) const SPEC: &str = "dev.simdb.spec";

/// What an object is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Network,
    Home,
    Server,
    Task,
    Endpoint,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Home => "home",
            Self::Server => "server",
            Self::Task => "task",
            Self::Endpoint => "endpoint",
        }
    }
}

/// The names of one project.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) lineage: String,
    project: String,
}

/// The names of a node or pooler.
#[derive(Clone, Debug)]
pub(super) struct InstanceNames {
    pub(super) node: InstanceAddress,
    /// Of the volume, and of the server's container.
    pub(super) base: String,
    /// Of the container that the volume is seen through.
    pub(super) home: String,
    /// Of the container of a task.
    pub(super) task: String,
    /// How the other containers of its network find it.
    pub(super) alias: String,
}

impl Names {
    pub(super) fn new(lineage: &str, project: &str) -> Self {
        Self {
            lineage: lineage.to_owned(),
            project: project.to_owned(),
        }
    }

    /// Returns what the names of all its objects begin with.
    pub(super) fn prefix(&self) -> String {
        let start: String = self
            .lineage
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect();
        format!("simdb-{start}")
    }

    pub(super) fn network(&self, name: &NetworkName) -> String {
        format!("{}.{name}", self.prefix())
    }

    /// Returns what the network of an endpoint is called.
    pub(super) fn endpoint(&self, endpoint: &EndpointAddress) -> String {
        format!("{}.{}.{}", self.prefix(), endpoint.cluster, endpoint.endpoint)
    }

    pub(super) fn instance(&self, node: &InstanceAddress) -> InstanceNames {
        let (cluster, own) = match node {
            InstanceAddress::Node(NodeAddress { cluster, node }) => (cluster, node.host()),
            InstanceAddress::Pooler(EndpointAddress { cluster, endpoint }) => (cluster, format!("{endpoint}.pooler")),
        };
        let base = format!("{}.{cluster}.{own}", self.prefix());
        InstanceNames {
            node: node.clone(),
            home: format!("{base}.home"),
            task: format!("{base}.task"),
            alias: format!("{own}.{cluster}"),
            base,
        }
    }

    /// Returns the labels of an object.
    pub(super) fn labels(&self, kind: Kind, address: &str) -> HashMap<String, String> {
        let pairs = [
            (FORMAT_LABEL, FORMAT),
            (LINEAGE, &self.lineage),
            (KIND, kind.name()),
            (ADDRESS, address),
            (PROJECT, &self.project),
        ];
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
    }

    /// Returns whether labels are those of an object of this project with that address.
    pub(super) fn own(&self, labels: &HashMap<String, String>, address: &str) -> bool {
        let has = |key: &str, value: &str| labels.get(key).is_some_and(|found| found == value);
        has(LINEAGE, &self.lineage) && has(ADDRESS, address)
    }

    /// Returns what filters the objects of this project of one kind.
    pub(super) fn filter(&self, kind: Kind) -> HashMap<String, Vec<String>> {
        let labels = vec![format!("{LINEAGE}={}", self.lineage), format!("{KIND}={}", kind.name())];
        HashMap::from([("label".to_owned(), labels)])
    }
}
