//! Runs a plan: what its steps say, in the order they allow, and nothing else.
//!
//! ```text
//!   dispatcher ── started (journal, committed) ──► worker ── effect ──► result ──┐
//!       ▲                                                                        │
//!       └──────────── done: delta + journal in one commit, then an event ◄───────┘
//! ```
//!
//! One dispatcher owns the record, the journal and the events; workers only have effects. What has ended and what starts
//! next is committed together, so that a wide plan costs one commit a round and not two a step. A crash at any point
//! leaves the record behind the world by the steps that were started, never ahead of it.
//!
//! A step that fails for a reason which passes by itself is tried again after a pause, as every step may be.

mod terms;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simdb_planner::guard;
use simdb_planner::plan::{Plan, Step, StepId};
use simdb_state::cluster_event::{ClusterEvent, cluster_events};
use simdb_state::delta::{Delta, Edit, Outputs};
use simdb_state::object::State;
use simdb_state::sensitive::{SecretName, Secrets, Sensitive};
use simdb_state::store::{Entry, StoreError, Took, Writer};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::effects::{Effects, StepError};
use crate::event::{self, Event, EventSink, Progress, Watcher};
use crate::password;

pub use self::terms::{StepLimits, Terms};

/// How often a step that takes long is mentioned.
const STILL_RUNNING: Duration = Duration::from_secs(10);

/// How long the end of a run waits until what happened is told.
const TELLING_LIMIT: Duration = Duration::from_secs(3);

/// What came of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Steps that are done.
    pub done: Vec<StepId>,
    /// Steps that failed, and why, with all causes.
    pub failed: Vec<(StepId, String)>,
    /// Steps that were never started.
    pub not_attempted: Vec<StepId>,
    /// Whether somebody asked to stop.
    pub cancelled: bool,
}

/// Runs the plan. Cancelling `cancel` finishes the steps that run and starts no other. A step that fails keeps those
/// that wait for it from starting, and no others. Steps that release what others hold up are done last in any case: they
/// are not for those who wait to suffer from.
///
/// An error means that the record could not be written, or that somebody else has its lock, as a failover that is more urgent: the steps
/// that ran were ended, and are in doubt.
pub async fn execute(
    plan: &Plan,
    writer: &mut Writer,
    effects: Arc<dyn Effects>,
    events: &dyn EventSink,
    terms: &Terms,
    cancel: &CancellationToken,
) -> Result<Outcome, StoreError> {
    let secrets = Arc::new(writer.secrets().await?);
    let dispatcher = Dispatcher::new(plan, effects, (events, terms, cancel), secrets, writer.state().clone());
    dispatcher.run(writer).await
}

/// A step that runs.
struct Running {
    step: StepId,
    since: Instant,
    mentioned: u32,
    /// How often it was tried, this time included.
    tries: u32,
}

/// How a step failed.
struct Failure {
    cause: String,
    /// Whether the same may go well a little later.
    is_transient: bool,
    /// What is known since.
    found: Option<Edit>,
}

impl Failure {
    fn new(cause: String) -> Self {
        Self {
            cause,
            is_transient: false,
            found: None,
        }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Self {
            cause: chain(&error),
            is_transient: error.is_transient(),
            found: error.found(),
        }
    }
}

type StepResult = Result<Outputs, Failure>;

struct Dispatcher<'a> {
    plan: &'a Plan,
    effects: Arc<dyn Effects>,
    events: &'a dyn EventSink,
    terms: &'a Terms,
    cancel: &'a CancellationToken,
    secrets: Arc<Secrets>,
    /// The record with everything that has ended in it, for the guards of what starts in the same commit.
    state: State,
    /// For each step, how many of those it waits for are not done.
    open: Vec<usize>,
    /// For each step, those that wait for it.
    followers: Vec<Vec<StepId>>,
    ready: BTreeSet<StepId>,
    running: BTreeMap<Id, Running>,
    tasks: JoinSet<StepResult>,
    /// What running steps say of how far they have come.
    progress: (Watcher, UnboundedReceiver<(StepId, Progress)>),
    /// What happened to clusters, and is yet to be told.
    untold: Vec<ClusterEvent>,
    /// What tells it, while steps go on.
    telling: JoinSet<()>,
    /// Whether nothing else can be done, and only what earlier steps hold up is released.
    releasing: bool,
    outcome: Outcome,
}

impl<'a> Dispatcher<'a> {
    fn new(
        plan: &'a Plan,
        effects: Arc<dyn Effects>,
        (events, terms, cancel): (&'a dyn EventSink, &'a Terms, &'a CancellationToken),
        secrets: Arc<Secrets>,
        state: State,
    ) -> Self {
        let mut followers = vec![Vec::new(); plan.steps.len()];
        let mut ready = BTreeSet::new();
        for (id, step) in (0..).map(StepId).zip(&plan.steps) {
            for earlier in &step.after {
                followers[earlier.index()].push(id);
            }
            if step.after.is_empty() {
                ready.insert(id);
            }
        }
        let open = plan.steps.iter().map(|step| step.after.len()).collect();
        let (running, tasks, outcome) = (BTreeMap::new(), JoinSet::new(), Outcome::default());
        Self {
            plan,
            effects,
            events,
            terms,
            cancel,
            secrets,
            state,
            open,
            followers,
            ready,
            running,
            tasks,
            progress: unbounded_channel(),
            untold: Vec::new(),
            telling: JoinSet::new(),
            releasing: false,
            outcome,
        }
    }

    async fn run(mut self, writer: &mut Writer) -> Result<Outcome, StoreError> {
        let mut ended: Vec<(Running, StepResult)> = Vec::new();
        let mut losing = pin!(writer.losing());
        loop {
            let mut entries: Vec<Entry> = Vec::new();
            let mut happened = Vec::new();
            for (running, result) in ended {
                match self.retry(&running, &result) {
                    Some(pause) => happened.push(self.again(running, result, pause)),
                    None => happened.push(self.settle(&running, result, &mut entries)),
                }
            }
            let starting = self.next(&mut entries, &mut happened);
            if !entries.is_empty() {
                writer.commit(&entries).await?;
            }
            for event in &happened {
                self.events.on_event(event);
            }
            self.start(starting);
            self.announce();
            if !self.running.is_empty() {
                tokio::select! {
                    waited = self.wait() => ended = waited,
                    () = &mut losing => return Err(writer.lost().await),
                }
            } else if self.release() {
                ended = Vec::new();
            } else {
                break;
            }
        }
        let not_attempted = self.not_attempted();
        // What takes longer is left untold: nobody waits for it.
        let _ = tokio::time::timeout(TELLING_LIMIT, self.telling.join_all()).await;
        Ok(Outcome {
            not_attempted,
            ..self.outcome
        })
    }

    /// Tells what happened, in the order in which it did, once it is on record.
    fn announce(&mut self) {
        let untold = std::mem::take(&mut self.untold);
        if untold.is_empty() {
            return;
        }
        let effects = self.effects.clone();
        self.telling.spawn(async move {
            for happened in &untold {
                effects.announce(happened).await;
            }
        });
    }

    fn not_attempted(&self) -> Vec<StepId> {
        let failed = self.outcome.failed.iter().map(|(id, _)| *id);
        let attempted: BTreeSet<StepId> = self.outcome.done.iter().copied().chain(failed).collect();
        let all = (0..).map(StepId).take(self.plan.steps.len());
        all.filter(|id| !attempted.contains(id)).collect()
    }

    /// Makes ready what has to be done although something that it waits for was not, and returns whether there is any.
    fn release(&mut self) -> bool {
        if self.releasing {
            return false;
        }
        self.releasing = true;
        let releases = |id: &StepId| {
            let step = self.step(*id);
            step.action.releases() && guard::check(step, &self.state).is_ok()
        };
        self.ready = self.not_attempted().into_iter().filter(releases).collect();
        !self.ready.is_empty()
    }

    fn step(&self, id: StepId) -> &'a Step {
        &self.plan.steps[id.index()]
    }

    /// Takes as many ready steps as may run, and writes down that they start. A step that its guard refuses fails.
    fn next(&mut self, entries: &mut Vec<Entry>, happened: &mut Vec<Event>) -> Vec<StepId> {
        let parallelism = self.terms.parallelism.max(1);
        let mut starting = Vec::new();
        let stopped = self.outcome.cancelled && !self.releasing;
        while !stopped && self.running.len() + starting.len() < parallelism {
            let Some(id) = self.ready.pop_first() else { break };
            let step = self.step(id);
            let started = guard::check(step, &self.state)
                .map_err(|refusal| format!("{} of {} is refused: {refusal}", step.action.name(), step.address))
                .and_then(|()| self.generate(step));
            let (secrets, refused) = match started {
                Ok(secrets) => (secrets, None),
                Err(cause) => (Vec::new(), Some(cause)),
            };
            // A step that is refused changes nothing.
            let delta = if refused.is_none() {
                step.delta.clone()
            } else {
                Delta::default()
            };
            self.state.begin(&delta);
            entries.push(Entry::Started {
                step: id.0,
                delta,
                secrets,
            });
            match refused {
                None => starting.push(id),
                Some(cause) => happened.push(self.fail(id, Failure::new(cause), entries)),
            }
        }
        starting
    }

    /// Makes up the secrets of a step that are not there yet.
    fn generate(&mut self, step: &Step) -> Result<Vec<(SecretName, Sensitive<String>)>, String> {
        let missing = step.generates.iter().filter(|name| !self.secrets.contains_key(*name));
        let made: Result<Vec<_>, _> = missing
            .map(|name| password::generate().map(|made| (name.clone(), made)))
            .collect();
        let made = made.map_err(|error| format!("failed to make up a password: {error}"))?;
        Arc::make_mut(&mut self.secrets).extend(made.iter().cloned());
        Ok(made)
    }

    fn start(&mut self, starting: Vec<StepId>) {
        for id in starting {
            self.events.on_event(&Event::Started(id));
            let (effects, secrets, step) = (self.effects.clone(), self.secrets.clone(), self.step(id).clone());
            let limit = self.terms.limits.of(step.action.name());
            let watcher = self.progress.0.clone();
            let task = self
                .tasks
                .spawn(async move { event::watched(id, watcher, run_within(limit, &*effects, &step, &secrets)).await });
            let running = Running {
                step: id,
                since: Instant::now(),
                mentioned: 0,
                tries: 1,
            };
            self.running.insert(task.id(), running);
        }
    }

    /// Returns how long to wait before a step is tried again, where that may help and it has the time.
    fn retry(&self, running: &Running, result: &StepResult) -> Option<Duration> {
        let failure = result.as_ref().err()?;
        let pause = self.terms.pause_after(running.tries)?;
        let left = self.left(running).is_none_or(|left| left > pause);
        (failure.is_transient && left && !self.outcome.cancelled).then_some(pause)
    }

    /// Returns how long a step may still take.
    fn left(&self, running: &Running) -> Option<Duration> {
        let limit = self.terms.limits.of(self.step(running.step).action.name())?;
        Some(limit.saturating_sub(running.since.elapsed()))
    }

    /// Tries a step again after a pause. Where somebody asks to stop meanwhile it ends as it failed.
    fn again(&mut self, mut running: Running, failed: StepResult, pause: Duration) -> Event {
        let (effects, secrets, step) = (
            self.effects.clone(),
            self.secrets.clone(),
            self.step(running.step).clone(),
        );
        let left = self.left(&running).map(|left| left.saturating_sub(pause));
        let cancel = self.cancel.clone();
        let cause = failed.as_ref().err().map(|failure| failure.cause.clone());
        let (id, watcher) = (running.step, self.progress.0.clone());
        let task = self.tasks.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(pause) => {
                    event::watched(id, watcher, run_within(left, &*effects, &step, &secrets)).await
                }
                () = cancel.cancelled() => failed,
            }
        });
        let event = Event::Retrying(running.step, pause, cause.unwrap_or_default());
        running.tries += 1;
        self.running.insert(task.id(), running);
        event
    }

    /// Waits until something ends, and returns everything that has.
    async fn wait(&mut self) -> Vec<(Running, StepResult)> {
        let cancel = self.cancel;
        let mut tick = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                Some(joined) = self.tasks.join_next_with_id() => {
                    let mut ended = vec![joined];
                    while let Some(joined) = self.tasks.try_join_next_with_id() {
                        ended.push(joined);
                    }
                    return ended.into_iter().filter_map(|joined| self.ended(joined)).collect();
                }
                () = cancel.cancelled(), if !self.outcome.cancelled => {
                    self.outcome.cancelled = true;
                    self.events.on_event(&Event::Stopping);
                }
                Some((step, progress)) = self.progress.1.recv() => {
                    self.events.on_event(&Event::Progress(step, progress));
                }
                _ = tick.tick() => self.mention(),
            }
        }
    }

    fn ended(&mut self, joined: Result<(Id, StepResult), JoinError>) -> Option<(Running, StepResult)> {
        let (id, result) = match joined {
            Ok((id, result)) => (id, result),
            Err(error) => {
                let cause = format!("the step ended abnormally: {error}");
                (error.id(), Err(Failure::new(cause)))
            }
        };
        self.running.remove(&id).map(|running| (running, result))
    }

    fn mention(&mut self) {
        for running in self.running.values_mut() {
            let elapsed = running.since.elapsed();
            if elapsed >= STILL_RUNNING * (running.mentioned + 1) {
                running.mentioned += 1;
                self.events.on_event(&Event::Running(running.step, elapsed));
            }
        }
    }

    /// Takes note of how a step ended, and returns what to tell once that is committed.
    fn settle(&mut self, running: &Running, result: StepResult, entries: &mut Vec<Entry>) -> Event {
        let id = running.step;
        let outputs = match result {
            Ok(outputs) => outputs,
            Err(failure) => return self.fail(id, failure, entries),
        };
        let delta = self.step(id).delta.clone();
        self.untold.extend(cluster_events(&self.state, &delta, &outputs));
        self.state.apply(&delta, &outputs);
        let elapsed = running.since.elapsed();
        let took = Took {
            kind: self.step(id).action.name().to_owned(),
            milliseconds: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        };
        entries.push(Entry::Done {
            step: id.0,
            delta,
            outputs,
            took,
        });
        self.outcome.done.push(id);
        for follower in &self.followers[id.index()] {
            self.open[follower.index()] -= 1;
            if self.open[follower.index()] == 0 && !self.releasing {
                self.ready.insert(*follower);
            }
        }
        Event::Done(id, elapsed)
    }

    fn fail(&mut self, id: StepId, failure: Failure, entries: &mut Vec<Entry>) -> Event {
        let Failure {
            cause,
            is_transient: _,
            found,
        } = failure;
        entries.push(Entry::Failed {
            step: id.0,
            cause: cause.clone(),
        });
        if let Some(found) = found {
            let found = Delta(vec![found]);
            self.state.apply(&found, &Outputs::default());
            entries.push(Entry::Found(found));
        }
        self.outcome.failed.push((id, cause.clone()));
        Event::Failed(id, cause)
    }
}

/// Does a step within a limit. One that exceeds it is given up where it stands, as if simdb had been killed there: the next
/// plan looks at what it left.
async fn run_within(limit: Option<Duration>, effects: &dyn Effects, step: &Step, secrets: &Secrets) -> StepResult {
    let run = effects.run(step, secrets);
    let Some(limit) = limit else {
        return Ok(run.await?);
    };
    match tokio::time::timeout(limit, run).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(Failure::new(format!(
            "{} of {} was given up, as it took longer than its limit; the next plan looks at what it left",
            step.action.name(),
            step.address
        ))),
    }
}

/// Returns an error with all its causes, one after the other.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").expect("writing to a String cannot fail");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
