//! `simdb apply`, `destroy`, `stop`, `start` and the role changes: one request, carried out by [`converge`](crate::ops::converge).

use std::path::Path;
use std::sync::Arc;

use simdb_planner::config::Config;
use simdb_planner::diagnostic::Diagnostic;
use simdb_planner::planner::{Assurance, ElectionKind};
use simdb_state::object::{Power, State};
use simdb_state::store::Store;

use super::plan;
use crate::approval::Policy;
use crate::args::{self, Apply, ApplyPlan, Failover, Resync, Selection, Switchover};
use crate::error::CliError;
use crate::exit::Exit;
use crate::interrupt::{self, Interrupt};
use crate::ops;
use crate::ops::converge::{Converge, End, Goal, Terms};
use crate::request::Request;
use crate::saved::SavedPlan;
use crate::session::{self, Project, block_on};
use crate::ui::Ui;
use crate::views::doc::{DiagnosticDoc, Operation, StateDoc};
use crate::views::operation::View;
use crate::{pin, target};

/// Makes what runs match the configuration, or removes everything.
pub(super) fn run(
    operation: Operation,
    selection: &Selection,
    arguments: &Apply,
    ui: &Arc<Ui>,
) -> Result<Exit, CliError> {
    begin(operation, arguments, Request::Configuration(selection), ui)
}

/// Runs exactly the steps of a plan that was saved.
pub(super) fn saved(file: &Path, arguments: &ApplyPlan, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let ApplyPlan { selection, apply, .. } = arguments;
    if *selection != Selection::default() {
        let detail = "What it is about is part of a saved plan. Leave out -target, -exclude and -replace, or plan again with them.";
        return Err(CliError::refused("Saved plan has its addresses", detail));
    }
    perform(
        Operation::Apply,
        apply,
        Request::Configuration(selection),
        Mode::RunSaved(file),
        ui,
    )
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
        assurance: Assurance::Proof,
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
    let assurance = match (arguments.unproven.fenced_by_operator, arguments.unproven.force) {
        (true, _) => Assurance::Attested,
        (false, true) => Assurance::Waived,
        (false, false) => Assurance::Proof,
    };
    let request = Request::Election {
        cluster: &arguments.cluster,
        to: arguments.promote.as_deref(),
        kind: ElectionKind::Failover,
        assurance,
        allow: arguments.apply.allow,
    };
    let mode = if arguments.plan {
        Mode::Show
    } else {
        Mode::Run { pin: arguments.write }
    };
    perform(Operation::Failover, &arguments.apply, request, mode, ui)
}

/// Makes nodes of servers that were made without simdb.
pub(super) fn import(arguments: &args::Import, ui: &Arc<Ui>) -> Result<Exit, CliError> {
    let request = Request::Import {
        address: &arguments.address,
        id: &arguments.id,
    };
    perform(
        Operation::Apply,
        &arguments.apply,
        request,
        Mode::of(arguments.dry_run),
        ui,
    )
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
enum Mode<'a> {
    /// It is shown, and leaves nothing behind.
    Show,
    /// It was shown before, and is run from this file.
    RunSaved(&'a Path),
    /// It is run.
    Run {
        /// Whether the configuration is to say who leads then.
        pin: bool,
    },
}

impl Mode<'_> {
    fn of(show: bool) -> Self {
        if show { Mode::Show } else { Mode::Run { pin: false } }
    }
}

fn perform(
    operation: Operation,
    arguments: &Apply,
    request: Request<'_>,
    mode: Mode<'_>,
    ui: &Arc<Ui>,
) -> Result<Exit, CliError> {
    let (json, viewing) = (arguments.planning.json, arguments.planning.viewing);
    let view = match mode {
        Mode::Show => View::of_plan(ui, json, viewing),
        Mode::RunSaved(_) | Mode::Run { .. } => View::of_apply(ui, json, viewing),
    };
    let result = block_on(async {
        let interrupt = interrupt::watch(ui)?;
        let run = Run {
            operation,
            arguments,
            request,
            ui,
            view: &view,
            interrupt: &interrupt,
        };
        let work = async {
            match mode {
                Mode::Show => run.show().await,
                Mode::RunSaved(file) => run.run_saved(file).await,
                Mode::Run { pin } => run.run(pin).await,
            }
        };
        tokio::select! {
            result = work => result,
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
    ui: &'a Arc<Ui>,
    view: &'a View,
    interrupt: &'a Interrupt,
}

impl Run<'_> {
    /// Shows the plan, and leaves it at that.
    async fn show(&self) -> Result<Exit, CliError> {
        let facts = &self.arguments.planning.facts;
        let made = plan::make(self.operation, &self.request, facts, plan::Record::Found, self.view);
        let mut made = made.await?;
        plan::judge(&mut made, self.arguments.planning.policy_command.as_deref(), self.ui).await?;
        let document = made.into_document();
        self.view.plan(&document);
        self.view.diagnostics(&document.diagnostics);
        Ok(if document.is_broken() { Exit::Failed } else { Exit::Done })
    }

    async fn run(&self, pin: bool) -> Result<Exit, CliError> {
        let project = Project::open()?;
        let (mut config, warnings, store) = self.open(&project).await?;
        self.view.diagnostics(&warnings);
        self.request.adjust(&mut config, &store.snapshot().await?.state)?;
        ops::digest_passwords(&mut config.desired, Some(&store)).await?;
        let end = self.converge(&project, &config, &store, None).run().await?;
        self.end(&project, &config, &store, end, pin).await
    }

    /// Runs a plan that was saved, with the configuration that it was made from.
    async fn run_saved(&self, file: &Path) -> Result<Exit, CliError> {
        let project = Project::open()?;
        let store = project.store().await?;
        let saved = SavedPlan::read(file, store.as_ref()).await?;
        let store = store.expect("a plan was read that belongs to it");
        let project = project.with_saved(&saved)?;
        let variables = &self.arguments.planning.facts.variables.0;
        project.check_values(variables)?;
        let (mut config, warnings) = project.load(variables)?;
        self.view.diagnostics(&warnings);
        session::keep_providers(&mut config.desired, &store.snapshot().await?);
        ops::digest_passwords(&mut config.desired, Some(&store)).await?;
        let run = Run {
            request: Request::Configuration(&saved.selection),
            ..*self
        };
        let end = run.converge(&project, &config, &store, Some(&saved)).run().await?;
        self.end(&project, &config, &store, end, false).await
    }

    async fn end(
        &self,
        project: &Project,
        config: &Config,
        store: &Store,
        end: End,
        pin: bool,
    ) -> Result<Exit, CliError> {
        match end {
            End::Failed | End::Refused(_) => Ok(Exit::Failed),
            End::TakenBack => Ok(self.taken_back()),
            End::Reached { outputs, complete } => {
                let state = store.snapshot().await?.state;
                if pin {
                    self.pin(project, config, &state)?;
                }
                let exit = self.outputs(project, &state, &outputs);
                Ok(if complete { exit } else { self.incomplete() })
            }
        }
    }

    /// Reads what is declared, and opens the record. An apply needs a configuration; without one, everything else is about
    /// what is recorded.
    async fn open(&self, project: &Project) -> Result<(Config, Vec<DiagnosticDoc>, Store), CliError> {
        let variables = &self.arguments.planning.facts.variables.0;
        if self.operation == Operation::Apply {
            let (mut config, warnings) = project.load(variables)?;
            let store = project.create_store().await?;
            session::keep_providers(&mut config.desired, &store.snapshot().await?);
            return Ok((config, warnings, store));
        }
        let Some(store) = project.store().await? else {
            let (config, warnings) = project.load(variables)?;
            return Ok((config, warnings, project.create_store().await?));
        };
        let snapshot = store.snapshot().await?;
        let (mut config, warnings) = project.load_or_recorded(variables, &snapshot)?;
        session::keep_providers(&mut config.desired, &snapshot);
        Ok((config, warnings, store))
    }

    fn converge<'a>(
        &'a self,
        project: &'a Project,
        config: &'a Config,
        store: &'a Store,
        saved: Option<&'a SavedPlan>,
    ) -> Converge<'a> {
        let can_ask = self.ui.terminal.interactive && self.arguments.running.input && !self.arguments.planning.json;
        Converge {
            project,
            store,
            saved,
            goal: Goal {
                operation: saved.map_or(self.operation, |saved| saved.operation),
                request: &self.request,
                config,
            },
            terms: Terms {
                policy: Policy {
                    auto_approve: self.arguments.auto_approve || saved.is_some(),
                    allow: self.arguments.allow,
                    can_ask,
                },
                refresh: self.arguments.planning.facts.refresh,
                steps: self.arguments.step_terms(),
                lock_timeout: self.arguments.running.lock_timeout,
                policy_command: self.arguments.planning.policy_command.as_deref(),
            },
            ui: self.ui,
            view: self.view,
            interrupt: self.interrupt,
        }
    }

    /// What was asked for did not happen, though everything is as it was.
    fn taken_back(&self) -> Exit {
        let title = self.operation.title();
        self.ui.tell(&format!(
            "\n{title} failed, and was taken back: the former primary leads.\n"
        ));
        Exit::Failed
    }

    /// What could not be compared, and no step was about, is not known to be as it was asked for.
    fn incomplete(&self) -> Exit {
        self.ui.tell(
            "\nApply is not complete: what could not be compared may differ from the configuration. Run it again once that \
             answers.\n",
        );
        Exit::Failed
    }

    /// Lets the configuration say who leads.
    fn pin(&self, project: &Project, config: &Config, state: &State) -> Result<(), CliError> {
        let Request::Election { cluster, .. } = &self.request else {
            return Ok(());
        };
        let cluster = target::cluster(state, cluster)?;
        let Some(election) = state.elections.get(&cluster) else {
            return Ok(());
        };
        let leader = &election.primary;
        self.ui.tell(&match pin::write(project, config, &cluster, leader)? {
            Some(file) => format!("\n{file}: primary = \"{leader}\"\n"),
            None => format!("\nThe configuration does not say who leads cluster {cluster}; nothing was written.\n"),
        });
        Ok(())
    }

    /// Shows the outputs, and what is wrong with them.
    fn outputs(&self, project: &Project, state: &State, diagnostics: &[Diagnostic]) -> Exit {
        if self.operation == Operation::Apply {
            self.view.outputs(&StateDoc::new(state, 0).outputs);
        }
        let diagnostics = DiagnosticDoc::all(diagnostics, &project.source);
        self.view.diagnostics(&diagnostics);
        if diagnostics.iter().any(DiagnosticDoc::is_error) {
            Exit::Failed
        } else {
            Exit::Done
        }
    }
}
