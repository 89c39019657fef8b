//! Writes under load and keeps account, so that it can be said afterwards what became of every write.
//!
//! ```text
//!   Ledger::start ─► clients write until ─► stop ─► Written ─► check ─► Report
//!                    (servers may fail,                  └────► remove
//!                     the primary may move)
//! ```
//!
//! Each client numbers its own rows, tries each number once, and keeps what came of it ([`Fate`]): *acknowledged*, *failed*
//! (the server said so before the commit), or *unknown*: the connection broke, nobody answered in time, or the server
//! warned. The warning matters: a commit whose wait for its standbys is cancelled is reported to the client as a success,
//! with a warning that it may not be replicated. A row that is acknowledged and missing on a node is lost there; one that
//! is unknown may be there or not.
//!
//! ```no_run
//! # use std::time::Duration;
//! # use simdb_providers::engine::postgresql::ledger::{Ledger, LedgerError, Load, Target};
//! # async fn example(target: Target, servers: &[simdb_planner::plan::Server], sessions: &simdb_providers::sessions::Sessions<'_>) -> Result<(), LedgerError> {
//! let ledger = Ledger::start(target, Load::default()).await?;
//! ledger.further(100).await;            // a hundred more rows are acknowledged
//! // … move the primary …
//! ledger.further(100).await;            // and so they are again
//! let written = ledger.stop().await;
//! let report = written.check(servers, sessions, Duration::from_secs(30)).await?;
//! assert!(report.nothing_is_lost(), "{report:?}");
//! written.remove().await
//! # }
//! ```
//!
//! A ledger survives that the primary moves to another host of its target: it writes to whichever server of them takes
//! writes. Its table is `simdb_ledger.run_…`, one for each ledger; ledgers side by side do not disturb each other. What one
//! leaves that was killed is removed by the next that starts.

mod check;
mod fate;
mod session;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use simdb_state::place::HostPort;
use simdb_state::sensitive::Sensitive;
use thiserror::Error;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

pub use check::Report;
pub use fate::{Entry, Fate, Fates, Found, Missing, Tally};
use session::{Answer, Entrance};

use super::Cause;
use super::converge::ConvergeError;

/// The schema of the tables of all ledgers.
pub const SCHEMA: &str = "simdb_ledger";

/// How long a ledger looks for a server that writes before it starts or is removed.
const FIND_LIMIT: Duration = Duration::from_secs(30);

/// How long making and removing the table may take; both commit.
const TABLE_LIMIT: Duration = Duration::from_secs(30);

/// How long a client whose write was refused waits before it tries again.
const PAUSE: Duration = Duration::from_millis(20);

/// Where a ledger writes.
#[derive(Clone, Debug)]
pub struct Target {
    /// Where the servers are reached among which the one that writes is looked for, as by `target_session_attrs=read-write`.
    pub hosts: Vec<HostPort>,
    /// The login.
    pub user: String,
    /// Its password.
    pub password: Sensitive<String>,
    /// The database.
    pub database: String,
}

/// How much a ledger writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many clients write at once.
    pub clients: u32,
    /// How long a client rests after a row that was acknowledged.
    pub pause: Duration,
    /// How long a client waits for an answer before it gives the row up as unknown.
    pub answer_limit: Duration,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            clients: 4,
            pause: Duration::ZERO,
            answer_limit: Duration::from_secs(10),
        }
    }
}

/// Why a ledger could not be kept.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// No server takes writes.
    #[error("find a server that writes within {limit:?}: {}", list(.refusals))]
    Unreachable {
        /// How long it was looked for.
        limit: Duration,
        /// What each host said last.
        refusals: BTreeMap<HostPort, String>,
    },
    /// The table cannot be made or removed.
    #[error("{doing} the table of the ledger")]
    Table {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// The table's name cannot be made up.
    #[error("make up a name for the table of the ledger")]
    Name(#[source] getrandom::Error),
    /// The servers cannot be compared.
    #[error(transparent)]
    Converge(#[from] ConvergeError),
}

fn list(refusals: &BTreeMap<HostPort, String>) -> String {
    let refusals = refusals.iter().map(|(host, refusal)| format!("{host}: {refusal}"));
    refusals.collect::<Vec<_>>().join("; ")
}

/// Clients that write. Dropping it ends them and leaves the table.
#[derive(Debug)]
pub struct Ledger {
    entrance: Arc<Entrance>,
    started: Instant,
    acknowledged: watch::Receiver<u64>,
    stop: CancellationToken,
    clients: JoinSet<(u32, Vec<Fate>)>,
}

/// What a ledger wrote.
#[derive(Debug)]
pub struct Written {
    /// What became of each row, by client.
    pub fates: Fates,
    entrance: Arc<Entrance>,
}

impl Ledger {
    /// Makes the table and lets clients write to it.
    pub async fn start(target: Target, load: Load) -> Result<Ledger, LedgerError> {
        let entrance = Arc::new(Entrance::new(target)?);
        let session = entrance.find(FIND_LIMIT).await?;
        let made = timeout(TABLE_LIMIT, session.run(&entrance.creation())).await;
        table("make", made)?;
        let (sender, acknowledged) = watch::channel(0);
        let client = Client {
            entrance: Arc::clone(&entrance),
            load,
            started: Instant::now(),
            acknowledged: Arc::new(sender),
            stop: CancellationToken::new(),
        };
        let (started, stop) = (client.started, client.stop.clone());
        let mut clients = JoinSet::new();
        for number in 0..load.clients {
            let client = client.clone();
            clients.spawn(async move { (number, client.write(number).await) });
        }
        Ok(Ledger {
            entrance,
            started,
            acknowledged,
            stop,
            clients,
        })
    }

    /// Returns when the clients were let loose: the times of [`Fates`] count from here.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// Returns how many rows are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Waits until so many more rows are acknowledged. Has no limit of its own.
    pub async fn further(&self, rows: u64) {
        let mut acknowledged = self.acknowledged.clone();
        let goal = *acknowledged.borrow() + rows;
        // The clients hold the other end for as long as the ledger is there.
        drop(acknowledged.wait_for(|count| *count >= goal).await);
    }

    /// Ends the clients. A write that is under way is waited for as long as its client would.
    pub async fn stop(mut self) -> Written {
        self.stop.cancel();
        let lasted = self.started.elapsed();
        let mut fates = BTreeMap::new();
        while let Some(joined) = self.clients.join_next().await {
            match joined {
                Ok((client, ends)) => drop(fates.insert(client, ends)),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        Written {
            fates: Fates::new(fates, lasted),
            entrance: self.entrance,
        }
    }
}

impl Written {
    /// Removes the table, and the schema where no other ledger needs it.
    pub async fn remove(self) -> Result<(), LedgerError> {
        let session = self.entrance.find(FIND_LIMIT).await?;
        let removed = timeout(TABLE_LIMIT, session.run(&self.entrance.removal())).await;
        table("remove", removed)
    }
}

fn table(
    doing: &'static str,
    outcome: Result<Result<(), tokio_postgres::Error>, tokio::time::error::Elapsed>,
) -> Result<(), LedgerError> {
    let cause = match outcome {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => Cause::from(error),
        Err(_) => Cause::Silence(TABLE_LIMIT),
    };
    Err(LedgerError::Table { doing, cause })
}

/// One client, and what it shares with the others.
#[derive(Clone)]
struct Client {
    entrance: Arc<Entrance>,
    load: Load,
    started: Instant,
    acknowledged: Arc<watch::Sender<u64>>,
    stop: CancellationToken,
}

impl Client {
    /// Writes until it is told to stop; returns what became of each row.
    async fn write(&self, client: u32) -> Vec<Fate> {
        let mut fates = Vec::new();
        loop {
            let session = tokio::select! {
                biased;
                () = self.stop.cancelled() => return fates,
                session = self.entrance.enter() => session,
            };
            while !self.stop.is_cancelled() && !session.is_closed() {
                let insert = self.entrance.insert(client, fates.len());
                match session.attempt(&insert, self.load.answer_limit).await {
                    Answer::Acknowledged => {
                        fates.push(Fate::Acknowledged(self.started.elapsed()));
                        self.acknowledged.send_modify(|count| *count += 1);
                        if !self.load.pause.is_zero() {
                            sleep(self.load.pause).await;
                        }
                    }
                    Answer::Unknown => {
                        fates.push(Fate::Unknown);
                        break;
                    }
                    Answer::Failed => {
                        fates.push(Fate::Failed);
                        sleep(PAUSE).await;
                        break;
                    }
                }
            }
        }
    }
}
