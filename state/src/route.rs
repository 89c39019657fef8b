//! Where clients of an endpoint are routed to, in the words of no client and no platform.

use serde::{Deserialize, Serialize};

use crate::address::EndpointAddress;
use crate::name::NodeName;
use crate::object::EndpointTarget;
use crate::place::HostPort;

/// The route of an endpoint. A platform makes what names lead there with: an entry of a file, an alias, a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The endpoint, so that what a killed run left can be told from what others made.
    pub endpoint: EndpointAddress,
    /// The nodes it routes to, the preferred one first; none where a pooler stands in between, which knows its own.
    #[serde(default)]
    pub to: Vec<NodeName>,
    /// Where clients reach them, or the pooler, in the same order.
    pub hosts: Vec<HostPort>,
    /// What a client has to know beside that. Runs that an earlier version began say it in other words.
    #[serde(default)]
    pub hints: Hints,
}

/// What a client has to know of a route beside its hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// The database to connect to unless the client names one.
    pub database: String,
    /// Which of the hosts it is to stay with.
    pub wanted: Wanted,
}

/// The server that a client looks for among several hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// The first that lets it in.
    #[default]
    Any,
    /// One that writes.
    Writer,
    /// One that only reads, where there is one.
    Reader,
}

impl From<EndpointTarget> for Wanted {
    fn from(target: EndpointTarget) -> Self {
        match target {
            EndpointTarget::Primary => Self::Writer,
            EndpointTarget::Standby => Self::Reader,
        }
    }
}
