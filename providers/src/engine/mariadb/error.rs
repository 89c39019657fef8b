//! What goes wrong between simdb and a server, told so that the reader need not look anywhere else.

use std::collections::BTreeMap;
use std::time::Duration;
use std::{fmt, io};

use simdb_state::address::NodeAddress;
use simdb_state::gtid::{Gtid, GtidPosition};
use simdb_state::place::HostPort;
use simdb_state::sensitive::SecretName;
use thiserror::Error;

use super::offline::OfflineError;
use super::wire::WireError;
use crate::engine::log::Log;
use crate::platform::PlatformError;

/// Why a server did not do what it was asked.
#[derive(Debug, Error)]
pub enum MariadbError {
    /// The password it takes is not there.
    #[error("find the password of {0}: the state does not hold it")]
    MissingSecret(SecretName),
    /// It lets nobody in.
    #[error("connect to {node} at {at}")]
    Connect {
        /// The node.
        node: NodeAddress,
        /// Where it listens.
        at: HostPort,
        /// Why not.
        #[source]
        cause: Cause,
    },
    /// It refused, or did not answer.
    #[error("{doing} on {node}")]
    Query {
        /// What was asked, as a fragment.
        doing: String,
        /// The node.
        node: NodeAddress,
        /// Why it was refused.
        #[source]
        cause: Cause,
    },
    /// Its process ended while it was waited for.
    #[error("start {node}: its server ended; {log}")]
    Ended {
        /// The node.
        node: NodeAddress,
        /// The end of its log.
        log: Log,
    },
    /// It runs and lets nobody in.
    #[error("start {node}: its server accepts no connection after {limit:?}; {log}")]
    NotReady {
        /// The node.
        node: NodeAddress,
        /// How long it was waited for.
        limit: Duration,
        /// The end of its log.
        log: Log,
        /// The last refusal.
        #[source]
        cause: Box<MariadbError>,
    },
    /// It refuses writes where it was to take them, or the other way round.
    #[error("start {node}: its server {found}, where one that {expected} was expected")]
    WrongRole {
        /// The node.
        node: NodeAddress,
        /// What it does.
        found: Activity,
        /// What it was to do.
        expected: Activity,
    },
    /// A server does not have what another one has that is to follow it.
    #[error("follow {upstream} from {node}: after {limit:?} {upstream} lacks {}, which {node} has", list(.lacks))]
    NotContained {
        /// The server that is to follow.
        node: NodeAddress,
        /// The server that it is to follow.
        upstream: NodeAddress,
        /// What that one lacks.
        lacks: Vec<Gtid>,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A server does not stream.
    #[error("stream to {node} from {upstream} within {limit:?}: {}", .unmet.join(", "))]
    NotStreaming {
        /// The server that is to stream.
        node: NodeAddress,
        /// Where it is to stream from.
        upstream: HostPort,
        /// What does not hold.
        unmet: Vec<String>,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A server has not applied what it is to have.
    #[error("wait until {node} has applied {position}: after {limit:?} it has applied {applied}{}", Reason(.reason))]
    NotDrained {
        /// The node.
        node: NodeAddress,
        /// What it is to have applied.
        position: GtidPosition,
        /// What it has applied.
        applied: GtidPosition,
        /// Why it applies no more, where it says so.
        reason: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Logins other than simdb's may write where writes are refused.
    #[error(
        "close {node} to writes: {} may write there all the same (READ ONLY ADMIN), so that nothing shows that nobody does; \
         revoke that, or let the server be shut down",
        .logins.iter().map(|login| format!("{login:?}")).collect::<Vec<_>>().join(", ")
    )]
    Privileged {
        /// The node.
        node: NodeAddress,
        /// The logins.
        logins: Vec<String>,
    },
    /// A server goes on writing.
    #[error("close {node} to writes: after {limit:?} {reason}; it is open as before")]
    NotClosed {
        /// The node.
        node: NodeAddress,
        /// What does not hold.
        reason: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Too few servers acknowledge commits.
    #[error(
        "let commits on {node} be acknowledged: after {limit:?} {counted} servers that acknowledge stream from it, not {awaited}"
    )]
    NotAcknowledging {
        /// The node whose commits wait.
        node: NodeAddress,
        /// How many must count.
        awaited: u32,
        /// How many do.
        counted: u32,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Standbys are not in sync.
    #[error("verify replication from {primary} within {limit:?}{}", Listing(.unmet))]
    NotInSync {
        /// The primary.
        primary: NodeAddress,
        /// How long it was waited for.
        limit: Duration,
        /// What does not hold, by node.
        unmet: BTreeMap<NodeAddress, Vec<String>>,
    },
    /// Data has what the log of its new primary has not, and no way back.
    #[error("let {node} follow {upstream}: it has {}, which {upstream} lacks; only another copy helps", list(.errant))]
    Diverged {
        /// The node.
        node: NodeAddress,
        /// The primary.
        upstream: NodeAddress,
        /// What that one lacks.
        errant: Vec<Gtid>,
    },
    /// Another server has received more than the one that is to lead, or may have.
    #[error(
        "promote {node}: it has received {has}, and {other} has received {received}{}",
        if *.certain { "" } else { " at least, before it was restarted" }
    )]
    Behind {
        /// The server that is to lead.
        node: NodeAddress,
        /// The one that has more.
        other: NodeAddress,
        /// What the first has received.
        has: GtidPosition,
        /// What the other one has.
        received: GtidPosition,
        /// Whether that is all of it.
        certain: bool,
    },
    /// What was carried over is not all of it.
    #[error("carry the last transactions of {from} into {node}: it has {has} then, and {from} has {last}")]
    NotCarried {
        /// The server that takes over.
        node: NodeAddress,
        /// The node whose data has them.
        from: NodeAddress,
        /// What the server has.
        has: GtidPosition,
        /// What the data has.
        last: GtidPosition,
    },
    /// A server has other parameters than it was given.
    #[error("configure {node}: {}", .problems.join("; "))]
    Settings {
        /// The node.
        node: NodeAddress,
        /// What it has otherwise, each as a sentence.
        problems: Vec<String>,
    },
    /// A copy does not say what it is a copy of.
    #[error("look at the data copied to {0}: nothing says up to which transaction it was copied")]
    NoPosition(NodeAddress),
    /// The files of a server that is down tell nothing.
    #[error("look at the data of {node}")]
    Offline {
        /// The node.
        node: NodeAddress,
        /// Why not.
        #[source]
        source: OfflineError,
    },
    /// The platform could not look at a server's process.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// Why a request came to nothing. Never holds a password: requests are not part of it.
#[derive(Debug, Error)]
pub enum Cause {
    /// The server says no, or says nothing that can be read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The server says nothing.
    #[error("no answer within {0:?}")]
    Silence(Duration),
    /// The platform found no way to the server.
    #[error(transparent)]
    Unreached(io::Error),
    /// A statement before was not waited for to its end.
    #[error("the connection was closed after a statement that did not end in time")]
    Closed,
    /// The answer has not what it must have.
    #[error("read the answer: {0}")]
    Answer(String),
}

/// What a server refuses only now: it has no connection or memory left, two transactions wait for each other, or a lock is held.
const TRANSIENT: [u16; 8] = [1040, 1041, 1158, 1159, 1160, 1161, 1205, 1213];

impl Cause {
    /// Returns the server's number of the error, where it refused.
    pub fn code(&self) -> Option<u16> {
        match self {
            Cause::Wire(WireError::Refused { code, .. }) => Some(*code),
            _ => None,
        }
    }

    /// Returns whether the same request may go well a little later. That a server is down or silent is not among it: steps
    /// wait for servers by themselves.
    fn is_transient(&self) -> bool {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, UnexpectedEof};
        match self {
            Cause::Wire(WireError::Refused { code, .. }) => TRANSIENT.contains(code),
            Cause::Wire(WireError::Broken(error)) | Cause::Unreached(error) => matches!(
                error.kind(),
                BrokenPipe | ConnectionAborted | ConnectionReset | Interrupted | UnexpectedEof
            ),
            Cause::Wire(_) | Cause::Silence(_) | Cause::Closed | Cause::Answer(_) => false,
        }
    }
}

impl MariadbError {
    /// Returns the server's number of the error, where it refused.
    pub fn code(&self) -> Option<u16> {
        match self {
            MariadbError::Connect { cause, .. } | MariadbError::Query { cause, .. } => cause.code(),
            _ => None,
        }
    }

    /// Returns whether the same may go well a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            MariadbError::Connect { cause, .. } | MariadbError::Query { cause, .. } => cause.is_transient(),
            _ => false,
        }
    }
}

/// Shows what does not hold, one node a line.
struct Listing<'a>(&'a BTreeMap<NodeAddress, Vec<String>>);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(node, unmet)| write!(f, "\n    {node}: {}", unmet.join(", ")))
    }
}

/// Shows why something stands still, behind what does.
struct Reason<'a>(&'a str);

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            Ok(())
        } else {
            write!(f, ": {}", self.0)
        }
    }
}

fn list(transactions: &[Gtid]) -> String {
    let texts: Vec<String> = transactions.iter().map(Gtid::to_string).collect();
    texts.join(", ")
}

/// What a server does with the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It takes writes: a primary.
    Writes,
    /// It refuses writes: a standby, or a server that is closed.
    Closed,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Activity::Writes => "takes writes",
            Activity::Closed => "refuses writes",
        })
    }
}
