//! The processes of a scenario's servers, and signals to them.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Scenario;
use crate::environment::wait_until;
use crate::leftovers::processes_below;

impl Scenario {
    /// Returns the first process of a node's server.
    pub fn postmaster(&self, node: &str) -> Pid {
        let path = self.data(node).join("postmaster.pid");
        let text = fs::read_to_string(path).expect("the server runs");
        let pid = text.lines().next().and_then(|line| line.trim().parse().ok());
        Pid::from_raw(pid.expect("the first line is the process"))
    }

    /// Kills the first process of a node's server, and no other.
    pub fn kill(&self, node: &str) {
        kill(self.postmaster(node), Signal::SIGKILL).expect("the server runs");
    }

    /// Kills a node's server and waits until nothing of it is left.
    pub fn kill_all(&self, node: &str) {
        let directory = self.directory(node);
        self.kill(node);
        wait_until("the server is gone", || {
            for process in processes_below(&directory) {
                // It may have ended by itself since.
                let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
            }
            processes_below(&directory).is_empty()
        });
    }

    /// Kills what runs of a node, in the middle of anything: the first process of its server alone, or all there is.
    /// Returns whether there was something to kill.
    pub fn crash(&self, node: &str, first_only: bool) -> bool {
        let directory = self.directory(node);
        let files = fs::read_dir(&directory).into_iter().flatten().flatten();
        let texts = files.filter_map(|entry| fs::read_to_string(entry.path().join("postmaster.pid")).ok());
        let first: Vec<i32> = texts
            .filter_map(|text| text.lines().next()?.trim().parse().ok())
            .collect();
        // A file that was left behind may name a process of somebody else by now.
        let (first, others): (Vec<i32>, Vec<i32>) = processes_below(&directory)
            .into_iter()
            .partition(|process| first.contains(process));
        let others = if first_only { Vec::new() } else { others };
        let killed: Vec<Pid> = first.into_iter().chain(others).map(Pid::from_raw).collect();
        for process in &killed {
            // It may have ended by itself since.
            let _ = kill(*process, Signal::SIGKILL);
        }
        !killed.is_empty()
    }

    /// Returns the processes of a node's server whose title contains a text.
    pub fn processes(&self, node: &str, title: &str) -> Vec<Pid> {
        let directory = self.directory(node);
        let named = |process: &i32| {
            let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(title)
        };
        processes_below(&directory)
            .into_iter()
            .filter(named)
            .map(Pid::from_raw)
            .collect()
    }

    /// Sends a signal to the processes of a node's server whose title contains a text; there must be one.
    #[track_caller]
    pub fn signal(&self, node: &str, title: &str, signal: Signal) -> Vec<Pid> {
        let processes = self.processes(node, title);
        assert!(!processes.is_empty(), "{node} has no process {title:?}");
        for process in &processes {
            kill(*process, signal).expect("the process is there");
        }
        processes
    }
}
