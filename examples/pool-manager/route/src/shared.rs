//! What callers and probes share: the addresses, and the view of all of them.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{error, info, warn};

use crate::breaker::Breaker;
use crate::config::Config;
use crate::lsn::Lsn;
use crate::pool::Pool;
use crate::sight::Sight;
use crate::view::{Event, View};

/// What callers and probes share.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) members: Vec<Member>,
    /// Probes of all servers come at whole intervals since this time, so that what they say can be compared.
    pub(crate) began: Instant,
    view: watch::Sender<View>,
}

/// One address.
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) pool: Pool,
    /// Asks for a probe at once.
    pub(crate) kick: Arc<Notify>,
    breaker: Mutex<Breaker>,
    given_up: AtomicBool,
}

impl Member {
    pub(crate) fn new(name: String, pool: Pool) -> Self {
        Self {
            name,
            pool,
            kick: Arc::default(),
            breaker: Mutex::default(),
            given_up: AtomicBool::new(false),
        }
    }

    /// Notes whether a query has to ask for the next probe.
    pub(crate) fn give_up(&self, given_up: bool) {
        self.given_up.store(given_up, Ordering::Relaxed);
    }

    /// Returns whether a query has to ask for the next probe.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    pub(crate) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    pub(crate) fn new(config: Config, members: Vec<Member>) -> Self {
        let mut view = View::new(members.len(), config.failover_wait);
        view.begin_search(Instant::now());
        Self {
            config,
            members,
            began: Instant::now(),
            view: watch::Sender::new(view),
        }
    }

    /// Returns what is known now.
    pub(crate) fn view(&self) -> watch::Ref<'_, View> {
        self.view.borrow()
    }

    /// Returns what is known, and what comes to be known.
    pub(crate) fn subscribe(&self) -> watch::Receiver<View> {
        self.view.subscribe()
    }

    /// Takes in what a probe found.
    pub(crate) fn record(&self, index: usize, outcome: Result<Sight, String>) {
        self.change(|view| view.record(index, outcome, Instant::now()));
    }

    /// Takes in that a caller could not reach a server, and has it probed.
    pub(crate) fn suspect(&self, index: usize, reason: &str) {
        self.change(|view| view.suspect(index, reason.to_owned(), Instant::now()));
        self.members[index].kick.notify_one();
    }

    /// Takes in how far a standby has replayed.
    pub(crate) fn advance(&self, index: usize, replayed: Lsn) {
        self.view.send_modify(|view| view.advance(index, replayed));
    }

    /// Has every server probed at once.
    pub(crate) fn kick_all(&self) {
        for member in &self.members {
            member.kick.notify_one();
        }
    }

    /// Says what each server is.
    pub(crate) fn reasons(&self) -> String {
        let view = self.view();
        let members = self.members.iter().enumerate();
        let reasons = members.map(|(index, member)| format!("{}: {}", member.name, view.describe(index)));
        reasons.collect::<Vec<_>>().join("; ")
    }

    fn change(&self, change: impl FnOnce(&mut View) -> Vec<Event>) {
        let mut events = Vec::new();
        self.view.send_modify(|view| events = change(view));
        for event in events {
            self.act(&event);
        }
    }

    fn act(&self, event: &Event) {
        let name = |index: usize| self.members[index].name.as_str();
        match *event {
            Event::Established(index) => {
                self.members[index].breaker().close();
                info!(address = name(index), "Database connection established");
            }
            Event::Elected(index) => {
                let timeline = self.view().timeline();
                info!(address = name(index), timeline, "Database primary found");
            }
            Event::Lost(index) => {
                warn!(
                    address = name(index),
                    reason = self.view().describe(index),
                    "Database primary lost"
                );
                self.kick_all();
            }
            Event::Demoted(index) => {
                self.members[index].pool.close_all();
                warn!(
                    address = name(index),
                    "Database is no longer the primary; its connections are closed"
                );
            }
            Event::Conflict(one, two) => {
                error!(
                    first = name(one),
                    second = name(two),
                    "Two databases of one timeline take writes; neither is used"
                );
            }
            Event::Foreign(index) => {
                self.members[index].pool.close_all();
                error!(
                    address = name(index),
                    "Database belongs to another cluster than the first address; it is not used"
                );
            }
        }
    }
}
