//! Synchronous replication, as PostgreSQL does it.

use simdb_state::object::CommitLevel;

/// The setting that says whom commits wait for, in the spelling of [`simdb_state::sync::SyncRule`].
pub const STANDBY_NAMES: &str = "synchronous_standby_names";

/// The setting that says how far a commit waits.
pub(crate) const COMMIT_LEVEL: &str = "synchronous_commit";

/// The setting that a delayed standby has.
pub const APPLY_DELAY: &str = "recovery_min_apply_delay";

/// Returns how far the commit of a marker waits: whatever others wait for, the proof is that standbys have it on disk.
pub fn marker_level(level: CommitLevel) -> CommitLevel {
    match level {
        CommitLevel::RemoteApply => CommitLevel::RemoteApply,
        CommitLevel::On | CommitLevel::RemoteWrite | CommitLevel::Local => CommitLevel::On,
    }
}
