//! How far a node has come in what its cluster writes.

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::lsn::Lsn;

/// How far a node has come. Each engine counts in its own way, so that two positions may not compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Lsn", into = "Lsn")]
pub enum Position {
    /// A byte position in a write-ahead log.
    Wal(Lsn),
}

impl Position {
    /// Returns by how many bytes this position is ahead of another, 0 where it is behind; nothing where the two do not
    /// compare, or nothing counts the bytes between them.
    pub fn ahead_of(self, other: Position) -> Option<u64> {
        match (self, other) {
            (Position::Wal(own), Position::Wal(other)) => Some(own.ahead_of(other)),
        }
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Position::Wal(own), Position::Wal(other)) => Some(own.cmp(other)),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Position::Wal(lsn) => lsn.fmt(f),
        }
    }
}

impl From<Lsn> for Position {
    fn from(lsn: Lsn) -> Self {
        Position::Wal(lsn)
    }
}

impl From<Position> for Lsn {
    fn from(position: Position) -> Self {
        match position {
            Position::Wal(lsn) => lsn,
        }
    }
}

/// How far a node has come, and on which timeline: elections start a new one, and what was written on an older one after
/// that counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        assert_eq!(position.ahead_of(Position::Wal(Lsn(0x0300_0000))), Some(0x60));
    }
}
