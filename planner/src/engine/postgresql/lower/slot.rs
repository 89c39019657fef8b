//! Replication slots: made before a standby needs the log that they retain, dropped when it streams from elsewhere.

use simdb_state::address::NodeAddress;
use simdb_state::delta::Edit;
use simdb_state::name::NodeName;
use simdb_state::object::{Node, Slot};

use super::super::Action;
use crate::engine;
use crate::plan::Server;
use crate::planner::imports::Import;
use crate::planner::intended::IntendedNode;
use crate::planner::lower::{Draft, Lowering, server};

impl Lowering<'_> {
    /// Makes a slot that retains the log for a node.
    pub(crate) fn slot(
        &mut self,
        address: &NodeAddress,
        slot: &Slot,
        old: Option<&Node>,
        settled: bool,
        upstream: &Server,
    ) {
        let there = |left: &&Slot| *left != slot && self.before.nodes.contains_key(&address.sibling(&left.upstream));
        let left = old.and_then(|old| old.slot.as_ref()).filter(there).cloned();
        let left = left.map(|left| Edit::SlotLeft(address.clone(), left));
        let mut delta: Vec<Edit> = left.into_iter().collect();
        delta.push(Edit::Slot(address.clone(), Some(slot.clone())));
        if settled {
            // It streamed through a slot that is gone: whether it still can is to be proven.
            delta.push(Edit::Unverified(address.cluster.clone()));
        }
        let action = engine::Action::from(Action::Slot {
            node: address.clone(),
            slot: slot.clone(),
            server: upstream.clone(),
        });
        let reason = format!(
            "{} retains the WAL that {} has yet to receive",
            slot.upstream, address.node
        );
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    /// Drops the slot that a standby streamed through before it was imported, once it streams through its own.
    pub(crate) fn slot_before_import(
        &mut self,
        address: &NodeAddress,
        import: &Import,
        new: &IntendedNode,
        upstream: Server,
    ) {
        let own = new.slot.as_ref().map(|slot| slot.name.as_str());
        let Some(name) = import.slot().filter(|name| Some(*name) != own) else {
            return;
        };
        let slot = Slot {
            upstream: upstream.node.node.clone(),
            name: name.to_owned(),
        };
        let reason = format!("{} streamed through it before it was imported", address.node);
        let delta = vec![Edit::SlotGone(address.clone(), slot.clone())];
        let action = engine::Action::from(Action::DropSlot {
            node: address.clone(),
            slot,
            server: upstream,
        });
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    /// Slots lie in the data of the node that keeps them: with that those of others go. Those that are to be there are made
    /// again, once it serves.
    pub(crate) fn slots_gone_with(&self, keeper: &NodeAddress) -> Vec<Edit> {
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
    pub(crate) fn left_slots(&mut self, address: &NodeAddress, old: &Node, new: Option<&IntendedNode>) {
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
            let action = engine::Action::from(Action::DropSlot {
                node: address.clone(),
                slot: slot.clone(),
                server: server(&upstream, keeper),
            });
            let reason = format!("{} no longer streams from {}", address.node, slot.upstream);
            let delta = vec![Edit::SlotGone(address.clone(), slot.clone())];
            self.push(Draft::new(address.clone(), action, reason, delta));
        }
    }

    /// Returns the slot that outlives a node on the one it followed.
    pub(crate) fn outlives(&self, address: &NodeAddress, old: &Node) -> Option<Slot> {
        let slot = old.slot.as_ref()?;
        let stays = self.intended.clusters.contains_key(&address.cluster)
            && self.intended.nodes.contains_key(&address.sibling(&slot.upstream));
        stays.then(|| slot.clone())
    }

    /// Slots on a node that others left go with it.
    pub(crate) fn slots_left_on(&self, address: &NodeAddress) -> Vec<Edit> {
        let left = self.before.nodes_of(&address.cluster).flat_map(|(other, node)| {
            let leaves = replaced_slot(node, self.intended.nodes.get(other));
            let all = node.left_slots.iter().chain(leaves);
            let on_it = all.filter(|slot| slot.upstream == address.node);
            on_it.map(|slot| Edit::SlotGone(other.clone(), slot.clone()))
        });
        left.collect()
    }

    /// Drops the slot that outlived a node, and with it the record of the node.
    pub(crate) fn drop_last_slot(&mut self, address: &NodeAddress, old: &Node) {
        let Some(slot) = self.outlives(address, old) else {
            return;
        };
        let upstream = address.sibling(&slot.upstream);
        let Some(keeper) = self.serving(&upstream) else {
            return;
        };
        let action = engine::Action::from(Action::DropSlot {
            node: address.clone(),
            slot,
            server: server(&upstream, keeper),
        });
        let reason = format!("no standby reads it once {} is gone", address.node);
        let drop = Edit::Drop(address.clone().into());
        self.push(Draft::new(address.clone(), action, reason, vec![drop]));
    }
}

/// A node that leads streams through no slot; the one it had is yet to be dropped.
pub(crate) fn leave_slot(address: &NodeAddress, old: &Node) -> Vec<Edit> {
    let left = old.slot.clone().map(|left| Edit::SlotLeft(address.clone(), left));
    left.into_iter().chain([Edit::Slot(address.clone(), None)]).collect()
}

/// Returns the slot that a node leaves for another one, or for none.
fn replaced_slot<'a>(old: &'a Node, new: Option<&IntendedNode>) -> Option<&'a Slot> {
    let new = new?;
    old.slot.as_ref().filter(|old| new.slot.as_ref() != Some(*old))
}
