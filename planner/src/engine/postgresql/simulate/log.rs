//! What data holds: the writes in their order, and the timelines they were written on.
//!
//! A write is a number. It is acknowledged when as many listed standbys have it as the rule of its server asks for,
//! and from then on it must be on whoever leads.

use std::collections::BTreeSet;

use simdb_state::address::NodeAddress;
use simdb_state::lsn::Lsn;
use simdb_state::name::ClusterName;
use simdb_state::sync::{SyncMethod, SyncRule};

use crate::engine::postgresql::replay::ReplayLimits;
use crate::plan::Step;
use crate::simulate::{InstanceDirectory, World};

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
    /// What it asks of a standby that replays it.
    pub limits: ReplayLimits,
}

impl Log {
    pub(crate) fn timeline(&self) -> u32 {
        1 + u32::try_from(self.switches.len()).expect("few elections are held")
    }

    pub(crate) fn position(&self) -> Lsn {
        Self::end_of(self.writes.len())
    }

    /// Returns where the log of so many writes ends.
    pub(crate) fn end_of(writes: usize) -> Lsn {
        Lsn(FIRST + LENGTH * u64::try_from(writes).expect("few writes are made"))
    }

    /// Returns whether a server with this data can go on with what another one sends. Servers compare timelines and
    /// positions, and nothing else: what stands at the positions they take for granted.
    pub(crate) fn leads_to(&self, other: &Log) -> bool {
        let common = self.writes.len();
        common <= other.writes.len()
            && other.switches.starts_with(&self.switches)
            && other.switches[self.switches.len()..]
                .iter()
                .all(|begin| *begin >= common)
    }
}

impl Log {
    /// Returns whether timelines and positions show that this log holds what another one does not.
    pub(crate) fn is_parted_from(&self, other: &Log) -> bool {
        if self.timeline() == other.timeline() {
            return false;
        }
        let same = self
            .switches
            .iter()
            .zip(&other.switches)
            .take_while(|(own, theirs)| own == theirs);
        let same = same.count();
        let ends = [self.switches.get(same), other.switches.get(same)];
        let parts = ends.into_iter().flatten().min();
        parts.is_some_and(|parts| self.writes.len() > *parts)
    }

    /// Goes on with the log of another server, from where this one ends.
    fn go_on(&mut self, other: &Log) {
        let sent = &other.writes[self.writes.len().min(other.writes.len())..];
        self.writes.extend_from_slice(sent);
        self.switches.clone_from(&other.switches);
        self.shut_down = other.shut_down;
        self.limits = other.limits;
    }
}

impl World {
    /// Returns the log of the data that a node's server works with.
    pub(crate) fn log(&self, node: &NodeAddress) -> Option<&Log> {
        let generation = self.directories.get(node)?.server.as_ref()?.generation;
        self.logs.get(&(node.clone(), generation))
    }

    pub(crate) fn log_mut(&mut self, node: &NodeAddress) -> Option<&mut Log> {
        let generation = self.directories.get(node)?.server.as_ref()?.generation;
        Some(self.logs.entry((node.clone(), generation)).or_default())
    }

    /// Returns who streams from a node, and so has a slot there.
    pub(crate) fn streams_from(&self, node: &NodeAddress) -> Vec<NodeAddress> {
        let answers = |directory: &InstanceDirectory| directory.server.as_ref().is_some_and(|server| !server.frozen);
        let Some(upstream) = self.directories.get(node).filter(|directory| answers(directory)) else {
            return Vec::new();
        };
        let streams = |other: &NodeAddress, directory: &InstanceDirectory| {
            let slot = other.node.identifier();
            let follows = directory.upstream().is_some_and(|at| upstream.is_at(node, &at));
            other.cluster == node.cluster
                && answers(directory)
                && follows
                && upstream.slots.contains(&slot)
                && !upstream.lost.contains(&slot)
                && !self.diverged(other, node)
                && !self.is_starved(other, node)
        };
        let others = self
            .directories
            .iter()
            .filter(|(other, directory)| streams(other, directory));
        others.map(|(other, _)| other.clone()).collect()
    }

    /// Returns whether a server has what another one lacks.
    pub(crate) fn diverged(&self, node: &NodeAddress, from: &NodeAddress) -> bool {
        match (self.log(node), self.log(from)) {
            (Some(theirs), Some(log)) => !theirs.leads_to(log),
            _ => false,
        }
    }

    /// Sends everything a node has to those who stream from it, and on.
    pub(crate) fn send(&mut self, node: &NodeAddress) {
        let mut sent = BTreeSet::from([node.clone()]);
        let mut due = vec![node.clone()];
        while let Some(node) = due.pop() {
            for other in self.streams_from(&node) {
                // Standbys may come to follow each other, and then have nothing to send.
                if sent.insert(other.clone()) {
                    self.receive(&node, &other);
                    due.push(other);
                }
            }
        }
        for node in &sent {
            self.confirm(node);
        }
    }

    /// # Panics
    /// Where a server goes on with a log that is not the one it replayed: nothing tells it, and what differs is lost.
    fn receive(&mut self, from: &NodeAddress, to: &NodeAddress) {
        let log = self.log(from).cloned().unwrap_or_default();
        if let Some(theirs) = self.log_mut(to) {
            theirs.go_on(&log);
            assert!(
                theirs.writes == log.writes,
                "{to} streams from {from}, and replayed another log than it wrote"
            );
        }
        self.find_lacking(to);
        self.copy_catalog(from, to);
    }

    /// A server that replays pauses where its log asks for more than it has, and shows what it paused at, whatever it
    /// receives after that. One whose replay somebody paused comes to that when it is resumed.
    pub(crate) fn find_lacking(&mut self, node: &NodeAddress) {
        let needed = self.log(node).map(|log| log.limits);
        let server = self.directory(node).server.as_mut();
        if let Some((needed, server)) = needed.zip(server.filter(|server| !server.paused)) {
            let lacks = needed.exceeds(&server.limits).then_some(needed);
            server.lacking = server.lacking.or(lacks);
        }
    }

    /// Gives every node the logins and databases that the one that writes has. What histories lose is writes: a role or a
    /// database that a failover lost or brought back is for a person to judge, and ends no history well.
    pub(crate) fn share_catalog(&mut self, step: &Step) {
        let of_cluster = |node: &NodeAddress| Some(&node.cluster) == step.address.cluster();
        let nodes: Vec<NodeAddress> = self
            .directories
            .keys()
            .filter(|node| of_cluster(node))
            .cloned()
            .collect();
        let rightful = |directory: &InstanceDirectory| directory.writes() && !directory.by_hand;
        let Some(writer) = nodes.iter().find(|node| rightful(&self.directories[*node])) else {
            return;
        };
        for other in nodes.iter().filter(|node| *node != writer) {
            self.copy_catalog(writer, other);
        }
    }

    /// Gives a node the logins and databases that another one has: they are in the data.
    pub(crate) fn copy_catalog(&mut self, from: &NodeAddress, to: &NodeAddress) {
        let Some(theirs) = self.directories.get(from) else {
            return;
        };
        let (users, passwords) = (theirs.users.clone(), theirs.passwords.clone());
        let (databases, ran) = (theirs.databases.clone(), theirs.ran.clone());
        if let Some(directory) = self.directories.get_mut(to) {
            directory.users = users;
            directory.passwords = passwords;
            directory.databases = databases;
            directory.ran = ran;
        }
    }

    /// Acknowledges the writes that wait on a server and that enough of those they wait for have.
    pub(crate) fn confirm(&mut self, node: &NodeAddress) {
        if self.directories.get(node).is_some_and(|directory| directory.by_hand) {
            return;
        }
        let writes = self.confirmed(node);
        let Some(server) = self
            .directories
            .get_mut(node)
            .and_then(|directory| directory.server.as_mut())
        else {
            return;
        };
        let told: Vec<u64> = writes
            .into_iter()
            .filter(|write| server.waiting.remove(write))
            .collect();
        let told = told.into_iter().map(|write| (node.cluster.clone(), write));
        self.acknowledged.extend(told);
    }

    /// Returns the writes of a server that need wait no longer: `FIRST` asks the first of those that stream, `ANY` asks
    /// whoever is furthest.
    fn confirmed(&self, node: &NodeAddress) -> Vec<u64> {
        let Some(log) = self.log(node) else { return Vec::new() };
        let SyncRule {
            method,
            number: waited,
            standbys: listed,
        } = self.directories[node].sync_rule();
        let mut has: Vec<usize> = self
            .streams_from(node)
            .iter()
            .filter(|other| listed.contains(&other.node.identifier()))
            .filter_map(|other| Some(self.log(other)?.writes.len()))
            .collect();
        if method == SyncMethod::Any {
            has.sort_unstable_by(|one, other| other.cmp(one));
        }
        let asked = &has[..has.len().min(waited as usize)];
        let common = match waited as usize {
            0 => log.writes.len(),
            waited if asked.len() < waited => 0,
            _ => asked.iter().copied().min().unwrap_or_default(),
        };
        log.writes[..common].to_vec()
    }

    /// Writes on every server of a cluster that takes writes; only these nodes receive it now. It is acknowledged once
    /// enough of those that commits wait for have it.
    pub fn write(&mut self, cluster: &ClusterName, receivers: &BTreeSet<NodeAddress>) {
        let takes_writes = |directory: &InstanceDirectory| {
            let server = directory.server.as_ref();
            server.is_some_and(|server| !server.replays && !server.frozen)
        };
        let writers: Vec<NodeAddress> = self
            .directories
            .iter()
            .filter(|(node, directory)| node.cluster == *cluster && takes_writes(directory))
            .map(|(node, _)| node.clone())
            .collect();
        for writer in writers {
            self.made += 1;
            let write = self.made;
            let log = self.log_mut(&writer).expect("a server that writes has a log");
            log.writes.push(write);
            log.shut_down = false;
            if let Some(server) = self
                .directories
                .get_mut(&writer)
                .and_then(|directory| directory.server.as_mut())
            {
                server.waiting.insert(write);
            }
            for other in self.streams_from(&writer) {
                if receivers.contains(&other) {
                    self.receive(&writer, &other);
                }
            }
            self.confirm(&writer);
        }
    }
}
