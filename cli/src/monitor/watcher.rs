//! The watcher: one loop that hears, judges, begins what was decided, and shows the round.

mod follow;
mod work;

use std::collections::BTreeMap;
#[cfg(feature = "monitor-api")]
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
#[cfg(feature = "monitor-api")]
use simdb_planner::config::Hook;
use simdb_planner::watch::{self, Case, Decision, PERIOD, Standing, Subject};
use simdb_state::address::NodeAddress;
use simdb_state::journal::EventKind;
use simdb_state::lock::Owner;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::store::Store;
use tokio::sync::{mpsc, watch as channel};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::work::{Act, ended};
use super::act::{Ground, Work};
use super::board::{Acting, Board, Kind, News, Publisher, Round, Watched};
use super::cluster::ClusterWatch;
use super::log::Log;
use super::node::{Asked, NodeWatch, Told};
#[cfg(feature = "monitor-api")]
use super::notify::{self, Deliveries};
use super::order::{self, Orders};
use super::record::{self, Stored};
use crate::error::CliError;
use crate::interrupt::Interrupt;
use crate::session::Project;
use crate::ui::Ui;

/// How many messages of nodes may wait. One that finds no room waits itself, and its node is silent meanwhile.
const INBOX: usize = 1_024;

/// How long the record may be silent before the monitor decides nothing any more.
const STORE_LIMIT: Duration = Duration::from_secs(2);

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

    /// Returns where orders are given.
    pub(crate) fn orders(&self) -> Orders {
        self.watcher.to_orders.clone()
    }

    /// Begins to tell hooks of its events, until what is returned is dropped.
    #[cfg(feature = "monitor-api")]
    pub(crate) fn notify(&self, hooks: &[Hook], directory: &Path) -> (JoinSet<()>, Deliveries) {
        notify::start(hooks, directory, &self.board(), &self.watcher.to_news)
    }

    /// Watches until it is told to end.
    pub(crate) async fn run(mut self) {
        self.watcher.watch().await;
        self.end.cancel();
        // The right to decide is given up before the program ends, so that another monitor need not wait for it.
        let _ = self.follower.await;
    }
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

struct Watcher {
    ground: Ground,
    /// This process: what it does itself is not the work of another.
    owner: Owner,
    stored: channel::Receiver<Arc<Stored>>,
    seen: Arc<Stored>,
    inbox: mpsc::Receiver<(NodeAddress, Told)>,
    to_inbox: mpsc::Sender<(NodeAddress, Told)>,
    nodes: BTreeMap<NodeAddress, (Asked, NodeWatch)>,
    clusters: BTreeMap<ClusterName, ClusterWatch>,
    /// Whether servers that end are somebody's work.
    acting: Option<Act>,
    orders: mpsc::Receiver<order::Asked>,
    to_orders: Orders,
    /// What others have to tell: hooks that could not be told.
    news: mpsc::Receiver<News>,
    to_news: mpsc::Sender<News>,
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
            at_work: None,
            late: Duration::ZERO,
            took: Duration::ZERO,
            state: Arc::clone(&seen.state),
            serial: seen.serial,
            store_away: None,
            clusters: BTreeMap::new(),
        });
        let log = Log::new(Arc::clone(&ground.ui), ground.json);
        let (to_orders, orders) = Orders::new();
        let (to_news, news) = mpsc::channel(INBOX);
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
            orders,
            to_orders,
            news,
            to_news,
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
                Some(asked) = self.orders.recv() => self.ordered(asked),
                Some(news) = self.news.recv() => self.log.event(&self.publisher.tell(news)),
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
            at_work: self.others_at_work(),
            late: round.late,
            took,
            state: Arc::clone(&self.seen.state),
            serial: self.seen.serial,
            store_away: self.seen.trouble.clone(),
            clusters,
        });
    }

    /// Judges a cluster and begins what is decided. What servers do is told, unless it is somebody's work and decides nothing.
    fn judge(&mut self, name: &ClusterName, round: &watch::Round, now: Duration) -> Watched {
        let at_work = self.at_work(name);
        // An order is a person's, too.
        let ordered = self
            .acting
            .as_ref()
            .is_some_and(|act| matches!(&act.work, Work::Ordered(ordered) if ordered.cluster == *name));
        let watched = self
            .clusters
            .get_mut(name)
            .expect("it is one of those that are watched");
        let is_quiet = watched.quiet.note(at_work.is_some() || ordered, now);
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
        // Whose doing the end of a server is may be read from the record a moment after it.
        let is_unread = watched.ended.is_some_and(|ended| self.seen.asked < ended) && !self.seen.is_away(STORE_LIMIT);
        // While an order is carried out nothing else is begun but what is about the lead.
        let counts = |decision: &Decision| !ordered || decision.subject() == Subject::Lead;
        let decides = judgement.decision.as_ref().is_some_and(counts);
        let news = if (is_quiet || is_unread) && !decides {
            Vec::new()
        } else {
            watched.news(name, &judgement)
        };
        for news in news {
            let term = self.seen.state.elections.get(name).map(|election| election.term);
            let event = self.publisher.tell(News { term, ..news });
            self.log.event(&event);
        }
        if let Some(decision) = &judgement.decision {
            self.begin(name, decision);
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
                .filter(|act| act.work.cluster() == name)
                .map(|act| Acting {
                    what: act.work.to_string(),
                    is_role_change: act.work.subject() == Subject::Lead,
                    since: act.since,
                }),
            judgement,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
