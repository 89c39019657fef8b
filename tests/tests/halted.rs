//! simdb that is halted in the middle of stopping or fencing a server, and goes on when another one has the lock: what
//! it was about to do is not done any more, and both say what happened.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::process::Child;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::{Output, Run, TWO, TestEnvironment, Version, any, disturb, is_thorough, run_to};

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

/// Where in the life of an effect it may be halted: whenever it asks whether it may go on.
const PLACES: usize = 40;

/// Takes the lock away from one that is halted, lets another one work, and lets the first go on. The other one does its
/// work, or says who is in its way.
fn overtake(environment: &TestEnvironment, halted: Child, arguments: &[&str]) {
    let pid = halted.id();
    let refused = environment.run(&APPLY);
    refused.expect_code(4);
    let text = refused.text();
    let id = text.split_once("ID: ").unwrap().1.split(' ').next().unwrap();
    environment.run(&["force-unlock", "-force", id]).expect_code(0);
    let other = environment.run(arguments);
    if other.code != Some(0) {
        let said = format!("process {pid}, which is halted (let it go on: kill -CONT {pid},");
        assert!(other.text().contains(&said), "{said} is not in {}", other.text());
    }
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGCONT).unwrap();
    let late = Output::from(halted.wait_with_output().unwrap());
    late.expect_code(1);
    for said in ["lock of state", "was lost"] {
        assert!(late.text().contains(said), "{said} is not in {}", late.text());
    }
}

fn postmaster(environment: &TestEnvironment) -> String {
    let path = environment.data().join("c/a/data-1/postmaster.pid");
    fs::read_to_string(path).unwrap().lines().next().unwrap().to_owned()
}

#[test]
fn a_stop_that_was_overtaken_stops_nothing() {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    environment.run(&APPLY).expect_code(0);
    for place in 1..PLACES {
        let before = postmaster(&environment);
        let set = format!("-var=memory={}MB", place + 1);
        let apply = ["apply", "-auto-approve", &set];
        match run_to(
            &environment,
            place,
            "stop cluster.c.node.a",
            &["stop", "c", "-auto-approve"],
        ) {
            Run::Halted(child) => overtake(&environment, child, &apply),
            Run::Ended(output) => {
                output.expect_code(0);
                assert!(place > 3, "it asks right before the signal");
                break;
            }
        }
        // A server that had been told already is down, and the next one starts it.
        let told = place > SIGNALLED;
        environment.run(&apply).expect_code(0);
        assert_eq!(
            postmaster(&environment) == before,
            !told,
            "asked for the {place}th time"
        );
        let plan = ["plan", "-detailed-exitcode", &set];
        environment.run(&plan).expect_code(0);
    }
    environment.destroy();
}

/// How often a stop asks before the server is told.
const SIGNALLED: usize = 4;

/// Hands over to the standby, each time halted at another place of a step, and asserts that the cluster is settled after
/// that.
fn overtake_switchovers(places: &[usize], step: impl Fn(&str, &str) -> String) {
    let all: Vec<usize> = (1..PLACES).collect();
    let places = if is_thorough() { &all[..] } else { places };
    disturb(&Version::all(), TWO, any(1), |scenario| {
        for place in places {
            let (primary, standby) = (scenario.primary(), scenario.standbys().remove(0));
            let step = step(&primary, &standby);
            let arguments = ["switchover", "orders", "-to", &standby, "-auto-approve"];
            match run_to(&scenario.environment, *place, &step, &arguments) {
                Run::Halted(child) => overtake(&scenario.environment, child, &APPLY),
                Run::Ended(output) => {
                    output.expect_code(0);
                    break;
                }
            }
            scenario.simdb(&APPLY);
            scenario.assert_settled(any(1));
        }
    });
}

#[test]
fn a_fence_that_was_overtaken_ends_no_server_of_the_next_one() {
    overtake_switchovers(&[2, 4, 6, 9], |primary, _| {
        format!("fence cluster.orders.node.{primary}")
    });
}

#[test]
fn a_promotion_that_was_overtaken_lets_no_second_node_write() {
    overtake_switchovers(&[2, 7, 10, 13], |_, standby| {
        format!("promote cluster.orders.node.{standby}")
    });
}
