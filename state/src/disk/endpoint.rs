//! Endpoints and their poolers on disk.

use serde::{Deserialize, Serialize};

use super::node::Place;
use crate::name::NodeName;
use crate::object::{self, EndpointTarget, PoolMode, Power};
use crate::place::HostPort;

/// An endpoint.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Endpoint {
    target: EndpointTarget,
    nodes: Vec<NodeName>,
    hosts: Vec<HostPort>,
    pooler: Option<Pooler>,
}

/// The pooler that its clients go through.
#[derive(Debug, Serialize, Deserialize)]
struct Pooler {
    place: Place,
    pool_mode: PoolMode,
    node: NodeName,
    upstream: HostPort,
    power: Power,
    paused: bool,
}

impl From<&object::Endpoint> for Endpoint {
    fn from(endpoint: &object::Endpoint) -> Self {
        let object::Endpoint {
            target,
            nodes,
            hosts,
            pooler,
        } = endpoint.clone();
        Self {
            target,
            nodes,
            hosts,
            pooler: pooler.map(Pooler::from),
        }
    }
}

impl From<Endpoint> for object::Endpoint {
    fn from(endpoint: Endpoint) -> Self {
        let Endpoint {
            target,
            nodes,
            hosts,
            pooler,
        } = endpoint;
        Self {
            target,
            nodes,
            hosts,
            pooler: pooler.map(object::Pooler::from),
        }
    }
}

impl From<object::Pooler> for Pooler {
    fn from(pooler: object::Pooler) -> Self {
        let object::Pooler {
            place,
            pool_mode,
            node,
            upstream,
            power,
            paused,
        } = pooler;
        Self {
            place: place.into(),
            pool_mode,
            node,
            upstream,
            power,
            paused,
        }
    }
}

impl From<Pooler> for object::Pooler {
    fn from(pooler: Pooler) -> Self {
        let Pooler {
            place,
            pool_mode,
            node,
            upstream,
            power,
            paused,
        } = pooler;
        Self {
            place: place.into(),
            pool_mode,
            node,
            upstream,
            power,
            paused,
        }
    }
}
