//! Lets each engine do its part of the steps.

use simdb_planner::{engine, plan};
use simdb_state::delta::Outputs;
use simdb_state::sensitive::Secrets;

use crate::effects::{ProviderEffects, StepError};

impl ProviderEffects {
    /// Does its part of a step that every engine has: every server with data is PostgreSQL's.
    pub(crate) async fn serve(&self, action: &plan::Action, secrets: &Secrets) -> Result<Outputs, StepError> {
        self.postgresql_serves(action, secrets).await
    }

    /// Does a step that only one engine has.
    pub(crate) async fn engine(&self, action: &engine::Action, secrets: &Secrets) -> Result<(), StepError> {
        match action {
            engine::Action::Postgresql(action) => self.postgresql(action, secrets).await,
            engine::Action::Pgbouncer(action) => self.pgbouncer(action, secrets).await,
        }
    }
}
