//! Reads `/proc`: who runs, since when, and in which directory.
//!
//! A process may end between any two reads, so whatever cannot be read is as good as gone. A zombie is dead: where
//! nobody reaps, `kill(pid, 0)` calls it alive for ever. A process is known by number *and* start time, because numbers
//! are used again, within one boot, because start times are counted from it.

use std::fs::{self, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{major, minor};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// What the kernel writes behind a working directory that was removed.
pub(super) const DELETED: &str = " (deleted)";

/// One process, as it was a moment ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    /// The name of its program, 15 bytes at most.
    pub(super) name: String,
    pub(super) parent: u32,
    pub(super) stopped: bool,
    start: u64,
}

impl Process {
    /// Reads a process that is alive.
    pub(super) fn read(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may hold anything, parentheses too: `812 (a) b) S 1 …`.
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_ascii_whitespace().collect();
        let state = *fields.first()?;
        if matches!(state, "Z" | "X" | "x") {
            return None;
        }
        Some(Self {
            pid,
            name: name.to_owned(),
            parent: fields.get(1)?.parse().ok()?,
            stopped: matches!(state, "T" | "t"),
            start: fields.get(19)?.parse().ok()?,
        })
    }

    /// Returns its working directory, where we may know it.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/cwd", self.pid)).ok()
    }

    /// Returns what it was started with, after the program's name.
    pub(super) fn arguments(&self) -> Option<Vec<String>> {
        let text = fs::read(format!("/proc/{}/cmdline", self.pid)).ok()?;
        let text = String::from_utf8_lossy(text.strip_suffix(b"\0").unwrap_or(&text)).into_owned();
        Some(text.split('\0').skip(1).map(str::to_owned).collect())
    }

    /// Returns the processes that it started itself and that are alive; none where the kernel does not tell.
    pub(super) fn children(&self) -> Vec<Self> {
        let pid = self.pid;
        let numbers = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        let numbers = numbers
            .split_ascii_whitespace()
            .filter_map(|number| number.parse().ok());
        numbers.filter_map(Self::read).collect()
    }

    /// Whether it is still called as it was started. The processes that a server starts for its own needs take titles.
    pub(super) fn has_its_own_name(&self) -> bool {
        let text = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        // A script's first argument is its shell, and its second itself.
        let mut arguments = text.split(|byte| *byte == 0).take(2);
        arguments.any(|argument| argument.rsplit(|byte| *byte == b'/').next() == Some(self.name.as_bytes()))
    }

    /// Whether the superuser runs it.
    pub(super) fn is_of_root(&self) -> bool {
        fs::metadata(format!("/proc/{}", self.pid)).is_ok_and(|process| process.uid() == 0)
    }

    /// Whether its standard input is the given file.
    fn reads_from(&self, file: &Metadata) -> bool {
        fs::metadata(format!("/proc/{}/fd/0", self.pid))
            .is_ok_and(|input| (input.dev(), input.ino()) == (file.dev(), file.ino()))
    }

    /// Sorts processes by when they started.
    pub(super) fn age_order(&self) -> (u64, u32) {
        (self.start, self.pid)
    }

    /// Sends a signal, unless the process is gone. Its number may be another's by then, also from one call to the next:
    /// what is signalled is the process that was looked at, after it was opened.
    pub(super) fn signal(&self, signal: Signal) {
        let same = || Self::read(self.pid).is_some_and(|now| now.start == self.start);
        let raw = |number: u32| rustix::process::Pid::from_raw(i32::try_from(number).ok()?);
        let opened = raw(self.pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
        match (opened, rustix::process::Signal::from_named_raw(signal as i32)) {
            (Some(Ok(process)), Some(signal)) if same() => {
                // That it ended between the two calls is what most signals are for.
                let _ = pidfd_send_signal(process, signal);
            }
            // A kernel, or a sandbox, that opens no processes.
            (Some(Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM)), _) if same() => {
                let _ = kill(pid(self.pid), signal);
            }
            _ => {}
        }
    }
}

/// Opens a process, so that its end is told; nothing where it has ended already.
pub(super) fn opened(pid: u32) -> io::Result<Option<OwnedFd>> {
    let number = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    let Some(number) = number else { return Ok(None) };
    match pidfd_open(number, PidfdFlags::NONBLOCK) {
        Ok(process) => Ok(Some(process)),
        Err(rustix::io::Errno::SRCH) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Waits until an opened process ends.
pub(super) async fn ended(opened: io::Result<Option<OwnedFd>>) -> io::Result<()> {
    let Some(process) = opened? else { return Ok(()) };
    #[expect(
        deprecated,
        reason = "what replaces it is unsafe for descriptors that are borrowed; this one is owned"
    )]
    let watched = AsyncFd::with_interest(process, Interest::READABLE)?;
    // A process becomes readable when it ends.
    watched.readable().await.map(drop)
}

/// What tells a process from every other, on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    pid: u32,
    start_time: u64,
    boot_id: String,
}

impl Identity {
    /// Identifies a process that is alive.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Some(Self {
            pid,
            start_time: Process::read(pid)?.start,
            boot_id: boot_id(),
        })
    }

    /// Returns the process if it is still alive.
    pub(super) fn alive(&self) -> Option<Process> {
        let process = Process::read(self.pid)?;
        (process.start == self.start_time && boot_id() == self.boot_id).then_some(process)
    }
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Returns a number as the system calls take it. No process has a number above 2²².
pub(super) fn pid(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap_or(i32::MAX))
}

/// Checks that the machine shows its processes: who cannot see simdb itself sees no server, either.
pub(super) fn check_sight() -> Result<(), String> {
    match Process::read(std::process::id()) {
        Some(_) => Ok(()),
        None => Err("/proc does not show the processes of this machine".to_owned()),
    }
}

/// Returns all processes that are alive.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
    entries.flatten().filter_map(number).filter_map(Process::read).collect()
}

/// Returns those of the processes that the seed names, and whoever descends from them.
pub(super) fn families(all: &[Process], seed: impl Fn(&Process) -> bool) -> Vec<Process> {
    let mut found: Vec<Process> = all.iter().filter(|process| seed(process)).cloned().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|process| process.pid) {
        for child in all.iter().filter(|process| process.parent == parent) {
            if !found.contains(child) {
                found.push(child.clone());
            }
        }
        next += 1;
    }
    found
}

/// Returns those of some processes that none of the others started.
pub(super) fn first(all: &[Process]) -> Vec<Process> {
    let is_first = |process: &&Process| all.iter().all(|other| other.pid != process.parent);
    all.iter().filter(is_first).cloned().collect()
}

/// Returns the processes that were started with the given file as standard input, and whoever descends from them.
pub(super) fn started_with(file: &Metadata) -> Vec<Process> {
    families(&all(), |process| process.reads_from(file))
}

/// Returns the process that locked a file, where the kernel tells and it is alive.
pub(super) fn holder(file: &Metadata) -> Option<Process> {
    let key = format!("{:02x}:{:02x}:{}", major(file.dev()), minor(file.dev()), file.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // `1: FLOCK  ADVISORY  WRITE 812 fe:00:1234 0 EOF`; one that waits has an arrow after its number.
    let held = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, "FLOCK", _, _, pid, file, ..] = fields[..] else {
            return None;
        };
        (file == key).then(|| pid.parse().ok())?
    };
    locks.lines().find_map(held).and_then(Process::read)
}
