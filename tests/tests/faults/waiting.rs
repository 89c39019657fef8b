//! Commits that wait for a standby: none is lost that was confirmed, and none counts that was not.

use nix::sys::signal::Signal;
use simdb_tests::{THREE, TWO, Version, any, disturb_under_load};

use crate::APPLY;

#[test]
fn a_standby_that_dies_under_load_holds_up_nobody_and_the_last_one_holds_up_everybody() {
    let reports = disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        scenario.kill_all("r[0]");
        load.further(50);
        scenario.kill_all("r[1]");
        load.wait_until_stalled();
        let acknowledged = load.acknowledged();
        let status = scenario.status().to_string();
        assert!(
            status.contains("waits with every commit for 1 standby, and 0 can confirm it"),
            "{status}"
        );
        assert_eq!(load.acknowledged(), acknowledged);
        scenario.simdb(&APPLY);
        load.further(50);
    });
    for report in reports {
        assert_eq!((report.tally.unknown, report.tally.failed), (0, 0), "{report:?}");
    }
}

#[test]
fn commits_that_waited_when_their_primary_died_are_on_every_node_when_it_is_back() {
    let reports = disturb_under_load(&Version::all(), TWO, any(1), |scenario, load| {
        scenario.kill_all("b");
        load.wait_until_stalled();
        scenario.kill_all("a");
        scenario.simdb(&APPLY);
        load.further(20);
    });
    for report in reports {
        assert_eq!(report.tally.unknown, 4, "{report:?}");
    }
}

#[test]
fn a_commit_whose_wait_is_cancelled_is_not_taken_for_acknowledged() {
    let reports = disturb_under_load(&Version::all(), TWO, any(1), |scenario, load| {
        scenario.signal("b", "walreceiver", Signal::SIGSTOP);
        load.wait_until_stalled();
        scenario.ask(
            "a",
            "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        );
        scenario.kill_all("a");
        scenario.signal("b", "walreceiver", Signal::SIGCONT);
        scenario.failover();
        load.further(20);
    });
    for report in reports {
        assert!(report.tally.unknown >= 4, "{report:?}");
    }
}
