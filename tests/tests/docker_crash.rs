//! simdb killed between two requests to the daemon, which finishes what it was asked for: the next apply ends where an undisturbed one
//! does.
//!
//! Where scenarios are run in full it is killed at every request that changes something, else at some.

use simdb_tests::contained::{PAIR, ROWS, THREE};
use simdb_tests::{Scenario, Wire, first, is_thorough};

/// Returns the requests at which simdb is killed, of so many.
fn points(all: usize) -> Vec<usize> {
    if is_thorough() {
        (1..=all).collect()
    } else {
        // The first one finds a volume that does not belong to the servers' user yet.
        [5, all / 6, all / 2, all * 5 / 6].into()
    }
}

#[test]
fn a_creation_that_is_killed_at_any_request_is_finished_by_the_next_apply() {
    let Some(wire) = Wire::new() else { return };
    let mut scenario = Scenario::in_containers_through(&wire, PAIR);
    let (apply, destroy) = (
        ["apply", "-auto-approve"],
        ["destroy", "-auto-approve", "-allow=data-loss"],
    );
    let lineage = scenario.lineage();
    scenario.simdb(&destroy);
    let (all, _) = wire.run(scenario.environment.command(&apply), None);
    for point in points(all) {
        println!("killed at request {point} of {all}");
        scenario.simdb(&destroy);
        assert_eq!(scenario.objects(&lineage), "", "nothing is left of it");
        let (_, killed) = wire.run(scenario.environment.command(&apply), Some(point));
        assert!(killed || point + 5 > all, "it has ended before");
        scenario.simdb(&apply);
        scenario.look();
        scenario.assert_settled(first(1));
    }
    scenario.destroy_containers();
}

#[test]
fn a_switchover_that_is_killed_at_any_request_is_carried_through_and_loses_nothing() {
    let Some(wire) = Wire::new() else { return };
    let scenario = Scenario::in_containers_through(&wire, THREE);
    let switchover = ["switchover", "orders", "-auto-approve"];
    let (all, _) = wire.run(scenario.environment.command(&switchover), None);
    let writing = scenario.load();
    for point in points(all) {
        println!("killed at request {point} of {all}");
        writing.further(ROWS);
        wire.run(scenario.environment.command(&switchover), Some(point));
        scenario.simdb(&["apply", "-auto-approve"]);
        scenario.primary();
        writing.further(ROWS);
        scenario.assert_settled(first(1));
    }
    writing.expect_nothing_lost();
    scenario.destroy_containers();
}
