//! Whom commits wait for: loosened where standbys were lost, else changed when the standbys stream that count.

use simdb_state::address::Address;
use simdb_state::delta::Edit;
use simdb_state::name::ClusterName;

use crate::engine::postgresql::{Action, instance};
use crate::engine::{self, NodeContext};
use crate::plan::{self, Impact};
use crate::planner::intended::{IntendedCluster, Lost};
use crate::planner::lower::{Draft, Lowering, server};

impl Lowering<'_> {
    /// Lets commits wait for other standbys. One step is enough: what is newly listed streams by then, and what is no
    /// longer listed goes, stops or moves only afterwards.
    pub(crate) fn sync_names(&mut self, name: &ClusterName, new: &IntendedCluster) {
        if let Some(lost) = &new.sync.lost {
            self.degrade(name, new, lost);
        }
        let Some((primary, node)) = self.intended.running_primary(name).filter(|_| new.sync.due) else {
            return;
        };
        let context = self.intended.context(&primary, node, new);
        let opened = self
            .held_back(&context)
            .is_none_or(|awaited| self.intended.keeps_standbys(name, awaited));
        let context = NodeContext {
            sync_rule: new.sync.after.clone(),
            ..context
        };
        let action = engine::Action::from(Action::SyncNames {
            cluster: name.clone(),
            rule: new.sync.after.clone(),
            instance: if opened {
                Box::new(instance::server(&context))
            } else {
                Box::new(instance::without_clients(&context))
            },
            server: server(&primary, node),
            in_recovery: false,
            awaited: new.sync.awaited,
        });
        let reason = if new.sync.after.is_empty() {
            format!("commits wait for {} alone", primary.node)
        } else {
            let listed: Vec<&str> = new.sync.standbys.iter().map(String::as_str).collect();
            format!("commits wait for {} of {}", new.sync.awaited, listed.join(", "))
        };
        let mut delta = vec![
            Edit::SyncRule(name.clone(), new.sync.after.clone()),
            Edit::Unverified(name.clone()),
        ];
        let degraded = self
            .before
            .clusters
            .get(name)
            .is_some_and(|cluster| cluster.degraded.is_some());
        if degraded || new.sync.lost.is_some() {
            delta.push(Edit::Degraded(name.clone(), None));
        }
        let born = !self.before.clusters.contains_key(name);
        let impact = if born { Impact::None } else { Impact::Reload };
        self.push(Draft::new(Address::Cluster(name.clone()), action, reason, delta).costing(impact));
    }

    /// Lets commits no longer wait for standbys that were lost. That is recorded first: a node that lacks what is
    /// acknowledged from now on must never be taken for one that has everything.
    fn degrade(&mut self, name: &ClusterName, new: &IntendedCluster, lost: &Lost) {
        let Some((primary, node)) = self.intended.running_primary(name) else {
            return;
        };
        let address = Address::Cluster(name.clone());
        let standbys: Vec<&str> = lost.standbys.iter().map(String::as_str).collect();
        let standbys = standbys.join(", ");
        let rule = &new.sync.before;
        let action = plan::Action::Degrade {
            cluster: name.clone(),
            since: lost.since.clone(),
        };
        let delta = vec![
            Edit::Degraded(name.clone(), Some(lost.since.clone())),
            Edit::Unverified(name.clone()),
        ];
        let reason = format!("a node that lacks a write from {} on must not lead", lost.since);
        self.push(Draft::new(address.clone(), action, reason, delta));
        // It comes before all else, also before the primary moves and before its standbys get another password.
        let server = self.present(server(&primary, node));
        let context = NodeContext {
            sync_rule: rule.clone(),
            place: (*server.place).clone(),
            ..self.intended.context(&primary, node, new)
        };
        let action = engine::Action::from(Action::SyncNames {
            cluster: name.clone(),
            rule: rule.clone(),
            instance: Box::new(self.instance(&context)),
            server,
            in_recovery: false,
            awaited: lost.awaited,
        });
        let delta = vec![Edit::SyncRule(name.clone(), rule.clone())];
        let reason = format!("commits wait for {standbys}, and no stream comes from there");
        let draft = Draft::new(address, action, reason, delta).generating(context.replication_password);
        self.push(draft.costing(Impact::Reload));
    }
}
