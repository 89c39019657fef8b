//! Carries a decision or an order out, as the command of that name would: the same plan, the same lock, the same run.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use simdb_planner::plan::Impact;
use simdb_planner::watch::{Decision, Subject};
use simdb_providers::executor;
use simdb_state::lock::Owner;
use simdb_state::name::ClusterName;
use simdb_state::object::Term;
use simdb_state::store::Store;
use tokio::runtime::Handle;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::order::{Errand, Order, Ordered};
use super::outcome::Outcome;
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

/// What is carried out.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// The monitor decided it.
    Decided(Decided),
    /// A person asked for it.
    Ordered(Ordered),
}

impl Work {
    pub(super) fn cluster(&self) -> &ClusterName {
        match self {
            Work::Decided(decided) => &decided.cluster,
            Work::Ordered(ordered) => &ordered.cluster,
        }
    }

    /// Returns what it is about.
    pub(super) fn subject(&self) -> Subject {
        match self {
            Work::Decided(decided) => decided.decision.subject(),
            Work::Ordered(ordered) => ordered.order.subject(),
        }
    }

    /// Returns whether it changes who leads, and no new primary leads yet; given the last election when it began, and the present
    /// one where its winner leads.
    pub(super) fn has_no_primary_yet(&self, began: Option<Term>, settled: Option<Term>) -> bool {
        // Before its own election is held, the winner of the one before is the primary that was lost.
        let elects = settled.is_none() || settled == began;
        match self {
            Work::Decided(decided) => match decided.decision {
                Decision::Elect { .. } | Decision::GoBack { .. } => elects,
                Decision::Finish { .. } => settled.is_none(),
                _ => false,
            },
            Work::Ordered(ordered) => match ordered.order {
                Order::Switchover { .. } | Order::Failover { .. } => elects,
                Order::Restart { .. } | Order::Resync { .. } => false,
            },
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Decided(decided) => decided.decision.fmt(f),
            Work::Ordered(ordered) => ordered.order.fmt(f),
        }
    }
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

/// Begins to carry something out, on a thread of its own: planning must not make the watcher late.
pub(super) fn begin(ground: Ground, work: Work, interrupt: Interrupt) -> JoinHandle<Outcome> {
    let handle = Handle::current();
    spawn_blocking(move || {
        handle.block_on(async {
            tokio::select! {
                outcome = carry_out(&ground, &work, &interrupt) => outcome,
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

async fn carry_out(ground: &Ground, work: &Work, interrupt: &Interrupt) -> Outcome {
    let ordered = match work {
        Work::Decided(decided) => {
            let errand = Errand {
                operation: operation(&decided.decision),
                request: Request::Decided(decided),
                // What may run is judged step by step, by the policy of the cluster.
                allow: Some(Impact::DataLoss),
            };
            return outcome(converge(ground, &errand, interrupt).await);
        }
        Work::Ordered(ordered) => ordered,
    };
    let words = ordered.words();
    let mut first = None;
    let mut interrupt = interrupt.clone();
    // What was stopped is started again, whatever came of the first half, and also where the monitor is told to end meanwhile.
    for errand in ordered.errands(&words) {
        let outcome = outcome(converge(ground, &errand, &interrupt).await);
        interrupt.finish = CancellationToken::new();
        if !matches!(outcome, Outcome::Done) {
            first.get_or_insert(outcome);
        }
    }
    first.unwrap_or(Outcome::Done)
}

fn outcome(end: Result<End, CliError>) -> Outcome {
    match end {
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

async fn converge(ground: &Ground, errand: &Errand<'_>, interrupt: &Interrupt) -> Result<End, CliError> {
    let snapshot = ground.store.snapshot().await?;
    let mut config = Project::recorded(&snapshot);
    session::keep_providers(&mut config.desired, &snapshot);
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
            operation: errand.operation,
            request: &errand.request,
            config: &config,
        },
        saved: None,
        terms: Terms {
            policy_command: None,
            policy: Policy {
                auto_approve: true,
                allow: errand.allow,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn decided(decision: Decision) -> Work {
        Work::Decided(Decided {
            cluster: "orders".parse().unwrap(),
            decision,
            term: Some(Term(1)),
            unseen: None,
            stale: Vec::new(),
            yielding: Vec::new(),
        })
    }

    #[test]
    fn a_role_change_is_disturbed_once_its_new_primary_leads_and_not_before() {
        let go_back = decided(Decision::GoBack {
            to: "a".parse().unwrap(),
        });
        let ordered = Work::Ordered(Ordered {
            cluster: "orders".parse().unwrap(),
            order: Order::Switchover { to: None },
            who: "a test".to_owned(),
        });
        for work in [go_back, ordered] {
            let is_kept = |settled| work.has_no_primary_yet(Some(Term(1)), settled);
            assert!(is_kept(Some(Term(1))), "its election is yet to be held");
            assert!(is_kept(None), "the winner does not lead yet");
            assert!(!is_kept(Some(Term(2))));
        }
        assert!(!decided(Decision::Restore).has_no_primary_yet(Some(Term(1)), None));
    }
}
