//! Who waits for whom: the steps of a plan; or who depends on whom: what is recorded.

use std::collections::BTreeMap;

use simdb_planner::plan::Impact;
use simdb_state::address::{Address, DatabaseAddress, EndpointAddress, NodeAddress};
use simdb_state::name::NodeName;
use simdb_state::object::{Endpoint, Node, Role, State};

use super::PlanDoc;

/// A graph, as DOT and Mermaid draw it.
#[derive(Clone, Debug, PartialEq)]
pub struct GraphDoc {
    /// What it is of: `plan`, `record`.
    pub name: &'static str,
    /// What is drawn.
    pub vertices: Vec<Vertex>,
    /// Which vertex waits for, or depends on, which other one, by their places.
    pub edges: Vec<(usize, usize)>,
}

/// What is drawn as one box.
#[derive(Clone, Debug, PartialEq)]
pub struct Vertex {
    /// What it is called, unlike all others.
    pub name: String,
    /// What is written in it, line by line.
    pub label: Vec<String>,
}

impl GraphDoc {
    /// Makes the graph of the steps of a plan, without what is implied.
    pub fn of_steps(plan: &PlanDoc) -> Self {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let vertex = |step: &super::StepDoc| {
            let mut name = format!("{} {}", step.address, step.name);
            let times = seen.entry(name.clone()).or_default();
            *times += 1;
            if *times > 1 {
                name += &format!(" ({times})");
            }
            let mut label = vec![step.name.to_owned(), step.address.to_string()];
            if step.impact != Impact::None {
                label.push(format!("impact: {}", step.impact));
            }
            Vertex { name, label }
        };
        let vertices = plan.steps.iter().map(vertex).collect();
        let place = |id: u32| id as usize - 1;
        let edges = plan.steps.iter().flat_map(|step| {
            let after = step.after.iter();
            after.map(move |earlier| (place(step.id), place(*earlier)))
        });
        Self {
            name: "plan",
            vertices,
            edges: edges.collect(),
        }
    }

    /// Makes the graph of what is recorded: a cluster is in its network, a standby follows its upstream, a primary is of
    /// its cluster, a seed ran in its database, an endpoint leads to the node it prefers.
    pub fn of_record(state: &State) -> Self {
        let networks = state.networks.keys().map(|name| (Address::Network(name.clone()), None));
        let clusters = state.clusters.iter().map(|(name, cluster)| {
            let network = Address::Network(cluster.network.clone());
            (Address::Cluster(name.clone()), Some(network))
        });
        let nodes = state
            .nodes
            .iter()
            .map(|(address, node)| (address.clone().into(), Some(above(address, node))));
        let users = state.users.keys().map(|address| {
            let cluster = Address::Cluster(address.cluster.clone());
            (address.clone().into(), Some(cluster))
        });
        let databases = state.databases.keys().map(|address| {
            let cluster = Address::Cluster(address.cluster.clone());
            (address.clone().into(), Some(cluster))
        });
        let seeds = state.seeds.iter().map(|(address, seed)| {
            let database = DatabaseAddress {
                cluster: address.cluster.clone(),
                database: seed.database.clone(),
            };
            (address.clone().into(), Some(database.into()))
        });
        let endpoints = state
            .endpoints
            .iter()
            .map(|(address, endpoint)| (address.clone().into(), leads_to(address, endpoint)));
        let of_cluster = nodes.chain(users).chain(databases).chain(seeds).chain(endpoints);
        let objects = networks.chain(clusters).chain(of_cluster).collect();
        Self::of_objects(&objects)
    }

    /// Draws objects, each with what it depends on.
    fn of_objects(objects: &BTreeMap<Address, Option<Address>>) -> Self {
        let places: BTreeMap<&Address, usize> = objects.keys().zip(0..).collect();
        let edges = objects
            .values()
            .enumerate()
            .filter_map(|(at, on)| Some((at, *places.get(on.as_ref()?)?)));
        let vertex = |address: &Address| Vertex {
            name: address.to_string(),
            label: vec![address.to_string()],
        };
        Self {
            name: "record",
            edges: edges.collect(),
            vertices: objects.keys().map(vertex).collect(),
        }
    }
}

fn sibling(cluster: &simdb_state::name::ClusterName, node: &NodeName) -> Address {
    Address::Node(NodeAddress {
        cluster: cluster.clone(),
        node: node.clone(),
    })
}

fn above(address: &NodeAddress, node: &Node) -> Address {
    match node.role.as_ref().and_then(Role::follows) {
        Some(follows) => sibling(&address.cluster, follows),
        None => Address::Cluster(address.cluster.clone()),
    }
}

fn leads_to(address: &EndpointAddress, endpoint: &Endpoint) -> Option<Address> {
    endpoint.nodes.first().map(|node| sibling(&address.cluster, node))
}
