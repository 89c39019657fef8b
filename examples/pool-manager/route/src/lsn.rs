//! Positions of PostgreSQL's write-ahead log, as numbers that print the way PostgreSQL prints them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// A byte position in the write-ahead log (`pg_lsn`): `16/B374D848`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// Why a text is not a log position.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("log position {0:?} must be two hexadecimal numbers with a slash between them, such as 0/3000060")]
pub struct LsnError(String);

impl Lsn {
    /// Returns how many bytes this position is ahead of another; 0 where it is behind.
    pub(crate) fn ahead_of(self, other: Lsn) -> u64 {
        self.0.saturating_sub(other.0)
    }
}

impl FromStr for Lsn {
    type Err = LsnError;

    fn from_str(text: &str) -> Result<Self, LsnError> {
        let wrong = || LsnError(text.to_owned());
        let (high, low) = text.split_once('/').ok_or_else(wrong)?;
        // The parser of numbers would take a sign.
        let hex = |part: &str| part.bytes().all(|digit| digit.is_ascii_hexdigit());
        if !hex(high) || !hex(low) {
            return Err(wrong());
        }
        let part = |hex: &str| u32::from_str_radix(hex, 16).map(u64::from).map_err(|_| wrong());
        Ok(Lsn((part(high)? << 32) + part(low)?))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
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
        for bad in ["", "0", "0/", "/0", "0/G", "100000000/0", "0/0/0", "+1/0", "0/-1"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }
}
