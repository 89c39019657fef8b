//! An apply that may not begin, or cannot go on.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use expect_test::expect;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simdb_tests::{Output, TestEnvironment};

use crate::{APPLY, ONE_NODE, complaint, refuses};

/// Asserts how the creation of [`ONE_NODE`] is announced, and returns what is said after that.
#[track_caller]
fn after_the_plan(told: &str) -> &str {
    let last = "Worst impact: none.\n";
    let end = told.find(last).expect("a plan ends with its impact") + last.len();
    let (plan, rest) = told.split_at(end);
    expect![[r#"
        Changes are indicated with the following symbols:
          + create

        simdb will make the following changes:

          # network.lan will be created
          + network "lan" {}

          # cluster.c will be created
          + cluster "c" {
              + engine      = "postgresql"
              + version     = […]
              + network     = "network.lan"
              + replication = "async"
              + max_lag     = "16MB"
              + primary     = "a"
              + term        = 1
              + verified    = (known after apply)
            }

          # cluster.c.node.a will be created
          + node "a" {
              + role              = "primary"
              + host              = "127.0.0.1"
              + port              = [PORT]
              + data              = { origin = "initialized" }
              + system_identifier = (known after apply)
              + power             = "running"
            }

          # cluster.c.user.replicator will be created
          + user "replicator" {
              + login            = true
              + replication      = true
              + password         = (generated at apply)
              + password_version = 1
            }

        Steps:

           #  Step              Address                    After  Impact
           1  network           network.lan                       none
              the configuration declares it
           2  primary           cluster.c.node.a           1      none
              cluster c is new, and a leads it
           3  replication-user  cluster.c.user.replicator  2      none
              standbys stream with it, and with it alone
           4  verify-sync       cluster.c                  3      none
              the primary must take writes before it is called ready

        Plan: 4 to add, 0 to change, 0 to destroy. Worst impact: none.
    "#]]
    .assert_eq(plan);
    rest
}

#[test]
fn an_apply_that_cannot_ask_does_nothing() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    let told = complaint(&environment, &environment.run(&["apply"]), 1);
    expect![[r#"
            ╷
            │ Error: No terminal to ask for approval
            │
            │ Standard input is no terminal or at its end, or -json or -input=false forbids to ask. To run this plan unattended, add -auto-approve.
            ╵
        "#]].assert_eq(after_the_plan(&told));
    environment.assert_nothing_left();
}

#[test]
fn approval_in_advance_does_not_cover_data_loss() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    environment.run(&APPLY).expect_code(0);
    refuses(
        &environment,
        &["destroy", "-auto-approve"],
        &expect![[r#"
            Changes are indicated with the following symbols:
              - destroy

            simdb will make the following changes:

              - network.lan will be destroyed
              - cluster.c will be destroyed
              - cluster.c.node.a will be destroyed
              - cluster.c.user.replicator will be destroyed

            Steps:

               #  Step          Address                    After  Impact
               1  drop-node     cluster.c.node.a                  data-loss
                  the plan destroys everything
               2  drop-user     cluster.c.user.replicator  1      none
                  it goes with its cluster
               3  drop-cluster  cluster.c                  2      none
                  the plan destroys everything
               4  drop-network  network.lan                3      none
                  the plan destroys everything

            Data that is lost for good:
              - cluster.c: all data, on nodes a

            Plan: 0 to add, 0 to change, 4 to destroy. Worst impact: data-loss.
            ╷
            │ Error: Impact above the limit
            │
            │ The worst impact allowed is downtime, and one step is above it:
            │    1  drop-node  cluster.c.node.a  data-loss
            │
            │ To allow it, add -allow=data-loss.
            ╵
        "#]],
    );
    environment.run(&["status"]).expect_code(0);
    environment.destroy();
}

#[test]
fn a_server_that_does_not_start_is_reported_with_its_log_and_the_next_apply_goes_on() {
    let broken = ONE_NODE.replace(
        "engine \"postgresql\" {}",
        "engine \"postgresql\" {\n    parameters = {\n      log_directory     = \"/proc/nowhere\"\n      log_filename      = \"log\"\n      logging_collector = \"on\"\n    }\n  }",
    );
    let environment = TestEnvironment::with_configuration(&broken);
    let told = complaint(&environment, &environment.run(&APPLY), 1);
    let power = "      + power             = \"running\"\n";
    let parameters = r#"      + parameters        = {
          + log_directory     = "/proc/nowhere"
          + log_filename      = "log"
          + logging_collector = "on"
        }
"#;
    let (before, after) = told
        .split_once(&(power.to_owned() + parameters))
        .expect("it is announced");
    expect![[r#"

            network.lan: network...
            network.lan: network done after [TIME]
            cluster.c.node.a: primary...
            cluster.c.node.a: primary failed

            Apply failed: 1 of 4 steps done, 1 failed, 2 not attempted.

            Done:
               1  network  network.lan

            Failed:
               2  primary  cluster.c.node.a
                  start cluster.c.node.a: its server ended; its log ends:
                      [STAMP] FATAL:  could not open log file "/proc/nowhere/log": No such file or directory
                      [STAMP] LOG:  database system is shut down

            Not attempted:
               3  replication-user  cluster.c.user.replicator
               4  verify-sync  cluster.c

            What is done is recorded. To go on once the cause is gone:
                simdb apply
        "#]]
    .assert_eq(after_the_plan(&[before, power, after].concat()));
    environment.write("main.simdb.hcl", ONE_NODE);
    environment.run(&APPLY).expect_code(0);
    environment.run(&["status"]).expect_code(0);
    environment.destroy();
}

#[test]
fn whoever_finds_the_state_locked_learns_by_whom() {
    let environment = TestEnvironment::with_configuration(ONE_NODE);
    let mut child = environment
        .command(&APPLY)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("simdb can be started");
    let process = Pid::from_raw(child.id().try_into().expect("numbers of processes are small"));
    let mut lines = BufReader::new(child.stderr.take().expect("standard error is a pipe")).lines();
    let working = lines.any(|line| line.is_ok_and(|line| line.ends_with("a: primary...")));
    assert!(working, "the apply ended before it made a primary");
    kill(process, Signal::SIGSTOP).expect("the child is ours");
    let output = environment.run(&APPLY);
    kill(process, Signal::SIGCONT).expect("the child is ours");
    // Read to the end: a pipe that nobody reads stops whoever writes.
    assert!(lines.all(|line| line.is_ok()));
    assert!(child.wait().expect("the child is ours").success());
    expect![[r#"
            ╷
            │ Error: State "[PROJECT]/.simdb/state.db" is locked by […] for apply of cluster c
            │
            │ Lock Info:
            │   ID:        [ID]
            │   Path:      [PROJECT]/.simdb/state.db
            │   Operation: apply
            │   About:     cluster c
            │   Who:       […] (process […])
            │   Version:   […]
            │   Since:     […]
            │
            │ Wait with -lock-timeout=[TIME]. A simdb that was killed is found out and its lock taken over. Only if you know that nothing works on it any more: simdb force-unlock [ID]
            ╵
        "#]]
    .assert_eq(&complaint(&environment, &output, 4));
    environment.destroy();
}

#[test]
fn the_detailed_exit_code_tells_changes_from_none() {
    let environment = TestEnvironment::with_configuration("");
    let output = Output {
        stdout: "No changes. Your clusters match the configuration.\n".to_owned(),
        stderr: String::new(),
        code: Some(0),
    };
    assert_eq!(environment.run(&["plan", "-detailed-exitcode"]), output);
    environment.write("main.simdb.hcl", ONE_NODE);
    environment.run(&["plan", "-detailed-exitcode"]).expect_code(2);
    environment.run(&["plan"]).expect_code(0);
}
