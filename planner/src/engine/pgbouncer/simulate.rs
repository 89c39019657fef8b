//! Poolers of endpoints: where they lead, and whether their clients wait.

use std::collections::BTreeMap;

use simdb_state::address::EndpointAddress;
use simdb_state::instance::InstanceSpec;
use simdb_state::place::Bind;

use super::{Action, Console};
use crate::observed::{FileFacts, PoolerFacts, ProcessFacts};
use crate::simulate::{World, written};

/// The instance directory of a pooler.
#[derive(Clone, Debug)]
pub struct Pooler {
    /// Where it listens.
    pub listen: Bind,
    /// Where it is published.
    pub published: Option<Bind>,
    /// Whether it runs.
    pub runs: bool,
    /// Whether its clients wait.
    pub paused: bool,
    /// The files last written for it, and whether somebody edited them.
    pub files: BTreeMap<String, FileFacts>,
}

impl World {
    /// Lets a step happen that only PgBouncer has.
    pub(crate) fn pgbouncer(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Pooler {
                instance,
                console,
                restart,
            } => self.pooler(console, instance, *restart),
            Action::Repoint { instance, console } => self.pooler(console, instance, false),
            Action::Pause { console, .. } => self.hold_up(&console.endpoint, true)?,
            Action::Unpause { console } => self.hold_up(&console.endpoint, false)?,
            Action::StopPooler { endpoint } => {
                if let Some(pooler) = self.poolers.get_mut(endpoint) {
                    pooler.runs = false;
                }
            }
            Action::DropPooler { endpoint } => drop(self.poolers.remove(endpoint)),
        }
        Ok(())
    }

    /// Starts a pooler where it is down. One that starts holds nobody up.
    fn pooler(&mut self, console: &Console, instance: &InstanceSpec, restart: bool) {
        let old = self.poolers.get(&console.endpoint).filter(|old| old.runs && !restart);
        let paused = old.is_some_and(|old| old.paused);
        let pooler = Pooler {
            listen: instance.listen,
            published: instance.published,
            runs: true,
            paused,
            files: written(instance),
        };
        self.poolers.insert(console.endpoint.clone(), pooler);
    }

    /// Lets the clients of a pooler wait, or go on. One that died cannot be told.
    fn hold_up(&mut self, endpoint: &EndpointAddress, paused: bool) -> Result<(), String> {
        match self.poolers.get_mut(endpoint).filter(|pooler| pooler.runs) {
            Some(pooler) => pooler.paused = paused,
            None => return Err(format!("the pooler of {endpoint} does not answer")),
        }
        Ok(())
    }
}

impl Pooler {
    pub(crate) fn facts(&self) -> PoolerFacts {
        PoolerFacts {
            process: if self.runs {
                ProcessFacts::Running { pid: 4712 }
            } else {
                ProcessFacts::Down
            },
            listen: Some(self.listen),
            published: self.published,
            files: self.files.clone(),
        }
    }
}
