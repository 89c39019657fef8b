//! How a step reaches a server.

use serde::{Deserialize, Serialize};
use simdb_state::address::NodeAddress;
use simdb_state::place::Place;
use simdb_state::sensitive::SecretName;

/// Where a server is reached as the superuser, and under which node's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The node.
    pub node: NodeAddress,
    /// Where it is.
    #[serde(rename = "listen")]
    pub place: Box<Place>,
    /// The superuser's password.
    pub password: SecretName,
}
