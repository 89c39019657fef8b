//! A monitor beside containers: what the engine says of them is proof, and is heard at once.

use std::process::Command;

use simdb_tests::contained::ROWS;
use simdb_tests::{Scenario, any, is_thorough, wait_until};

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

/// Makes a cluster, cuts something while it is written to and mends it, and expects that its primary leads all the time.
fn stays(disturb: impl Fn(&Scenario, &simdb_tests::Monitor), mend: impl Fn(&Scenario)) {
    let Some(scenario) = Scenario::in_containers(WATCHED) else {
        return;
    };
    let writing = scenario.load();
    writing.further(ROWS);
    let monitor = scenario.monitor("monitor");
    let primary = scenario.primary();
    disturb(&scenario, &monitor);
    mend(&scenario);
    writing.further(ROWS);
    assert_eq!(scenario.primary(), primary);
    assert_eq!(monitor.count("failed-over"), 0, "{:?}", monitor.events());
    assert_eq!(monitor.count("decided"), 0, "{:?}", monitor.events());
    assert!(monitor.stop(), "it ends well");
    scenario.assert_settled(any(1));
    writing.expect_nothing_lost();
    scenario.destroy_containers();
}

/// Returns the address that a node's container has in the network of the cluster.
fn address(scenario: &Scenario, node: &str) -> String {
    let network = scenario.network_name();
    let format = format!("{{{{(index .NetworkSettings.Networks \"{network}\").IPAddress}}}}");
    scenario.docker(&["inspect", "--format", &format, &scenario.container(node)])
}

/// Lets the packets to an address go nowhere, or lets them through again: those of a container, or those of this machine.
fn blackhole(change: &str, container: Option<(&Scenario, &str)>, to: &str) {
    let mut command = match container {
        Some((scenario, node)) => {
            let pid = scenario.docker(&["inspect", "--format", "{{.State.Pid}}", &scenario.container(node)]);
            let mut command = Command::new("nsenter");
            command.args(["--target", &pid, "--net", "ip"]);
            command
        }
        None => Command::new("ip"),
    };
    let changed = command
        .args(["route", change, "blackhole", &format!("{to}/32")])
        .status();
    assert!(changed.expect("it can be started").success(), "{change} {to}");
}

#[test]
fn a_primary_and_standbys_that_do_not_reach_each_other_wait_and_the_monitor_warns_of_that() {
    let cut = |scenario: &Scenario, change: &str| {
        for standby in ["r[0]", "r[1]"] {
            blackhole(change, Some((scenario, "a")), &address(scenario, standby));
        }
    };
    stays(
        |scenario, monitor| {
            cut(scenario, "add");
            wait_until("the monitor warns that commits wait", || {
                monitor.events().iter().any(|event| event.contains("commits wait"))
            });
        },
        |scenario| cut(scenario, "del"),
    );
}

#[test]
fn a_monitor_that_reaches_no_node_takes_itself_for_cut_off() {
    let cut = |scenario: &Scenario, change: &str| {
        for node in ["a", "r[0]", "r[1]"] {
            blackhole(change, None, &address(scenario, node));
        }
    };
    stays(
        |scenario, monitor| {
            cut(scenario, "add");
            monitor.wait_for("lost", 3);
            wait_until("it says that it is blind", || {
                monitor.events().iter().any(|event| event.contains("cut off"))
            });
        },
        |scenario| cut(scenario, "del"),
    );
}

#[test]
fn a_primary_that_the_monitor_alone_does_not_reach_leads_on() {
    stays(
        |scenario, monitor| {
            blackhole("add", None, &address(scenario, "a"));
            monitor.wait_for("suspected", 1);
            wait_until("the monitor says that it does not reach it", || {
                monitor
                    .events()
                    .iter()
                    .any(|event| event.contains("does not answer, and something shows that it lives"))
            });
        },
        |scenario| blackhole("del", None, &address(scenario, "a")),
    );
}
