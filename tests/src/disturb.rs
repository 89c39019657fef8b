//! What every scenario begins and ends with, so that a test shows only what happens in between.

use simdb_providers::engine::postgresql::ledger::Report;

use crate::scenario::{Scenario, Version, Writing};

/// A primary and a standby, which must confirm every commit.
pub const TWO: &str = r#"
  replication { mode = "quorum" }
  node "a" {}
  node "b" {}
"#;

/// A primary and two standbys, one of which must confirm every commit.
pub const THREE: &str = r#"
  replication { mode = "quorum" }
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
"#;

/// Returns for whom commits wait where so many of the standbys must confirm them.
pub fn any(count: usize) -> impl Fn(&[String]) -> String {
    move |standbys| format!("ANY {count} ({})", standbys.join(", "))
}

/// Returns for whom commits wait where the first so many of the standbys must confirm them.
pub fn first(count: usize) -> impl Fn(&[String]) -> String {
    move |standbys| format!("FIRST {count} ({})", standbys.join(", "))
}

/// Makes a cluster on every version, lets something happen to it, and asserts that it is settled, with commits that wait
/// for those in `names`, and leaves nothing behind.
pub fn disturb(versions: &[Version], body: &str, names: impl Fn(&[String]) -> String, happen: impl Fn(&mut Scenario)) {
    for version in versions {
        let mut scenario = Scenario::new(version, body);
        happen(&mut scenario);
        scenario.assert_settled(&names);
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}

/// Does the same to a cluster that clients write to, from before it happens until everything is settled, and asserts that
/// every row that was acknowledged is on every node. Returns what became of the rows, for each version.
#[expect(clippy::print_stdout, reason = "how long clients had to wait is worth knowing")]
pub fn disturb_under_load(
    versions: &[Version],
    body: &str,
    names: impl Fn(&[String]) -> String,
    happen: impl Fn(&Scenario, &Writing<'_>),
) -> Vec<Report> {
    let run = |version: &Version| {
        let scenario = Scenario::new(version, body);
        let load = scenario.load();
        load.further(20);
        happen(&scenario, &load);
        scenario.assert_settled(&names);
        let report = load.expect_nothing_lost();
        println!("{version:?}: {:?}, longest gap {:?}", report.tally, report.longest_gap);
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
        report
    };
    versions.iter().map(run).collect()
}
