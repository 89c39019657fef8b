//! Servers: made, cloned, started, restarted, and made to stream.

use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::sensitive::Secrets;

use super::{ProviderEffects, StepError, identified, role};
use crate::engine::postgresql::connection::Connection;
use crate::engine::postgresql::replication::Stream;
use crate::engine::postgresql::ruin::Since;
use crate::engine::postgresql::{Activity, PostgresqlError, observe, ready, replication, settings};
use crate::platform::StopMode;

/// What a restart waits for, before and after.
pub(crate) struct Restart<'a> {
    /// The primary whose log must have been replayed before.
    pub(crate) replays: Option<&'a Server>,
    /// Whom the server must stream from afterwards.
    pub(crate) upstream: Option<&'a Server>,
}

impl ProviderEffects {
    pub(crate) async fn primary(
        &self,
        birth: &TaskSpec,
        instance: &InstanceSpec,
        server: &Server,
        secrets: &Secrets,
    ) -> Result<Outputs, StepError> {
        self.platform.run_task(&(&server.node).into(), birth, secrets).await?;
        let connection = self.start(instance, server, Activity::Writes, secrets).await?;
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
        self.platform.run_task(&node.into(), task, secrets).await?;
        let control = self.control_data(node, version, data, secrets).await?;
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
            listen: upstream.listen,
            standby,
            application_name,
        };
        replication::wait_streaming(&*self.platform, stream, self.limits.streaming).await
    }

    /// Starts a server where it is down, and waits until it lets somebody in.
    pub(crate) async fn start(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        expected: Activity,
        secrets: &Secrets,
    ) -> Result<Connection, StepError> {
        let since = match expected {
            Activity::Replays => Some(Since::now(&*self.platform, &server.node).await),
            Activity::Writes => None,
        };
        self.platform.ensure(&(&server.node).into(), instance, secrets).await?;
        let limit = self.limits.ready;
        Ok(ready::wait(
            &*self.platform,
            server,
            &self.sessions(secrets),
            expected,
            since.as_ref(),
            limit,
        )
        .await?)
    }

    /// Waits until a standby has replayed all that its primary has now.
    async fn wait_replayed(&self, standby: &Server, primary: &Server, secrets: &Secrets) -> Result<(), StepError> {
        let primary = self.open(primary, secrets).await?;
        let position = observe::snapshot(&primary).await?.facts.position;
        let standby = self.open(standby, secrets).await?;
        Ok(replication::wait_replayed(&standby, position, self.limits.streaming).await?)
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
            ready::wait_admitted(&*self.platform, server, &self.sessions(secrets), expected, limit).await?;
        settings::reload(&connection).await?;
        Ok(connection)
    }

    /// Stops a server and starts it with what it is to have.
    pub(crate) async fn restart(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        expected: Activity,
        waits: Restart<'_>,
        secrets: &Secrets,
    ) -> Result<(), StepError> {
        if let Some(primary) = waits.replays {
            self.wait_replayed(server, primary, secrets).await?;
        }
        self.platform.stop(&(&server.node).into(), StopMode::Fast).await?;
        let connection = self.start(instance, server, expected, secrets).await?;
        if let Some(upstream) = waits.upstream {
            let name = server.node.node.identifier();
            self.wait_streaming(upstream, &connection, &name, secrets).await?;
        }
        Ok(())
    }
}
