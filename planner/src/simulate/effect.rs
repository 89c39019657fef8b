//! What steps do to the world.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{Address, NodeAddress};
use simdb_state::delta::Outputs;
use simdb_state::identity::DataIdentity;
use simdb_state::instance::{FileText, InstanceSpec, TaskSpec};
use simdb_state::lsn::Lsn;
use simdb_state::object::Image;
use simdb_state::route::Route;

use super::{InstanceDirectory, Running, World};
use crate::engine::conf;
use crate::engine::replay::{self, ReplayLimits};
use crate::engine::simulated::generation_of;
use crate::observed::{FileFacts, RouteFacts};
use crate::plan::{Action, Checked, Server, Step};

impl World {
    pub(crate) fn begin(&mut self, step: &Step) {
        match &step.action {
            Action::Primary { server, .. } => self.directory(&server.node).partial = true,
            Action::Clone { node, .. } => self.directory(node).partial = true,
            _ => {}
        }
    }

    /// What is done on a machine that cannot be reached fails. A fence that a person answers for does nothing there.
    fn reaches(&self, step: &Step) -> Result<(), String> {
        let Address::Node(node) = &step.address else {
            return Ok(());
        };
        let attested = matches!(&step.action, Action::Fence { method, .. } if method.attested().is_some());
        if self.unreachable.contains(node) && !attested {
            return Err(format!("the machine of {node} does not answer"));
        }
        Ok(())
    }

    pub(crate) fn directory(&mut self, node: &NodeAddress) -> &mut InstanceDirectory {
        self.directories.entry(node.clone()).or_default()
    }

    /// Lets a step happen, and returns what it found out. The record is not touched.
    #[expect(clippy::too_many_lines, reason = "one short arm for each kind of step")]
    pub fn effect(&mut self, step: &Step) -> Result<Outputs, String> {
        self.reaches(step)?;
        match &step.action {
            Action::Cluster { .. } | Action::Degrade { .. } | Action::Record {} => {}
            Action::Network { network, attributes } => {
                drop(self.networks.insert(network.clone(), attributes.clone()));
            }
            Action::DropNetwork { network, on } if on.is_empty() => drop(self.networks.remove(network)),
            Action::DropNetwork { network, on } => {
                if let Some(network) = self.networks.get_mut(network) {
                    network.also_on.retain(|platform| !on.contains(platform));
                }
            }
            Action::Elect { cluster, election, .. } => self.is_not_known_to_differ(&NodeAddress {
                cluster: cluster.clone(),
                node: election.primary.clone(),
            }),
            Action::DropCluster { cluster } => self.acknowledged.retain(|(of, _)| of != cluster),
            Action::Primary {
                birth,
                instance,
                server,
            } => return self.primary(birth, instance, server),
            Action::Import {
                instance,
                server,
                identity,
                upstream,
                ..
            } => return self.import(instance, server, identity, upstream.as_ref()),
            Action::Fence {
                server,
                data,
                seal,
                method,
                ..
            } => return self.fence(&server.node, data.is_some(), seal.is_some(), *method),
            Action::Promote {
                instance,
                server,
                survivors,
                evidence,
            } => return self.promote(instance, server, survivors, evidence),
            Action::Rejoin { node, task, source, .. } => return self.rewind(node, task, source),
            Action::ReplicationUser { .. }
            | Action::User { .. }
            | Action::Database { .. }
            | Action::Seed { .. }
            | Action::DropUser { .. }
            | Action::DropDatabase { .. }
            | Action::DropSeed { .. } => {
                self.access(&step.action)?;
                self.share_catalog(step);
            }
            Action::Clone { node, task, .. } => return self.copy(node, task),
            Action::Join {
                instance,
                server,
                upstream,
                application_name,
            } => {
                self.has_slot(server, upstream, application_name)?;
                self.ensure(&server.node, instance, true)?;
                self.assert_streams(server, upstream)?;
                self.streams(&server.node, &upstream.node)?;
            }
            Action::Start {
                instance,
                server,
                in_recovery,
            } => self.ensure(&server.node, instance, *in_recovery)?,
            Action::Stop { node } => {
                // One that hangs is killed in the end.
                let _ = self.shut_down(node);
                self.directory(node).server = None;
            }
            Action::Configure {
                instance,
                server,
                restart,
                upstream,
                ..
            } => {
                let image = self.image(instance);
                let directory = self.ensure_running(server, instance)?;
                directory.resources = instance.resources.or(directory.resources);
                if let Some(running) = directory.server.as_mut().filter(|_| *restart) {
                    running.paused = false;
                    directory.image = image;
                    directory.resources = instance.resources;
                    self.take_limits(&server.node, instance);
                }
                if let Some(upstream) = upstream {
                    self.has_slot(server, upstream, &server.node.node.identifier())?;
                    self.assert_streams(server, upstream)?;
                    self.streams(&server.node, &upstream.node)?;
                }
            }
            Action::Follow {
                instance,
                server,
                upstream,
                application_name,
            } => {
                self.has_slot(server, upstream, application_name)?;
                assert!(
                    !self.streams_through(&upstream.node, &server.node) || !self.faulted.is_empty(),
                    "{} would follow a circle",
                    server.node
                );
                self.ensure_running(server, instance)?;
                self.assert_streams(server, upstream)?;
                self.streams(&server.node, &upstream.node)?;
            }
            Action::Verify { primary, standbys, .. } => {
                if !standbys.is_empty() {
                    self.streams_log_in(primary)?;
                }
                return self.verify(primary, standbys);
            }
            Action::Endpoint { endpoint, route } => {
                let Route { hosts, hints, .. } = route.clone();
                self.routes.insert(endpoint.clone(), RouteFacts { hosts, hints });
            }
            Action::Engine(action) => self.engine(action)?,
            Action::DropNode { node } => {
                self.directories.remove(node);
                self.logs.retain(|(of, _), _| of != node);
            }
            Action::DropEndpoint { endpoint, .. } => drop(self.routes.remove(endpoint)),
        }
        Ok(Outputs::default())
    }

    /// Returns the instance directory of a node whose server answers. One that nothing happened to answers, or the plan is wrong.
    pub(crate) fn serving(&mut self, server: &Server) -> Result<&mut InstanceDirectory, String> {
        let faulted = self.faulted.contains(&server.node);
        let directory = self.answering(&server.node)?;
        if directory.listen == Some(server.place.bind) {
            return Ok(directory);
        }
        assert!(
            faulted,
            "{} should listen on {}, and listens on {:?}",
            server.node, server.place.bind, directory.listen
        );
        Err(format!("{} does not answer on {}", server.node, server.place.bind))
    }

    pub(crate) fn answering(&mut self, node: &NodeAddress) -> Result<&mut InstanceDirectory, String> {
        let faulted = self.faulted.contains(node);
        let answers =
            |directory: &&mut InstanceDirectory| directory.server.as_ref().is_some_and(|server| !server.frozen);
        match self.directories.get_mut(node).filter(answers) {
            Some(directory) => Ok(directory),
            None if faulted => Err(format!("{node} does not answer")),
            None => panic!("{node} does not serve"),
        }
    }

    fn has_slot(&mut self, server: &Server, upstream: &Server, slot: &str) -> Result<(), String> {
        if self.serving(upstream)?.slots.contains(slot) {
            return Ok(());
        }
        Err(format!("{} does not stream: its slot is gone", server.node))
    }

    /// A server streams from where its settings say that it does: one on another platform from where its upstream is published.
    fn assert_streams(&mut self, server: &Server, upstream: &Server) -> Result<(), String> {
        let reached = [&upstream.place.peers, upstream.place.outer()];
        let streams = self
            .serving(server)?
            .upstream()
            .is_some_and(|at| reached.contains(&&at));
        if !streams && self.faulted.contains(&server.node) {
            return Err(format!("{} does not stream from {}", server.node, upstream.node));
        }
        assert!(streams, "{} does not stream from {}", server.node, upstream.node);
        Ok(())
    }

    /// Lets a standby receive what its upstream has. It cannot where it has more, which nobody was told is safe: whoever
    /// was down when another one was elected could not be asked.
    fn streams(&mut self, node: &NodeAddress, upstream: &NodeAddress) -> Result<(), String> {
        // Whoever is behind itself catches up first.
        let mut source = upstream.clone();
        for _ in 0..self.directories.len() {
            let Some(next) = self.upstream_of(&source) else { break };
            source = next;
        }
        self.send(&source);
        self.find_starved(node, upstream)?;
        if self.diverged(node, upstream) {
            return Err(format!("{node} does not stream: {upstream} has not what it has"));
        }
        self.send(upstream);
        Ok(())
    }

    /// Gives a server that runs other files. A standby then streams from where these say, if anybody listens there.
    pub(crate) fn ensure_running(
        &mut self,
        server: &Server,
        instance: &InstanceSpec,
    ) -> Result<&mut InstanceDirectory, String> {
        let directory = self.answering(&server.node)?;
        write_files(directory, instance);
        (directory.listen, directory.published) = (Some(instance.listen), instance.published);
        directory.configured = conf::read(instance);
        Ok(directory)
    }

    fn follows(&self, node: &NodeAddress) -> Option<NodeAddress> {
        let slot = self.state.nodes.get(node)?.slot.as_ref()?;
        Some(NodeAddress {
            cluster: node.cluster.clone(),
            node: slot.upstream.clone(),
        })
    }

    fn primary(&mut self, birth: &TaskSpec, instance: &InstanceSpec, server: &Server) -> Result<Outputs, String> {
        let generation = generation_of(birth.product.as_deref());
        self.made += 1;
        let made = DataIdentity::from(self.made);
        let directory = self.directory(&server.node);
        directory.partial = false;
        let identity = Some(directory.data.entry(generation).or_insert(made).clone());
        self.ensure(&server.node, instance, false)?;
        Ok(Outputs {
            identity,
            ..Outputs::default()
        })
    }

    /// A standby that is imported has replayed what its primary has written.
    fn import(
        &mut self,
        instance: &InstanceSpec,
        server: &Server,
        identity: &DataIdentity,
        upstream: Option<&Server>,
    ) -> Result<Outputs, String> {
        let generation = generation_of(Some(&instance.data));
        let node = &server.node;
        if let Some(upstream) = upstream {
            let log = self.log(&upstream.node).cloned().unwrap_or_default();
            self.logs.entry((node.clone(), generation)).or_insert(log);
            self.copy_catalog(&upstream.node, node);
        }
        let data = &mut self.directory(node).data;
        data.entry(generation).or_insert_with(|| identity.clone());
        self.ensure(node, instance, upstream.is_some())?;
        if let Some(upstream) = upstream {
            self.assert_streams(server, upstream)?;
            self.streams(node, &upstream.node)?;
        }
        Ok(Outputs {
            identity: Some(identity.clone()),
            ..Outputs::default()
        })
    }

    fn copy(&mut self, node: &NodeAddress, task: &TaskSpec) -> Result<Outputs, String> {
        let upstream = self.follows(node).expect("a node that is cloned has a slot");
        let source = self.identity(&upstream)?;
        let generation = generation_of(task.product.as_deref());
        let directory = self.directory(node);
        assert!(
            directory.server.is_none() || directory.data.contains_key(&generation),
            "{node} is cloned while it runs"
        );
        directory.partial = false;
        directory
            .data
            .retain(|old, _| !task.replaces.contains(&format!("data-{old}")));
        let made = !directory.data.contains_key(&generation);
        let identity = directory.data.entry(generation).or_insert(source).clone();
        if made {
            directory.slots.clear();
            (directory.sealed, directory.led, directory.by_hand) = (false, false, false);
            let log = self.log(&upstream).cloned().unwrap_or_default();
            self.begin_log(node, log.writes.len());
            self.logs.insert((node.clone(), generation), log);
            self.copy_catalog(&upstream, node);
        }
        Ok(Outputs {
            identity: Some(identity),
            ..Outputs::default()
        })
    }

    /// Returns whose data a server serves.
    pub(crate) fn identity(&mut self, node: &NodeAddress) -> Result<DataIdentity, String> {
        let directory = self.directories.get(node);
        let server = directory
            .and_then(|directory| Some((directory, directory.server.as_ref().filter(|server| !server.frozen)?)));
        match server.and_then(|(directory, server)| directory.data.get(&server.generation)) {
            Some(identity) => Ok(identity.clone()),
            None if self.faulted.contains(node) => Err(format!("{node} does not answer")),
            None => panic!("data is copied from {node}, which does not serve"),
        }
    }

    /// Returns the image that a server is made from.
    fn image(&self, instance: &InstanceSpec) -> Option<Image> {
        let digest = instance.image.as_deref()?;
        let named = self.images.iter().find(|image| image.digest == digest);
        Some(named.cloned().unwrap_or_else(|| Image::from(digest)))
    }

    fn ensure(&mut self, node: &NodeAddress, instance: &InstanceSpec, replays: bool) -> Result<(), String> {
        let generation = generation_of(Some(&instance.data));
        let faulted = self.faulted.contains(node);
        let image = self.image(instance);
        let directory = self.directory(node);
        if faulted && !directory.data.contains_key(&generation) {
            return Err(format!("{node} has lost its data"));
        }
        assert!(
            directory.data.contains_key(&generation),
            "{node} is started without data"
        );
        assert!(
            replays || !directory.sealed || !instance.absent.is_empty(),
            "{node} is fenced, and started to write"
        );
        directory.sealed &= replays;
        directory.partial = false;
        write_files(directory, instance);
        let (mut halted, mut started) = (false, false);
        if let Some(server) = &mut directory.server {
            // It goes on as it was started, and could not be asked how.
            directory.resources = instance.resources.or(directory.resources);
            if std::mem::take(&mut server.frozen) {
                halted = true;
            }
        } else {
            (directory.listen, directory.published) = (Some(instance.listen), instance.published);
            directory.image = image;
            directory.resources = instance.resources;
            directory.configured = conf::read(instance);
            directory.server = Some(Running {
                generation,
                replays,
                frozen: false,
                paused: false,
                limits: ReplayLimits::default(),
                lacking: None,
                waiting: BTreeSet::new(),
            });
            started = true;
        }
        directory.led = directory.writes();
        self.faulted.extend(halted.then(|| node.clone()));
        let log = self.logs.entry((node.clone(), generation)).or_default();
        log.shut_down = false;
        if started {
            self.take_limits(node, instance);
        }
        if let Some(upstream) = self.upstream_of(node) {
            self.send(&upstream);
        }
        Ok(())
    }

    /// Gives a server that was just started what its file says of the settings that replay depends on. A standby gets as
    /// much as its log asks for, and is restarted as its file says once it has replayed that less is enough.
    fn take_limits(&mut self, node: &NodeAddress, instance: &InstanceSpec) {
        let declared = ReplayLimits::of_instance(instance);
        let replays = self.directories[node]
            .server
            .as_ref()
            .is_some_and(|server| server.replays);
        if !replays {
            self.set_limits(node, declared);
            self.log_mut(node).expect("it runs").limits = declared;
            return;
        }
        let needed = self.log(node).map(|log| log.limits).unwrap_or_default();
        let fitted = ReplayLimits::of_instance(&replay::fit(instance, &needed));
        assert!(!needed.exceeds(&fitted), "{node} is started with less than it needs");
        self.set_limits(node, fitted);
        if let Some(upstream) = self.upstream_of(node) {
            self.send(&upstream);
        }
        let needed = self.log(node).map(|log| log.limits).unwrap_or_default();
        if !needed.exceeds(&declared) {
            self.set_limits(node, declared);
        } else if needed.exceeds(&fitted) {
            self.set_limits(node, fitted.max(needed));
        }
    }

    fn set_limits(&mut self, node: &NodeAddress, limits: ReplayLimits) {
        if let Some(server) = &mut self.directory(node).server {
            (server.limits, server.lacking) = (limits, None);
        }
    }

    /// Returns who runs where a standby streams from.
    pub(crate) fn upstream_of(&self, node: &NodeAddress) -> Option<NodeAddress> {
        let at = self.directories.get(node)?.upstream()?;
        let listens = |node: &NodeAddress, directory: &InstanceDirectory| {
            directory.server.is_some() && directory.is_at(node, &at)
        };
        let mut all = self.directories.iter();
        let (upstream, _) = all.find(|(node, directory)| listens(node, directory))?;
        Some(upstream.clone())
    }

    fn verify(&mut self, primary: &Server, standbys: &BTreeMap<String, Checked>) -> Result<Outputs, String> {
        let data = |directory: &InstanceDirectory| {
            directory
                .server
                .as_ref()
                .map(|server| directory.data[&server.generation].clone())
        };
        let identifier = data(self.serving(primary)?);
        self.send(&primary.node);
        for (name, Checked { server, upstream, .. }) in standbys {
            let node = &server.node;
            let upstream = upstream.as_ref().map_or(primary, |upstream| &standbys[upstream].server);
            let slots = self.serving(upstream)?.slots.clone();
            self.assert_streams(server, upstream)?;
            let directory = self.serving(server)?;
            assert_eq!(data(directory), identifier, "{node} has other data than its primary");
            if !slots.contains(name) {
                return Err(format!("{node} does not stream: its slot is gone"));
            }
            if directory
                .server
                .as_ref()
                .is_some_and(|server| server.paused || server.lacking.is_some())
            {
                return Err(format!("{node} does not replay: its replay is paused"));
            }
            self.find_starved(node, &upstream.node)?;
            if self.diverged(node, &upstream.node) {
                return Err(format!("{node} does not stream: {} has not what it has", upstream.node));
            }
        }
        Ok(Outputs {
            marker: Some(Lsn(0x0300_0060).into()),
            ..Outputs::default()
        })
    }
}

/// Notes what a platform notes of the files it writes.
pub(crate) fn write_files(directory: &mut InstanceDirectory, instance: &InstanceSpec) {
    directory.files = written(instance);
}

/// Returns what a platform notes of what it writes for an instance.
pub(crate) fn written(instance: &InstanceSpec) -> BTreeMap<String, FileFacts> {
    let facts = |text: &FileText| FileFacts {
        digest: text.digest(),
        edited: false,
    };
    let written = instance.written();
    written.map(|(path, text)| (path.clone(), facts(&text))).collect()
}
