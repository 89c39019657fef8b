//! What the watcher does: its own decisions and the orders of people, one at a time.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use simdb_planner::watch::{Decision, Subject};
use simdb_state::claim::Pause;
use simdb_state::name::ClusterName;
use simdb_state::object::Term;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Watcher;
use crate::interrupt::Interrupt;
use crate::monitor::act::{self, Work};
use crate::monitor::board::Kind;
use crate::monitor::order::{Asked, Reply};
use crate::monitor::outcome::Outcome;
use crate::monitor::record::words;
use crate::request::Decided;

/// How long steps that run may take to end where a lost primary is more urgent.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a monitor does at this moment.
pub(super) struct Act {
    pub(super) work: Work,
    /// The last election when it began.
    term: Option<Term>,
    pub(super) since: Timestamp,
    pub(super) task: JoinHandle<Outcome>,
    interrupt: Interrupt,
    /// Since when it was told to end for something that is more urgent.
    preempted: Option<Instant>,
    /// Who waits for what comes of it.
    reply: Option<oneshot::Sender<Outcome>>,
}

impl Watcher {
    /// Begins what was decided, where nothing else is being done: one lock is held at a time.
    pub(super) fn begin(&mut self, name: &ClusterName, decision: &Decision) {
        if self.acting.is_some() {
            return self.preempt(name, decision);
        }
        let now = self.now();
        let watched = self.clusters.get_mut(name).expect("it was judged");
        watched.memory.tried(decision.subject(), now);
        self.tell(Kind::Decided, (Some(name), None), decision.to_string());
        if let Decision::Pause { failovers } = *decision {
            return self.pause(name, failovers);
        }
        let decided = Decided {
            cluster: name.clone(),
            decision: decision.clone(),
            term: self.seen.state.elections.get(name).map(|election| election.term),
            unseen: self.clusters[name].unseen(name, &self.seen.state),
            stale: self.stale(),
            yielding: if decision.is_urgent(name, &self.seen.state) {
                self.clusters[name].work.yielding()
            } else {
                Vec::new()
            },
        };
        self.carry_out(Work::Decided(decided), None);
    }

    /// Carries out what a person asks for, where nothing else is being done.
    pub(super) fn ordered(&mut self, asked: Asked) {
        let Asked { ordered, reply } = asked;
        if let Some(act) = &self.acting {
            // Who asked may be gone.
            let _ = reply.send(Reply::Busy(act.work.to_string()));
            return;
        }
        let text = format!("{}, asked for by {}", ordered.order, ordered.who);
        self.tell(Kind::Ordered, (Some(&ordered.cluster), None), text);
        let (result, outcome) = oneshot::channel();
        let _ = reply.send(Reply::Begun(outcome));
        self.carry_out(Work::Ordered(ordered), Some(result));
    }

    fn carry_out(&mut self, work: Work, reply: Option<oneshot::Sender<Outcome>>) {
        let interrupt = Interrupt {
            finish: self.ground.interrupt.finish.child_token(),
            stop: CancellationToken::new(),
        };
        let term = self
            .seen
            .state
            .elections
            .get(work.cluster())
            .map(|election| election.term);
        self.acting = Some(Act {
            term,
            since: Timestamp::now(),
            task: act::begin(self.ground.clone(), work.clone(), interrupt.clone()),
            work,
            interrupt,
            preempted: None,
            reply,
        });
    }

    /// Ends what is being done where a lost primary is more urgent: at first after the steps that run, then at once. A role change that
    /// has no new primary yet is never disturbed.
    fn preempt(&mut self, cluster: &ClusterName, decision: &Decision) {
        let Some(act) = self.acting.as_mut() else { return };
        let state = &self.seen.state;
        let acted = act.work.cluster();
        let leads = state.elections.get(acted).zip(state.leader(acted));
        let settled = leads.filter(|(election, leader)| election.primary == leader.node);
        let settled = settled.map(|(election, _)| election.term);
        // What is done for this very object is not over yet.
        let is_done = acted == cluster && act.work.subject() == decision.subject();
        if !decision.is_urgent(cluster, state) || is_done || act.work.has_no_primary_yet(act.term, settled) {
            return;
        }
        match act.preempted {
            None => {
                act.interrupt.finish.cancel();
                act.preempted = Some(Instant::now());
            }
            Some(since) if since.elapsed() > PATIENCE => act.interrupt.stop.cancel(),
            Some(_) => {}
        }
    }

    fn pause(&mut self, name: &ClusterName, failovers: usize) {
        let (store, name) = (self.ground.store.clone(), name.clone());
        let reason = format!("{failovers} failovers within an hour");
        self.notes.spawn(async move {
            let pause = Pause::new("simdb monitor", None, Some(reason));
            store
                .set_pause(&name, Some(&pause))
                .await
                .map(drop)
                .map_err(|error| words(&error))
        });
    }

    /// Takes note of what came of a decision, or of an order.
    pub(super) fn acted(&mut self, outcome: Outcome) {
        let Some(Act { work, reply, .. }) = self.acting.take() else {
            return;
        };
        let cluster = work.cluster().clone();
        let about = (Some(&cluster), None);
        match &outcome {
            Outcome::Done => {
                let subject = work.subject();
                // A server that was started may end again: that it was started is no proof that it helped.
                if !matches!(subject, Subject::Node(_))
                    && let Some(watched) = self.clusters.get_mut(&cluster)
                {
                    watched.memory.helped(&subject);
                }
                self.tell(Kind::Done, about, work.to_string());
            }
            Outcome::Refused(why) => self.tell(Kind::Refused, about, format!("refused: {work}. {why}")),
            Outcome::Failed(why) => self.tell(Kind::Failed, about, format!("failed: {work}: {why}")),
        }
        if let Some(reply) = reply {
            // Who asked may be gone.
            let _ = reply.send(outcome);
        }
    }
}

/// Waits for what the monitor does at this moment; for ever where it does nothing.
pub(super) async fn ended(acting: &mut Option<Act>) -> Outcome {
    match acting {
        Some(act) => match (&mut act.task).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error.to_string()),
        },
        None => std::future::pending().await,
    }
}
