//! When a pooler leads elsewhere, and when its clients go on, beside what the steps need.

use simdb_state::address::{EndpointAddress, NodeAddress};

use super::Action;
use crate::plan;
use crate::plan::fact::Fact;
use crate::planner::order::Rules;

impl Rules<'_> {
    pub(crate) fn pgbouncer(&self, action: &Action) -> Vec<usize> {
        match action {
            Action::Pause { server, .. } => self.slots_before_the_pause(&server.node.cluster),
            Action::Pooler { console, .. } | Action::Repoint { console, .. } => {
                self.primary_serves(&console.endpoint.cluster)
            }
            Action::Unpause { console } => self.unpause(&console.endpoint),
            Action::StopPooler { .. } | Action::DropPooler { .. } => Vec::new(),
        }
    }

    /// Clients go on when the primary serves, and when enough standbys stream for their commits to be acknowledged:
    /// those that only change whom they follow, or where they are too few, also the node that led before.
    fn unpause(&self, endpoint: &EndpointAddress) -> Vec<usize> {
        let mut waits = self.primary_serves(&endpoint.cluster);
        let Some(cluster) = self.intended.clusters.get(&endpoint.cluster) else {
            return waits;
        };
        let rule = &cluster.sync.after;
        let listed = self.intended.nodes_of(&endpoint.cluster).map(|(address, _)| address);
        let listed: Vec<&NodeAddress> = listed
            .filter(|address| rule.standbys.contains(&address.node.identifier()))
            .collect();
        let is_follow = |at: usize| matches!(self.drafts[at].action, plan::Action::Follow { .. });
        let follows = |address: &&&NodeAddress| self.givers(Fact::Streams(address)).any(is_follow);
        let enough = listed.iter().filter(follows).count() >= rule.number as usize;
        let counted = listed
            .iter()
            .filter(|address| rule.number > 0 && (!enough || follows(address)));
        waits.extend(counted.flat_map(|address| self.givers(Fact::Serves(address))));
        waits
    }
}
