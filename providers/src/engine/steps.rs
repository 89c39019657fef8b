//! Lets each engine do its own steps.

use simdb_planner::engine::Action;
use simdb_state::sensitive::Secrets;

use crate::effects::{ProviderEffects, StepError};

impl ProviderEffects {
    pub(crate) async fn engine(&self, action: &Action, secrets: &Secrets) -> Result<(), StepError> {
        match action {
            Action::Postgresql(action) => self.postgresql(action, secrets).await,
            Action::Pgbouncer(action) => self.pgbouncer(action, secrets).await,
        }
    }
}
