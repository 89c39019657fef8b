//! What happens to containers under load: who is cut off, halted or killed, and whether anything acknowledged is lost.

use std::process::Command;

use simdb_tests::{Scenario, first, is_thorough};

const THREE: &str = r#"
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
"#;

/// How many rows are written before and after a disturbance.
const ROWS: u64 = 50;

/// Makes a cluster, disturbs it while it is written to, lets simdb mend it, and expects that nothing acknowledged is lost.
/// Where scenarios are run in full, on the newest version as well.
fn disturbed(disturb: impl Fn(&Scenario), mend: impl Fn(&Scenario)) {
    let versions = [Scenario::in_containers, Scenario::in_containers_of_newest];
    for make in &versions[..if is_thorough() { 2 } else { 1 }] {
        let Some(scenario) = make(THREE) else { return };
        disturbed_once(scenario, &disturb, &mend);
    }
}

fn disturbed_once(scenario: Scenario, disturb: impl Fn(&Scenario), mend: impl Fn(&Scenario)) {
    let writing = scenario.load();
    writing.further(ROWS);
    disturb(&scenario);
    mend(&scenario);
    writing.further(ROWS);
    scenario.assert_settled(first(1));
    writing.expect_nothing_lost();
    scenario.destroy_containers();
}

fn apply(scenario: &Scenario) {
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_eq!(scenario.primary(), "a", "nobody else was elected");
}

fn failover(scenario: &Scenario) {
    scenario.failover();
    assert_ne!(scenario.primary(), "a");
}

#[test]
fn a_standby_that_is_cut_off_catches_up_where_it_was() {
    disturbed(
        |scenario| {
            let standby = scenario.container("r[0]");
            scenario.docker(&["network", "disconnect", &scenario.network_name(), &standby]);
            let drift = scenario.environment.run(&["plan"]).text();
            assert!(drift.contains("its server was cut off from its network"), "{drift}");
        },
        apply,
    );
}

#[test]
fn a_primary_and_standbys_that_do_not_reach_each_other_wait_and_nobody_is_elected() {
    disturbed(
        |scenario| {
            let places: Vec<String> = ["r[0]", "r[1]"].map(|node| address(scenario, node)).to_vec();
            let primary = scenario.container("a");
            let pid = scenario.docker(&["inspect", "--format", "{{.State.Pid}}", &primary]);
            for (change, expected) in [("add", true), ("del", false)] {
                for place in &places {
                    let status = Command::new("nsenter")
                        .args([
                            "--target",
                            &pid,
                            "--net",
                            "ip",
                            "route",
                            change,
                            "blackhole",
                            &format!("{place}/32"),
                        ])
                        .status();
                    assert!(status.expect("nsenter can be started").success(), "{change} {place}");
                }
                // simdb reaches all of them: there is nothing that it should do.
                let plan = scenario.environment.run(&["plan"]).text();
                assert!(
                    !plan.contains("promote") && !plan.contains("fence"),
                    "{expected}: {plan}"
                );
            }
        },
        apply,
    );
}

/// Returns the address that a node's container has.
fn address(scenario: &Scenario, node: &str) -> String {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    scenario.docker(&["inspect", "--format", format, &scenario.container(node)])
}

#[test]
fn a_primary_that_is_paused_is_fenced_as_it_is() {
    disturbed(
        |scenario| drop(scenario.docker(&["pause", &scenario.container("a")])),
        |scenario| {
            failover(scenario);
            // It was killed, and no longer waits for somebody to let it go on.
            let paused = scenario.docker(&["inspect", "--format", "{{.State.Paused}}", &scenario.container("a")]);
            assert_eq!(paused, "false");
        },
    );
}

#[test]
fn standbys_that_are_paused_or_killed_go_on() {
    disturbed(
        |scenario| {
            scenario.docker(&["pause", &scenario.container("r[0]")]);
            scenario.docker(&["kill", &scenario.container("r[1]")]);
        },
        apply,
    );
}
