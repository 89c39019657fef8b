//! A monitor beside containers: what the engine says of them is proof, and is heard at once.

use simdb_tests::contained::ROWS;
use simdb_tests::{Scenario, any, is_thorough};

/// Three nodes whose lead passes by itself.
const WATCHED: &str = r#"
  replication { mode = "quorum" }
  failover {
    mode         = "automatic"
    cooldown     = "1s"
    max_per_hour = 60
  }
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
"#;

/// Makes a cluster, lets its primary be lost while it is written to, and expects that another node leads by itself and that nothing
/// acknowledged is lost. Where scenarios are run in full, on the newest version as well.
fn replaced(lose: impl Fn(&Scenario, &str)) {
    let versions = [Scenario::in_containers, Scenario::in_containers_of_newest];
    for make in &versions[..if is_thorough() { 2 } else { 1 }] {
        let Some(scenario) = make(WATCHED) else { return };
        let writing = scenario.load();
        writing.further(ROWS);
        let monitor = scenario.monitor("monitor");
        let primary = scenario.primary();
        lose(&scenario, &scenario.container(&primary));
        monitor.wait_for("failed-over", 1);
        writing.further(ROWS);
        monitor.wait_for("done", 1);
        assert_ne!(scenario.primary(), primary);
        assert!(monitor.stop(), "it ends well");
        scenario.simdb(&["apply", "-auto-approve"]);
        scenario.assert_settled(any(1));
        writing.expect_nothing_lost();
        scenario.destroy_containers();
    }
}

#[test]
fn a_primary_whose_container_is_killed_is_replaced_by_itself() {
    replaced(|scenario, container| drop(scenario.docker(&["kill", container])));
}

#[test]
fn a_primary_whose_container_is_paused_is_ended_and_replaced_by_itself() {
    replaced(|scenario, container| drop(scenario.docker(&["pause", container])));
}

#[test]
fn a_primary_that_is_cut_off_from_all_others_is_ended_and_replaced_by_itself() {
    replaced(|scenario, container| {
        scenario.docker(&["network", "disconnect", &scenario.network_name(), container]);
    });
}
