//! A node leaves: it is stopped on request, or dropped because it is no longer declared.

use simdb_state::address::NodeAddress;
use simdb_state::delta::Edit;
use simdb_state::object::{Node, Power, Role};

use super::{Draft, Lowering};
use crate::plan::{Action, Impact};
use crate::planner::contradiction::wrote;
use crate::planner::intended::{IntendedNode, Lead};

impl Lowering<'_> {
    /// Stops a node that was asked to be stopped.
    pub(crate) fn stop(&mut self, address: &NodeAddress, old: Option<&Node>, new: &IntendedNode) {
        let Some(old) = old.filter(|old| old.role.is_some()) else {
            return;
        };
        // It led, and is left as it is until it can be looked at.
        if matches!(new.role, Role::Fenced { .. }) {
            return;
        }
        if old.stopped_by_request && !self.facts(address).is_some_and(|facts| facts.process.is_alive()) {
            return;
        }
        let delta = vec![
            Edit::Power(address.clone(), Power::Stopped),
            Edit::StoppedByRequest(address.clone(), true),
        ];
        let impact = match (&new.role, old.power) {
            (_, Power::Stopped) => Impact::None,
            (Role::Primary { .. }, _) => Impact::Downtime,
            (Role::Standby { .. } | Role::Fenced { .. }, _) => Impact::Restart,
        };
        let action = Action::Stop { node: address.clone() };
        self.push(Draft::new(address.clone(), action, "it was asked to be stopped", delta).costing(impact));
    }

    /// Returns whether a node that goes was promoted by hand: what it wrote no other node has.
    fn gives_up_writes(&self, address: &NodeAddress, old: &Node) -> bool {
        let astray = self.facts(address).is_some_and(|facts| wrote(old, facts));
        astray && !old.needs_rebuild && !self.is_deposed(address)
    }

    /// Stops a server that goes and that was promoted by hand, where another node is about to lead: a node goes only after
    /// that, and no two servers write until then.
    fn stop_before_the_lead_passes(&mut self, address: &NodeAddress, old: &Node) {
        let cluster = self.intended.clusters.get(&address.cluster);
        let passes = cluster.is_some_and(|cluster| cluster.lead != Lead::Stays || cluster.deposed.is_some());
        let runs = self.facts(address).is_some_and(|facts| facts.process.is_alive());
        if !passes || !runs || !self.gives_up_writes(address, old) {
            return;
        }
        let delta = vec![Edit::Power(address.clone(), Power::Stopped)];
        let action = Action::Stop { node: address.clone() };
        let reason = "it was promoted by hand, is no longer declared, and another node becomes primary";
        self.push(Draft::new(address.clone(), action, reason, delta).costing(Impact::DataLoss));
    }

    /// What a node needed elsewhere may outlive it, and then the record keeps it until that is dropped too.
    pub(crate) fn drop_node(&mut self, address: &NodeAddress, old: Option<&Node>) {
        let Some(old) = old else { return };
        self.stop_before_the_lead_passes(address, old);
        let kept = self
            .outlives(address, old)
            .map(|slot| Edit::Emptied(address.clone(), slot));
        if old.place.is_some() || self.facts(address).is_some() || kept.is_none() {
            // A standby's data is a copy; with the whole cluster, the last one goes.
            let goes = !self.intended.clusters.contains_key(&address.cluster);
            let given_up = self.gives_up_writes(address, old);
            let impact = match &old.data {
                _ if given_up => Impact::DataLoss,
                // What was there before simdb outlives the node.
                Some(data) if data.outside.is_some() && goes => Impact::Downtime,
                Some(_) if goes => Impact::DataLoss,
                _ => Impact::None,
            };
            let mut delta = vec![kept.unwrap_or_else(|| Edit::Drop(address.clone().into()))];
            delta.extend(self.slots_left_on(address));
            let action = Action::DropNode { node: address.clone() };
            self.push(Draft::new(address.clone(), action, self.gone, delta).costing(impact));
        }
        self.left_slots(address, old, None);
        self.drop_last_slot(address, old);
    }
}
