//! A connection that a caller has, and how it is had.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;

use crate::dial::Closed;
use crate::error::{Error, Trouble, reason};
use crate::pool::Slot;
use crate::shared::Shared;
use crate::sight::{Unseen, ask};

/// A connection that was idle for longer is asked what its server is before it is used again.
const STALE: Duration = Duration::from_secs(1);
const IS_STANDBY: &str = "SELECT pg_is_in_recovery()";

/// A connection to the database: a [`tokio_postgres::Client`] that goes back to its pool when it is dropped.
///
/// A transaction that was begun by hand must have ended by then.
pub struct Connection {
    shared: Arc<Shared>,
    index: usize,
    slot: Slot,
    /// Dropped now, the connection is closed: a transaction is under way, or the server is not what it was.
    is_spent: bool,
}

/// What a connection must be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    Write,
    Read,
}

/// Whether an open breaker keeps a caller away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heed {
    Breaker,
    /// All are open, so that each is as good as the others.
    Nothing,
}

impl Connection {
    /// Returns the server, as `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.shared.members[self.index].name
    }

    /// Takes in an error of this connection, and returns what it means: [`Error::Moved`] where the server takes no writes
    /// any more, [`Error::Broken`] where the connection has ended. The servers are then probed at once, and the connection
    /// is not used again.
    pub fn explain(&mut self, error: impl Into<Error>) -> Error {
        match error.into() {
            Error::Database(source) => self.judge(source, false),
            other => other,
        }
    }

    pub(crate) fn judge(&mut self, source: tokio_postgres::Error, in_commit: bool) -> Error {
        let address = self.address().to_owned();
        match Trouble::of(&source) {
            Trouble::None => Error::Database(source),
            Trouble::ReadOnly => {
                self.give_up("refused a write");
                Error::Moved { address }
            }
            Trouble::Gone => {
                self.give_up(&reason(&source));
                Error::Broken {
                    address,
                    in_commit,
                    source,
                }
            }
        }
    }

    /// Closes the connection, whose server is no longer what it was.
    fn give_up(&mut self, reason: &str) {
        self.is_spent = true;
        self.shared.suspect(self.index, reason);
    }

    pub(crate) fn begin(&mut self) {
        self.is_spent = true;
    }

    pub(crate) fn end(&mut self) {
        self.is_spent = false;
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

impl Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.slot.client()
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Client {
        self.slot.client_mut()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_spent {
            self.slot.discard();
        }
    }
}

impl Shared {
    /// Takes a connection out of a pool, or opens one. One that is new, or was idle, is asked whether its server is still
    /// good for what is needed.
    pub(crate) async fn checkout(self: &Arc<Self>, index: usize, need: Need, heed: Heed) -> Result<Connection, Error> {
        let member = &self.members[index];
        if heed == Heed::Breaker {
            let permit = member.breaker().permit(tokio::time::Instant::now());
            permit.map_err(|refusal| Error::Open {
                address: member.name.clone(),
                reason: refusal.reason,
                retry_in: refusal.retry_in,
            })?;
        }
        let patience = self.config.acquire_timeout;
        let mut slot = member.pool.take(patience).await.map_err(|_| Error::Exhausted {
            address: member.name.clone(),
            limit: member.pool.limit(),
            waited: patience,
        })?;
        if !self.is_usable(index, &mut slot, need).await? {
            slot.discard();
            self.open(index, &mut slot, need).await?;
        }
        member.breaker().close();
        Ok(Connection {
            shared: Arc::clone(self),
            index,
            slot,
            is_spent: false,
        })
    }

    /// Returns whether the connection of a slot can be used. That one has ended says nothing about its server.
    async fn is_usable(&self, index: usize, slot: &mut Slot, need: Need) -> Result<bool, Error> {
        if !slot.is_alive() {
            return Ok(false);
        }
        if slot.idle.is_none_or(|idle| idle < STALE) {
            return Ok(true);
        }
        match self.check(index, slot, need).await {
            Ok(()) => Ok(true),
            Err(Refused::Moved(error)) => Err(error),
            Err(Refused::Unseen(_)) => Ok(false),
        }
    }

    async fn open(&self, index: usize, slot: &mut Slot, need: Need) -> Result<(), Error> {
        let member = &self.members[index];
        let kick = Arc::clone(&member.kick);
        if let Err(closed) = member.pool.open(slot, move || kick.notify_one()).await {
            let gone = match &closed {
                Closed::Failed(error) => Trouble::of(error) == Trouble::Gone,
                Closed::Late(_) => true,
            };
            return Err(self.unreachable(index, closed.reason(), gone));
        }
        match self.check(index, slot, need).await {
            Ok(()) => Ok(()),
            Err(Refused::Moved(error)) => Err(error),
            Err(Refused::Unseen(reason)) => Err(self.unreachable(index, reason, true)),
        }
    }

    fn unreachable(&self, index: usize, reason: String, gone: bool) -> Error {
        let member = &self.members[index];
        member.breaker().fail(&reason, tokio::time::Instant::now());
        if gone {
            self.suspect(index, &reason);
        }
        Error::Connect {
            address: member.name.clone(),
            reason,
        }
    }

    /// Asks the server of a connection what it is.
    async fn check(&self, index: usize, slot: &mut Slot, need: Need) -> Result<(), Refused> {
        let row = ask(slot.client(), IS_STANDBY, self.config.probe_timeout).await;
        let standby = match row {
            Ok(row) => row.first().is_some_and(|first| first.as_deref() == Some("t")),
            Err(unseen) => {
                slot.discard();
                return Err(Refused::Unseen(match unseen {
                    Unseen::Failed(error) => reason(&error),
                    Unseen::Late(limit) => format!("no answer within {limit:?}"),
                    Unseen::Odd(reason) => reason,
                }));
            }
        };
        // The view may have changed meanwhile, and with it the pool's connections have ended.
        let moved = need == Need::Write && (standby || self.view().primary() != Some(index));
        if moved || !slot.is_alive() {
            slot.discard();
            if standby {
                self.suspect(index, "is a standby now");
            }
            let address = self.members[index].name.clone();
            return Err(Refused::Moved(Error::Moved { address }));
        }
        Ok(())
    }
}

/// Why a connection is not handed out.
enum Refused {
    Moved(Error),
    Unseen(String),
}
