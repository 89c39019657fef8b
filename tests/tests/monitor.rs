//! A monitor beside real servers: it lets a standby take over from a primary that is lost, and does nothing where it must not.

use std::time::Duration;

use nix::sys::signal::Signal;
use simdb_tests::{Version, WATCHED, any, disturb, disturb_under_load, first, is_thorough, wait_until};

/// How long clients may have to wait at most, the time until the loss is noticed included, on a machine that is busy with other
/// tests. What it takes on an idle one `make bench` measures.
const LIMIT: Duration = Duration::from_secs(6);

fn rounds(quick: usize) -> usize {
    if is_thorough() { 20 } else { quick }
}

#[test]
fn killed_primaries_are_replaced_by_themselves_within_seconds_and_nothing_is_lost() {
    for (mode, body) in [
        ("quorum", WATCHED.to_owned()),
        ("sync", WATCHED.replace("quorum", "sync")),
    ] {
        let names = |standbys: &[String]| {
            if mode == "sync" {
                first(1)(standbys)
            } else {
                any(1)(standbys)
            }
        };
        let reports = disturb_under_load(&Version::all(), &body, names, |scenario, load| {
            let monitor = scenario.monitor("monitor");
            for round in 0..rounds(2) {
                load.further(20);
                let primary = scenario.primary();
                if round % 2 == 0 {
                    scenario.kill(&primary);
                } else {
                    scenario.kill_all(&primary);
                }
                monitor.wait_for("failed-over", round + 1);
                load.further(20);
                monitor.wait_for("done", round + 1);
                assert_ne!(scenario.primary(), primary);
                scenario.assert_settled(names);
            }
            assert!(monitor.stop(), "it ends well");
        });
        for report in reports {
            let gap = report.longest_gap.unwrap_or_default();
            assert!(gap < LIMIT, "nothing was acknowledged for {gap:?} in mode {mode}");
        }
    }
}

#[test]
fn a_primary_whose_processes_are_halted_is_replaced_and_ended() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        let primary = scenario.primary();
        scenario.signal(&primary, "", Signal::SIGSTOP);
        monitor.wait_until_replaced(load);
        assert_ne!(scenario.primary(), primary);
        assert!(monitor.stop(), "it ends well");
    });
}

#[test]
fn a_monitor_that_sleeps_beside_a_healthy_cluster_does_nothing() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        monitor.signal(Signal::SIGSTOP);
        // Longer than its lease, and than any silence that counts.
        let before = load.acknowledged();
        std::thread::sleep(Duration::from_secs(4));
        assert!(load.acknowledged() > before);
        monitor.signal(Signal::SIGCONT);
        monitor.wait_for("took-over", 2);
        load.further(20);
        for kind in ["suspected", "lost", "decided", "alarm"] {
            assert_eq!(monitor.count(kind), 0, "{:?}", monitor.events());
        }
        assert!(monitor.stop(), "it ends well");
    });
}

#[test]
fn a_paused_monitor_leaves_a_lost_primary_to_a_person_until_it_goes_on() {
    disturb(&[Version::installed()], WATCHED, any(1), |scenario| {
        let monitor = scenario.monitor("monitor");
        scenario.simdb(&["monitor", "pause", "orders", "-for", "2h", "-reason", "new disks"]);
        monitor.wait_for("paused", 1);
        let shown = scenario.environment.run(&["status", "orders"]).stdout;
        assert!(
            shown.contains("Monitors are paused by") && shown.contains("new disks"),
            "{shown}"
        );
        assert_eq!(scenario.status()["paused"]["reason"], "new disks");
        scenario.environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
        let primary = scenario.primary();
        scenario.kill(&primary);
        monitor.wait_for("held", 1);
        assert_eq!(monitor.count("decided"), 0);
        scenario.simdb(&["unpause", "orders"]);
        monitor.wait_for("failed-over", 1);
        monitor.wait_for("done", 1);
        assert_ne!(scenario.primary(), primary);
        assert_eq!(scenario.status().get("paused"), None);
        assert!(monitor.stop(), "it ends well");
    });
}

#[test]
fn a_monitor_that_is_killed_in_its_failover_is_followed_by_another_one() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("one");
        let other = scenario.passive_monitor("other");
        wait_until("the other one knows who decides", || {
            other
                .events()
                .iter()
                .any(|event| event.contains("passive: ") && event.contains(" decides"))
        });
        let primary = scenario.primary();
        scenario.kill(&primary);
        monitor.wait_for("decided", 1);
        wait_until("the election is held", || scenario.status()["term"] == 2);
        monitor.kill();
        other.wait_for("took-over", 1);
        load.further(20);
        other.wait_for("done", 1);
        assert_ne!(scenario.primary(), primary);
        assert!(other.stop(), "it ends well");
    });
}

#[test]
fn a_standby_that_ends_is_started_again() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        let standby = scenario.standbys()[0].clone();
        scenario.kill_all(&standby);
        monitor.wait_for("done", 1);
        load.further(20);
        assert_eq!(monitor.count("failed-over"), 0);
        assert!(monitor.stop(), "it ends well");
    });
}

#[test]
fn a_monitor_left_to_a_person_names_the_command() {
    let manual = WATCHED.replace("automatic", "manual");
    disturb(&[Version::installed()], &manual, any(1), |scenario| {
        let monitor = scenario.monitor("monitor");
        let primary = scenario.primary();
        scenario.kill(&primary);
        monitor.wait_for("held", 1);
        let told = monitor.events().join("\n");
        assert!(told.contains("run simdb failover orders"), "{told}");
        assert_eq!(monitor.count("decided"), 0);
        scenario.failover();
        assert!(monitor.stop(), "it ends well");
    });
}

#[test]
fn a_switchover_of_a_person_is_no_alarm_and_a_loss_after_it_is() {
    let manual = WATCHED.replace("automatic", "manual");
    disturb(&[Version::installed()], &manual, any(1), |scenario| {
        let monitor = scenario.monitor("monitor");
        scenario.switchover(None);
        scenario.simdb(&["stop", "orders.c", "-auto-approve"]);
        scenario.simdb(&["start", "orders.c", "-auto-approve"]);
        let primary = scenario.primary();
        scenario.kill(&primary);
        monitor.wait_for("held", 1);
        let lost = monitor.events().into_iter().filter(|event| event.contains(" lost: "));
        let lost: Vec<String> = lost.collect();
        assert!(
            lost.len() == 1 && lost[0].contains(&format!("orders.{primary} lost: its process ended")),
            "{lost:?}"
        );
        assert_eq!(monitor.count("alarm"), 1, "{:?}", monitor.events());
        scenario.failover();
        assert!(monitor.stop(), "it ends well");
    });
}

#[test]
fn another_monitor_takes_over_from_one_that_is_told_to_end_and_clients_notice_nothing() {
    disturb_under_load(&[Version::installed()], WATCHED, any(1), |scenario, load| {
        let primary = scenario.primary();
        let monitor = scenario.monitor("before");
        // It has started a server of its own, which outlives it.
        scenario.kill_all(&scenario.standbys()[0]);
        monitor.wait_for("done", 1);
        assert!(monitor.stop(), "it ends well");
        load.further(20);
        let next = scenario.monitor("after");
        load.further(20);
        for kind in ["suspected", "lost", "decided", "alarm", "failed-over"] {
            assert_eq!(next.count(kind), 0, "{:?}", next.events());
        }
        assert_eq!(scenario.primary(), primary);
        // It watches as the one before did.
        scenario.kill(&primary);
        next.wait_for("failed-over", 1);
        next.wait_for("done", 1);
        assert!(next.stop(), "it ends well");
    });
}

#[test]
fn commits_go_on_without_a_standby_that_is_away_and_wait_for_it_again_each_on_record_first() {
    let degrading = WATCHED
        .replace(
            "mode = \"quorum\"",
            "\n    mode            = \"sync\"\n    on_standby_loss = \"degrade\"\n  ",
        )
        .replace("  node \"c\" {}\n", "");
    disturb_under_load(&[Version::installed()], &degrading, first(1), |scenario, load| {
        let monitor = scenario.monitor("monitor");
        let standby = scenario.standbys()[0].clone();
        scenario.kill_all(&standby);
        // Its run lets commits go on, starts the standby, and lets commits wait for it once it keeps up.
        let told = |text: &str| monitor.events().iter().any(|event| event.ends_with(text));
        wait_until("commits go on", || {
            told(&format!(" done: let commits go on without {standby}"))
        });
        load.further(20);
        let first = monitor.events().into_iter().find(|event| event.contains(" decided: "));
        assert!(first.is_some_and(|first| first.ends_with(&format!("let commits go on without {standby}"))));
        let events = scenario.environment.run(&["events", "orders"]).stdout;
        assert!(events.contains("degraded"), "{events}");
        load.further(20);
        assert_eq!(monitor.count("failed-over"), 0);
        assert!(monitor.stop(), "it ends well");
    });
}
