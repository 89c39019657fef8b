//! Reads what PostgreSQL says of itself.

use simdb_state::sync::SyncRule;

use super::sync::STANDBY_NAMES;
use crate::observed::ServerFacts;

impl ServerFacts {
    /// Returns whom the commits on the server wait for.
    pub fn sync_rule(&self) -> SyncRule {
        let names = self.configured.get(STANDBY_NAMES);
        names.map(|names| names.as_str().into()).unwrap_or_default()
    }
}
