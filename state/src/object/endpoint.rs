//! Endpoints: what clients connect to, and the poolers that they go through.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Power;
use crate::name::NodeName;
use crate::place::{HostPort, Place};

/// What an endpoint routes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointTarget {
    /// The node that writes.
    Primary,
    /// A node that only reads; the primary where there is none.
    Standby,
}

impl fmt::Display for EndpointTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndpointTarget::Primary => "primary",
            EndpointTarget::Standby => "standby",
        })
    }
}

/// An endpoint: `cluster.NAME.endpoint.ENDPOINT`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// What it routes to.
    pub target: EndpointTarget,
    /// The nodes it routes to, the preferred one first.
    pub nodes: Vec<NodeName>,
    /// Where clients reach them, in the same order. Where they go through a pooler, that is where they reach the pooler,
    /// and it says which node is meant.
    pub hosts: Vec<HostPort>,
    /// The pooler that clients go through, if they do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pooler: Option<Pooler>,
}

/// For how long a client of a pooler keeps the same session of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PoolMode {
    /// For one transaction.
    #[default]
    Transaction,
    /// As long as it is connected. Such clients cannot be made to wait: a switchover ends their sessions.
    Session,
    /// For one statement.
    Statement,
}

impl PoolMode {
    /// Returns whether clients can be made to wait between two transactions, while they stay connected.
    pub fn can_pause(self) -> bool {
        self != PoolMode::Session
    }
}

impl fmt::Display for PoolMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PoolMode::Transaction => "transaction",
            PoolMode::Session => "session",
            PoolMode::Statement => "statement",
        })
    }
}

/// A pooler that the clients of an endpoint go through.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pooler {
    /// Where it is.
    pub place: Place,
    /// For how long a client keeps a session of the server.
    pub pool_mode: PoolMode,
    /// The node it routes to.
    pub node: NodeName,
    /// Where it reaches that node.
    pub upstream: HostPort,
    /// Whether it runs.
    pub power: Power,
    /// Whether it may be holding clients up while the lead passes from one node to another.
    #[serde(default)]
    pub paused: bool,
}
