//! Who holds a lock: a process, named so that no later process can be mistaken for it.

use std::fs;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::{Pid, User, geteuid};
use serde::{Deserialize, Serialize};

use crate::extent::Extent;
use crate::format::{now, random_hex};

/// Who holds the lock, and for what. Everything but `extent`, `place` and `lease_ms` is for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// Names this holding of the lock, for `force-unlock`.
    pub id: String,
    /// What it is held for: `apply`, `destroy`.
    pub operation: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Extent::is_everything")]
    pub extent: Extent,
    /// `user@host`.
    pub who: String,
    /// Since when, by the owner's wall clock. Never compared with anything.
    pub since: String,
    /// The version of simdb.
    pub version: String,
    /// Which process it is.
    pub place: Place,
    /// How long the heartbeat may stand still before the owner has lost the lock.
    pub lease_ms: u64,
}

/// One process, named so that no later process can be mistaken for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The host.
    pub host: Host,
    /// Its process id there.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot; absent where the kernel does not say.
    pub started: Option<u64>,
}

/// Where process ids mean something: a machine between two boots, and a namespace of processes on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The machine's name.
    pub name: String,
    /// `/etc/machine-id`; empty where there is none, as in most containers.
    pub machine: String,
    /// Changes with every boot.
    pub boot: String,
    /// The process namespace: a process of another container is not seen here, and yet alive.
    pub namespace: String,
}

impl Owner {
    /// Describes this process as the owner of a lock.
    pub fn this_process(operation: &str, lease: Duration) -> Self {
        let host = Host::here();
        let user = User::from_uid(geteuid()).ok().flatten();
        let user = user.map_or_else(|| geteuid().to_string(), |user| user.name);
        Self {
            id: random_hex(8),
            operation: operation.to_owned(),
            extent: Extent::Everything,
            who: format!("{user}@{}", host.name),
            since: now(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            place: Place {
                pid: std::process::id(),
                started: Process::look(std::process::id()).and_then(|process| process.started),
                host,
            },
            lease_ms: u64::try_from(lease.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Returns whether the owner is dead for certain. In doubt it is not.
    pub fn is_dead(&self) -> bool {
        self.place.is_gone(&Host::here())
    }
}

impl Place {
    pub(crate) fn is_gone(&self, here: &Host) -> bool {
        let same_machine = !here.machine.is_empty() && self.host.machine == here.machine && self.host.name == here.name;
        if self.host.boot != here.boot {
            // Without a machine id the name alone could be another container's: then only the counter counts.
            return same_machine && !self.host.boot.is_empty() && !here.boot.is_empty();
        }
        if here.boot.is_empty() || here.namespace.is_empty() || self.host.namespace != here.namespace {
            return false;
        }
        match Process::look(self.pid) {
            None | Some(Process { zombie: true, .. }) => true,
            Some(Process { started, .. }) => match (started, self.started) {
                (Some(found), Some(recorded)) => found != recorded,
                _ => false,
            },
        }
    }
}

impl Host {
    /// Describes where this process runs.
    pub fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).map_or_else(|_| String::new(), |text| text.trim().to_owned());
        let namespace = fs::read_link("/proc/self/ns/pid");
        Self {
            name: read("/proc/sys/kernel/hostname"),
            machine: read("/etc/machine-id"),
            boot: read("/proc/sys/kernel/random/boot_id"),
            namespace: namespace.map_or_else(|_| String::new(), |link| link.to_string_lossy().into_owned()),
        }
    }
}

/// What the kernel says about a process.
pub(crate) struct Process {
    /// Absent where `/proc` hides it.
    pub(crate) started: Option<u64>,
    /// It has ended, and its parent has not noticed yet.
    pub(crate) zombie: bool,
}

impl Process {
    pub(crate) fn look(pid: u32) -> Option<Self> {
        // Asked first, because `/proc` may hide the processes of other users (`hidepid`).
        let id = Pid::from_raw(i32::try_from(pid).ok()?);
        if id.as_raw() <= 0 || kill(id, None) == Err(Errno::ESRCH) {
            return None;
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name in parentheses may hold anything, so fields are counted from its end: state is 3rd, start 22nd.
        let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
        let zombie = matches!(fields.next(), Some("Z" | "X"));
        let started = fields.nth(18).and_then(|ticks| ticks.parse().ok());
        Some(Self { started, zombie })
    }
}
