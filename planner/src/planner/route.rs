//! Where an endpoint routes to.

use simdb_state::address::EndpointAddress;
use simdb_state::object::Endpoint;
use simdb_state::route::{Hints, Route, Wanted};

use crate::engine::instance;

/// Returns the route that lets clients find an endpoint.
pub(super) fn route(address: &EndpointAddress, endpoint: &Endpoint) -> Route {
    Route {
        endpoint: address.clone(),
        to: endpoint.nodes.clone(),
        hosts: endpoint.hosts.clone(),
        hints: hints(endpoint),
    }
}

/// Returns what clients of an endpoint have to know beside its hosts. Behind a pooler is the right server alone.
pub(super) fn hints(endpoint: &Endpoint) -> Hints {
    Hints {
        database: instance::DATABASE.to_owned(),
        wanted: match (&endpoint.pooler, endpoint.target) {
            (Some(_), _) => Wanted::Any,
            (None, target) => target.into(),
        },
    }
}
