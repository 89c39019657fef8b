//! What becomes of an endpoint: its entry is written, or withdrawn.

use simdb_state::address::EndpointAddress;
use simdb_state::delta::Edit;
use simdb_state::instance::ServiceEntry;
use simdb_state::object::{Endpoint, EndpointTarget};

use super::{Draft, Lowering};
use crate::plan::Action;

impl Lowering<'_> {
    pub(super) fn endpoint(&mut self, address: &EndpointAddress, old: Option<&Endpoint>, new: Option<&Endpoint>) {
        let name = address.service();
        match (old, new) {
            (old, Some(new)) if old != Some(new) => {
                let reason = match old {
                    None => format!("{name} is to lead to the {}", new.target),
                    Some(old) if old.nodes.is_empty() => format!("somebody edited the entry of {name}"),
                    Some(_) => format!("{name} leads elsewhere"),
                };
                let action = Action::Endpoint {
                    endpoint: address.clone(),
                    entry: entry(address, new),
                };
                let delta = vec![Edit::Endpoint(address.clone(), new.clone())];
                self.push(Draft::new(address.clone(), action, reason, delta));
            }
            (Some(_), None) => {
                let delta = vec![Edit::Drop(address.clone().into())];
                let action = Action::DropEndpoint {
                    endpoint: address.clone(),
                    name,
                };
                self.push(Draft::new(address.clone(), action, self.gone, delta));
            }
            _ => {}
        }
    }
}

/// Returns the entry that lets clients find an endpoint.
pub(in crate::planner) fn entry(address: &EndpointAddress, endpoint: &Endpoint) -> ServiceEntry {
    let session = match endpoint.target {
        EndpointTarget::Primary => "read-write",
        EndpointTarget::Standby => "prefer-standby",
    };
    ServiceEntry {
        endpoint: address.clone(),
        name: address.service(),
        hosts: endpoint.hosts.clone(),
        database: "postgres".to_owned(),
        session: session.to_owned(),
    }
}
