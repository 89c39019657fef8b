//! What must be so after every step.

use std::collections::BTreeSet;

use simdb_state::address::{Address, NodeAddress};
use simdb_state::delta::Edit;
use simdb_state::object::{Power, Role};
use simdb_state::place::HostPort;
use simdb_state::sync::SyncRule;
use simdb_state::writers::may_write_beside;

use super::{InstanceDirectory, World};
use crate::plan::{Action, Plan, Step};
use crate::platform::name_within;

impl InstanceDirectory {
    pub(crate) fn writes(&self) -> bool {
        self.server.as_ref().is_some_and(|server| !server.replays)
    }

    /// Returns whether a host and port lead to its server: where that listens or is published, or, where servers are found by name, to the
    /// node of that name.
    pub(crate) fn is_at(&self, node: &NodeAddress, at: &HostPort) -> bool {
        let Some(listen) = self.listen else { return false };
        if !listen.host.is_unspecified() {
            let places = [Some(listen), self.published];
            return places.into_iter().flatten().any(|place| HostPort::from(place) == *at);
        }
        let name = name_within(&node.cluster, &node.node.host());
        let host = at.host.to_string();
        at.port == listen.port && host.split('.').next() == Some(name.as_str())
    }
}

impl World {
    /// What holds at any time, whatever happens.
    pub(crate) fn sound(&self) {
        self.one_writer();
        self.nothing_is_lost();
    }

    /// What was acknowledged is on whoever writes.
    fn nothing_is_lost(&self) {
        for (address, _) in self
            .directories
            .iter()
            .filter(|(_, directory)| directory.writes() && !directory.by_hand)
        {
            let has: BTreeSet<u64> = self
                .log(address)
                .into_iter()
                .flat_map(|log| log.writes.clone())
                .collect();
            let lost = self
                .acknowledged
                .iter()
                .find(|(cluster, write)| *cluster == address.cluster && !has.contains(write));
            assert_eq!(lost, None, "{address} writes, and lacks what was acknowledged");
        }
    }

    /// Whoever led is fenced before anybody else is promoted: its server is down, and would only replay.
    pub(crate) fn others_are_fenced(&self, node: &NodeAddress) {
        let others = self
            .directories
            .iter()
            .filter(|(other, _)| !may_write_beside(node, other));
        for (other, directory) in others {
            let replays = directory.server.as_ref().is_some_and(|server| server.replays);
            let stopped = directory.by_hand && directory.server.is_none();
            let answered_for = matches!(
                self.state.nodes.get(other).and_then(|node| node.role.as_ref()),
                Some(Role::Fenced { witness, .. }) if !witness.is_proof()
            );
            let fenced = directory.sealed || replays || stopped || answered_for;
            assert!(
                !directory.led || fenced || self.faulted.contains(other),
                "{node} is promoted, and {other} is not fenced"
            );
        }
    }

    /// At no time do two servers write that must not write beside each other.
    fn one_writer(&self) {
        let rightful = |directory: &InstanceDirectory| directory.writes() && !directory.by_hand;
        let writers = self.directories.iter().filter(|(_, directory)| rightful(directory));
        let writers: Vec<&NodeAddress> = writers.map(|(address, _)| address).collect();
        for (at, address) in writers.iter().enumerate() {
            assert!(
                writers[..at].iter().all(|other| may_write_beside(address, other)),
                "{address} is a second writer of its cluster"
            );
        }
    }

    /// Commits never come to wait for a standby that is not there, unless something happened to it, or to the primary
    /// before it could be asked.
    pub(crate) fn only_wait_for_streams(&self, primary: &NodeAddress, rule: &SyncRule) {
        let streams = self.streaming(primary);
        for name in rule.standbys.difference(&self.listed(primary)) {
            let faulted = self.faulted.iter().any(|node| node.node.identifier() == *name);
            assert!(
                faulted || self.unasked.contains(primary) || streams.contains(name),
                "commits on {primary} wait for {name}, which does not stream from it"
            );
        }
    }

    /// Waits until so many of those that commits wait for are synchronous.
    pub(crate) fn wait_for_standbys(&self, primary: &NodeAddress, awaited: u32) -> Result<(), String> {
        let counted = self.listed(primary).intersection(&self.streaming(primary)).count();
        if counted < awaited as usize {
            return Err(format!("{counted} of those listed on {primary} are synchronous"));
        }
        Ok(())
    }

    fn streaming(&self, primary: &NodeAddress) -> BTreeSet<String> {
        let streams = self.streams_from(primary);
        streams.iter().map(|node| node.node.identifier()).collect()
    }

    /// Whether a server streams, perhaps through others, from another one.
    pub(crate) fn streams_through(&self, node: &NodeAddress, other: &NodeAddress) -> bool {
        let mut at = node.clone();
        for _ in &self.directories {
            if at == *other {
                return true;
            }
            let Some(upstream) = self.upstream_of(&at) else {
                return false;
            };
            at = upstream;
        }
        false
    }

    /// Those that the commits on a server wait for.
    fn listed(&self, primary: &NodeAddress) -> BTreeSet<String> {
        let directory = self.directories.get(primary);
        directory
            .map(|directory| directory.sync_rule().standbys)
            .unwrap_or_default()
    }

    /// Nobody that commits wait for is stopped for good, dropped or sent elsewhere, unless its whole cluster goes.
    pub(crate) fn waited_for(&self, step: &Step, plan: &Plan) {
        let node = match &step.action {
            Action::DropNode { node } => node,
            Action::Stop { node } if step.delta.0.contains(&Edit::StoppedByRequest(node.clone(), true)) => node,
            // Whoever comes to the server that writes is not taken away from it.
            Action::Follow { upstream, .. } if self.directories[&upstream.node].writes() => return,
            Action::Follow { server, .. } => &server.node,
            _ => return,
        };
        let cluster = &node.cluster;
        let goes = plan.steps.iter().any(|step| match &step.action {
            Action::DropCluster { cluster: going } => going == cluster,
            _ => false,
        });
        let writers = self
            .directories
            .iter()
            .filter(|(address, directory)| address.cluster == *cluster && directory.writes());
        for (primary, _) in writers.filter(|_| !goes) {
            assert!(
                !self.listed(primary).contains(&node.node.identifier()),
                "commits on {primary} wait for {node}, which {} takes away",
                step.action.name()
            );
        }
    }

    /// The record never leads the world: what a step has recorded is so.
    pub(crate) fn truthful(&self, step: &Step) {
        for edit in &step.delta.0 {
            let Address::Node(address) = edit.address() else {
                continue;
            };
            let directory = self.directories.get(&address);
            match edit {
                Edit::Data { generation, .. } => {
                    let there = directory.and_then(|directory| directory.data.get(generation));
                    let recorded = self.state.nodes[&address].data.as_ref().map(|data| &data.identity);
                    assert!(
                        there == recorded || self.faulted.contains(&address),
                        "{address} is recorded with data it does not have"
                    );
                }
                Edit::Power(_, Power::Running) => {
                    let runs = directory.is_some_and(|directory| directory.server.is_some());
                    let faulted = self.faulted.contains(&address);
                    assert!(runs || faulted, "{address} is recorded as running, and does not run");
                }
                _ => {}
            }
        }
    }
}
