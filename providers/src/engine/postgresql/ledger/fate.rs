//! What became of each row, and what is lost where: pure accounting.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Serialize;

/// What became of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The server said that it is committed, so long after the start.
    Acknowledged(Duration),
    /// Nobody knows: it may be there or not.
    Unknown,
    /// The server said that it is not.
    Failed,
}

/// What became of all rows of a ledger: its clients' rows by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fates {
    clients: BTreeMap<u32, Vec<Fate>>,
    /// When each row was acknowledged, in order.
    acknowledged: Vec<Duration>,
    lasted: Duration,
}

/// How many rows had which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// All that were tried.
    pub attempts: u64,
    /// Those that the server said are committed.
    pub acknowledged: u64,
    /// Those of which nobody knows.
    pub unknown: u64,
    /// Those that the server said are not.
    pub failed: u64,
}

/// A row: which client's, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Entry {
    /// The client.
    pub client: u32,
    /// Its number, from 0.
    pub number: u64,
}

/// A row that was acknowledged and is not there.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Missing {
    /// The client.
    pub client: u32,
    /// Its number, from 0.
    pub number: u64,
    /// When it was acknowledged, in seconds after the start.
    pub acknowledged_at: f64,
}

/// What a node holds of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Found {
    /// How many rows are there.
    pub rows: u64,
    /// Rows that were acknowledged and are not there: lost.
    pub missing: Vec<Missing>,
    /// Rows that are there though the server said that they are not, or though nobody wrote them.
    pub unexpected: Vec<Entry>,
}

impl Fates {
    /// Keeps account of clients that wrote for so long.
    pub fn new(clients: BTreeMap<u32, Vec<Fate>>, lasted: Duration) -> Self {
        let all = clients.values().flatten();
        let acknowledged = all.filter_map(|fate| match fate {
            Fate::Acknowledged(at) => Some(*at),
            Fate::Unknown | Fate::Failed => None,
        });
        let mut acknowledged: Vec<Duration> = acknowledged.collect();
        acknowledged.sort_unstable();
        Self {
            clients,
            acknowledged,
            lasted,
        }
    }

    /// Returns how long the clients wrote.
    pub fn lasted(&self) -> Duration {
        self.lasted
    }

    /// Counts the fates.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for fate in self.clients.values().flatten() {
            tally.attempts += 1;
            match fate {
                Fate::Acknowledged(_) => tally.acknowledged += 1,
                Fate::Unknown => tally.unknown += 1,
                Fate::Failed => tally.failed += 1,
            }
        }
        tally
    }

    /// Returns the longest time in which nothing was acknowledged, an outage that did not end before the clients did
    /// included; nothing where nothing ever was.
    pub fn longest_gap(&self) -> Option<Duration> {
        self.longest_gap_within(Duration::ZERO..=Duration::MAX)
    }

    /// Returns the longest time in which nothing was acknowledged, of those that touch a stretch of time, counted from
    /// the start ([`super::Ledger::started`]): what one role change among many cost.
    pub fn longest_gap_within(&self, stretch: RangeInclusive<Duration>) -> Option<Duration> {
        let last = self.acknowledged.last()?;
        let end = self.lasted.max(*last);
        let from = self.acknowledged.iter();
        let to = self.acknowledged.iter().skip(1).chain([&end]);
        let touching = from
            .zip(to)
            .filter(|(from, to)| **from <= *stretch.end() && **to >= *stretch.start());
        touching.map(|(from, to)| to.saturating_sub(*from)).max()
    }

    /// Compares with the rows that are there, as ranges of numbers by client.
    pub fn compare(&self, there: &BTreeMap<u32, Vec<RangeInclusive<u64>>>) -> Found {
        let mut found = Found::default();
        let clients: BTreeSet<u32> = self.clients.keys().chain(there.keys()).copied().collect();
        for client in clients {
            let fates = self.clients.get(&client).map_or(&[][..], Vec::as_slice);
            let ranges = there.get(&client).map_or(&[][..], Vec::as_slice);
            let numbers: BTreeSet<u64> = ranges.iter().cloned().flatten().collect();
            found.rows += numbers.len() as u64;
            for (number, fate) in (0..).zip(fates) {
                match fate {
                    Fate::Acknowledged(at) if !numbers.contains(&number) => found.missing.push(Missing {
                        client,
                        number,
                        acknowledged_at: at.as_secs_f64(),
                    }),
                    Fate::Failed if numbers.contains(&number) => found.unexpected.push(Entry { client, number }),
                    Fate::Acknowledged(_) | Fate::Unknown | Fate::Failed => {}
                }
            }
            let foreign = numbers.range(fates.len() as u64..);
            found.unexpected.extend(foreign.map(|&number| Entry { client, number }));
        }
        found
    }
}

#[cfg(test)]
mod tests;
