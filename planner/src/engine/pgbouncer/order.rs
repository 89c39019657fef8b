//! When a pooler leads elsewhere, and when its clients go on.

use simdb_state::address::{EndpointAddress, NodeAddress};

use super::{Action, USER};
use crate::engine::instance::user;
use crate::planner::order::{Index, Rules};

impl Index {
    pub(crate) fn add_pgbouncer(&mut self, at: usize, action: &Action) {
        match action {
            Action::Pause { console, .. } => {
                let cluster = console.endpoint.cluster.clone();
                self.pause.entry(cluster).or_default().push(at);
            }
            Action::Pooler { console, .. } | Action::Repoint { console, .. } => {
                self.pooler.insert(console.endpoint.clone(), at);
            }
            Action::DropPooler { endpoint } => drop(self.drop_pooler.insert(endpoint.clone(), at)),
            Action::Unpause { .. } | Action::StopPooler { .. } => {}
        }
    }
}

impl Rules<'_> {
    pub(crate) fn pgbouncer(&self, action: &Action) -> Vec<usize> {
        let endpoint = |endpoint| self.index.endpoint.get(endpoint).copied().into_iter().collect();
        match action {
            Action::Pause { server, .. } => self.before_the_pause(&server.node),
            Action::Pooler { console, .. } | Action::Repoint { console, .. } => self.leads(&console.endpoint),
            Action::Unpause { console } => self.unpause(&console.endpoint),
            Action::StopPooler { .. } => Vec::new(),
            Action::DropPooler { endpoint: dropped } => endpoint(dropped),
        }
    }

    /// A pooler leads to a primary that serves, and finds the login there that it looks up others with.
    fn leads(&self, endpoint: &EndpointAddress) -> Vec<usize> {
        let login = self.index.user.get(&user(&endpoint.cluster, USER)).copied();
        self.primary_serves(&endpoint.cluster)
            .into_iter()
            .chain(login)
            .collect()
    }

    /// Clients go on when their pooler leads where it should, and when enough standbys stream for their commits to be
    /// acknowledged: those that only change whom they follow, or where they are too few, also who led before.
    fn unpause(&self, endpoint: &EndpointAddress) -> Vec<usize> {
        let mut waits: Vec<usize> = self.primary_serves(&endpoint.cluster).into_iter().collect();
        waits.extend(self.index.pooler.get(endpoint));
        let Some(cluster) = self.intended.clusters.get(&endpoint.cluster) else {
            return waits;
        };
        let rule = &cluster.sync.after;
        let listed = self.intended.nodes_of(&endpoint.cluster).map(|(address, _)| address);
        let listed: Vec<&NodeAddress> = listed
            .filter(|address| rule.standbys.contains(&address.node.identifier()))
            .collect();
        let follow = |address: &&&NodeAddress| self.index.follow.contains(**address);
        let enough = listed.iter().filter(follow).count() >= rule.number as usize;
        let counted = listed
            .iter()
            .filter(|address| rule.number > 0 && (!enough || follow(address)));
        waits.extend(counted.filter_map(|address| self.index.serves.get(*address)));
        waits
    }
}
