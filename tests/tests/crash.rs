//! simdb killed at every step, at three moments of each: the next apply ends where an undisturbed one does.
//!
//! The steps come from the plans themselves, so a new one is killed, too. Every round goes once around a cluster's life
//! and is cut off at one step of each of its plans.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::{Value, json};
use simdb_tests::{
    Moment, Step, TestEnvironment, errors_of, json_lines, plan_of, processes_below, started_with, wait_until,
};

/// A cluster that grows, shrinks and changes by its variables.
const CLUSTER: &str = r#"variable "standbys" {
  type    = number
  default = 1
}

variable "connections" {
  type    = number
  default = 40
}

network "lan" {}

cluster "orders" {
  network = network.lan
  engine "postgresql" {
    parameters = { max_connections = var.connections, shared_buffers = "16MB" }
  }
  node "a" {}
  node "r" { count = var.standbys }
  user "app" { login = true }
  database "app" { owner = "app" }
  seed "schema" {
    database = "app"
    file     = "schema.sql"
  }
  endpoint "rw" { target = "primary" }
  endpoint "ro" { target = "standby" }
}
"#;

/// Not to be run twice.
const SCHEMA: &str = "CREATE TABLE t AS SELECT 42 AS n;\n";

/// A cluster's life, one command after the other.
const LIFE: [&[&str]; 4] = [
    &["apply", "-auto-approve"],
    &["apply", "-auto-approve", "-var=standbys=2", "-var=connections=50"],
    &["apply", "-auto-approve", "-var=connections=50"],
    &["destroy", "-auto-approve", "-allow=data-loss"],
];

/// An undisturbed run, and what it left.
#[derive(Clone, Debug)]
struct Rehearsed {
    arguments: &'static [&'static str],
    steps: Vec<Step>,
    recorded: Value,
    slots: String,
    files: BTreeSet<String>,
}

#[test]
fn killed_before_an_effect_it_is_done_by_the_next_apply() {
    every_step(Moment::Before);
}

#[test]
fn killed_in_the_middle_of_an_effect_it_is_settled_by_the_next_apply() {
    every_step(Moment::Within);
}

#[test]
fn killed_before_an_effect_is_recorded_it_is_taken_over_by_the_next_apply() {
    every_step(Moment::After);
}

fn environment() -> TestEnvironment {
    let environment = TestEnvironment::with_configuration(CLUSTER);
    environment.write("schema.sql", SCHEMA);
    environment
}

fn every_step(moment: Moment) {
    let environment = environment();
    let life: Vec<Rehearsed> = LIFE.map(|arguments| rehearse(&environment, arguments)).into();
    let rounds = life.iter().map(|run| run.steps.len()).max().unwrap();
    let mut killed = 0;
    for round in 0..rounds {
        for (at, run) in life.iter().enumerate() {
            let further = life[at..].iter().any(|run| run.steps.len() > round);
            // Removal is the end of every round.
            if !further && at + 1 < life.len() {
                continue;
            }
            match run.steps.get(round) {
                Some(step) => {
                    step.kill(&environment, run.arguments, moment, round);
                    recover(&environment, run, step);
                    killed += 1;
                }
                None => environment.run(run.arguments).expect_code(0),
            }
        }
        environment.assert_nothing_left();
    }
    assert_eq!(killed, life.iter().map(|run| run.steps.len()).sum::<usize>());
}

fn rehearse(environment: &TestEnvironment, arguments: &'static [&'static str]) -> Rehearsed {
    let output = environment.run(&[arguments, &["-json"]].concat());
    Rehearsed {
        arguments,
        steps: Step::all(&json_lines(&output.stdout)),
        recorded: recorded(environment),
        slots: slots(environment),
        files: files(environment),
    }
}

/// Lets the next apply finish, and asserts that it says what was cut off and ends where an undisturbed one does.
fn recover(environment: &TestEnvironment, run: &Rehearsed, step: &Step) {
    let output = environment.run(&[run.arguments, &["-json"]].concat());
    let lines = json_lines(&output.stdout);
    assert_eq!(output.code, Some(0), "{step:?}: {}{}", errors_of(&lines), output.stderr);
    step.assert_in_doubt(&lines);
    let second = match run.arguments[0] {
        "destroy" => vec!["plan", "-destroy", "-detailed-exitcode", "-json"],
        _ => [&["plan", "-detailed-exitcode", "-json"], &run.arguments[2..]].concat(),
    };
    let second = environment.run(&second);
    let second_lines = json_lines(&second.stdout);
    let plan = plan_of(&second_lines);
    assert_eq!(second.code, Some(0), "{step:?}: {}", plan["steps"]);
    assert_eq!(plan["interrupted"], Value::Null, "{step:?}");
    assert_eq!(recorded(environment), run.recorded, "{step:?}");
    assert_eq!(slots(environment), run.slots, "{step:?}");
    assert_eq!(files(environment), run.files, "{step:?}");
    for directory in directories(environment) {
        assert_eq!(
            started_with(&directory.join("task.lock")),
            Vec::<i32>::new(),
            "{step:?}"
        );
    }
}

#[test]
fn a_step_in_doubt_that_left_nothing_to_do_is_shown_until_an_apply_has_looked_at_it() {
    let environment = environment();
    environment.run(LIFE[0]).expect_code(0);
    let directory = environment.data().join("orders/r-0");
    let pid = fs::read_to_string(directory.join("data-1/postmaster.pid")).unwrap();
    let pid = Pid::from_raw(pid.lines().next().unwrap().parse().unwrap());
    signal::kill(pid, Signal::SIGKILL).unwrap();
    wait_until("the standby is gone", || processes_below(&directory).is_empty());
    let start = Step {
        name: "start".to_owned(),
        address: "cluster.orders.node.r[0]".to_owned(),
        seconds: 0.0,
    };
    start.kill(&environment, LIFE[0], Moment::After, 0);
    let shown = "Interrupted: the last apply was cut off during start of cluster.orders.node.r[0].";
    for command in [&["plan"][..], LIFE[0]] {
        let output = environment.run(command);
        output.expect_code(0);
        let text = output.text();
        assert!(text.contains(shown) && text.contains("No changes."), "{text}");
    }
    let settled = environment.run(&["plan"]).stdout;
    assert!(!settled.contains("Interrupted"), "{settled}");
    environment.run(LIFE[3]).expect_code(0);
    environment.assert_nothing_left();
}

#[test]
fn a_task_that_outlives_simdb_is_ended_and_never_raced() {
    let environment = environment();
    let programs = slow_programs(&environment);
    for (task, next) in [("initdb", 0), ("pg_basebackup", 0), ("pg_basebackup", 3)] {
        fs::write(programs.join(format!("{task}.slow")), "").unwrap();
        let mut command = environment.command(LIFE[0]);
        let mut simdb = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let working = programs.join(format!("{task}.working"));
        wait_until("the task works", || working.exists());
        simdb.kill().unwrap();
        simdb.wait().unwrap();
        let orphans = || {
            directories(&environment)
                .iter()
                .flat_map(|directory| started_with(&directory.join("task.lock")))
                .count()
        };
        assert!(orphans() > 0, "{task} goes on alone");
        fs::remove_file(programs.join(format!("{task}.slow"))).unwrap();
        fs::remove_file(&working).unwrap();
        environment.run(LIFE[next]).expect_code(0);
        assert_eq!(orphans(), 0, "{task}");
        assert!(!programs.join("raced").exists(), "two of {task} ran at once");
        environment.run(LIFE[3]).expect_code(0);
        environment.assert_nothing_left();
    }
}

/// Makes simdb use programs that, while a file says so, do their work and then do not end.
fn slow_programs(environment: &TestEnvironment) -> PathBuf {
    environment.run(LIFE[0]).expect_code(0);
    let server = processes_below(&environment.data())[0];
    let real = fs::read_link(format!("/proc/{server}/exe")).unwrap();
    environment.run(LIFE[3]).expect_code(0);
    let programs = environment.project().join("programs");
    fs::create_dir(&programs).unwrap();
    fs::set_permissions(&programs, Permissions::from_mode(0o777)).unwrap();
    for program in fs::read_dir(real.parent().unwrap()).unwrap() {
        let program = program.unwrap();
        let name = program.file_name().into_string().unwrap();
        let path = programs.join(&name);
        // Also where it does nothing else: a link would lead back to the real directory.
        let script = format!(
            r#"#!/bin/sh
case {name} in initdb|pg_basebackup) ;; *) exec {real} "$@" ;; esac
cd {directory}
for other in $(cat {name}.pids 2>/dev/null); do
    [ -e /proc/$other/cwd ] && echo $other >> raced
done
echo $$ > {name}.pids
cd "$OLDPWD"
{real} "$@" || exit
[ -e {directory}/{name}.slow ] || exit 0
echo > {directory}/{name}.working
exec sleep 600
"#,
            real = program.path().display(),
            directory = programs.display(),
        );
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }
    let provider = environment.provider();
    let provider = provider.trim_end().trim_end_matches('}');
    let binaries = format!("{provider}\n  binaries = [\"{}\"]\n}}\n", programs.display());
    environment.write("provider.simdb.hcl", &binaries);
    programs
}

/// Returns what is recorded, without what is made up anew every time.
fn recorded(environment: &TestEnvironment) -> Value {
    let mut document: Value = serde_json::from_str(&environment.run(&["show", "-json"]).stdout).unwrap();
    document["serial"] = Value::Null;
    for object in document["objects"].as_array_mut().unwrap() {
        let values = &mut object["values"];
        for (part, name) in [
            ("data", "system_identifier"),
            ("data", "directory"),
            ("verified", "marker"),
        ] {
            if let Some(found) = values.get_mut(part).and_then(|part| part.get_mut(name)) {
                *found = json!("generated");
            }
        }
    }
    document
}

fn slots(environment: &TestEnvironment) -> String {
    if directories(environment).is_empty() {
        return String::new();
    }
    let query = "SELECT string_agg(slot_name, ' ' ORDER BY slot_name) FROM pg_replication_slots";
    let answer = environment.run(&["psql", "orders", "--", "-X", "-At", "-c", query]);
    answer.expect_code(0);
    answer.stdout
}

/// Returns the directories of nodes.
fn directories(environment: &TestEnvironment) -> Vec<PathBuf> {
    let directories = fs::read_dir(environment.data().join("orders")).into_iter().flatten();
    directories.map(|directory| directory.unwrap().path()).collect()
}

/// Returns what lies in the directories of nodes; data directories without their number, which grows.
fn files(environment: &TestEnvironment) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for directory in directories(environment) {
        for entry in fs::read_dir(&directory).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let name = name.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
            let new = names.insert(format!("{}/{name}", directory.display()));
            assert!(new, "{} has {name} more than once", directory.display());
        }
    }
    names
}
