//! What the server of a node depends on, whatever its engine.

use std::collections::BTreeMap;

use simdb_state::address::NodeAddress;
use simdb_state::object::{Image, Resources};
use simdb_state::place::{HostPort, Place};
use simdb_state::sensitive::SecretName;
use simdb_state::sync::SyncRule;

use super::parameters::Release;

/// Everything about a node that its server depends on.
#[derive(Clone, Debug)]
pub struct NodeContext<'a> {
    /// The node.
    pub address: &'a NodeAddress,
    /// The address that it had when it was made: its server is called by that as long as it lives.
    pub made_as: NodeAddress,
    /// What it runs.
    pub release: Release,
    /// Where its server is.
    pub place: Place,
    /// Whether nodes of its cluster are on other platforms, from where they stream from it.
    pub has_peers_elsewhere: bool,
    /// The image that it is made from, where its platform has images.
    pub image: Option<Image>,
    /// How much of its machine it may take.
    pub resources: Resources,
    /// The declared parameters.
    pub parameters: &'a BTreeMap<String, String>,
    /// The generation of its data.
    pub generation: u32,
    /// Whether its data is outside of its instance directory.
    pub outside: bool,
    /// What it streams from; absent for the primary.
    pub upstream: Option<Upstream>,
    /// Whom commits on it wait for; nobody on a standby, unless it is about to be promoted.
    pub sync_rule: SyncRule,
    /// The password it streams with.
    pub replication_password: SecretName,
}

/// What a standby streams from.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The node.
    pub address: NodeAddress,
    /// Where the standby reaches it.
    pub at: HostPort,
    /// The slot on it.
    pub slot: String,
}
