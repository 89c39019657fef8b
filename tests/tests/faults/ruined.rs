//! Standbys that can never stream again with the data they have: another copy is made, and why is said.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use nix::sys::signal::Signal;
use simdb_tests::{Moment, Scenario, Step, THREE, TWO, Version, any, disturb, wait_until};

use crate::APPLY;

/// Writes into a few files of the log, each of which is full then. Commits do not wait.
fn fill_log(scenario: &Scenario, node: &str) {
    for _ in 0..3 {
        scenario.ask(
            node,
            "SET synchronous_commit = local; CREATE TABLE IF NOT EXISTS filler (n int); INSERT INTO filler VALUES (1);
            SELECT pg_switch_wal()",
        );
    }
}

/// Lets a node remove the log that nothing retains.
fn forget_log(scenario: &Scenario, node: &str) {
    fill_log(scenario, node);
    for _ in 0..2 {
        scenario.ask(node, "CHECKPOINT; SELECT 1");
    }
}

/// Waits until a standby has replayed all that another node has.
fn wait_replayed(scenario: &Scenario, node: &str, of: &str) {
    let position = scenario.ask(of, "SELECT pg_current_wal_lsn()");
    wait_until("the standby has replayed all", || {
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
        scenario.answer(node, &sql).as_deref() == Some("t")
    });
}

fn generation(scenario: &Scenario, node: &str) -> String {
    let data = scenario.data(node);
    data.file_name().unwrap().to_string_lossy().into_owned()
}

#[track_caller]
fn assert_cloned(scenario: &Scenario, node: &str, arguments: &[&str], because: &str) {
    let before = generation(scenario, node);
    let output = scenario.simdb(arguments);
    assert!(output.text().contains(because), "{output:?}");
    assert_ne!(generation(scenario, node), before);
}

#[test]
fn a_standby_whose_slot_and_log_are_gone_while_it_is_down_is_cloned() {
    disturb(&Version::all(), TWO, any(1), |scenario| {
        scenario.kill_all("b");
        scenario.ask("a", "SELECT pg_drop_replication_slot('b')");
        forget_log(scenario, "a");
        let plan = scenario.simdb(&["plan"]);
        assert!(plan.stdout.contains("b needs WAL from"), "{plan:?}");
        assert_cloned(scenario, "b", &APPLY, "and the oldest that a has is");
    });
}

#[test]
fn a_standby_whose_slot_is_gone_and_whose_log_is_there_gets_its_slot_and_goes_on() {
    disturb(&Version::all(), TWO, any(1), |scenario| {
        scenario.kill_all("b");
        scenario.ask("a", "SELECT pg_drop_replication_slot('b')");
        scenario.simdb(&APPLY);
        assert_eq!(generation(scenario, "b"), "data-1");
    });
}

#[test]
fn a_standby_whose_slot_was_made_again_too_late_is_cloned_by_the_apply_that_finds_out() {
    disturb(&Version::all(), TWO, any(1), |scenario| {
        scenario.kill_all("b");
        scenario.ask("a", "SELECT pg_drop_replication_slot('b')");
        forget_log(scenario, "a");
        scenario.ask("a", "SELECT pg_create_physical_replication_slot('b', true)");
        assert_cloned(scenario, "b", &APPLY, "The data of a standby is beyond recovery");
    });
}

#[test]
fn a_standby_that_runs_and_whose_log_is_gone_is_cloned() {
    disturb(&Version::all(), TWO, any(1), |scenario| {
        scenario.signal("b", "walreceiver", Signal::SIGSTOP);
        wait_until("its slot is dropped", || {
            scenario.ask(
                "a",
                "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots",
            );
            let drop = "SELECT pg_drop_replication_slot('b')";
            scenario.answer("a", drop).is_some()
        });
        forget_log(scenario, "a");
        scenario.signal("b", "walreceiver", Signal::SIGCONT);
        wait_until("it is out of log", || {
            let waits = "SELECT count(*)::text FROM pg_stat_activity
                WHERE wait_event IN ('RecoveryWalStream', 'RecoveryRetrieveRetryInterval')";
            scenario.answer("b", waits).as_deref() == Some("1")
        });
        assert_cloned(scenario, "b", &APPLY, "b needs WAL from");
    });
}

/// Fills files of a log with zeroes, from the one with this name on.
fn zero_log(data: &Path, from: &str) {
    for entry in fs::read_dir(data.join("pg_wal")).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.len() == 24 && *name >= *from {
            let file = fs::OpenOptions::new().write(true).open(entry.path()).unwrap();
            file.write_all_at(&vec![0; 16 << 20], 0).unwrap();
        }
    }
}

/// Lets a standby crash, needing much log to be consistent again, of which it has lost all but the first file, and which its
/// primary no longer has.
fn tear_log(scenario: &Scenario, node: &str) {
    scenario.ask("a", "CHECKPOINT; SELECT 1");
    wait_replayed(scenario, node, "a");
    scenario.ask(node, "CHECKPOINT; SELECT 1");
    fill_log(scenario, "a");
    let torn = scenario.ask("a", "SELECT pg_walfile_name(pg_current_wal_lsn())");
    fill_log(scenario, "a");
    // A standby that removes files writes down how far it must replay before it may answer.
    scenario.ask("a", "CREATE TABLE short (n int); SELECT 1");
    scenario.ask("a", "DROP TABLE short; SELECT 1");
    wait_replayed(scenario, node, "a");
    scenario.kill_all(node);
    forget_log(scenario, "a");
    zero_log(&scenario.data(node), &torn);
}

#[test]
fn a_standby_that_can_never_be_consistent_again_is_cloned_by_the_same_apply() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        tear_log(scenario, "r[1]");
        assert_cloned(scenario, "r[1]", &APPLY, "has already been removed");
    });
}

#[test]
fn a_standby_whose_control_file_is_damaged_is_cloned_by_the_same_apply() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        scenario.kill_all("r[1]");
        let path = scenario.data("r[1]").join("global/pg_control");
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        // Where the last checkpoint is.
        file.write_all_at(&[0xff; 8], 40).unwrap();
        assert_cloned(scenario, "r[1]", &APPLY, "cannot recover its data");
    });
}

#[test]
fn a_standby_with_a_torn_log_is_cloned_at_once_where_a_resync_is_asked_for() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        tear_log(scenario, "r[1]");
        let resync = ["resync", "orders", "r[1]", "-auto-approve"];
        assert_cloned(scenario, "r[1]", &resync, "a resync copies its data anew");
    });
}

#[test]
fn a_node_that_a_verification_found_different_takes_no_lead_until_its_data_is_made_anew() {
    disturb(&Version::all(), THREE, any(1), |scenario| {
        scenario.ask(
            "a",
            "CREATE TABLE pages AS SELECT n FROM generate_series(1, 1000) AS n; SELECT 1",
        );
        scenario.ask("a", "CHECKPOINT; SELECT 1");
        wait_replayed(scenario, "r[1]", "a");
        scenario.ask("r[1]", "CHECKPOINT; SELECT 1");
        let path = scenario.ask("r[1]", "SELECT pg_relation_filepath('pages')");
        scenario.kill_all("r[1]");
        // A page of zeroes is a valid one, and is empty.
        let file = fs::OpenOptions::new()
            .write(true)
            .open(scenario.data("r[1]").join(path))
            .unwrap();
        file.write_all_at(&[0; 8192], 0).unwrap();
        scenario.simdb(&APPLY);
        let verify = scenario.environment.run(&["verify", "orders"]);
        verify.expect_code(5);
        let to = ["switchover", "orders", "-to", "r[1]", "-auto-approve"];
        scenario.expect_refusal(&to, "table public.pages of database postgres holds");
        let plan = scenario.environment.run(&["plan", "-detailed-exitcode"]);
        plan.expect_code(0);
        assert!(
            plan.text().contains("It takes no lead until its data is made anew"),
            "{plan:?}"
        );
        let resync = ["resync", "orders", "r[1]", "-auto-approve"];
        assert_cloned(scenario, "r[1]", &resync, "table public.pages");
        scenario.simdb(&["verify", "orders"]);
        scenario.simdb(&to);
        scenario.switchover(Some("a"));
    });
}

const CASCADE: &str = r#"
  replication { mode = "quorum" }
  node "a" {}
  node "r" { count = 2 }
  node "c" { follows = "r[0]" }
"#;

#[test]
fn a_node_whose_upstream_was_cloned_and_has_no_log_that_is_old_enough_is_cloned_too() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, CASCADE);
        scenario.switchover(Some("r[0]"));
        let data = scenario.data("r[0]");
        scenario.kill_all("r[0]");
        fs::remove_dir_all(data).unwrap();
        let clone = Step {
            name: "basebackup".to_owned(),
            address: "cluster.orders.node.r[0]".to_owned(),
            seconds: 0.0,
        };
        clone.kill(
            &scenario.environment,
            &["failover", "orders", "-auto-approve"],
            Moment::Before,
            0,
        );
        let leader = scenario
            .nodes()
            .into_iter()
            .find(|node| scenario.answer(node, "SELECT pg_is_in_recovery()").as_deref() == Some("f"))
            .unwrap()
            .to_owned();
        forget_log(&scenario, &leader);
        assert_cloned(&scenario, "c", &APPLY, "c needs WAL from");
        scenario.assert_healthy();
        scenario.environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}

#[test]
fn a_copy_that_was_cut_off_while_it_replaced_the_data_before_it_is_mended() {
    disturb(&Version::all(), TWO, any(1), |scenario| {
        scenario.kill_all("b");
        // The copy was complete, and of the data before it some was removed already.
        let data = scenario.data("b");
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&data)
            .arg(data.with_file_name("data-2"))
            .status();
        assert!(copied.unwrap().success());
        fs::remove_file(data.join("global/pg_control")).unwrap();
        scenario.simdb(&APPLY);
    });
}
