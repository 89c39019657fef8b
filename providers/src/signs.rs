//! Signs of life: what a monitor asks of one server, each question within a limit of its own.
//!
//! A session is held open, for a server that hangs still lets the kernel accept connections; new sessions are opened as well, for a
//! server whose first process hangs still answers on the old ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use simdb_planner::observed::{Observation, ProcessFacts};
use simdb_planner::watch::SlotState;
use simdb_state::address::NodeAddress;
use simdb_state::object::Data;
use simdb_state::place::Place;
use simdb_state::position::{Position, Progress};
use simdb_state::sensitive::Secrets;

use crate::engine::postgresql::signs::Held;
use crate::platform::World;

/// How often a process that ended, or could not be seen, is looked for again.
const LOOK: Duration = Duration::from_millis(100);

/// What a server says of itself, in one round trip.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Whether it takes writes.
    pub writes: bool,
    /// How far it has come: written, or received.
    pub progress: Progress,
    /// How far it has replayed; what it has written where it writes.
    pub replayed: Position,
    /// How long ago the last transaction was that it replayed; absent where it has nothing left to replay, and where it writes.
    pub behind: Option<Duration>,
    /// Whether its replay is paused.
    pub paused: bool,
    /// Whether it is connected with its upstream.
    pub receives: bool,
    /// Those who stream from it, by identifier.
    pub senders: BTreeMap<String, Sender>,
    /// What becomes of the log that its slots are for, by name.
    pub slots: BTreeMap<String, SlotState>,
    /// How many commits wait for standbys.
    pub waiting: u32,
    /// When it started, as seconds since 1970 by its own clock, for people.
    pub started: Option<i64>,
    /// Its version, as it numbers it.
    pub version: Option<u32>,
}

/// One who streams from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Whether it has caught up and streams.
    pub streams: bool,
    /// `async`, `potential`, `sync` or `quorum`.
    pub sync_state: String,
    /// Up to where it has flushed.
    pub flushed: Option<Position>,
    /// Up to where it has replayed.
    pub replayed: Option<Position>,
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// The server answered.
    Said(T),
    /// It answered that it does not do what it was asked, such as that it has no session left; why, as a clause.
    Replied(String),
    /// It starts, recovers or ends, and lets no session in.
    Starting,
    /// Nobody listens there.
    Refused(String),
    /// It did not answer in time, or not as it should; why, as a clause.
    Silent(String),
}

impl<T> Answer<T> {
    pub(crate) fn map<U>(self, with: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Answer::Said(value) => Answer::Said(with(value)),
            Answer::Replied(why) => Answer::Replied(why),
            Answer::Starting => Answer::Starting,
            Answer::Refused(why) => Answer::Refused(why),
            Answer::Silent(why) => Answer::Silent(why),
        }
    }
}

/// What is known of the process of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessSeen {
    /// Whether it runs; absent where that is not known.
    pub runs: Option<bool>,
    /// Whether its data is in place; absent where that is not known.
    pub has_data: Option<bool>,
}

/// Asks one server for signs of life.
#[derive(Debug)]
pub struct Signs {
    world: World,
    secrets: Arc<Secrets>,
    node: NodeAddress,
    place: Place,
    held: Option<Held>,
}

impl Signs {
    /// Makes what asks the server of a node.
    pub fn new(world: World, secrets: Arc<Secrets>, node: NodeAddress, place: Place) -> Self {
        Self {
            world,
            secrets,
            node,
            place,
            held: None,
        }
    }

    /// Asks on the session that is held open, and opens it where there is none. Where it writes, it leaves a mark in its log, which
    /// standbys see arrive.
    pub async fn ask(&mut self, limit: Duration) -> Answer<Report> {
        let held = match self.held.take().filter(|held| !held.is_closed()) {
            Some(held) => held,
            None => match Held::open(&self.world.sessions(&self.secrets), &self.node, &self.place, limit).await {
                Answer::Said(held) => held,
                Answer::Replied(why) => return Answer::Replied(why),
                Answer::Starting => return Answer::Starting,
                Answer::Refused(why) => return Answer::Refused(why),
                Answer::Silent(why) => return Answer::Silent(why),
            },
        };
        let answer = held.report(limit).await;
        // An answer that did not come may still come, and would be taken for that to the next question.
        if matches!(answer, Answer::Said(_)) {
            self.held = Some(held);
        }
        answer
    }

    /// Commits a mark on the session that is held open. It waits for the server's disk, and for no standby.
    pub async fn commit(&mut self, limit: Duration) -> Answer<()> {
        let Some(held) = self.held.take() else {
            return Answer::Silent("there is no session".to_owned());
        };
        let answer = held.commit(limit).await;
        if matches!(answer, Answer::Said(())) {
            self.held = Some(held);
        }
        answer
    }

    /// Opens another session, and ends it.
    pub async fn enter(&self, limit: Duration) -> Answer<()> {
        let opened = Held::open(&self.world.sessions(&self.secrets), &self.node, &self.place, limit).await;
        opened.map(drop)
    }
}

/// Looks at the process of a node's server.
pub async fn process(world: &World, node: &NodeAddress, generation: Option<u32>) -> ProcessSeen {
    match world.platform.inspect(&node.into()).await {
        Ok(Observation::Seen(facts)) => ProcessSeen {
            runs: Some(!matches!(facts.process, ProcessFacts::Down)),
            has_data: generation.map(|generation| facts.directories.contains(&Data::directory(generation))),
        },
        Ok(Observation::Absent) => ProcessSeen {
            runs: Some(false),
            has_data: Some(false),
        },
        Ok(Observation::Unknown(_)) | Err(_) => ProcessSeen {
            runs: None,
            has_data: None,
        },
    }
}

/// Waits until the process of a node's server ends, or may have: where the platform does not tell, for a moment.
pub async fn ended(world: &World, node: &NodeAddress) {
    if world.platform.ended(&node.into()).await.is_err() {
        tokio::time::sleep(LOOK).await;
    }
}
