//! Who holds the lock, in the one row that says it, and the layout that has this row.

use rusqlite::types::Type;
use rusqlite::{Connection, Transaction};

use crate::backend::{Lease, Token};
use crate::leases::Leases;
use crate::owner::Owner;

/// The number of the layout (`PRAGMA user_version`).
pub(super) const LAYOUT: u32 = 2;

/// The layout in which one process at a time held the lock, in a table `lease` with its token, beat and owner, and with the commits. A
/// file of it is read as it is, and has the present layout once its lock is taken.
pub(super) const FIRST_LAYOUT: u32 = 1;

/// It has one row. `commits` only grows; `leases` is JSON ([`crate::leases`]).
const LOCK: &str = "CREATE TABLE lock (one INTEGER PRIMARY KEY CHECK (one = 1), commits INTEGER NOT NULL, leases TEXT NOT NULL) STRICT";

/// Makes the table of the lock, which is free.
pub(super) fn make(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute(LOCK, [])?;
    let free = text(&Leases::default());
    transaction
        .execute("INSERT INTO lock VALUES (1, 0, ?1)", [free])
        .map(drop)
}

/// Gives a file the present layout, where it has the first one. A simdb that knows that one alone writes it no more, whatever it holds.
pub(super) fn bring_up(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    if layout(transaction)? != FIRST_LAYOUT {
        return Ok(());
    }
    let leases = text(&read_first(transaction)?);
    transaction.execute(LOCK, [])?;
    transaction.execute("INSERT INTO lock SELECT 1, commits, ?1 FROM lease", [leases])?;
    transaction.execute("DROP TABLE lease", [])?;
    transaction.pragma_update(None, "user_version", LAYOUT)
}

fn layout(connection: &Connection) -> rusqlite::Result<u32> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Reads who holds the lock.
pub(super) fn read(connection: &Connection) -> rusqlite::Result<Leases> {
    if layout(connection)? == FIRST_LAYOUT {
        return read_first(connection);
    }
    let mut statement = connection.prepare_cached("SELECT leases FROM lock")?;
    statement.query_row([], |row| parsed(&row.get::<_, String>(0)?))
}

/// Reads the lock of the first layout, which one process held for everything.
fn read_first(connection: &Connection) -> rusqlite::Result<Leases> {
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
    bring_up(transaction)?;
    let mut statement = transaction.prepare_cached("UPDATE lock SET leases = ?1")?;
    statement.execute([text(leases)]).map(drop)
}

fn text(leases: &Leases) -> String {
    serde_json::to_string(leases).expect("leases are texts and numbers")
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> rusqlite::Result<T> {
    serde_json::from_str(text).map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
}
