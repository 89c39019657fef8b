//! The logins and the database that every server has.

use simdb_state::address::UserAddress;
use simdb_state::name::{ClusterName, UserName};
use simdb_state::sensitive::SecretName;

/// The login that standbys stream with.
pub const REPLICATION_USER: &str = "replicator";

/// The login that simdb works with.
pub const SUPERUSER: &str = "postgres";

/// The database that every server has.
pub const DATABASE: &str = "postgres";

/// Returns whether a role is one that every server has.
pub(crate) fn is_predefined(role: &str) -> bool {
    role.starts_with("pg_")
}

/// Returns a login of a cluster. The two that simdb needs are reserved names, so this is the place that makes them.
pub fn user(cluster: &ClusterName, name: &str) -> UserAddress {
    let user: UserName = name.parse().expect("the reserved logins are names");
    UserAddress {
        cluster: cluster.clone(),
        user,
    }
}

/// Returns the name of the superuser's password.
pub fn superuser_password(cluster: &ClusterName) -> SecretName {
    SecretName::password(&user(cluster, SUPERUSER))
}

/// Returns the name of the replication user's first password.
pub fn replication_password(cluster: &ClusterName) -> SecretName {
    SecretName::password(&user(cluster, REPLICATION_USER))
}
