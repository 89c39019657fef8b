//! What must be so after every step.

use std::collections::BTreeSet;

use simdb_state::address::{Address, NodeAddress};
use simdb_state::delta::Edit;
use simdb_state::object::Power;

use super::{Home, World};
use crate::engine::postgresql::sync;
use crate::plan::{Action, Plan, Step};

impl World {
    /// At no time do two servers of a cluster write.
    pub(super) fn one_writer(&self) {
        let mut writers = BTreeSet::new();
        let takes_writes = |home: &Home| home.server.as_ref().is_some_and(|server| server.upstream.is_none());
        for (address, _) in self.homes.iter().filter(|(_, home)| takes_writes(home)) {
            assert!(
                writers.insert(&address.cluster),
                "{address} is a second writer of its cluster"
            );
        }
    }

    /// Commits never come to wait for a standby that is not there.
    pub(super) fn sync_names(&self, primary: &NodeAddress, names: &str) {
        let listed = self.listed(primary);
        for name in sync::read(names).1.difference(&listed) {
            let streams = self.homes.iter().any(|(address, home)| {
                let server = home.server.as_ref();
                address.cluster == primary.cluster
                    && address.node.identifier() == *name
                    && server.is_some_and(|server| server.upstream == Some(primary.node.to_string()))
            });
            assert!(
                streams,
                "commits on {primary} are to wait for {name}, which does not stream from it"
            );
        }
    }

    /// Those that the commits on a server wait for.
    fn listed(&self, primary: &NodeAddress) -> BTreeSet<String> {
        let names = self
            .homes
            .get(primary)
            .and_then(|home| home.configured.get("synchronous_standby_names"));
        names.map(|names| sync::read(names).1).unwrap_or_default()
    }

    /// Nobody that commits wait for is stopped for good, dropped or sent elsewhere, unless its whole cluster goes.
    pub(super) fn waited_for(&self, step: &Step, plan: &Plan) {
        let mut to = None;
        let node = match &step.action {
            Action::DropNode { node } => node,
            Action::Stop { node } if step.delta.0.contains(&Edit::Held(node.clone(), true)) => node,
            Action::Follow { server, upstream, .. } => {
                let runs = self.homes[&server.node].server.as_ref();
                if runs.is_none_or(|runs| runs.upstream == Some(upstream.node.node.to_string())) {
                    return;
                }
                to = Some(&upstream.node);
                &server.node
            }
            _ => return,
        };
        let cluster = &node.cluster;
        let goes = plan.steps.iter().any(|step| match &step.action {
            Action::DropCluster { cluster: going } => going == cluster,
            _ => false,
        });
        let writers = self.homes.iter().filter(|(address, home)| {
            address.cluster == *cluster && home.server.as_ref().is_some_and(|server| server.upstream.is_none())
        });
        for (primary, _) in writers.filter(|(primary, _)| !goes && to != Some(*primary)) {
            assert!(
                !self.listed(primary).contains(&node.node.identifier()),
                "commits on {primary} wait for {node}, which {} takes away",
                step.action.name()
            );
        }
    }

    /// The record never leads the world: what a step has recorded is so.
    pub(super) fn truthful(&self, step: &Step) {
        for edit in &step.delta.0 {
            let Address::Node(address) = edit.address() else {
                continue;
            };
            let home = self.homes.get(&address);
            match edit {
                Edit::Data { generation, .. } => {
                    let there = home.and_then(|home| home.data.get(generation));
                    let recorded = self.state.nodes[&address]
                        .data
                        .as_ref()
                        .map(|data| &data.system_identifier);
                    assert_eq!(there, recorded, "{address} is recorded with data it does not have");
                }
                Edit::Power(_, Power::Running) => {
                    let runs = home.is_some_and(|home| home.server.is_some());
                    assert!(runs, "{address} is recorded as running, and does not run");
                }
                _ => {}
            }
        }
    }
}
