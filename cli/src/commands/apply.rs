//! `simdb apply`, `destroy`, `stop` and `start`: one plan, made, shown, approved and run under one lock.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use simdb_planner::config::Config;
use simdb_planner::plan::Impact;
use simdb_planner::planner::{ElectionKind, Proposal};
use simdb_state::object::Power;
use simdb_state::store::{Store, Writer};

use crate::approval::{self, Approval, Policy};
use crate::args::{self, Apply, Failover, Resync, Switchover};
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt::{self, Interrupt};
use crate::ops::{self, Known, Planned, Site, World};
use crate::request::{self, Continuation, Request};
use crate::session::{Project, block_on};
use crate::ui::Ui;
use crate::views::doc::{DiagnosticDoc, Operation, OutcomeDoc, StateDoc};
use crate::views::operation::View;
use crate::{pin, target};

/// After how long somebody who waits for a lock is told so.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often a role change that does not come to its end is planned anew inside one approval.
const ROUNDS: usize = 3;

/// Makes what runs match the configuration, or removes everything.
pub(super) fn run(operation: Operation, arguments: &Apply, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    begin(operation, arguments, Request::Configuration, ui)
}

/// Makes what runs match the configuration, with servers stopped or started.
pub(super) fn power(operation: Operation, arguments: &args::Power, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let power = match operation {
        Operation::Stop => Power::Stopped,
        _ => Power::Running,
    };
    let target = &arguments.target;
    begin(operation, &arguments.apply, Request::Power { target, power }, ui)
}

/// Lets another node lead, while the one that does hands over.
pub(super) fn switchover(arguments: &Switchover, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let request = Request::Election {
        cluster: &arguments.cluster,
        to: arguments.to.as_deref(),
        kind: ElectionKind::Switchover,
        allow: None,
    };
    perform(
        Operation::Switchover,
        &arguments.apply,
        request,
        Mode::of(arguments.plan),
        ui,
    )
}

/// Lets another node lead because the one that did is lost.
pub(super) fn failover(arguments: &Failover, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let request = Request::Election {
        cluster: &arguments.cluster,
        to: arguments.promote.as_deref(),
        kind: ElectionKind::Failover,
        allow: arguments.apply.allow,
    };
    let mode = if arguments.plan {
        Mode::Show
    } else {
        Mode::Run { pin: arguments.write }
    };
    perform(Operation::Failover, &arguments.apply, request, mode, ui)
}

/// Brings a node's data in line with the primary's.
pub(super) fn resync(arguments: &Resync, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let request = Request::Resync {
        cluster: &arguments.cluster,
        node: &arguments.node,
    };
    perform(
        Operation::Resync,
        &arguments.apply,
        request,
        Mode::of(arguments.plan),
        ui,
    )
}

fn begin(operation: Operation, arguments: &Apply, request: Request<'_>, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    perform(operation, arguments, request, Mode::Run { pin: false }, ui)
}

/// What is done with a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// It is shown, and leaves nothing behind.
    Show,
    /// It is run.
    Run {
        /// Whether the configuration is to say who leads then.
        pin: bool,
    },
}

impl Mode {
    fn of(show: bool) -> Self {
        if show { Mode::Show } else { Mode::Run { pin: false } }
    }
}

fn perform(
    operation: Operation,
    arguments: &Apply,
    request: Request<'_>,
    mode: Mode,
    ui: &Arc<Ui>,
) -> Result<Exit, CliError> {
    let view = View::of_apply(ui, arguments.planning.json);
    let result = block_on(async {
        let interrupt = interrupt::watch(ui)?;
        let run = Run {
            operation,
            arguments,
            request,
            mode,
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
    /// What is asked for beside the configuration.
    request: Request<'a>,
    mode: Mode,
    ui: &'a Arc<Ui>,
    view: &'a View,
    interrupt: &'a Interrupt,
}

impl Run<'_> {
    async fn start(&self) -> Result<Exit, CliError> {
        let project = Project::open()?;
        let (mut config, warnings) = project.load(&self.arguments.planning.facts.variables.0)?;
        self.view.diagnostics(&warnings);
        let store = project.create_store().await?;
        ops::digest_passwords(&mut config.desired, Some(&store)).await?;
        let mut writer = self.unless_interrupted(self.lock(&store)).await??;
        let site = project.site(&writer, &config.desired.local);
        let result = self.locked(&project, &config, &store, &site, &mut writer).await;
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
        site: &Site,
        writer: &mut Writer,
    ) -> Result<Exit, CliError> {
        let mut proposal = self.request.proposal(&store.snapshot().await?.state)?;
        let mut approved: Option<Impact> = None;
        // What was asked for did not happen, however well it was taken back.
        let mut went_back = false;
        for round in 0..ROUNDS {
            let snapshot = store.snapshot().await?;
            let secrets = store.secrets().await?;
            let known = Known {
                config,
                recorded: &snapshot.state,
                unfinished: snapshot.unfinished.as_ref(),
                secrets: &secrets,
            };
            let planned = self
                .unless_interrupted(self.plan(project, &site.world, &known, proposal.as_ref()))
                .await?;
            if self.mode != Mode::Show {
                ops::record_noticed(&planned, writer).await?;
            }
            self.view.plan(&planned.document);
            self.view.diagnostics(&planned.document.diagnostics);
            if planned.is_broken() {
                return Ok(Exit::Failed);
            }
            if planned.plan.is_empty() && known.unfinished.is_some() && self.mode != Mode::Show {
                ops::settle(&planned, writer).await?;
            }
            if planned.plan.is_empty() || self.mode == Mode::Show {
                let exit = self.finish(project, &known, writer).await?;
                return Ok(self.unless_unknown(&planned, exit));
            }
            if approved.is_none_or(|impact| planned.plan.impact() > impact) && !self.approved(&planned).await? {
                self.ui.tell(&format!("\n{} cancelled.\n", self.operation.title()));
                return Ok(Exit::Failed);
            }
            approved = Some(planned.plan.impact());
            writer.settle(project.place(writer.lineage(), &config.desired.local));
            if self.execute(&planned, site, writer).await? {
                let exit = self.finish(project, &known, writer).await?;
                let exit = self.unless_unknown(&planned, exit);
                return Ok(if went_back { self.went_back() } else { exit });
            }
            let next = request::continuation(&planned.plan, &snapshot.state, writer.state(), proposal.as_ref());
            let Some(next) = next.filter(|_| round + 1 < ROUNDS && !self.interrupt.finish.is_cancelled()) else {
                break;
            };
            self.ui.tell(&format!("\n{}\n", next.sentence()));
            went_back |= matches!(next, Continuation::GoBack(_));
            proposal = next.proposal().cloned();
        }
        Ok(Exit::Failed)
    }

    /// What was asked for did not happen, though everything is as it was.
    fn went_back(&self) -> Exit {
        let title = self.operation.title();
        self.ui.tell(&format!(
            "\n{title} failed, and was taken back: the former primary leads.\n"
        ));
        Exit::Failed
    }

    /// An apply is not done where something could not be compared that no step was about. Other commands were asked for
    /// something else.
    fn unless_unknown(&self, planned: &Planned, exit: Exit) -> Exit {
        if self.operation != Operation::Apply || !planned.document.leaves_unknown() {
            return exit;
        }
        self.ui.tell(
            "\nApply is not complete: what could not be compared may differ from the configuration. Run it again once that \
             answers.\n",
        );
        Exit::Failed
    }

    async fn plan(&self, project: &Project, world: &World, known: &Known<'_>, proposal: Option<&Proposal>) -> Planned {
        let observed = if self.arguments.planning.facts.refresh {
            ops::refresh(world, &known.config.desired, known.recorded, known.secrets).await
        } else {
            ops::believe(world, &known.config.desired, known.recorded).await
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

    /// Runs a plan, and returns whether all of it is done.
    async fn execute(&self, planned: &Planned, site: &Site, writer: &mut Writer) -> Result<bool, CliError> {
        let progress = self.view.progress(&planned.document.steps);
        let cancel = &self.interrupt.finish;
        let outcome = ops::apply(planned, site, writer, &*progress, self.arguments.parallelism, cancel).await?;
        drop(progress);
        let outcome = OutcomeDoc::new(self.operation, &planned.plan, &outcome, writer.state());
        self.view.outcome(&outcome);
        Ok(outcome.is_complete())
    }

    async fn finish(&self, project: &Project, known: &Known<'_>, writer: &mut Writer) -> Result<Exit, CliError> {
        match self.mode {
            Mode::Show => return Ok(Exit::Done),
            Mode::Run { pin: false } => {}
            Mode::Run { pin: true } => self.pin(project, known.config, writer)?,
        }
        self.outputs(project, known, writer).await
    }

    /// Lets the configuration say who leads.
    fn pin(&self, project: &Project, config: &Config, writer: &Writer) -> Result<(), CliError> {
        let Request::Election { cluster, .. } = &self.request else {
            return Ok(());
        };
        let cluster = target::cluster(writer.state(), cluster)?;
        let Some(election) = writer.state().elections.get(&cluster) else {
            return Ok(());
        };
        let leader = &election.primary;
        self.ui.tell(&match pin::write(project, config, &cluster, leader)? {
            Some(file) => format!("\n{file}: primary = \"{leader}\"\n"),
            None => format!("\nThe configuration does not say who leads cluster {cluster}; nothing was written.\n"),
        });
        Ok(())
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
