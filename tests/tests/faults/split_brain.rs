//! A node that was made to write behind simdb's back: nothing is done until somebody gives up what it wrote.

use std::fs;

use simdb_tests::{Output, Scenario, THREE, TWO, Version, any, disturb, disturb_under_load, wait_until};

use crate::APPLY;

/// What every command says that would have to choose between two nodes' writes.
const REFUSED: &str = "Role was changed by somebody else";

fn promote_by_hand(scenario: &Scenario, node: &str) {
    scenario.ask(node, "SELECT pg_promote()");
    scenario.ask(node, "CREATE TABLE astray AS SELECT 1 AS n; SELECT 1");
}

fn give_up_writes_of(scenario: &Scenario, node: &str) -> Output {
    scenario.simdb(&["resync", "orders", node, "-auto-approve", "-allow=data-loss"])
}

#[track_caller]
fn assert_split_brain(scenario: &Scenario) {
    let status = scenario.status().to_string();
    assert!(status.contains("split brain"), "{status}");
}

#[track_caller]
fn assert_nothing_astray(scenario: &Scenario) {
    for node in scenario.nodes() {
        let gone = scenario.ask(node, "SELECT to_regclass('astray') IS NULL");
        assert_eq!(gone, "t", "{node}");
    }
}

#[test]
fn a_node_that_was_promoted_by_hand_stops_everything_until_its_writes_are_given_up() {
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        promote_by_hand(scenario, "r[0]");
        assert_split_brain(scenario);
        for arguments in [
            &APPLY[..],
            &["switchover", "orders", "-to", "r[1]", "-auto-approve"],
            &["failover", "orders", "-auto-approve"],
        ] {
            scenario.expect_refusal(arguments, REFUSED);
        }
        scenario.expect_refusal(&["resync", "orders", "r[0]", "-auto-approve"], "data-loss");
        give_up_writes_of(scenario, "r[0]");
        load.further(20);
        assert_eq!(scenario.primary(), "a");
        assert_nothing_astray(scenario);
    });
}

#[test]
fn a_standby_that_was_promoted_and_killed_is_no_survivor_until_its_writes_are_given_up() {
    let lossy = "failover orders -promote r[1] -auto-approve -allow=data-loss";
    let lossy: Vec<&str> = lossy.split(' ').collect();
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        promote_by_hand(scenario, "r[0]");
        scenario.kill_all("r[0]");
        load.further(20);
        scenario.kill_all("a");
        // A second promotion from timeline 1 would make a second timeline 2.
        scenario.expect_refusal(&lossy, REFUSED);
        give_up_writes_of(scenario, "r[0]");
        load.further(20);
        assert_eq!(scenario.primary(), "a");
        assert_nothing_astray(scenario);
    });
}

#[test]
fn a_former_primary_that_somebody_starts_to_write_is_refused_until_its_writes_are_given_up() {
    disturb(&Version::all(), TWO, any(1), |scenario| {
        scenario.switchover(Some("b"));
        // It was sealed; somebody breaks the seal.
        scenario.kill_all("a");
        fs::remove_file(scenario.data("a").join("standby.signal")).unwrap();
        scenario.start_by_hand("a", &scenario.programs());
        wait_until("it writes", || {
            scenario.answer("a", "SELECT pg_is_in_recovery()").as_deref() == Some("f")
        });
        scenario.ask(
            "a",
            "SET synchronous_commit = local; CREATE TABLE astray AS SELECT 1 AS n; SELECT 1",
        );
        assert_split_brain(scenario);
        scenario.expect_refusal(&APPLY, REFUSED);
        give_up_writes_of(scenario, "a");
        assert_eq!(scenario.primary(), "b");
        assert_nothing_astray(scenario);
    });
}
