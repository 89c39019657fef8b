//! What a verification found.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use simdb_providers::engine::compare::{Comparison, Database, Difference, Digest};
use simdb_providers::engine::ledger::{Entry, Missing, Report, Tally};
use simdb_providers::engine::log_files::LogDifference;
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::name::{ClusterName, NodeName};

use super::FORMAT_VERSION;

/// What a verification found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VerifyDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// The cluster.
    pub cluster: ClusterName,
    /// Whether all that was looked at is as it must be, and all of it could be looked at.
    pub verified: bool,
    /// How many standbys there are.
    pub standbys: usize,
    /// Where the marker stands that every standby has replayed; absent where one has not.
    pub marker: Option<Lsn>,
    /// What became of the rows that were written under load; absent without.
    pub load: Option<LoadDoc>,
    /// The databases that were compared, by name.
    pub databases: Vec<DatabaseDoc>,
    /// What is wrong, each a sentence or a fragment that starts with its subject.
    pub problems: Vec<String>,
}

/// What became of the rows that were written under load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadDoc {
    /// How many clients wrote.
    pub clients: u32,
    /// For how long.
    pub seconds: f64,
    /// Rows that were tried.
    pub attempts: u64,
    /// Rows that the server said are committed.
    pub acknowledged: u64,
    /// Rows of which nobody knows: the connection broke, or the server warned that they may not be replicated.
    pub unknown: u64,
    /// Rows that the server said are not committed.
    pub failed: u64,
    /// The longest time in which nothing was acknowledged.
    pub longest_gap_seconds: Option<f64>,
    /// What each node holds of them.
    pub nodes: Vec<LoadNodeDoc>,
}

/// What a node holds of the rows that were written under load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadNodeDoc {
    /// The node.
    pub node: String,
    /// How many of them; absent where it could not be asked.
    pub rows: Option<u64>,
    /// Those that were acknowledged and are not there.
    pub missing: Vec<Missing>,
    /// Those that are there and should not be.
    pub unexpected: Vec<Entry>,
}

/// A database that was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DatabaseDoc {
    /// Its name.
    pub name: String,
    /// Where in the log it was compared; absent where it was not.
    pub marker: Option<Lsn>,
    /// Its tables, by name.
    pub tables: Vec<TableDoc>,
}

/// A table that was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TableDoc {
    /// Its name, as it is written in SQL.
    pub name: String,
    /// How many rows the primary has; absent where it has no such table.
    pub rows: Option<u64>,
    /// The sum of their hashes.
    pub checksum: Option<String>,
    /// The nodes that hold something else.
    pub differences: Vec<DifferenceDoc>,
}

/// A node that holds something else than the primary.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DifferenceDoc {
    /// The node.
    pub node: String,
    /// How many rows it has; absent where it has no such table.
    pub rows: Option<u64>,
    /// The sum of their hashes.
    pub checksum: Option<String>,
}

impl VerifyDoc {
    /// Makes the document of a cluster of which nothing has been looked at.
    pub fn new(cluster: ClusterName, standbys: usize) -> Self {
        Self {
            format_version: FORMAT_VERSION,
            cluster,
            verified: true,
            standbys,
            marker: None,
            load: None,
            databases: Vec::new(),
            problems: Vec::new(),
        }
    }

    /// Adds something that is wrong.
    pub fn problem(&mut self, text: String) {
        self.verified = false;
        self.problems.push(text);
    }

    /// Adds what became of rows.
    pub fn load(&mut self, clients: u32, report: &Report) {
        let Tally {
            attempts,
            acknowledged,
            unknown,
            failed,
        } = report.tally;
        for (node, found) in &report.nodes {
            let name = &node.node;
            match found {
                Err(reason) => self.problem(format!("{name} could not be asked for the rows: {reason}")),
                Ok(found) => {
                    if !found.missing.is_empty() {
                        let (lost, all) = (found.missing.len(), acknowledged);
                        self.problem(format!("{name} has lost {lost} of {all} acknowledged rows"));
                    }
                    if !found.unexpected.is_empty() {
                        let number = found.unexpected.len();
                        self.problem(format!("{name} has {number} rows that were not to be there"));
                    }
                }
            }
        }
        if acknowledged == 0 {
            self.problem("not one row was acknowledged, so nothing is proven".to_owned());
        }
        self.load = Some(LoadDoc {
            clients,
            seconds: report.lasted.as_secs_f64(),
            attempts,
            acknowledged,
            unknown,
            failed,
            longest_gap_seconds: report.longest_gap.as_ref().map(Duration::as_secs_f64),
            nodes: report
                .nodes
                .iter()
                .map(|(node, found)| LoadNodeDoc {
                    node: node.node.to_string(),
                    rows: found.as_ref().ok().map(|found| found.rows),
                    missing: found.as_ref().map(|found| found.missing.clone()).unwrap_or_default(),
                    unexpected: found.as_ref().map(|found| found.unexpected.clone()).unwrap_or_default(),
                })
                .collect(),
        });
    }

    /// Adds where logs differ from the primary's, or why they were not compared.
    pub fn logs(&mut self, primary: &NodeName, differences: Vec<Result<LogDifference, String>>) {
        for difference in differences {
            self.problem(match difference {
                Err(reason) => reason,
                Ok(LogDifference {
                    node,
                    timeline,
                    position,
                }) => format!(
                    "the log of {node} differs from that of {primary} on timeline {timeline}, from {position} on; run: \
                     simdb resync {cluster} {node}",
                    cluster = node.cluster,
                    node = node.node,
                ),
            });
        }
    }

    /// Adds what the nodes hold.
    pub fn comparison(&mut self, comparison: &Comparison) {
        for (name, database) in &comparison.databases {
            let differences = database.differences(&comparison.primary);
            for problem in &database.problems {
                self.problem(format!("database {name}: {problem}"));
            }
            for difference in &differences {
                let Difference { table, node, .. } = difference;
                let primary = &comparison.primary.node;
                self.problem(format!(
                    "table {table} of database {name}: {} holds {}, and {primary} {}",
                    node.node,
                    held(difference.found),
                    held(difference.expected)
                ));
            }
            self.databases.push(DatabaseDoc {
                name: name.clone(),
                marker: database.marker,
                tables: tables(database, &comparison.primary, &differences),
            });
        }
    }
}

fn held(digest: Option<&Digest>) -> String {
    digest.map_or_else(
        || "no such table".to_owned(),
        |digest| format!("{} rows with checksum {}", digest.rows, digest.checksum),
    )
}

fn tables(database: &Database, primary: &NodeAddress, differences: &[Difference<'_>]) -> Vec<TableDoc> {
    let table = |(name, nodes): (&String, &BTreeMap<NodeAddress, Option<Digest>>)| {
        let held = nodes.get(primary).and_then(Option::as_ref);
        let others = differences.iter().filter(|difference| difference.table == name);
        TableDoc {
            name: name.clone(),
            rows: held.map(|digest| digest.rows),
            checksum: held.map(|digest| digest.checksum.clone()),
            differences: others
                .map(|difference| DifferenceDoc {
                    node: difference.node.node.to_string(),
                    rows: difference.found.map(|digest| digest.rows),
                    checksum: difference.found.map(|digest| digest.checksum.clone()),
                })
                .collect(),
        }
    };
    database.tables.iter().map(table).collect()
}
