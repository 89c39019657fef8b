//! The watcher: one loop that hears, judges, begins what was decided, and shows the round.

mod follow;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use simdb_planner::watch::{self, Case, Decision, PERIOD, Standing, Subject};
use simdb_state::address::NodeAddress;
use simdb_state::claim::Pause;
use simdb_state::journal::EventKind;
use simdb_state::lock::Owner;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::Term;
use simdb_state::store::Store;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::act::{self, Ground, Outcome};
use super::board::{Acting, Board, Kind, News, Publisher, Round, Watched};
use super::cluster::ClusterWatch;
use super::log::Log;
use super::node::{Asked, NodeWatch, Told};
use super::record::{self, Stored, words};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::request::Decided;
use crate::session::Project;
use crate::ui::Ui;

/// How many messages of nodes may wait. One that finds no room waits itself, and its node is silent meanwhile.
const INBOX: usize = 1_024;

/// How long the record may be silent before the monitor decides nothing any more.
const STORE_LIMIT: Duration = Duration::from_secs(2);

/// How long steps that run may take to end where a lost primary is more urgent.
const PATIENCE: Duration = Duration::from_secs(1);

/// How a monitor runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long it may be silent before another one decides.
    pub(crate) lease: Duration,
    /// Whether events and runs are told as JSON lines.
    pub(crate) json: bool,
}

/// A monitor that is about to watch.
pub(crate) struct Monitor {
    watcher: Watcher,
    follower: JoinHandle<()>,
    end: CancellationToken,
}

impl Monitor {
    /// Reads the record, and begins to ask servers.
    pub(crate) async fn open(
        project: Project,
        store: Store,
        settings: &Settings,
        ui: &Arc<Ui>,
        interrupt: &Interrupt,
    ) -> Result<Self, CliError> {
        let store = store.leasing(settings.lease);
        let (to_stored, stored) = channel::channel(Arc::new(record::first(&store).await?));
        let end = CancellationToken::new();
        let claim = store.claim(settings.lease);
        let follower = tokio::spawn(record::follow(store.clone(), claim, to_stored, end.clone()));
        let ground = Ground {
            project: Arc::new(project),
            store,
            ui: Arc::clone(ui),
            interrupt: interrupt.clone(),
            json: settings.json,
        };
        let watcher = Watcher::new(ground, stored).await?;
        Ok(Self { watcher, follower, end })
    }

    /// Returns what others read its rounds and events from, also after it has ended.
    pub(crate) fn board(&self) -> Board {
        self.watcher.publisher.board()
    }

    /// Watches until it is told to end.
    pub(crate) async fn run(mut self) {
        self.watcher.watch().await;
        self.end.cancel();
        // The right to decide is given up before the program ends, so that another monitor need not wait for it.
        let _ = self.follower.await;
    }
}

/// What a monitor does at this moment.
struct Act {
    cluster: ClusterName,
    decision: Decision,
    /// The last election when it began.
    term: Option<Term>,
    since: Timestamp,
    task: JoinHandle<Outcome>,
    interrupt: Interrupt,
    /// Since when it is to end for something that is more urgent.
    preempted: Option<Instant>,
}

/// When the watcher was at work last, by its own clock.
struct Pace {
    last: Duration,
}

impl Pace {
    /// Returns by how much a round that begins now comes too late.
    fn late(&self, now: Duration) -> Duration {
        now.saturating_sub(self.last).saturating_sub(PERIOD)
    }

    /// Begins a round, and returns how late that is. The next one is measured from here, so that it knows of a sleep within this one.
    fn begin(&mut self, now: Duration) -> Duration {
        let late = self.late(now);
        self.last = now;
        late
    }
}

/// Returns whether a decision that is carried out changes who leads, and no new primary leads yet; given the last election when that began,
/// and the present one where its winner leads.
fn has_no_primary_yet(decision: &Decision, began: Option<Term>, settled: Option<Term>) -> bool {
    match decision {
        // Before its own election is held, the winner of the one before is the primary that was lost.
        Decision::Elect { .. } | Decision::GoBack { .. } => settled.is_none() || settled == began,
        Decision::Finish { .. } => settled.is_none(),
        _ => false,
    }
}

struct Watcher {
    ground: Ground,
    /// This process: what it does itself is nobody else's work.
    owner: Owner,
    stored: channel::Receiver<Arc<Stored>>,
    seen: Arc<Stored>,
    inbox: mpsc::Receiver<(NodeAddress, Told)>,
    to_inbox: mpsc::Sender<(NodeAddress, Told)>,
    nodes: BTreeMap<NodeAddress, (Asked, NodeWatch)>,
    clusters: BTreeMap<ClusterName, ClusterWatch>,
    acting: Option<Act>,
    /// What was begun beside runs: pauses that the monitor notes itself.
    notes: JoinSet<Result<(), String>>,
    publisher: Publisher,
    log: Log,
    started: Instant,
    number: u64,
    standing: Standing,
    /// Whether the record did not answer when that was last told.
    was_away: bool,
}

impl Watcher {
    async fn new(ground: Ground, stored: channel::Receiver<Arc<Stored>>) -> Result<Self, CliError> {
        let seen = Arc::clone(&stored.borrow());
        let (to_inbox, inbox) = mpsc::channel(INBOX);
        let owner = Owner::this_process("monitor", Duration::ZERO);
        let standing = Standing::Observes("it has not asked for the right to decide yet".to_owned());
        let started = Timestamp::now();
        let publisher = Publisher::new(Round {
            number: 0,
            at: started,
            started,
            who: owner.who.clone(),
            standing: standing.clone(),
            late: Duration::ZERO,
            took: Duration::ZERO,
            state: Arc::clone(&seen.state),
            serial: seen.serial,
            store_away: None,
            clusters: BTreeMap::new(),
        });
        let log = Log::new(Arc::clone(&ground.ui), ground.json);
        let mut watcher = Self {
            ground,
            owner,
            stored,
            seen,
            inbox,
            to_inbox,
            nodes: BTreeMap::new(),
            clusters: BTreeMap::new(),
            acting: None,
            notes: JoinSet::new(),
            publisher,
            log,
            started: Instant::now(),
            number: 0,
            standing,
            was_away: false,
        };
        watcher.follow_record();
        watcher.remember_failovers().await?;
        Ok(watcher)
    }

    /// Notes the failovers of the last hour, of which the record tells.
    async fn remember_failovers(&mut self) -> Result<(), CliError> {
        let now = Timestamp::now();
        for event in self.ground.store.events().await? {
            if event.kind != EventKind::Failover {
                continue;
            }
            let Ok(at) = event.at.parse::<Timestamp>() else {
                continue;
            };
            let ago = Duration::try_from(now.duration_since(at)).unwrap_or_default();
            for cluster in event.addresses.iter().filter_map(|address| address.cluster()) {
                if let Some(watched) = self.clusters.get_mut(cluster) {
                    watched.memory.failed_over(ago, Duration::ZERO);
                }
            }
        }
        Ok(())
    }

    fn tell(&mut self, kind: Kind, about: (Option<&ClusterName>, Option<&NodeName>), text: impl Into<String>) {
        let (cluster, node) = about;
        let term = cluster.and_then(|cluster| self.seen.state.elections.get(cluster));
        let event = self.publisher.tell(News {
            kind,
            cluster: cluster.cloned(),
            node: node.cloned(),
            term: term.map(|election| election.term),
            text: text.into(),
        });
        self.log.event(&event);
    }

    async fn watch(&mut self) {
        self.tell(
            Kind::Started,
            (None, None),
            match self.clusters.len() {
                1 => "watching 1 cluster".to_owned(),
                many => format!("watching {many} clusters"),
            },
        );
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pace = Pace { last: self.now() };
        loop {
            let mut due = false;
            let finish = self.ground.interrupt.finish.clone();
            tokio::select! {
                () = finish.cancelled() => break,
                Some(told) = self.inbox.recv() => due |= self.hear(told),
                outcome = ended(&mut self.acting) => {
                    self.acted(outcome);
                    due = true;
                }
                Some(noted) = self.notes.join_next() => {
                    if let Ok(Err(why)) = noted {
                        self.tell(Kind::Failed, (None, None), format!("failed to note a pause: {why}"));
                    }
                }
                _ = ticks.tick() => due = true,
            }
            while let Ok(told) = self.inbox.try_recv() {
                due |= self.hear(told);
            }
            // However long the loop slept, everything that it was told meanwhile waited as long.
            let now = self.now();
            if due || !pace.late(now).is_zero() {
                self.round(now, pace.begin(now));
            }
        }
        self.finish().await;
    }

    /// Lets what was begun come to its end: a run is told to finish by the same interrupt.
    async fn finish(&mut self) {
        if let Some(act) = self.acting.take() {
            let _ = act.task.await;
        }
        self.nodes.clear();
    }

    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// Notes what was told of a node, and returns whether that is to be judged at once.
    fn hear(&mut self, (node, told): (NodeAddress, Told)) -> bool {
        let now = self.now();
        let state = Arc::clone(&self.seen.state);
        let Some(cluster) = self.clusters.get_mut(&node.cluster) else {
            return false;
        };
        cluster.hear(&node, told, (&state, now))
    }

    /// Judges what was heard up to this time. What passes while it does counts for no node: the process may be halted here, too.
    fn round(&mut self, now: Duration, late: Duration) {
        let began = Instant::now();
        self.number += 1;
        self.follow_record();
        if late > PERIOD {
            self.clusters.values_mut().for_each(|cluster| cluster.memory.wake(now));
        }
        self.stand();
        let round = watch::Round {
            running: now,
            complete: self.number > 1,
            late,
            standing: self.standing.clone(),
            hears: self.clusters.values().any(|cluster| cluster.answers(now)),
            at_work: None,
        };
        let names: Vec<ClusterName> = self.clusters.keys().cloned().collect();
        let mut shown = BTreeMap::new();
        for name in names {
            let watched = self.judge(&name, &round, now);
            shown.insert(name, watched);
        }
        self.show(shown, &round, began.elapsed());
    }

    fn show(&mut self, clusters: BTreeMap<ClusterName, Watched>, round: &watch::Round, took: Duration) {
        let before = self.publisher.board().round();
        self.publisher.show(Round {
            number: self.number,
            at: Timestamp::now(),
            started: before.started,
            who: before.who.clone(),
            standing: round.standing.clone(),
            late: round.late,
            took,
            state: Arc::clone(&self.seen.state),
            serial: self.seen.serial,
            store_away: self.seen.trouble.clone(),
            clusters,
        });
    }

    fn judge(&mut self, name: &ClusterName, round: &watch::Round, now: Duration) -> Watched {
        let at_work = self.at_work(name);
        let watched = self
            .clusters
            .get_mut(name)
            .expect("it is one of those that are watched");
        let (evidence, history) = (watched.memory.evidence(now), watched.memory.history(now));
        let judgement = watch::judge(Case {
            cluster: name,
            recorded: &self.seen.state,
            evidence: &evidence,
            history: &history,
            round: &watch::Round {
                at_work: at_work.clone(),
                ..round.clone()
            },
        });
        for news in watched.news(name, &judgement) {
            let term = self.seen.state.elections.get(name).map(|election| election.term);
            let event = self.publisher.tell(News { term, ..news });
            self.log.event(&event);
        }
        if let Some(decision) = &judgement.decision {
            self.begin(name, decision.clone());
        }
        let watched = &self.clusters[name];
        Watched {
            evidence,
            history,
            reports: watched.reports.clone(),
            pause: watched.pause.clone(),
            acting: self
                .acting
                .as_ref()
                .filter(|act| act.cluster == *name)
                .map(|act| Acting {
                    what: act.decision.to_string(),
                    is_role_change: act.decision.subject() == Subject::Lead,
                    since: act.since,
                }),
            judgement,
        }
    }

    /// Begins what was decided, where nothing else is being done: one lock is held at a time.
    fn begin(&mut self, name: &ClusterName, decision: Decision) {
        if self.acting.is_some() {
            return self.preempt(name, &decision);
        }
        let now = self.now();
        let watched = self.clusters.get_mut(name).expect("it was judged");
        watched.memory.tried(decision.subject(), now);
        self.tell(Kind::Decided, (Some(name), None), decision.to_string());
        if let Decision::Pause { failovers } = decision {
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
        let interrupt = Interrupt {
            finish: self.ground.interrupt.finish.child_token(),
            stop: CancellationToken::new(),
        };
        self.acting = Some(Act {
            cluster: name.clone(),
            decision,
            term: decided.term,
            since: Timestamp::now(),
            task: act::begin(self.ground.clone(), decided, interrupt.clone()),
            interrupt,
            preempted: None,
        });
    }

    /// Ends what is being done where a lost primary is more urgent: at first after the steps that run, then at once. A role change that
    /// has no new primary yet is never disturbed.
    fn preempt(&mut self, cluster: &ClusterName, decision: &Decision) {
        let Some(act) = self.acting.as_mut() else { return };
        let state = &self.seen.state;
        let leads = state.elections.get(&act.cluster).zip(state.leader(&act.cluster));
        let settled = leads.filter(|(election, leader)| election.primary == leader.node);
        let settled = settled.map(|(election, _)| election.term);
        // What is done for this very object is not over yet.
        let is_done = act.cluster == *cluster && act.decision.subject() == decision.subject();
        if !decision.is_urgent(cluster, state) || is_done || has_no_primary_yet(&act.decision, act.term, settled) {
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

    /// Takes note of what came of a decision.
    fn acted(&mut self, outcome: Outcome) {
        let Some(Act { cluster, decision, .. }) = self.acting.take() else {
            return;
        };
        let about = (Some(&cluster), None);
        match outcome {
            Outcome::Done => {
                let subject = decision.subject();
                // A server that was started may end again: that it was started is no proof that it helped.
                if !matches!(subject, Subject::Node(_))
                    && let Some(watched) = self.clusters.get_mut(&cluster)
                {
                    watched.memory.helped(&subject);
                }
                self.tell(Kind::Done, about, decision.to_string());
            }
            Outcome::Refused(why) => self.tell(Kind::Refused, about, format!("refused: {decision}. {why}")),
            Outcome::Failed(why) => self.tell(Kind::Failed, about, format!("failed: {decision}: {why}")),
        }
    }
}

/// Waits for what the monitor does at this moment; for ever where it does nothing.
async fn ended(acting: &mut Option<Act>) -> Outcome {
    match acting {
        Some(act) => match (&mut act.task).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome::Failed(error.to_string()),
        },
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_change_is_disturbed_once_its_new_primary_leads_and_not_before() {
        let go_back = Decision::GoBack {
            to: "a".parse().unwrap(),
        };
        let is_kept = |settled| has_no_primary_yet(&go_back, Some(Term(1)), settled);
        assert!(is_kept(Some(Term(1))), "its election is yet to be held");
        assert!(is_kept(None), "the winner does not lead yet");
        assert!(!is_kept(Some(Term(2))));
        assert!(!has_no_primary_yet(&Decision::Restore, Some(Term(1)), None));
    }

    #[test]
    fn a_sleep_counts_wherever_it_falls() {
        let second = Duration::from_secs(1);
        let mut pace = Pace { last: second };
        assert_eq!(pace.begin(second + PERIOD), Duration::ZERO);
        // The process was halted for four seconds while that round was judged.
        let next = second + PERIOD + PERIOD + 4 * second;
        assert_eq!(pace.late(next), 4 * second);
        assert_eq!(pace.begin(next), 4 * second);
        assert_eq!(pace.begin(next + PERIOD), Duration::ZERO);
    }
}
