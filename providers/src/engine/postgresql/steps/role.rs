//! The steps of a role change.

use futures_util::future::try_join_all;
use simdb_planner::observed::ControlData;
use simdb_planner::plan::{Evidence, FenceMethod, Handover, Server};
use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::lsn::Lsn;
use simdb_state::object::{FenceProof, Loss, Switch, Verdict, Witness};
use simdb_state::sensitive::Secrets;
use tokio::time::timeout;

use super::identified;
use crate::effects::{ProviderEffects, StepError};
use crate::engine::postgresql::{
    PostgresqlError, control, observe, obstacle, promotion, replication, restart_point, settings,
};
use crate::platform::{PlatformError, StopMode};

/// What a step that fences needs to know.
pub(super) struct Fence<'a> {
    pub(super) server: &'a Server,
    pub(super) version: u16,
    pub(super) data: Option<&'a str>,
    pub(super) seal: Option<&'a TaskSpec>,
}

impl ProviderEffects {
    pub(super) async fn fence(
        &self,
        fence: &Fence<'_>,
        method: FenceMethod,
        secrets: &Secrets,
    ) -> Result<Outputs, StepError> {
        let node = &fence.server.node;
        let witness = match method {
            FenceMethod::ShutDown => self.shut_down(fence.server, secrets).await?,
            FenceMethod::Kill => self.platform.stop(&node.into(), StopMode::Immediate).await?,
            FenceMethod::Attested => self.condemn(node, Witness::NodeFenced).await?,
            FenceMethod::Waived => self.condemn(node, Witness::Waived).await?,
        };
        if let Some(seal) = fence.seal {
            self.platform.run_task(&node.into(), seal, secrets).await?;
        }
        let proof = match (method, fence.data) {
            (FenceMethod::ShutDown, Some(data)) => {
                let control = self.shut_down_data(node, fence.version, data, secrets).await?;
                FenceProof::ShutDown {
                    checkpoint: control.checkpoint.into(),
                }
            }
            _ => FenceProof::Killed,
        };
        Ok(Outputs {
            proof: Some(proof),
            witness: Some(witness),
            ..Outputs::default()
        })
    }

    /// Leaves a node to its platform that cannot be reached: what a person answers for takes the place of a proof.
    async fn condemn(&self, node: &NodeAddress, witness: Witness) -> Result<Witness, StepError> {
        self.platform.condemn(&node.into()).await?;
        Ok(witness)
    }

    /// Makes sure, before anything is stopped, that the standby that takes over receives and replays what the primary
    /// writes. Writes would wait for a stream that is cut, or a replay that is held up, until the lead is taken back.
    pub(super) async fn hand_over(&self, handover: &Handover, secrets: &Secrets) -> Result<(), StepError> {
        let primary = self.open(&handover.primary, secrets).await?;
        // Its record has to arrive, also where nobody writes.
        promotion::checkpoint(&primary).await?;
        let position = observe::snapshot(&primary).await?.facts.position;
        // What a platform looks at before the first change of a node is looked at while there are writes.
        drop(self.platform.hold(&(&handover.successor.node).into()).await?);
        let successor = self.open(&handover.successor, secrets).await?;
        match replication::wait_replayed(&successor, position, self.limits.handover).await {
            Err(lacks @ PostgresqlError::Lacks { .. }) => Err(StepError::from(PostgresqlError::HeldUp {
                node: handover.successor.node.clone(),
                obstacles: obstacle::obstacles(&handover.successor, position, &self.sessions(secrets)).await,
                lacks: Box::new(lacks),
            })),
            result => Ok(result?),
        }
    }

    /// Shuts a server down in order. One that hangs is killed, so that it can be started again at once: its sessions are
    /// gone anyway, and a server that was told to shut down cannot be told otherwise.
    async fn shut_down(&self, server: &Server, secrets: &Secrets) -> Result<Witness, StepError> {
        // The checkpoint of the shutdown, for which writes wait, has little left to do then. A server that is down
        // already needs none.
        if let Ok(connection) = self.open(server, secrets).await {
            promotion::checkpoint(&connection).await?;
        }
        let (limit, directory) = (self.limits.shutdown, (&server.node).into());
        if let Ok(stopped) = timeout(limit, self.platform.stop(&directory, StopMode::Fast)).await {
            return Ok(stopped?);
        }
        self.platform.stop(&directory, StopMode::Immediate).await?;
        Err(StepError::Hung {
            node: server.node.clone(),
            limit,
        })
    }

    async fn shut_down_data(
        &self,
        node: &NodeAddress,
        version: u16,
        data: &str,
        secrets: &Secrets,
    ) -> Result<ControlData, StepError> {
        let control = self.control_data(node, version, data, secrets).await?;
        if control.state == "shut down" {
            return Ok(control);
        }
        Err(StepError::NotShutDown {
            node: node.clone(),
            state: control.state,
        })
    }

    pub(super) async fn promote(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        survivors: &[Server],
        evidence: &Evidence,
        secrets: &Secrets,
    ) -> Result<Outputs, StepError> {
        let connection = self.open(server, secrets).await?;
        // The first commit must wait for standbys already. Whatever keeps the server from writing stays until it writes:
        // started again in between, it must still replay. Its files are written while the former primary is asked: there are no writes then.
        let mut sealed = instance.clone();
        sealed.present.append(&mut sealed.absent);
        let directory = (&server.node).into();
        let ((verdict, last_record), ()) = tokio::try_join!(self.verdict(evidence, secrets), async {
            Ok(self.platform.ensure(&directory, &sealed, secrets).await?)
        })?;
        let replays = promotion::replays(&connection).await?;
        if replays {
            match (last_record, &verdict) {
                (Some(checkpoint), _) => {
                    // The position is where the record begins.
                    let past = Lsn(checkpoint.0 + 1);
                    replication::wait_replayed(&connection, past, self.limits.shutdown).await?;
                    restart_point::check(&connection).await?;
                }
                // Others are known to have more, and this one was chosen all the same.
                (None, Verdict::Unknown(Loss(Some(_)))) => {}
                (None, _) => promotion::most_advanced(&connection, survivors, &self.sessions(secrets)).await?,
            }
        }
        settings::reload(&connection).await?;
        if replays {
            // Two may never write. A run that was halted right before it promotes another one holds that one's instance directory: so it
            // is waited for here, and looked what came of it, and it finds the lock lost when it goes on.
            let nodes = survivors.iter().chain([server]).map(|server| &server.node);
            let held = try_join_all(nodes.map(async |node| self.platform.hold(&node.into()).await)).await?;
            promotion::only_writer(&connection, survivors, &self.sessions(secrets)).await?;
            self.grant.check().await?;
            promotion::promote(&connection, self.limits.ready).await?;
            drop(held);
        }
        let (timeline, point) = promotion::switch_point(&connection).await?;
        self.platform.ensure(&directory, instance, secrets).await?;
        Ok(Outputs {
            switch: Some(Box::new(Switch {
                timeline: Some(timeline),
                point: point.into(),
                verdict,
            })),
            ..Outputs::default()
        })
    }

    /// Returns what is known of the acknowledged writes, by the former primary's own account where it was shut down in order: then with
    /// its last record.
    async fn verdict(&self, evidence: &Evidence, secrets: &Secrets) -> Result<(Verdict, Option<Lsn>), StepError> {
        match evidence {
            Evidence::ShutDown { node, version, data } => {
                let control = self.shut_down_data(node, *version, data, secrets).await?;
                let checkpoint = control.checkpoint.into();
                Ok((Verdict::Proven { checkpoint }, Some(control.checkpoint)))
            }
            Evidence::Verdict(verdict) => Ok((verdict.clone(), None)),
        }
    }

    pub(super) async fn rewind(
        &self,
        node: &NodeAddress,
        task: &TaskSpec,
        data: &str,
        source: &Server,
        secrets: &Secrets,
    ) -> Result<Outputs, StepError> {
        let version = version_of(node, task)?;
        let connection = self.open(source, secrets).await?;
        promotion::checkpoint(&connection).await?;
        let rewound = self.platform.run_task(&node.into(), task, secrets).await;
        rewound.map_err(|error| match error {
            PlatformError::NotPrinted { .. } => StepError::NotRewound(node.clone()),
            error => error.into(),
        })?;
        let control = self.control_data(node, version, data, secrets).await?;
        Ok(identified(control.system_identifier))
    }

    pub(super) async fn control_data(
        &self,
        node: &NodeAddress,
        version: u16,
        data: &str,
        secrets: &Secrets,
    ) -> Result<ControlData, StepError> {
        let printed = self
            .platform
            .run_task(&node.into(), &control::task(version, data), secrets)
            .await?;
        control::parse(&printed).map_err(|source| StepError::Control {
            node: node.clone(),
            source,
        })
    }
}

/// Returns the version of the engine whose programs a task runs.
pub(super) fn version_of(node: &NodeAddress, task: &TaskSpec) -> Result<u16, StepError> {
    let command = task.commands.first();
    command
        .map(|command| command.version)
        .ok_or_else(|| StepError::EmptyTask(node.clone()))
}
