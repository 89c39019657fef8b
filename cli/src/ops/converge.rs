//! From a request to clusters that match it: look, plan, show, get approval, lock, run, look again.
//!
//! ```text
//!   approved beforehand   lock ─► look and plan ─► run
//!   a person is asked     look and plan ─► ask ─► lock ─► look and plan: still the same? ─► run
//!                              ▲                                          │ no: unlock
//!                              └──────────────────────────────────────────┘
//! ```
//!
//! A plan that was saved is approved beforehand: it runs where nothing that it changes has moved since.
//!
//! The lock is about everything while a plan is made, and about the clusters that it changes while it runs: what others do with other
//! clusters goes on. A lost primary is more urgent than a plan of its cluster: where a monitor fails over, the lock is taken over.
//!
//! The lock is not held while a person reads a plan, so a plan that waits for its approval holds up no other run. What was approved
//! is what runs: a plan that became another one meanwhile is shown and approved anew. A role change that did not come to its end goes
//! on inside the same approval, as long as that covers its impact.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use simdb_planner::config::Config;
use simdb_planner::diagnostic::Diagnostic;
use simdb_planner::plan::{Impact, Plan};
use simdb_planner::planner::Proposal;
use simdb_planner::planner::scope::Scope;
use simdb_providers::executor;
use simdb_state::relocation::Move;
use simdb_state::sensitive::Secrets;
use simdb_state::store::{FORMAT, Snapshot, Store, Upgrade, Writer};

use super::{
    Known, Planned, Site, World, apply, beforehand, believe, estimates, locking, plan, record_noticed, record_outputs,
    refresh, refresh_cluster, relocate, settle,
};
use crate::approval::{self, Approval, Policy};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::policy;
use crate::request::{self, Continuation, Request};
use crate::saved::SavedPlan;
use crate::session::{self, Project};
use crate::ui::Ui;
use crate::views::doc::{DiagnosticDoc, Operation, OutcomeDoc};
use crate::views::operation::View;

/// After how long a person who waits for a lock is told so.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a request at least waits for the failover that took its lock over while it was being planned.
const PREEMPTED: Duration = Duration::from_mins(1);

/// How often a role change that does not come to its end is planned anew inside one approval.
const ROUNDS: usize = 3;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal<'a> {
    /// What the command is called.
    pub(crate) operation: Operation,
    /// What is asked for beside the configuration.
    pub(crate) request: &'a Request<'a>,
    /// The configuration.
    pub(crate) config: &'a Config,
}

/// On which terms it is done.
#[derive(Clone, Debug)]
pub(crate) struct Terms<'a> {
    /// What judges a plan before it is approved.
    pub(crate) policy_command: Option<&'a str>,
    /// What may run without a question.
    pub(crate) policy: Policy,
    /// Whether servers are looked at; else the record is believed.
    pub(crate) refresh: bool,
    /// How steps run.
    pub(crate) steps: executor::Terms,
    /// How long to wait for the lock of the state.
    pub(crate) lock_timeout: Duration,
}

/// What became of a request.
#[derive(Debug)]
pub(crate) enum End {
    /// Everything that could be compared is as it was asked for.
    Reached {
        /// What is wrong with the outputs, which are recorded.
        outputs: Vec<Diagnostic>,
        /// Whether an apply left nothing that it could not compare and that no step was about.
        complete: bool,
    },
    /// The role change failed, and the former primary leads again.
    TakenBack,
    /// The plan has errors, which were shown.
    Refused(Vec<DiagnosticDoc>),
    /// The plan was not approved, or a step failed: all of it was shown.
    Failed,
}

/// One request on its way.
pub(crate) struct Converge<'a> {
    /// Where it is made.
    pub(crate) project: &'a Project,
    /// The record.
    pub(crate) store: &'a Store,
    /// What is asked for.
    pub(crate) goal: Goal<'a>,
    /// The plan that was reviewed and saved, where that is what runs.
    pub(crate) saved: Option<&'a SavedPlan>,
    /// On which terms.
    pub(crate) terms: Terms<'a>,
    /// Where a person reads and answers.
    pub(crate) ui: &'a Arc<Ui>,
    /// How plans and outcomes are shown.
    pub(crate) view: &'a View,
    /// How it is broken off.
    pub(crate) interrupt: &'a Interrupt,
}

/// The record at one moment, and what is asked of it.
struct Moment {
    /// With all that moves where it moves to.
    snapshot: Snapshot,
    secrets: Secrets,
    /// What moves.
    moves: Vec<Move>,
}

impl Moment {
    fn known<'a>(&'a self, config: &'a Config, scope: &'a Scope) -> Known<'a> {
        Known {
            config,
            recorded: &self.snapshot.state,
            unfinished: self.snapshot.unfinished.as_ref(),
            secrets: &self.secrets,
            moves: &self.moves,
            scope,
        }
    }
}

/// What a person said of a plan.
enum Review {
    /// There is nothing left to do.
    Ended(End),
    /// This plan, and no other one, may run.
    Approved(Plan),
}

impl Converge<'_> {
    /// Does what is asked for, and returns what became of it.
    pub(crate) async fn run(&self) -> Result<End, CliError> {
        let mut timeout = self.terms.lock_timeout;
        loop {
            let approved = if self.terms.policy.auto_approve || self.saved.is_some() {
                None
            } else {
                match self.review().await? {
                    Review::Ended(end) => return Ok(end),
                    Review::Approved(plan) => Some(plan),
                }
            };
            let mut writer = self.unless_interrupted(self.lock(timeout)).await??;
            let recorded = self.moment().await?.snapshot.state;
            let site = self.project.site(&writer, &recorded, &self.goal.config.desired);
            let losing = writer.losing();
            let worked = {
                let work = Box::pin(self.locked(&site, &mut writer, approved.as_ref()));
                tokio::select! {
                    result = work => Some(result),
                    () = losing => None,
                }
            };
            let result = match worked {
                Some(result) => result,
                None => Err(writer.lost().await.into()),
            };
            if let Err(error) = &result
                && let Some(error) = error.preempted()
                && !writer.has_run()
                // A monitor decides anew.
                && self.goal.request.decided_on().is_none()
            {
                self.ui.tell(&format!(
                    "\nNothing was changed yet, and {error}. simdb waits for that, and plans anew.\n\n"
                ));
                timeout = timeout.max(PREEMPTED);
                continue;
            }
            let unlocked = writer.unlock().await;
            let end = result?;
            unlocked?;
            if let Some(end) = end {
                return Ok(end);
            }
            self.ui
                .tell("\nThe plan became another one while it was read. It is shown anew.\n\n");
        }
    }

    /// Plans, shows, and asks. Holds no lock, and writes nothing.
    async fn review(&self) -> Result<Review, CliError> {
        let moment = self.moment().await?;
        let scope = self.goal.request.scope();
        let known = moment.known(self.goal.config, &scope);
        let proposal = self.goal.request.proposal(known.recorded)?;
        let desired = &self.goal.config.desired;
        let platforms = session::platforms(known.recorded, desired);
        let world = self
            .project
            .world(Some(self.store.lineage()), &desired.local, platforms);
        let planned = self
            .unless_interrupted(self.plan(&world, &known, proposal.as_ref()))
            .await??;
        self.show(&planned);
        if planned.is_broken() {
            return Ok(Review::Ended(End::Refused(planned.document.diagnostics)));
        }
        if !planned.plan.is_empty() && !self.approved(&planned).await? {
            return Ok(Review::Ended(self.cancelled()));
        }
        Ok(Review::Approved(planned.plan))
    }

    /// Plans and runs; no other process changes the record meanwhile. Returns nothing where the plan is no longer the one that
    /// was approved.
    async fn locked(&self, site: &Site, writer: &mut Writer, reviewed: Option<&Plan>) -> Result<Option<End>, CliError> {
        let recorded = self.moment().await?.snapshot.state;
        self.goal.request.confirm(&recorded)?;
        let mut proposal = self.goal.request.proposal(&recorded)?;
        let scope = self.goal.request.scope();
        let mut approved: Option<Impact> = None;
        // What was asked for did not happen, however well it was taken back.
        let mut went_back = false;
        for round in 0..ROUNDS {
            let moment = self.moment().await?;
            let known = moment.known(self.goal.config, &scope);
            let saved = self.saved.filter(|_| round == 0);
            if let Some(saved) = saved {
                saved.check_record(known.recorded)?;
            }
            let mut planned = self
                .unless_interrupted(self.plan(&site.world, &known, proposal.as_ref()))
                .await??;
            if let Some(saved) = saved.filter(|_| !planned.is_broken()) {
                saved.check_world(&planned.plan)?;
                planned.replace(saved);
            }
            let reviewed = reviewed.filter(|_| round == 0);
            if reviewed.is_some_and(|plan| *plan != planned.plan) {
                return Ok(None);
            }
            record_noticed(&planned, writer).await?;
            if reviewed.is_none() && (saved.is_none() || planned.is_broken()) {
                self.show(&planned);
            }
            if planned.is_broken() {
                return Ok(Some(End::Refused(planned.document.diagnostics)));
            }
            if planned.plan.is_empty() {
                if known.unfinished.is_some() {
                    settle(&planned, writer).await?;
                }
                return Ok(Some(self.reached(&planned, &known, writer).await?));
            }
            let covered = reviewed.is_some() || approved.is_some_and(|impact| planned.plan.impact() <= impact);
            if !covered && !self.approved(&planned).await? {
                return Ok(Some(self.cancelled()));
            }
            approved = Some(planned.plan.impact());
            if !moment.moves.is_empty() {
                writer.relocate(&moment.moves).await?;
            }
            writer.cover(&locking::extent(&planned.plan)).await?;
            // Where nodes are, a monitor knows from the record alone, which others may be writing.
            if self.goal.request.decided_on().is_none() {
                writer.settle(
                    self.project
                        .provider_settings(writer.lineage(), &self.goal.config.desired.local),
                );
            }
            if self.execute(&planned, site, writer).await? {
                let end = self.reached(&planned, &known, writer).await?;
                return Ok(Some(if went_back { End::TakenBack } else { end }));
            }
            let next = request::continuation(&planned.plan, known.recorded, writer.state(), proposal.as_ref());
            let Some(next) = next.filter(|_| round + 1 < ROUNDS && !self.interrupt.finish.is_cancelled()) else {
                break;
            };
            self.ui.tell(&format!("\n{}\n", next.sentence()));
            went_back |= matches!(next, Continuation::GoBack(_));
            proposal = next.proposal().cloned();
        }
        Ok(Some(End::Failed))
    }

    async fn moment(&self) -> Result<Moment, CliError> {
        let mut snapshot = self.store.snapshot().await?;
        let mut secrets = self.store.secrets().await?;
        let desired = &self.goal.config.desired;
        let moves = relocate(self.goal.operation, desired, &mut snapshot.state, &mut secrets);
        Ok(Moment {
            snapshot,
            secrets,
            moves,
        })
    }

    async fn plan(&self, world: &World, known: &Known<'_>, proposal: Option<&Proposal>) -> Result<Planned, CliError> {
        let observed = if let Some((cluster, patience)) = self.goal.request.decided_on() {
            refresh_cluster(world, cluster, known.recorded, known.secrets, patience).await
        } else if self.terms.refresh {
            refresh(world, &known.config.desired, known.recorded, known.secrets).await
        } else {
            believe(world, &known.config.desired, known.recorded).await
        };
        let mut planned = plan(self.goal.operation, known, &observed, proposal, &self.project.source);
        if self.terms.refresh {
            beforehand::check(world, known, &observed, &mut planned).await;
        }
        planned
            .document
            .estimate(&estimates(&planned.plan, Some(self.store)).await?);
        Ok(planned)
    }

    fn show(&self, planned: &Planned) {
        self.view.plan(&planned.document);
        self.view.diagnostics(&planned.document.diagnostics);
    }

    fn cancelled(&self) -> End {
        let title = self.goal.operation.title();
        self.ui.tell(&format!("\n{title} cancelled.\n"));
        End::Failed
    }

    /// Takes the lock, and says so where that takes a while.
    async fn lock(&self, timeout: Duration) -> Result<Writer, CliError> {
        let (operation, request) = (self.goal.operation.name(), self.goal.request);
        let mut lock = Box::pin(locking::take(self.store, operation, request, timeout));
        let patient = tokio::time::timeout(PATIENCE, &mut lock).await;
        let writer = if let Ok(locked) = patient {
            locked?
        } else {
            self.ui.tell("Waiting for the lock of the state...\n");
            lock.await?
        };
        if let Some(Upgrade { from, copy: Some(copy) }) = writer.upgrade() {
            self.ui.tell(&format!(
                "The state had format {from}, and has format {FORMAT} now. A copy as it was: {}\n",
                copy.display()
            ));
        }
        Ok(writer)
    }

    async fn approved(&self, planned: &Planned) -> Result<bool, CliError> {
        self.goal.request.permit(&planned.plan, self.goal.config)?;
        if let Some(command) = self.terms.policy_command {
            let judged = policy::judge(command, &planned.document, self.ui);
            self.unless_interrupted(judged).await??;
        }
        if self.terms.policy.judge(&planned.document)? == Approval::Given {
            return Ok(true);
        }
        let (ui, document) = (Arc::clone(self.ui), planned.document.clone());
        let workspace = self.project.workspace().clone();
        // A person may never answer: the question must not keep the program from ending.
        let asked = tokio::task::spawn_blocking(move || approval::ask(&ui, &workspace, &document));
        self.unless_interrupted(asked)
            .await?
            .expect("asking neither panics nor is aborted")
    }

    /// Runs a plan, and returns whether all of it is done.
    async fn execute(&self, planned: &Planned, site: &Site, writer: &mut Writer) -> Result<bool, CliError> {
        if matches!(self.goal.request, Request::Import { .. })
            && let Some(copy) = writer.back_up().await?
        {
            self.ui
                .tell(&format!("A copy of the state as it was: {}\n", copy.display()));
        }
        let progress = self.view.progress(&planned.document.steps);
        let (terms, cancel) = (&self.terms.steps, &self.interrupt.finish);
        let outcome = apply(planned, site, writer, &*progress, terms, cancel).await?;
        drop(progress);
        let outcome = OutcomeDoc::new(self.goal.operation, &planned.plan, &outcome, writer.state());
        self.view.outcome(&outcome);
        Ok(outcome.is_complete())
    }

    /// Other commands than an apply were asked for something else than to compare everything.
    async fn reached(&self, planned: &Planned, known: &Known<'_>, writer: &mut Writer) -> Result<End, CliError> {
        let operation = self.goal.operation;
        // What outputs are made of may be of other clusters, too, which others change meanwhile.
        writer.follow().await?;
        Ok(End::Reached {
            outputs: record_outputs(operation, known, writer).await?,
            complete: !matches!(operation, Operation::Apply | Operation::Refresh) || !planned.document.leaves_unknown(),
        })
    }

    /// Does something unless an interrupt comes first; only for what can be broken off at any point.
    async fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Result<T, CliError> {
        tokio::select! {
            done = work => Ok(done),
            () = self.interrupt.finish.cancelled() => Err(CliError::Interrupted),
        }
    }
}
