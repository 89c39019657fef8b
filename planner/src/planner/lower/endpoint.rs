//! What becomes of an endpoint: its route is published, or withdrawn.

use simdb_state::address::EndpointAddress;
use simdb_state::delta::Edit;
use simdb_state::name::NodeName;
use simdb_state::object::{Endpoint, EndpointTarget};
use simdb_state::place::HostPort;

use super::{Draft, Lowering};
use crate::plan::Action;
use crate::planner::route::route;

impl Lowering<'_> {
    pub(super) fn endpoint(&mut self, address: &EndpointAddress, old: Option<&Endpoint>, new: Option<&Endpoint>) {
        let name = address.service();
        match (old, new) {
            (old, Some(new)) if old.is_none_or(|old| routes(old) != routes(new)) => {
                let reason = match old {
                    None => format!("{name} routes to the {}", new.target),
                    Some(old) => elsewhere(&name, old, new),
                };
                let action = Action::Endpoint {
                    endpoint: address.clone(),
                    route: route(address, new),
                };
                let delta = vec![Edit::Endpoint(address.clone(), Box::new(new.clone()))];
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

/// Says what a route has that it should not have.
fn elsewhere(name: &str, old: &Endpoint, new: &Endpoint) -> String {
    match (old.nodes.first(), new.nodes.first()) {
        (Some(leads), Some(should)) if leads != should => {
            format!("{name} routes to {should} first, in place of {leads}")
        }
        _ if old.hosts.is_empty() => format!("{name} routes to the {}", new.target),
        _ if old.nodes.is_empty() => format!("the entry of {name} is not the one that simdb wrote"),
        _ if old.nodes == new.nodes => format!("a node that {name} routes to has another address"),
        _ => format!("{name} routes to other nodes than it should"),
    }
}

/// Where an endpoint routes to. What stands behind its pooler is another step's.
fn routes(endpoint: &Endpoint) -> (EndpointTarget, &[NodeName], &[HostPort]) {
    (endpoint.target, &endpoint.nodes, &endpoint.hosts)
}
