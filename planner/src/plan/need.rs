//! What a step needs: facts that must stand in the record before it may run.

use simdb_state::address::{DatabaseAddress, EndpointAddress, NodeAddress};
use simdb_state::name::{ClusterName, NetworkName};
use simdb_state::object::{Slot, Term};

/// A fact that a step needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need<'a> {
    /// The node serves.
    Serves(&'a NodeAddress),
    /// The node has data.
    HasData(&'a NodeAddress),
    /// What the node has yet to receive is retained for it, on a node that serves.
    Retained(&'a NodeAddress),
    /// What the node has yet to receive is retained for it on this other one.
    RetainedOn(&'a NodeAddress, &'a NodeAddress),
    /// No node streams through the slot of this one.
    Released(&'a NodeAddress, &'a Slot),
    /// No standby follows the node.
    Unfollowed(&'a NodeAddress),
    /// No other node of the cluster writes.
    OnlyWriter(&'a NodeAddress),
    /// The node was elected.
    Elected(&'a NodeAddress),
    /// Another node was elected.
    Deposed(&'a NodeAddress),
    /// This is the election after the last one.
    NextTerm(&'a ClusterName, Term),
    /// The database is there.
    Database(DatabaseAddress),
    /// The endpoint has a pooler.
    Pooler(&'a EndpointAddress),
    /// No node of the cluster is left.
    NoNodes(&'a ClusterName),
    /// No cluster is in the network.
    Unused(&'a NetworkName),
}
