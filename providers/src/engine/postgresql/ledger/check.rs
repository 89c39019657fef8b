//! Compares what a ledger wrote with what each node holds.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;

use super::fate::{Found, Tally};
use super::{LedgerError, Written};
use crate::engine::postgresql::PostgresqlError;
use crate::engine::postgresql::connection::{ANSWER_LIMIT, Connection};
use crate::engine::postgresql::converge::converge;
use crate::engine::postgresql::table;
use crate::executor::chain;
use crate::sessions::Sessions;

/// How long reading the rows may take.
const READ_LIMIT: Duration = ANSWER_LIMIT;

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

/// Joins consecutive numbers.
fn runs(mut numbers: Vec<u64>) -> Vec<RangeInclusive<u64>> {
    numbers.sort_unstable();
    let consecutive = numbers.chunk_by(|number, next| number.checked_add(1) == Some(*next));
    let run = |numbers: &[u64]| Some(*numbers.first()?..=*numbers.last()?);
    consecutive.filter_map(run).collect()
}

impl Written {
    /// Waits until all servers have replayed what was written, and compares. A server that cannot be compared within the
    /// limit is an entry of the report, not an error.
    pub async fn check(
        &self,
        servers: &[Server],
        sessions: &Sessions<'_>,
        limit: Duration,
    ) -> Result<Report, LedgerError> {
        let converged = converge(servers, self.entrance.database(), sessions, limit).await?;
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
        let exists = format!("SELECT to_regclass('{}')", self.entrance.table());
        // A table that is gone with all its rows is the worst loss, and no error.
        if connection.value(DOING, &exists).await?.is_none() {
            return Ok(self.fates.compare(&BTreeMap::new()));
        }
        let mut numbers: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let take = |row: &[u8]| {
            let mut columns = row.split(|byte| *byte == b'\t').map(|text| str::from_utf8(text).ok());
            let mut number = || columns.next()??.parse::<u64>().ok();
            if let (Some(client), Some(number)) = (number(), number()) {
                let client = u32::try_from(client).unwrap_or(u32::MAX);
                numbers.entry(client).or_default().push(number);
            }
        };
        table::rows(connection, DOING, &self.entrance.table(), READ_LIMIT, take).await?;
        let there = numbers
            .into_iter()
            .map(|(client, numbers)| (client, runs(numbers)))
            .collect();
        Ok(self.fates.compare(&there))
    }
}
