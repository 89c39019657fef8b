//! Those who look while others remove: all of them end, and nothing is left that keeps a later run from its work.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use simdb_tests::{Output, TestEnvironment, wait_until};

/// A primary and, unless it is told otherwise, one standby.
const CLUSTER: &str = r#"variable "standbys" { default = 1 }
variable "memory" { default = "1MB" }

network "lan" {}

cluster "c" {
  network = network.lan
  engine "postgresql" {
    parameters = { work_mem = var.memory }
  }
  node "a" {}
  node "r" { count = var.standbys }
  endpoint "rw" { target = "primary" }
}
"#;

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const SCALE_IN: [&str; 4] = ["apply", "-auto-approve", "-allow=data-loss", "-var=standbys=0"];
const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-allow=data-loss"];

/// What is asked in a loop, side by side.
const LOOKS: [&[&str]; 3] = [
    &["status"],
    &["plan", "-var=standbys=1"],
    &["logs", "cluster.c.node.r[0]"],
];

/// Says that it is over, also where a test has failed.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs something while others look.
fn while_others_look(environment: &TestEnvironment, work: impl FnOnce() -> Output) -> Output {
    let (over, looks) = (AtomicBool::new(false), AtomicUsize::new(0));
    let look = |arguments: &[&str]| {
        while !over.load(Ordering::SeqCst) {
            let output = environment.run(arguments);
            let said = output.code == Some(0) || !output.text().is_empty();
            assert!(
                said && output.code.is_some_and(|code| code <= 5),
                "{arguments:?}: {output:?}"
            );
            looks.fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        let over = Over(&over);
        for arguments in LOOKS {
            scope.spawn(move || look(arguments));
        }
        wait_until("they look", || looks.load(Ordering::SeqCst) > LOOKS.len());
        let done = work();
        drop(over);
        done
    })
}

#[test]
fn what_is_looked_at_can_be_removed_and_made_again() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    for _ in 0..2 {
        environment.run(&APPLY).expect_code(0);
        while_others_look(&environment, || environment.run(&SCALE_IN)).expect_code(0);
        while_others_look(&environment, || environment.run(&APPLY)).expect_code(0);
        environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
        while_others_look(&environment, || environment.run(&DESTROY)).expect_code(0);
        environment.assert_nothing_left();
    }
}

#[test]
fn looking_writes_nothing_where_a_server_lived() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    environment.run(&APPLY).expect_code(0);
    environment.run(&["stop", "c", "-auto-approve"]).expect_code(0);
    let before = tree(&environment.data());
    for arguments in [
        &["status"][..],
        &["plan"],
        &["verify", "c"],
        &["events"],
        &["logs", "cluster.c.node.a"],
    ] {
        environment.run(arguments);
        assert_eq!(tree(&environment.data()), before, "{arguments:?}");
    }
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

#[test]
fn what_an_older_version_left_of_an_instance_directory_is_removed() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    let directory = environment.data().join("c/a");
    let left = || {
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("task.lock"), "").unwrap();
        let task = r#"{"format":1,"task":"controldata","product":null,"owner":null}"#;
        fs::write(directory.join("task.json"), task).unwrap();
    };
    left();
    environment.run(&APPLY).expect_code(0);
    environment.run(&["stop", "c", "-auto-approve"]).expect_code(0);
    fs::remove_dir_all(&directory).unwrap();
    left();
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

/// What is in a directory: permissions, owners, and what files hold.
fn tree(directory: &Path) -> BTreeMap<PathBuf, (u32, u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let text = if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        found.insert(path.clone(), (meta.mode(), meta.uid(), text));
        if meta.is_dir() {
            found.extend(tree(&path));
        }
    }
    found
}

#[test]
fn what_links_lead_to_stays_as_it_is_and_the_link_is_named() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    environment.run(&APPLY).expect_code(0);
    environment.run(&["stop", "c", "-auto-approve"]).expect_code(0);
    let (directory, outside) = (environment.data().join("c/a"), environment.home().join("outside"));
    let copied = std::process::Command::new("cp")
        .arg("-r")
        .args([&directory, &outside])
        .status();
    assert!(copied.unwrap().success());
    let before = tree(&outside);
    let away = environment.home().join("away");
    for name in [
        "data-1",
        "postgresql.conf",
        "pg_hba.conf",
        "log",
        "server.json",
        "task.lock",
        "home.json",
        "",
    ] {
        // A path that ends in a slash names what the link leads to.
        let (place, target) = if name.is_empty() {
            (directory.clone(), outside.clone())
        } else {
            (directory.join(name), outside.join(name))
        };
        if fs::rename(&place, &away).is_err() {
            continue;
        }
        symlink(&target, &place).unwrap();
        for arguments in [
            &["status"][..],
            &["start", "c", "-auto-approve"],
            &["stop", "c", "-auto-approve"],
        ] {
            environment.run(arguments);
        }
        if name.is_empty() || name == "home.json" {
            let refused = environment.run(&DESTROY);
            refused.expect_code(1);
            assert!(
                refused.text().contains("is a symbolic link to"),
                "{name}: {}",
                refused.text()
            );
        }
        assert_eq!(tree(&outside), before, "{name}");
        if fs::symlink_metadata(&place).unwrap().is_symlink() {
            fs::remove_file(&place).unwrap();
        }
        if place.is_dir() {
            fs::remove_dir_all(&place).unwrap();
        }
        fs::rename(&away, &place).unwrap();
    }
    symlink(&outside, directory.join("data-1/pg_tblspc/16400")).unwrap();
    environment.run(&DESTROY).expect_code(0);
    assert_eq!(tree(&outside), before);
    fs::remove_dir_all(&outside).unwrap();
    environment.assert_nothing_left();
}
