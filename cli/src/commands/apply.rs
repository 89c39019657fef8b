//! `simdb apply`, `destroy`, `stop` and `start`: one plan, made, shown, approved and run under one lock.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use simdb_planner::config::Config;
use simdb_planner::planner::Proposal;
use simdb_state::store::{Store, Writer};

use crate::approval::{self, Approval, Policy};
use crate::args::{Apply, Power};
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt::{self, Interrupt};
use crate::ops::{self, Known, Planned, World};
use crate::session::{Project, block_on};
use crate::target;
use crate::ui::Ui;
use crate::views::doc::{DiagnosticDoc, Operation, OutcomeDoc, StateDoc};
use crate::views::operation::View;

/// After how long somebody who waits for a lock is told so.
const PATIENCE: Duration = Duration::from_secs(1);

/// Makes what runs match the configuration, or removes everything.
pub(super) fn run(operation: Operation, arguments: &Apply, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    begin(operation, arguments, None, ui)
}

/// Makes what runs match the configuration, with servers stopped or started.
pub(super) fn power(operation: Operation, arguments: &Power, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    begin(operation, &arguments.apply, Some(&arguments.target), ui)
}

fn begin(operation: Operation, arguments: &Apply, target: Option<&str>, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let view = View::of_apply(ui, arguments.planning.json);
    let result = block_on(async {
        let interrupt = interrupt::watch(ui)?;
        let run = Run {
            operation,
            arguments,
            target,
            ui,
            view: &view,
            interrupt: &interrupt,
        };
        tokio::select! {
            result = run.start() => result,
            () = interrupt.stop.cancelled() => Err(CliError::Stopped),
        }
    });
    view.closing(result)
}

/// One run of the command.
struct Run<'a> {
    operation: Operation,
    arguments: &'a Apply,
    /// The cluster or node that is stopped or started.
    target: Option<&'a str>,
    ui: &'a Arc<Ui>,
    view: &'a View,
    interrupt: &'a Interrupt,
}

impl Run<'_> {
    async fn start(&self) -> Result<Exit, CliError> {
        let project = Project::open()?;
        let (config, warnings) = project.load(&self.arguments.planning.variables.0)?;
        self.view.diagnostics(&warnings);
        let store = project.create_store().await?;
        let world = project.world(Some(store.lineage()), &config.desired.local);
        let mut writer = self.unless_interrupted(self.lock(&store)).await??;
        let result = self.locked(&project, &config, &store, &world, &mut writer).await;
        let unlocked = writer.unlock().await;
        let exit = result?;
        unlocked?;
        Ok(exit)
    }

    /// Takes the lock, and says so where that takes a while.
    async fn lock(&self, store: &Store) -> Result<Writer, CliError> {
        let lock = store.lock(self.operation.name(), self.arguments.lock_timeout);
        tokio::pin!(lock);
        let patient = tokio::time::timeout(PATIENCE, &mut lock).await;
        if let Ok(locked) = patient {
            return Ok(locked?);
        }
        self.ui.tell("Waiting for the lock of the state...\n");
        Ok(lock.await?)
    }

    /// Plans, shows, asks and runs; nobody else can change the record meanwhile.
    async fn locked(
        &self,
        project: &Project,
        config: &Config,
        store: &Store,
        world: &World,
        writer: &mut Writer,
    ) -> Result<Exit, CliError> {
        let snapshot = store.snapshot().await?;
        let secrets = store.secrets().await?;
        let known = Known {
            config,
            recorded: &snapshot.state,
            unfinished: snapshot.unfinished.as_ref(),
            secrets: &secrets,
        };
        let targets = self
            .target
            .map(|text| target::nodes(known.recorded, text))
            .transpose()?;
        let proposal = targets.and_then(|nodes| self.operation.proposal(nodes));
        let planned = self
            .unless_interrupted(self.plan(project, world, &known, proposal.as_ref()))
            .await?;
        self.view.plan(&planned.document);
        self.view.diagnostics(&planned.document.diagnostics);
        if planned.is_broken() {
            return Ok(Exit::Failed);
        }
        if planned.plan.is_empty() {
            return self.outputs(project, &known, writer).await;
        }
        if !self.approved(&planned).await? {
            self.ui.tell(&format!("\n{} cancelled.\n", self.operation.title()));
            return Ok(Exit::Failed);
        }
        self.execute(&planned, project, world, &known, writer).await
    }

    async fn plan(&self, project: &Project, world: &World, known: &Known<'_>, proposal: Option<&Proposal>) -> Planned {
        let observed = if self.arguments.planning.refresh {
            ops::refresh(world, &known.config.desired, known.recorded, known.secrets).await
        } else {
            ops::believe(world).await
        };
        ops::plan(self.operation, known, &observed, proposal, &project.source)
    }

    async fn approved(&self, planned: &Planned) -> Result<bool, CliError> {
        let policy = Policy {
            auto_approve: self.arguments.auto_approve,
            allow: self.arguments.allow,
            can_ask: self.ui.terminal.interactive && self.arguments.input && !self.arguments.planning.json,
        };
        if policy.judge(&planned.document)? == Approval::Given {
            return Ok(true);
        }
        let (ui, document) = (Arc::clone(self.ui), planned.document.clone());
        // Whoever is asked may never answer: the question must not keep the program from ending.
        let asked = tokio::task::spawn_blocking(move || approval::ask(&ui, &document));
        self.unless_interrupted(asked)
            .await?
            .expect("asking neither panics nor is aborted")
    }

    async fn execute(
        &self,
        planned: &Planned,
        project: &Project,
        world: &World,
        known: &Known<'_>,
        writer: &mut Writer,
    ) -> Result<Exit, CliError> {
        let progress = self.view.progress(&planned.document.steps);
        let cancel = &self.interrupt.finish;
        let outcome = ops::apply(planned, world, writer, &*progress, self.arguments.parallelism, cancel).await?;
        drop(progress);
        let outcome = OutcomeDoc::new(self.operation, &planned.plan, &outcome, writer.state());
        self.view.outcome(&outcome);
        if outcome.is_complete() {
            self.outputs(project, known, writer).await
        } else {
            Ok(Exit::Failed)
        }
    }

    /// Records and shows the outputs.
    async fn outputs(&self, project: &Project, known: &Known<'_>, writer: &mut Writer) -> Result<Exit, CliError> {
        let diagnostics = ops::record_outputs(self.operation, known, writer).await?;
        if self.operation == Operation::Apply {
            self.view.outputs(&StateDoc::new(writer.state(), 0).outputs);
        }
        let diagnostics = DiagnosticDoc::all(&diagnostics, &project.source);
        self.view.diagnostics(&diagnostics);
        Ok(if diagnostics.iter().any(DiagnosticDoc::is_error) {
            Exit::Failed
        } else {
            Exit::Done
        })
    }

    /// Does something unless somebody asks to stop first; only for what can be broken off at any point.
    async fn unless_interrupted<T>(&self, work: impl Future<Output = T>) -> Result<T, CliError> {
        tokio::select! {
            done = work => Ok(done),
            () = self.interrupt.finish.cancelled() => Err(CliError::Interrupted),
        }
    }
}
