//! What goes wrong with real servers, and what simdb makes of it: every scenario ends with one node that writes, every
//! acknowledged row on every node, all members in sync, and nothing left to do.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::sys::signal::Signal;
use simdb_tests::{Scenario, Version, is_thorough, wait_until};

const THREE: &str = r#"
  replication { mode = "quorum" }
  node "a" {}
  node "r" { count = 2 }
  endpoint "rw" { target = "primary" }
"#;

const TWO: &str = r#"
  replication { mode = "quorum" }
  node "a" {}
  node "b" {}
"#;

fn any(standbys: &[String]) -> String {
    format!("ANY 1 ({})", standbys.join(", "))
}

fn row(count: &str) -> String {
    format!("SELECT count(*)::text FROM {count}")
}

#[test]
fn a_backend_that_outlives_its_killed_postmaster_is_gone_before_anybody_is_promoted() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        scenario.ask("a", "CREATE TABLE beyond (at timestamptz); SELECT 1");
        let load = scenario.load();
        load.further(20);
        // A backend notices that its postmaster is gone when it waits; this one never does.
        scenario.begin(
            "a",
            &[
                "SET synchronous_commit = local",
                "DO $$ BEGIN LOOP INSERT INTO beyond VALUES (clock_timestamp()); COMMIT; END LOOP; END $$",
            ],
        );
        wait_until("the loop runs", || scenario.processes("a", ") DO").len() == 1);
        scenario.kill("a");
        wait_until("its siblings are gone", || {
            scenario.processes("a", "walsender").is_empty()
        });
        assert_eq!(
            scenario.processes("a", ") DO").len(),
            1,
            "it commits without its postmaster"
        );
        scenario.failover();
        load.further(20);
        assert_eq!(scenario.processes("a", ") DO").len(), 0);
        scenario.assert_settled(any);
        load.expect_nothing_lost();
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}

#[test]
fn a_primary_that_hangs_is_fenced_for_certain() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        let load = scenario.load();
        load.further(20);
        scenario.signal("a", "postgres", Signal::SIGSTOP);
        scenario.failover();
        load.further(20);
        scenario.assert_settled(any);
        load.expect_nothing_lost();
        scenario.destroy();
    }
}

#[test]
fn a_primary_that_crashed_and_is_started_again_leads_on_the_same_timeline() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        let load = scenario.load();
        load.further(20);
        scenario.kill_all("a");
        scenario.simdb(&["apply", "-auto-approve"]);
        load.further(20);
        assert_eq!(scenario.primary(), "a");
        assert_eq!(
            scenario.ask("a", "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"),
            "00000001"
        );
        scenario.assert_settled(any);
        load.expect_nothing_lost();
        scenario.destroy();
    }
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
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        let load = scenario.load();
        for (what, happen) in ruin {
            load.further(20);
            let primary = scenario.primary();
            scenario.kill_all(&primary);
            happen(&scenario.data(&primary));
            println!("{what}");
            scenario.failover();
            load.further(20);
            assert_ne!(scenario.primary(), primary);
            scenario.assert_settled(any);
        }
        load.expect_nothing_lost();
        scenario.destroy();
    }
}

#[test]
fn what_nobody_else_has_is_taken_back_by_the_rewind() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
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
        for node in scenario.nodes() {
            assert_eq!(scenario.ask(node, &row("witness")), "1", "{node}");
        }
        scenario.assert_settled(any);
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}

#[test]
fn the_standby_that_received_more_wins() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        let load = scenario.load();
        load.further(20);
        let frozen = scenario.signal("r[0]", "walreceiver", Signal::SIGSTOP);
        // More than fits into the buffers of a connection, acknowledged by the other standby alone.
        scenario.ask(
            "a",
            "CREATE TABLE much AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 30000) AS n; SELECT 1",
        );
        load.further(20);
        scenario.kill_all("a");
        for process in frozen {
            nix::sys::signal::kill(process, Signal::SIGCONT).unwrap();
        }
        scenario.expect_refusal(&["failover", "orders", "-promote", "r[0]", "-auto-approve"], "at stake");
        scenario.failover();
        load.further(20);
        assert_eq!(scenario.primary(), "r[1]");
        scenario.assert_settled(any);
        load.expect_nothing_lost();
        scenario.destroy();
    }
}

#[test]
fn a_failover_that_may_lose_writes_is_refused_and_what_is_lost_when_it_is_forced_is_taken_back_everywhere() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        scenario.ask("a", "CREATE TABLE witness AS SELECT 1 AS n; SELECT 1");
        wait_until("everybody has the row", || {
            scenario.answer("r[1]", &row("witness")).as_deref() == Some("1")
        });
        let frozen = scenario.signal("r[1]", "walreceiver", Signal::SIGSTOP);
        // More than fits into the buffers of a connection, acknowledged by the other standby alone.
        scenario.ask(
            "a",
            "INSERT INTO witness SELECT n FROM generate_series(2, 200000) AS n RETURNING n",
        );
        scenario.kill_all("a");
        scenario.kill_all("r[0]");
        for process in frozen {
            nix::sys::signal::kill(process, Signal::SIGCONT).unwrap();
        }
        scenario.expect_refusal(
            &["failover", "orders", "-auto-approve"],
            "commits waited for 1 of 2 standbys, and only 1 answer",
        );
        scenario.simdb(&["failover", "orders", "-auto-approve", "-allow=data-loss"]);
        assert_eq!(scenario.primary(), "r[1]");
        for node in scenario.nodes() {
            assert_eq!(scenario.ask(node, &row("witness")), "1", "{node}");
        }
        scenario.assert_settled(any);
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}

#[test]
fn where_commits_wait_for_two_one_survivor_is_enough() {
    for version in Version::all() {
        let scenario = Scenario::new(
            &version,
            &THREE
                .replace("\"quorum\"", "\"quorum\"\nsynchronous_standbys = 2")
                .replace("{ mode", "{\nmode")
                .replace("2 }\n  node", "2\n}\n  node"),
        );
        let load = scenario.load();
        load.further(20);
        scenario.kill_all("a");
        scenario.kill_all("r[1]");
        scenario.failover();
        load.further(20);
        assert_eq!(scenario.primary(), "r[0]");
        scenario.assert_settled(|standbys| format!("ANY 2 ({})", standbys.join(", ")));
        load.expect_nothing_lost();
        scenario.destroy();
    }
}

#[test]
fn a_standby_that_dies_under_load_holds_up_nobody_and_the_last_one_holds_up_everybody() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        let load = scenario.load();
        load.further(20);
        scenario.kill_all("r[0]");
        load.further(50);
        scenario.kill_all("r[1]");
        wait_until("writes wait", || {
            scenario.ask(
                "a",
                "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
            ) == "4"
        });
        let acknowledged = load.acknowledged();
        let status = scenario.status().to_string();
        assert!(
            status.contains("waits with every commit for 1 standby, and 0 can confirm it"),
            "{status}"
        );
        assert_eq!(load.acknowledged(), acknowledged);
        scenario.simdb(&["apply", "-auto-approve"]);
        load.further(50);
        scenario.assert_settled(any);
        let report = load.expect_nothing_lost();
        assert_eq!((report.tally.unknown, report.tally.failed), (0, 0));
        scenario.destroy();
    }
}

#[test]
fn commits_that_waited_when_their_primary_died_are_on_every_node_when_it_is_back() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, TWO);
        let load = scenario.load();
        load.further(20);
        scenario.kill_all("b");
        wait_until("writes wait", || {
            scenario.ask(
                "a",
                "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
            ) == "4"
        });
        scenario.kill_all("a");
        scenario.simdb(&["apply", "-auto-approve"]);
        load.further(20);
        scenario.assert_settled(any);
        let report = load.expect_nothing_lost();
        assert_eq!(report.tally.unknown, 4);
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}

#[test]
fn a_commit_whose_wait_is_cancelled_is_not_taken_for_acknowledged() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, TWO);
        let load = scenario.load();
        load.further(20);
        scenario.signal("b", "walreceiver", Signal::SIGSTOP);
        let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        wait_until("writes wait", || {
            scenario.ask("a", &format!("SELECT count(*)::text {waiting}")) == "4"
        });
        scenario.ask("a", &format!("SELECT count(pg_cancel_backend(pid)) {waiting}"));
        scenario.kill_all("a");
        scenario.signal("b", "walreceiver", Signal::SIGCONT);
        scenario.failover();
        load.further(20);
        scenario.assert_settled(any);
        let report = load.expect_nothing_lost();
        assert!(report.tally.unknown >= 4, "{report:?}");
        scenario.destroy();
    }
}

#[test]
fn a_node_that_was_promoted_by_hand_stops_everything_until_its_writes_are_given_up() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        let load = scenario.load();
        load.further(20);
        scenario.ask("r[0]", "SELECT pg_promote()");
        scenario.ask("r[0]", "CREATE TABLE astray AS SELECT 1 AS n; SELECT 1");
        let status = scenario.status().to_string();
        assert!(status.contains("split brain"), "{status}");
        for arguments in [
            &["apply", "-auto-approve"][..],
            &["switchover", "orders", "-to", "r[1]", "-auto-approve"],
            &["failover", "orders", "-auto-approve"],
        ] {
            scenario.expect_refusal(arguments, "Role was changed by somebody else");
        }
        scenario.expect_refusal(&["resync", "orders", "r[0]", "-auto-approve"], "data-loss");
        scenario.simdb(&["resync", "orders", "r[0]", "-auto-approve", "-allow=data-loss"]);
        load.further(20);
        assert_eq!(scenario.primary(), "a");
        for node in scenario.nodes() {
            assert_eq!(
                scenario.ask(node, "SELECT to_regclass('astray') IS NULL"),
                "t",
                "{node}"
            );
        }
        scenario.assert_settled(any);
        load.expect_nothing_lost();
        scenario.destroy();
    }
}

#[test]
fn a_standby_that_was_promoted_and_killed_is_no_survivor_until_its_writes_are_given_up() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        let load = scenario.load();
        load.further(20);
        scenario.ask("r[0]", "SELECT pg_promote()");
        scenario.ask("r[0]", "CREATE TABLE astray AS SELECT 1 AS n; SELECT 1");
        scenario.kill_all("r[0]");
        load.further(20);
        scenario.kill_all("a");
        // A second promotion from timeline 1 would make a second timeline 2.
        let lossy = [
            "failover",
            "orders",
            "-promote",
            "r[1]",
            "-auto-approve",
            "-allow=data-loss",
        ];
        scenario.expect_refusal(&lossy, "Role was changed by somebody else");
        scenario.simdb(&["resync", "orders", "r[0]", "-auto-approve", "-allow=data-loss"]);
        load.further(20);
        assert_eq!(scenario.primary(), "a");
        for node in scenario.nodes() {
            assert_eq!(
                scenario.ask(node, "SELECT to_regclass('astray') IS NULL"),
                "t",
                "{node}"
            );
        }
        scenario.assert_settled(any);
        load.expect_nothing_lost();
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}

#[test]
fn a_former_primary_that_somebody_starts_to_write_is_refused_until_its_writes_are_given_up() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, TWO);
        scenario.switchover(Some("b"));
        // It was sealed; somebody breaks the seal.
        scenario.kill_all("a");
        fs::remove_file(scenario.data("a").join("standby.signal")).unwrap();
        scenario.start_by_hand("a", &scenario.programs());
        wait_until("it writes", || {
            scenario.answer("a", "SELECT pg_is_in_recovery()").as_deref() == Some("f")
        });
        scenario.ask(
            "a",
            "SET synchronous_commit = local; CREATE TABLE astray AS SELECT 1 AS n; SELECT 1",
        );
        let status = scenario.status().to_string();
        assert!(status.contains("split brain"), "{status}");
        scenario.expect_refusal(&["apply", "-auto-approve"], "Role was changed by somebody else");
        scenario.simdb(&["resync", "orders", "a", "-auto-approve", "-allow=data-loss"]);
        assert_eq!(scenario.primary(), "b");
        assert_eq!(scenario.ask("a", "SELECT to_regclass('astray') IS NULL"), "t");
        scenario.assert_settled(any);
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}

#[test]
fn nobody_takes_over_whose_replay_is_paused_or_who_does_not_stream() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, TWO);
        let to = ["switchover", "orders", "-to", "b", "-auto-approve"];
        scenario.ask("b", "SELECT pg_wal_replay_pause()");
        scenario.expect_refusal(&to, "its replay is paused");
        scenario.ask("b", "SELECT pg_wal_replay_resume()");
        scenario.kill_all("b");
        scenario.expect_refusal(&to, "its server does not answer");
        scenario.simdb(&["apply", "-auto-approve"]);
        scenario.switchover(Some("b"));
        scenario.assert_settled(any);
        scenario.destroy();
    }
}

#[test]
fn a_stale_postmaster_pid_keeps_nobody_from_starting() {
    let scenario = Scenario::new(&Version::all()[0], TWO);
    let load = scenario.load();
    load.further(20);
    for node in ["a", "b"] {
        scenario.kill_all(node);
        let path = scenario.data(node).join("postmaster.pid");
        let text = fs::read_to_string(&path).unwrap();
        let rest = text.split_once('\n').unwrap().1;
        // The number of the server that was killed belongs to somebody else now.
        fs::write(&path, format!("{}\n{rest}", std::process::id())).unwrap();
    }
    scenario.simdb(&["apply", "-auto-approve"]);
    load.further(20);
    let path = scenario.data("a").join("postmaster.pid");
    scenario.kill_all("a");
    assert!(path.exists());
    scenario.failover();
    load.further(20);
    scenario.assert_settled(any);
    load.expect_nothing_lost();
    scenario.destroy();
}

#[test]
fn a_standby_whose_slot_is_lost_is_cloned_anew() {
    for version in Version::all() {
        // Room for what a clone needs, which streams through the same slot.
        let body = TWO.replace("{}", "{\n parameters = { max_slot_wal_keep_size = \"32MB\" }\n }");
        let scenario = Scenario::new(&version, &body);
        scenario.kill_all("b");
        wait_until("the slot is lost", || {
            scenario.ask(
                "a",
                "SET synchronous_commit = local; CREATE TABLE IF NOT EXISTS much (t text);
                INSERT INTO much SELECT repeat(md5(n::text), 30) FROM generate_series(1, 20000) AS n;
                SELECT pg_switch_wal()",
            );
            scenario.begin("a", &["CHECKPOINT"]);
            scenario.ask("a", "SELECT wal_status FROM pg_replication_slots") == "lost"
        });
        let output = scenario.simdb(&["apply", "-auto-approve"]);
        assert!(
            output.stdout.contains("basebackup") || output.stderr.contains("basebackup"),
            "{output:?}"
        );
        scenario.assert_settled(any);
        scenario.simdb(&["verify", "orders"]);
        scenario.destroy();
    }
}

#[test]
fn data_of_another_cluster_is_refused() {
    for version in Version::all() {
        let scenario = Scenario::new(&version, TWO);
        let other = Scenario::new(&version, TWO);
        scenario.kill_all("b");
        other.kill_all("b");
        fs::remove_dir_all(scenario.data("b")).unwrap();
        fs::rename(other.data("b"), scenario.home("b").join("data-1")).unwrap();
        scenario.expect_refusal(&["apply", "-auto-approve"], "Foreign data");
        fs::remove_dir_all(scenario.data("b")).unwrap();
        scenario.simdb(&["apply", "-auto-approve"]);
        scenario.assert_settled(any);
        scenario.destroy();
    }
}

#[test]
fn max_connections_go_up_and_down_and_replay_never_pauses() {
    for version in Version::all() {
        let with = |connections: u32| {
            TWO.replace(
                "{}",
                &format!("{{\n parameters = {{ max_connections = {connections} }}\n }}"),
            )
        };
        let mut scenario = Scenario::new(&version, &with(50));
        for connections in [80, 40] {
            scenario.apply(&with(connections));
            for node in scenario.nodes() {
                assert_eq!(scenario.ask(node, "SHOW max_connections"), connections.to_string());
            }
            assert_eq!(
                scenario.ask("b", "SELECT pg_get_wal_replay_pause_state()"),
                "not paused"
            );
            assert!(!scenario.log("b").contains("recovery has paused"));
            scenario.assert_settled(any);
        }
        scenario.destroy();
    }
}

/// Programs of the installed version, one of them replaced by a script that may call the real one, `$real`.
fn programs(directory: &Path, name: &str, script: &str) -> String {
    let real = Path::new("/usr/lib/postgresql");
    let real = fs::read_dir(real)
        .unwrap()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .max()
        .unwrap();
    for entry in fs::read_dir(&real).unwrap().flatten() {
        if entry.file_name() != *name {
            // Programs are looked for beside the real `postgres`, so that this one must not lead elsewhere.
            if entry.file_name() == *"postgres" {
                fs::copy(entry.path(), directory.join("postgres")).unwrap();
            } else {
                std::os::unix::fs::symlink(entry.path(), directory.join(entry.file_name())).unwrap();
            }
        }
    }
    let script = format!(
        "#!/bin/sh\nreal={}\nflag={}\n{script}\n",
        real.join(name).display(),
        directory.join("flag").display()
    );
    let path = directory.join(name);
    fs::write(&path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    directory.display().to_string()
}

/// Returns a scenario whose version has one program replaced; nothing goes wrong before the file `flag` is there.
fn with_program(body: &str, name: &str, script: &str) -> (Scenario, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let programs = programs(directory.path(), name, script);
    (Scenario::new(&Version::of(programs), body), directory)
}

#[test]
fn a_rewind_that_is_killed_midway_becomes_a_clone() {
    let script = "if rm \"$flag\" 2>/dev/null; then \"$real\" \"$@\"; rm \"$2/global/pg_control\"; kill -9 $$; fi; exec \"$real\" \"$@\"";
    let (scenario, directory) = with_program(THREE, "pg_rewind", script);
    let load = scenario.load();
    load.further(20);
    scenario.kill_all("a");
    fs::write(directory.path().join("flag"), "").unwrap();
    scenario.failover();
    load.further(20);
    assert!(!directory.path().join("flag").exists());
    scenario.assert_settled(any);
    load.expect_nothing_lost();
    scenario.simdb(&["verify", "orders"]);
    scenario.destroy();
}

#[test]
fn a_copy_that_is_killed_midway_is_made_again_and_leaves_nothing() {
    let script = "if rm \"$flag\" 2>/dev/null; then exec timeout -s KILL 1 \"$real\" \"$@\" --max-rate=1M; fi; exec \"$real\" \"$@\"";
    let (mut scenario, directory) = with_program("  node \"a\" {}\n", "pg_basebackup", script);
    scenario.declare(TWO);
    fs::write(directory.path().join("flag"), "").unwrap();
    scenario.expect_refusal(&["apply", "-auto-approve"], "pg_basebackup");
    scenario.apply(TWO);
    scenario.assert_settled(any);
    let left = fs::read_dir(scenario.home("b"))
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("partial"));
    assert_eq!(left.count(), 0);
    scenario.destroy();
}

#[test]
fn a_copy_that_is_damaged_is_never_started() {
    let script = "\"$real\" \"$@\" || exit; rm \"$flag\" 2>/dev/null || exit 0
        while [ \"$1\" != -D ]; do shift; done; printf damage | dd of=\"$2/base/1/1259\" bs=1 seek=100 conv=notrunc 2>/dev/null";
    let (mut scenario, directory) = with_program("  node \"a\" {}\n", "pg_basebackup", script);
    scenario.declare(TWO);
    fs::write(directory.path().join("flag"), "").unwrap();
    scenario.expect_refusal(&["apply", "-auto-approve"], "checksum mismatch");
    scenario.apply(TWO);
    scenario.assert_settled(any);
    scenario.destroy();
}

#[test]
fn a_primary_that_hangs_in_its_shutdown_goes_on_leading_and_nobody_is_promoted() {
    if !is_thorough() {
        println!("skipped: it waits for half a minute; `make test-faults` runs it");
        return;
    }
    for version in Version::all() {
        let scenario = Scenario::new(&version, THREE);
        let load = scenario.load();
        load.further(20);
        // A shutdown waits for its senders.
        scenario.signal("a", "walsender", Signal::SIGSTOP);
        let output = scenario.environment.run(&["switchover", "orders", "-auto-approve"]);
        println!("{}{}", output.stdout, output.stderr);
        load.further(20);
        assert_eq!(scenario.primary(), "a");
        assert_eq!(
            scenario.ask("a", "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)"),
            "00000001"
        );
        scenario.assert_settled(any);
        load.expect_nothing_lost();
        scenario.destroy();
    }
}
