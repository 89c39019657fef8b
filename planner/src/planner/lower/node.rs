//! What becomes of a node: it is made, started, configured or replaced.

use simdb_state::address::NodeAddress;
use simdb_state::delta::Edit;
use simdb_state::object::{Data, Image, Node, Origin, Power, Role};
use simdb_state::place::Place;
use simdb_state::sync::SyncRule;

use super::import::born;
use super::{Draft, Lowering, cleared_by_start, instance_edit, server, server_for};
use crate::engine::instance::superuser_password;
use crate::engine::{NodeContext, Upstream, instance};
use crate::observed::{Halt, NodeFacts, Observation, ProcessFacts};
use crate::plan::{Action, Impact, Server};
use crate::planner::before;
use crate::planner::cause::Causes;
use crate::planner::contradiction::wrote;
use crate::planner::diff;
use crate::planner::drift::{self, Drift, Given};
use crate::planner::intended::{DataGoal, IntendedCluster, IntendedNode, Lead};
use crate::platform::Platform;

impl Lowering<'_> {
    pub(crate) fn node(&mut self, address: &NodeAddress, old: Option<&Node>, new: &IntendedNode) {
        let Some(cluster) = self.intended.clusters.get(&address.cluster) else {
            return;
        };
        if new.power == Power::Stopped {
            return self.stop(address, old, new);
        }
        let context = self.intended.context(address, new, cluster);
        if self.intended.imports.contains_key(address) && makes(new) {
            return self.import(address, new, cluster, &context);
        }
        match (&new.role, &new.data) {
            (Role::Primary { .. }, DataGoal::Make { generation, .. }) => {
                self.stop_stale(address, old, &context);
                self.primary(address, new, cluster, &context, *generation);
            }
            (Role::Primary { .. }, DataGoal::Keep(_)) => match cluster.lead {
                Lead::Stays => self.kept(address, old, new, &context),
                Lead::Resumes => self.restore(address, old, new, &context),
                Lead::Passes => self.promote(address, old, new, cluster, &context),
            },
            (Role::Standby { .. } | Role::Fenced { .. }, _) => self.standby(address, old, new, &context),
        }
        if let Some(old) = old {
            self.left_slots(address, old, Some(new));
        }
    }

    pub(crate) fn facts(&self, address: &NodeAddress) -> Option<&NodeFacts> {
        self.observed.nodes.get(address).and_then(Observation::seen)
    }

    fn primary(
        &mut self,
        address: &NodeAddress,
        new: &IntendedNode,
        cluster: &IntendedCluster,
        context: &NodeContext<'_>,
        generation: u32,
    ) {
        let name = &address.cluster;
        let [made, elected] = born(address, cluster);
        let delta = vec![
            made,
            elected,
            Edit::Data {
                node: address.clone(),
                generation,
                origin: Origin::Initialized,
                outside: None,
            },
            instance_edit(address, new),
            Edit::Role(address.clone(), new.role.clone()),
            Edit::Power(address.clone(), Power::Running),
        ];
        let action = Action::Primary {
            birth: Box::new(instance::birth(context)),
            instance: Box::new(instance::server(context)),
            server: server(address, new),
        };
        let reason = format!("cluster {name} is new, and {} leads it", address.node);
        // Every node's passfile holds the replication password, so it is made up before the first server starts.
        let draft = Draft::new(address.clone(), action, reason, delta)
            .generating(superuser_password(name))
            .generating(self.intended.replication_password(name));
        self.push(draft);
    }

    fn standby(&mut self, address: &NodeAddress, old: Option<&Node>, new: &IntendedNode, context: &NodeContext<'_>) {
        let Some(upstream) = &context.upstream else { return };
        let Some(upstream_node) = self.intended.nodes.get(&upstream.address) else {
            return;
        };
        let upstream_server = server_for(new, &upstream.address, upstream_node);
        let settled = self.is_settled(address, new);
        if self.serving(&upstream.address).is_none() {
            // Nothing can be copied or streamed from a node that is, or stays, down; what runs goes on.
            if settled {
                self.kept(address, old, new, context);
            }
            return;
        }
        if let Some(slot) = new
            .slot
            .as_ref()
            .filter(|slot| makes(upstream_node) || old.and_then(|old| old.slot.as_ref()) != Some(*slot))
        {
            self.slot(address, slot, old, settled, &upstream_server);
        }
        if settled {
            return self.kept(address, old, new, context);
        }
        match &new.data {
            DataGoal::Make {
                generation,
                origin: Origin::Rewound { .. },
                because: _,
                outside: _,
            } => self.rewind(address, *generation, old, context, upstream, &upstream_server),
            DataGoal::Make {
                generation, because, ..
            } => {
                // What it wrote is given up.
                if before::server(self.observed, address).is_some_and(|facts| !facts.in_recovery) {
                    self.halt(address);
                } else {
                    self.stop_stale(address, old, context);
                }
                self.clone_data(address, *generation, because.as_deref(), context, upstream);
            }
            DataGoal::Keep(_) => match old.and_then(|old| old.role.as_ref()) {
                None => self.stop_stale(address, old, context),
                Some(Role::Fenced { .. }) => self.halt(address),
                Some(Role::Primary { .. } | Role::Standby { .. }) => {}
            },
        }
        self.start_standby(address, new, context, upstream_server);
    }

    /// Returns whether a node was a standby, and stays one with the data it has.
    fn is_settled(&self, address: &NodeAddress, new: &IntendedNode) -> bool {
        let replays = |old: &Node| matches!(old.role, Some(Role::Standby { .. }));
        self.before.node(address).is_some_and(replays) && !self.is_deposed(address) && !makes(new)
    }

    /// Returns a node that runs, or is to: one that has yet to be made is not, while its upstream is stopped.
    pub(crate) fn serving(&self, address: &NodeAddress) -> Option<&IntendedNode> {
        let made = |new: &&IntendedNode| {
            let upstream = new.role.follows().map(|follows| address.sibling(follows));
            upstream.is_none_or(|upstream| self.serving(&upstream).is_some()) || self.is_settled(address, new)
        };
        self.intended.serving(address).filter(made)
    }

    /// Stops a server that nobody recorded and that cannot go on: it runs on data that is replaced, or an interrupted run
    /// started it with other settings than it is to have.
    fn stop_stale(&mut self, address: &NodeAddress, old: Option<&Node>, context: &NodeContext<'_>) {
        let facts = self.facts(address).filter(|facts| facts.process.is_alive());
        let Some(facts) = facts.filter(|_| !self.is_deposed(address)) else {
            return;
        };
        let reason = if !facts.generations.contains(&context.generation) {
            format!("the data {} runs on is replaced", address.node)
        } else if drift::drift(context, facts, false).is_some() {
            format!("an interrupted run started {} with other settings", address.node)
        } else {
            return;
        };
        let delta = old.map(|_| Edit::Power(address.clone(), Power::Stopped));
        let delta = delta.into_iter().chain(self.rebuilt_later(address)).collect();
        let action = Action::Stop { node: address.clone() };
        let draft = Draft::new(address.clone(), action, reason, delta);
        let impact = if old.is_some_and(|old| wrote(old, facts)) {
            Impact::DataLoss
        } else {
            self.restart_impact(address)
        };
        self.push(draft.costing(impact));
    }

    /// Copies the upstream's data. Older data goes once the copy is complete and verified.
    fn clone_data(
        &mut self,
        address: &NodeAddress,
        generation: u32,
        because: Option<&str>,
        context: &NodeContext<'_>,
        upstream: &Upstream,
    ) {
        let facts = self.facts(address);
        let older = facts
            .into_iter()
            .flat_map(|facts| &facts.generations)
            .filter(|older| **older != generation);
        let replaces = older.map(|older| Data::directory(*older)).collect();
        let task = instance::copy(context, upstream, replaces);
        let origin = Origin::Cloned {
            from: upstream.address.node.clone(),
        };
        let mut delta = vec![Edit::Data {
            node: address.clone(),
            generation,
            origin,
            outside: None,
        }];
        delta.extend(self.slots_gone_with(address));
        let action = Action::Clone {
            node: address.clone(),
            task: Box::new(task),
            data: Data::directory(generation),
        };
        let reason = because.map_or_else(
            || {
                format!(
                    "{} has no copy of {}'s data that it can stream on",
                    address.node, upstream.address.node
                )
            },
            str::to_owned,
        );
        // What only this node has goes with its data.
        let known = self.before.nodes.get(address).zip(facts);
        let astray = known.is_some_and(|(old, facts)| wrote(old, facts));
        let impact = if astray && self.resyncs(address) {
            Impact::DataLoss
        } else {
            Impact::None
        };
        self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
    }

    fn start_standby(
        &mut self,
        address: &NodeAddress,
        new: &IntendedNode,
        context: &NodeContext<'_>,
        upstream: Server,
    ) {
        let delta = vec![
            instance_edit(address, new),
            Edit::Role(address.clone(), new.role.clone()),
            Edit::Power(address.clone(), Power::Running),
            Edit::StoppedByRequest(address.clone(), false),
            Edit::Unverified(address.cluster.clone()),
        ];
        let reason = format!("{} streams from {}", address.node, upstream.node.node);
        let action = Action::Join {
            instance: Box::new(instance::server(context)),
            server: server(address, new),
            upstream,
            application_name: address.node.identifier(),
        };
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    /// A node that keeps its data and role: it may be down, or have other settings than it should.
    fn kept(&mut self, address: &NodeAddress, old: Option<&Node>, new: &IntendedNode, context: &NodeContext<'_>) {
        let Some(old) = old else { return };
        let in_recovery = matches!(new.role, Role::Standby { .. });
        // Nobody streams from a node that is stopped on request; once it is started, who follows it follows it there.
        let serves = |upstream: &Upstream| self.serving(&upstream.address).is_some();
        let follow = context.upstream.as_ref().filter(|upstream| serves(upstream));
        let follow = follow.and_then(|_| self.follow_reason(address, old, new));
        let configured = self.configuration(address, old, new, context);
        let restarts = configured.as_ref().is_some_and(|(_, restart)| *restart);
        // Whoever is to follow reads all its files again.
        let configured = configured.filter(|_| restarts || follow.is_none());
        let mut delta = vec![
            instance_edit(address, new),
            Edit::Power(address.clone(), Power::Running),
        ];
        if old.stopped_by_request {
            delta.push(Edit::StoppedByRequest(address.clone(), false));
        }
        // One that runs already was started by a run that was cut off.
        if old.power == Power::Stopped || (old.stopped_by_request && configured.is_none()) {
            delta.push(cleared_by_start(address));
            let reason = self.start_reason(address, old, new);
            let action = Action::Start {
                instance: Box::new(self.instance(context)),
                server: server(address, new),
                in_recovery,
            };
            // It is down already: starting it ends the downtime, it causes none.
            let draft = Draft::new(address.clone(), action, reason, delta);
            self.push(draft.generating(context.replication_password.clone()));
        } else {
            // Who starts replays.
            if !restarts {
                self.resume(address, new);
            }
            if let Some(configured) = configured {
                // Whoever is to follow then waits for its stream as it does. One whose slot is gone streams once that is made.
                let streams = restarts && follow.is_none() && old.slot == new.slot;
                let stays = context.upstream.as_ref().filter(|_| streams);
                let upstream = stays.and_then(|upstream| self.running(&upstream.address, new));
                self.configure(address, new, context, delta, configured, upstream);
            }
        }
        if let Some(reason) = follow {
            self.follow(address, new, context, reason);
        }
    }

    fn configure(
        &mut self,
        address: &NodeAddress,
        new: &IntendedNode,
        context: &NodeContext<'_>,
        mut delta: Vec<Edit>,
        (reason, restart): (String, bool),
        upstream: Option<Server>,
    ) {
        let in_recovery = matches!(new.role, Role::Standby { .. });
        if restart {
            delta.push(cleared_by_start(address));
        }
        let impact = match (restart, in_recovery) {
            (false, _) => Impact::Reload,
            (true, true) => self.restart_impact(address),
            (true, false) => Impact::Downtime,
        };
        let action = Action::Configure {
            instance: Box::new(self.instance(context)),
            server: server(address, new),
            restart,
            in_recovery,
            upstream,
        };
        self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
    }

    /// Returns the server of a node that runs, and goes on running as what it is and where it is, as a node has it that streams from it.
    fn running(&self, address: &NodeAddress, reader: &IntendedNode) -> Option<Server> {
        let old = self.before.nodes.get(address)?;
        let stays = |new: &&IntendedNode| {
            let same = match &old.role {
                Some(old) if old.writes().is_some() => new.role.writes().is_some(),
                Some(old) => old.follows().is_some() && new.role.follows().is_some(),
                None => false,
            };
            old.power == Power::Running && same && !makes(new)
        };
        let node = self.intended.serving(address).filter(stays)?;
        let place = before::place(self.before, self.observed, address);
        place.filter(|place| *place == node.place)?;
        Some(server_for(reader, address, node))
    }

    /// What it costs that a standby is away for a while: writes wait where too few of those they wait for are left.
    pub(super) fn restart_impact(&self, address: &NodeAddress) -> Impact {
        let identifier = address.node.identifier();
        let needs =
            |rule: &SyncRule| rule.standbys.contains(&identifier) && rule.standbys.len() <= rule.number as usize;
        let cluster = self.intended.clusters.get(&address.cluster);
        if cluster.is_some_and(|cluster| needs(&cluster.sync.before)) {
            Impact::WritePause
        } else {
            Impact::Restart
        }
    }

    fn start_reason(&self, address: &NodeAddress, old: &Node, new: &IntendedNode) -> String {
        let moved = old.place.as_ref().filter(|place| **place != new.place);
        if let Some(owner) = moved.and_then(|had| self.platform_of(address).listener(had.bind)) {
            return format!(
                "{owner} took its port while it was down, and it moves to {}",
                new.place.peers
            );
        }
        let published = moved.and_then(Place::published);
        if let Some(owner) = published.and_then(|had| self.platform_of(address).listener(had)) {
            let reason = moved.map(|had| moves(address, had, &new.place)).unwrap_or_default();
            return format!("{owner} took the port it was published at while it was down: {reason}");
        }
        let reason = match self.facts(address).map(|facts| &facts.process) {
            _ if old.stopped_by_request => "it was asked to be started",
            Some(ProcessFacts::Frozen { by, .. }) => match by {
                Halt::Signal => "drift: a signal halted its server, which goes on now",
                Halt::Pause => "drift: its server was paused, and goes on now",
                Halt::Detached => "drift: its server was cut off from its network, and is connected again",
            },
            Some(ProcessFacts::Stopping { .. }) => "its server was told to stop, and is started again once it has",
            _ => "its server is down, and is started in place, on the same timeline",
        };
        reason.to_owned()
    }

    /// Returns why a running server is to be configured, and whether that takes a restart.
    fn configuration(
        &self,
        address: &NodeAddress,
        old: &Node,
        new: &IntendedNode,
        context: &NodeContext<'_>,
    ) -> Option<(String, bool)> {
        let resources = self.resources_reason(address, old, new);
        let cluster = self.intended.clusters.get(&address.cluster);
        let platform = cluster.and_then(|cluster| Platform::find(&cluster.cluster.platform));
        // Volumes get larger under servers that run.
        let limits_alike = new.resources.without_storage() == old.resources.without_storage();
        let limits_running = limits_alike || platform.unwrap_or_default().limits_running_servers();
        let lifts = new.resources.lifts(&old.resources) || !limits_running;
        let other = self.other_configuration(address, old, new, context);
        match (resources, other) {
            (None, other) => other,
            (Some(reason), None) => Some((reason, lifts)),
            (Some(reason), Some((other, restart))) => Some((format!("{other}; {reason}"), restart || lifts)),
        }
    }

    /// Says which limits of a server change: those that are declared, or those that somebody changed.
    fn resources_reason(&self, address: &NodeAddress, old: &Node, new: &IntendedNode) -> Option<String> {
        let recorded = self.recorded.node(address).unwrap_or(old);
        let sides = [&recorded.resources, &old.resources, &new.resources];
        let [recorded, before, after] = sides.map(|side| diff::resources(side).collect());
        diff::reason(Some(recorded), before, after)
    }

    /// Returns why else a running server is to be configured, and whether that takes a restart.
    fn other_configuration(
        &self,
        address: &NodeAddress,
        old: &Node,
        new: &IntendedNode,
        context: &NodeContext<'_>,
    ) -> Option<(String, bool)> {
        if let Some(had) = old.place.as_ref().filter(|had| **had != new.place) {
            return Some((moves(address, had, &new.place), true));
        }
        if let Some(reason) = self.image_reason_in_place(address) {
            return Some((reason, true));
        }
        if let Some(lacking) = self.intended.limits.lacking.get(address) {
            return Some((lacking.reason(&address.node), true));
        }
        let given = Given {
            release: context.release,
            recorded: &old.parameters,
            declared: &new.parameters,
        };
        let opened = |drift: &&Drift| self.held_back(context).is_none() || !drift.is_of(instance::HBA);
        if let Some(drift) = self.intended.drift.get(address).filter(opened) {
            // A server that could not be asked may have been told to stop by a run that was cut off in its restart.
            let asked = before::server(self.observed, address).is_some();
            let restart = drift.restart || (!asked && self.intended.restarts(address, self.before));
            return Some((drift.reason(&address.node, given), restart));
        }
        if old.parameters == new.parameters {
            return None;
        }
        Some((given.reason(), self.intended.restarts(address, self.before)))
    }
}

impl Lowering<'_> {
    /// Says which image the server of a node gets in place of the one that it was made from, where that changes.
    pub(super) fn image_reason(&self, address: &NodeAddress) -> Option<String> {
        let has = self.facts(address)?.image.as_ref()?;
        let wanted = self.intended.nodes.get(address)?.image.known()?;
        if has.is_same(wanted) {
            return None;
        }
        let recorded = self.recorded.nodes.get(address).and_then(|node| node.image.as_ref());
        if recorded.is_some_and(|recorded| !recorded.is_same(has)) {
            let mut causes = Causes::default();
            causes.drifted("image", Some(short(has)), Some(short(wanted)));
            return causes.reason();
        }
        Some(format!("image: {} -> {}", short(has), short(wanted)))
    }

    /// Returns why the server of a primary is made from another image in place, where a standby could lead meanwhile.
    fn image_reason_in_place(&self, address: &NodeAddress) -> Option<String> {
        let reason = self.image_reason(address)?;
        let pinned = self
            .desired
            .clusters
            .get(&address.cluster)
            .is_some_and(|cluster| cluster.primary.is_some());
        let leads = self.intended.primary(&address.cluster).as_ref() == Some(address);
        let alone = self.intended.nodes_of(&address.cluster).count() < 2;
        if !(pinned && leads) || alone {
            return Some(reason);
        }
        let (node, cluster) = (&address.node, &address.cluster);
        Some(format!(
            "{reason}; {node} stays primary as `primary` says so (to have a standby lead first: simdb switchover {cluster})"
        ))
    }
}

/// What tells an image apart from others: the start of its digest, or, where its platform knows none, its name.
fn short(image: &Image) -> &str {
    match image.digest.strip_prefix("sha256:") {
        Some(digest) => digest.get(..12).unwrap_or(digest),
        None => &image.digest,
    }
}

/// Says where a node is from now on.
fn moves(address: &NodeAddress, had: &Place, new: &Place) -> String {
    let node = &address.node;
    match (had.published(), new.published()) {
        _ if had.bind != new.bind => format!("{node} moves to {}", new.peers),
        (Some(had), Some(new)) => format!("{node} is published at {new} in place of {had}"),
        (None, Some(new)) => format!("{node} is published at {new}"),
        (_, None) => format!("{node} is no longer published, and is reached at {}", new.outer()),
    }
}

/// Whether a node's data is made anew, and slots on it with it.
fn makes(node: &IntendedNode) -> bool {
    matches!(node.data, DataGoal::Make { .. })
}
