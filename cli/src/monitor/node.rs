//! One node: what it is asked, how often, and what is told of it.

use std::sync::Arc;
use std::time::Duration;

use simdb_planner::watch::{DEADLINE, Heard, PERIOD};
use simdb_providers::platform::World;
use simdb_providers::signs::{self, Answer, Report, Signs};
use simdb_state::address::NodeAddress;
use simdb_state::place::Place;
use simdb_state::sensitive::Secrets;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How often a new session is opened, and a mark committed.
const SLOWLY: Duration = Duration::from_secs(1);

/// How long a new session, and a commit, may take: it is for the judgement to say how long is too long.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often a process that ended is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// What is told of a node.
#[derive(Debug)]
pub(super) enum Told {
    /// A sign of life, or of death.
    Heard(Heard),
    /// What its server said of itself.
    Report(Box<Report>),
}

/// What is needed to ask a node.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) world: World,
    pub(super) secrets: Arc<Secrets>,
    pub(super) node: NodeAddress,
    pub(super) place: Place,
    /// The number of its data directory.
    pub(super) generation: Option<u32>,
}

/// The tasks that watch one node; they end when it is dropped.
#[derive(Debug)]
pub(super) struct NodeWatch {
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for NodeWatch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// What is told, and of which node.
pub(super) type Inbox = mpsc::Sender<(NodeAddress, Told)>;

impl NodeWatch {
    /// Begins to watch a node.
    pub(super) fn start(asked: &Asked, to: &Inbox) -> Self {
        let process = tokio::spawn(process(asked.clone(), to.clone()));
        let answers = tokio::spawn(answers(asked.clone(), to.clone()));
        let entries = tokio::spawn(entries(asked.clone(), to.clone()));
        Self {
            tasks: vec![process, answers, entries],
        }
    }
}

async fn tell(to: &Inbox, node: &NodeAddress, told: Told) {
    // Where nobody listens any more, the task is about to be ended.
    let _ = to.send((node.clone(), told)).await;
}

/// Waits for the end of the process, and tells of it at once.
async fn process(asked: Asked, to: Inbox) {
    loop {
        let seen = signs::process(&asked.world, &asked.node, asked.generation).await;
        if let Some(there) = seen.has_data {
            tell(&to, &asked.node, Told::Heard(Heard::Data(there))).await;
        }
        match seen.runs {
            Some(true) => {
                tell(&to, &asked.node, Told::Heard(Heard::Runs)).await;
                signs::ended(&asked.world, &asked.node).await;
            }
            Some(false) => {
                tell(&to, &asked.node, Told::Heard(Heard::Ended)).await;
                sleep(LOOK).await;
            }
            None => sleep(PERIOD).await,
        }
    }
}

/// Asks on a session that is held open, and lets a server that writes commit a mark from time to time.
async fn answers(asked: Asked, to: Inbox) {
    let mut signs = Signs::new(
        asked.world.clone(),
        Arc::clone(&asked.secrets),
        asked.node.clone(),
        asked.place.clone(),
    );
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut committed = Instant::now();
    loop {
        ticks.tick().await;
        let told = match signs.ask(DEADLINE).await {
            Answer::Said(report) => {
                let writes = report.writes;
                tell(&to, &asked.node, Told::Report(Box::new(report))).await;
                if writes && committed.elapsed() >= SLOWLY {
                    committed = Instant::now();
                    match signs.commit(DEADLINE).await {
                        Answer::Said(()) => Some(Heard::Commit),
                        _ => None,
                    }
                } else {
                    None
                }
            }
            Answer::Replied(_) => Some(Heard::Reply),
            Answer::Starting => Some(Heard::Recovery),
            Answer::Refused(_) => Some(Heard::Refusal),
            Answer::Silent(_) => None,
        };
        if let Some(heard) = told {
            tell(&to, &asked.node, Told::Heard(heard)).await;
        }
    }
}

/// Opens new sessions.
async fn entries(asked: Asked, to: Inbox) {
    let signs = Signs::new(
        asked.world.clone(),
        Arc::clone(&asked.secrets),
        asked.node.clone(),
        asked.place.clone(),
    );
    let mut ticks = interval(SLOWLY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Answer::Said(()) | Answer::Replied(_) = signs.enter(PATIENCE).await {
            tell(&to, &asked.node, Told::Heard(Heard::Entry)).await;
        }
    }
}
