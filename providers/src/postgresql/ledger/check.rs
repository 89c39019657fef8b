//! Compares what a ledger wrote with what each node holds.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::sensitive::Secrets;

use super::fate::{Found, Tally};
use super::{LedgerError, Written};
use crate::executor::chain;
use crate::postgresql::PostgresqlError;
use crate::postgresql::connection::Connection;
use crate::postgresql::converge::converge;

/// What became of a ledger's rows on every node.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// What the clients were told.
    pub tally: Tally,
    /// How long they wrote.
    pub lasted: Duration,
    /// The longest time in which nothing was acknowledged; absent where nothing ever was.
    pub longest_gap: Option<Duration>,
    /// The node that writes now.
    pub primary: NodeAddress,
    /// The position of the log at which the nodes are compared.
    pub marker: Lsn,
    /// What each node holds, or why that is not known.
    pub nodes: BTreeMap<NodeAddress, Result<Found, String>>,
}

impl Report {
    /// Returns whether every row that was acknowledged is known to be on every node, and no row that failed.
    pub fn nothing_is_lost(&self) -> bool {
        let whole = |node: &Result<Found, String>| {
            node.as_ref()
                .is_ok_and(|found| found.missing.is_empty() && found.unexpected.is_empty())
        };
        self.nodes.values().all(whole)
    }
}

impl Written {
    /// Waits until all servers have replayed what was written, and compares. A server that cannot be compared within the
    /// limit is an entry of the report, not an error.
    pub async fn check(&self, servers: &[Server], secrets: &Secrets, limit: Duration) -> Result<Report, LedgerError> {
        let converged = converge(servers, self.entrance.database(), secrets, limit).await?;
        let mut nodes = BTreeMap::new();
        for (node, connection) in converged.servers {
            let found = match connection {
                Ok(connection) => self.compare(&connection).await.map_err(|error| chain(&error)),
                Err(reason) => Err(reason),
            };
            nodes.insert(node, found);
        }
        Ok(Report {
            tally: self.fates.tally(),
            lasted: self.fates.lasted(),
            longest_gap: self.fates.longest_gap(),
            primary: converged.primary,
            marker: converged.marker,
            nodes,
        })
    }

    async fn compare(&self, connection: &Connection) -> Result<Found, PostgresqlError> {
        const DOING: &str = "read the ledger";
        // Runs of consecutive numbers: a few rows, however many were written.
        let ranges = format!(
            "SELECT client, min(number), max(number)
            FROM (SELECT client, number, number - row_number() OVER (PARTITION BY client ORDER BY number) AS run
                FROM {}) AS numbered
            GROUP BY client, run ORDER BY client, min(number)",
            self.entrance.table()
        );
        let exists = format!("SELECT to_regclass('{}')", self.entrance.table());
        // A table that is gone with all its rows is the worst loss, and no error.
        if connection.value(DOING, &exists).await?.is_none() {
            return Ok(self.fates.compare(&BTreeMap::new()));
        }
        let mut there: BTreeMap<u32, Vec<RangeInclusive<u64>>> = BTreeMap::new();
        for row in connection.rows(DOING, &ranges).await? {
            let number = |column: usize| row.get(column)?.as_ref()?.parse::<u64>().ok();
            if let (Some(client), Some(first), Some(last)) = (number(0), number(1), number(2)) {
                let client = u32::try_from(client).unwrap_or(u32::MAX);
                there.entry(client).or_default().push(first..=last);
            }
        }
        Ok(self.fates.compare(&there))
    }
}
