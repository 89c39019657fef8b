//! What references to objects lead to: as far as it is recorded, else unknown.

use std::collections::BTreeMap;

use simdb_language::number::Number;
use simdb_language::value::{Marks, Value};
use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::name::{ClusterName, DatabaseName, NetworkName, NodeName, UserName};
use simdb_state::object::{Endpoint, EndpointTarget, Role, State};
use simdb_state::place::HostPort;
use simdb_state::route::Wanted;
use simdb_state::sensitive::Secrets;

use crate::desired::ClusterSpec;
use crate::desired::access::{DatabaseSpec, UserSpec, user_address};
use crate::engine::client;

use super::access;
use super::clusters::Inner;
use super::expand::grouped;

fn known(value: Option<Value>) -> Value {
    value.unwrap_or_else(Value::unknown)
}

fn object<const N: usize>(attributes: [(&str, Value); N]) -> Value {
    Value::object(
        attributes
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// Makes what `network.NAME` leads to. Its addresses are unknown where it is not on record yet.
pub(super) fn network(name: &NetworkName, subnet: Option<Value>) -> Value {
    object([("name", name.as_str().into()), ("subnet", known(subnet))])
}

/// Makes what `cluster.NAME` leads to.
pub(super) fn cluster(
    name: &ClusterName,
    spec: &ClusterSpec,
    inner: Option<&Inner>,
    state: &State,
    secrets: &Secrets,
) -> Value {
    let version = state.clusters.get(name).map(|cluster| cluster.version).or(spec.version);
    let primary = state
        .elections
        .get(name)
        .map(|election| election.primary.to_string().into());
    let endpoints = spec.endpoints.iter().map(|(endpoint, declared)| {
        let address = EndpointAddress {
            cluster: name.clone(),
            endpoint: endpoint.clone(),
        };
        (
            endpoint.to_string(),
            endpoint_value(&address, declared.target, state.endpoints.get(&address)),
        )
    });
    object([
        ("name", name.as_str().into()),
        (
            "version",
            known(version.map(|version| Number::from(usize::from(version)).into())),
        ),
        ("primary", known(primary)),
        ("network", spec.network.as_str().into()),
        (
            "node",
            grouped(nodes(name, spec, state), inner.map(|inner| &inner.nodes)),
        ),
        (
            "user",
            grouped(users(name, spec, state, secrets), inner.map(|inner| &inner.users)),
        ),
        (
            "database",
            grouped(databases(spec), inner.map(|inner| &inner.databases)),
        ),
        (
            "endpoint",
            grouped(endpoints.collect(), inner.map(|inner| &inner.endpoints)),
        ),
    ])
}

/// Makes what `cluster.*.user` leads to. What only the login may know is sensitive, also before it is known.
fn users(cluster: &ClusterName, spec: &ClusterSpec, state: &State, secrets: &Secrets) -> BTreeMap<String, Value> {
    let user = |(name, declared): (&UserName, &UserSpec)| {
        let address = user_address(cluster, name);
        let recorded = state.users.get(&address);
        let password = recorded.and_then(|user| secrets.get(&user.password(&address)));
        let hosts = hosts(cluster, spec, state);
        let url = password.filter(|_| !hosts.is_empty()).map(|password| {
            let database = access::home_of(name, &spec.access.databases).unwrap_or("postgres");
            let login = client::Login {
                user: name.as_str(),
                password: Some(password),
                database,
            };
            client::url(&hosts, Wanted::Writer, &login).into()
        });
        let secret = |value: Option<Value>| {
            let value = if declared.attributes.login {
                known(value)
            } else {
                Value::null()
            };
            value.marked(Marks::SENSITIVE)
        };
        let value = object([
            ("name", name.as_str().into()),
            (
                "password",
                secret(password.map(|password| password.expose().as_str().into())),
            ),
            ("url", secret(url)),
        ]);
        (name.to_string(), value)
    };
    spec.access.users.iter().map(user).collect()
}

/// Returns where a cluster's nodes listen, the primary first.
fn hosts(cluster: &ClusterName, spec: &ClusterSpec, state: &State) -> Vec<HostPort> {
    let leads = |node: &NodeName| {
        let election = state.elections.get(cluster);
        election.is_some_and(|election| election.primary == *node)
    };
    let nodes = state.nodes_of(cluster).map(|(address, node)| (&address.node, node));
    let mut nodes: Vec<_> = nodes.filter(|(name, _)| spec.nodes.contains_key(*name)).collect();
    nodes.sort_by_key(|(name, _)| !leads(name));
    let hosts = nodes
        .iter()
        .filter_map(|(_, node)| node.place.as_ref()?.clients.as_ref());
    hosts.cloned().collect()
}

fn databases(spec: &ClusterSpec) -> BTreeMap<String, Value> {
    let database = |(name, declared): (&DatabaseName, &DatabaseSpec)| {
        let value = object([
            ("name", name.as_str().into()),
            ("owner", declared.attributes.owner.as_str().into()),
        ]);
        (name.to_string(), value)
    };
    spec.access.databases.iter().map(database).collect()
}

fn nodes(cluster: &ClusterName, spec: &ClusterSpec, state: &State) -> BTreeMap<String, Value> {
    let value = |node: &NodeName| (node.to_string(), node_value(cluster, node, state));
    spec.nodes.keys().map(value).collect()
}

fn node_value(cluster: &ClusterName, name: &NodeName, state: &State) -> Value {
    let address = NodeAddress {
        cluster: cluster.clone(),
        node: name.clone(),
    };
    let node = state.nodes.get(&address);
    let at = node.and_then(|node| node.place.as_ref()?.clients.as_ref());
    let role = node.and_then(|node| node.role.as_ref()).map(Role::to_string);
    object([
        ("name", name.to_string().into()),
        ("host", known(at.map(|at| at.host.to_string().into()))),
        ("port", known(at.map(|at| Number::from(usize::from(at.port)).into()))),
        ("role", known(role.map(Value::from))),
    ])
}

fn endpoint_value(address: &EndpointAddress, target: EndpointTarget, recorded: Option<&Endpoint>) -> Value {
    let first = recorded.and_then(|endpoint| endpoint.hosts.first());
    let url = recorded.filter(|endpoint| !endpoint.hosts.is_empty()).map(|endpoint| {
        let hosts: Vec<String> = endpoint.hosts.iter().map(ToString::to_string).collect();
        let session = match target {
            EndpointTarget::Primary => "read-write",
            EndpointTarget::Standby => "prefer-standby",
        };
        format!(
            "postgresql://{}/postgres?target_session_attrs={session}",
            hosts.join(",")
        )
        .into()
    });
    object([
        ("url", known(url)),
        ("host", known(first.map(|at| at.host.to_string().into()))),
        ("port", known(first.map(|at| Number::from(usize::from(at.port)).into()))),
        ("service", format!("{}-{}", address.cluster, address.endpoint).into()),
        ("target", target.to_string().into()),
    ])
}
