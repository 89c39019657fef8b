//! One disturbance, and the command that must mend it.

use std::fmt;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use simdb_tests::{Chance, Declared, Output, Scenario, wait_until};

use crate::figures::Figures;

const APPLY: &[&str] = &["apply", "-auto-approve"];
/// What an apply says that could not compare everything.
const INCOMPLETE: &str = "Run it again once that answers";
/// What an apply says whose role change could not come to its end, so that the former primary leads again.
const TAKEN_BACK: &str = "was taken back: the former primary leads";
const FAILOVER: &[&str] = &["failover", "orders", "-auto-approve"];

/// What is done to the cluster on purpose.
#[derive(Clone, Debug)]
enum Work {
    /// Another declaration is applied.
    Apply(&'static str, Declared),
    /// The lead moves, to a node or to whichever is best suited.
    Switchover(Option<String>),
    /// The primary is killed for good, and another node is promoted.
    Failover,
    /// A standby's data is brought in line.
    Resync(String),
    /// A node's server is stopped, to be started by what mends the round.
    Stop(String),
    /// Nothing: only servers are killed.
    Nothing,
}

/// A server that is killed beside the work.
#[derive(Clone, Debug)]
struct Crash {
    node: String,
    /// Its first process only: the others live on for a while.
    first_only: bool,
    /// When, in hundredths of the time that the work takes.
    at: u64,
}

/// One disturbance.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    work: Work,
    /// When simdb is killed, in hundredths of the time that its work takes; never where absent.
    kill_at: Option<u64>,
    crash: Option<Crash>,
    /// Whether a primary that is lost is replaced, or started again.
    replace: bool,
}

impl Round {
    /// Chooses a disturbance of a cluster that is whole.
    pub(crate) fn choose(chance: &mut Chance, scenario: &Scenario, declared: &Declared) -> Round {
        let (primary, standbys) = (scenario.primary(), scenario.standbys());
        let work = match chance.below(10) {
            0..=4 => change(chance, declared),
            5 => Work::Switchover(chance.percent(50).then(|| chance.one_of(&standbys))),
            6 => Work::Failover,
            7 => Work::Resync(chance.one_of(&standbys)),
            8 => Work::Stop(chance.one_of(&standbys)),
            _ => Work::Nothing,
        };
        let crashes = match work {
            Work::Nothing => 100,
            // One node is lost already.
            Work::Failover => 0,
            _ => 25,
        };
        let victim = if chance.percent(50) {
            primary
        } else {
            chance.one_of(&standbys)
        };
        let crash = Crash {
            node: victim,
            first_only: chance.percent(50),
            at: chance.below(110),
        };
        Round {
            work,
            kill_at: chance.percent(75).then(|| chance.below(110)),
            crash: chance.percent(crashes).then_some(crash),
            replace: chance.percent(50),
        }
    }

    /// Disturbs the cluster, and asserts that it is brought back.
    #[expect(clippy::print_stdout, reason = "a long run shows how it goes")]
    pub(crate) fn run(&self, scenario: &mut Scenario, declared: &mut Declared, figures: &mut Figures) {
        let primary = scenario.primary();
        if let Work::Apply(_, wanted) = &self.work {
            scenario.declare_all(wanted);
            declared.clone_from(wanted);
        }
        if let Work::Failover = self.work {
            scenario.kill_all(&primary);
            figures.server_killed();
        }
        let ended = self.disturb(scenario, figures);
        let lost = self.crash.as_ref().is_some_and(|crash| crash.node == primary);
        if let (Some(output), None) = (&ended, &self.crash) {
            output.expect_code(0);
        }
        let began = Instant::now();
        if lost && self.replace {
            let output = scenario.environment.run(FAILOVER);
            figures.asked("failover of a lost primary", &output);
        }
        // A server that was just starting could not be compared, or the standby that was elected lacks the last record of a
        // primary that was cut off from it: the apply says so, and the next one goes on from there.
        wait_until("an apply comes to its end", || {
            let output = scenario.environment.run(APPLY);
            let said = output.text();
            let again = output.code == Some(1) && (said.contains(INCOMPLETE) || said.contains(TAKEN_BACK));
            assert!(again || output.code == Some(0), "{output:?}");
            figures.repeated(again);
            !again
        });
        if let Work::Stop(node) = &self.work {
            scenario.simdb(&["start", &format!("orders.{node}"), "-auto-approve"]);
        }
        scenario.look();
        scenario.assert_healthy();
        figures.recovered(began.elapsed());
        let ended = ended.map_or("killed".to_owned(), |output| {
            format!("exit code {}", output.code.unwrap_or(-1))
        });
        println!("  {ended}, whole again after {:.1?}", began.elapsed());
    }

    /// Runs the work until it ends or is killed, and kills a server beside it. Returns what simdb said where it ended.
    fn disturb(&self, scenario: &Scenario, figures: &mut Figures) -> Option<Output> {
        let Some((name, arguments)) = self.command() else {
            self.strike(scenario, figures);
            return None;
        };
        let expected = figures.expected(name);
        let moment =
            |hundredths: u64| expected.mul_f64(f64::from(u32::try_from(hundredths).unwrap_or(u32::MAX)) / 100.0);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = scenario.environment.command(&arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().expect("simdb can be started");
        let kill_at = self.kill_at.map(moment);
        let mut crash_at = self.crash.as_ref().map(|crash| moment(crash.at));
        let killed = loop {
            if child.try_wait().expect("it is our child").is_some() {
                break false;
            }
            if crash_at.is_some_and(|at| began.elapsed() >= at) {
                crash_at = None;
                self.strike(scenario, figures);
            }
            if kill_at.is_some_and(|at| began.elapsed() >= at) {
                child.kill().expect("it is our child");
                break true;
            }
            thread::sleep(Duration::from_millis(1));
        };
        let took = began.elapsed();
        if crash_at.is_some() {
            self.strike(scenario, figures);
        }
        let output = Output::from(child.wait_with_output().expect("it is our child"));
        if killed {
            figures.cut_off(name);
            return None;
        }
        figures.done(name, took);
        Some(output)
    }

    fn command(&self) -> Option<(&'static str, Vec<String>)> {
        let (name, words) = match &self.work {
            Work::Apply(what, _) => (*what, vec!["apply"]),
            Work::Switchover(None) => ("switchover", vec!["switchover", "orders"]),
            Work::Switchover(Some(node)) => ("switchover", vec!["switchover", "orders", "-to", node]),
            Work::Failover => ("failover", vec!["failover", "orders"]),
            Work::Resync(node) => ("resync", vec!["resync", "orders", node]),
            Work::Stop(node) => ("stop", vec!["stop", node]),
            Work::Nothing => return None,
        };
        let words = words.into_iter().chain(["-auto-approve"]);
        Some((name, words.map(str::to_owned).collect()))
    }

    fn strike(&self, scenario: &Scenario, figures: &mut Figures) {
        if let Some(crash) = &self.crash
            && scenario.crash(&crash.node, crash.first_only)
        {
            figures.server_killed();
        }
    }
}

/// Chooses another declaration.
fn change(chance: &mut Chance, declared: &Declared) -> Work {
    let mut wanted = declared.clone();
    let what = match chance.below(7) {
        0 => {
            wanted.work_mem += 1;
            "reload"
        }
        1 => {
            wanted.max_connections = 60 + 10 * chance.below(6);
            "restart"
        }
        2 | 3 => {
            wanted.standbys = 1 + chance.below(3);
            "scale"
        }
        4 => {
            wanted.user_password += 1;
            "rotate"
        }
        5 => {
            wanted.stream_password += 1;
            "rotate streams"
        }
        _ => {
            wanted.subnet = !wanted.subnet;
            "move"
        }
    };
    Work::Apply(what, wanted)
}

impl fmt::Display for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Work::Apply(what, declared) => write!(formatter, "{what} ({declared:?})")?,
            other => write!(formatter, "{other:?}")?,
        }
        if let Some(at) = self.kill_at {
            write!(formatter, ", simdb killed at {at}")?;
        }
        if let Some(Crash { node, first_only, at }) = &self.crash {
            let what = if *first_only { "postmaster" } else { "server" };
            let then = if self.replace { "replaced" } else { "started again" };
            write!(formatter, ", {what} of {node} killed at {at}, to be {then}")?;
        }
        Ok(())
    }
}
