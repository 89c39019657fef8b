//! What becomes of a cluster as a whole: it is proven, or forgotten.

use std::collections::BTreeMap;

use simdb_state::address::Address;
use simdb_state::delta::Edit;
use simdb_state::name::ClusterName;
use simdb_state::object::{Cluster, Power, Role};

use super::{Draft, Lowering, server};
use crate::engine::sync::{APPLY_DELAY, marker_level};
use crate::plan::{Action, Checked};
use crate::planner::diff;
use crate::planner::intended::IntendedCluster;

impl Lowering<'_> {
    /// Records what is declared of a cluster that is there and shows on none of its servers.
    pub(super) fn settings(&mut self, name: &ClusterName, new: &IntendedCluster) {
        let Some(recorded) = self.before.clusters.get(name) else {
            return;
        };
        // Whom commits wait for is the difference of another step.
        let declared = Cluster {
            sync_rule: recorded.sync_rule.clone(),
            pending_sync_rules: recorded.pending_sync_rules.clone(),
            degraded: recorded
                .degraded
                .clone()
                .filter(|_| new.sync.due || new.sync.lost.is_some()),
            ..new.cluster.clone()
        };
        if *recorded == declared {
            return;
        }
        let action = Action::Cluster { cluster: name.clone() };
        let attributes = |cluster| diff::cluster(cluster, None);
        let as_recorded = self.recorded.clusters.get(name).map(attributes);
        let reason = diff::reason(as_recorded, attributes(recorded), attributes(&declared));
        let reason = reason.unwrap_or_else(|| "configuration: its settings change".to_owned());
        let delta = vec![Edit::Cluster(name.clone(), Box::new(declared))];
        self.push(Draft::new(Address::Cluster(name.clone()), action, reason, delta));
    }

    /// A cluster is proven anew whenever its topology is another, or a step cleared the last proof.
    pub(super) fn cluster(&mut self, name: &ClusterName, new: Option<&IntendedCluster>, cleared: bool) {
        let address = Address::Cluster(name.clone());
        let Some(IntendedCluster {
            cluster,
            election,
            sync,
            topology,
            ..
        }) = new
        else {
            let delta = vec![Edit::Drop(address.clone())];
            let action = Action::DropCluster { cluster: name.clone() };
            return self.push(Draft::new(address, action, self.gone, delta));
        };
        let proven = cluster
            .verified
            .as_ref()
            .is_some_and(|verified| verified.topology == *topology && verified.term == election.term);
        let due = cleared || !proven;
        let Some(primary) = self.primary_server(name).filter(|_| due) else {
            return;
        };
        let proof = Edit::Verified {
            cluster: name.clone(),
            topology: topology.clone(),
            term: election.term,
        };
        let standbys: BTreeMap<String, Checked> = self
            .intended
            .nodes_of(name)
            .filter(|(_, node)| node.power == Power::Running)
            .filter_map(|(address, node)| {
                let Role::Standby { follows } = &node.role else {
                    return None;
                };
                let checked = Checked {
                    server: server(address, node),
                    upstream: (*follows != election.primary).then(|| follows.identifier()),
                    delayed: node.parameters.contains_key(APPLY_DELAY),
                };
                Some((address.node.identifier(), checked))
            })
            .collect();
        let reason = match standbys.len() {
            0 => "the primary must take writes before it is called ready".to_owned(),
            _ => "every standby must be seen to replay what the primary commits".to_owned(),
        };
        let action = Action::Verify {
            cluster: name.clone(),
            primary,
            standbys,
            synchronous: sync.standbys.clone(),
            awaited: sync.awaited,
            commit: marker_level(cluster.synchronous_commit),
        };
        self.push(Draft::new(address, action, reason, vec![proof]));
    }
}
