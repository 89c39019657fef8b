//! Imports: a server that was made without simdb is restarted as a node's.

use simdb_planner::observed::ProcessFacts;
use simdb_planner::plan::Server;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::sensitive::Secrets;

use crate::effects::{ProviderEffects, StepError};
use crate::platform::{InstanceFacts, StopMode};

/// What an import takes.
pub(crate) struct Import<'a> {
    pub(crate) instance: &'a InstanceSpec,
    pub(crate) server: &'a Server,
    pub(crate) login: Option<&'a TaskSpec>,
    pub(crate) link: &'a TaskSpec,
    pub(crate) upstream: Option<&'a Server>,
}

impl ProviderEffects {
    /// Imports a server. Data that is linked has simdb's login already, and a server that simdb started on it stays up.
    pub(crate) async fn import(&self, import: &Import<'_>, secrets: &Secrets) -> Result<(), StepError> {
        let Import {
            instance,
            server,
            login,
            link,
            upstream,
        } = *import;
        let directory = (&server.node).into();
        let seen = self.platform.inspect(&directory).await?;
        let is_linked = |facts: &InstanceFacts| facts.outside.contains_key(&instance.data);
        if !seen.seen().is_some_and(is_linked) {
            if let Some(login) = login {
                self.platform.run_task(&directory, login, secrets).await?;
            }
            self.platform.run_task(&directory, link, secrets).await?;
        }
        let seen = self.platform.inspect(&directory).await?;
        let is_unmanaged = |facts: &InstanceFacts| matches!(facts.process, ProcessFacts::Foreign { .. });
        if seen.seen().is_some_and(is_unmanaged) {
            self.platform.stop(&directory, StopMode::Fast).await?;
        }
        match upstream {
            None => drop(self.start(instance, server, secrets).await?),
            Some(upstream) => {
                let name = server.node.node.identifier();
                let from = Some((upstream, name.as_str()));
                self.start_standby(instance, server, from, secrets).await?;
            }
        }
        Ok(())
    }
}
