//! What goes wrong between simdb and a server, told so that the reader need not look anywhere else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use std::{error::Error as _, fmt, io};

use simdb_state::address::{InstanceAddress, NodeAddress};
use simdb_state::lsn::{Lsn, LsnError};
use simdb_state::place::HostPort;
use simdb_state::sensitive::SecretName;
use thiserror::Error;

pub use crate::engine::log::Log;
use crate::platform::{Platform, PlatformError};

/// Why a server did not do what it was asked.
#[derive(Debug, Error)]
pub enum PostgresqlError {
    /// The password it takes is not there.
    #[error("find the password of {0}: the state does not hold it")]
    MissingSecret(SecretName),
    /// A password cannot be made up.
    #[error("make up a password")]
    Random(#[source] getrandom::Error),
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
    /// No server can go on with a standby's data; only another copy helps.
    #[error("let {node} stream: {reason}{}", After(.log.as_ref()))]
    Unrecoverable {
        /// The node.
        node: NodeAddress,
        /// Why, as a fragment.
        reason: String,
        /// The end of its log, where it was read.
        log: Option<Log>,
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
        cause: Box<PostgresqlError>,
    },
    /// It writes where it was to replay, or the other way round.
    #[error("start {node}: its server {found}, where one that {expected} was expected")]
    WrongRole {
        /// The node.
        node: NodeAddress,
        /// What it does.
        found: Activity,
        /// What it was to do.
        expected: Activity,
    },
    /// Its configuration file holds values that it does not take.
    #[error("configure {node}: {problems}")]
    Settings {
        /// The node.
        node: NodeAddress,
        /// What it says of each.
        problems: String,
    },
    /// Its data was recovered from a checkpoint that the log does not have.
    #[error(
        "compare the data of {node} with its log: the data was recovered from a checkpoint at {checkpoint}, and the log has \
         none there, so that the data may lack what the log says; run: simdb resync {cluster} {name}",
        cluster = .node.cluster, name = .node.node
    )]
    OtherLog {
        /// The node.
        node: NodeAddress,
        /// Where its control data say that a checkpoint stands.
        checkpoint: Lsn,
    },
    /// A slot that is in use cannot be dropped, and its user comes back each time it is sent away.
    #[error("drop slot {slot:?} on {node}: process {pid} still streams through it after {limit:?}")]
    SlotInUse {
        /// The slot.
        slot: String,
        /// The node that keeps it.
        node: NodeAddress,
        /// The process that uses it there.
        pid: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A commit that waits for standbys was not acknowledged.
    #[error("commit a marker on {primary}: no answer within {limit:?}{}", Listing(.unmet))]
    NotAcknowledged {
        /// The primary.
        primary: NodeAddress,
        /// How long it was waited for.
        limit: Duration,
        /// What does not hold, by node.
        unmet: BTreeMap<NodeAddress, Vec<String>>,
    },
    /// Too few standbys count for commits to be acknowledged.
    #[error(
        "wait for {awaited} standbys on {node}: after {limit:?} {counted} of those listed are synchronous{}",
        Listing(.others)
    )]
    NotSynchronous {
        /// The node whose commits wait.
        node: NodeAddress,
        /// How many must count.
        awaited: u32,
        /// How many do.
        counted: String,
        /// What those logged that do not stream.
        others: BTreeMap<NodeAddress, Vec<String>>,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A standby does not stream.
    #[error(
        "stream to {node} from {upstream} within {limit:?}: {unmet}\n{node}: {log}\n{upstream}: {upstream_log}",
        unmet = .unmet.join(", ")
    )]
    NotStreaming {
        /// The standby.
        node: NodeAddress,
        /// The node it is to stream from.
        upstream: NodeAddress,
        /// How long it was waited for.
        limit: Duration,
        /// What does not hold.
        unmet: Vec<String>,
        /// The end of the standby's log.
        log: Log,
        /// The end of the other node's log.
        upstream_log: Log,
    },
    /// A standby lacks what its primary wrote, or wrote last.
    #[error(
        "wait until {node} has replayed what its primary wrote, up to {position}: after {limit:?} it is at {replayed}"
    )]
    Lacks {
        /// The standby.
        node: NodeAddress,
        /// How far it has replayed.
        replayed: Lsn,
        /// How far it must have.
        position: Lsn,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Another node was promoted meanwhile.
    #[error("promote {node}: {other} writes already, so it was promoted meanwhile; plan again")]
    OtherWrites {
        /// The node that was to be promoted.
        node: NodeAddress,
        /// The node that writes.
        other: NodeAddress,
    },
    /// A standby that is to take over does not keep up with its primary.
    #[error("hand over to {node}: {}; nothing was stopped", .obstacles.join("; "))]
    HeldUp {
        /// The standby.
        node: NodeAddress,
        /// What holds it up.
        obstacles: Vec<String>,
        /// How far it is.
        #[source]
        lacks: Box<PostgresqlError>,
    },
    /// Another standby has more than the one that is to lead.
    #[error("promote {node}: {other} has {bytes} bytes more")]
    Behind {
        /// The standby that is to lead.
        node: NodeAddress,
        /// The one that has more.
        other: NodeAddress,
        /// How much more.
        bytes: u64,
    },
    /// A standby was told to write and does not.
    #[error("promote {node}: it still replays after {limit:?}")]
    NotPromoted {
        /// The standby.
        node: NodeAddress,
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
        /// What does not hold, by standby.
        unmet: BTreeMap<NodeAddress, Vec<String>>,
    },
    /// The platform could not look at a server's process.
    #[error(transparent)]
    Platform(#[from] PlatformError),
}

/// Why a request came to nothing. Never holds a password: requests are not part of it.
#[derive(Debug, Error)]
pub enum Cause {
    /// The server says no.
    #[error("{message}{} (SQLSTATE {code})", Detail(.detail.as_deref()))]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// Its message.
        message: String,
        /// Its detail.
        detail: Option<String>,
    },
    /// The server says nothing.
    #[error("no answer within {0:?}")]
    Silence(Duration),
    /// The platform found no way to the server.
    #[error(transparent)]
    Unreached(io::Error),
    /// The connection failed.
    #[error(transparent)]
    Client(tokio_postgres::Error),
    /// The answer cannot be read.
    #[error("read the answer")]
    Answer(#[source] serde_json::Error),
    /// A log position in the answer cannot be read.
    #[error("read the answer")]
    Position(#[source] LsnError),
    /// There is no answer where there must be one.
    #[error("the answer is empty")]
    Empty,
}

/// What a server refuses only now: it has no connection, memory or disk space left, two transactions wait for each other, or
/// somebody holds a lock or uses the object.
const TRANSIENT: [&str; 10] = [
    "40001", "40P01", "53000", "53100", "53200", "53300", "55006", "55P03", "57P01", "57P03",
];

impl Cause {
    /// Returns whether the same request may go well a little later. That a server is down or silent is not among it: steps
    /// wait for servers by themselves.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Cause::Refused { code, .. } => TRANSIENT.contains(&code.as_str()),
            Cause::Client(error) => error.is_closed() || error.source().is_some_and(is_broken_connection),
            Cause::Unreached(error) => breaks(error.kind()),
            Cause::Silence(_) | Cause::Answer(_) | Cause::Position(_) | Cause::Empty => false,
        }
    }
}

fn is_broken_connection(error: &(dyn std::error::Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| breaks(error.kind()))
}

fn breaks(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, Interrupted, UnexpectedEof};
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | Interrupted | UnexpectedEof
    )
}

impl From<tokio_postgres::Error> for Cause {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(refusal) => Cause::Refused {
                code: refusal.code().code().to_owned(),
                message: refusal.message().to_owned(),
                detail: refusal.detail().map(str::to_owned),
            },
            None => Cause::Client(error),
        }
    }
}

impl PostgresqlError {
    /// Adds to what does not hold of standbys what each of them last complained of.
    pub(crate) async fn with_logs(mut self, platform: &dyn Platform) -> Self {
        if let Self::NotInSync { primary, unmet, .. } | Self::NotAcknowledged { primary, unmet, .. } = &mut self {
            for (node, unmet) in unmet.iter_mut().filter(|(node, _)| *node != primary) {
                unmet.extend(Log::complaint(platform, node).await);
            }
        }
        self
    }

    /// Returns the node whose data no server can go on with, and why.
    pub(crate) fn unrecoverable(&self) -> Option<(&NodeAddress, &str)> {
        match self {
            PostgresqlError::Unrecoverable { node, reason, .. } => Some((node, reason)),
            _ => None,
        }
    }

    /// Returns whether the same may go well a little later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            PostgresqlError::Connect { cause, .. } | PostgresqlError::Query { cause, .. } => cause.is_transient(),
            _ => false,
        }
    }

    /// Returns the SQLSTATE, where a server refused.
    pub(crate) fn sqlstate(&self) -> Option<&str> {
        match self {
            PostgresqlError::Connect { cause, .. } | PostgresqlError::Query { cause, .. } => match cause {
                Cause::Refused { code, .. } => Some(code),
                _ => None,
            },
            _ => None,
        }
    }
}

/// What a server does with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It writes: a primary.
    Writes,
    /// It replays what another one writes: a standby.
    Replays,
}

impl From<bool> for Activity {
    /// Reads what `pg_is_in_recovery` says.
    fn from(in_recovery: bool) -> Self {
        if in_recovery {
            Activity::Replays
        } else {
            Activity::Writes
        }
    }
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Activity::Writes => "writes",
            Activity::Replays => "replays",
        })
    }
}

/// How many lines of a log are searched for a complaint.
const SEARCHED: usize = 50;

impl Log {
    /// Returns the last error in a server's log, as a fragment; nothing where there is none, or its log cannot be read.
    pub(crate) async fn complaint(platform: &dyn Platform, node: &NodeAddress) -> Option<String> {
        let lines = platform.log(&node.into(), SEARCHED).await.ok()?;
        let complains = |line: &&String| {
            ["FATAL: ", "ERROR: ", "PANIC: "]
                .iter()
                .any(|level| line.contains(level))
        };
        let line = lines.iter().rev().find(complains)?;
        Some(format!("its log says: {line}"))
    }

    /// Returns the last errors of a node's siblings, but for those with one of these names.
    pub(crate) async fn complaints(
        platform: &dyn Platform,
        node: &NodeAddress,
        without: &BTreeSet<String>,
    ) -> BTreeMap<NodeAddress, Vec<String>> {
        let mut complaints = BTreeMap::new();
        for directory in platform.list().await.unwrap_or_default() {
            let InstanceAddress::Node(other) = directory else {
                continue;
            };
            if other.cluster != node.cluster || other == *node || without.contains(&other.node.identifier()) {
                continue;
            }
            if let Some(complaint) = Self::complaint(platform, &other).await {
                complaints.insert(other, vec![complaint]);
            }
        }
        complaints
    }
}

/// Shows what does not hold, one standby a line.
struct Listing<'a>(&'a BTreeMap<NodeAddress, Vec<String>>);

impl fmt::Display for Listing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(node, unmet)| write!(f, "\n    {node}: {}", unmet.join(", ")))
    }
}

/// Shows a log behind a message.
struct After<'a>(Option<&'a Log>);

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |log| write!(f, "; {log}"))
    }
}

/// Shows a detail behind its message.
struct Detail<'a>(Option<&'a str>);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |detail| write!(f, ": {detail}"))
    }
}
