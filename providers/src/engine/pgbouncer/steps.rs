//! The steps of poolers: what their clients go through, and wait at while the lead passes from one node to another.

use simdb_planner::engine::pgbouncer::{Action, Console};
use simdb_planner::plan::Server;
use simdb_state::instance::InstanceSpec;
use simdb_state::sensitive::Secrets;

use super::{PgbouncerError, Session};
use crate::effects::{ProviderEffects, StepError};
use crate::engine::postgresql::promotion;
use crate::platform::{Platform, StopMode};

impl ProviderEffects {
    pub(crate) async fn pgbouncer(&self, action: &Action, secrets: &Secrets) -> Result<(), StepError> {
        match action {
            Action::Pooler {
                instance,
                console,
                restart,
            } => {
                if *restart {
                    let directory = (&console.endpoint).into();
                    self.platform.stop(&directory, StopMode::Fast).await?;
                }
                self.lead(instance, console, secrets).await?;
            }
            Action::Repoint { instance, console } => self.lead(instance, console, secrets).await?,
            Action::Pause { console, server } => self.pause(console, server, secrets).await?,
            Action::Unpause { console } => self.resume(console, secrets).await?,
            Action::StopPooler { endpoint } => drop(self.platform.stop(&endpoint.into(), StopMode::Fast).await?),
            Action::DropPooler { endpoint } => Platform::drop(&*self.platform, &endpoint.into()).await?,
        }
        Ok(())
    }

    /// Starts a pooler where it is down, and lets it lead where its settings say.
    async fn lead(&self, instance: &InstanceSpec, console: &Console, secrets: &Secrets) -> Result<(), StepError> {
        let directory = (&console.endpoint).into();
        self.platform.ensure(&directory, instance, secrets).await?;
        let session = self.console(console, secrets).await?;
        Ok(session.reload().await?)
    }

    /// Opens a session with the console of a pooler that may be starting.
    async fn console(&self, console: &Console, secrets: &Secrets) -> Result<Session, PgbouncerError> {
        Session::wait(&*self.platform, &self.sessions(secrets), console, self.limits.ready).await
    }

    /// What the server has to write when it is shut down, clients wait for: it writes most of that before.
    async fn pause(&self, console: &Console, server: &Server, secrets: &Secrets) -> Result<(), StepError> {
        if let Ok(connection) = self.open(server, secrets).await {
            promotion::checkpoint(&connection).await?;
        }
        Ok(Session::pause(&self.sessions(secrets), console, self.limits.pause).await?)
    }

    async fn resume(&self, console: &Console, secrets: &Secrets) -> Result<(), StepError> {
        let session = self.console(console, secrets).await?;
        Ok(session.resume().await?)
    }
}
