//! Finds the steps of a plan that others wait for.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{DatabaseAddress, EndpointAddress, NodeAddress, SeedAddress, UserAddress};
use simdb_state::name::{ClusterName, NetworkName};

use crate::desired::access::database_address;
use crate::plan::{Action, Impact};
use crate::planner::lower::Draft;

/// Where the steps are that others wait for.
#[derive(Default)]
pub(crate) struct Index {
    pub(crate) network: BTreeMap<NetworkName, usize>,
    /// The step that lets a node that is down serve.
    pub(crate) up: BTreeMap<NodeAddress, usize>,
    /// The step after which a node serves with the data, role and parameters it should have.
    pub(crate) serves: BTreeMap<NodeAddress, usize>,
    pub(crate) slot: BTreeMap<NodeAddress, usize>,
    /// The slots that a node is to keep.
    pub(crate) slot_on: BTreeMap<NodeAddress, Vec<usize>>,
    pub(crate) data: BTreeMap<NodeAddress, usize>,
    pub(crate) stop: BTreeMap<NodeAddress, usize>,
    /// The steps that stop servers which write, and were never to.
    pub(crate) astray: BTreeMap<ClusterName, Vec<usize>>,
    /// The step that starts, restarts or configures a server that is then to follow another one.
    pub(crate) starts: BTreeMap<NodeAddress, usize>,
    /// The step that gives a server that runs other settings.
    pub(crate) configure: BTreeMap<NodeAddress, usize>,
    /// The step that lets the clients of a primary in that came up without them, and how many standbys it waits for.
    pub(crate) open: BTreeMap<ClusterName, (u32, usize)>,
    pub(crate) settings: BTreeMap<ClusterName, usize>,
    pub(crate) sync_names: BTreeMap<ClusterName, usize>,
    pub(crate) degrade: BTreeMap<ClusterName, usize>,
    /// The step after which commits no longer wait for who was lost.
    pub(crate) degraded: BTreeMap<ClusterName, usize>,
    pub(crate) drop_slots: BTreeMap<NodeAddress, Vec<usize>>,
    /// The step that starts a server whose role changes next.
    pub(crate) start: BTreeMap<NodeAddress, usize>,
    pub(crate) elect: BTreeMap<ClusterName, usize>,
    pub(crate) fence: BTreeMap<ClusterName, usize>,
    pub(crate) promote: BTreeMap<ClusterName, (NodeAddress, usize)>,
    /// The step that makes or changes the login that standbys stream with.
    pub(crate) replication_user: BTreeMap<ClusterName, usize>,
    /// The same step where it gives that login another password, and so writes files of all nodes.
    pub(crate) rotation: BTreeMap<ClusterName, usize>,
    pub(crate) user: BTreeMap<UserAddress, usize>,
    pub(crate) database: BTreeMap<DatabaseAddress, usize>,
    /// The seeds of a database in the order in which they run.
    pub(crate) seeds: BTreeMap<DatabaseAddress, Vec<(SeedAddress, usize)>>,
    pub(crate) drop_databases: BTreeMap<ClusterName, Vec<usize>>,
    /// Everything in a cluster that makes or changes something.
    pub(crate) builds: BTreeMap<ClusterName, Vec<usize>>,
    /// The steps after which the clients of a cluster's poolers wait.
    pub(crate) pause: BTreeMap<ClusterName, Vec<usize>>,
    /// The step after which an endpoint's pooler leads where it should.
    pub(crate) pooler: BTreeMap<EndpointAddress, usize>,
    pub(crate) endpoint: BTreeMap<EndpointAddress, usize>,
    pub(crate) drop_pooler: BTreeMap<EndpointAddress, usize>,
    pub(crate) follow: BTreeSet<NodeAddress>,
    /// The step after which a standby streams from another upstream.
    pub(crate) moves: BTreeMap<NodeAddress, usize>,
    pub(crate) drop_endpoints: BTreeMap<ClusterName, Vec<usize>>,
    pub(crate) drop_node: BTreeMap<NodeAddress, usize>,
    /// Everything in a cluster that removes something, the cluster itself aside.
    pub(crate) drops: BTreeMap<ClusterName, Vec<usize>>,
    pub(crate) drop_clusters: Vec<usize>,
}

/// Returns whether a step stops a server that writes and was never to: nothing else that is stopped costs data.
pub(crate) fn is_astray(draft: &Draft) -> bool {
    matches!(draft.action, Action::Stop { .. }) && draft.impact == Impact::DataLoss
}

impl Index {
    pub(crate) fn of(drafts: &[Draft]) -> Self {
        let mut index = Self::default();
        for (at, draft) in drafts.iter().enumerate() {
            index.add(at, draft);
        }
        index
    }

    fn add(&mut self, at: usize, draft: &Draft) {
        let cluster = draft.address.cluster();
        if let Action::Primary { server, .. } | Action::Start { server, .. } = &draft.action {
            self.up.entry(server.node.clone()).or_insert(at);
        }
        if let Action::Configure { server, .. } = &draft.action {
            self.configure.insert(server.node.clone(), at);
        }
        match &draft.action {
            Action::Network { network } => drop(self.network.insert(network.clone(), at)),
            Action::Primary { server, .. } | Action::Configure { server, .. } => {
                self.starts.insert(server.node.clone(), at);
                // A node that is to follow serves when it does.
                self.serves.entry(server.node.clone()).or_insert(at);
            }
            Action::Start { server, .. } => {
                self.start.insert(server.node.clone(), at);
                self.starts.insert(server.node.clone(), at);
                self.serves.entry(server.node.clone()).or_insert(at);
            }
            Action::Join { server, .. } => {
                self.starts.insert(server.node.clone(), at);
                self.serves.insert(server.node.clone(), at);
                self.moves.insert(server.node.clone(), at);
            }
            Action::Follow { server, .. } => {
                self.serves.insert(server.node.clone(), at);
                self.moves.insert(server.node.clone(), at);
                self.follow.insert(server.node.clone());
            }
            Action::Cluster { cluster } => drop(self.settings.insert(cluster.clone(), at)),
            Action::Degrade { cluster, .. } => drop(self.degrade.insert(cluster.clone(), at)),
            Action::Elect { cluster, .. } => drop(self.elect.insert(cluster.clone(), at)),
            Action::Fence { server, .. } => {
                self.fence.insert(server.node.cluster.clone(), at);
                self.stop.insert(server.node.clone(), at);
            }
            Action::Promote { server, .. } => {
                self.serves.insert(server.node.clone(), at);
                self.up.insert(server.node.clone(), at);
                let cluster = server.node.cluster.clone();
                self.promote.insert(cluster, (server.node.clone(), at));
            }
            Action::Clone { node, .. } | Action::Rejoin { node, .. } => {
                self.data.insert(node.clone(), at);
            }
            Action::ReplicationUser { user, streams, .. } => {
                self.replication_user.insert(user.cluster.clone(), at);
                if !streams.is_empty() {
                    self.rotation.insert(user.cluster.clone(), at);
                }
            }
            Action::User { user, .. } => drop(self.user.insert(user.clone(), at)),
            Action::Database { database, .. } => drop(self.database.insert(database.clone(), at)),
            Action::Seed { seed, database, .. } => {
                let database = database_address(&seed.cluster, database);
                self.seeds.entry(database).or_default().push((seed.clone(), at));
            }
            Action::DropDatabase { database, .. } => {
                let drops = self.drop_databases.entry(database.cluster.clone());
                drops.or_default().push(at);
            }
            Action::DropNode { node } => drop(self.drop_node.insert(node.clone(), at)),
            Action::Stop { node } => {
                self.stop.insert(node.clone(), at);
                if is_astray(draft) {
                    self.astray.entry(node.cluster.clone()).or_default().push(at);
                }
            }
            Action::DropCluster { .. } => self.drop_clusters.push(at),
            Action::DropEndpoint { endpoint, .. } => {
                self.drop_endpoints
                    .entry(endpoint.cluster.clone())
                    .or_default()
                    .push(at);
            }
            Action::Endpoint { endpoint, .. } => drop(self.endpoint.insert(endpoint.clone(), at)),
            Action::Engine(action) => self.add_engine(at, action),
            Action::Verify { .. } | Action::DropUser { .. } | Action::DropSeed { .. } | Action::DropNetwork { .. } => {}
        }
        let Some(cluster) = cluster else { return };
        let group = match &draft.action {
            Action::DropCluster { .. } | Action::Verify { .. } => return,
            action if action.name().starts_with("drop") => &mut self.drops,
            _ => &mut self.builds,
        };
        group.entry(cluster.clone()).or_default().push(at);
    }
}
