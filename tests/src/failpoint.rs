//! simdb that is killed or halted at one step of a plan (`simdb-failpoint`), and what a run's JSON lines say of its steps.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use nix::libc::SIGKILL;
use serde_json::Value;

use crate::environment::{Output, TestEnvironment, program, wait_until};

/// When, in the life of a step's effect, simdb is killed.
#[derive(Clone, Copy, Debug)]
pub enum Moment {
    /// The start is journalled, and nothing was done.
    Before,
    /// The effect is under way.
    Within,
    /// The effect is there, and not recorded.
    After,
}

/// A step of a plan.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is done.
    pub name: String,
    /// What it is done to.
    pub address: String,
    /// How long it took, where it was run.
    pub seconds: f64,
}

impl Step {
    /// Returns the steps of a run's plan, or of a plan alone.
    pub fn all(lines: &[Value]) -> Vec<Step> {
        let seconds = |id: &Value| {
            let done = lines
                .iter()
                .find(|line| line["type"] == "step_done" && line["step"]["id"] == *id);
            done.and_then(|line| line["elapsed_seconds"].as_f64()).unwrap_or(0.0)
        };
        let text = |value: &Value| value.as_str().expect("it is text").to_owned();
        let steps = plan_of(lines)["steps"].as_array().expect("a plan has steps").iter();
        let step = |step: &Value| Step {
            name: text(&step["name"]),
            address: text(&step["address"]),
            seconds: seconds(&step["id"]),
        };
        steps.map(step).collect()
    }

    /// Spells a moment as the failpoint reads it. Those in the middle are spread, round by round, over the time that the
    /// effect takes.
    fn point(&self, moment: Moment, round: usize) -> String {
        match moment {
            Moment::Before => "before".to_owned(),
            Moment::After => "after".to_owned(),
            Moment::Within => {
                let tenths = u32::try_from(round * 7 % 9 + 1).expect("it is less than ten");
                format!("{:.0}", self.seconds * 100.0 * f64::from(tenths))
            }
        }
    }

    /// Runs simdb until it is killed at this step.
    #[track_caller]
    pub fn kill(&self, environment: &TestEnvironment, arguments: &[&str], moment: Moment, round: usize) {
        if let Err(output) = self.try_kill(environment, arguments, moment, round) {
            panic!("{self:?}: {:?} {}", output.code, output.text());
        }
    }

    /// Runs simdb, which is killed if it comes to this step; returns how it ended if it does not.
    pub fn try_kill(
        &self,
        environment: &TestEnvironment,
        arguments: &[&str],
        moment: Moment,
        round: usize,
    ) -> Result<(), Output> {
        let point = format!("kill {} {} {}", self.point(moment, round), self.name, self.address);
        let mut command = environment.command_of(&program("simdb-failpoint"), arguments);
        let output = command.env("SIMDB_FAILPOINT", point).output();
        let output = output.expect("simdb can be started");
        if output.status.signal() == Some(SIGKILL) {
            Ok(())
        } else {
            Err(output.into())
        }
    }

    /// Asserts that a run's plan says that this step was cut off.
    #[track_caller]
    pub fn assert_in_doubt(&self, lines: &[Value]) {
        let during = plan_of(lines)["interrupted"]["during"].to_string();
        let this = format!("{} of {}", self.name, self.address);
        assert!(during.contains(&this), "{this} is not among {during}");
    }
}

/// What became of a simdb that was to be halted.
#[derive(Debug)]
pub enum Run {
    /// It was halted there.
    Halted(Child),
    /// It ended before that.
    Ended(Output),
}

/// Runs simdb until a step asks for the so-manieth time whether it may go on.
#[track_caller]
pub fn run_to(environment: &TestEnvironment, place: usize, step: &str, arguments: &[&str]) -> Run {
    let mut command = environment.command_of(&program("simdb-failpoint"), arguments);
    command.env("SIMDB_FAILPOINT", format!("halt asks-{place} {step}"));
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("simdb can be started");
    let stat = PathBuf::from(format!("/proc/{}/stat", child.id()));
    let state = || fs::read_to_string(&stat).expect("its parent has not waited for it yet");
    wait_until("it halts or ends", || {
        state().contains(") T ") || state().contains(") Z ")
    });
    if state().contains(") T ") {
        Run::Halted(child)
    } else {
        Run::Ended(child.wait_with_output().expect("it can be waited for").into())
    }
}

/// Reads JSON lines.
#[track_caller]
pub fn json_lines(text: &str) -> Vec<Value> {
    let read = |line| serde_json::from_str(line).expect("every line is a document");
    text.lines().map(read).collect()
}

/// Returns the plan among the lines of a run.
#[track_caller]
pub fn plan_of(lines: &[Value]) -> &Value {
    let plan = lines.iter().find(|line| line["type"] == "plan");
    &plan.expect("there is a plan")["plan"]
}

/// Returns what went wrong in a run, and the steps of the plan in which it did.
pub fn errors_of(lines: &[Value]) -> String {
    let failed = lines.iter().filter(|line| line["@level"] == "error");
    let failed: Vec<String> = failed.map(Value::to_string).collect();
    let steps = lines.iter().find(|line| line["type"] == "plan");
    format!(
        "{} in {}",
        failed.join(" "),
        steps.map_or(&Value::Null, |line| &line["plan"]["steps"])
    )
}
