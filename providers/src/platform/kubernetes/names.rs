//! What the objects of a project are called, and the labels that say whose they are.
//!
//! ```text
//!   <cluster>-<node>                 the volume, the set of one pod, and the service of a node
//!   <cluster>-<node>-0               its pod
//!   <cluster>-<endpoint>             the service of an endpoint
//!   <cluster>-<endpoint>-pooler      volume, set and service of its pooler
//!   <cluster>                        how many nodes of a cluster may be evicted at a time
//!   simdb-<l8>-<network>             who may connect to the servers of a network
//! ```
//!
//! The planner refuses names that are too long or equal. An object of one of these names with another lineage belongs to somebody
//! else, and is left alone.

use std::collections::BTreeMap;

use simdb_planner::platform::{name_of_pooler, name_within};
use simdb_state::address::{EndpointAddress, InstanceAddress};
use simdb_state::name::{ClusterName, NetworkName};

/// Where the volume of a node is in its pod.
pub(super) const DIRECTORY: &str = "/var/lib/simdb";

/// The container of a pod in which the server runs.
pub(super) const CONTAINER: &str = "server";

/// Who makes the objects, as those who look at them know it.
pub(super) const MANAGER: &str = "simdb";

/// Labels of each object.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub(super) const LINEAGE: &str = "simdb.dev/lineage";
pub(super) const CLUSTER: &str = "simdb.dev/cluster";
pub(super) const SERVER: &str = "simdb.dev/server";
/// What an endpoint that leads to several servers puts on each of their pods: the endpoint follows.
pub(super) const ENDPOINT: &str = "endpoint.simdb.dev/";
/// Of pods, for people: what the server is to its cluster, as far as endpoints tell.
pub(super) const ROLE: &str = "simdb.dev/role";

/// Annotations: addresses have brackets, which labels do not take.
pub(super) const ADDRESS: &str = "simdb.dev/address";
pub(super) const PROJECT: &str = "simdb.dev/project";
/// Of a pod: the digest of all that it was made from.
pub(super) const SPEC: &str = "simdb.dev/spec";
/// Of a set: the pod whose end was proven while the set was scaled to none.
pub(super) const FENCED: &str = "simdb.dev/fenced";
/// Of a template: keeps the next pod from starting the server by itself.
pub(super) const HOLD: &str = "simdb.dev/hold";
/// Of a set, for people: whether its server is to run.
pub(super) const INTENT: &str = "simdb.dev/intent";
/// Of a set and of an endpoint's service, for people: the election that its server leads by, or that it leads clients by.
pub(super) const TERM: &str = "simdb.dev/term";
/// Of an endpoint's service: where it leads, as it was published.
pub(super) const ROUTE: &str = "simdb.dev/route";

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
    /// Of its volume, set and service.
    pub(super) base: String,
    /// Of its pod.
    pub(super) pod: String,
    /// Of its cluster.
    pub(super) cluster: ClusterName,
}

/// Labels, or annotations.
pub(super) type Pairs = BTreeMap<String, String>;

impl Names {
    pub(super) fn new(lineage: &str, project: &str) -> Self {
        Self {
            lineage: lineage.to_owned(),
            project: project.to_owned(),
        }
    }

    pub(super) fn instance(node: &InstanceAddress) -> InstanceNames {
        let base = match node {
            InstanceAddress::Node(node) => name_within(&node.cluster, &node.node.host()),
            InstanceAddress::Pooler(endpoint) => name_of_pooler(&endpoint.cluster, &endpoint.endpoint),
        };
        InstanceNames {
            node: node.clone(),
            pod: format!("{base}-0"),
            base,
            cluster: node.cluster().clone(),
        }
    }

    /// Returns what the service of an endpoint is called.
    pub(super) fn endpoint(endpoint: &EndpointAddress) -> String {
        name_within(&endpoint.cluster, endpoint.endpoint.as_str())
    }

    /// Returns what the policy of a network is called.
    pub(super) fn network(&self, name: &NetworkName) -> String {
        let start: String = self
            .lineage
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect();
        format!("simdb-{start}-{name}")
    }

    /// Returns the labels of everything of the project.
    pub(super) fn own(&self) -> Pairs {
        pairs([(MANAGED_BY, MANAGER), (LINEAGE, &self.lineage)])
    }

    /// Returns the labels of what belongs to a cluster.
    pub(super) fn of_cluster(&self, cluster: &ClusterName) -> Pairs {
        let mut labels = self.own();
        labels.extend(pairs([
            ("app.kubernetes.io/instance", cluster.as_str()),
            (CLUSTER, cluster.as_str()),
        ]));
        labels
    }

    /// Returns what selects the pod of a node.
    pub(super) fn selector(&self, own: &InstanceNames) -> Pairs {
        pairs([(LINEAGE, &self.lineage), (SERVER, &own.base)])
    }

    /// Returns the annotations of an object that was made for an address.
    pub(super) fn annotations(&self, address: &str) -> Pairs {
        pairs([(ADDRESS, address), (PROJECT, &self.project)])
    }

    /// Returns what lists everything of the project.
    pub(super) fn everything(&self) -> String {
        format!("{LINEAGE}={}", self.lineage)
    }
}

/// Makes labels or annotations.
pub(super) fn pairs<const N: usize>(pairs: [(&str, &str); N]) -> Pairs {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_called_after_what_they_are_for() {
        let names = Names::new("0a1b2c3d4e", "/srv/project");
        let instance = |address: &str| Names::instance(&address.parse().unwrap());
        assert_eq!(instance("cluster.orders.node.r[0]").pod, "orders-r-0-0");
        assert_eq!(
            instance("cluster.orders.endpoint.rw").base,
            "orders-rw-pooler",
            "the instance of an endpoint is its pooler"
        );
        assert_eq!(
            Names::endpoint(&"cluster.orders.endpoint.rw".parse().unwrap()),
            "orders-rw"
        );
        assert_eq!(names.network(&"lan".parse().unwrap()), "simdb-0a1b2c3d-lan");
    }
}
