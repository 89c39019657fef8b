//! A standby's data that wrote log by itself, or might have: nothing streams on it, and nothing is lost with it.

use std::fs;
use std::process::{Command, Stdio};

use simdb_tests::{Scenario, THREE, Version, any, disturb, wait_until};

use crate::APPLY;

const LEDGER: &str =
    "CREATE TABLE ledger (n int, note text); INSERT INTO ledger SELECT n FROM generate_series(1, 100) AS n;
    SELECT 1";

#[track_caller]
fn assert_rows(scenario: &Scenario, rows: &str) {
    for node in scenario.nodes() {
        let found = scenario.ask(node, "SELECT count(*)::text FROM ledger");
        assert_eq!(found, rows, "rows of {node}");
    }
}

fn replayed(scenario: &Scenario, node: &str) {
    let written = scenario.ask("a", "SELECT pg_current_wal_lsn()::text");
    let reached = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'::pg_lsn");
    wait_until("the standby replayed", || {
        scenario.answer(node, &reached).as_deref() == Some("t")
    });
}

/// A standby that recovers by itself writes two checkpoints, which take as much of the log as two rows of 55 bytes.
#[test]
fn a_standby_that_crashed_lacks_no_row_after_it_was_made_anew() {
    let mut versions = vec![Version::installed()];
    versions.extend(Version::newest());
    disturb(&versions, THREE, any(1), |scenario| {
        scenario.ask("a", LEDGER);
        scenario.ask("a", "CHECKPOINT; SELECT 1");
        scenario.ask("a", "INSERT INTO ledger VALUES (101, repeat('x', 55)); SELECT 1");
        replayed(scenario, "r[1]");
        scenario.kill_all("r[1]");
        scenario.ask(
            "a",
            "INSERT INTO ledger VALUES (102, repeat('x', 55)), (103, repeat('x', 55)); SELECT 1",
        );
        scenario.simdb(&["resync", "orders", "r[1]", "-auto-approve"]);
        assert_rows(scenario, "103");
        scenario.switchover(Some("r[1]"));
        assert_rows(scenario, "103");
    });
}

#[test]
fn a_standby_that_crashed_and_fell_behind_follows_the_node_that_took_over() {
    let mut versions = vec![Version::installed()];
    versions.extend(Version::newest());
    disturb(&versions, THREE, any(1), |scenario| {
        scenario.ask("a", LEDGER);
        replayed(scenario, "r[1]");
        scenario.kill_all("r[1]");
        scenario.ask(
            "a",
            "INSERT INTO ledger SELECT n FROM generate_series(101, 1000) AS n; SELECT 1",
        );
        scenario.kill_all("a");
        // Nobody can say that the other one had no more.
        scenario.simdb(&["failover", "orders", "-auto-approve", "-allow=data-loss"]);
        scenario.simdb(&APPLY);
        assert_eq!(scenario.primary(), "r[0]");
        assert_rows(scenario, "1000");
    });
}

/// Lets the data of a node recover by itself, as `pg_rewind` does, and leaves it to be started as a standby.
fn recover_by_hand(scenario: &Scenario, node: &str) {
    let (data, directory) = (scenario.data(node), scenario.directory(node));
    fs::remove_file(data.join("standby.signal")).unwrap();
    fs::remove_file(data.join("postmaster.pid")).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]);
    command
        .arg(scenario.programs().join("postgres"))
        .arg("--single")
        .arg("-D");
    command.arg(&data).arg("-c");
    command.arg(format!("config_file={}", directory.join("postgresql.conf").display()));
    command.arg("template1").current_dir(directory);
    command.stdout(Stdio::null()).stderr(Stdio::null()).stdin(Stdio::null());
    assert!(command.status().unwrap().success());
    let signal = data.join("standby.signal");
    fs::write(&signal, "").unwrap();
}

#[test]
fn a_standby_whose_data_wrote_by_itself_is_found_and_takes_no_lead() {
    disturb(&[Version::installed()], THREE, any(1), |scenario| {
        scenario.ask("a", LEDGER);
        scenario.ask("a", "CHECKPOINT; SELECT 1");
        scenario.ask("a", "INSERT INTO ledger VALUES (101, repeat('x', 55)); SELECT 1");
        replayed(scenario, "r[1]");
        scenario.kill_all("r[1]");
        scenario.ask(
            "a",
            "INSERT INTO ledger VALUES (102, repeat('x', 55)), (103, repeat('x', 55)); SELECT 1",
        );
        recover_by_hand(scenario, "r[1]");
        scenario.expect_refusal(&APPLY, "Role was changed without simdb");
        scenario.start_by_hand("r[1]", &scenario.programs());
        wait_until("it streams", || {
            let streams = "SELECT count(*)::text FROM pg_stat_replication WHERE application_name = 'r_1'";
            scenario.ask("a", streams) == "1"
        });
        replayed(scenario, "r[1]");
        assert_eq!(scenario.ask("r[1]", "SELECT count(*)::text FROM ledger"), "101");
        let found = scenario.environment.run(&["verify", "orders"]);
        assert!(
            found.code == Some(5) && found.text().contains("recovered from a checkpoint"),
            "{found:?}"
        );
        let to = ["switchover", "orders", "-to", "r[1]", "-auto-approve"];
        scenario.expect_refusal(&to, "recovered from a checkpoint");
        assert_eq!(scenario.primary(), "a");
        scenario.simdb(&["resync", "orders", "r[1]", "-auto-approve"]);
        assert_rows(scenario, "103");
    });
}

#[test]
fn a_standby_whose_log_differs_from_the_primarys_is_found() {
    disturb(&[Version::installed()], THREE, any(1), |scenario| {
        scenario.ask("a", LEDGER);
        let file = scenario.ask("a", "SELECT pg_walfile_name(pg_current_wal_lsn())");
        scenario.ask("a", "SELECT pg_switch_wal()::text");
        scenario.ask("a", "INSERT INTO ledger VALUES (101, 'in the next file'); SELECT 1");
        replayed(scenario, "r[1]");
        scenario.simdb(&["verify", "orders"]);
        let path = scenario.data("r[1]").join("pg_wal").join(file);
        let mut log = fs::read(&path).unwrap();
        log[8192 + 100] ^= 1;
        fs::write(&path, log).unwrap();
        let found = scenario.environment.run(&["verify", "orders"]);
        let difference = "the log of r[1] differs from that of a on timeline 1";
        assert!(found.code == Some(5) && found.text().contains(difference), "{found:?}");
        scenario.simdb(&["resync", "orders", "r[1]", "-auto-approve"]);
    });
}
