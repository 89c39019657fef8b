//! Who takes over: the one that has every acknowledged commit, nobody else unasked, and what is lost is lost everywhere.

use nix::sys::signal::Signal;
use simdb_tests::{Scenario, THREE, TWO, Version, Writing, any, disturb, disturb_under_load, wait_until};

use crate::APPLY;

#[track_caller]
fn assert_one_witness_everywhere(scenario: &Scenario) {
    for node in scenario.nodes() {
        let rows = scenario.ask(node, "SELECT count(*)::text FROM witness");
        assert_eq!(rows, "1", "{node}");
    }
}

/// Kills the primary after the other standby alone received more than fits into the buffers of a connection.
fn kill_while_one_lags(scenario: &Scenario, load: &Writing<'_>, late: &str) {
    scenario.signal(late, "walreceiver", Signal::SIGSTOP);
    let primary = scenario.primary();
    scenario.ask(
        &primary,
        "CREATE TABLE much AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 30000) AS n; SELECT 1",
    );
    load.further(20);
    scenario.kill_all(&primary);
    scenario.signal(late, "walreceiver", Signal::SIGCONT);
}

#[test]
fn the_standby_that_received_more_wins() {
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        kill_while_one_lags(scenario, load, "r[0]");
        scenario.expect_refusal(&["failover", "orders", "-promote", "r[0]", "-auto-approve"], "at stake");
        scenario.failover();
        load.further(20);
        assert_eq!(scenario.primary(), "r[1]");
    });
}

/// The control data of a node that was rewound name the timeline it is on; those of one that followed only name that of
/// its last restart point.
#[test]
fn the_standby_that_received_more_wins_over_one_that_was_rewound() {
    disturb_under_load(&Version::all(), THREE, any(1), |scenario, load| {
        scenario.kill("a");
        scenario.failover();
        load.further(20);
        let other = if scenario.primary() == "r[0]" { "r[1]" } else { "r[0]" };
        kill_while_one_lags(scenario, load, "a");
        scenario.failover();
        load.further(20);
        assert_eq!(scenario.primary(), other);
    });
}

#[test]
fn where_commits_wait_for_two_one_survivor_is_enough() {
    let body = THREE.replace(
        "{ mode = \"quorum\" }",
        "{\n mode = \"quorum\"\n synchronous_standbys = 2\n }",
    );
    disturb_under_load(&Version::all(), &body, any(2), |scenario, load| {
        scenario.kill_all("a");
        scenario.kill_all("r[1]");
        scenario.failover();
        load.further(20);
        assert_eq!(scenario.primary(), "r[0]");
    });
}

#[test]
fn nobody_takes_over_whose_replay_is_paused_or_who_does_not_stream() {
    disturb(&Version::all(), TWO, any(1), |scenario| {
        let to = ["switchover", "orders", "-to", "b", "-auto-approve"];
        scenario.ask("b", "SELECT pg_wal_replay_pause()");
        scenario.expect_refusal(&to, "its replay is paused");
        scenario.ask("b", "SELECT pg_wal_replay_resume()");
        scenario.kill_all("b");
        scenario.expect_refusal(&to, "its server does not answer");
        scenario.simdb(&APPLY);
        scenario.switchover(Some("b"));
    });
}

#[test]
fn what_nobody_else_has_is_taken_back_by_the_rewind() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        scenario.ask("a", "CREATE TABLE witness AS SELECT 1 AS n; SELECT 1");
        scenario.signal("a", "walsender", Signal::SIGSTOP);
        scenario.ask(
            "a",
            "SET synchronous_commit = local; INSERT INTO witness VALUES (2) RETURNING n",
        );
        scenario.kill_all("a");
        // No checkpoint but the one that simdb makes: without it, up to 15, nothing would be rewound.
        let output = scenario.failover();
        assert!(output.stderr.contains("rewind"), "{}", output.stderr);
        assert_eq!(scenario.data("a").file_name().unwrap(), "data-2");
        assert_one_witness_everywhere(scenario);
    });
}

#[test]
fn a_failover_that_may_lose_writes_is_refused_and_what_is_lost_when_it_is_forced_is_taken_back_everywhere() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        scenario.ask("a", "CREATE TABLE witness AS SELECT 1 AS n; SELECT 1");
        wait_until("everybody has the row", || {
            scenario.answer("r[1]", "SELECT count(*)::text FROM witness").as_deref() == Some("1")
        });
        scenario.signal("r[1]", "walreceiver", Signal::SIGSTOP);
        // More than fits into the buffers of a connection, acknowledged by the other standby alone.
        scenario.ask(
            "a",
            "INSERT INTO witness SELECT n FROM generate_series(2, 200000) AS n RETURNING n",
        );
        scenario.kill_all("a");
        scenario.kill_all("r[0]");
        scenario.signal("r[1]", "walreceiver", Signal::SIGCONT);
        scenario.expect_refusal(
            &["failover", "orders", "-auto-approve"],
            "commits waited for 1 of 2 standbys, and only 1 answer",
        );
        scenario.simdb(&["failover", "orders", "-auto-approve", "-allow=data-loss"]);
        assert_eq!(scenario.primary(), "r[1]");
        assert_one_witness_everywhere(scenario);
    });
}

#[test]
fn a_standby_that_primary_names_and_that_is_down_is_started_and_then_leads() {
    let pinned = format!("{THREE}  primary = \"r[0]\"\n");
    disturb(&Version::all(), THREE, any(1), |scenario| {
        scenario.kill_all("r[0]");
        scenario.declare(&pinned);
        let started = scenario.simdb(&APPLY);
        let note = "r[0] becomes primary with the next apply";
        assert!(started.text().contains(note), "{}", started.text());
        assert_eq!(scenario.primary(), "a");
        scenario.simdb(&APPLY);
        assert_eq!(scenario.primary(), "r[0]");
    });
    disturb(&Version::all(), &pinned, any(1), |scenario| {
        scenario.kill_all("r[0]");
        scenario.kill_all("a");
        scenario.declare(&pinned.replace("r[0]", "a"));
        scenario.simdb(&APPLY);
        scenario.simdb(&APPLY);
        assert_eq!(scenario.primary(), "a");
    });
}
