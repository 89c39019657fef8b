//! Lets the steps happen in the simulated world that only one engine has.

use std::collections::BTreeMap;

use simdb_state::object::EngineKind;

use super::Action;
use crate::simulate::World;

/// Where programs were looked for.
pub(crate) const SEARCHED: &str = "/usr/lib/postgresql";

/// Who listens on the port of a node.
pub(crate) const SERVER: &str = "postgres (pid 4711)";

/// Who listens on the port of a pooler.
pub(crate) const POOLER: &str = "pgbouncer (pid 4712)";

/// Returns the programs that are there.
pub(crate) fn programs() -> BTreeMap<EngineKind, BTreeMap<u16, String>> {
    let servers = BTreeMap::from([(15, format!("{SEARCHED}/15/bin"))]);
    let poolers = BTreeMap::from([(1, "/usr/sbin".to_owned())]);
    BTreeMap::from([(EngineKind::Postgresql, servers), (EngineKind::Pgbouncer, poolers)])
}

impl World {
    pub(crate) fn engine(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Postgresql(action) => self.postgresql(action),
            Action::Pgbouncer(action) => self.pgbouncer(action),
        }
    }
}
