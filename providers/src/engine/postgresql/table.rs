//! Reads what a table holds, and runs nothing that its owner wrote.
//!
//! A superuser who selects from a table of somebody else's runs more than the statement says. A cast of the row may be
//! the owner's function; the planner evaluates constants in the expressions of the table's indexes and statistics; a name
//! that led to a table when tables were listed may lead to a view now. Acting as the owner helps against none of it, for
//! the owner's function can take that back.
//!
//! `COPY table TO STDOUT` is not planned. It looks the name up once and refuses a view, a foreign table and whatever else
//! has no rows; it applies no cast; and all it calls are output functions of types, which superusers alone can make (those
//! of domains, enumerations, ranges, rows and arrays are built in). It writes text, for some built-in types have no binary
//! form. Columns that are generated are no part of it: they follow from the others.

use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use tokio::time::timeout;

use super::connection::Connection;
use super::{Cause, PostgresqlError};

/// Hands over each row of a table, as one line of text. The server has a time limit as well, which such a session raises.
pub(super) async fn rows(
    connection: &Connection,
    doing: &str,
    table: &str,
    limit: Duration,
    row: impl FnMut(&[u8]),
) -> Result<(), PostgresqlError> {
    let read = timeout(limit, copy(connection, table, row)).await;
    let cause = match read {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => Cause::from(error),
        Err(_) => {
            connection.cancel().await;
            Cause::Silence(limit)
        }
    };
    Err(connection.failure(doing, cause))
}

async fn copy(connection: &Connection, table: &str, mut row: impl FnMut(&[u8])) -> Result<(), tokio_postgres::Error> {
    let stream = connection.copy_out(&format!("COPY {table} TO STDOUT")).await?;
    let mut stream = pin!(stream);
    // A server sends a row at a time, which the protocol does not promise.
    let mut rest: Vec<u8> = Vec::new();
    while let Some(data) = stream.try_next().await? {
        rest.extend_from_slice(&data);
        let mut start = 0;
        while let Some(length) = rest[start..].iter().position(|byte| *byte == b'\n') {
            row(&rest[start..start + length]);
            start += length + 1;
        }
        rest.drain(..start);
    }
    Ok(())
}
