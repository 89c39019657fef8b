//! Servers: made, copied, started, configured, and made to stream.

use simdb_planner::engine::mariadb::facts::DataFacts;
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::gtid::GtidPosition;
use simdb_state::identity::DataIdentity;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use tokio::task::spawn_blocking;

use super::{CONF, Driver, REPLICATION_USER};
use crate::effects::StepError;
use crate::engine::mariadb::connection::{Connection, literal};
use crate::engine::mariadb::error::Activity;
use crate::engine::mariadb::observe::{self, Known, LINEAGE};
use crate::engine::mariadb::stream::{self, Login, reaches};
use crate::engine::mariadb::{Cause, DATABASE, MariadbError, offline, ready, settings};
use crate::password;

impl Driver<'_> {
    pub(super) async fn primary(
        &self,
        birth: &TaskSpec,
        instance: &InstanceSpec,
        server: &Server,
    ) -> Result<Outputs, StepError> {
        let directory = (&server.node).into();
        self.effects.platform.run_task(&directory, birth, self.secrets).await?;
        self.effects.platform.ensure(&directory, instance, self.secrets).await?;
        let mut connection = self.ready(server, Some(Activity::Writes)).await?;
        identified(&identify(&mut connection).await?, &server.node)
    }

    pub(super) async fn clone_data(
        &self,
        node: &NodeAddress,
        task: &TaskSpec,
        data: &str,
    ) -> Result<Outputs, StepError> {
        self.effects.platform.run_task(&node.into(), task, self.secrets).await?;
        let copy = self.look(node, data).await?;
        if copy.copied.is_none() {
            return Err(MariadbError::NoPosition(node.clone()).into());
        }
        match copy.lineage {
            Some(lineage) => identified(&lineage, node),
            None => Ok(Outputs::default()),
        }
    }

    /// Starts a server that takes no writes where it is down, and lets it follow another one from where its data is.
    pub(super) async fn join(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        upstream: &Server,
    ) -> Result<(), StepError> {
        self.effects
            .platform
            .ensure(&(&server.node).into(), instance, self.secrets)
            .await?;
        let mut follower = self.ready(server, Some(Activity::Closed)).await?;
        let from = self.start_position(&mut follower, &instance.data).await?;
        let login = Login {
            user: REPLICATION_USER,
            password: self.stream_password(instance)?,
        };
        let mut above = self.session(upstream).await?;
        let limit = self.effects.limits.streaming;
        stream::follow(
            &mut follower,
            &mut above,
            &upstream.place.peers,
            login,
            from.as_ref(),
            limit,
        )
        .await?;
        Ok(())
    }

    /// Starts a server where it is down. One that follows another one goes on with that.
    pub(super) async fn start(&self, instance: &InstanceSpec, server: &Server, follows: bool) -> Result<(), StepError> {
        self.effects
            .platform
            .ensure(&(&server.node).into(), instance, self.secrets)
            .await?;
        let expected = if follows { Activity::Closed } else { Activity::Writes };
        let mut connection = self.ready(server, Some(expected)).await?;
        if follows && !observe::streams(&mut connection).await?.is_empty() {
            connection.execute("start the stream", "START SLAVE").await?;
        }
        Ok(())
    }

    pub(super) async fn wait_streaming(&self, server: &Server, upstream: &Server) -> Result<(), StepError> {
        let mut follower = self.session(server).await?;
        let mut above = self.session(upstream).await?;
        let limit = self.effects.limits.streaming;
        stream::wait_streaming(&mut follower, &mut above, &upstream.place.peers, limit).await?;
        Ok(())
    }

    /// Writes the files of a server that runs, and gives it what they say.
    pub(super) async fn configure(&self, instance: &InstanceSpec, server: &Server) -> Result<(), StepError> {
        self.effects
            .platform
            .ensure(&(&server.node).into(), instance, self.secrets)
            .await?;
        let mut connection = self.ready(server, None).await?;
        self.effects.grant.check().await?;
        let declared = instance.files.get(CONF).map(settings::declared).unwrap_or_default();
        let problems = settings::apply(&mut connection, &declared).await?;
        if problems.is_empty() {
            return Ok(());
        }
        let node = server.node.clone();
        Err(MariadbError::Settings { node, problems }.into())
    }

    pub(super) async fn ready(&self, server: &Server, expected: Option<Activity>) -> Result<Connection, MariadbError> {
        let limit = self.effects.limits.ready;
        ready::wait(&*self.effects.platform, server, &self.sessions(), expected, limit).await
    }

    /// Returns the position that a server follows from which follows nobody yet: that of its own log, or of the copy that its data is. A server
    /// that crashed has given up the end of its log while it started, so the server is asked and not its files. Absent where it has a
    /// stream, which has a position of its own.
    async fn start_position(&self, follower: &mut Connection, data: &str) -> Result<Option<GtidPosition>, StepError> {
        let facts = observe::snapshot(follower, &Known::new()).await?;
        if !facts.streams.is_empty() {
            return Ok(None);
        }
        let node = follower.node();
        let path = self.effects.platform.files(&node.into(), data).await?;
        let copied = spawn_blocking(move || offline::copied(&path)).await;
        let copied = copied.expect("reading files does not panic");
        let copied = copied.map_err(|source| MariadbError::Offline {
            node: node.clone(),
            source,
        })?;
        match copied {
            Some(copied) if !reaches(&facts.logged, &copied) => Ok(Some(copied)),
            None if facts.logged.is_empty() => Err(MariadbError::NoPosition(node.clone()).into()),
            _ => Ok(Some(facts.logged)),
        }
    }

    /// Reads what data says without its server.
    pub(super) async fn look(&self, node: &NodeAddress, data: &str) -> Result<DataFacts, StepError> {
        let path = self.effects.platform.files(&node.into(), data).await?;
        let read = spawn_blocking(move || offline::read(&path)).await;
        let read = read.expect("reading files does not panic");
        Ok(read.map_err(|source| MariadbError::Offline {
            node: node.clone(),
            source,
        })?)
    }
}

/// Returns whose data a server has; data that was just made gets its name here. It is written to the log, so that no position of the cluster
/// is ever empty: a server that streams from nowhere would begin at the beginning.
async fn identify(connection: &mut Connection) -> Result<String, MariadbError> {
    const DOING: &str = "name the data";
    if let Some(lineage) = observe::snapshot(connection, &Known::new()).await?.lineage {
        return Ok(lineage);
    }
    let name = password::generate()
        .map_err(|error| connection.failure(DOING, Cause::Answer(format!("no random source: {error}"))))?;
    let name = name.expose().clone();
    let comment = literal(&format!("{LINEAGE}{name}"));
    for statement in [
        format!("CREATE DATABASE IF NOT EXISTS {DATABASE} COMMENT {comment}"),
        format!("ALTER DATABASE {DATABASE} COMMENT {comment}"),
    ] {
        connection.execute(DOING, &statement).await?;
    }
    Ok(name)
}

fn identified(lineage: &str, node: &NodeAddress) -> Result<Outputs, StepError> {
    let identity: Result<DataIdentity, _> = lineage.parse();
    let identity = identity.map_err(|error| MariadbError::Query {
        doing: "read whose data it is".to_owned(),
        node: node.clone(),
        cause: Cause::Answer(error.to_string()),
    })?;
    Ok(Outputs {
        identity: Some(identity),
        ..Outputs::default()
    })
}
