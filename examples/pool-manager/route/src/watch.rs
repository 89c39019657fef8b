//! Probes one server for as long as the pools live: once a second while it answers, by its backoff while it does not, and
//! often while a primary is searched for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::Client;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{debug, error, warn};

use crate::backoff::{ATTEMPTS, Backoff, Retry, jittered};
use crate::dial::Way;
use crate::error::reason;
use crate::shared::Shared;
use crate::sight::{self, Sight, Unseen};

/// The wait between two probes at the begin of a search; each further one is twice as long.
const SEARCH_FIRST: Duration = Duration::from_millis(25);
/// The longest wait between two probes of a search.
const SEARCH_LONGEST: Duration = Duration::from_millis(400);
/// For so long a server that answers is asked without the waits growing: it may be the one that is promoted, and a failover
/// takes less.
const SEARCH_EAGER: Duration = Duration::from_secs(2);

/// Asks a server what it is.
pub(crate) trait Look: Send {
    /// Returns what the server is, or why it does not answer.
    fn look(&mut self) -> impl Future<Output = Result<Sight, String>> + Send;
}

/// Asks over a connection of its own, so that a pool that is used up blinds nothing.
pub(crate) struct Prober {
    pub(crate) way: Way,
    pub(crate) kick: Arc<Notify>,
    pub(crate) session: Option<(Client, DropGuard)>,
}

impl Look for Prober {
    async fn look(&mut self) -> Result<Sight, String> {
        let (client, guard) = if let Some(session) = self.session.take().filter(|(client, _)| !client.is_closed()) {
            session
        } else {
            let alive = CancellationToken::new();
            let kick = Arc::clone(&self.kick);
            let opened = self.way.open(alive.clone(), move || kick.notify_one()).await;
            (opened.map_err(|closed| closed.reason())?, alive.drop_guard())
        };
        let sight = sight::look(&client, self.way.limit)
            .await
            .map_err(|unseen| match unseen {
                Unseen::Failed(error) => reason(&error),
                Unseen::Late(limit) => format!("no answer within {limit:?}"),
                Unseen::Odd(reason) => reason,
            })?;
        self.session = Some((client, guard));
        Ok(sight)
    }
}

/// Probes a server for ever.
pub(crate) async fn watch(shared: Arc<Shared>, index: usize, mut look: impl Look) {
    let mut pace = Pace::new(shared.config.probe_interval);
    let kick = &shared.members[index].kick;
    loop {
        let began = Instant::now();
        let outcome = look.look().await;
        if let Some((retry, reason)) = pace.settle(&outcome, Instant::now()) {
            log(retry, &shared.members[index].name, reason);
        }
        shared.members[index].give_up(matches!(pace.state, State::Failed));
        shared.record(index, outcome);
        let now = Instant::now();
        let searching = shared.view().is_searching(now);
        let due = pace.due(now, shared.began, searching);
        tokio::select! {
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            () = kick.notified() => {}
        }
        // However many ask for it.
        sleep_until(began + pace.shortest(searching)).await;
    }
}

fn log(retry: Retry, address: &str, reason: &str) {
    match retry {
        Retry::After { attempt, wait } => {
            let wait = wait.as_secs();
            warn!(
                address,
                "Connection attempt {attempt} failed: {reason}. Retrying in {wait}s"
            );
        }
        Retry::GivenUp => {
            error!(
                address,
                reason, "Failed to establish connection after {ATTEMPTS} attempts"
            );
        }
        Retry::StillFailed => debug!(address, reason, "Connection attempt for a query failed"),
    }
}

/// When a server is probed next.
struct Pace {
    interval: Duration,
    backoff: Backoff,
    state: State,
    /// The next wait of a search.
    search: Duration,
    /// Until when the waits of a search do not grow while the server answers.
    eager_until: Option<Instant>,
}

enum State {
    Well,
    /// The next attempt that counts.
    Retrying(Instant),
    /// A query has to ask for an attempt.
    Failed,
}

impl Pace {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            backoff: Backoff::default(),
            state: State::Well,
            search: SEARCH_FIRST,
            eager_until: None,
        }
    }

    /// Takes in an outcome. Returns what follows a failure that counts: those between two attempts do not.
    fn settle<'a>(&mut self, outcome: &'a Result<Sight, String>, now: Instant) -> Option<(Retry, &'a str)> {
        let Err(reason) = outcome else {
            self.backoff.succeed();
            self.state = State::Well;
            return None;
        };
        if matches!(self.state, State::Retrying(due) if now < due) {
            return None;
        }
        let retry = self.backoff.fail();
        self.state = match retry {
            Retry::After { wait, .. } => State::Retrying(now + jittered(wait, fastrand::f64())),
            Retry::GivenUp | Retry::StillFailed => State::Failed,
        };
        Some((retry, reason))
    }

    /// Returns when the next probe is due; never, where a query has to ask for it.
    fn due(&mut self, now: Instant, began: Instant, searching: bool) -> Option<Instant> {
        let due = match self.state {
            State::Well => Some(next_tick(now, began, self.interval)),
            State::Retrying(due) => Some(due),
            State::Failed => None,
        };
        if !searching {
            self.search = SEARCH_FIRST;
            self.eager_until = None;
            return due;
        }
        let wait = now + self.search;
        let eager_until = *self.eager_until.get_or_insert(now + SEARCH_EAGER);
        if !matches!(self.state, State::Well) || now >= eager_until {
            self.search = (self.search * 2).min(SEARCH_LONGEST);
        }
        Some(due.map_or(wait, |due| due.min(wait)))
    }

    /// Returns the shortest time from one probe to the next.
    fn shortest(&self, searching: bool) -> Duration {
        match self.state {
            State::Failed if !searching => self.interval,
            _ => SEARCH_FIRST.min(self.interval),
        }
    }
}

/// Returns the next whole interval since the begin.
fn next_tick(now: Instant, began: Instant, interval: Duration) -> Instant {
    let passed = (now - began).as_nanos() / interval.as_nanos().max(1);
    let ticks = u32::try_from(passed + 1).unwrap_or(u32::MAX);
    began + interval * ticks
}

#[cfg(test)]
mod tests;
