//! A record outside of its backend: what `state pull` writes, and `state push` takes.
//!
//! It holds what is recorded, and the secrets, locked as they are. It does not hold the journal, which is about what
//! happened in one place, nor the lock.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::backend::{Key, Row, Version, Write};
use crate::format::{FORMAT, FormatError, Head, RECORD, decode, encode, object_rows, read_state};
use crate::object::State;
use crate::run::Lineage;
use crate::secret::{self, KeyRow};

/// The version of the document.
const DOCUMENT: &str = "1.0";

/// A record, as a document. Each row is the JSON that the backend keeps, byte by byte.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// The document's version.
    format_version: String,
    /// Which record it is.
    pub lineage: Lineage,
    /// How often it had been written.
    pub serial: u64,
    rows: BTreeMap<String, Box<RawValue>>,
}

/// Why a record cannot be taken from a document.
#[derive(Debug, Error)]
pub enum TransferError {
    /// The document has another version.
    #[error("the document has version {0}, and this simdb knows {DOCUMENT}")]
    Version(String),
    /// Its rows are not what they must be.
    #[error("the document cannot be read")]
    Format(#[from] FormatError),
    /// It has a row that is no part of a record.
    #[error("the document has a row {0:?}, which is no part of a record")]
    Stray(String),
    /// It is another record.
    #[error("the document has lineage {found}, and the state here has lineage {here}", found = found.0, here = here.0)]
    OtherLineage {
        /// That of the document.
        found: Lineage,
        /// That of the state.
        here: Lineage,
    },
    /// The state was written since.
    #[error("the document has serial {found}, and the state here has serial {here}: it was written since")]
    Older {
        /// That of the document.
        found: u64,
        /// That of the state.
        here: u64,
    },
}

/// The prefixes of the rows that a document has.
pub(crate) const PREFIXES: [&str; 6] = ["meta/", RECORD[0], RECORD[1], RECORD[2], RECORD[3], secret::PREFIX];

impl Transfer {
    /// Makes the document of rows.
    pub(crate) fn new(rows: &[Row]) -> Result<Self, FormatError> {
        let head = Head::read(rows.iter().find(|row| row.key == Head::key()))?;
        let raw = |row: &Row| Ok((row.key.as_str().to_owned(), decode(row)?));
        Ok(Self {
            format_version: DOCUMENT.to_owned(),
            lineage: head.lineage,
            serial: head.serial,
            rows: rows.iter().map(raw).collect::<Result<_, FormatError>>()?,
        })
    }

    /// Returns how many objects it has.
    pub fn objects(&self) -> usize {
        let [object, ..] = RECORD;
        self.rows.keys().filter(|key| key.starts_with(object)).count()
    }

    /// Checks that the document is a record.
    pub fn validate(&self) -> Result<(), TransferError> {
        self.open().map(drop)
    }

    /// Reads the record of the document: its head, and what it holds.
    pub(crate) fn open(&self) -> Result<(Head, State), TransferError> {
        if self.format_version != DOCUMENT {
            return Err(TransferError::Version(self.format_version.clone()));
        }
        let rows = self.rows();
        let head = Head::read(rows.iter().find(|row| row.key == Head::key()))?;
        let key = rows.iter().find(|row| row.key == secret::key_row());
        decode::<KeyRow>(key.ok_or_else(|| FormatError::Missing(secret::key_row()))?)?;
        for row in &rows {
            let name = row.key.as_str();
            let known = row.key == Head::key() || row.key == secret::key_row();
            let known =
                known || name.starts_with(secret::PREFIX) || RECORD.iter().any(|prefix| name.starts_with(prefix));
            if !known {
                return Err(TransferError::Stray(name.to_owned()));
            }
        }
        let state = read_state(&rows, head.format)?;
        Ok((head, state))
    }

    /// Checks that a state may become what the document says: it is the same record, and was not written since. One in which
    /// nothing is recorded may become any.
    pub(crate) fn check(&self, here: &Head, recorded: &State) -> Result<(), TransferError> {
        if recorded.addresses().is_empty() && here.runs == 0 {
            return Ok(());
        }
        if here.lineage != self.lineage {
            return Err(TransferError::OtherLineage {
                found: self.lineage.clone(),
                here: here.lineage.clone(),
            });
        }
        if here.serial > self.serial {
            return Err(TransferError::Older {
                found: self.serial,
                here: here.serial,
            });
        }
        Ok(())
    }

    /// Returns what makes rows those of the document, but for its head: of what is there, what it does not have goes.
    pub(crate) fn writes(&self, there: &[Row], format: u32, state: &State) -> Vec<Write> {
        let kept: BTreeSet<&str> = self.rows.keys().map(String::as_str).collect();
        let gone = there
            .iter()
            .filter(|row| row.key != Head::key() && !kept.contains(row.key.as_str()));
        let mut writes: Vec<Write> = gone.map(|row| Write::delete(row.key.clone())).collect();
        let upgraded = if format == FORMAT {
            Vec::new()
        } else {
            object_rows(state, &state.addresses())
        };
        let upgraded_keys: BTreeSet<&str> = upgraded.iter().map(|write| write.key.as_str()).collect();
        let rows = self.rows().into_iter();
        let rows = rows.filter(|row| row.key != Head::key() && !upgraded_keys.contains(row.key.as_str()));
        writes.extend(rows.map(|row| Write::put(row.key, row.bytes.into())));
        writes.extend(upgraded);
        writes
    }

    /// Returns the rows of a record that is made from the document.
    pub(crate) fn first_rows(&self, mut head: Head, state: &State) -> Vec<(Key, Vec<u8>)> {
        let writes = self.writes(&[], head.format, state);
        // The journal stays where the document came from.
        (head.format, head.runs, head.events) = (FORMAT, 0, 0);
        head.open.clear();
        let rows = writes.into_iter().filter_map(|write| Some((write.key, write.bytes?)));
        rows.chain([(Head::key(), encode(&head))]).collect()
    }

    fn rows(&self) -> Vec<Row> {
        let rows = self.rows.iter().map(|(key, text)| Row {
            key: Key::new(key.clone()),
            version: Version(0),
            bytes: text.get().as_bytes().to_vec().into(),
        });
        rows.collect()
    }
}
