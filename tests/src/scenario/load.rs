//! What clients write while something happens, and whether all of it is still there.

use std::sync::Arc;
use std::time::Duration;

use simdb_planner::plan::Server;
use simdb_providers::engine::postgresql::ledger::{Ledger, Load, Report, Target, Written};
use simdb_providers::platform::tcp::Tcp;
use simdb_providers::sessions::Sessions;
use simdb_state::place::HostPort;
use tokio::time::timeout;

use super::Scenario;
use crate::environment::{LIMIT, wait_until};

/// Clients that write at once, with a rest in between: what is tested is not how much a machine can write.
const LOAD: Load = Load {
    clients: 4,
    pause: Duration::from_millis(2),
    answer_limit: LIMIT,
};

impl Scenario {
    /// Lets clients write.
    pub fn load(&self) -> Writing<'_> {
        let hosts = self.servers.values().map(|server| server.place.peers.clone()).collect();
        let ledger = self.ledger(hosts);
        Writing { scenario: self, ledger }
    }

    /// Lets clients write wherever the servers come to listen: they may move meanwhile.
    pub fn load_everywhere(&self) -> Ledger {
        self.ledger(self.places())
    }

    fn ledger(&self, hosts: Vec<HostPort>) -> Ledger {
        let target = Target {
            hosts,
            user: "postgres".to_owned(),
            password: self.password().clone(),
            database: "postgres".to_owned(),
        };
        let ledger = self.runtime.block_on(Ledger::start(target, LOAD));
        ledger.unwrap_or_else(|error| panic!("{error}\n{}", self.logs()))
    }

    /// Waits until so many more rows of a ledger are acknowledged.
    #[track_caller]
    pub fn expect_further(&self, ledger: &Ledger, rows: u64) {
        let waited = self
            .runtime
            .block_on(async { timeout(LIMIT, ledger.further(rows)).await });
        assert!(waited.is_ok(), "{rows} more rows are not acknowledged\n{}", self.logs());
    }

    /// Ends a ledger's clients, and asserts that every row that was acknowledged is on every node.
    #[track_caller]
    pub fn expect_nothing_lost(&self, ledger: Ledger) -> Report {
        let servers: Vec<Server> = self.servers.values().cloned().collect();
        self.runtime.block_on(async {
            let written = ledger.stop().await;
            let sessions = Sessions::new(Arc::new(Tcp), &self.secrets);
            let report = written.check(&servers, &sessions, LIMIT).await;
            let report = report.unwrap_or_else(|error| panic!("{error}"));
            assert!(report.nothing_is_lost(), "{report:?}");
            assert!(report.tally.acknowledged > 0, "{report:?}");
            written.remove().await.unwrap_or_else(|error| panic!("{error}"));
            report
        })
    }
}

/// Clients that write while something happens.
#[derive(Debug)]
pub struct Writing<'a> {
    scenario: &'a Scenario,
    ledger: Ledger,
}

impl Writing<'_> {
    /// Waits until so many more rows are acknowledged.
    #[track_caller]
    pub fn further(&self, rows: u64) {
        self.scenario.expect_further(&self.ledger, rows);
    }

    /// Returns how many rows are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.ledger.acknowledged()
    }

    /// Waits until every client waits for a standby to confirm its commit.
    #[track_caller]
    pub fn wait_until_stalled(&self) {
        const WAITING: &str = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let primary = self.scenario.primary();
        wait_until("writes wait", || {
            self.scenario.ask(&primary, WAITING) == LOAD.clients.to_string()
        });
    }

    /// Ends the clients.
    pub fn stop(self) -> Written {
        self.scenario.runtime.block_on(self.ledger.stop())
    }

    /// Ends the clients, and asserts that every row that was acknowledged is on every node.
    #[track_caller]
    pub fn expect_nothing_lost(self) -> Report {
        self.scenario.expect_nothing_lost(self.ledger)
    }
}
