//! A person reads a plan at a terminal: no lock is held meanwhile, and what was read is what runs.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::pty::openpty;
use simdb_tests::{TestEnvironment, wait_until};

const ONE: &str = r#"
network "lan" {}
cluster "orders" {
  network = network.lan
  engine "postgresql" {}
  node "a" {}
}
"#;

const APPLY: [&str; 2] = ["apply", "-auto-approve"];
const QUESTION: &str = "Enter a value: ";

/// A command that asks at a terminal.
struct Asking {
    child: Child,
    terminal: File,
    said: Arc<Mutex<String>>,
    /// Hears until the command has ended.
    ear: JoinHandle<()>,
}

impl Asking {
    /// Starts a command, and waits until it has asked.
    fn start(environment: &TestEnvironment, arguments: &[&str]) -> Self {
        let terminal = openpty(None, None).expect("a terminal can be made");
        let mut command = environment.command(arguments);
        command
            .stdin(Stdio::from(terminal.slave))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("simdb can be started");
        let mut stderr = child.stderr.take().expect("standard error is a pipe");
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let ear = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stderr.read(&mut buffer) {
                heard
                    .lock()
                    .expect("no reader panics")
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        let asking = Self {
            child,
            terminal: terminal.master.into(),
            said,
            ear,
        };
        asking.wait_for(1);
        asking
    }

    /// Waits until it has asked so many times.
    fn wait_for(&self, times: usize) {
        wait_until("it asks", || self.said().matches(QUESTION).count() == times);
    }

    fn said(&self) -> String {
        self.said.lock().expect("no reader panics").clone()
    }

    fn answer(&mut self, text: &str) {
        writeln!(self.terminal, "{text}").expect("the terminal takes an answer");
    }

    fn expect_code(mut self, code: i32) -> String {
        let status = self.child.wait().expect("simdb can be waited for");
        self.ear.join().expect("no reader panics");
        let said = self.said.lock().expect("no reader panics").clone();
        assert_eq!(status.code(), Some(code), "{said}");
        said
    }
}

#[test]
fn a_plan_that_is_read_holds_no_lock_and_is_shown_anew_once_it_is_another_one() {
    let environment = TestEnvironment::with_configuration(ONE);
    let mut asking = Asking::start(&environment, &["apply"]);
    environment.run(&APPLY).expect_code(0);
    asking.answer("yes");
    let said = asking.expect_code(0);
    assert!(said.contains("The plan became another one while it was read"), "{said}");
    assert!(said.contains("No changes"), "{said}");
}

#[test]
fn what_was_approved_runs_and_what_was_declined_leaves_nothing() {
    let environment = TestEnvironment::with_configuration(ONE);
    let mut declining = Asking::start(&environment, &["apply"]);
    declining.answer("no");
    let said = declining.expect_code(1);
    assert!(said.contains("Apply cancelled."), "{said}");
    assert_eq!(environment.run(&["state", "list"]).stdout, "");
    let mut asking = Asking::start(&environment, &["apply"]);
    asking.answer("yes");
    let said = asking.expect_code(0);
    assert_eq!(said.matches(QUESTION).count(), 1, "{said}");
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
}

#[test]
fn a_plan_that_became_another_one_is_approved_anew() {
    let environment = TestEnvironment::with_configuration(ONE);
    let grown = ONE.replace("{}\n}", "{}\n  node \"r\" {}\n}");
    environment.write("main.simdb.hcl", &grown);
    environment.run(&APPLY).expect_code(0);
    environment.write("main.simdb.hcl", ONE);
    let mut removal = Asking::start(&environment, &["apply"]);
    // Another person keeps the node, and stops it.
    environment.write("main.simdb.hcl", &grown);
    environment.run(&["stop", "orders.r", "-auto-approve"]).expect_code(0);
    removal.answer("yes");
    removal.wait_for(2);
    removal.answer("no");
    let said = removal.expect_code(1);
    assert!(said.contains("The plan became another one"), "{said}");
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
}
