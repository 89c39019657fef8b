//! What data holds: the writes in their order, and the timelines they were written on.
//!
//! A write is a number. It is acknowledged when as many listed standbys have it as `synchronous_standby_names` asks for,
//! and from then on it must be on whoever leads.

use std::collections::BTreeSet;

use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::name::ClusterName;

use super::World;

/// Where the log of new data begins, and how long a write is: positions look like those of a server.
const FIRST: u64 = 0x0300_0000;
const LENGTH: u64 = 0x100;

/// The writes that some data holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    /// The writes.
    pub writes: Vec<u64>,
    /// Where each timeline after the first begins, as a number of writes.
    pub switches: Vec<usize>,
    /// Whether its server was shut down in order after the last write.
    pub shut_down: bool,
}

impl Log {
    pub(super) fn timeline(&self) -> u32 {
        1 + u32::try_from(self.switches.len()).expect("few elections are held")
    }

    pub(super) fn position(&self) -> Lsn {
        Lsn(FIRST + LENGTH * u64::try_from(self.writes.len()).expect("few writes are made"))
    }

    /// Returns whether a server with this data can go on with what another one sends.
    pub(super) fn leads_to(&self, other: &Log) -> bool {
        let common = self.writes.len();
        other.writes.starts_with(&self.writes)
            && other.switches.starts_with(&self.switches)
            && other.switches[self.switches.len()..]
                .iter()
                .all(|begin| *begin >= common)
    }
}

impl World {
    /// Returns the log of the data that a node's server works with.
    pub(super) fn log(&self, node: &NodeAddress) -> Option<&Log> {
        let generation = self.homes.get(node)?.server.as_ref()?.generation;
        self.logs.get(&(node.clone(), generation))
    }

    pub(super) fn log_mut(&mut self, node: &NodeAddress) -> Option<&mut Log> {
        let generation = self.homes.get(node)?.server.as_ref()?.generation;
        Some(self.logs.entry((node.clone(), generation)).or_default())
    }

    /// Returns who streams from a node.
    pub(super) fn streams_from(&self, node: &NodeAddress) -> Vec<NodeAddress> {
        let name = node.node.to_string();
        let streams = |home: &super::Home| {
            let server = home.server.as_ref().filter(|server| !server.frozen);
            server.and_then(|server| server.upstream.as_ref()) == Some(&name)
        };
        let serves = self.homes.get(node).is_some_and(|home| home.server.is_some());
        let others = self
            .homes
            .iter()
            .filter(|(other, home)| other.cluster == node.cluster && streams(home));
        others.filter(|_| serves).map(|(other, _)| other.clone()).collect()
    }

    /// Sends everything a node has to those who stream from it, and on.
    pub(super) fn send(&mut self, node: &NodeAddress) {
        let Some(log) = self.log(node).cloned() else { return };
        for other in self.streams_from(node) {
            if let Some(theirs) = self.log_mut(&other) {
                assert!(
                    theirs.leads_to(&log),
                    "{other} streams from {node}, and its log is another"
                );
                theirs.clone_from(&log);
            }
            self.copy_catalog(node, &other);
            self.send(&other);
        }
    }

    /// Gives a node the logins and databases that another one has: they are in the data.
    pub(super) fn copy_catalog(&mut self, from: &NodeAddress, to: &NodeAddress) {
        let Some(theirs) = self.homes.get(from) else { return };
        let (users, passwords) = (theirs.users.clone(), theirs.passwords.clone());
        let (databases, ran) = (theirs.databases.clone(), theirs.ran.clone());
        if let Some(home) = self.homes.get_mut(to) {
            home.users = users;
            home.passwords = passwords;
            home.databases = databases;
            home.ran = ran;
        }
    }

    /// Writes on every server of a cluster that takes writes; only these nodes receive it now. It is acknowledged where
    /// enough of those that commits wait for are among them.
    pub fn write(&mut self, cluster: &ClusterName, receivers: &BTreeSet<NodeAddress>) {
        let takes_writes = |home: &super::Home| {
            home.server
                .as_ref()
                .is_some_and(|server| server.upstream.is_none() && !server.frozen)
        };
        let writers: Vec<NodeAddress> = self
            .homes
            .iter()
            .filter(|(node, home)| node.cluster == *cluster && takes_writes(home))
            .map(|(node, _)| node.clone())
            .collect();
        for writer in writers {
            self.made += 1;
            let write = self.made;
            let log = self.log_mut(&writer).expect("a server that writes has a log");
            log.writes.push(write);
            log.shut_down = false;
            let log = log.clone();
            let names = self.homes[&writer].configured.get("synchronous_standby_names").cloned();
            let (waited, listed) = crate::engine::postgresql::sync::read(names.as_deref().unwrap_or_default());
            let mut confirmed = 0;
            for other in self.streams_from(&writer) {
                if receivers.contains(&other) {
                    self.log_mut(&other)
                        .expect("a server that streams has a log")
                        .clone_from(&log);
                    confirmed += u32::from(listed.contains(&other.node.identifier()));
                }
            }
            if confirmed >= waited {
                self.acknowledged.insert(write);
            }
        }
    }
}
