//! The steps of a role change.

use std::time::Duration;

use simdb_planner::engine::mariadb::facts::End;
use simdb_planner::observed::{Observation, ProcessFacts};
use simdb_planner::plan::{Evidence, FenceMethod, Handover, Server};
use simdb_state::delta::Outputs;
use simdb_state::gtid::GtidPosition;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::object::{FenceProof, Loss, Switch, Verdict, Witness};
use simdb_state::position::Position;
use tokio::time::{sleep, timeout};

use super::{CONF, Driver};
use crate::effects::StepError;
use crate::engine::mariadb::acknowledgement::{self, Acknowledgement};
use crate::engine::mariadb::connection::Connection;
use crate::engine::mariadb::error::Activity;
use crate::engine::mariadb::role::Scheduler;
use crate::engine::mariadb::stream::{self, Received, reaches};
use crate::engine::mariadb::{MariadbError, POLL, ready, role, settings};
use crate::platform::StopMode;

/// Milliseconds from which on a commit waits for an acknowledgement as long as it takes.
const FOR_EVER: u64 = 1 << 62;

impl Driver<'_> {
    pub(super) async fn fence(
        &self,
        server: &Server,
        data: Option<&str>,
        seal: Option<&TaskSpec>,
        method: FenceMethod,
    ) -> Result<Outputs, StepError> {
        let (platform, node) = (&self.effects.platform, (&server.node).into());
        let witness = match method {
            FenceMethod::ShutDown => self.shut_down(server).await?,
            FenceMethod::Kill => platform.stop(&node, StopMode::Immediate).await?,
            FenceMethod::Attested | FenceMethod::Waived => {
                platform.condemn(&node).await?;
                method.attested().expect("a person answers for these")
            }
        };
        if let Some(seal) = seal {
            platform.run_task(&node, seal, self.secrets).await?;
        }
        let proof = match (method, data) {
            (FenceMethod::ShutDown, Some(data)) => FenceProof::ShutDown {
                checkpoint: self.shut_down_data(server, data).await?.into(),
            },
            _ => FenceProof::Killed,
        };
        Ok(Outputs {
            proof: Some(proof),
            witness: Some(witness),
            ..Outputs::default()
        })
    }

    /// Shuts a server down in order, once those that stream from it have received everything. One that hangs is killed, so that it can be
    /// started again at once.
    async fn shut_down(&self, server: &Server) -> Result<Witness, StepError> {
        let (platform, node) = (&self.effects.platform, (&server.node).into());
        let limit = self.effects.limits.shutdown;
        let stopped = timeout(limit, async {
            // A server that is down already, or lets nobody in, is stopped by its platform alone.
            if let Ok(mut connection) = self.session(server).await {
                connection.execute("shut down", "SHUTDOWN WAIT FOR ALL SLAVES").await?;
                while !matches!(
                    platform.inspect(&node).await?,
                    Observation::Absent
                        | Observation::Seen(crate::platform::InstanceFacts {
                            process: ProcessFacts::Down,
                            ..
                        })
                ) {
                    sleep(POLL).await;
                }
            }
            Ok::<_, StepError>(platform.stop(&node, StopMode::Fast).await?)
        });
        if let Ok(stopped) = stopped.await {
            return stopped;
        }
        platform.stop(&node, StopMode::Immediate).await?;
        Err(StepError::Hung {
            node: server.node.clone(),
            limit,
        })
    }

    /// Returns the last transactions of data whose server was shut down in order.
    async fn shut_down_data(&self, server: &Server, data: &str) -> Result<GtidPosition, StepError> {
        let seen = self.look(&server.node, data).await?;
        if seen.end == End::ShutDown {
            return Ok(seen.logged);
        }
        Err(StepError::NotShutDown {
            node: server.node.clone(),
            state: format!("{:?}", seen.end),
        })
    }

    /// Makes sure, before anything is stopped, that the standby that takes over receives and applies what the primary writes.
    pub(super) async fn hand_over(&self, handover: &Handover) -> Result<(), StepError> {
        let mut primary = self.session(&handover.primary).await?;
        let written = acknowledgement::written(&mut primary).await?;
        let mut successor = self.session(&handover.successor).await?;
        stream::drain(&mut successor, &written, self.effects.limits.handover).await?;
        Ok(())
    }

    pub(super) async fn promote(
        &self,
        instance: &InstanceSpec,
        server: &Server,
        survivors: &[Server],
        evidence: &Evidence,
    ) -> Result<Outputs, StepError> {
        let mut connection = self.session(server).await?;
        let limit = self.effects.limits.shutdown;
        let (verdict, last) = match evidence {
            Evidence::ShutDown { node, version: _, data } => {
                let former = Server {
                    node: node.clone(),
                    ..server.clone()
                };
                let last = self.shut_down_data(&former, data).await?;
                let checkpoint: Position = last.clone().into();
                (Verdict::Proven { checkpoint }, Some(last))
            }
            Evidence::Verdict(verdict) => (verdict.clone(), None),
        };
        // One that takes writes already was promoted, and is only recorded.
        if ready::activity(&mut connection).await? == Activity::Closed {
            if let Some(last) = &last {
                stream::drain(&mut connection, last, limit).await?;
            } else if !matches!(verdict, Verdict::Unknown(Loss(Some(_)))) {
                self.most_advanced(&mut connection, survivors).await?;
            }
            stream::end(&mut connection, limit).await?;
            self.effects.grant.check().await?;
            role::open(&mut connection, counting(instance), scheduler(instance), limit).await?;
        }
        self.effects
            .platform
            .ensure(&(&server.node).into(), instance, self.secrets)
            .await?;
        let point = acknowledgement::written(&mut connection).await?.into();
        Ok(Outputs {
            switch: Some(Box::new(Switch {
                timeline: None,
                point,
                verdict,
            })),
            ..Outputs::default()
        })
    }

    /// Freezes all survivors, and makes sure that none has received more than the server that is to lead. Received is what counts: it is
    /// applied before that one leads.
    async fn most_advanced(&self, connection: &mut Connection, survivors: &[Server]) -> Result<(), StepError> {
        let own = match stream::freeze(connection).await? {
            Received::UpTo(own) | Received::AtLeast(own) => own,
        };
        for survivor in survivors {
            let mut other = self.session(survivor).await?;
            let (received, certain) = match stream::freeze(&mut other).await? {
                Received::UpTo(received) => (received, true),
                Received::AtLeast(applied) => (applied, false),
            };
            if !certain || !reaches(&own, &received) {
                return Err(MariadbError::Behind {
                    node: connection.node().clone(),
                    other: survivor.node.clone(),
                    has: own,
                    received,
                    certain,
                }
                .into());
            }
        }
        Ok(())
    }
}

/// Returns what commits of a server wait for, as its file says. Those that acknowledge them follow it once it leads: until then commits wait.
fn counting(instance: &InstanceSpec) -> Option<Acknowledgement> {
    let file = settings::all(instance.files.get(CONF)?);
    is_on(file.get("rpl_semi_sync_master_enabled")).then_some(())?;
    let timeout = file
        .get("rpl_semi_sync_master_timeout")
        .and_then(|value| value.parse().ok());
    Some(Acknowledgement {
        awaited: 0,
        patience: timeout.filter(|timeout| *timeout < FOR_EVER).map(Duration::from_millis),
    })
}

/// Returns whether a server runs events, as its file says.
fn scheduler(instance: &InstanceSpec) -> Scheduler<'static> {
    let file = instance.files.get(CONF).map(settings::all).unwrap_or_default();
    if is_on(file.get("event_scheduler")) {
        Scheduler::Runs(&[])
    } else {
        Scheduler::Off
    }
}

fn is_on(value: Option<&String>) -> bool {
    value.is_some_and(|value| value.eq_ignore_ascii_case("on") || value == "1")
}
