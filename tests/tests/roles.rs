//! The lead moves on real servers under load: nothing that was acknowledged is lost, no write is unprotected, and what
//! is left behind is exactly what should be.

use simdb_tests::{THREE, Version, any, disturb_under_load, first, is_thorough};

/// How often the lead moves in one environment.
fn rounds(quick: usize) -> usize {
    if is_thorough() { 20 } else { quick }
}

#[test]
fn switchovers_back_to_back_lose_nothing_and_leave_exactly_the_slots_and_names_they_should() {
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        for round in 0..rounds(3) {
            let standbys = scenario.standbys();
            load.further(20);
            let watch = scenario.watch();
            let to = (round % 2 == 0).then(|| standbys[round % standbys.len()].as_str());
            let before = scenario.primary();
            let output = scenario.switchover(to);
            load.further(20);
            watch.expect_protected();
            let primary = scenario.primary();
            assert_ne!(primary, before, "{}", output.stdout);
            assert_eq!(to.unwrap_or(&primary), primary);
            scenario.assert_settled(any(1));
        }
    });
}

#[test]
fn killed_primaries_are_replaced_one_after_the_other_and_come_back_by_rewind() {
    come_back_by_rewind("quorum", any(1));
    come_back_by_rewind("sync", first(1));
}

fn come_back_by_rewind(mode: &str, names: impl Fn(&[String]) -> String) {
    let body = THREE.replace("quorum", mode);
    disturb_under_load(&Version::all(), &body, &names, |scenario, load| {
        for _ in 0..rounds(2) {
            load.further(20);
            let primary = scenario.primary();
            // Nobody else has this row: it must be gone when the node comes back.
            scenario.ask(
                &primary,
                "SET synchronous_commit = local; CREATE TABLE IF NOT EXISTS witness (n int); SELECT 1",
            );
            let watch = scenario.watch();
            scenario.kill(&primary);
            let output = scenario.failover();
            load.further(20);
            watch.expect_protected();
            assert_ne!(scenario.primary(), primary);
            assert!(output.text().contains("rewind"), "{output:?}");
            scenario.assert_settled(&names);
        }
    });
}
