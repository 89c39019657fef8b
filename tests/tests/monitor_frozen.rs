//! Frozen parts of a watched cluster, and a record that does not answer: one test for each row of the table of what is expected then.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rusqlite::Connection;
use simdb_tests::{Scenario, Version, WATCHED, any, disturb_under_load, first, is_thorough, wait_until};

/// Asserts that a monitor decided nothing, as nothing was lost.
fn assert_nothing_done(monitor: &simdb_tests::Monitor) {
    for kind in ["decided", "failed-over", "refused", "failed"] {
        assert_eq!(monitor.count(kind), 0, "{:?}", monitor.events());
    }
}

#[test]
fn a_standby_that_is_halted_holds_up_nothing_where_another_one_confirms() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        let standby = scenario.standbys()[0].clone();
        scenario.signal(&standby, "", Signal::SIGSTOP);
        monitor.wait_for("lost", 1);
        load.further(20);
        scenario.signal(&standby, "", Signal::SIGCONT);
        monitor.wait_for("returned", 1);
        assert_nothing_done(&monitor);
        assert!(monitor.stop(), "it ends well");
    });
}

#[test]
fn where_the_only_standby_that_confirms_is_halted_writes_wait_and_the_primary_stays() {
    let sync = WATCHED.replace("quorum", "sync");
    disturb_under_load(&[Version::installed()], &sync, first(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        let primary = scenario.primary();
        // Halted ones are not told apart by their role any more.
        let standbys = scenario.standbys();
        for standby in &standbys {
            scenario.signal(standby, "", Signal::SIGSTOP);
        }
        wait_until("the monitor warns that commits wait", || {
            monitor.events().iter().any(|event| event.contains("commits wait"))
        });
        assert_nothing_done(&monitor);
        for standby in &standbys {
            scenario.signal(standby, "", Signal::SIGCONT);
        }
        load.further(20);
        assert_eq!(scenario.primary(), primary);
        assert_nothing_done(&monitor);
        assert!(monitor.stop(), "it ends well");
    });
}

/// Keeps the record from being written, as a disk does that hangs.
fn hang(scenario: &Scenario) -> Connection {
    let record = Connection::open(scenario.environment.project().join(".simdb/state.db")).expect("it is there");
    record.busy_timeout(Duration::from_mins(1)).expect("it is a number");
    record
        .execute_batch("BEGIN IMMEDIATE")
        .expect("a commit takes milliseconds");
    record
}

#[test]
fn while_the_record_does_not_answer_nothing_is_decided_and_once_it_does_a_loss_is_made_good() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        let record = hang(scenario);
        monitor.wait_for("store-away", 1);
        if is_thorough() {
            // Longer than anything that a monitor or a lock waits for.
            let over = Instant::now() + Duration::from_mins(1);
            while Instant::now() < over {
                load.further(20);
            }
        }
        load.further(20);
        let primary = scenario.primary();
        scenario.kill_all(&primary);
        monitor.wait_for("lost", 1);
        monitor.wait_for("held", 1);
        assert_nothing_done(&monitor);
        drop(record);
        monitor.wait_for("store-back", 1);
        monitor.wait_until_replaced(load);
        assert_ne!(scenario.primary(), primary);
        assert!(monitor.stop(), "it ends well");
    });
}

#[test]
fn a_monitor_that_is_halted_is_followed_by_another_one_and_does_nothing_once_it_wakes_up() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let halted = scenario.monitor("halted");
        let other = scenario.passive_monitor("other");
        wait_until("the other one knows who decides", || {
            other.events().iter().any(|event| event.contains(" decides"))
        });
        halted.signal(Signal::SIGSTOP);
        other.wait_for("took-over", 1);
        let primary = scenario.primary();
        scenario.kill_all(&primary);
        other.wait_until_replaced(load);
        let next = scenario.primary();
        assert_ne!(next, primary);
        halted.signal(Signal::SIGCONT);
        halted.wait_for("passive", 1);
        load.further(20);
        assert_nothing_done_by_itself(&halted);
        assert_eq!(scenario.primary(), next);
        assert!(halted.stop() && other.stop(), "they end well");
    });
}

/// It may tell of a failover that another monitor made.
fn assert_nothing_done_by_itself(monitor: &simdb_tests::Monitor) {
    for kind in ["decided", "refused", "failed"] {
        assert_eq!(monitor.count(kind), 0, "{:?}", monitor.events());
    }
}

#[test]
fn a_monitor_that_is_halted_in_its_failover_is_followed_by_another_one_and_runs_no_further_step() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let primary = scenario.primary();
        let program = Path::new(env!("CARGO_BIN_EXE_simdb-failpoint"));
        let mut command = scenario.environment.command_of(program, &["monitor"]);
        command.env(
            "SIMDB_FAILPOINT",
            format!("halt before fence cluster.orders.node.{primary}"),
        );
        let halting = scenario.monitor_of("halting", command);
        halting.wait_for("took-over", 1);
        let other = scenario.passive_monitor("other");
        wait_until("the other one knows who decides", || {
            other.events().iter().any(|event| event.contains(" decides"))
        });
        scenario.kill(&primary);
        halting.wait_until_halted();
        other.wait_for("took-over", 1);
        other.wait_for("done", 1);
        load.further(20);
        let next = scenario.primary();
        assert_ne!(next, primary);
        halting.signal(Signal::SIGCONT);
        halting.wait_for("failed", 1);
        load.further(20);
        assert_eq!(halting.count("done"), 0, "{:?}", halting.events());
        assert_eq!(scenario.primary(), next);
        assert!(halting.stop() && other.stop(), "they end well");
    });
}
