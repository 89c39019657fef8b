//! Whose data a server has, whatever its engine calls that.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What an engine gives data when it makes them, and every copy of the data keeps: a number, or a UUID. Only whether two are equal has a
/// meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DataIdentity(String);

/// Why a text is no identity.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("identity of data {0:?} must be letters, digits and dashes")]
pub struct DataIdentityError(String);

impl DataIdentity {
    /// Returns the identity as its engine spells it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DataIdentity {
    type Err = DataIdentityError;

    fn from_str(text: &str) -> Result<Self, DataIdentityError> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if text.is_empty() || !text.bytes().all(plain) {
            return Err(DataIdentityError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Some engines give numbers.
impl From<u64> for DataIdentity {
    fn from(number: u64) -> Self {
        Self(number.to_string())
    }
}

impl fmt::Display for DataIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for DataIdentity {
    type Error = DataIdentityError;

    fn try_from(text: String) -> Result<Self, DataIdentityError> {
        text.parse()
    }
}

impl From<DataIdentity> for String {
    fn from(identity: DataIdentity) -> String {
        identity.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_read_back_as_their_engines_print_them() {
        for text in ["7123456789012345678", "b0a6f0de-13a2-11f0-9c3c-0242ac110002"] {
            assert_eq!(text.parse::<DataIdentity>().unwrap().to_string(), text);
        }
        for bad in ["", "a b", "a\n", "é"] {
            assert!(bad.parse::<DataIdentity>().is_err(), "{bad}");
        }
    }
}
