//! Signs of life: what a monitor asks of one server, each question within a limit of its own.
//!
//! A session is held open, for a server that hangs still lets the kernel accept connections; new sessions are opened as well, for a
//! server whose first process hangs still answers on the old ones.

pub(crate) mod report;

use std::sync::Arc;
use std::time::Duration;

use simdb_planner::observed::{Observation, ProcessFacts};
use simdb_state::address::NodeAddress;
use simdb_state::object::Data;
use simdb_state::place::Place;
use simdb_state::sensitive::Secrets;

use crate::engine::Held;
use crate::platform::World;

pub use self::report::{Answer, Report, Sender, Slot};

/// How often a process that ended, or could not be seen, is looked for again.
const LOOK: Duration = Duration::from_millis(100);

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
