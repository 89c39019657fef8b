//! Compares what the nodes of a cluster hold: rows and checksums of every table of every database, at one moment.
//!
//! The moment must be the same on all nodes, though the primary may be written to. So it is a quiet one:
//!
//! ```text
//!   primary   snapshot S1: no transaction that writes is under way; the next will be X
//!   primary   marker, which is X itself
//!   standbys  replay the marker, and take their snapshots
//!   primary   S2: no transaction that writes is under way; the next will be X + 1
//! ```
//!
//! What S1 shows was committed before the marker, and nothing was committed between S1 and S2 but the marker: all snapshots
//! show the same rows, however long they are read afterwards. If somebody wrote meanwhile, it is tried again. Nothing is
//! locked, and no replay is paused.
//!
//! Limits: a cluster that is written to without a pause of a few milliseconds, or that has a prepared transaction, has no
//! quiet moment, and is not compared. Not compared are sequences (standbys are ahead of them by design), unlogged and
//! foreign tables, generated columns, large objects, and before 18 materialized views, which no statement reads without
//! evaluating what their owners wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use simdb_planner::plan::Server;
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use tokio::time::sleep;

use super::connection::{Connection, MAINTENANCE_DATABASE};
use super::converge::{ConvergeError, arrivals, doors, find_writer, mark};
use super::{PostgresqlError, ledger, table};
use crate::executor::chain;
use crate::sessions::Sessions;

/// How long reading one table may take.
const TABLE_LIMIT: Duration = Duration::from_mins(10);

/// How long to wait after a moment that was not quiet.
const PAUSE: Duration = Duration::from_millis(50);

/// Rows as text must look the same on all nodes, whatever their settings.
const SETTINGS: &str = "SET statement_timeout = '10min'; SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD';
    SET IntervalStyle = 'postgres'; SET bytea_output = 'hex'; SET extra_float_digits = 1; SET xmlbinary = 'base64';
    SET lc_monetary = 'C'";

/// Begins to read, and returns `xmin:xmax:running` of what is read.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_current_snapshot()";

/// What a node holds of one table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Digest {
    /// How many rows.
    pub rows: u64,
    /// The sum of the digests of the rows, which does not depend on their order.
    pub checksum: String,
}

/// What the nodes of a cluster hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// The node that writes.
    pub primary: NodeAddress,
    /// What they hold of each database.
    pub databases: BTreeMap<String, Database>,
}

/// What the nodes of a cluster hold of one database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Database {
    /// Where in the log they were compared; absent where they were not.
    pub marker: Option<Lsn>,
    /// What each node holds of each table; nothing where it has no such table.
    pub tables: BTreeMap<String, BTreeMap<NodeAddress, Option<Digest>>>,
    /// Why something could not be compared.
    pub problems: Vec<String>,
}

/// A table of which a node holds something else than the primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<'a> {
    /// The table.
    pub table: &'a str,
    /// The node.
    pub node: &'a NodeAddress,
    /// What the primary holds.
    pub expected: Option<&'a Digest>,
    /// What the node holds.
    pub found: Option<&'a Digest>,
}

impl Comparison {
    /// Returns the nodes whose data differs and must be made anew, each with what it holds.
    ///
    /// Those are the ones that differ from the primary, unless the primary alone differs from at least two others, which
    /// hold the same: then it is the primary.
    pub fn astray(&self) -> BTreeMap<NodeAddress, String> {
        let mut astray = BTreeMap::new();
        for (name, database) in &self.databases {
            for difference in database.differences(&self.primary) {
                let others = database.tables[difference.table]
                    .iter()
                    .filter(|(node, _)| **node != self.primary);
                let others: Vec<_> = others.map(|(_, digest)| digest.as_ref()).collect();
                let alone = others.len() > 1 && others.iter().all(|digest| *digest == difference.found);
                let (node, has, should) = if alone {
                    (&self.primary, difference.expected, difference.found)
                } else {
                    (difference.node, difference.found, difference.expected)
                };
                let what = format!(
                    "table {} of database {name} holds {}, and elsewhere {}",
                    difference.table,
                    rows(has),
                    rows(should)
                );
                astray.entry(node.clone()).or_insert(what);
            }
        }
        astray
    }
}

fn rows(digest: Option<&Digest>) -> String {
    digest.map_or_else(
        || "no such table".to_owned(),
        |Digest { rows, checksum }| format!("{rows} rows with checksum {checksum}"),
    )
}

impl Database {
    /// Returns where nodes hold something else than the primary.
    pub fn differences(&self, primary: &NodeAddress) -> Vec<Difference<'_>> {
        let mut differences = Vec::new();
        for (table, nodes) in &self.tables {
            let expected = nodes.get(primary).and_then(Option::as_ref);
            for (node, found) in nodes {
                if found.as_ref() != expected {
                    differences.push(Difference {
                        table,
                        node,
                        expected,
                        found: found.as_ref(),
                    });
                }
            }
        }
        differences
    }
}

/// Compares what servers hold. What could not be compared within the limit is a problem in the answer.
pub async fn compare(
    servers: &[Server],
    sessions: &Sessions<'_>,
    limit: Duration,
) -> Result<Comparison, ConvergeError> {
    let writer = find_writer(&doors(servers, MAINTENANCE_DATABASE, sessions), limit).await?;
    let primary = writer.node().clone();
    let mut databases = BTreeMap::new();
    for name in names(&writer, DATABASES).await? {
        let database = match quiet_moment(servers, &name, sessions, limit).await? {
            Ok(moment) => moment.read().await,
            Err(problem) => Database {
                problems: vec![problem],
                ..Database::default()
            },
        };
        databases.insert(name, database);
    }
    Ok(Comparison { primary, databases })
}

const DATABASES: &str = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate";

/// Returns what fills the first column of an answer.
async fn names(connection: &Connection, sql: &str) -> Result<BTreeSet<String>, PostgresqlError> {
    let rows = connection.rows("list the tables to compare", sql).await?;
    Ok(rows.into_iter().filter_map(|row| row.into_iter().next()?).collect())
}

/// Sessions that all read the same.
struct Moment {
    marker: Lsn,
    sessions: BTreeMap<NodeAddress, Connection>,
    /// Why nodes are not among them.
    problems: Vec<String>,
}

/// Tries to find a quiet moment, up to a limit; else says why there was none.
async fn quiet_moment(
    servers: &[Server],
    database: &str,
    sessions: &Sessions<'_>,
    limit: Duration,
) -> Result<Result<Moment, String>, ConvergeError> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(moment) = moment(servers, database, sessions, deadline).await? {
            return Ok(Ok(moment));
        }
        if Instant::now() >= deadline {
            return Ok(Err(format!(
                "there was no moment within {limit:?} without writes, so that its tables cannot be compared"
            )));
        }
        sleep(PAUSE).await;
    }
}

/// Takes a snapshot on every node; nothing where somebody wrote meanwhile.
async fn moment(
    servers: &[Server],
    database: &str,
    sessions: &Sessions<'_>,
    deadline: Instant,
) -> Result<Option<Moment>, ConvergeError> {
    let limit = deadline.saturating_duration_since(Instant::now());
    let servers = doors(servers, database, sessions);
    let control = find_writer(&servers, limit).await?;
    let writer = find_writer(&servers, limit).await?;
    let Some(next) = quiet(&begin(&writer).await?) else {
        return Ok(None);
    };
    let marker = mark(&control).await?;
    let mut moment = Moment {
        marker,
        sessions: BTreeMap::new(),
        problems: Vec::new(),
    };
    for (node, arrived) in arrivals(&servers, marker, deadline).await {
        if node == *writer.node() {
            continue;
        }
        let session = match arrived {
            Ok(session) => begin(&session).await.map(|_| session).map_err(|error| chain(&error)),
            Err(reason) => Err(reason),
        };
        match session {
            Ok(session) => drop(moment.sessions.insert(node, session)),
            Err(reason) => moment.problems.push(format!("{node} is not compared: {reason}")),
        }
    }
    let after = control.required(SNAPSHOT_DOING, "SELECT pg_current_snapshot()").await?;
    moment.sessions.insert(writer.node().clone(), writer);
    Ok((quiet(&after) == Some(next + 1)).then_some(moment))
}

const SNAPSHOT_DOING: &str = "take a snapshot";

/// Begins to read on a session, and returns what is read.
async fn begin(session: &Connection) -> Result<String, PostgresqlError> {
    session.execute(SNAPSHOT_DOING, SETTINGS).await?;
    session.required(SNAPSHOT_DOING, SNAPSHOT).await
}

/// Returns the number of the next transaction of a snapshot in which none is under way.
fn quiet(snapshot: &str) -> Option<u64> {
    let (oldest, rest) = snapshot.split_once(':')?;
    let (next, _) = rest.split_once(':')?;
    if oldest == next { next.parse().ok() } else { None }
}

impl Moment {
    async fn read(self) -> Database {
        let lists = self.sessions.iter().map(|(node, session)| async move {
            let tables = names(session, &tables()).await;
            (node.clone(), tables.map_err(|error| chain(&error)))
        });
        let mut database = Database {
            marker: Some(self.marker),
            tables: BTreeMap::new(),
            problems: self.problems,
        };
        let mut all = BTreeMap::new();
        for (node, tables) in join_all(lists).await {
            match tables {
                Ok(tables) => drop(all.insert(node, tables)),
                Err(reason) => database.problems.push(format!("{node} is not compared: {reason}")),
            }
        }
        let tables: BTreeSet<&String> = all.values().flatten().collect();
        for table in tables {
            let nodes = self.sessions.iter().filter_map(|(node, session)| {
                let has = all.get(node)?.contains(table);
                Some(async move {
                    (
                        node.clone(),
                        if has { Some(digest(session, table).await) } else { None },
                    )
                })
            });
            let digests = database.tables.entry(table.clone()).or_default();
            for (node, digest) in join_all(nodes).await {
                match digest.transpose() {
                    Ok(digest) => drop(digests.insert(node, digest)),
                    Err(error) => database.problems.push(chain(&error)),
                }
            }
        }
        database
    }
}

/// Names the tables of a database, as they are written in SQL.
fn tables() -> String {
    format!(
        "SELECT format('%I.%I', nspname, relname)
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE (relkind = 'r' OR relkind = 'm' AND current_setting('server_version_num')::int >= 180000)
            AND relpersistence = 'p' AND relispopulated
            AND nspname NOT IN ('pg_catalog', 'information_schema', '{}') AND nspname !~ '^pg_toast'",
        ledger::SCHEMA
    )
}

async fn digest(session: &Connection, table: &str) -> Result<Digest, PostgresqlError> {
    let doing = format!("read table {table}");
    let (mut rows, mut sum) = (0, 0_u64);
    let add = |row: &[u8]| {
        rows += 1;
        sum = sum.wrapping_add(checksum(row));
    };
    table::rows(session, &doing, table, TABLE_LIMIT, add).await?;
    Ok(Digest {
        rows,
        checksum: sum.to_string(),
    })
}

/// Returns the first bytes of a row's digest.
fn checksum(row: &[u8]) -> u64 {
    let digest = Sha256::digest(row);
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_quiet_when_no_transaction_is_under_way() {
        for (snapshot, next) in [
            ("744:744:", Some(744)),
            ("744:745:744", None),
            ("744:746:744,745", None),
            ("744:745:", None),
            ("", None),
        ] {
            assert_eq!(quiet(snapshot), next, "{snapshot}");
        }
    }

    #[test]
    fn a_primary_that_differs_from_all_others_is_the_one_that_is_astray() {
        let node = |name: &str| format!("cluster.c.node.{name}").parse::<NodeAddress>().unwrap();
        let digest = |rows| {
            Some(Digest {
                rows,
                checksum: "7".to_owned(),
            })
        };
        let astray = |a, b, c| {
            let held = [("a", a), ("b", b), ("c", c)].map(|(name, rows)| (node(name), digest(rows)));
            let database = Database {
                tables: BTreeMap::from([("public.t".to_owned(), BTreeMap::from(held))]),
                ..Database::default()
            };
            let comparison = Comparison {
                primary: node("a"),
                databases: BTreeMap::from([("app".to_owned(), database)]),
            };
            comparison.astray().into_keys().collect::<Vec<_>>()
        };
        assert_eq!(astray(3, 3, 3), []);
        assert_eq!(astray(3, 3, 2), [node("c")]);
        assert_eq!(astray(3, 2, 1), [node("b"), node("c")]);
        assert_eq!(astray(2, 3, 3), [node("a")]);
    }

    #[test]
    fn a_node_differs_where_it_holds_other_rows_or_no_such_table() {
        let node = |name: &str| format!("cluster.c.node.{name}").parse::<NodeAddress>().unwrap();
        let digest = |rows, checksum: &str| {
            Some(Digest {
                rows,
                checksum: checksum.to_owned(),
            })
        };
        let held = |a, b| BTreeMap::from([(node("a"), a), (node("b"), b)]);
        let tables = BTreeMap::from([
            ("public.same".to_owned(), held(digest(1, "7"), digest(1, "7"))),
            ("public.fewer".to_owned(), held(digest(2, "9"), digest(1, "7"))),
            ("public.other".to_owned(), held(digest(1, "7"), digest(1, "8"))),
            ("public.gone".to_owned(), held(digest(1, "7"), None)),
            ("public.extra".to_owned(), held(None, digest(1, "7"))),
        ]);
        let database = Database {
            tables,
            ..Database::default()
        };
        let primary = node("a");
        let comparison = Comparison {
            primary: primary.clone(),
            databases: BTreeMap::from([("app".to_owned(), database.clone())]),
        };
        assert_eq!(
            comparison.astray()[&node("b")],
            "table public.extra of database app holds 1 rows with checksum 7, and elsewhere no such table"
        );
        let differences = database.differences(&primary);
        let tables: Vec<&str> = differences.iter().map(|difference| difference.table).collect();
        assert_eq!(tables, ["public.extra", "public.fewer", "public.gone", "public.other"]);
        assert!(differences.iter().all(|difference| *difference.node == node("b")));
    }
}
