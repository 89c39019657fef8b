//! Rows that belong to something that is not recorded, as a damaged file or a careless edit leaves them.
//!
//! Passwords are not among what is looked for: those of a cluster whose creation failed belong to data that lies
//! somewhere already, and are needed to take it over.

use std::fmt;

use crate::address::Address;
use crate::backend::{Key, Write};
use crate::name::ClusterName;
use crate::object::{Output, State};
use crate::secret;
use crate::sensitive::SecretName;

/// A row that belongs to something that is not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dangling {
    /// A node, login, database, seed or endpoint of a cluster that is not recorded.
    Object(Address),
    /// The election of a cluster that is not recorded.
    Election(ClusterName),
    /// The value of an output that is not recorded, or is no secret any more.
    Value(String),
}

impl fmt::Display for Dangling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dangling::Object(address) => write!(f, "{address}: its cluster is not recorded"),
            Dangling::Election(cluster) => write!(f, "the election of cluster.{cluster}: it is not recorded"),
            Dangling::Value(output) => write!(f, "the secret value of output.{output}: it is not recorded"),
        }
    }
}

impl Dangling {
    /// Returns the write that removes the row.
    pub(crate) fn removal(&self) -> Write {
        Write::delete(match self {
            Dangling::Object(address) => Key::new(format!("object/{address}")),
            Dangling::Election(cluster) => Key::new(format!("election/{cluster}")),
            Dangling::Value(output) => secret::secret_key(&SecretName::output(output)),
        })
    }
}

/// Returns what dangles in a record, given the names of its secrets.
pub(crate) fn dangling(state: &State, secrets: &[SecretName]) -> Vec<Dangling> {
    let nodes = state.nodes.keys().cloned().map(Address::from);
    let users = state.users.keys().cloned().map(Address::from);
    let databases = state.databases.keys().cloned().map(Address::from);
    let seeds = state.seeds.keys().cloned().map(Address::from);
    let endpoints = state.endpoints.keys().cloned().map(Address::from);
    let known = |cluster: &ClusterName| state.clusters.contains_key(cluster);
    let objects = nodes.chain(users).chain(databases).chain(seeds).chain(endpoints);
    let objects = objects.filter(|address| !address.cluster().is_some_and(known));
    let elections = state.elections.keys().filter(|cluster| !known(cluster));
    let outputs = secrets.iter().filter_map(|name| name.as_str().strip_prefix("output."));
    let values = outputs.filter(|name| state.outputs.get(*name) != Some(&Output::Sensitive));
    let objects = objects.map(Dangling::Object);
    let elections = elections.cloned().map(Dangling::Election);
    let values = values.map(|name| Dangling::Value(name.to_owned()));
    objects.chain(elections).chain(values).collect()
}
