//! What becomes of a standby that runs and is to stream from elsewhere.

use simdb_state::address::NodeAddress;
use simdb_state::delta::Edit;
use simdb_state::object::{Node, Role};

use super::{Draft, Lowering, instance_edit, server, server_for};
use crate::engine::{self, NodeContext, instance};
use crate::plan::{Action, Impact};
use crate::planner::intended::IntendedNode;

impl Lowering<'_> {
    /// Returns why a standby that is there is to follow: its upstream is another one, or listens elsewhere.
    pub(crate) fn follow_reason(&self, address: &NodeAddress, old: &Node, new: &IntendedNode) -> Option<String> {
        let (Some(Role::Standby { follows: followed }), Role::Standby { follows }) = (&old.role, &new.role) else {
            return None;
        };
        if followed != follows {
            return Some(format!(
                "{} streams from {follows} in place of {followed}",
                address.node
            ));
        }
        let upstream = NodeAddress {
            cluster: address.cluster.clone(),
            node: follows.clone(),
        };
        let moved = self.intended.nodes.get(&upstream).filter(|upstream_node| {
            let had = self.before.nodes.get(&upstream);
            let had = had.and_then(|node| node.reached_from(old.platform.as_ref()));
            had.is_some_and(|had| had != new.sees(upstream_node, upstream_node.place.clone()).peers)
        });
        if let Some(moved) = moved {
            return Some(format!(
                "{} streams from {follows}, and {follows} moves to {}",
                address.node,
                new.sees(moved, moved.place.clone()).peers
            ));
        }
        let drift = self.intended.drift.get(address)?;
        engine::conf::UPSTREAM
            .iter()
            .any(|name| drift.settings.contains_key(*name))
            .then(|| format!("drift: {} streams from elsewhere than simdb wrote", address.node))
    }

    /// Lets a standby that runs stream from where it should.
    pub(crate) fn follow(
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
            instance: Box::new(instance::server(context)),
            server: server(address, new),
            upstream: server_for(new, &upstream.address, upstream_node),
            application_name: address.node.identifier(),
        };
        let delta = vec![
            instance_edit(address, new),
            Edit::Role(address.clone(), new.role.clone()),
            Edit::Unverified(address.cluster.clone()),
        ];
        self.push(Draft::new(address.clone(), action, reason, delta).costing(Impact::Reload));
    }
}
