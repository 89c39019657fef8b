use std::collections::BTreeMap;
use std::time::Duration;

use anstream::adapter::strip_str;
use expect_test::expect;
use simdb_providers::engine::postgresql::compare::{Comparison, Database, Digest};
use simdb_providers::engine::postgresql::ledger::{Fate, Fates, Report};
use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;

use super::*;

fn node(name: &str) -> NodeAddress {
    format!("cluster.orders.node.{name}").parse().unwrap()
}

/// What became of a few rows of which a standby has those below a number.
fn report(there: u64) -> Report {
    let at = |milliseconds| Fate::Acknowledged(Duration::from_millis(milliseconds));
    let mut rows: Vec<Fate> = (0..20).map(|number| at(10 + number * 50)).collect();
    rows.extend([Fate::Unknown, Fate::Failed]);
    let fates = Fates::new(BTreeMap::from([(0, rows)]), Duration::from_secs(1));
    let held = |numbers: u64| Ok(fates.compare(&BTreeMap::from([(0, vec![0..=numbers - 1])])));
    Report {
        tally: fates.tally(),
        lasted: fates.lasted(),
        longest_gap: fates.longest_gap(),
        primary: node("a"),
        marker: Lsn(0x0300_0148),
        nodes: BTreeMap::from([(node("a"), held(20)), (node("r[0]"), held(there))]),
    }
}

fn comparison(checksum: &str) -> Comparison {
    let digest = |checksum: &str| {
        Some(Digest {
            rows: 42,
            checksum: checksum.to_owned(),
        })
    };
    let held = BTreeMap::from([(node("a"), digest("1807")), (node("r[0]"), digest(checksum))]);
    let database = Database {
        marker: Some(Lsn(0x0300_0148)),
        tables: BTreeMap::from([("public.t".to_owned(), held)]),
        problems: Vec::new(),
    };
    Comparison {
        primary: node("a"),
        databases: BTreeMap::from([("postgres".to_owned(), database)]),
    }
}

fn rendered(report: &Report, comparison: &Comparison) -> String {
    let mut found = VerifyDoc::new("orders".parse().unwrap(), 1);
    found.marker = Some(Lsn(0x0300_0148));
    found.load(4, report);
    found.comparison(comparison);
    strip_str(&render(&found, 100)).to_string()
}

#[test]
fn a_verified_cluster_is_told_with_what_was_looked_at() {
    expect![[r#"
        cluster orders: verified

          In sync: 1 standby received and replayed the marker at 0/3000148.

          Load: 4 clients wrote for 1.0 s. 22 rows were tried: 20 acknowledged, 1 unknown, 1 failed; the
          longest time without one was 0.050 s.

          Node  Rows  Lost
          a     20    0
          r[0]  20    0

          Database  Table     Rows  Checksum  Found
          postgres  public.t  42    1807      the same on all nodes
    "#]]
    .assert_eq(&rendered(&report(20), &comparison("1807")));
}

#[test]
fn what_is_lost_or_differs_is_named() {
    expect![[r#"
        cluster orders: not verified

          In sync: 1 standby received and replayed the marker at 0/3000148.

          Load: 4 clients wrote for 1.0 s. 22 rows were tried: 20 acknowledged, 1 unknown, 1 failed; the
          longest time without one was 0.050 s.

          Node  Rows  Lost
          a     20    0
          r[0]  8     12

          Lost on r[0]:
            client 0, row 8, acknowledged 0.410 s after the start
            client 0, row 9, acknowledged 0.460 s after the start
            client 0, row 10, acknowledged 0.510 s after the start
            client 0, row 11, acknowledged 0.560 s after the start
            client 0, row 12, acknowledged 0.610 s after the start
            client 0, row 13, acknowledged 0.660 s after the start
            client 0, row 14, acknowledged 0.710 s after the start
            client 0, row 15, acknowledged 0.760 s after the start
            client 0, row 16, acknowledged 0.810 s after the start
            client 0, row 17, acknowledged 0.860 s after the start
            and 2 more: -json has them all

          Database  Table     Rows  Checksum  Found
          postgres  public.t  42    1807      other on r[0]

          Problems:
            - r[0] has lost 12 of 20 acknowledged rows
            - table public.t of database postgres: r[0] holds 42 rows with checksum 1808, and a 42 rows with
              checksum 1807
    "#]]
    .assert_eq(&rendered(&report(8), &comparison("1808")));
}

#[test]
fn a_load_of_which_nothing_was_acknowledged_proves_nothing() {
    let mut found = VerifyDoc::new("orders".parse().unwrap(), 1);
    let nothing = Fates::default();
    let silent = Report {
        tally: nothing.tally(),
        longest_gap: nothing.longest_gap(),
        ..report(20)
    };
    found.load(4, &silent);
    assert!(!found.verified && found.problems.iter().any(|problem| problem.starts_with("not one row")));
}

#[test]
fn a_node_that_cannot_be_asked_is_not_verified() {
    let mut silent = report(20);
    silent.nodes.insert(node("r[0]"), Err("no answer".to_owned()));
    let mut found = VerifyDoc::new("orders".parse().unwrap(), 1);
    found.load(4, &silent);
    assert_eq!(found.problems, ["r[0] could not be asked for the rows: no answer"]);
    assert!(!found.verified);
}
