//! What becomes of replication: whom commits wait for, and whom a standby streams from.

use simdb_state::address::{Address, NodeAddress};
use simdb_state::delta::Edit;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Node, Role, Slot};

use super::{Draft, Lowering, instance_edit, server};
use crate::engine::postgresql::instance::{self, NodeContext};
use crate::plan::{Action, Impact};
use crate::planner::intended::{IntendedCluster, IntendedNode, Lost};

impl Lowering<'_> {
    /// Lets commits wait for other standbys. One step is enough: what is newly listed streams by then, and what is no
    /// longer listed goes, stops or moves only afterwards.
    pub(super) fn sync_names(&mut self, name: &ClusterName, new: &IntendedCluster) {
        if let Some(lost) = &new.sync.lost {
            self.degrade(name, new, lost);
        }
        let Some((primary, node)) = self.intended.running_primary(name).filter(|_| new.sync.due) else {
            return;
        };
        let context = self.intended.context(&primary, node, new);
        let admitted = self
            .held_back(&context)
            .is_none_or(|awaited| self.intended.keeps_standbys(name, awaited));
        let context = NodeContext {
            sync_rule: new.sync.after.clone(),
            ..context
        };
        let action = Action::SyncNames {
            cluster: name.clone(),
            rule: new.sync.after.clone(),
            instance: if admitted {
                instance::server(&context)
            } else {
                instance::without_clients(&context)
            },
            server: server(&primary, node),
            in_recovery: false,
            awaited: new.sync.awaited,
        };
        let reason = if new.sync.after.is_empty() {
            format!("commits are to be acknowledged by {} alone", primary.node)
        } else {
            let listed: Vec<&str> = new.sync.standbys.iter().map(String::as_str).collect();
            format!("commits are to wait for {} of {}", new.sync.awaited, listed.join(", "))
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
        let action = Action::Degrade {
            cluster: name.clone(),
            since: lost.since,
        };
        let delta = vec![
            Edit::Degraded(name.clone(), Some(lost.since)),
            Edit::Unverified(name.clone()),
        ];
        let reason = format!("whoever lacks what is written after {} must not lead", lost.since);
        self.push(Draft::new(address.clone(), action, reason, delta));
        // It comes before all else, also before the primary moves and before its standbys get another password.
        let server = self.present(server(&primary, node));
        let context = NodeContext {
            sync_rule: rule.clone(),
            listen: server.listen,
            ..self.intended.context(&primary, node, new)
        };
        let action = Action::SyncNames {
            cluster: name.clone(),
            rule: rule.clone(),
            instance: self.instance(&context),
            server,
            in_recovery: false,
            awaited: lost.awaited,
        };
        let delta = vec![Edit::SyncRule(name.clone(), rule.clone())];
        let reason = format!("commits wait for {standbys}, and nothing streams there");
        let draft = Draft::new(address, action, reason, delta).generating(context.replication_password);
        self.push(draft.costing(Impact::Reload));
    }

    /// Returns why a standby that is there is to follow: its upstream is another one, or listens elsewhere.
    pub(super) fn follow_reason(&self, address: &NodeAddress, old: &Node, new: &IntendedNode) -> Option<String> {
        let (Some(Role::Standby { follows: followed }), Role::Standby { follows }) = (&old.role, &new.role) else {
            return None;
        };
        if followed != follows {
            return Some(format!(
                "{} is to stream from {follows} instead of {followed}",
                address.node
            ));
        }
        let upstream = NodeAddress {
            cluster: address.cluster.clone(),
            node: follows.clone(),
        };
        let moved = self.intended.nodes.get(&upstream).filter(|upstream_node| {
            let had = self.before.nodes.get(&upstream).and_then(|node| node.listen);
            had.is_some_and(|had| had != upstream_node.listen)
        });
        if let Some(moved) = moved {
            return Some(format!(
                "{} streams from {follows}, and {follows} moves to {}",
                address.node, moved.listen
            ));
        }
        let drift = self.intended.drift.get(address)?;
        ["primary_conninfo", "primary_slot_name"]
            .iter()
            .any(|name| drift.settings.contains_key(*name))
            .then(|| drift.reason(&address.node))
    }

    /// Lets a standby that runs stream from where it should.
    pub(super) fn follow(
        &mut self,
        address: &NodeAddress,
        new: &IntendedNode,
        context: &NodeContext<'_>,
        reason: String,
    ) {
        let Some(upstream) = &context.upstream else { return };
        let Some(upstream_node) = self.intended.nodes.get(&upstream.address) else {
            return;
        };
        let action = Action::Follow {
            instance: instance::server(context),
            server: server(address, new),
            upstream: server(&upstream.address, upstream_node),
            application_name: address.node.identifier(),
        };
        let delta = vec![
            instance_edit(address, new),
            Edit::Role(address.clone(), new.role.clone()),
            Edit::Unverified(address.cluster.clone()),
        ];
        self.push(Draft::new(address.clone(), action, reason, delta).costing(Impact::Reload));
    }

    /// Slots lie in the data of the node that keeps them: with that those of others go. Those that are to be there are made
    /// again, once it serves.
    pub(super) fn slots_gone_with(&self, keeper: &NodeAddress) -> Vec<Edit> {
        let mut gone = Vec::new();
        for (address, old) in self.before.nodes_of(&keeper.cluster) {
            let new = self.intended.nodes.get(address).and_then(|new| new.slot.as_ref());
            if new.is_some_and(|slot| slot.upstream == keeper.node) {
                gone.push(Edit::Slot(address.clone(), None));
            }
            let left = old.left_slots.iter().filter(|slot| slot.upstream == keeper.node);
            gone.extend(left.map(|slot| Edit::SlotGone(address.clone(), slot.clone())));
        }
        gone
    }

    /// Drops the slots that a node left on nodes it followed before, where those serve.
    pub(super) fn left_slots(&mut self, address: &NodeAddress, old: &Node, new: Option<&IntendedNode>) {
        let sibling = |node: &NodeName| address.sibling(node);
        let upstream = new.and_then(|new| new.role.follows()).map(sibling);
        if upstream.is_some_and(|upstream| self.serving(&upstream).is_none()) {
            // It stays where it is.
            return;
        }
        let replaced = replaced_slot(old, new);
        for slot in old.left_slots.iter().chain(replaced) {
            if new.and_then(|new| new.slot.as_ref()) == Some(slot) {
                continue;
            }
            let upstream = sibling(&slot.upstream);
            let Some(keeper) = self.serving(&upstream) else {
                continue;
            };
            let action = Action::DropSlot {
                node: address.clone(),
                slot: slot.clone(),
                server: server(&upstream, keeper),
            };
            let reason = format!("{} no longer streams from {}", address.node, slot.upstream);
            let delta = vec![Edit::SlotGone(address.clone(), slot.clone())];
            self.push(Draft::new(address.clone(), action, reason, delta));
        }
    }
}

/// Returns the slot that a node leaves for another one, or for none.
pub(super) fn replaced_slot<'a>(old: &'a Node, new: Option<&IntendedNode>) -> Option<&'a Slot> {
    let new = new?;
    old.slot.as_ref().filter(|old| new.slot.as_ref() != Some(*old))
}
