//! How far a node has come in what its cluster writes.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::gtid::{GtidError, GtidPosition};
use crate::lsn::{Lsn, LsnError};

/// How far a node has come. Each engine counts in its own way, so that two positions may not compare.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Position {
    /// A byte position in a write-ahead log.
    Wal(Lsn),
    /// The last transaction of each domain.
    Gtid(GtidPosition),
}

/// Why a text is no position.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PositionError {
    /// It looks like a position in a write-ahead log.
    #[error(transparent)]
    Wal(#[from] LsnError),
    /// It looks like a list of transactions.
    #[error(transparent)]
    Gtid(#[from] GtidError),
}

/// How much lies between two positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distance {
    /// Bytes of a log.
    Bytes(u64),
    /// Transactions.
    Transactions(u64),
}

impl Position {
    /// Returns by how much this position is ahead of another, 0 where it is behind; nothing where the two do not compare.
    pub fn ahead_of(&self, other: &Position) -> Option<Distance> {
        match (self, other) {
            (Position::Wal(own), Position::Wal(other)) => Some(Distance::Bytes(own.ahead_of(*other))),
            (Position::Gtid(own), Position::Gtid(other)) => own.ahead_of(other).map(Distance::Transactions),
            (Position::Wal(_), Position::Gtid(_)) | (Position::Gtid(_), Position::Wal(_)) => None,
        }
    }
}

impl Distance {
    /// Returns whether nothing lies between the two.
    pub fn is_nothing(self) -> bool {
        match self {
            Distance::Bytes(count) | Distance::Transactions(count) => count == 0,
        }
    }

    /// Returns the distance in bytes, where it is counted in bytes.
    pub fn bytes(self) -> Option<u64> {
        match self {
            Distance::Bytes(bytes) => Some(bytes),
            Distance::Transactions(_) => None,
        }
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distance::Bytes(bytes) => write!(f, "{bytes} bytes"),
            Distance::Transactions(1) => f.write_str("1 transaction"),
            Distance::Transactions(count) => write!(f, "{count} transactions"),
        }
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Position::Wal(own), Position::Wal(other)) => Some(own.cmp(other)),
            (Position::Gtid(own), Position::Gtid(other)) => own.partial_cmp(other),
            (Position::Wal(_), Position::Gtid(_)) | (Position::Gtid(_), Position::Wal(_)) => None,
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Wal(lsn) => lsn.fmt(f),
            Position::Gtid(position) => position.fmt(f),
        }
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        // Only a byte position has a slash.
        if text.contains('/') {
            return Ok(Position::Wal(text.parse()?));
        }
        Ok(Position::Gtid(text.parse()?))
    }
}

impl TryFrom<String> for Position {
    type Error = PositionError;

    fn try_from(text: String) -> Result<Self, PositionError> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> String {
        position.to_string()
    }
}

impl From<Lsn> for Position {
    fn from(lsn: Lsn) -> Self {
        Position::Wal(lsn)
    }
}

impl From<GtidPosition> for Position {
    fn from(position: GtidPosition) -> Self {
        Position::Gtid(position)
    }
}

/// How far a node has come, and on which timeline: elections start a new one, and what was written on an older one after
/// that counts for nothing. Where an engine has no timelines, all are on timeline 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The timeline.
    pub timeline: u32,
    /// The position on it.
    pub position: Position,
}

impl PartialOrd for Progress {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.timeline.cmp(&other.timeline) {
            Ordering::Equal => self.position.partial_cmp(&other.position),
            order => Some(order),
        }
    }
}

impl Progress {
    /// That of a node of which nothing is known.
    pub const NOTHING: Self = Self {
        timeline: 0,
        position: Position::Wal(Lsn(0)),
    };

    /// Returns whether this is at least as far as another. What does not compare is not.
    pub fn reaches(&self, other: &Progress) -> bool {
        self >= other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_timeline_is_further_whatever_the_position() {
        let at = |timeline, lsn| Progress {
            timeline,
            position: Position::Wal(Lsn(lsn)),
        };
        assert!(at(2, 1).reaches(&at(1, 9)) && !at(1, 9).reaches(&at(2, 1)));
        assert!(at(1, 9).reaches(&at(1, 9)) && !at(1, 8).reaches(&at(1, 9)));
    }

    #[test]
    fn a_position_is_written_as_its_engine_writes_it() {
        let position = Position::Wal(Lsn(0x0300_0060));
        assert_eq!(serde_json::to_string(&position).unwrap(), "\"0/3000060\"");
        assert_eq!(serde_json::from_str::<Position>("\"0/3000060\"").unwrap(), position);
        assert_eq!(position.to_string(), "0/3000060");
        let before = Position::Wal(Lsn(0x0300_0000));
        assert_eq!(position.ahead_of(&before), Some(Distance::Bytes(0x60)));
        let position: Position = "0-1001-7,1-2-3".parse().unwrap();
        assert!(matches!(position, Position::Gtid(_)));
        assert_eq!(serde_json::to_string(&position).unwrap(), "\"0-1001-7,1-2-3\"");
        assert_eq!("".parse::<Position>().unwrap(), Position::Gtid(GtidPosition::default()));
        for bad in ["0", "0/G", "0-1", "0-1-7/2"] {
            assert!(serde_json::from_value::<Position>(bad.into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn positions_of_two_engines_do_not_compare() {
        let (wal, gtid) = (Position::Wal(Lsn(7)), "0-1-7".parse::<Position>().unwrap());
        assert_eq!((wal.partial_cmp(&gtid), wal.ahead_of(&gtid)), (None, None));
        assert_eq!((gtid.partial_cmp(&wal), gtid.ahead_of(&wal)), (None, None));
        let earlier = "0-1-6".parse::<Position>().unwrap();
        assert_eq!(gtid.ahead_of(&earlier), Some(Distance::Transactions(1)));
        assert_eq!(gtid.ahead_of(&earlier).unwrap().to_string(), "1 transaction");
    }
}
