//! Speaks to PgBouncer's console, which is a database called `pgbouncer` that understands a few words.
//!
//! Every wait has a limit; clients that were made to wait and are not waited for any more are let go on.

mod steps;

use std::time::{Duration, Instant};

use simdb_planner::engine::pgbouncer::{Console, STOP, USER};
use simdb_state::address::{EndpointAddress, InstanceAddress};
use simdb_state::object::EngineKind;
use simdb_state::place::HostPort;
use simdb_state::sensitive::SecretName;
use thiserror::Error;
use tokio::time::sleep;
use tokio_postgres::Config;

use crate::engine::postgresql::connection::within;
use crate::engine::postgresql::{Cause, Log};
use crate::engine::programs::{Lock, Programs, first_number};
use crate::platform::{Platform, PlatformError};
use crate::sessions::{self, Sessions};

/// PgBouncer's programs.
pub(crate) const PROGRAMS: Programs = Programs {
    engine: EngineKind::Pgbouncer,
    server: "pgbouncer",
    others: &[],
    beside: &[],
    version: first_number,
    known: &[
        ("/usr/sbin", ""),
        ("/usr/local/sbin", ""),
        ("/opt/homebrew/bin", ""),
        ("/home/linuxbrew/.linuxbrew/bin", ""),
    ],
    image: None,
    contained: true,
    stop: STOP.signal,
    lock: "pgbouncer.pid",
    read_lock,
};

/// Its file holds the number of its process alone.
fn read_lock(text: &str) -> Option<Lock> {
    let process = text.trim().parse().ok()?;
    let stopping = false;
    Some(Lock { process, stopping })
}

/// How long the console may take to let simdb in, and to answer what needs no waiting.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// How long to wait between two looks at a pooler that starts.
const POLL: Duration = Duration::from_millis(10);

/// What PgBouncer says where nobody was made to wait.
const NOT_PAUSED: &str = "not paused";

/// What PgBouncer says where clients wait already.
const ALREADY_PAUSED: &str = "already suspended/paused";

/// Why a pooler did not do what it was asked.
#[derive(Debug, Error)]
pub enum PgbouncerError {
    /// The password of its console is not there.
    #[error("find the password of {0}: the state does not hold it")]
    MissingSecret(SecretName),
    /// Its console lets nobody in.
    #[error("connect to the pooler of {endpoint} at {at}")]
    Connect {
        /// The endpoint.
        endpoint: EndpointAddress,
        /// Where it listens.
        at: HostPort,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// Its console refused, or did not answer.
    #[error("tell the pooler of {endpoint} to {command}")]
    Command {
        /// The endpoint.
        endpoint: EndpointAddress,
        /// What it was told.
        command: &'static str,
        /// Why it was refused.
        #[source]
        cause: Cause,
    },
    /// Its process ended while it was waited for.
    #[error("start the pooler of {endpoint}: it ended; {log}")]
    Ended {
        /// The endpoint.
        endpoint: EndpointAddress,
        /// The end of its log.
        log: Log,
    },
    /// It runs and lets nobody in.
    #[error("start the pooler of {endpoint}: its console accepts no connection after {limit:?}; {log}")]
    NotReady {
        /// The endpoint.
        endpoint: EndpointAddress,
        /// How long it was waited for.
        limit: Duration,
        /// The end of its log.
        log: Log,
        /// The last refusal.
        #[source]
        cause: Box<PgbouncerError>,
    },
    /// Clients do not finish what they are at.
    #[error(
        "hold up the clients of {endpoint}: a transaction still runs after {limit:?}; all others wait as long, so they \
         were let go on, and nothing was changed"
    )]
    Busy {
        /// The endpoint.
        endpoint: EndpointAddress,
        /// How long it was waited for.
        limit: Duration,
    },
    /// The platform could not look at it.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// A session with a pooler's console. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Session {
    endpoint: EndpointAddress,
    session: sessions::Session,
}

impl Session {
    /// Connects to a pooler's console.
    pub(crate) async fn open(sessions: &Sessions<'_>, console: &Console) -> Result<Self, PgbouncerError> {
        let Some(password) = sessions.secret(&console.password) else {
            return Err(PgbouncerError::MissingSecret(console.password.clone()));
        };
        let mut config = Config::new();
        config
            .user(USER)
            .password(password.expose())
            .dbname("pgbouncer")
            .application_name("simdb");
        let directory = (&console.endpoint).into();
        let opened = sessions.open(directory, &console.place, &config, ANSWER_LIMIT).await;
        let session = opened.map_err(|cause| PgbouncerError::Connect {
            endpoint: console.endpoint.clone(),
            at: console.place.peers.clone(),
            cause,
        })?;
        let endpoint = console.endpoint.clone();
        Ok(Self { endpoint, session })
    }

    /// Waits until a pooler that was started lets simdb in.
    pub(crate) async fn wait(
        platform: &dyn Platform,
        sessions: &Sessions<'_>,
        console: &Console,
        limit: Duration,
    ) -> Result<Self, PgbouncerError> {
        let deadline = Instant::now() + limit;
        let directory = InstanceAddress::from(&console.endpoint);
        loop {
            let error = match Self::open(sessions, console).await {
                Ok(session) => return Ok(session),
                Err(error) => error,
            };
            let endpoint = console.endpoint.clone();
            if platform.is_down(&directory).await? {
                let log = Log::read(platform, &endpoint).await;
                return Err(PgbouncerError::Ended { endpoint, log });
            }
            if Instant::now() >= deadline {
                let log = Log::read(platform, &endpoint).await;
                let cause = Box::new(error);
                return Err(PgbouncerError::NotReady {
                    endpoint,
                    limit,
                    log,
                    cause,
                });
            }
            sleep(POLL).await;
        }
    }

    /// Lets it read its settings again, and end what it has open with another server than they name. That a session of
    /// it goes on with a server that is gone is only found out when somebody uses it.
    pub(crate) async fn reload(&self) -> Result<(), PgbouncerError> {
        self.tell("RELOAD", ANSWER_LIMIT).await?;
        self.tell("RECONNECT", ANSWER_LIMIT).await
    }

    /// Lets clients finish their transactions, and then wait. Where one does not finish, all are let go on.
    pub(crate) async fn pause(
        sessions: &Sessions<'_>,
        console: &Console,
        limit: Duration,
    ) -> Result<(), PgbouncerError> {
        let session = Self::open(sessions, console).await?;
        match session.tell("PAUSE", limit).await {
            Err(PgbouncerError::Command { cause, .. }) if cause.to_string().contains(ALREADY_PAUSED) => Ok(()),
            Err(error) => {
                // The console that waits for the last client answers nobody else.
                Self::open(sessions, console).await?.resume().await?;
                Err(match error {
                    PgbouncerError::Command {
                        cause: Cause::Silence(_),
                        endpoint,
                        ..
                    } => PgbouncerError::Busy { endpoint, limit },
                    error => error,
                })
            }
            Ok(()) => Ok(()),
        }
    }

    /// Lets clients go on, where they were made to wait.
    pub(crate) async fn resume(&self) -> Result<(), PgbouncerError> {
        match self.tell("RESUME", ANSWER_LIMIT).await {
            Err(PgbouncerError::Command { cause, .. }) if cause.to_string().contains(NOT_PAUSED) => Ok(()),
            told => told,
        }
    }

    async fn tell(&self, command: &'static str, limit: Duration) -> Result<(), PgbouncerError> {
        let told = within(limit, self.session.client.simple_query(command)).await;
        told.map(drop).map_err(|cause| PgbouncerError::Command {
            endpoint: self.endpoint.clone(),
            command,
            cause,
        })
    }
}
