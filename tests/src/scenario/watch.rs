//! Whether servers take writes that wait for nobody, for no matter how short a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinHandle;
use tokio_postgres::{Config, NoTls};

use super::{Scenario, first};

impl Scenario {
    /// Watches servers for a moment in which they take writes that wait for nobody.
    pub fn watch(&self) -> Watch<'_> {
        let stop = Arc::new(AtomicBool::new(false));
        let watchers = self.servers.values().map(|server| {
            let session = self.session(server);
            self.runtime.spawn(watch(session, Arc::clone(&stop)))
        });
        Watch {
            scenario: self,
            watchers: watchers.collect(),
            stop,
        }
    }
}

/// Looks at servers again and again.
#[derive(Debug)]
pub struct Watch<'a> {
    scenario: &'a Scenario,
    watchers: Vec<JoinHandle<Seen>>,
    stop: Arc<AtomicBool>,
}

/// What a server was seen to be.
#[derive(Debug, Default)]
struct Seen {
    replays: bool,
    writes: bool,
    unprotected: bool,
}

impl Watch<'_> {
    /// Asserts that a standby was seen to become a primary, and that no server ever took writes that wait for nobody.
    #[track_caller]
    pub fn expect_protected(self) {
        self.stop.store(true, Ordering::SeqCst);
        let seen: Vec<Seen> = self.scenario.runtime.block_on(async {
            let mut seen = Vec::new();
            for watcher in self.watchers {
                seen.push(watcher.await.expect("watching does not panic"));
            }
            seen
        });
        assert!(seen.iter().any(|seen| seen.replays && seen.writes), "{seen:?}");
        assert!(seen.iter().all(|seen| !seen.unprotected), "{seen:?}");
    }
}

/// Asks a server what it is, in one session from before it changes until after.
async fn watch(session: Config, stop: Arc<AtomicBool>) -> Seen {
    const ROLE: &str = "SELECT pg_is_in_recovery()::text || current_setting('synchronous_standby_names')";
    let mut seen = Seen::default();
    let Ok((client, connection)) = session.connect(NoTls).await else {
        return seen;
    };
    tokio::spawn(connection);
    while !stop.load(Ordering::SeqCst) {
        // Both values are of one moment, for a session reads its settings between two questions only.
        let Some(role) = client.simple_query(ROLE).await.ok().and_then(first) else {
            break;
        };
        seen.replays |= role.starts_with("true");
        seen.writes |= role.starts_with("false");
        seen.unprotected |= role == "false";
    }
    seen
}
