//! What a record stands for, as if it were declared: in an emergency no configuration is needed.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{NodeAddress, UserAddress};
use simdb_state::name::{ClusterName, EndpointName, NodeName};
use simdb_state::object::{Cluster, Endpoint, Network, Node, Role, State};

use super::access::{AccessSpec, DatabaseSpec, SeedSpec, UserSpec};
use super::{
    ClusterSpans, ClusterSpec, Desired, EndpointSpec, Ignored, LocalSettings, NetworkSpec, NodeSpec, PoolerSpec,
    ReplicationSpec,
};
use crate::diagnostic::Span;
use crate::engine;
use crate::engine::instance::{REPLICATION_USER, user};
use crate::engine::sync::{APPLY_DELAY, COMMIT_LEVEL};

/// What a place in the configuration is called where there is none.
const RECORD: &str = "the record";

impl Desired {
    /// Returns the declaration that a record fulfils: planned for, it asks for nothing but what the world lost. Ports and
    /// addresses stay as they are, because a plan keeps what is recorded. A cluster without nodes is not declared.
    pub fn recorded(state: &State, local: LocalSettings) -> Self {
        let networks = state.networks.iter();
        let clusters = state.clusters.iter();
        Self {
            forgotten: BTreeMap::new(),
            local,
            networks: networks
                .map(|(name, network)| (name.clone(), network_spec(network)))
                .collect(),
            clusters: clusters
                .filter_map(|(name, cluster)| Some((name.clone(), cluster_spec(state, name, cluster)?)))
                .collect(),
            ignored_drift: Vec::new(),
            imports: BTreeMap::new(),
            moved: Vec::new(),
        }
    }
}

fn span() -> Span {
    Span {
        file: RECORD.to_owned(),
        start: 0,
        end: 0,
    }
}

fn network_spec(network: &Network) -> NetworkSpec {
    NetworkSpec {
        platform: network.platform.clone(),
        subnet: network.subnet.as_ref().and_then(|subnet| subnet.parse().ok()),
        reachable: !network.also_on.is_empty(),
        span: span(),
    }
}

fn cluster_spec(state: &State, name: &ClusterName, cluster: &Cluster) -> Option<ClusterSpec> {
    let election = state.elections.get(name);
    let primary = election.map(|election| &election.primary);
    // Where an election was cut off, standbys still follow who led before it: that is no upstream of their own.
    let led = |follows: &NodeName| {
        let mut nodes = state.nodes_of(name).filter(|(address, _)| address.node == *follows);
        nodes.any(|(_, node)| matches!(node.role, Some(Role::Primary { .. } | Role::Fenced { .. })))
    };
    let nodes: BTreeMap<NodeName, NodeSpec> = state
        .nodes_of(name)
        .map(|(address, node)| {
            let mut spec = node_spec(address, node, primary);
            spec.follows = spec.follows.filter(|follows| !led(follows));
            (address.node.clone(), spec)
        })
        .collect();
    let endpoints = state.endpoints.iter().filter(|(address, _)| address.cluster == *name);
    Some(ClusterSpec {
        platform: cluster.platform.clone(),
        network: cluster.network.clone(),
        engine: cluster.engine,
        version: Some(cluster.version),
        replication: ReplicationSpec {
            mode: cluster.replication,
            synchronous_standbys: cluster.synchronous_standbys,
            synchronous_commit: cluster.synchronous_commit,
            on_standby_loss: cluster.on_standby_loss,
            max_lag: cluster.max_lag,
        },
        failover: cluster.failover.clone(),
        depends_on: BTreeSet::new(),
        ignored: Ignored::default(),
        ignored_drift: Vec::new(),
        first: primary.or_else(|| nodes.keys().next())?.clone(),
        nodes,
        primary: election.and_then(|election| election.pin.clone()),
        prevent_destroy: cluster.prevent_destroy,
        access: access_spec(state, name),
        endpoints: endpoints
            .map(|(address, endpoint)| (address.endpoint.clone(), endpoint_spec(endpoint)))
            .collect::<BTreeMap<EndpointName, EndpointSpec>>(),
        spans: ClusterSpans {
            provider: None,
            cluster: span(),
            version: None,
            primary: None,
            synchronous_standbys: None,
        },
    })
}

/// What a node has beside its parameters is derived from the cluster again.
fn node_spec(address: &NodeAddress, node: &Node, primary: Option<&NodeName>) -> NodeSpec {
    let mut parameters = node.parameters.clone();
    parameters.remove(COMMIT_LEVEL);
    let apply_delay = parameters.remove(APPLY_DELAY);
    let follows = node.role.as_ref().and_then(|role| role.follows());
    NodeSpec {
        platform: node.platform.clone(),
        port: None,
        follows: follows
            .filter(|follows| primary.is_some_and(|primary| *primary != **follows && *primary != address.node))
            .cloned(),
        apply_delay,
        parameters,
        image: node.image.clone(),
        resources: node.resources,
        resources_span: None,
        parameter_spans: BTreeMap::new(),
        span: span(),
        provider_span: None,
        port_span: None,
        follows_span: None,
        prevent_destroy: node.prevent_destroy,
        ignored: Ignored::default(),
        triggers: Vec::new(),
    }
}

fn access_spec(state: &State, name: &ClusterName) -> AccessSpec {
    let declared = |login: &&UserAddress| login.cluster == *name && !engine::is_implicit(&login.user);
    let users = state.users.iter().filter(|(address, _)| declared(address));
    let databases = state.databases.iter().filter(|(address, _)| address.cluster == *name);
    let seeds = state.seeds.iter().filter(|(address, _)| address.cluster == *name);
    let replication = state.users.get(&user(name, REPLICATION_USER));
    AccessSpec {
        users: users
            .map(|(address, attributes)| {
                let spec = UserSpec {
                    attributes: attributes.clone(),
                    password: None,
                    span: span(),
                    ignored: Ignored::default(),
                };
                (address.user.clone(), spec)
            })
            .collect(),
        databases: databases
            .map(|(address, attributes)| {
                let spec = DatabaseSpec {
                    attributes: attributes.clone(),
                    span: span(),
                    ignored: Ignored::default(),
                };
                (address.database.clone(), spec)
            })
            .collect(),
        seeds: seeds
            .map(|(address, seed)| SeedSpec {
                name: address.seed.clone(),
                database: seed.database.clone(),
                // It has run, and runs no more.
                file: String::new(),
                digest: seed.digest.clone(),
                span: span(),
                file_span: span(),
                ignored: Ignored::default(),
            })
            .collect(),
        replication_password_version: replication.map(|replication| replication.password_version),
    }
}

fn endpoint_spec(endpoint: &Endpoint) -> EndpointSpec {
    let pooler = endpoint.pooler.as_ref().map(|pooler| PoolerSpec {
        port: None,
        pool_mode: pooler.pool_mode,
        port_span: None,
    });
    EndpointSpec {
        target: endpoint.target,
        pooler,
        span: span(),
    }
}
