//! Does the steps that only PostgreSQL has.

use simdb_planner::engine::postgresql::Action;
use simdb_state::sensitive::Secrets;

use super::{Activity, replication, sync};
use crate::effects::{ProviderEffects, StepError};

impl ProviderEffects {
    pub(crate) async fn postgresql(&self, action: &Action, secrets: &Secrets) -> Result<(), StepError> {
        match action {
            Action::Slot { node: _, slot, server } => {
                let connection = self.session(server, secrets).await?;
                replication::ensure_slot(&connection, &slot.name).await?;
            }
            Action::DropSlot { node: _, slot, server } => {
                let connection = self.session(server, secrets).await?;
                replication::drop_slot(&connection, &slot.name).await?;
            }
            Action::Open {
                instance,
                server,
                awaited,
            } => {
                let connection = self.open(server, secrets).await?;
                sync::wait_for_standbys(&*self.platform, &connection, *awaited, self.limits.streaming).await?;
                drop(self.reload(instance, server, Activity::Writes, secrets).await?);
            }
            Action::Resume { server } => {
                let connection = self.session(server, secrets).await?;
                replication::resume(&connection).await?;
            }
            Action::SyncNames {
                cluster: _,
                rule,
                instance,
                server,
                in_recovery,
                awaited,
            } => {
                let expected = (*in_recovery).into();
                let connection = self.reload(instance, server, expected, secrets).await?;
                sync::wait_shown(&connection, rule).await?;
                if !in_recovery {
                    sync::wait_for_standbys(&*self.platform, &connection, *awaited, self.limits.streaming).await?;
                }
            }
        }
        Ok(())
    }
}
