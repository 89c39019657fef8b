//! Standbys that lag, are lost, or cannot be made, and what simdb makes of it: every scenario ends with one node that
//! writes, every acknowledged row on every node, all members in sync, and nothing left to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;
use nix::unistd::Uid;
use serde_json::Value;
use simdb_tests::{
    Moment, Scenario, Step, THREE, TWO, Version, any, disturb, disturb_under_load, first, skip, wait_until,
};

/// More than fits into the buffers of a connection.
const MUCH: &str = "CREATE TABLE much AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 30000) AS n; SELECT 1";

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const FAILOVER: [&str; 3] = ["failover", "orders", "-auto-approve"];

#[test]
fn nobody_takes_over_who_lags_more_than_is_allowed_until_it_has_caught_up() {
    let with = |delay: &str| {
        let node = format!("node \"b\" {{\n    {delay}\n  }}");
        TWO.replace("\"quorum\"", "\"quorum\"\n max_lag = \"1MB\"\n")
            .replace("{ mode", "{\n mode")
            .replace("node \"b\" {}", &node)
    };
    disturb(&Version::all(), &with("apply_delay = \"1h\""), any(1), |scenario| {
        scenario.ask("a", MUCH);
        let to = ["switchover", "orders", "-to", "b", "-auto-approve"];
        scenario.expect_refusal(&to, "bytes behind");
        assert_eq!(scenario.primary(), "a");
        scenario.apply(&with(""));
        wait_until("it has caught up", || {
            scenario.answer("b", "SELECT count(*)::text FROM much").as_deref() == Some("30000")
        });
        let load = scenario.load();
        load.further(20);
        scenario.switchover(Some("b"));
        load.further(20);
        scenario.assert_settled(any(1));
        load.expect_nothing_lost();
    });
}

#[test]
fn where_commits_wait_for_the_first_standby_both_must_answer_and_the_one_that_confirmed_wins() {
    let body = THREE.replace("quorum", "sync");
    disturb_under_load(&Version::all(), &body, first(1), |scenario, load| {
        // Which of the two confirmed the last commit nobody knows who cannot ask the primary.
        for lost in ["r[0]", "r[1]"] {
            load.further(20);
            scenario.kill_all("a");
            scenario.kill_all(lost);
            scenario.expect_refusal(&FAILOVER, "commits waited for 1 of 2 standbys, and only 1 answer");
            scenario.simdb(&APPLY);
            load.further(20);
            scenario.assert_settled(first(1));
        }
        scenario.signal("r[1]", "walreceiver", Signal::SIGSTOP);
        scenario.ask("a", MUCH);
        load.further(20);
        scenario.kill_all("a");
        scenario.signal("r[1]", "walreceiver", Signal::SIGCONT);
        scenario.failover();
        load.further(20);
        assert_eq!(scenario.primary(), "r[0]");
    });
}

/// Returns since when commits wait for nobody.
fn degraded_since(scenario: &Scenario) -> Value {
    let text = scenario.simdb(&["show", "-json"]).stdout;
    let recorded: Value = serde_json::from_str(&text).unwrap();
    let mut objects = recorded["objects"].as_array().unwrap().iter();
    let cluster = objects.find(|object| object["address"] == "cluster.orders");
    cluster.unwrap()["values"]["degraded_since"].clone()
}

#[test]
fn commits_stop_waiting_for_a_standby_that_is_lost_and_it_may_not_lead_before_it_has_caught_up() {
    let body = TWO
        .replace("\"quorum\"", "\"quorum\"\n on_standby_loss = \"degrade\"\n")
        .replace("{ mode", "{\n mode");
    disturb_under_load(&Version::all(), &body, any(1), |scenario, load| {
        let programs = scenario.programs();
        scenario.kill_all("b");
        // No server starts on data that everybody may change.
        let data = scenario.data("b");
        fs::set_permissions(&data, Permissions::from_mode(0o777)).unwrap();
        load.wait_until_stalled();
        let acknowledged = load.acknowledged();
        scenario.expect_refusal(&APPLY, "invalid permissions");
        load.further(50);
        assert!(load.acknowledged() > acknowledged);
        let since = degraded_since(scenario);
        assert!(since.is_string(), "{since}");
        let status = scenario.environment.run(&["status"]);
        assert!(
            status.code == Some(5) && status.stdout.contains("degraded"),
            "{}",
            status.stdout
        );
        // It is back, and lacks what was acknowledged without it.
        scenario.kill_all("a");
        fs::set_permissions(&data, Permissions::from_mode(0o700)).unwrap();
        scenario.start_by_hand("b", &programs);
        wait_until("it answers", || scenario.answer("b", "SELECT 1").is_some());
        scenario.expect_refusal(&FAILOVER, "commits do not wait for standbys");
        scenario.expect_refusal(
            &["failover", "orders", "-promote", "b", "-auto-approve"],
            "acknowledged writes is at stake",
        );
        assert_eq!(degraded_since(scenario), since);
        scenario.simdb(&APPLY);
        load.further(20);
        assert_eq!(scenario.primary(), "a");
        assert!(degraded_since(scenario).is_null());
        scenario.assert_settled(any(1));
        scenario.kill_all("a");
        scenario.failover();
        load.further(20);
        assert_eq!(scenario.primary(), "b");
    });
}

#[test]
fn clients_of_a_primary_that_crashed_are_let_in_once_a_standby_has_what_it_has() {
    let body =
        format!("{TWO}\n  user \"app\" {{ password = \"not-a-secret\" }}\n  database \"app\" {{ owner = \"app\" }}\n");
    let login = "user=app password=not-a-secret dbname=app";
    let reports = disturb_under_load(&Version::all(), &body, any(1), |scenario, load| {
        let enters = || {
            let psql = ["psql", "orders.a", "--", "-X", "-At", "-d", login, "-c", "SELECT 1"];
            scenario.environment.run(&psql)
        };
        enters().expect_code(0);
        scenario.kill_all("b");
        load.wait_until_stalled();
        scenario.kill_all("a");
        // What waited is there, and on no other node.
        let open = Step {
            name: "open".to_owned(),
            address: "cluster.orders.node.a".to_owned(),
            seconds: 0.0,
        };
        open.kill(&scenario.environment, &APPLY, Moment::Before, 0);
        let refused = enters();
        assert!(
            refused.code != Some(0) && refused.stderr.contains("no pg_hba.conf entry"),
            "{refused:?}"
        );
        let status = scenario.environment.run(&["status", "orders"]);
        status.expect_code(5);
        assert!(status.stdout.contains("accepts no clients"), "{}", status.stdout);
        scenario.simdb(&APPLY);
        enters().expect_code(0);
        load.further(20);
    });
    for report in reports {
        assert_eq!(report.tally.unknown, 4, "{report:?}");
    }
}

/// A small disk of its own. It is gone when the test is over, whatever becomes of that.
struct Disk(PathBuf);

impl Disk {
    /// Mounts a disk where a node will have its instance directory; `None` where that is not allowed, which is said.
    fn mount(directory: &Path, size: &str) -> Option<Disk> {
        if !Uid::effective().is_root() {
            skip("only root can mount a disk");
            return None;
        }
        fs::create_dir(directory).unwrap();
        let owner = fs::metadata(directory.parent().unwrap().join("a")).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "tmpfs"])
            .arg(directory)
            .output()
            .unwrap();
        if !mounted.status.success() {
            skip(&String::from_utf8_lossy(&mounted.stderr));
            fs::remove_dir(directory).unwrap();
            return None;
        }
        chown(directory, Some(owner.uid()), Some(owner.gid())).unwrap();
        Some(Disk(directory.to_owned()))
    }

    fn grow(&self, size: &str) {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,size={size}")]).arg(&self.0);
        assert!(command.status().unwrap().success());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Also where a server still uses it, which is killed later.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn a_copy_that_does_not_fit_on_its_disk_is_made_again_where_there_is_room_and_leaves_nothing() {
    for version in Version::all() {
        let mut scenario = Scenario::new(&version, "  node \"a\" {}\n");
        let Some(disk) = Disk::mount(&scenario.environment.data().join("orders/b"), "16m") else {
            scenario.destroy();
            return;
        };
        let load = scenario.load();
        load.further(20);
        scenario.declare(TWO);
        for _ in 0..2 {
            scenario.expect_refusal(&APPLY, "No space left on device");
            load.further(20);
            assert_eq!(
                scenario.ask("a", "SELECT count(*)::text FROM pg_replication_slots"),
                "1",
                "the one that the copy needs"
            );
        }
        disk.grow("500m");
        load.expect_nothing_lost();
        scenario.apply(TWO);
        let load = scenario.load();
        load.further(20);
        scenario.assert_settled(any(1));
        load.expect_nothing_lost();
        scenario.assert_no_partial_copy("b");
        // The disk is no file that simdb could remove.
        scenario.simdb(&["stop", "orders", "-auto-approve"]);
        drop(disk);
        scenario.destroy();
    }
}
