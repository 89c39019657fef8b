//! What can go wrong between a caller and a server, and what a caller may do about it.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use thiserror::Error;
use tokio_postgres::error::SqlState;

use crate::intent::Token;
use crate::lsn::Lsn;

/// Why a caller gets no connection, or a write has no outcome.
///
/// [`Moved`](Error::Moved) and the variants for connections that could not be had mean that nothing was done: the same
/// work can be done again. After [`Broken`](Error::Broken) the outcome may be unknown.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// No server that takes writes was found within [`Config::failover_wait`](crate::Config::failover_wait).
    #[error("no primary answers: {reasons}")]
    NoPrimary {
        /// What each address said.
        reasons: String,
    },
    /// No replica may serve the read, and [`Config::fallback`](crate::Config::fallback) is off.
    #[error("no replica can serve the read: {reasons}")]
    NoReplica {
        /// What each address said.
        reasons: String,
    },
    /// The server is no primary any more: it refused the write, and nothing of the transaction was done.
    #[error("{address} takes no writes any more; the transaction was not done")]
    Moved {
        /// The address that was the primary.
        address: String,
    },
    /// The connection broke.
    #[error("the connection to {address} broke; {}", if *.in_commit {
        "whether the transaction was committed is unknown"
    } else {
        "the transaction was not committed"
    })]
    Broken {
        /// The address of the server.
        address: String,
        /// Whether the commit was under way: then its outcome is unknown. Otherwise nothing was committed by
        /// [`PoolManager::write`](crate::PoolManager::write); a statement outside of it may have been.
        in_commit: bool,
        /// What the driver said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// All connections to the server stayed in use for the whole of
    /// [`Config::acquire_timeout`](crate::Config::acquire_timeout).
    #[error("all {limit} connections to {address} were in use for {waited:?}")]
    Exhausted {
        /// The address of the server.
        address: String,
        /// How many connections it may have.
        limit: usize,
        /// How long the caller waited.
        waited: Duration,
    },
    /// The breaker of the address is open: connections to it failed five times in ten seconds.
    #[error("{address} is not tried for another {retry_in:?}: {reason}")]
    Open {
        /// The address of the server.
        address: String,
        /// What failed last.
        reason: String,
        /// When the next caller may try.
        retry_in: Duration,
    },
    /// A connection could not be opened.
    #[error("no connection to {address}: {reason}")]
    Connect {
        /// The address of the server.
        address: String,
        /// What failed.
        reason: String,
    },
    /// The write that a read was to see is not proven to have survived a failover.
    ///
    /// A token may lie beyond the switch although its write has survived, as its position includes the writes of others;
    /// and where the switch was not seen by this process, nothing can be said.
    #[error("the write at {token} is not proven to have survived: {}", match .switch {
        Some(switch) => format!("a timeline after {} began at {switch}", .token.timeline),
        None => format!("where the timelines after {} began was not seen", .token.timeline),
    })]
    Unproven {
        /// The write.
        token: Token,
        /// Where the first later timeline began, where that was seen.
        switch: Option<Lsn>,
    },
    /// The database refused a statement.
    #[error(transparent)]
    Database(#[from] tokio_postgres::Error),
}

/// What an error of the driver means for routing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server takes no writes.
    ReadOnly,
    /// The server or the way to it is gone, or the server is going down or coming up.
    Gone,
    /// The server is well, and said no.
    None,
}

impl Trouble {
    pub(crate) fn of(error: &tokio_postgres::Error) -> Self {
        let gone = match error.code() {
            Some(code) if *code == SqlState::READ_ONLY_SQL_TRANSACTION => return Self::ReadOnly,
            Some(code) => is_gone(code),
            None => error.is_closed() || io_error(error).is_some(),
        };
        if gone { Self::Gone } else { Self::None }
    }
}

fn is_gone(code: &SqlState) -> bool {
    let codes = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
    ];
    // Class 08 is what poolers say whose server is away.
    codes.contains(code) || code.code().starts_with("08")
}

fn io_error(error: &tokio_postgres::Error) -> Option<&io::Error> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = error.source();
    }
    None
}

/// Returns what an error of the driver says, in few words: `connection refused`.
pub(crate) fn reason(error: &tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", error.message(), error.code().code());
    }
    if let Some(error) = io_error(error) {
        return match error.kind() {
            io::ErrorKind::Other | io::ErrorKind::InvalidInput => error.to_string(),
            kind => kind.to_string(),
        };
    }
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
