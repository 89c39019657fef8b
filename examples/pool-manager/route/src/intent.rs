//! What a caller wants a connection for. Intent is declared and never read out of SQL.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;

use crate::lsn::Lsn;

/// What a connection is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryIntent {
    /// Writes, or reads that must see the newest data: the primary, and no other server.
    Write,
    /// Reads: a replica whose lag is within [`Config::max_lag`](crate::Config::max_lag), else the primary.
    Read,
    /// Reads that must see a write: a replica that has replayed it, else the primary.
    ReadAfter(Token),
    /// Reads whose data may be this old at most: a replica within the limits, else the primary.
    ReadWithin(Lag),
}

/// How far a replica may be behind the primary. A limit that is absent limits nothing.
///
/// Both are what the last round of probes has measured, once every [`Config::probe_interval`](crate::Config::probe_interval);
/// a standby that streams well can count as an interval behind while something writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lag {
    /// Bytes of the log that the replica has not replayed.
    pub bytes: Option<u64>,
    /// How long ago the primary was where the replica is now; zero where it was there when both were asked.
    pub time: Option<Duration>,
}

impl Lag {
    /// Limits the time alone.
    pub fn of_time(time: Duration) -> Self {
        Self {
            bytes: None,
            time: Some(time),
        }
    }

    /// Limits the bytes alone.
    pub fn of_bytes(bytes: u64) -> Self {
        Self {
            bytes: Some(bytes),
            time: None,
        }
    }
}

/// Where the log stood right after a write. Its text, `TIMELINE:LSN` (`2:0/3000060`), can be handed from process to process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// The timeline of the primary that wrote; every promotion begins a higher one.
    pub timeline: u32,
    /// The position of the log after the commit (`pg_current_wal_insert_lsn()`).
    pub lsn: Lsn,
}

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("token {0:?} must be a timeline and a log position with a colon between them, such as 2:0/3000060")]
pub struct TokenError(String);

impl FromStr for Token {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let wrong = || TokenError(text.to_owned());
        let (timeline, lsn) = text.split_once(':').ok_or_else(wrong)?;
        let digits = timeline.bytes().all(|digit| digit.is_ascii_digit());
        Ok(Self {
            timeline: timeline.parse().ok().filter(|_| digits).ok_or_else(wrong)?,
            lsn: lsn.parse().map_err(|_| wrong())?,
        })
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.timeline, self.lsn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_read_back_as_they_print() {
        let token = Token {
            timeline: 12,
            lsn: Lsn(0x16_B374_D848),
        };
        assert_eq!(token.to_string(), "12:16/B374D848");
        assert_eq!(token.to_string().parse(), Ok(token));
        for bad in ["", "1", "1:", ":0/1", "x:0/1", "1:0", "+1:0/1", "-1:0/1", "1:0/1:"] {
            assert!(bad.parse::<Token>().is_err(), "{bad}");
        }
    }
}
