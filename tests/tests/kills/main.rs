//! Random kills: simdb is killed in the middle of whatever it does, servers are killed beside it, others look meanwhile,
//! and clients write all the time. After each disturbance the next command must bring the cluster back within limits.
//! In the end no acknowledged row is lost, nothing is stuck, and nothing is left.
//!
//! `SIMDB_TEST_SEED` repeats the choices of a run, `SIMDB_TEST_SECONDS` says how long it goes on.

mod figures;
mod round;

use std::time::{Duration, Instant};

use simdb_tests::{Chance, Declared, Look, Lookers, Scenario, Version, any, is_thorough, leave_to_faults};

use figures::Figures;
use round::Round;

/// How long a cluster is disturbed.
const SECONDS: &str = "SIMDB_TEST_SECONDS";

fn duration() -> Duration {
    let seconds = std::env::var(SECONDS).ok().map(|text| match text.parse() {
        Ok(seconds) => seconds,
        Err(error) => panic!("{SECONDS}={text:?}: {error}"),
    });
    Duration::from_secs(seconds.unwrap_or(if is_thorough() { 600 } else { 20 }))
}

#[test]
fn random_kills_lose_no_row_and_leave_nothing_that_the_next_command_does_not_mend() {
    kill_at_random(&Version::installed());
}

#[test]
fn random_kills_lose_no_row_on_the_newest_version_either() {
    if !is_thorough() {
        leave_to_faults("it takes minutes");
        return;
    }
    if let Some(version) = Version::newest() {
        kill_at_random(&version);
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the seed repeats the run, and the figures are worth knowing"
)]
fn kill_at_random(version: &Version) {
    let seed = Chance::seed();
    println!("SIMDB_TEST_SEED={seed} on {version:?}");
    let mut chance = Chance::new(seed);
    let mut declared = Declared::default();
    let mut scenario = Scenario::new(version, &declared.body());
    let mut figures = Figures::default();
    let ledger = scenario.load_everywhere();
    let lookers = Lookers::start(&scenario.environment, &Look::ALL);
    let (began, limit) = (Instant::now(), duration());
    while began.elapsed() < limit {
        let round = Round::choose(&mut chance, &scenario, &declared);
        println!("{:.1} s: {round}", began.elapsed().as_secs_f64());
        round.run(&mut scenario, &mut declared, &mut figures);
        scenario.expect_further(&ledger, 10);
        scenario.assert_settled(any(1));
    }
    let looks = lookers.expect_answers();
    let report = scenario.expect_nothing_lost(ledger);
    scenario.simdb(&["verify", "orders"]);
    println!("{version:?}: {figures}");
    println!("  written: {:?}, longest gap {:?}", report.tally, report.longest_gap);
    println!("  looks: {looks}");
    scenario.destroy();
}
