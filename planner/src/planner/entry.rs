//! Where the entry of an endpoint leads.

use simdb_state::address::EndpointAddress;
use simdb_state::instance::ServiceEntry;
use simdb_state::object::{Endpoint, EndpointTarget};

use crate::engine::instance;

/// Returns the entry that lets clients find an endpoint.
pub(super) fn entry(address: &EndpointAddress, endpoint: &Endpoint) -> ServiceEntry {
    let session = match (&endpoint.pooler, endpoint.target) {
        (Some(_), _) => "any",
        (None, EndpointTarget::Primary) => "read-write",
        (None, EndpointTarget::Standby) => "prefer-standby",
    };
    ServiceEntry {
        endpoint: address.clone(),
        name: address.service(),
        hosts: endpoint.hosts.clone(),
        database: instance::DATABASE.to_owned(),
        session: session.to_owned(),
    }
}
