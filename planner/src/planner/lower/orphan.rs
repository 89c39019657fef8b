//! What an interrupted run left behind, and neither the record nor the configuration knows.

use std::collections::BTreeSet;

use simdb_state::address::Address;
use simdb_state::delta::Edit;

use super::{Draft, Lowering};
use crate::observed::Observation;
use crate::plan::{Action, Impact};

pub(crate) const ORPHAN: &str = "an interrupted run left it, and the configuration does not declare it";

impl Lowering<'_> {
    /// Instances that neither the record nor the configuration knows: a run was killed, or failed, before it could record them. One
    /// that cannot be looked at may have data.
    pub(super) fn orphans(&mut self) {
        for (address, observation) in &self.observed.nodes {
            if self.before.nodes.contains_key(address) || self.intended.nodes.contains_key(address) {
                continue;
            }
            let (impact, reason) = match observation {
                Observation::Absent => continue,
                Observation::Seen(facts) if facts.generations.is_empty() => (Impact::None, ORPHAN.to_owned()),
                Observation::Seen(_) => (Impact::DataLoss, ORPHAN.to_owned()),
                Observation::Unknown(why) => (Impact::DataLoss, format!("{ORPHAN}; what it holds is unknown: {why}")),
            };
            let action = Action::DropNode { node: address.clone() };
            let delta = vec![Edit::Drop(address.clone().into())];
            self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
        }
    }

    /// Networks that neither the record nor the configuration knows.
    pub(super) fn orphaned_networks(&mut self) {
        for (name, observation) in &self.observed.networks {
            let known = self.before.networks.contains_key(name) || self.intended.networks.contains_key(name);
            if known || observation.seen().is_none() {
                continue;
            }
            let address = Address::Network(name.clone());
            let action = Action::DropNetwork {
                network: name.clone(),
                on: BTreeSet::new(),
            };
            let delta = vec![Edit::Drop(address.clone())];
            self.push(Draft::new(address, action, ORPHAN, delta));
        }
    }

    /// Routes that neither the record nor the configuration knows.
    pub(super) fn orphaned_routes(&mut self) {
        for (address, observation) in &self.observed.endpoints {
            let known = self.before.endpoints.contains_key(address) || self.intended.endpoints.contains_key(address);
            if known || observation.seen().is_none() {
                continue;
            }
            let action = Action::DropEndpoint {
                endpoint: address.clone(),
                name: address.service(),
            };
            let delta = vec![Edit::Drop(address.clone().into())];
            let object = Address::from(address.clone());
            let moved = self
                .desired
                .moved
                .iter()
                .find(|moved| moved.relocated(&object) != object);
            let reason = match moved {
                Some(moved) => format!("what it routed to goes by {} now", moved.relocated(&object)),
                None => ORPHAN.to_owned(),
            };
            self.push(Draft::new(address.clone(), action, reason, delta));
        }
    }
}
