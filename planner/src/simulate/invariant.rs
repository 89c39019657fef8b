//! What must be so after every step.

use std::collections::BTreeSet;

use simdb_state::address::Address;
use simdb_state::delta::Edit;
use simdb_state::object::Power;

use super::{Home, World};
use crate::plan::Step;

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
