//! Role changes, with the rules of real servers: what was not sent is not there, and a branch is a branch.

use simdb_state::address::NodeAddress;
use simdb_state::delta::Outputs;
use simdb_state::instance::{Argument, InstanceSpec, TaskSpec};
use simdb_state::object::{FenceProof, Loss, Switch, Verdict, Witness};

use super::generation_of;
use super::log::Log;
use crate::engine::postgresql::conf;
use crate::plan::{Evidence, FenceMethod, Server};
use crate::simulate::{InstanceDirectory, World, write_files};

impl World {
    pub(crate) fn fence(
        &mut self,
        node: &NodeAddress,
        has_data: bool,
        seals: bool,
        method: FenceMethod,
    ) -> Result<Outputs, String> {
        if let Some(witness) = method.attested() {
            return Ok(Outputs {
                proof: Some(FenceProof::Killed),
                witness: Some(witness),
                ..Outputs::default()
            });
        }
        if method == FenceMethod::ShutDown {
            self.shut_down(node)?;
        }
        let directory = self.directory(node);
        directory.server = None;
        directory.sealed |= seals;
        let newest = directory.data.keys().last().copied();
        let log = newest.and_then(|generation| self.logs.get(&(node.clone(), generation)));
        let proof = match (method, log) {
            (FenceMethod::ShutDown, Some(log)) if has_data && log.shut_down => FenceProof::ShutDown {
                checkpoint: log.position().into(),
            },
            (FenceMethod::ShutDown, _) if has_data => return Err(format!("{node} was not shut down in order")),
            _ => FenceProof::Killed,
        };
        Ok(Outputs {
            proof: Some(proof),
            witness: Some(Witness::ProcessesGone),
            ..Outputs::default()
        })
    }

    /// Stops a server in order: whoever streams from it has everything then. One that hangs is killed.
    pub(crate) fn shut_down(&mut self, node: &NodeAddress) -> Result<(), String> {
        let Some(frozen) = self.directory(node).server.as_ref().map(|server| server.frozen) else {
            return Ok(());
        };
        let halted = |directory: &InstanceDirectory| directory.server.as_ref().is_some_and(|server| server.frozen);
        let hangs = |(other, directory): (&NodeAddress, &InstanceDirectory)| {
            self.faulted.contains(other) && halted(directory) && self.upstream_of(other).as_ref() == Some(node)
        };
        if frozen || self.directories.iter().any(hangs) {
            self.directory(node).server = None;
            return Err(format!("{node} hangs, and was killed"));
        }
        self.send(node);
        if let Some(log) = self.log_mut(node) {
            log.shut_down = true;
        }
        Ok(())
    }

    pub(crate) fn promote(
        &mut self,
        instance: &InstanceSpec,
        server: &Server,
        survivors: &[Server],
        evidence: &Evidence,
    ) -> Result<Outputs, String> {
        let node = &server.node;
        self.others_are_fenced(node);
        self.identity(node)?;
        let log = self.log(node).cloned().unwrap_or_default();
        let verdict = match evidence {
            Evidence::Verdict(verdict) => verdict.clone(),
            Evidence::ShutDown { node: former, data, .. } => {
                let former = &self.logs[&(former.clone(), generation_of(Some(data)))];
                if log.writes.len() < former.writes.len() {
                    return Err(format!("{node} lacks what the former primary wrote last"));
                }
                Verdict::Proven {
                    checkpoint: former.position().into(),
                }
            }
        };
        let chosen_anyway = matches!(verdict, Verdict::Unknown(Loss(Some(_))));
        let proven = matches!(verdict, Verdict::Proven { .. });
        let replays = self.directories[node]
            .server
            .as_ref()
            .is_some_and(|server| server.replays);
        for survivor in survivors.iter().filter(|_| replays && !chosen_anyway && !proven) {
            self.identity(&survivor.node)?;
            let position = |log: &Log| (log.timeline(), log.position());
            if self.log(&survivor.node).map(position) > Some(position(&log)) {
                return Err(format!("{} has more than {node}", survivor.node));
            }
        }
        if self.lossy {
            let has = |write: &u64| log.writes.contains(write);
            self.acknowledged
                .retain(|(cluster, write)| *cluster != node.cluster || has(write));
        } else {
            assert!(
                !matches!(verdict, Verdict::Unknown(_)),
                "{node} is promoted without -allow=data-loss"
            );
        }
        self.is_not_known_to_differ(node);
        let directory = self.directory(node);
        write_files(directory, instance);
        directory.configured = conf::read(instance);
        let running = directory.server.as_mut().expect("it has a log, so it runs");
        if running.lacking.is_some() || log.limits.exceeds(&running.limits) {
            // It ends where it is told to write, and its control data say by then what its log asks for.
            self.kill(node);
            return Err(format!(
                "{node} has less than its log asks for, and does not come to write"
            ));
        }
        (running.replays, running.paused) = (false, false);
        let limits = running.limits;
        (directory.led, directory.sealed, directory.by_hand) = (true, false, false);
        let log = self.log_mut(node).expect("it runs");
        if replays {
            log.switches.push(log.writes.len());
        }
        log.limits = limits;
        Ok(Outputs {
            switch: Some(Box::new(Switch {
                timeline: Some(log.timeline()),
                point: log.position().into(),
                verdict,
            })),
            ..Outputs::default()
        })
    }

    /// `pg_rewind` knows branches by timelines and positions, and leaves alone what these show to be a part of the source's
    /// log. Where data was not shut down in order it lets that recover by itself first, unless it is told not to.
    pub(crate) fn rewind(&mut self, node: &NodeAddress, task: &TaskSpec, source: &Server) -> Result<Outputs, String> {
        let identity = self.identity(&source.node)?;
        let generation = generation_of(task.product.as_deref());
        let outputs = Outputs {
            identity: Some(identity.clone()),
            ..Outputs::default()
        };
        if self.directory(node).data.contains_key(&generation) {
            return Ok(outputs);
        }
        let origin = generation_of(task.origin.as_deref());
        let faulted = self.faulted.contains(node);
        let directory = self.directory(node);
        assert!(directory.server.is_none(), "{node} is rewound while it runs");
        directory.partial = false;
        if directory.data.remove(&origin).is_none() && faulted {
            return Err(format!("{node} has lost its data"));
        }
        let mut own = self.logs.remove(&(node.clone(), origin)).unwrap_or_default();
        if !own.shut_down {
            if is_told_not_to_recover(task) {
                self.directory(node).partial = true;
                return Err(format!("{node} was not shut down in order"));
            }
            self.recover(&mut own);
        }
        let theirs = self.log(&source.node).cloned().unwrap_or_default();
        let parted = own.is_parted_from(&theirs);
        if !parted && task.prints.is_some() {
            self.directory(node).partial = true;
            return Err(format!("{node} was not rewound"));
        }
        let directory = self.directory(node);
        directory.data.insert(generation, identity);
        directory.slots.clear();
        (directory.sealed, directory.led, directory.by_hand) = (false, false, false);
        self.logs
            .insert((node.clone(), generation), if parted { theirs } else { own });
        if parted {
            let forgotten = self.directories[&source.node].forgotten;
            self.begin_log(node, forgotten);
        }
        self.copy_catalog(&source.node, node);
        Ok(outputs)
    }

    /// Lets data recover without a server: it writes a checkpoint to its log, on the timeline that it is on.
    fn recover(&mut self, log: &mut Log) {
        self.made += 1;
        log.writes.push(self.made);
        log.shut_down = true;
    }
}

fn is_told_not_to_recover(task: &TaskSpec) -> bool {
    let arguments = task.commands.iter().flat_map(|command| &command.arguments);
    arguments
        .into_iter()
        .any(|argument| *argument == Argument::text("--no-ensure-shutdown"))
}
