//! Global transaction identifiers of MariaDB: the number of one transaction, how far a server has come, and what it has in its log.
//!
//! A transaction is `domain-server-sequence`. Within a domain the sequence numbers grow from transaction to transaction, whichever
//! server wrote it; between domains there is no order. Two transactions of one domain with one sequence number and two servers
//! were written apart from each other: the logs that hold them are a fork.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One transaction: `0-1001-7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Gtid {
    /// The replication domain.
    pub domain: u32,
    /// The `server_id` of the server that wrote it.
    pub server: u32,
    /// Its number in the domain.
    pub sequence: u64,
}

/// How far a server has come: the last transaction of each domain (`gtid_slave_pos`, `gtid_binlog_pos`), such as `0-1001-7,1-2001-3`.
/// Empty where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GtidPosition(BTreeMap<u32, Gtid>);

/// What a server has in its log: the last transaction of each domain and writer (`gtid_binlog_state`). Empty where it has none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GtidState(BTreeMap<(u32, u32), u64>);

/// Why a text is no transaction, or no list of them.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GtidError {
    /// A part of it is no transaction.
    #[error("transaction {0:?} must be three numbers with dashes between them, such as 0-1001-7")]
    Shape(String),
    /// A position names one domain twice.
    #[error("position {0:?} names a domain twice")]
    Domain(String),
    /// A state names one writer of a domain twice.
    #[error("log state {0:?} names a writer of a domain twice")]
    Writer(String),
}

impl GtidPosition {
    /// Returns the last transaction of each domain, in the order of the domains.
    pub fn transactions(&self) -> impl Iterator<Item = Gtid> {
        self.0.values().copied()
    }

    /// Returns whether it is the position of a server without any transaction.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns how many transactions this position is ahead of another, over all domains; 0 where it is behind in each. Nothing where
    /// the two are a fork.
    pub fn ahead_of(&self, other: &GtidPosition) -> Option<u64> {
        let mut ahead: u64 = 0;
        for own in self.transactions() {
            let others = other.0.get(&own.domain).copied();
            if others.is_some_and(|others| own.parted(others)) {
                return None;
            }
            let base = others.map_or(0, |others| others.sequence);
            ahead = ahead.saturating_add(own.sequence.saturating_sub(base));
        }
        Some(ahead)
    }
}

impl Gtid {
    /// Two transactions of one number that two servers wrote are on different branches.
    fn parted(self, other: Gtid) -> bool {
        self.sequence == other.sequence && self.server != other.server
    }
}

/// Less, equal or greater where that holds in every domain; nothing where domains disagree, or where two servers wrote the same number.
impl PartialOrd for GtidPosition {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let mut order = Ordering::Equal;
        let domains = self.0.keys().chain(other.0.keys());
        for domain in domains {
            let next = match (self.0.get(domain), other.0.get(domain)) {
                (Some(own), Some(others)) if own.parted(*others) => return None,
                (own, others) => {
                    let sequence = |gtid: Option<&Gtid>| gtid.map(|gtid| gtid.sequence);
                    sequence(own).cmp(&sequence(others))
                }
            };
            order = match (order, next) {
                (Ordering::Equal, next) => next,
                (order, Ordering::Equal) => order,
                (order, next) if order == next => order,
                _ => return None,
            };
        }
        Some(order)
    }
}

impl GtidState {
    /// Returns the last transaction of each domain and writer, in that order.
    pub fn transactions(&self) -> impl Iterator<Item = Gtid> {
        self.0.iter().map(|(&(domain, server), &sequence)| Gtid {
            domain,
            server,
            sequence,
        })
    }

    /// Returns whether this log has a transaction.
    pub fn contains(&self, gtid: Gtid) -> bool {
        let last = self.0.get(&(gtid.domain, gtid.server));
        last.is_some_and(|last| *last >= gtid.sequence)
    }

    /// Returns what another log has and this one lacks: the last transaction of each domain and writer of which that holds. Empty
    /// where this log contains the other one.
    pub fn lacks(&self, other: &GtidState) -> Vec<Gtid> {
        other.transactions().filter(|gtid| !self.contains(*gtid)).collect()
    }
}

impl FromStr for Gtid {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        read(text).ok_or_else(|| GtidError::Shape(text.to_owned()))
    }
}

fn read(text: &str) -> Option<Gtid> {
    let mut parts = text.split('-');
    let gtid = Gtid {
        domain: number(parts.next()?)?,
        server: number(parts.next()?)?,
        sequence: number(parts.next()?)?,
    };
    parts.next().is_none().then_some(gtid)
}

/// `parse` alone would take a sign.
fn number<T: FromStr>(digits: &str) -> Option<T> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// Reads a list with commas. MariaDB wraps long ones with line ends.
fn list(text: &str) -> impl Iterator<Item = Result<Gtid, GtidError>> {
    let parts = text.split(',').map(str::trim);
    parts.filter(move |_| !text.trim().is_empty()).map(str::parse)
}

impl FromStr for GtidPosition {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut position = Self::default();
        for gtid in list(text) {
            let gtid = gtid?;
            if position.0.insert(gtid.domain, gtid).is_some() {
                return Err(GtidError::Domain(text.to_owned()));
            }
        }
        Ok(position)
    }
}

impl FromStr for GtidState {
    type Err = GtidError;

    fn from_str(text: &str) -> Result<Self, GtidError> {
        let mut state = Self::default();
        for gtid in list(text) {
            let gtid = gtid?;
            if state.0.insert((gtid.domain, gtid.server), gtid.sequence).is_some() {
                return Err(GtidError::Writer(text.to_owned()));
            }
        }
        Ok(state)
    }
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.domain, self.server, self.sequence)
    }
}

fn join(transactions: impl Iterator<Item = Gtid>) -> String {
    let texts: Vec<String> = transactions.map(|gtid| gtid.to_string()).collect();
    texts.join(",")
}

impl fmt::Display for GtidPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&join(self.transactions()))
    }
}

impl fmt::Display for GtidState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&join(self.transactions()))
    }
}

/// Lets these types be written as their text and read back from it.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl TryFrom<String> for $type {
            type Error = GtidError;

            fn try_from(text: String) -> Result<Self, GtidError> {
                text.parse()
            }
        }

        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    )*};
}

as_text!(Gtid, GtidPosition, GtidState);

#[cfg(test)]
mod tests;
