//! Who holds the lock, in the one row that says it.

use rusqlite::types::Type;
use rusqlite::{Connection, Transaction};

use super::file::{self, FIRST_LAYOUT};
use crate::backend::{Lease, Token};
use crate::leases::Leases;
use crate::owner::Owner;

/// Reads who holds the lock.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Leases> {
    if file::layout(connection)? == FIRST_LAYOUT {
        return read_first(connection);
    }
    let mut statement = connection.prepare_cached("SELECT leases FROM lock")?;
    statement.query_row([], |row| parsed(&row.get::<_, String>(0)?))
}

/// Reads the lock of the first layout, which one process held for everything.
pub(super) fn read_first(connection: &Connection) -> rusqlite::Result<Leases> {
    let mut statement = connection.prepare("SELECT token, beat, owner FROM lease")?;
    statement.query_row([], |row| {
        let last = Token(row.get(0)?);
        let mut leases = Leases { last, held: Vec::new() };
        if let Some(owner) = row.get::<_, Option<String>>(2)? {
            leases.held.push(Lease {
                token: last,
                beat: row.get(1)?,
                owner: parsed::<Owner>(&owner)?,
            });
        }
        Ok(leases)
    })
}

/// Writes who holds the lock.
pub(super) fn write(transaction: &Transaction<'_>, leases: &Leases) -> rusqlite::Result<()> {
    file::bring_up(transaction)?;
    let mut statement = transaction.prepare_cached("UPDATE lock SET leases = ?1")?;
    statement.execute([text(leases)]).map(drop)
}

/// Returns leases as they are stored.
pub(super) fn text(leases: &Leases) -> String {
    serde_json::to_string(leases).expect("leases are texts and numbers")
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
}
