//! What can happen to a cluster between two runs of simdb: each with the plan that it must give, and, after the apply,
//! an empty plan, every member in sync and every row still there.
//!
//! A case ends where it began, so the next one goes on from there; the tables are run side by side, each on a cluster of
//! its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::too_many_lines, reason = "tables are as long as what they list")]

mod access;
mod data;
mod line;
mod servers;
mod settings;
mod silence;
mod world;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use simdb_tests::{TestEnvironment, wait_until};
use world::{APPLY, ORDERS};

#[test]
fn a_port_that_is_taken_between_plan_and_apply_is_a_clean_failure_that_the_next_plan_solves() {
    let environment = TestEnvironment::with_configuration(ORDERS);
    let mut command = environment.command(&["apply", "-auto-approve", "-json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map_while(Result::ok);
    // The ports are chosen once a step has been started, and the last one is bound long after.
    lines.find(|line| line.contains("\"step_started\"")).unwrap();
    let port = environment.ports().start() + 2;
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let rest: Vec<String> = lines.collect();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{rest:?}");
    let failures = rest.iter().filter(|line| line.contains("Address already in use"));
    assert!(failures.count() > 0, "{rest:?}");
    environment.run(&APPLY).expect_code(0);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(0);
    wait_until("every node is healthy", || environment.run(&["status"]).code == Some(0));
    drop(listener);
    environment.destroy();
}
