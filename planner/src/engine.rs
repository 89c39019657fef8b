//! The engines: this file knows all of them by name, and the core of the planner knows none.
//!
//! What only one product has stands in its folder: its settings, its files, its steps and how they come about, what its
//! servers say, and its servers in the simulator. What the core asks of an engine is re-exported here. PostgreSQL is the
//! only one that runs nodes so far; with a second one these functions choose by the cluster's
//! [`EngineKind`](simdb_state::object::EngineKind).
//!
//! The effectful half lives in the providers.

pub mod mariadb;
pub mod node;
mod order;
pub mod parameters;
pub mod pgbouncer;
pub mod postgresql;
#[cfg(any(test, feature = "testing"))]
mod simulate;

pub use self::node::{NodeContext, Upstream};
pub(crate) use self::pgbouncer::correct_poolers;
pub(crate) use self::postgresql::logins::is_predefined;
pub use self::postgresql::{client, conf, facts, instance, limits, replay, script, settings, sync, trial};
pub(crate) use self::postgresql::{correct_replication, gap, last_run, leave_slot, strays};

/// What the engines' servers are in the simulated world.
#[cfg(any(test, feature = "testing"))]
pub(crate) mod simulated {
    pub use super::pgbouncer::simulate::Pooler;
    pub use super::postgresql::simulate::Log;
    pub(crate) use super::postgresql::simulate::{generation_of, is_seal};
    pub(crate) use super::simulate::{POOLER, SEARCHED, SERVER, programs};
}

use serde::{Deserialize, Serialize};
use simdb_state::delta::Delta;
use simdb_state::name::UserName;
use simdb_state::object::EngineKind;

use crate::plan::fact::Facts;

/// What a step does that only one engine has. The names of such steps tell the engines apart, on the wire too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Action {
    /// A step of PostgreSQL's.
    Postgresql(postgresql::Action),
    /// A step of PgBouncer's.
    Pgbouncer(pgbouncer::Action),
}

impl Action {
    /// Returns the step's name, as the step table and every view spell it.
    pub fn name(&self) -> &'static str {
        match self {
            Action::Postgresql(action) => action.name(),
            Action::Pgbouncer(action) => action.name(),
        }
    }

    /// Returns what the step needs, and what it gives.
    pub(crate) fn facts(&self, delta: &Delta) -> Facts<'_> {
        match self {
            Action::Postgresql(action) => action.facts(delta),
            Action::Pgbouncer(action) => action.facts(),
        }
    }

    /// Returns whether the step gives free what an earlier one holds up.
    pub(crate) fn releases(&self) -> bool {
        match self {
            Action::Postgresql(_) => false,
            Action::Pgbouncer(action) => action.releases(),
        }
    }
}

impl From<postgresql::Action> for Action {
    fn from(action: postgresql::Action) -> Self {
        Action::Postgresql(action)
    }
}

impl From<pgbouncer::Action> for Action {
    fn from(action: pgbouncer::Action) -> Self {
        Action::Pgbouncer(action)
    }
}

/// What stands between clients and a server where an endpoint has a pooler.
pub(crate) const POOLER: EngineKind = EngineKind::Pgbouncer;

/// What servers run that were made without simdb and can be imported.
pub(crate) const IMPORTED: EngineKind = EngineKind::Postgresql;

/// Returns whether plans are made for clusters of an engine.
pub(crate) fn is_planned(kind: EngineKind) -> bool {
    match kind {
        EngineKind::Postgresql => true,
        EngineKind::Mariadb | EngineKind::Pgbouncer => false,
    }
}

/// Returns how an engine is called in a sentence.
pub(crate) fn title(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Postgresql => "PostgreSQL",
        EngineKind::Mariadb => "MariaDB",
        EngineKind::Pgbouncer => "PgBouncer",
    }
}

/// Returns what an engine knows of the parameters of its servers. No node runs a pooler, and poolers stand before PostgreSQL's servers.
fn parameters_of(engine: EngineKind) -> &'static dyn parameters::Parameters {
    match engine {
        EngineKind::Postgresql | EngineKind::Pgbouncer => &postgresql::Parameters,
        EngineKind::Mariadb => &mariadb::Parameters,
    }
}

/// Returns how the programs of an engine are installed, as a fragment.
pub(crate) fn installation(kind: EngineKind) -> &'static str {
    match kind {
        EngineKind::Postgresql => postgresql::INSTALLATION,
        EngineKind::Mariadb => mariadb::INSTALLATION,
        EngineKind::Pgbouncer => pgbouncer::INSTALLATION,
    }
}

/// Returns what a login is for that an engine needs beside its own, as a fragment that follows "because".
pub(crate) fn purpose(login: &UserName) -> Option<&'static str> {
    (login.as_str() == pgbouncer::USER).then_some(pgbouncer::PURPOSE)
}

/// Returns whether a login is there because the engines need it, and not because it was declared.
pub(crate) fn is_implicit(login: &UserName) -> bool {
    [instance::REPLICATION_USER, pgbouncer::USER].contains(&login.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Action, pgbouncer, postgresql};
    use crate::plan;

    #[test]
    fn steps_of_an_engine_stand_beside_the_others_in_a_document() {
        let server = json!({
            "node": "cluster.orders.node.r[0]",
            "listen": { "host": "127.0.0.1", "port": 15432 },
            "password": "secret/cluster.orders.user.postgres/password/1",
        });
        let read = |document: &Value| serde_json::from_value::<plan::Action>(document.clone());
        let resume = json!({ "kind": "resume", "server": server });
        let action = read(&resume).unwrap();
        assert!(
            matches!(
                &action,
                plan::Action::Engine(Action::Postgresql(postgresql::Action::Resume { .. }))
            ),
            "{action:?}"
        );
        assert_eq!(serde_json::to_value(&action).unwrap(), resume);
        let stop = json!({ "kind": "stop-pooler", "endpoint": "cluster.orders.endpoint.rw" });
        let action = read(&stop).unwrap();
        assert!(
            matches!(
                &action,
                plan::Action::Engine(Action::Pgbouncer(pgbouncer::Action::StopPooler { .. }))
            ),
            "{action:?}"
        );
        let clone = json!({ "kind": "basebackup", "node": "cluster.orders.node.r[0]", "data": "data-1" });
        assert!(read(&clone).is_err(), "its task is missing");
        assert!(read(&json!({ "kind": "unheard-of" })).is_err());
    }
}
