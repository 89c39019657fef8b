//! Whether the data of a server stands on the log that the server has. A position says how far data goes, and not whose
//! log it took that from.
//!
//! Data that recovered by itself wrote a checkpoint where the log of the primary says something else. Where both logs end
//! at the same position the server streams on, and the stream covers up in its log what it replayed. The control data
//! still name the checkpoint, up to the next restart point:
//!
//! ```text
//!   log of the primary     … │ insert │ insert │ commit │ …
//!   what was replayed      … │ checkpoint      │ commit │ …
//!   log after the stream   … │ insert │ insert │ commit │ …       control data: checkpoint at the first insert
//! ```
//!
//! So the log must hold a checkpoint where the control data name one. Only machines that store the lowest byte first are
//! supported, which is true of all that the servers are packaged for here.

use simdb_state::lsn::Lsn;

use super::connection::Connection;
use super::{Cause, PostgresqlError};

const DOING: &str = "compare the restart point with the log";

/// How many bytes of the record are read: its header, and the beginning of what it holds.
const RECORD: usize = 34;

/// How long a page of the log is.
const PAGE: u64 = 8192;

/// How long the header of the first page of a segment is, and that of any other page.
const LONG_HEADER: u64 = 40;
const SHORT_HEADER: u64 = 24;

/// How many bytes of a file are read: a record may be interrupted by one header of a page.
const READ: u64 = RECORD as u64 + LONG_HEADER;

/// Where data is recovered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct RestartPoint {
    /// Where the checkpoint stands in the log.
    checkpoint: Lsn,
    /// Where replay begins, as the checkpoint says.
    redo: Lsn,
    /// How long a file of the log is.
    segment: u64,
}

/// Checks that a server's log holds the checkpoint that its control data name.
pub(crate) async fn check(connection: &Connection) -> Result<(), PostgresqlError> {
    let mut point = read(connection).await?;
    loop {
        let mut found = records(connection, &point).await?.into_iter();
        if found.any(|bytes| point.is_in(&bytes)) {
            return Ok(());
        }
        // A restart point that was made meanwhile takes files of the log away.
        let now = read(connection).await?;
        if now == point {
            return Err(PostgresqlError::OtherLog {
                node: connection.node().clone(),
                checkpoint: point.checkpoint,
            });
        }
        point = now;
    }
}

async fn read(connection: &Connection) -> Result<RestartPoint, PostgresqlError> {
    const SQL: &str = "SELECT checkpoint_lsn, redo_lsn, bytes_per_wal_segment
        FROM pg_control_checkpoint(), pg_control_init()";
    let rows = connection.rows(DOING, SQL).await?;
    let values: Vec<String> = rows.into_iter().flatten().flatten().collect();
    let [checkpoint, redo, segment] = values.as_slice() else {
        return Err(connection.failure(DOING, Cause::Empty));
    };
    let position = |text: &String| {
        text.parse()
            .map_err(|error| connection.failure(DOING, Cause::Position(error)))
    };
    Ok(RestartPoint {
        checkpoint: position(checkpoint)?,
        redo: position(redo)?,
        segment: segment.parse().map_err(|_| connection.failure(DOING, Cause::Empty))?,
    })
}

/// Returns what the log holds at a restart point: once for each timeline that has the file.
async fn records(connection: &Connection, point: &RestartPoint) -> Result<Vec<Vec<u8>>, PostgresqlError> {
    let rows = connection.rows(DOING, &point.query()).await?;
    let texts = rows.into_iter().flatten().flatten();
    Ok(texts.filter_map(|text| bytes(&text)).collect())
}

fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = hex.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

impl RestartPoint {
    /// Returns the statement that reads the log where the checkpoint stands, across the end of a file.
    fn query(&self) -> String {
        let number = self.checkpoint.0 / self.segment;
        let offset = self.checkpoint.0 % self.segment;
        let first = READ.min(self.segment - offset);
        format!(
            "SELECT encode(pg_read_binary_file('pg_wal/' || name, {offset}, {first}, true)
                || coalesce(pg_read_binary_file('pg_wal/' || left(name, 8) || '{next}', 0, {rest}, true), ''), 'hex')
            FROM pg_ls_waldir() WHERE length(name) = 24 AND right(name, 16) = '{this}'",
            this = self.file(number),
            next = self.file(number + 1),
            rest = READ - first,
        )
    }

    /// Returns the name of a file of the log without its timeline.
    fn file(&self, number: u64) -> String {
        let numbers = 0x1_0000_0000 / self.segment;
        format!("{:08X}{:08X}", number / numbers, number % numbers)
    }

    /// Returns whether bytes of the log, from where the checkpoint stands, are a checkpoint that begins where this does.
    fn is_in(&self, bytes: &[u8]) -> bool {
        let record = self.record(bytes);
        let Some((head, body)) = record.split_at_checked(24) else {
            return false;
        };
        // Resource manager 0 is the log itself; of its records the first two kinds are checkpoints.
        let is_checkpoint = head[17] == 0 && matches!(head[16] & 0xF0, 0x00 | 0x10);
        // What it holds is short, and has no reference to a block before it.
        let is_short = body.first() == Some(&0xFF);
        let redo = body.get(2..10).and_then(|redo| redo.try_into().ok());
        is_checkpoint && is_short && redo.map(u64::from_le_bytes) == Some(self.redo.0)
    }

    /// Returns the beginning of a record without the headers of pages.
    fn record(&self, bytes: &[u8]) -> Vec<u8> {
        let mut record = Vec::with_capacity(RECORD);
        let mut at = 0;
        while record.len() < RECORD {
            let position = self.checkpoint.0 + at;
            at += match (position % self.segment, position % PAGE) {
                (0, _) => LONG_HEADER,
                (_, 0) => SHORT_HEADER,
                _ => 0,
            };
            let Some(byte) = usize::try_from(at).ok().and_then(|at| bytes.get(at)) else {
                break;
            };
            record.push(*byte);
            at += 1;
        }
        record
    }
}

#[cfg(test)]
mod tests;
