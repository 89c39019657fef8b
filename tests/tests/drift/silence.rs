//! Silence means that nothing differs: a quiet system reports nothing, and one that does not answer is an error.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::wait_until;

use crate::world::World;

/// How often a quiet system is looked at.
const LOOKS: usize = 50;

#[test]
fn a_quiet_system_reports_nothing_whoever_else_looks() {
    let world = World::new();
    let seen = world.environment.project().join("watched.json");
    let mut watch = world
        .environment
        .command(&["status", "-watch", "-json", "-interval=100ms"]);
    let mut watch = watch
        .stdout(File::create(&seen).unwrap())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::scope(|scope| {
        let look = |arguments: &'static [&'static str], silence: &'static str| {
            let world = &world.environment;
            scope.spawn(move || {
                for look in 0..LOOKS {
                    let output = world.run(arguments);
                    let slow = output.text().contains("did not answer within");
                    assert!(
                        slow || (output.code == Some(0) && output.stdout.contains(silence)),
                        "look {look}: {}{}",
                        output.stdout,
                        output.stderr
                    );
                }
            })
        };
        look(&["drift"], "No drift.");
        look(&["plan", "-detailed-exitcode"], "No changes.");
    });
    kill(Pid::from_raw(watch.id().try_into().unwrap()), Signal::SIGINT).unwrap();
    watch.wait().unwrap();
    let watched = fs::read_to_string(seen).unwrap();
    assert!(watched.lines().count() > 0, "it watched");
    world.environment.destroy();
}

/// Asserts that nobody takes what cannot be asked for what does not differ.
fn assert_not_silent(world: &World, what: &str, node: &str) {
    for arguments in [&["drift"][..], &["plan", "-detailed-exitcode"]] {
        let output = world.environment.run(arguments);
        assert_eq!(output.code, Some(1), "{what}: {}{}", output.stdout, output.stderr);
        let said = output.text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            said.contains(&format!("Not compared: cluster.orders.node.{node}")),
            "{what}: {said}"
        );
        assert!(
            !said.contains("No drift.") && !said.contains("No changes."),
            "{what}: {said}"
        );
    }
    assert_eq!(world.environment.run(&["status"]).code, Some(5), "{what}");
}

/// A session of the superuser's on the primary that stays open.
struct Session {
    psql: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Session {
    fn open(world: &World) -> Self {
        let mut command = world.environment.command(&["psql", "orders.a", "--", "-X", "-At"]);
        let command = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut psql = command.spawn().unwrap();
        let lines = BufReader::new(psql.stdout.take().unwrap()).lines();
        Self { psql, lines }
    }

    /// Lets the server run statements, and waits until it has.
    fn run(&mut self, sql: &str) {
        let mut input = self.psql.stdin.as_ref().unwrap();
        writeln!(input, "{sql}\nSELECT 'done';").unwrap();
        while self.lines.next().unwrap().unwrap() != "done" {}
    }

    fn close(mut self) {
        drop(self.psql.stdin.take());
        self.psql.wait().unwrap();
    }
}

#[test]
fn what_cannot_be_asked_is_an_error_and_never_silence() {
    let world = World::new();
    let mut session = Session::open(&world);
    session.run("BEGIN; LOCK TABLE pg_authid IN ACCESS EXCLUSIVE MODE;");
    assert_not_silent(&world, "the catalog is locked", "a");
    session.close();
    assert_quiet(&world);
    for node in ["a", "r[1]"] {
        let server = world.server(node);
        kill(server, Signal::SIGSTOP).unwrap();
        assert_not_silent(&world, "the server is halted", node);
        kill(server, Signal::SIGCONT).unwrap();
        assert_quiet(&world);
    }
    let known = world.ask("a", "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'");
    let mut session = Session::open(&world);
    session.run("ALTER ROLE postgres PASSWORD 'by hand';");
    assert_not_silent(&world, "simdb's password is another one", "a");
    session.run(&format!("ALTER ROLE postgres PASSWORD '{known}';"));
    session.close();
    assert_quiet(&world);
    world.environment.destroy();
}

/// Waits until all that was disturbed answers again, and nothing differs.
fn assert_quiet(world: &World) {
    wait_until("nothing differs", || world.environment.run(&["drift"]).code == Some(0));
}
