//! A monitor beside a scenario: started, listened to, and ended.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Scenario, Writing};
use crate::environment::wait_until;

/// Three nodes whose lead passes by itself.
pub const WATCHED: &str = r#"  replication { mode = "quorum" }
  failover {
    mode         = "automatic"
    cooldown     = "1s"
    max_per_hour = 60
  }
  node "a" {}
  node "b" {}
  node "c" {}
  endpoint "rw" { target = "primary" }
"#;

/// A `simdb monitor`; it is killed when it is dropped.
#[derive(Debug)]
pub struct Monitor {
    child: Child,
    log: PathBuf,
}

impl Scenario {
    /// Starts a monitor, and waits until it decides.
    #[track_caller]
    pub fn monitor(&self, name: &str) -> Monitor {
        let monitor = self.passive_monitor(name);
        monitor.wait_for("took-over", 1);
        monitor
    }

    /// Starts a monitor, whether or not it comes to decide.
    pub fn passive_monitor(&self, name: &str) -> Monitor {
        self.monitor_of(name, self.environment.command(&["monitor"]))
    }

    /// Starts a monitor by a command of its own.
    pub fn monitor_of(&self, name: &str, mut command: Command) -> Monitor {
        let log = self.environment.project().join(format!("{name}.log"));
        let to = File::create(&log).expect("the directory is ours");
        let errors = File::create(log.with_extension("runs")).expect("the directory is ours");
        let child = command.stdout(to).stderr(errors).stdin(Stdio::null()).spawn();
        Monitor {
            child: child.expect("the program can be started"),
            log,
        }
    }
}

impl Monitor {
    /// Returns the events that it told, a line each.
    pub fn events(&self) -> Vec<String> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Returns what its runs said.
    pub fn runs(&self) -> String {
        fs::read_to_string(self.log.with_extension("runs")).unwrap_or_default()
    }

    /// Returns how many events of a kind it told.
    pub fn count(&self, kind: &str) -> usize {
        let is_of_kind = |line: &&String| {
            line.split_once(": ")
                .is_some_and(|(head, _)| head.ends_with(&format!(" {kind}")))
        };
        self.events().iter().filter(is_of_kind).count()
    }

    /// Waits until it has told so many events of a kind.
    #[track_caller]
    pub fn wait_for(&self, kind: &str, count: usize) {
        wait_until(&format!("the monitor tells {kind}"), || self.count(kind) >= count);
    }

    /// Waits until it has let another node lead for the first time, clients write again, and all is mended.
    #[track_caller]
    pub fn wait_until_replaced(&self, load: &Writing<'_>) {
        self.wait_for("failed-over", 1);
        load.further(20);
        self.wait_for("done", 1);
    }

    /// Waits until it is halted.
    #[track_caller]
    pub fn wait_until_halted(&self) {
        let stat = format!("/proc/{}/stat", self.child.id());
        wait_until("the monitor is halted", || {
            fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "))
        });
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("process numbers are small");
        kill(Pid::from_raw(pid), signal).expect("it runs");
    }

    /// Asks it to end, and waits until it has. Returns whether it ended well.
    pub fn stop(mut self) -> bool {
        self.signal(Signal::SIGTERM);
        self.child.wait().expect("it was started").success()
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().expect("it was started");
        self.child.wait().expect("it was started");
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
