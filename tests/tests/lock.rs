//! Several simdb on one state: exactly one works at a time, the others know whom they wait for, the dead are taken over.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rusqlite::Connection;
use simdb_state::journal::EventKind;
use simdb_state::secret::KeySource;
use simdb_state::store::Store;
use simdb_tests::{Output, TestEnvironment, skip, wait_until};

/// A server with a parameter that can be changed while it runs.
const CLUSTER: &str = r#"variable "memory" { default = "1MB" }

network "lan" {}

cluster "c" {
  network = network.lan
  engine "postgresql" {
    parameters = { work_mem = var.memory }
  }
  node "a" {}
}
"#;

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const DESTROY: [&str; 3] = ["destroy", "-auto-approve", "-allow=data-loss"];

/// Starts an apply that halts itself right before a step's effect, lock in hand, and waits until it has.
fn halted_before(environment: &TestEnvironment, step: &str, arguments: &[&str]) -> Child {
    let program = Path::new(env!("CARGO_BIN_EXE_simdb-failpoint"));
    let mut command = environment.command_of(program, arguments);
    command.env("SIMDB_FAILPOINT", format!("halt before {step}"));
    halt(command)
}

/// Lets a halted one go on, and returns what it says.
fn woken(holder: Child) -> Output {
    let process = Pid::from_raw(holder.id().try_into().unwrap());
    kill(process, Signal::SIGCONT).unwrap();
    Output::from(holder.wait_with_output().unwrap())
}

fn halt(mut command: Command) -> Child {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stat = PathBuf::from(format!("/proc/{}/stat", child.id()));
    wait_until("it halts", || fs::read_to_string(&stat).unwrap().contains(") T "));
    child
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Returns the id of a lock from the message about it.
fn id_of(refused: &Output) -> String {
    refused.expect_code(4);
    let text = refused.text();
    let (_, rest) = text.split_once("ID: ").unwrap();
    rest.split(' ').next().unwrap().to_owned()
}

/// Runs applies side by side, each with another value of the parameter.
fn side_by_side(environment: &TestEnvironment, values: std::ops::Range<u32>, set: impl Fn(u32, &mut Command)) {
    let start = |value: u32| {
        let variable = format!("-var=memory={value}MB");
        let mut command = environment.command(&["apply", "-auto-approve", "-lock-timeout=10m", &variable]);
        set(value, &mut command);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = values.map(start).collect();
    for child in children {
        Output::from(child.wait_with_output().unwrap()).expect_code(0);
    }
}

/// Asserts that the last runs were done one after the other.
async fn assert_one_after_the_other(environment: &TestEnvironment, runs: usize) {
    let keys = KeySource {
        directory: environment.home().join(".config/simdb/keys"),
        passphrase: None,
    };
    let path = environment.project().join(".simdb/state.db");
    let store = Store::open(&path, &keys).await.unwrap().unwrap();
    let events = store.events().await.unwrap();
    let groups: Vec<_> = events.chunk_by(|one, next| one.run == next.run).collect();
    let last = &groups[groups.len() - runs..];
    for run in last {
        let (first, last) = (run.first().unwrap(), run.last().unwrap());
        assert_eq!((first.kind, last.kind), (EventKind::RunBegan, EventKind::RunDone));
    }
    let numbers: BTreeSet<_> = last.iter().map(|run| &run[0].run).collect();
    assert_eq!(numbers.len(), runs);
}

#[tokio::test]
async fn of_two_and_of_eight_applies_at_once_exactly_one_works_at_a_time() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    // Nobody has made the state yet: they race for that, too.
    side_by_side(&environment, 1..3, |_, _| {});
    side_by_side(&environment, 3..11, |_, _| {});
    assert_one_after_the_other(&environment, 10).await;
    environment.run(&["status"]).expect_code(0);
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

#[test]
fn a_lock_is_broken_by_its_id_alone_and_who_held_it_records_nothing_more() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    let holder = halted_before(&environment, "verify-sync cluster.c", &APPLY);
    let refused = environment.run(&APPLY);
    let id = id_of(&refused);
    let text = refused.text();
    for said in [
        "is locked by",
        "for apply",
        "Operation: apply",
        "Since:",
        &format!("(process {})", holder.id()),
    ] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
    let waited = environment.run(&["apply", "-auto-approve", "-lock-timeout=1100ms"]);
    waited.expect_code(4);
    assert!(waited.text().contains("Waiting for the lock"), "{}", waited.text());

    environment
        .run(&["force-unlock", "-force", "0123456789abcdef"])
        .expect_code(4);
    id_of(&environment.run(&APPLY));
    environment.run(&["force-unlock", "-force", &id]).expect_code(0);
    environment.run(&["force-unlock", "-force", &id]).expect_code(1);
    environment.run(&APPLY).expect_code(0);
    let recorded = environment.run(&["show", "-json"]).stdout;

    let late = woken(holder);
    late.expect_code(1);
    assert!(late.text().contains("lock of state"), "{}", late.text());
    assert!(late.text().contains("was lost"), "{}", late.text());
    assert_eq!(environment.run(&["show", "-json"]).stdout, recorded);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

#[test]
fn who_lost_the_lock_while_it_slept_begins_no_step_once_it_wakes_up() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    environment.run(&APPLY).expect_code(0);
    let unlock = || {
        let id = id_of(&environment.run(&APPLY));
        environment.run(&["force-unlock", "-force", &id]).expect_code(0);
    };
    let wakes = |sleeper: Child| {
        let late = woken(sleeper);
        late.expect_code(1);
        for said in ["lock of state", "was lost", "No step was begun since"] {
            assert!(late.text().contains(said), "{said} is not in {}", late.text());
        }
    };
    let plan = ["plan", "-detailed-exitcode", "-var=memory=3MB"];
    let set = ["apply", "-auto-approve", "-var=memory=3MB"];
    // What is told a server, what is written for clients, an instance directory that is not there, files of one that is.
    let cases = [
        ("user \"late\" {}", "user cluster.c.user.late"),
        (
            "endpoint \"rw\" { target = \"primary\" }",
            "endpoint cluster.c.endpoint.rw",
        ),
        ("node \"b\" {}", "basebackup cluster.c.node.b"),
        ("", "configure cluster.c.node.a"),
    ];
    for (declared, step) in cases {
        let node = "node \"a\" {}\n";
        environment.write(
            "main.simdb.hcl",
            &CLUSTER.replace(node, &format!("{node}  {declared}\n")),
        );
        let sleeper = halted_before(&environment, step, &["apply", "-auto-approve", "-var=memory=2MB"]);
        environment.write("main.simdb.hcl", CLUSTER);
        unlock();
        environment.run(&set).expect_code(0);
        wakes(sleeper);
        let after = environment.run(&plan);
        assert_eq!(after.code, Some(0), "{step}: {}", after.text());
    }
    let late = [
        "psql",
        "c",
        "--",
        "-X",
        "-At",
        "-c",
        "SELECT count(*) FROM pg_roles WHERE rolname = 'late'",
    ];
    assert_eq!(environment.run(&late).stdout.trim(), "0");
    // An instance directory that is gone meanwhile is not made again.
    let sleeper = halted_before(&environment, "configure cluster.c.node.a", &APPLY);
    unlock();
    environment.run(&DESTROY).expect_code(0);
    wakes(sleeper);
    environment.assert_nothing_left();
}

/// Returns the file of the state, with nothing left in a log beside it.
fn whole_state(environment: &TestEnvironment) -> PathBuf {
    let path = environment.project().join(".simdb/state.db");
    let rows = Connection::open(&path).unwrap();
    rows.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    rows.close().unwrap();
    path
}

#[test]
fn a_state_that_is_older_than_what_runs_changes_nothing_until_it_is_told_to() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    environment.run(&APPLY).expect_code(0);
    let backup = environment.home().join("backup.db");
    fs::copy(whole_state(&environment), &backup).unwrap();
    for memory in ["-var=memory=2MB", "-var=memory=4MB"] {
        environment.run(&["apply", "-auto-approve", memory]).expect_code(0);
    }
    fs::copy(&backup, whole_state(&environment)).unwrap();
    let set = ["apply", "-auto-approve", "-var=memory=3MB"];
    let refused = environment.run(&set);
    refused.expect_code(1);
    let text = refused.text();
    let notes = environment.data().join("*/*/token.json");
    for said in [
        "under lock 3 of the state",
        "lock 2 is held here",
        &format!("run: rm {}", notes.display()),
    ] {
        assert!(text.contains(said), "{said} is not in {text}");
    }
    let remove = Command::new("sh")
        .arg("-c")
        .arg(format!("rm {}", notes.display()))
        .status();
    assert!(remove.unwrap().success());
    environment.run(&set).expect_code(0);
    environment
        .run(&["plan", "-detailed-exitcode", "-var=memory=3MB"])
        .expect_code(0);
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}

/// Puts a program's clock off, as a machine's is that nobody set.
const SKEW: &str = r#"
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t id, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, id, now);
    const char *seconds = getenv("CLOCK_SKEW");
    if (!failed && id == CLOCK_REALTIME && seconds) now->tv_sec += atol(seconds);
    return failed;
}
"#;

/// Compiles what puts clocks off; none where there is no C compiler.
fn skew(environment: &TestEnvironment) -> Option<PathBuf> {
    let (source, library) = (environment.home().join("skew.c"), environment.home().join("skew.so"));
    fs::write(&source, SKEW).unwrap();
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status();
    compiled.is_ok_and(|status| status.success()).then_some(library)
}

fn date(offset: &str) -> String {
    let output = Command::new("date")
        .args(["-u", "-d", offset, "+%Y-%m-%dT%H:%M:%SZ"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[tokio::test]
async fn clocks_that_are_ten_minutes_off_take_no_lock_from_the_living_and_keep_none_for_the_dead() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    let Some(library) = skew(&environment) else {
        skip("there is no C compiler (cc) to make a clock with that is off");
        return;
    };
    let off = |seconds: i32, mut command: Command| {
        command
            .env("LD_PRELOAD", &library)
            .env("CLOCK_SKEW", seconds.to_string());
        command
    };
    for (holder, contender) in [(600, -600), (-600, 600)] {
        let program = Path::new(env!("CARGO_BIN_EXE_simdb-failpoint"));
        let mut command = off(holder, environment.command_of(program, &APPLY));
        command.env("SIMDB_FAILPOINT", "halt before verify-sync cluster.c");
        let held = halt(command);
        let refused = Output::of(&mut off(contender, environment.command(&APPLY)));
        id_of(&refused);
        let text = refused.text();
        let since = text.split_once("Since: ").unwrap().1.split(' ').next().unwrap();
        if holder > 0 {
            assert!(
                since > date("+9 minutes").as_str(),
                "{since}: the holder's clock was not off"
            );
        } else {
            assert!(
                since < date("-9 minutes").as_str(),
                "{since}: the holder's clock was not off"
            );
        }
        end(held);
        Output::of(&mut off(contender, environment.command(&APPLY))).expect_code(0);
        environment.run(&DESTROY).expect_code(0);
    }
    environment.run(&APPLY).expect_code(0);
    side_by_side(&environment, 2..6, |value, command| {
        let seconds = if value % 2 == 0 { "600" } else { "-600" };
        command.env("LD_PRELOAD", &library).env("CLOCK_SKEW", seconds);
    });
    assert_one_after_the_other(&environment, 4).await;
    environment.run(&DESTROY).expect_code(0);
    environment.assert_nothing_left();
}
