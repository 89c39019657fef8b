//! A node that was made to write behind simdb's back: nothing is done until somebody gives up what it wrote.

use std::fs;

use simdb_tests::{Output, Scenario, THREE, TWO, Version, any, disturb, disturb_under_load, wait_until};

use crate::APPLY;

/// What every command says that would have to choose between two nodes' writes.
const REFUSED: &str = "Role was changed without simdb";

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
    let promote = ["failover", "orders", "-promote", "r[1]", "-auto-approve"];
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        promote_by_hand(scenario, "r[0]");
        scenario.kill_all("r[0]");
        load.further(20);
        scenario.kill_all("a");
        // A second promotion from timeline 1 would make a second timeline 2.
        scenario.expect_refusal(&promote, "add -allow=data-loss");
        scenario.expect_refusal(&APPLY, REFUSED);
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

/// Says which branch is kept, and asserts that nothing but that is left, everywhere.
#[track_caller]
fn keep_branch_of(scenario: &Scenario, node: &str, kept: &str, given_up: &str) -> Output {
    let keep = [
        "failover",
        "orders",
        "-promote",
        node,
        "-auto-approve",
        "-allow=data-loss",
    ];
    let output = scenario.simdb(&keep);
    assert_eq!(scenario.primary(), node);
    for node in scenario.nodes() {
        let there = format!("SELECT to_regclass('{kept}') IS NOT NULL AND to_regclass('{given_up}') IS NULL");
        wait_until("only one branch is there", || {
            scenario.answer(node, &there).as_deref() == Some("t")
        });
    }
    output
}

/// Lets one node be promoted by hand while another one leads, both of which write.
fn write_two_branches(scenario: &Scenario, node: &str) {
    promote_by_hand(scenario, node);
    scenario.ask("a", "CREATE TABLE rightful AS SELECT 1 AS n; SELECT 1");
}

#[test]
fn what_a_node_wrote_that_was_promoted_by_hand_is_kept_where_somebody_says_so() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        write_two_branches(scenario, "r[0]");
        scenario.kill_all("a");
        scenario.expect_refusal(&APPLY, "simdb failover orders -promote r[0] -allow=data-loss");
        let promote = ["failover", "orders", "-promote", "r[0]", "-auto-approve"];
        scenario.expect_refusal(
            &promote,
            "cluster.orders.node.r[0] was promoted by hand (timeline 2 since ",
        );
        let output = keep_branch_of(scenario, "r[0]", "astray", "rightful").text();
        for told in [
            "The branch of cluster.orders.node.r[0] is kept (timeline 2 since ",
            "The branch of cluster.orders.node.a is given up (timeline 1, at least up to ",
            "The branch of cluster.orders.node.r[1] is given up (timeline 1, up to ",
            " that the others lack",
        ] {
            assert!(output.contains(told), "no {told:?} in {output}");
        }
    });
}

#[test]
fn what_a_node_wrote_that_was_promoted_by_hand_is_kept_though_it_is_down_too() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        write_two_branches(scenario, "r[0]");
        scenario.kill_all("r[0]");
        scenario.kill_all("a");
        keep_branch_of(scenario, "r[0]", "astray", "rightful");
    });
}

#[test]
fn what_a_node_wrote_that_was_promoted_by_hand_is_kept_though_the_primary_serves() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        write_two_branches(scenario, "r[0]");
        keep_branch_of(scenario, "r[0]", "astray", "rightful");
    });
}

#[test]
fn what_a_node_wrote_that_was_promoted_by_hand_is_given_up_where_another_one_is_promoted() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        write_two_branches(scenario, "r[0]");
        wait_until("the other one has it", || {
            scenario
                .answer("r[1]", "SELECT to_regclass('rightful') IS NOT NULL")
                .as_deref()
                == Some("t")
        });
        scenario.kill_all("a");
        keep_branch_of(scenario, "r[1]", "rightful", "astray");
    });
}
