//! Positions in PostgreSQL's write-ahead log, as numbers that print the way PostgreSQL prints them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A byte position in the write-ahead log (`pg_lsn`): `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Lsn(pub u64);

impl Lsn {
    /// Returns how many bytes this position is ahead of another; 0 where it is behind.
    pub fn ahead_of(self, other: Lsn) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

/// Why a text is not a log position.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("log position {0:?} must be two hexadecimal numbers with a slash between them, such as 0/3000060")]
pub struct LsnError(String);

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let wrong = || LsnError(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(wrong)?;
        let part = |hex: &str| u32::from_str_radix(hex, 16).map(u64::from).map_err(|_| wrong());
        Ok(Lsn((part(high)? << 32) + part(low)?))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF))
    }
}

impl TryFrom<String> for Lsn {
    type Error = LsnError;

    fn try_from(text: String) -> Result<Self, LsnError> {
        text.parse()
    }
}

impl From<Lsn> for String {
    fn from(lsn: Lsn) -> String {
        lsn.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back_as_postgresql_prints_them() {
        for text in ["0/0", "0/3000060", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
        for bad in ["", "0", "0/", "/0", "0/G", "100000000/0", "0/0/0"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
        assert!("1/0".parse::<Lsn>().unwrap() > "0/FFFFFFFF".parse::<Lsn>().unwrap());
    }
}
