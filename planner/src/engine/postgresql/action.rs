//! The steps that only PostgreSQL has.

use serde::{Deserialize, Serialize};
use simdb_state::address::NodeAddress;
use simdb_state::delta::{Delta, Edit};
use simdb_state::instance::InstanceSpec;
use simdb_state::name::ClusterName;
use simdb_state::object::Slot;
use simdb_state::sync::SyncRule;

use crate::plan::fact::{Fact, Facts};
use crate::plan::server::Server;

/// What such a step does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Action {
    /// Makes a replication slot that keeps the log from now on.
    Slot {
        /// The node the slot is for.
        node: NodeAddress,
        /// The slot.
        slot: Slot,
        /// The server it is made on.
        server: Server,
    },
    /// Removes a slot that nobody needs any more.
    DropSlot {
        /// The node the slot was for.
        node: NodeAddress,
        /// The slot.
        slot: Slot,
        /// The server that keeps it.
        server: Server,
    },
    /// Lets the commits on a server wait for other standbys than before, or for none.
    SyncNames {
        /// The cluster.
        cluster: ClusterName,
        /// Whom commits wait for then.
        #[serde(rename = "names")]
        rule: SyncRule,
        /// The server, with this rule among its settings.
        instance: Box<InstanceSpec>,
        /// How it is reached.
        server: Server,
        /// Whether it replays (it is about to be promoted) or writes. Only one that writes has standbys to wait for.
        in_recovery: bool,
        /// How many of the standbys must be seen to count before the step is done, on a server that writes.
        awaited: u32,
    },
    /// Lets the clients of a primary in that crashed and came up without them, once standbys have all that it has.
    Open {
        /// The server, with its clients.
        instance: Box<InstanceSpec>,
        /// How it is reached.
        server: Server,
        /// How many standbys must have everything.
        awaited: u32,
    },
    /// Lets a standby replay again that somebody paused.
    Resume {
        /// The standby.
        server: Server,
    },
}

impl Action {
    /// Returns the step's name.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Action::Slot { .. } => "slot",
            Action::DropSlot { .. } => "drop-slot",
            Action::SyncNames { .. } => "sync-names",
            Action::Open { .. } => "open",
            Action::Resume { .. } => "resume",
        }
    }

    /// Returns what the step needs, and what it gives.
    pub(crate) fn facts(&self, delta: &Delta) -> Facts<'_> {
        match self {
            Action::Slot { node, server, .. } => Facts::needing([Fact::Served(&server.node)])
                .and_giving([Fact::Retained(node), Fact::RetainedOn(node, &server.node)])
                .and_giving([Fact::Retains(&server.node)]),
            Action::DropSlot { node, slot, server } => {
                let facts = Facts::needing([Fact::Released(node, slot), Fact::Serves(&server.node)]);
                // The last one takes the record of the node along.
                if delta.0.iter().any(|edit| matches!(edit, Edit::Drop(_))) {
                    facts.and_needing([Fact::LeavesNothing(node)])
                } else {
                    facts.and_giving([Fact::LeavesNothing(node)])
                }
            }
            Action::SyncNames { cluster, server, .. } => {
                Facts::needing([Fact::Served(&server.node)]).and_giving([Fact::CommitRule(cluster)])
            }
            Action::Open { server, .. } => {
                let cluster = &server.node.cluster;
                Facts::needing([Fact::Serves(&server.node)]).and_giving([Fact::Opened(cluster)])
            }
            Action::Resume { server } => Facts::needing([Fact::HasData(&server.node)]),
        }
    }
}
