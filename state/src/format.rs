//! How the record is written as rows, and read back.
//!
//! ```text
//!   meta/record              Head: format, lineage, serial, counters
//!   meta/key                 how the secrets are locked up (see `secret`)
//!   object/<address>         the types of `disk`, one row each
//!   election/<cluster>
//!   output/<name>
//!   made-as/<address>        by which address the platform knows an instance, where that is another one
//!   secret/<name>            see `secret`
//!   run/<id>                 see `journal`
//!   run/<id>/plan            the plan's document
//!   run/<id>/step/<n>
//!   event/<n>
//!   claim/monitor            see `claim`: these change without the lock
//!   claim/pause/<cluster>
//! ```
//!
//! Every row is JSON. The format number stands in `meta/record`, which every commit reads and writes; a reader that
//! finds a greater one stops there. A record of a lower one is read as it is, and the next writer brings it up to this one,
//! after it has kept a copy of it.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::address::{Address, InstanceAddress};
use crate::backend::{Key, Row, Write};
use crate::disk::{Election, Object, upgrade};
use crate::maps::pack;
use crate::object::{ProviderSettings, State};
use crate::run::{Lineage, RunId};

/// The format of the rows. A row is never given another meaning under the same number.
pub const FORMAT: u32 = 3;

/// The format in which objects were rows of their own shape, without their kind.
const FLAT: u32 = 1;

/// The prefixes of the rows that are the record.
pub(crate) const RECORD: [&str; 4] = ["object/", "election/", "output/", "made-as/"];

/// The prefix of all rows that change without the lock.
pub(crate) const CLAIMS: &str = "claim/";

/// Why a row cannot be read.
#[derive(Debug, Error)]
pub enum FormatError {
    /// A later version of simdb wrote the record.
    #[error("the record has format {found}, and this simdb knows formats up to {FORMAT}")]
    Newer {
        /// The format it has.
        found: u32,
    },
    /// A row that must be there is not.
    #[error("row {0:?} is missing")]
    Missing(Key),
    /// A row's key names nothing that is known.
    #[error("row {0:?} is of no known kind")]
    UnknownKey(Key),
    /// A row does not hold what its key says.
    #[error("row {key:?} does not hold what it must")]
    Value {
        /// The row.
        key: Key,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
}

/// What stands in `meta/record`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The format of all rows.
    pub(crate) format: u32,
    /// Which record this is.
    pub(crate) lineage: Lineage,
    /// Counts the commits.
    pub(crate) serial: u64,
    /// Counts the runs; the newest has this number.
    pub(crate) runs: u64,
    /// Counts the events.
    pub(crate) events: u64,
    /// The runs that have not ended, by number: of one cluster at most one goes on.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) open: BTreeSet<u64>,
    /// Where the nodes are; absent where an earlier version wrote the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(rename = "place")]
    pub(crate) settings: Option<ProviderSettings>,
}

impl Head {
    pub(crate) fn new(lineage: Lineage) -> Self {
        Self {
            format: FORMAT,
            lineage,
            serial: 0,
            runs: 0,
            events: 0,
            open: BTreeSet::new(),
            settings: None,
        }
    }

    pub(crate) fn key() -> Key {
        Key::new("meta/record")
    }

    pub(crate) fn read(row: Option<&Row>) -> Result<Self, FormatError> {
        // The number is read alone first: in a newer format the rest may look different.
        #[derive(Deserialize)]
        struct OnlyFormat {
            format: u32,
        }
        let row = row.ok_or_else(|| FormatError::Missing(Self::key()))?;
        match decode::<OnlyFormat>(row)?.format {
            found if found > FORMAT => Err(FormatError::Newer { found }),
            _ => decode(row),
        }
    }

    /// Returns the runs that may not have ended, the newest first, and the newest run in any case.
    pub(crate) fn late_runs(&self) -> Vec<RunId> {
        let newest = (self.runs > 0 && !self.open.contains(&self.runs)).then_some(self.runs);
        newest
            .into_iter()
            .chain(self.open.iter().rev().copied())
            .map(run_id)
            .collect()
    }
}

/// Returns the id of the n-th run. Ids sort in the order of the runs.
pub(crate) fn run_id(number: u64) -> RunId {
    RunId(format!("{number:08}"))
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("recorded types have text keys and no serializer that fails")
}

pub(crate) fn decode<T: DeserializeOwned>(row: &Row) -> Result<T, FormatError> {
    serde_json::from_slice(&row.bytes).map_err(|source| FormatError::Value {
        key: row.key.clone(),
        source,
    })
}

/// Reads the record from its rows, which have a format. Rows under other prefixes are skipped.
pub(crate) fn read_state(rows: &[Row], format: u32) -> Result<State, FormatError> {
    let mut state = State::default();
    for row in rows {
        read_row(&mut state, row, format)?;
    }
    pack(&mut state.nodes);
    pack(&mut state.endpoints);
    Ok(state)
}

fn read_row(state: &mut State, row: &Row, format: u32) -> Result<(), FormatError> {
    let unknown = || FormatError::UnknownKey(row.key.clone());
    match row.key.as_str().split_once('/') {
        Some(("object", address)) => {
            let address: Address = address.parse().map_err(|_| unknown())?;
            let object = read_object(row, &address, format)?;
            if !object.put(state, address) {
                return Err(unknown());
            }
        }
        Some(("election", cluster)) => {
            let cluster = cluster.parse().map_err(|_| unknown())?;
            state.elections.insert(cluster, decode::<Election>(row)?.into());
        }
        Some(("made-as", address)) => {
            let address = address.parse().map_err(|_| unknown())?;
            state.made_as.insert(address, decode(row)?);
        }
        Some(("output", name)) => drop(state.outputs.insert(name.to_owned(), decode(row)?)),
        _ => {}
    }
    Ok(())
}

fn read_object(row: &Row, address: &Address, format: u32) -> Result<Object, FormatError> {
    if format != FLAT {
        return decode(row);
    }
    let upgraded = upgrade::object(address, decode(row)?);
    serde_json::from_value(upgraded).map_err(|source| FormatError::Value {
        key: row.key.clone(),
        source,
    })
}

/// Returns the rows of some addresses as they stand in a record: written where there is something, else deleted.
pub(crate) fn object_rows(state: &State, addresses: &BTreeSet<Address>) -> Vec<Write> {
    let mut writes = Vec::new();
    for address in addresses {
        if let Address::Cluster(name) = address {
            let election = state.elections.get(name).map(Election::from);
            let election = election.as_ref().map(encode);
            writes.push(write(Key::new(format!("election/{name}")), election));
        }
        let object = Object::at(state, address);
        if let Some(instance) = instance(address) {
            let made_as = state.made_as.get(&instance).map(encode);
            // Hardly any instance was moved, and those that were not have no such row.
            if made_as.is_some() || object.is_none() {
                writes.push(write(made_as_key(&instance), made_as));
            }
        }
        writes.push(write(
            Key::new(format!("object/{address}")),
            object.as_ref().map(encode),
        ));
    }
    writes
}

/// Returns the key of the row that says by which address the platform of an instance knows it.
pub(crate) fn made_as_key(instance: &InstanceAddress) -> Key {
    Key::new(format!("made-as/{instance}"))
}

/// Returns the instance that an object has, if it is of a kind that has one.
fn instance(address: &Address) -> Option<InstanceAddress> {
    match address {
        Address::Node(address) => Some(address.into()),
        Address::Endpoint(address) => Some(address.into()),
        _ => None,
    }
}

fn write(key: Key, value: Option<Vec<u8>>) -> Write {
    match value {
        Some(bytes) => Write::put(key, bytes),
        None => Write::delete(key),
    }
}

/// Copies what stands at some addresses, so that a change can be tried without copying the whole record.
pub(crate) fn excerpt(state: &State, addresses: &BTreeSet<Address>) -> State {
    let mut part = State::default();
    for address in addresses {
        if let Some(instance) = instance(address) {
            copy(&state.made_as, &mut part.made_as, &instance);
        }
        match address {
            Address::Network(name) => copy(&state.networks, &mut part.networks, name),
            Address::Cluster(name) => {
                copy(&state.clusters, &mut part.clusters, name);
                copy(&state.elections, &mut part.elections, name);
            }
            Address::Node(address) => copy(&state.nodes, &mut part.nodes, address),
            Address::User(address) => copy(&state.users, &mut part.users, address),
            Address::Database(address) => copy(&state.databases, &mut part.databases, address),
            Address::Seed(address) => copy(&state.seeds, &mut part.seeds, address),
            Address::Endpoint(address) => copy(&state.endpoints, &mut part.endpoints, address),
        }
    }
    part
}

fn copy<K: Ord + Clone, V: Clone>(
    from: &std::collections::BTreeMap<K, V>,
    to: &mut std::collections::BTreeMap<K, V>,
    key: &K,
) {
    if let Some(value) = from.get(key) {
        to.insert(key.clone(), value.clone());
    }
}

/// Returns the time by the wall clock, for people (RFC 3339, UTC, whole seconds).
pub(crate) fn now() -> String {
    let now = jiff::Timestamp::now().as_second();
    jiff::Timestamp::from_second(now).map_or_else(|_| String::new(), |time| time.to_string())
}

/// Returns random bytes as text.
pub(crate) fn random_hex(bytes: usize) -> String {
    let mut random = vec![0; bytes];
    fill_random(&mut random);
    to_hex(&random)
}

pub(crate) fn fill_random(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the kernel hands out random bytes");
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let (pairs, rest) = digits.as_deref()?.as_chunks::<2>();
    let byte = |[high, low]: &[u32; 2]| u8::try_from(high << 4 | low).ok();
    if rest.is_empty() {
        pairs.iter().map(byte).collect()
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
