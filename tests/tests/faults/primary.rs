//! A primary that dies or hangs: it leads again where it can, and never beside another one.

use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use simdb_tests::{Scenario, THREE, TWO, Version, any, disturb_under_load, is_thorough, leave_to_faults, wait_until};

use crate::APPLY;

#[track_caller]
fn assert_first_timeline(scenario: &Scenario) {
    assert_eq!(scenario.primary(), "a");
    let timeline = scenario.ask("a", "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)");
    assert_eq!(timeline, "00000001");
}

#[test]
fn a_backend_that_outlives_its_killed_postmaster_is_gone_before_anybody_is_promoted() {
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        scenario.ask("a", "CREATE TABLE beyond (at timestamptz); SELECT 1");
        // A backend notices that its postmaster is gone when it waits; this one never does.
        scenario.begin(
            "a",
            &[
                "SET synchronous_commit = local",
                "DO $$ BEGIN LOOP INSERT INTO beyond VALUES (clock_timestamp()); COMMIT; END LOOP; END $$",
            ],
        );
        let loops = || scenario.processes("a", ") DO").len();
        wait_until("the loop runs", || loops() == 1);
        scenario.kill("a");
        wait_until("its siblings are gone", || {
            scenario.processes("a", "walsender").is_empty()
        });
        assert_eq!(loops(), 1, "it commits without its postmaster");
        scenario.failover();
        load.further(20);
        assert_eq!(loops(), 0);
    });
}

#[test]
fn a_primary_that_hangs_is_fenced_for_certain() {
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        scenario.signal("a", "postgres", Signal::SIGSTOP);
        scenario.failover();
        load.further(20);
    });
}

#[test]
fn a_primary_that_hangs_in_its_shutdown_goes_on_leading_and_nobody_is_promoted() {
    if !is_thorough() {
        leave_to_faults("it waits for half a minute");
        return;
    }
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        // A shutdown waits for every session.
        scenario.begin("a", &["SELECT pg_sleep(3600)"]);
        wait_until("the session sleeps", || scenario.processes("a", ") SELECT").len() == 1);
        scenario.signal("a", ") SELECT", Signal::SIGSTOP);
        let output = scenario.environment.run(&["switchover", "orders", "-auto-approve"]);
        println!("{}{}", output.stdout, output.stderr);
        load.further(20);
        assert_first_timeline(scenario);
    });
}

#[test]
fn a_primary_whose_senders_hang_is_not_stopped_and_leads_on() {
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        scenario.signal("a", "walsender", Signal::SIGSTOP);
        let output = scenario.environment.run(&["switchover", "orders", "-auto-approve"]);
        output.expect_code(1);
        let said = output.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains("nothing was stopped"), "{said}");
        scenario.signal("a", "walsender", Signal::SIGCONT);
        load.further(20);
        assert_first_timeline(scenario);
    });
}

#[test]
fn a_primary_that_crashed_and_is_started_again_leads_on_the_same_timeline() {
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        scenario.kill_all("a");
        scenario.simdb(&APPLY);
        load.further(20);
        assert_first_timeline(scenario);
    });
}

#[test]
fn a_stale_postmaster_pid_keeps_nobody_from_starting() {
    disturb_under_load(&Version::all(), TWO, any(1), |scenario, load| {
        for node in ["a", "b"] {
            scenario.kill_all(node);
            let path = scenario.data(node).join("postmaster.pid");
            let text = fs::read_to_string(&path).unwrap();
            let rest = text.split_once('\n').unwrap().1;
            // The number of the server that was killed belongs to somebody else now.
            fs::write(&path, format!("{}\n{rest}", std::process::id())).unwrap();
        }
        scenario.simdb(&APPLY);
        load.further(20);
        let path = scenario.data("a").join("postmaster.pid");
        scenario.kill_all("a");
        assert!(path.exists());
        scenario.failover();
        load.further(20);
    });
}

#[test]
fn a_primary_that_cannot_be_started_is_replaced_and_cloned_anew() {
    type Ruin = fn(&Path);
    let ruin: [(&str, Ruin); 3] = [
        ("its control file is damaged", |data| {
            fs::write(data.join("global/pg_control"), [0; 512]).unwrap();
        }),
        ("its log is gone", |data| {
            for entry in fs::read_dir(data.join("pg_wal")).unwrap().flatten() {
                if entry.file_type().unwrap().is_file() {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
        }),
        ("its data is gone", |data| fs::remove_dir_all(data).unwrap()),
    ];
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        for (what, happen) in ruin {
            load.further(20);
            let primary = scenario.primary();
            scenario.kill_all(&primary);
            happen(&scenario.data(&primary));
            println!("{what}");
            scenario.failover();
            load.further(20);
            assert_ne!(scenario.primary(), primary);
            scenario.assert_settled(any(1));
        }
    });
}
