//! What a run of random kills counts.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use simdb_tests::Output;

/// How many disturbances there were, and what they cost.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// How often each command ran, and how often it was killed before its end.
    commands: BTreeMap<&'static str, (usize, usize)>,
    /// How many servers were killed.
    servers: usize,
    /// Why commands refused that may.
    refusals: Vec<String>,
    /// How many applies had to run again, for a server that did not answer.
    repeated: Cell<usize>,
    /// How long each recovery took, from the command that mends to a cluster that is whole.
    recoveries: Vec<Duration>,
    /// How long each command took that ran to its end.
    took: BTreeMap<&'static str, Duration>,
}

impl Figures {
    /// Counts a command that ran to its end.
    pub(crate) fn done(&mut self, command: &'static str, took: Duration) {
        self.commands.entry(command).or_default().0 += 1;
        self.took.insert(command, took);
    }

    /// Counts a command that was killed.
    pub(crate) fn cut_off(&mut self, command: &'static str) {
        let (ran, killed) = self.commands.entry(command).or_default();
        *ran += 1;
        *killed += 1;
    }

    /// Counts a server that was killed.
    pub(crate) fn server_killed(&mut self) {
        self.servers += 1;
    }

    /// Notes what a command said that may refuse, with a reason.
    pub(crate) fn asked(&mut self, what: &'static str, output: &Output) {
        match output.code {
            Some(0) => {}
            Some(1) if !output.stderr.is_empty() => self.refusals.push(format!("{what}: {}", output.text())),
            _ => panic!("{what}: {output:?}"),
        }
    }

    /// Counts an apply that had to run again.
    pub(crate) fn repeated(&self, again: bool) {
        self.repeated.set(self.repeated.get() + usize::from(again));
    }

    /// Counts a recovery.
    pub(crate) fn recovered(&mut self, within: Duration) {
        self.recoveries.push(within);
    }

    /// Returns how long a command may be expected to take: as long as it took last.
    pub(crate) fn expected(&self, command: &'static str) -> Duration {
        self.took.get(command).copied().unwrap_or(Duration::from_secs(2))
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commands = self.commands.iter();
        let commands: Vec<String> = commands
            .map(|(name, (ran, killed))| format!("{name} {ran} ({killed} killed)"))
            .collect();
        let mut recoveries = self.recoveries.clone();
        recoveries.sort_unstable();
        let median = recoveries.get(recoveries.len() / 2).copied().unwrap_or_default();
        let longest = recoveries.last().copied().unwrap_or_default();
        write!(
            formatter,
            "{}; {} servers killed; {} applies repeated; {} recoveries, median {median:.1?}, longest {longest:.1?}",
            commands.join(", "),
            self.servers,
            self.repeated.get(),
            recoveries.len()
        )?;
        for refusal in &self.refusals {
            write!(formatter, "\n  refused: {refusal}")?;
        }
        Ok(())
    }
}
