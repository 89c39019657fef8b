//! The connections to one address: how many there may be, which are idle, and the end of all of them at once.
//!
//! A pool of its own, as the usual ones keep a connection that is in use out of reach: here a demotion closes it under
//! its user, at once, and a connection that is being opened meanwhile is never handed out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::dial::{Closed, Way};

/// A slot reaches its caller with a connection, and only its end takes that away.
const OPEN: &str = "a slot is handed out with its connection";

/// The connections to one address.
pub(crate) struct Pool {
    way: Way,
    limit: usize,
    permits: Arc<Semaphore>,
    state: Arc<Mutex<Connections>>,
}

struct Connections {
    idle: Vec<Idle>,
    /// Ends every connection that was opened since the last end of all.
    alive: CancellationToken,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// An open connection, and what ends it at once.
struct Link {
    client: Client,
    end: CancellationToken,
}

/// The right to one connection, and the connection once it is open.
pub(crate) struct Slot {
    link: Option<Link>,
    /// How long it was idle; `None` for a connection that was opened just now.
    pub(crate) idle: Option<Duration>,
    alive: CancellationToken,
    state: Arc<Mutex<Connections>>,
    _permit: OwnedSemaphorePermit,
}

/// All connections stayed in use.
#[derive(Debug)]
pub(crate) struct Exhausted;

impl Pool {
    pub(crate) fn new(way: Way, limit: usize) -> Self {
        Self {
            way,
            limit,
            permits: Arc::new(Semaphore::new(limit)),
            state: Arc::new(Mutex::new(Connections {
                idle: Vec::new(),
                alive: CancellationToken::new(),
            })),
        }
    }

    /// Returns how many connections there may be.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Returns how many connections are in use.
    pub(crate) fn in_use(&self) -> usize {
        self.limit - self.permits.available_permits()
    }

    /// Takes an idle connection, or the right to open one.
    pub(crate) async fn take(&self, patience: Duration) -> Result<Slot, Exhausted> {
        let permit = timeout(patience, Arc::clone(&self.permits).acquire_owned()).await;
        let permit = permit.map_err(|_| Exhausted)?.expect("the semaphore is never closed");
        let mut state = lock(&self.state);
        // What was used last is the likeliest to be alive, and lets the others age.
        let idle = std::iter::from_fn(|| state.idle.pop()).find(|idle| !idle.link.client.is_closed());
        let alive = state.alive.clone();
        drop(state);
        Ok(Slot {
            idle: idle.as_ref().map(|idle| idle.since.elapsed()),
            link: idle.map(|idle| idle.link),
            alive,
            state: Arc::clone(&self.state),
            _permit: permit,
        })
    }

    /// Opens the connection of a slot that has none.
    pub(crate) async fn open(&self, slot: &mut Slot, broken: impl FnOnce() + Send + 'static) -> Result<(), Closed> {
        let end = slot.alive.child_token();
        let client = self.way.open(end.clone(), broken).await?;
        slot.link = Some(Link { client, end });
        slot.idle = None;
        Ok(())
    }

    /// Closes every connection, those in use included.
    pub(crate) fn close_all(&self) {
        let mut state = lock(&self.state);
        state.idle.clear();
        std::mem::take(&mut state.alive).cancel();
    }
}

impl Slot {
    /// Returns whether there is a connection that may be used.
    pub(crate) fn is_alive(&self) -> bool {
        !self.alive.is_cancelled() && self.link.as_ref().is_some_and(|link| !link.client.is_closed())
    }

    pub(crate) fn client(&self) -> &Client {
        &self.link.as_ref().expect(OPEN).client
    }

    pub(crate) fn client_mut(&mut self) -> &mut Client {
        &mut self.link.as_mut().expect(OPEN).client
    }

    /// Closes the connection, whatever it is in the middle of.
    pub(crate) fn discard(&mut self) {
        if let Some(link) = self.link.take() {
            link.end.cancel();
        }
    }
}

impl Drop for Slot {
    /// Gives the connection back where it may be used again.
    fn drop(&mut self) {
        // Within the lock, so that the end of all comes before or after.
        let shared = Arc::clone(&self.state);
        let mut state = lock(&shared);
        if self.is_alive()
            && let Some(link) = self.link.take()
        {
            let since = Instant::now();
            state.idle.push(Idle { link, since });
        }
    }
}

/// Locks what no holder leaves half changed.
fn lock(state: &Mutex<Connections>) -> std::sync::MutexGuard<'_, Connections> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
