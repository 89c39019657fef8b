//! Carries a decision out, as the command of that name would: the same plan, the same lock, the same run.

use std::sync::Arc;
use std::time::Duration;

use simdb_planner::plan::Impact;
use simdb_planner::watch::Decision;
use simdb_providers::executor;
use simdb_state::lock::Owner;
use simdb_state::name::ClusterName;
use simdb_state::store::Store;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::approval::Policy;
use crate::args::{Folding, Viewing};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::ops::converge::{Converge, End, Goal, Terms};
use crate::request::{Decided, Request};
use crate::session::{self, Project};
use crate::ui::Ui;
use crate::views::doc::{DiagnosticDoc, Operation};
use crate::views::operation::View;

/// How long a run of a monitor waits for the lock of the state. Who holds it longer is at work, and the monitor decides anew.
const LOCK_LIMIT: Duration = Duration::from_secs(1);

/// What came of a decision.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// The planner or the policy refused it; why, in sentences.
    Refused(String),
    /// A step failed, or something in the way; what, where it is known.
    Failed(String),
}

/// Where a monitor works.
#[derive(Clone)]
pub(super) struct Ground {
    pub(super) project: Arc<Project>,
    pub(super) store: Store,
    pub(super) ui: Arc<Ui>,
    pub(super) interrupt: Interrupt,
    /// Whether runs are told as JSON lines.
    pub(super) json: bool,
}

/// Begins to carry a decision out, on a thread of its own: planning must not make the watcher late.
pub(super) fn begin(ground: Ground, decided: Decided, interrupt: Interrupt) -> JoinHandle<Outcome> {
    let handle = Handle::current();
    spawn_blocking(move || {
        handle.block_on(async {
            tokio::select! {
                outcome = carry_out(&ground, &decided, &interrupt) => outcome,
                () = interrupt.stop.cancelled() => {
                    unlock(&ground.store).await;
                    Outcome::Failed("a lost primary was more urgent".to_owned())
                }
            }
        })
    })
}

/// Gives back the lock of a run of this process that was broken off: nobody renews it any more.
async fn unlock(store: &Store) {
    let here = Owner::this_process("monitor", LOCK_LIMIT).place;
    for owner in store.holders().await.unwrap_or_default() {
        if owner.place == here {
            // Where that fails, the next run waits until the lease is over.
            let _ = store.force_unlock(&owner.id).await;
        }
    }
}

async fn carry_out(ground: &Ground, decided: &Decided, interrupt: &Interrupt) -> Outcome {
    match converge(ground, decided, interrupt).await {
        Ok(End::Reached { .. }) => Outcome::Done,
        Ok(End::Refused(diagnostics)) => Outcome::Refused(sentences(&diagnostics)),
        Ok(End::TakenBack) => Outcome::Failed("the former primary could not hand over, and leads on".to_owned()),
        Ok(End::Failed) => Outcome::Failed("a step failed".to_owned()),
        Err(error) => {
            let refused = matches!(error, CliError::Diagnosed(_));
            let words = sentences(&error.into_documents());
            if refused {
                Outcome::Refused(words)
            } else {
                Outcome::Failed(words)
            }
        }
    }
}

fn sentences(diagnostics: &[DiagnosticDoc]) -> String {
    let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
    let told: Vec<String> = errors
        .map(|diagnostic| format!("{}: {}", diagnostic.summary, diagnostic.detail))
        .collect();
    told.join(" ")
}

async fn converge(ground: &Ground, decided: &Decided, interrupt: &Interrupt) -> Result<End, CliError> {
    let snapshot = ground.store.snapshot().await?;
    let mut config = Project::recorded(&snapshot);
    session::keep_providers(&mut config.desired, &snapshot);
    let request = Request::Decided(decided);
    let viewing = Viewing {
        summary: false,
        folding: Folding { expand: false },
        compact_warnings: true,
    };
    let view = View::of_apply(&ground.ui, ground.json, viewing);
    let converge = Converge {
        project: &ground.project,
        store: &ground.store,
        goal: Goal {
            operation: operation(&decided.decision),
            request: &request,
            config: &config,
        },
        saved: None,
        terms: Terms {
            policy_command: None,
            // What may run is judged step by step, by the policy of the cluster.
            policy: Policy {
                auto_approve: true,
                allow: Some(Impact::DataLoss),
                can_ask: false,
            },
            refresh: true,
            steps: executor::Terms::default(),
            lock_timeout: LOCK_LIMIT,
        },
        ui: &ground.ui,
        view: &view,
        interrupt,
    };
    converge.run().await
}

/// Returns the command that would do the same.
fn operation(decision: &Decision) -> Operation {
    match decision {
        Decision::Elect { .. } => Operation::Failover,
        Decision::GoBack { .. } => Operation::Switchover,
        Decision::Rebuild { .. } => Operation::Resync,
        Decision::Fence { .. } => Operation::Stop,
        Decision::Finish { .. }
        | Decision::Restart { .. }
        | Decision::Degrade { .. }
        | Decision::Restore
        | Decision::Pause { .. } => Operation::Apply,
    }
}

/// Returns what a person would type, where a monitor leaves it to one.
pub(super) fn command(cluster: &ClusterName, decision: &Decision) -> String {
    match decision {
        Decision::Elect { .. } => format!("simdb failover {cluster}"),
        Decision::GoBack { to } => format!("simdb switchover {cluster} -to {to}"),
        Decision::Rebuild { node, .. } => format!("simdb resync {cluster} {node}"),
        Decision::Fence { node } => format!("simdb stop {cluster}.{node}"),
        Decision::Pause { .. } => format!("simdb monitor pause {cluster}"),
        Decision::Finish { .. } | Decision::Restart { .. } | Decision::Degrade { .. } | Decision::Restore => {
            "simdb apply".to_owned()
        }
    }
}
