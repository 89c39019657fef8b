//! What differs from the record and no plan mends, because only a person can tell whether something needs it.

use serde::{Deserialize, Serialize};
use simdb_state::address::Address;

/// Something that was found and that every plan leaves as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// The object that has it.
    pub address: Address,
    /// What of it: `slots.backup`.
    pub attribute: String,
    /// What was found: a fragment.
    pub cause: String,
    /// What a person can do about it: a sentence.
    pub remedy: String,
}
