//! Role changes, with the rules of real servers: what was not sent is not there, and a branch is a branch.

use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::instance::{InstanceSpec, TaskSpec};
use simdb_state::object::{FenceProof, Switch, Verdict};

use super::World;
use super::effect::{generation_of, read_settings, write_files};
use crate::plan::{Evidence, FenceMethod, Server};

impl World {
    pub(super) fn fence(&mut self, node: &NodeAddress, method: FenceMethod) -> Result<Outputs, String> {
        if method == FenceMethod::ShutDown {
            self.shut_down(node);
        }
        let home = self.home(node);
        home.server = None;
        home.sealed = true;
        let newest = home.data.keys().last().copied();
        let log = newest.and_then(|generation| self.logs.get(&(node.clone(), generation)));
        let proof = match (method, log) {
            (FenceMethod::Kill, _) => FenceProof::Killed,
            (FenceMethod::ShutDown, Some(log)) if log.shut_down => FenceProof::ShutDown {
                checkpoint: log.position(),
            },
            (FenceMethod::ShutDown, _) => return Err(format!("{node} was not shut down in order")),
        };
        Ok(Outputs {
            proof: Some(proof),
            ..Outputs::default()
        })
    }

    /// Stops a server in order: whoever streams from it has everything then.
    fn shut_down(&mut self, node: &NodeAddress) {
        self.send(node);
        if let Some(log) = self.log_mut(node) {
            log.shut_down = true;
        }
    }

    pub(super) fn promote(
        &mut self,
        instance: &InstanceSpec,
        server: &Server,
        survivors: &[Server],
        evidence: &Evidence,
    ) -> Result<Outputs, String> {
        let node = &server.node;
        let log = self
            .log(node)
            .cloned()
            .unwrap_or_else(|| panic!("{node} is promoted and does not run"));
        let verdict = match evidence {
            Evidence::Verdict(verdict) => *verdict,
            Evidence::ShutDown { node: former, data, .. } => {
                let former = &self.logs[&(former.clone(), generation_of(Some(data)))];
                if log.writes.len() < former.writes.len() {
                    return Err(format!("{node} lacks what the former primary wrote last"));
                }
                Verdict::Proven {
                    checkpoint: former.position(),
                }
            }
        };
        for survivor in survivors {
            if self
                .log(&survivor.node)
                .is_some_and(|theirs| theirs.writes.len() > log.writes.len())
            {
                return Err(format!("{} has more than {node}", survivor.node));
            }
        }
        let home = self.home(node);
        write_files(home, instance);
        home.configured = read_settings(instance);
        let running = home.server.as_mut().expect("it has a log, so it runs");
        let replays = running.upstream.take().is_some();
        let log = self.log_mut(node).expect("it runs");
        if replays {
            log.switches.push(log.writes.len());
        }
        Ok(Outputs {
            switch: Some(Switch {
                timeline: log.timeline(),
                point: log.position(),
                verdict,
            }),
            ..Outputs::default()
        })
    }

    pub(super) fn rewind(&mut self, node: &NodeAddress, task: &TaskSpec, source: &Server) -> Outputs {
        let log = self.log(&source.node).cloned();
        let log = log.unwrap_or_else(|| panic!("{node} is rewound to {}, which does not serve", source.node));
        let identifier = {
            let home = &self.homes[&source.node];
            home.data[&home.server.as_ref().expect("it serves").generation]
        };
        let generation = generation_of(task.product.as_deref());
        let home = self.home(node);
        assert!(home.server.is_none(), "{node} is rewound while it runs");
        home.partial = false;
        home.data.remove(&generation_of(task.origin.as_deref()));
        home.data.insert(generation, identifier);
        home.slots.clear();
        self.logs.insert((node.clone(), generation), log);
        self.copy_catalog(&source.node, node);
        Outputs {
            system_identifier: Some(identifier),
            ..Outputs::default()
        }
    }
}
