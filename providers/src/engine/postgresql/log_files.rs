//! Compares the log itself between servers, byte by byte: copies of one log are the same, up to the position that both
//! have reached.
//!
//! Compared are the files of the primary's timeline that both servers still have. What follows the last position in a file
//! is older than the file.
//!
//! Limit: a standby that streams anew overwrites the file it begins in, so that a difference there is covered up; that the
//! data came from this log says its restart point (`restart_point`).

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;

use super::connection::Connection;
use super::{Cause, PostgresqlError};
use crate::executor::chain;
use crate::sessions::Sessions;

const DOING: &str = "compare the log";

const TIMELINE: &str = "SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int";

/// How long reading one file of the log may take.
const FILE_LIMIT: Duration = Duration::from_mins(1);

/// How long a page of the log is.
const PAGE: u64 = 8192;

/// Where the log of a standby says something else than that of its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogDifference {
    /// The standby.
    pub node: NodeAddress,
    /// The timeline.
    pub timeline: u32,
    /// The beginning of the first page that differs.
    pub position: Lsn,
}

/// What the log of a server is made of.
struct Files {
    /// Up to where the server has it.
    end: Lsn,
    /// How long a file is.
    segment: u64,
    /// Their names.
    names: BTreeSet<String>,
}

/// Compares the logs of standbys with that of their primary: returns for each what was found, or why it could not be
/// compared.
pub async fn compare(
    primary: &Server,
    standbys: &[Server],
    sessions: &Sessions<'_>,
) -> Result<Vec<Result<LogDifference, String>>, PostgresqlError> {
    let primary = Connection::open(sessions, primary).await?;
    let timeline = primary.required(DOING, TIMELINE).await?;
    let timeline = timeline.parse().map_err(|_| primary.failure(DOING, Cause::Empty))?;
    let primary = &primary;
    let compared = join_all(standbys.iter().map(|standby| async move {
        let connection = Connection::open(sessions, standby).await?;
        difference(primary, &connection, timeline).await
    }));
    let found = compared.await.into_iter().zip(standbys);
    Ok(found
        .filter_map(|(found, standby)| match found {
            Ok(found) => found.map(Ok),
            Err(error) => Some(Err(format!(
                "the log of {} is not compared: {}",
                standby.node.node,
                chain(&error)
            ))),
        })
        .collect())
}

async fn difference(
    primary: &Connection,
    standby: &Connection,
    timeline: u32,
) -> Result<Option<LogDifference>, PostgresqlError> {
    // Read first, so that the primary has flushed whatever the standby has.
    let theirs = files(standby, timeline, "coalesce(pg_last_wal_replay_lsn(), '0/0')").await?;
    let ours = files(primary, timeline, "pg_current_wal_flush_lsn()").await?;
    for name in ours.names.intersection(&theirs.names) {
        let Some(length) = ours.length(name, theirs.end) else {
            continue;
        };
        let whole = format!("SELECT encode(sha256(pg_read_binary_file('pg_wal/{name}', 0, {length}, true)), 'hex')");
        if same(primary, standby, &whole).await? {
            continue;
        }
        if let Some(page) = first_page(primary, standby, name, length).await? {
            return Ok(Some(LogDifference {
                node: standby.node().clone(),
                timeline,
                position: Lsn(ours.begin(name) + page * PAGE),
            }));
        }
    }
    Ok(None)
}

/// Returns the first page of a file that differs; nothing where one of the files went meanwhile.
async fn first_page(
    primary: &Connection,
    standby: &Connection,
    name: &str,
    length: u64,
) -> Result<Option<u64>, PostgresqlError> {
    let pages = format!(
        "SELECT string_agg(md5(pg_read_binary_file('pg_wal/{name}', page * {PAGE},
            least({PAGE}, {length} - page * {PAGE}), true)), ' ' ORDER BY page)
        FROM generate_series(0, ({length} - 1) / {PAGE}) AS page"
    );
    let (ours, theirs) = answers(primary, standby, &pages).await?;
    let Some((ours, theirs)) = ours.zip(theirs) else {
        return Ok(None);
    };
    let first = ours
        .split(' ')
        .zip(theirs.split(' '))
        .position(|(ours, theirs)| ours != theirs);
    Ok(first.and_then(|page| u64::try_from(page).ok()))
}

async fn same(primary: &Connection, standby: &Connection, sql: &str) -> Result<bool, PostgresqlError> {
    let (ours, theirs) = answers(primary, standby, sql).await?;
    // A file that went meanwhile is not compared.
    Ok(ours.zip(theirs).is_none_or(|(ours, theirs)| ours == theirs))
}

async fn answers(
    primary: &Connection,
    standby: &Connection,
    sql: &str,
) -> Result<(Option<String>, Option<String>), PostgresqlError> {
    let (ours, theirs) = tokio::try_join!(
        primary.rows_within(DOING, sql, FILE_LIMIT),
        standby.rows_within(DOING, sql, FILE_LIMIT)
    )?;
    let value = |rows: Vec<Vec<Option<String>>>| rows.into_iter().flatten().next().flatten();
    Ok((value(ours), value(theirs)))
}

async fn files(connection: &Connection, timeline: u32, end: &str) -> Result<Files, PostgresqlError> {
    let sql = format!(
        "SELECT {end}, bytes_per_wal_segment, (SELECT string_agg(name, ' ') FROM pg_ls_waldir()
            WHERE length(name) = 24 AND left(name, 8) = '{timeline:08X}')
        FROM pg_control_init()"
    );
    let row = connection
        .rows(DOING, &sql)
        .await?
        .into_iter()
        .next()
        .unwrap_or_default();
    let [Some(end), Some(segment), names] = row.as_slice() else {
        return Err(connection.failure(DOING, Cause::Empty));
    };
    Ok(Files {
        end: end
            .parse()
            .map_err(|error| connection.failure(DOING, Cause::Position(error)))?,
        segment: segment.parse().map_err(|_| connection.failure(DOING, Cause::Empty))?,
        names: names
            .iter()
            .flat_map(|names| names.split(' '))
            .map(str::to_owned)
            .collect(),
    })
}

impl Files {
    /// Returns the position at which a file begins.
    fn begin(&self, name: &str) -> u64 {
        let number = |from, to| u64::from_str_radix(name.get(from..to).unwrap_or_default(), 16).unwrap_or_default();
        (number(8, 16) << 32) + number(16, 24) * self.segment
    }

    /// Returns how much of a file two servers have that are at these positions; nothing where one has none of it.
    fn length(&self, name: &str, other: Lsn) -> Option<u64> {
        let end = self.end.min(other).0;
        let length = end.saturating_sub(self.begin(name)).min(self.segment);
        (length > 0).then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_up_to_the_position_that_both_servers_have() {
        let files = Files {
            end: Lsn(0x1_0300_0200),
            segment: 16 << 20,
            names: BTreeSet::new(),
        };
        let name = |file: &str| format!("0000000100000001{file}");
        assert_eq!(files.begin(&name("00000003")), 0x1_0300_0000);
        for (file, other, length) in [
            ("00000002", 0x1_0300_0100, Some(16 << 20)),
            ("00000003", 0x1_0300_0100, Some(0x100)),
            ("00000003", 0x1_0400_0000, Some(0x200)),
            ("00000004", 0x1_0400_0000, None),
        ] {
            assert_eq!(files.length(&name(file), Lsn(other)), length, "{file}");
        }
    }
}
