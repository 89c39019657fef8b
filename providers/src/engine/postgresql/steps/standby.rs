//! Standbys: started with what the log that they replay asks for, and restarted as declared once it asks for no more.
//!
//! A standby with less than its control data ask for of what replay depends on does not start, and one that meets such log
//! pauses its replay (`simdb_planner::engine::postgresql::replay`). Few ask for more than is declared: so a standby is started as
//! declared, and its control data are read where it ends. One that still needs more when its time is over keeps it: the next plan sees
//! that it has another setting than is declared.

use std::time::{Duration, Instant};

use simdb_planner::engine::postgresql::replay::{self, ReplayLimits};
use simdb_planner::observed::ReceiverFacts;
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::instance::InstanceSpec;
use simdb_state::sensitive::Secrets;
use tokio::time::sleep;

use crate::effects::{ProviderEffects, StepError};
use crate::engine::postgresql::connection::Connection;
use crate::engine::postgresql::ruin::Since;
use crate::engine::postgresql::{Activity, observe, ready};
use crate::platform::StopMode;

/// How often the control data of a standby are read that replays towards asking for less.
const POLL: Duration = Duration::from_millis(50);

/// How long a standby may come without a stream before nothing more is expected of its replay.
const STREAM_GRACE: Duration = Duration::from_secs(2);

/// What a standby streams from, and under which name; absent where the step does not wait for its stream.
type From<'a> = Option<(&'a Server, &'a str)>;

impl ProviderEffects {
    /// Starts a standby where it is down, and waits until it lets simdb in and streams.
    pub(crate) async fn start_standby(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        from: From<'_>,
        secrets: &Secrets,
    ) -> Result<(), StepError> {
        self.start_fitting(instance, instance.clone(), server, from, secrets)
            .await
    }

    /// Starts a standby with what it is known to need, and restarts it as declared where that is enough by then.
    async fn start_fitting(
        &self,
        instance: &InstanceSpec,
        fitted: InstanceSpec,
        server: &Server,
        from: From<'_>,
        secrets: &Secrets,
    ) -> Result<(), StepError> {
        let standby = self.bring_up(instance, fitted, server, from, secrets).await?;
        let has = observe::snapshot(&standby).await?.facts.configured;
        let declared = ReplayLimits::of_instance(instance);
        let is_settled = !ReplayLimits::of(instance.command.version, &has).exceeds(&declared);
        if is_settled || !self.asks_for_no_more(instance, &standby, secrets).await? {
            return Ok(());
        }
        drop(standby);
        self.platform.stop(&(&server.node).into(), StopMode::Fast).await?;
        self.bring_up(instance, instance.clone(), server, from, secrets)
            .await
            .map(drop)
    }

    /// Stops a standby, and starts it with what it is to have. One that streams is first given time to replay that less is
    /// enough.
    pub(crate) async fn restart_standby(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        from: From<'_>,
        secrets: &Secrets,
    ) -> Result<(), StepError> {
        // It may be where it was, and not where it is about to listen. What keeps it from telling keeps it from nothing here: it is
        // stopped next.
        let is_enough = match self.open(server, secrets).await {
            Ok(standby) => self
                .asks_for_no_more(instance, &standby, secrets)
                .await
                .unwrap_or_default(),
            Err(_) => false,
        };
        self.platform.stop(&(&server.node).into(), StopMode::Fast).await?;
        let fitted = if is_enough {
            instance.clone()
        } else {
            self.fitted(instance, server, secrets).await
        };
        self.start_fitting(instance, fitted, server, from, secrets).await
    }

    async fn bring_up(
        &self,
        instance: &InstanceSpec,
        mut fitted: InstanceSpec,
        server: &Server,
        from: From<'_>,
        secrets: &Secrets,
    ) -> Result<Connection, StepError> {
        let (directory, limit) = ((&server.node).into(), self.limits.ready);
        let standby = loop {
            let since = Since::now(&*self.platform, &server.node).await;
            self.platform.ensure(&directory, &fitted, secrets).await?;
            let expected = Activity::Replays;
            let error = match ready::wait(
                &*self.platform,
                server,
                &self.sessions(secrets),
                expected,
                Some(&since),
                limit,
            )
            .await
            {
                Ok(standby) => break standby,
                Err(error) => error,
            };
            // Its control data, or log that it met on its way, may have asked for more, and then it ended.
            let again = self.fitted(instance, server, secrets).await;
            if again == fitted {
                return Err(error.into());
            }
            fitted = again;
        };
        if let Some((upstream, name)) = from {
            self.wait_streaming(upstream, &standby, name, secrets).await?;
        }
        Ok(standby)
    }

    /// Returns a standby with what its control data ask for. Data that has none is started as it is: its server says what is
    /// wrong, and then another copy is made.
    async fn fitted(&self, instance: &InstanceSpec, server: &Server, secrets: &Secrets) -> InstanceSpec {
        match self.needed(instance, &server.node, secrets).await {
            Ok(needed) => replay::fit(instance, &needed),
            Err(_) => instance.clone(),
        }
    }

    /// Waits until the control data of a standby ask for no more than it is declared with, and returns whether they do.
    async fn asks_for_no_more(
        &self,
        instance: &InstanceSpec,
        standby: &Connection,
        secrets: &Secrets,
    ) -> Result<bool, StepError> {
        let declared = ReplayLimits::of_instance(instance);
        let started = Instant::now();
        let mut streamed = started;
        while self.needed(instance, standby.node(), secrets).await?.exceeds(&declared) {
            let facts = observe::snapshot(standby).await?.facts;
            let streams = |receiver: &ReceiverFacts| receiver.status == "streaming";
            if facts.receiver.as_ref().is_some_and(streams) {
                streamed = Instant::now();
            }
            let paused = facts.replay_paused;
            if paused || streamed.elapsed() > STREAM_GRACE || started.elapsed() > self.limits.streaming {
                return Ok(false);
            }
            sleep(POLL).await;
        }
        Ok(true)
    }

    /// Returns what the control data of a standby ask for.
    async fn needed(
        &self,
        instance: &InstanceSpec,
        node: &NodeAddress,
        secrets: &Secrets,
    ) -> Result<ReplayLimits, StepError> {
        let version = instance.command.version;
        let control = self.control_data(node, version, &instance.data, secrets).await?;
        Ok(control.limits)
    }
}
