//! The engines: this file knows all of them by name, and the core of the planner knows none.
//!
//! What only one product has stands in its folder: its settings, its files, its steps and how they come about, what its
//! servers say, and its servers in the simulator. What the core asks of an engine is re-exported here. PostgreSQL is the
//! only one that runs nodes so far; with a second one these functions choose by the cluster's
//! [`EngineKind`](simdb_state::object::EngineKind).
//!
//! The effectful half lives in the providers.

pub mod node;
pub mod pgbouncer;
pub mod postgresql;

pub use self::node::{NodeContext, Upstream};
pub(crate) use self::pgbouncer::correct_poolers;
pub use self::postgresql::{conf, instance, limits, script, settings, sync, trial};
pub(crate) use self::postgresql::{correct_replication, gap, last_run, leave_slot, replaced_slot};

/// What the engines' servers are in the simulated world.
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated {
    pub use super::pgbouncer::simulate::Pooler;
    pub use super::postgresql::simulate::Log;
    pub(crate) use super::postgresql::simulate::{generation_of, read_settings};
}

use simdb_state::name::UserName;
use simdb_state::object::EngineKind;

/// Returns how an engine is called in a sentence.
pub(crate) fn title(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Postgresql => "PostgreSQL",
        EngineKind::Pgbouncer => "PgBouncer",
    }
}

/// Returns how the programs of an engine are installed, as a fragment.
pub(crate) fn installation(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Postgresql => postgresql::INSTALLATION,
        EngineKind::Pgbouncer => pgbouncer::INSTALLATION,
    }
}

/// Returns what a login is for that an engine needs beside its own, as a fragment that follows "because".
pub(crate) fn purpose(login: &UserName) -> Option<&'static str> {
    (login.as_str() == pgbouncer::USER).then_some(pgbouncer::PURPOSE)
}
