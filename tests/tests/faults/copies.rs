//! Data that cannot be streamed on is copied or rewound again, and a copy that failed is never taken for a good one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use simdb_tests::{Scenario, THREE, TWO, Version, any, disturb, disturb_under_load, wait_until};
use tempfile::TempDir;

use crate::APPLY;

#[test]
fn a_standby_whose_slot_is_lost_is_cloned_anew() {
    // Room for what a clone needs, which streams through the same slot.
    let body = TWO.replace("{}", "{\n parameters = { max_slot_wal_keep_size = \"32MB\" }\n }");
    disturb(&Version::all(), &body, any(1), |scenario| {
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
        let output = scenario.simdb(&APPLY);
        assert!(output.text().contains("basebackup"), "{output:?}");
    });
}

#[test]
fn data_of_another_cluster_is_refused() {
    for version in Version::all() {
        let other = Scenario::new(&version, TWO);
        other.kill_all("b");
        disturb(&[version], TWO, any(1), |scenario| {
            scenario.kill_all("b");
            fs::remove_dir_all(scenario.data("b")).unwrap();
            fs::rename(other.data("b"), scenario.directory("b").join("data-1")).unwrap();
            scenario.expect_refusal(&APPLY, "Foreign data");
            fs::remove_dir_all(scenario.data("b")).unwrap();
            scenario.simdb(&APPLY);
        });
    }
}

/// The installed version with one of its programs replaced. Nothing goes wrong before it is told to.
struct Saboteur {
    directory: TempDir,
    version: Version,
}

impl Saboteur {
    /// Replaces a program by a script, in which `$real` is the program, and `$flag` a file that is there once something
    /// is to go wrong.
    fn replace(name: &str, script: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let real = installed_programs();
        for entry in fs::read_dir(&real).unwrap().flatten() {
            let path = directory.path().join(entry.file_name());
            // Programs are looked for beside the real `postgres`, so that this one must not lead elsewhere.
            if entry.file_name() == *"postgres" {
                fs::copy(entry.path(), path).unwrap();
            } else if entry.file_name() != *name {
                std::os::unix::fs::symlink(entry.path(), path).unwrap();
            }
        }
        let saboteur = Self {
            version: Version::of(directory.path().display().to_string()),
            directory,
        };
        let (real, flag) = (real.join(name), saboteur.flag());
        let script = format!(
            "#!/bin/sh\nreal={}\nflag={}\n{script}\n",
            real.display(),
            flag.display()
        );
        let path = saboteur.directory.path().join(name);
        fs::write(&path, script).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        saboteur
    }

    fn flag(&self) -> PathBuf {
        self.directory.path().join("flag")
    }

    /// Lets the next call go wrong.
    fn strike(&self) {
        fs::write(self.flag(), "").unwrap();
    }

    #[track_caller]
    fn assert_struck(&self) {
        assert!(!self.flag().exists());
    }
}

fn installed_programs() -> PathBuf {
    let versions = fs::read_dir(Path::new("/usr/lib/postgresql")).unwrap().flatten();
    versions.map(|entry| entry.path().join("bin")).max().unwrap()
}

#[test]
fn a_rewind_that_is_killed_midway_becomes_a_clone() {
    let saboteur = Saboteur::replace(
        "pg_rewind",
        "if rm \"$flag\" 2>/dev/null; then \"$real\" \"$@\"; rm \"$2/global/pg_control\"; kill -9 $$; fi; exec \"$real\" \"$@\"",
    );
    let versions = [saboteur.version.clone()];
    disturb_under_load(&versions, THREE, any(1), |scenario, load| {
        scenario.kill_all("a");
        saboteur.strike();
        scenario.failover();
        load.further(20);
        saboteur.assert_struck();
    });
}

/// Adds a standby whose first copy is spoiled by a script in place of `pg_basebackup`: it fails, and the next one is good.
fn assert_copied_again(script: &str, failure: &str) {
    let saboteur = Saboteur::replace("pg_basebackup", script);
    let versions = [saboteur.version.clone()];
    disturb(&versions, "  node \"a\" {}\n", any(1), |scenario| {
        scenario.declare(TWO);
        saboteur.strike();
        scenario.expect_refusal(&APPLY, failure);
        saboteur.assert_struck();
        scenario.apply(TWO);
        scenario.assert_no_partial_copy("b");
    });
}

#[test]
fn a_copy_that_is_killed_midway_is_made_again_and_leaves_nothing() {
    assert_copied_again(
        "if rm \"$flag\" 2>/dev/null; then exec timeout -s KILL 1 \"$real\" \"$@\" --max-rate=1M; fi; exec \"$real\" \"$@\"",
        "pg_basebackup",
    );
}

#[test]
fn a_copy_that_is_damaged_is_never_started() {
    assert_copied_again(
        "\"$real\" \"$@\" || exit; rm \"$flag\" 2>/dev/null || exit 0
        while [ \"$1\" != -D ]; do shift; done; printf damage | dd of=\"$2/base/1/1259\" bs=1 seek=100 conv=notrunc 2>/dev/null",
        "checksum mismatch",
    );
}
