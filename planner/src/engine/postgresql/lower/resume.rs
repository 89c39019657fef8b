//! Lets a standby replay again that somebody paused: it looks alive, and falls behind for ever.

use simdb_state::address::NodeAddress;
use simdb_state::delta::Edit;
use simdb_state::object::Role;

use crate::engine::{self, postgresql::Action};
use crate::planner::before;
use crate::planner::intended::IntendedNode;
use crate::planner::lower::{Draft, Lowering, server};

impl Lowering<'_> {
    pub(crate) fn resume(&mut self, address: &NodeAddress, node: &IntendedNode) {
        let paused = before::server(self.observed, address).is_some_and(|server| server.replay_paused);
        if !paused || !matches!(node.role, Role::Standby { .. }) {
            return;
        }
        let action = engine::Action::from(Action::Resume {
            server: server(address, node),
        });
        let reason = format!("drift: the replay of {} is paused", address.node);
        let delta = vec![Edit::Unverified(address.cluster.clone())];
        self.push(Draft::new(address.clone(), action, reason, delta));
    }
}
