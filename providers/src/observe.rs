//! Looks at the world: platform and servers, in parallel, each node within a limit.

use std::collections::BTreeSet;
use std::time::Duration;

use simdb_planner::observed::Observed;
use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::object::State;
use simdb_state::sensitive::Secrets;

use crate::platform::{Directory, Platform};

/// How long one node may take to answer; one that hangs is unknown.
pub const NODE_LIMIT: Duration = Duration::from_secs(2);

/// Looks at the given nodes and endpoints, and at every node that has a home on the platform.
pub async fn observe(
    _platform: &dyn Platform,
    _directory: &dyn Directory,
    _nodes: &BTreeSet<NodeAddress>,
    _endpoints: &BTreeSet<EndpointAddress>,
    _recorded: &State,
    _secrets: &Secrets,
) -> Observed {
    todo!()
}
