//! A primary that its platform cannot look at, on real servers: nobody takes over without proof, unless a person answers for it.

use std::fs;

use simdb_tests::contained::PAIR;
use simdb_tests::{Scenario, Version, first};

/// Hides the directory of a node while its server runs on: nothing says whose that server is, and nothing proves that it ended.
fn hidden(scenario: &Scenario, node: &str, meanwhile: impl FnOnce()) {
    let (directory, away) = (scenario.directory(node), scenario.environment.data().join("away"));
    fs::rename(&directory, &away).unwrap();
    meanwhile();
    fs::rename(&away, &directory).unwrap();
}

#[test]
fn a_person_answers_for_a_primary_that_nobody_can_look_at() {
    let scenario = Scenario::new(&Version::of_major(15), PAIR);
    hidden(&scenario, "a", || {
        let refused = ["failover", "orders", "-auto-approve", "-allow=data-loss"];
        scenario.expect_refusal(&refused, "If its machine is off for certain, and stays off");
        let said = scenario
            .simdb(&["failover", "orders", "-fenced-by-operator", "-auto-approve"])
            .text();
        for expected in [
            "an operator attests that its machine is off",
            "That a takes no writes is no proof but an attestation",
        ] {
            assert!(said.contains(expected), "no {expected:?} in {said}");
        }
        let plan = scenario.environment.run(&["plan"]).text();
        assert!(plan.contains("a led, and cannot be looked at"), "{plan}");
    });
    // The attestation was wrong: both take writes, and a person says whose are given up.
    scenario.expect_refusal(&["plan"], "Former primary was not down");
    let resync = ["resync", "orders", "a", "-auto-approve"];
    scenario.expect_refusal(&resync, "add -allow=data-loss");
    scenario.simdb(&[&resync[..], &["-allow=data-loss"]].concat());
    assert_eq!(scenario.primary(), "r[0]");
    scenario.assert_settled(first(1));
    scenario.destroy();
}

#[test]
fn a_proof_that_is_waived_is_told_as_what_it_costs() {
    let scenario = Scenario::new(&Version::of_major(15), PAIR);
    hidden(&scenario, "a", || {
        let force = ["failover", "orders", "-force", "-auto-approve"];
        scenario.expect_refusal(&force, "add -allow=data-loss");
        let said = scenario.simdb(&[&force[..], &["-allow=data-loss"]].concat()).text();
        for expected in [
            "unknown: acknowledged writes may be lost",
            "Whether a is down is not known: it may still take writes",
        ] {
            assert!(said.contains(expected), "no {expected:?} in {said}");
        }
    });
    scenario.kill_all("a");
    scenario.simdb(&["apply", "-auto-approve"]);
    assert_eq!(scenario.primary(), "r[0]");
    scenario.assert_settled(first(1));
    scenario.destroy();
}
