//! Servers: made, cloned, started, restarted, and made to stream.

use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::sensitive::Secrets;

use super::{identified, role};
use crate::effects::{ProviderEffects, StepError};
use crate::engine::postgresql::connection::Connection;
use crate::engine::postgresql::replication::Stream;
use crate::engine::postgresql::{Activity, PostgresqlError, control, observe, ready, replication, settings};

impl ProviderEffects {
    pub(crate) async fn primary(
        &self,
        birth: &TaskSpec,
        instance: &InstanceSpec,
        server: &Server,
        secrets: &Secrets,
    ) -> Result<Outputs, StepError> {
        self.platform.run_task(&(&server.node).into(), birth, secrets).await?;
        let connection = self.start(instance, server, secrets).await?;
        let seen = observe::snapshot(&connection).await?;
        Ok(identified(seen.facts.system_identifier))
    }

    pub(crate) async fn basebackup(
        &self,
        node: &NodeAddress,
        task: &TaskSpec,
        data: &str,
        secrets: &Secrets,
    ) -> Result<Outputs, StepError> {
        let version = role::version_of(node, task)?;
        // Looked at in the same go: where servers run elsewhere, every look takes its time.
        let mut copies = task.clone();
        let look = control::task(version, &TaskSpec::partial(data));
        copies.commands.extend(look.commands);
        let printed = self.platform.run_task(&node.into(), &copies, secrets).await?;
        let control = match control::parse(&printed) {
            Ok(control) => control,
            // A copy that was there already is not made again, and nothing is printed.
            Err(_) => self.control_data(node, version, data, secrets).await?,
        };
        Ok(identified(control.system_identifier))
    }

    pub(crate) async fn wait_streaming(
        &self,
        upstream: &Server,
        standby: &Connection,
        application_name: &str,
        secrets: &Secrets,
    ) -> Result<(), PostgresqlError> {
        let connection = self.open(upstream, secrets).await?;
        let stream = Stream {
            upstream: &connection,
            at: &upstream.place.peers,
            standby,
            application_name,
        };
        replication::wait_streaming(&*self.platform, stream, self.limits.streaming).await
    }

    /// Starts a server that writes where it is down, and waits until it lets simdb in.
    pub(crate) async fn start(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        secrets: &Secrets,
    ) -> Result<Connection, StepError> {
        self.platform.ensure(&(&server.node).into(), instance, secrets).await?;
        let limit = self.limits.ready;
        let sessions = self.sessions(secrets);
        Ok(ready::wait(&*self.platform, server, &sessions, Activity::Writes, None, limit).await?)
    }

    /// Lets a server read its files again. It is told so by the platform first, because the files that it has may keep
    /// simdb out.
    pub(crate) async fn reload(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        expected: Activity,
        secrets: &Secrets,
    ) -> Result<Connection, StepError> {
        self.platform.ensure(&(&server.node).into(), instance, secrets).await?;
        self.platform.reload(&(&server.node).into()).await?;
        let limit = self.limits.ready;
        let connection =
            ready::wait_caught_up(&*self.platform, server, &self.sessions(secrets), expected, limit).await?;
        settings::reload(&connection).await?;
        Ok(connection)
    }
}
