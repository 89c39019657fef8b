//! Commands that only look, run in loops beside the commands that change a cluster, and what they may answer.
//!
//! A look may find a cluster in the middle of anything. It then says what it sees, or why it sees nothing; it does not
//! hang, fail without a reason, or disturb the work beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::environment::{Output, TestEnvironment, program};

/// How long a look may take. It waits for servers that do not answer, a few seconds each time.
const LOOK_LIMIT: Duration = Duration::from_mins(1);
/// How long a looker rests. Looks are to meet the work at every moment of it, and not to take all of a machine.
const REST: Duration = Duration::from_millis(50);

/// A command that looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// `simdb status`
    Status,
    /// `simdb plan -detailed-exitcode`
    Plan,
    /// `simdb verify`
    Verify,
    /// `simdb logs`
    Logs,
    /// `simdb events`
    Events,
}

/// Why a look may fail: what simdb says then.
const REASONS: [(Look, &[&str]); 5] = [
    (Look::Status, &[]),
    // A plan that looks at a server in the middle of a restart, or between the removal of a primary's data and its record.
    (Look::Plan, &["Not compared:", "its data directory is gone"]),
    (Look::Verify, &["No cluster is recorded", "has no primary recorded"]),
    (Look::Logs, &["There is no node", "has no log"]),
    (Look::Events, &[]),
];

impl Look {
    /// All of them.
    pub const ALL: [Look; 5] = [Look::Status, Look::Plan, Look::Verify, Look::Logs, Look::Events];

    fn arguments(self, round: usize) -> &'static [&'static str] {
        const LOGS: [&[&str]; 3] = [
            &["logs", "orders.a"],
            &["logs", "orders.r[0]"],
            &["logs", "orders.r[1]"],
        ];
        match self {
            Look::Status => &["status"],
            Look::Plan => &["plan", "-detailed-exitcode"],
            Look::Verify => &["verify", "-timeout=3s"],
            Look::Logs => LOGS[round % LOGS.len()],
            Look::Events => &["events"],
        }
    }

    /// Returns what is wrong with an answer; `None` where it is one that may be given.
    fn complaint(self, output: &Output) -> Option<String> {
        let said = output.text();
        let good: &[i32] = match self {
            Look::Status | Look::Verify => &[0, 5],
            Look::Plan => &[0, 2],
            Look::Logs | Look::Events => &[0],
        };
        let reasons = REASONS.iter().filter(|(look, _)| *look == self);
        let may_be = match output.code {
            Some(1) => reasons
                .flat_map(|(_, reasons)| *reasons)
                .any(|reason| said.contains(reason)),
            Some(code) => good.contains(&code),
            None => false,
        };
        let wrong = !may_be || said.contains("panicked");
        wrong.then(|| format!("{self:?} ended with {:?}: {said}", output.code))
    }
}

/// People who look at an environment again and again, each with one command. Dropping them ends them.
#[derive(Debug)]
pub struct Lookers {
    stop: Arc<AtomicBool>,
    lookers: Vec<JoinHandle<Looks>>,
}

/// What the looks at an environment answered.
#[derive(Debug, Default)]
pub struct Looks {
    /// How often each ended with which code.
    ended: BTreeMap<(Look, i32), usize>,
    /// How long the slowest of each took.
    slowest: BTreeMap<Look, Duration>,
    complaints: Vec<String>,
}

impl Lookers {
    /// Lets each of these commands run in a loop beside whatever follows.
    pub fn start(environment: &Arc<TestEnvironment>, looks: &[Look]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let start = |look: &Look| {
            let (environment, stop, look) = (Arc::clone(environment), Arc::clone(&stop), *look);
            thread::spawn(move || keep_looking(&environment, look, &stop))
        };
        Self {
            lookers: looks.iter().map(start).collect(),
            stop,
        }
    }

    /// Ends them and asserts that each look ended in time, with an answer or with a reason.
    #[track_caller]
    pub fn expect_answers(mut self) -> Looks {
        let looks = self.end();
        assert!(looks.complaints.is_empty(), "{}", looks.complaints.join("\n\n"));
        looks
    }

    fn end(&mut self) -> Looks {
        self.stop.store(true, Ordering::SeqCst);
        let mut all = Looks::default();
        for looker in self.lookers.drain(..) {
            all.add(looker.join().expect("a looker keeps what is wrong until it is asked"));
        }
        all
    }
}

impl Drop for Lookers {
    /// What they found is told only where nothing else is.
    fn drop(&mut self) {
        self.end();
    }
}

fn keep_looking(environment: &TestEnvironment, look: Look, stop: &AtomicBool) -> Looks {
    let mut looks = Looks::default();
    let limit = LOOK_LIMIT.as_secs().to_string();
    let simdb = program("simdb").display().to_string();
    let mut round = 0;
    while !stop.load(Ordering::SeqCst) {
        let mut arguments = vec!["--signal=KILL", &limit, &simdb];
        arguments.extend(look.arguments(round));
        let began = Instant::now();
        let output = Output::of(&mut environment.command_of(Path::new("timeout"), &arguments));
        looks.note(look, &output, began.elapsed());
        round += 1;
        thread::sleep(REST);
    }
    looks
}

impl Looks {
    /// Counts what others answered, too.
    pub fn add(&mut self, other: Looks) {
        let Looks {
            ended,
            slowest,
            complaints,
        } = other;
        for (end, count) in ended {
            *self.ended.entry(end).or_default() += count;
        }
        for (look, took) in slowest {
            let slowest = self.slowest.entry(look).or_default();
            *slowest = took.max(*slowest);
        }
        self.complaints.extend(complaints);
    }

    fn note(&mut self, look: Look, output: &Output, took: Duration) {
        *self.ended.entry((look, output.code.unwrap_or(-1))).or_default() += 1;
        let slowest = self.slowest.entry(look).or_default();
        *slowest = took.max(*slowest);
        self.complaints.extend(look.complaint(output));
    }
}

impl fmt::Display for Looks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (look, slowest)) in self.slowest.iter().enumerate() {
            let codes = self.ended.iter().filter(|((of, _), _)| of == look);
            let codes: Vec<String> = codes.map(|((_, code), count)| format!("{count} × {code}")).collect();
            let separator = if index == 0 { "" } else { "; " };
            write!(
                formatter,
                "{separator}{look:?} {} (slowest {slowest:.1?})",
                codes.join(", ")
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(code: Option<i32>, stderr: &str) -> Output {
        Output {
            stdout: String::new(),
            stderr: stderr.to_owned(),
            code,
        }
    }

    #[test]
    fn a_look_that_fails_without_a_reason_is_found() {
        assert_eq!(Look::Status.complaint(&output(Some(5), "")), None);
        assert_eq!(Look::Logs.complaint(&output(Some(1), "There is no node \"a\"")), None);
        for bad in [
            output(Some(1), "no such file"),
            output(Some(4), "locked"),
            output(Some(101), ""),
            output(None, ""),
        ] {
            assert!(Look::Status.complaint(&bad).is_some(), "{bad:?}");
        }
    }
}
