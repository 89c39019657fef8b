//! PostgreSQL's servers in the simulated world: what their logs hold, what their settings say, and what role changes make
//! of them.

mod log;
mod observe;
mod retained;
mod role;

pub use self::log::Log;

use simdb_state::place::HostPort;
use simdb_state::sync::SyncRule;

use super::Action;
use super::sync::STANDBY_NAMES;
use crate::plan::Server;
use crate::simulate::{InstanceDirectory, Running, World};

impl InstanceDirectory {
    /// Returns where its server streams from, if it does.
    pub(crate) fn upstream(&self) -> Option<HostPort> {
        self.server.as_ref().filter(|server| server.replays)?;
        let conninfo = self.configured.get("primary_conninfo")?;
        let part = |name| {
            conninfo
                .split(' ')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        Some(HostPort {
            host: part("host")?.parse().ok()?,
            port: part("port")?.parse().ok()?,
        })
    }

    /// Returns whom the commits on its server wait for.
    pub(crate) fn sync_rule(&self) -> SyncRule {
        let names = self.configured.get(STANDBY_NAMES);
        names.map(|names| names.as_str().into()).unwrap_or_default()
    }
}

impl World {
    /// Lets a step happen that only PostgreSQL has.
    pub(crate) fn postgresql(&mut self, action: &Action) -> Result<(), String> {
        match action {
            Action::Slot { slot, server, .. } => {
                let directory = self.serving(server)?;
                directory.lost.remove(&slot.name);
                directory.slots.insert(slot.name.clone());
            }
            Action::SyncNames {
                rule,
                server,
                instance,
                in_recovery,
                awaited,
                ..
            } => {
                self.answering(&server.node)?;
                self.only_wait_for_streams(&server.node, rule);
                self.ensure_running(server, instance)?;
                // It is done when those who count have what was written before.
                self.send(&server.node);
                if !in_recovery {
                    self.wait_for_standbys(&server.node, *awaited)?;
                }
            }
            Action::Open {
                instance,
                server,
                awaited,
            } => {
                self.serving(server)?;
                self.send(&server.node);
                self.wait_for_standbys(&server.node, *awaited)?;
                self.ensure_running(server, instance)?;
            }
            Action::Resume { server } => self.resume(server)?,
            Action::DropSlot { slot, server, .. } => drop(self.serving(server)?.slots.remove(&slot.name)),
        }
        Ok(())
    }

    /// Lets a server replay again whose replay somebody paused. It pauses by itself where it then comes to what asks for
    /// more than it has; one that has done so ends where it is told to go on.
    fn resume(&mut self, server: &Server) -> Result<(), String> {
        let node = &server.node;
        let faulted = self.faulted.contains(node);
        let running = self.serving(server)?.server.as_mut();
        let running = running.expect("an instance directory that serves has a server");
        if running.lacking.is_some() {
            assert!(faulted, "{node} ends where its replay is resumed");
            return Err(format!("{node} ends where its replay is resumed"));
        }
        running.paused = false;
        self.find_lacking(node);
        let lacks = |server: &Running| server.lacking.is_some();
        if self.directory(node).server.as_ref().is_some_and(lacks) {
            // No plan could know what it had yet to replay.
            self.faulted.insert(node.clone());
        }
        Ok(())
    }
}

/// Returns whether a file is the one that lets a server only replay.
pub(crate) fn is_seal(file: &str) -> bool {
    file.ends_with("/standby.signal")
}

pub(crate) fn generation_of(directory: Option<&str>) -> u32 {
    let number = directory
        .and_then(|directory| directory.strip_prefix("data-"))
        .and_then(|number| number.parse().ok());
    number.expect("data directories are called data-N")
}
