//! A role change: elect, fence, promote, and what becomes of the node that led. Planned and unplanned ones are the same
//! steps; only how a node is fenced differs, and what the promotion is judged by.

use simdb_state::address::{Address, NodeAddress, node_made_as};
use simdb_state::delta::Edit;
use simdb_state::name::ClusterName;
use simdb_state::object::{Data, Election, ElectionReason, Node, Origin, Power, Role, Verdict};

use super::{Draft, Lowering, cleared_by_start, instance_edit, server};
use crate::engine;
use crate::engine::instance::superuser_password;
use crate::engine::parameters::Release;
use crate::engine::{NodeContext, Upstream, instance};
use crate::plan::{Action, Evidence, FenceMethod, Handover, Impact, Server};
use crate::planner::before;
use crate::planner::contradiction::wrote;
use crate::planner::intended::{DataGoal, IntendedCluster, IntendedNode};

impl Lowering<'_> {
    /// Every election that is to be held now, and every node that led and leads no more.
    pub(crate) fn elections(&mut self) {
        let intended = self.intended;
        for (name, cluster) in &intended.clusters {
            let Some(last) = self.before.elections.get(name) else {
                continue;
            };
            if last.term < cluster.election.term {
                self.elect(last, cluster, name);
            }
            if let Some(deposed) = &cluster.deposed {
                self.fence(deposed, cluster);
            }
        }
    }

    fn elect(&mut self, last: &Election, intended: &IntendedCluster, cluster: &ClusterName) {
        let election = &intended.election;
        let mut delta = vec![
            Edit::Election(cluster.clone(), election.clone()),
            Edit::Unverified(cluster.clone()),
        ];
        let winner = NodeAddress {
            cluster: cluster.clone(),
            node: election.primary.clone(),
        };
        let node = self.before.nodes.get(&winner);
        if let Some(node) = node.filter(|node| node.writes()) {
            let role = Role::Primary { term: election.term };
            delta.push(Edit::Role(winner.clone(), role));
            delta.extend(engine::leave_slot(&winner, node));
        }
        // A run that was cut off promoted it. From now on its election is not the last one, and tells of it no more.
        let deposed = intended.deposed.as_ref().filter(|deposed| deposed.node == last.primary);
        if let Some((deposed, node)) = deposed.and_then(|deposed| Some((deposed, self.before.nodes.get(deposed)?)))
            && self.facts(deposed).is_some_and(|facts| wrote(node, facts))
        {
            delta.push(Edit::Role(deposed.clone(), Role::Primary { term: last.term }));
        }
        delta.extend(self.excluded(cluster, election.reason == ElectionReason::Failover));
        let reason = match election.reason {
            ElectionReason::Failover => format!(
                "{} is lost, and {} becomes primary in its place",
                last.primary, election.primary
            ),
            ElectionReason::Switchover | ElectionReason::Birth => {
                format!("{} becomes primary in place of {}", election.primary, last.primary)
            }
        };
        let replaced = intended.deposed.as_ref().and_then(|deposed| self.image_reason(deposed));
        let reason = replaced.map_or(reason.clone(), |image| {
            format!("{reason}, which gets another image ({image})")
        });
        let action = Action::Elect {
            cluster: cluster.clone(),
            election: election.clone(),
            handover: self.handover(&winner, intended).map(Box::new),
        };
        self.push(Draft::new(Address::Cluster(cluster.clone()), action, reason, delta));
    }

    /// Returns who hands over to whom, where a server that writes is to be shut down for one that replays.
    fn handover(&self, winner: &NodeAddress, cluster: &IntendedCluster) -> Option<Handover> {
        let deposed = cluster.deposed.as_ref()?;
        let asked = |address| before::server(self.observed, address);
        let hands_over = asked(deposed).is_some_and(|server| !server.in_recovery)
            && asked(winner).is_some_and(|server| server.in_recovery);
        let server = |address: &NodeAddress| {
            Some(Server {
                node: address.clone(),
                place: Box::new(before::place(self.before, self.observed, address)?),
                password: superuser_password(&address.cluster),
            })
        };
        (hands_over && cluster.fencing == FenceMethod::ShutDown).then_some(Handover {
            primary: server(deposed)?,
            successor: server(winner)?,
        })
    }

    /// Later elections know nothing of who was left behind by this one: whose data is made anew, and, where nobody can
    /// say what the former primary wrote last, whoever is about to go or is stopped, and was not asked.
    fn excluded(&self, cluster: &ClusterName, unproven: bool) -> Vec<Edit> {
        let left = self.before.nodes_of(cluster).filter(|(address, old)| {
            let replays = old.data.is_some() && matches!(old.role, Some(Role::Standby { .. }) | None);
            let new = self.intended.nodes.get(*address);
            let makes = new.is_some_and(|new| matches!(new.data, DataGoal::Make { .. }));
            let asked = new.is_some_and(|new| new.power == Power::Running);
            replays && (makes || (unproven && !asked))
        });
        left.map(|(address, _)| Edit::NeedsRebuild(address.clone(), true))
            .collect()
    }

    fn fence(&mut self, address: &NodeAddress, cluster: &IntendedCluster) {
        let Some(place) = self.before.nodes.get(address).and_then(|node| node.place.clone()) else {
            return;
        };
        let server = Server {
            node: address.clone(),
            place: Box::new(place),
            password: superuser_password(&address.cluster),
        };
        let alive = self.facts(address).is_none_or(|facts| facts.process.is_alive());
        let method = cluster.fencing;
        if method == FenceMethod::ShutDown
            && !alive
            && !self.facts(address).is_some_and(|facts| facts.control.was_shut_down())
        {
            self.start_to_stop(address, cluster);
        }
        let data = self.generation(address).map(Data::directory);
        let winner = &cluster.election.primary;
        let (impact, reason) = match method {
            FenceMethod::ShutDown => (
                Impact::WritePause,
                format!("{} must have written its last before {winner} writes", address.node),
            ),
            FenceMethod::Kill => (
                if alive { Impact::Downtime } else { Impact::None },
                format!(
                    "it must be certain that {} writes no more before {winner} does",
                    address.node
                ),
            ),
            FenceMethod::Attested => (
                Impact::None,
                format!(
                    "{} cannot be reached, and an operator attests that its machine is off",
                    address.node
                ),
            ),
            FenceMethod::Waived => (
                Impact::Downtime,
                format!(
                    "{} cannot be reached, and may go on taking writes: an operator waived the proof",
                    address.node
                ),
            ),
        };
        let seal = data.as_deref().filter(|_| method.attested().is_none());
        let action = Action::Fence {
            server,
            version: cluster.cluster.version,
            seal: seal.map(instance::seal).map(Box::new),
            data,
            method,
        };
        let delta = vec![
            Edit::Fenced(address.clone(), cluster.election.term),
            Edit::Power(address.clone(), Power::Stopped),
            Edit::Unverified(address.cluster.clone()),
        ];
        self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
    }

    /// A server that crashed has not sent its last words: it is started, so that it can be shut down in order.
    fn start_to_stop(&mut self, address: &NodeAddress, cluster: &IntendedCluster) {
        let recorded = self.before.clusters.get(&address.cluster);
        let Some((old, recorded)) = self.before.nodes.get(address).zip(recorded) else {
            return;
        };
        let (Some(place), Some(data)) = (&old.place, old.data.as_ref()) else {
            return;
        };
        let context = NodeContext {
            address,
            made_as: node_made_as(&self.before.made_as, address),
            release: Release::from(&cluster.cluster),
            place: place.clone(),
            has_peers_elsewhere: self
                .intended
                .has_peers_elsewhere(&address.cluster, old.platform.as_ref()),
            image: self.facts(address).and_then(|facts| facts.image.clone()),
            resources: old.resources,
            parameters: &old.parameters,
            generation: data.generation,
            outside: data.outside.is_some(),
            upstream: None,
            // Those it had: the winner's are no promise of its own.
            sync_rule: recorded.sync_rule.clone(),
            replication_password: self.intended.replication_password(&address.cluster),
        };
        // Nobody is to see what no standby has yet.
        let action = Action::Start {
            instance: Box::new(instance::without_clients(&context)),
            server: Server {
                node: address.clone(),
                place: Box::new(place.clone()),
                password: superuser_password(&address.cluster),
            },
            in_recovery: false,
        };
        let delta = vec![Edit::Power(address.clone(), Power::Running), cleared_by_start(address)];
        let reason = "it crashed, and must be shut down in order to have sent all it wrote";
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    /// The data a node has: as recorded, or, where the record lost sight of it, the newest that was seen.
    fn generation(&self, address: &NodeAddress) -> Option<u32> {
        let recorded = self.before.nodes.get(address).and_then(|node| node.data.as_ref());
        let seen = || self.facts(address).and_then(|facts| facts.generations.last().copied());
        recorded.map(|data| data.generation).or_else(seen)
    }

    pub(crate) fn promote(
        &mut self,
        address: &NodeAddress,
        old: Option<&Node>,
        new: &IntendedNode,
        cluster: &IntendedCluster,
        context: &NodeContext<'_>,
    ) {
        if let Some(old) = old.filter(|old| old.power == Power::Stopped) {
            if self.facts(address).is_some_and(|facts| wrote(old, facts)) {
                self.start_promoted(address, new, context);
            } else {
                self.start_candidate(address, old, new, cluster);
            }
        } else if let Some((old, lacking)) = old.zip(self.intended.limits.lacking.get(address)) {
            self.restart_candidate(address, old, new, cluster, lacking.reason(&address.node));
        } else if let Some((old, reason)) = old.zip(self.image_reason(address)) {
            self.restart_candidate(address, old, new, cluster, reason);
        }
        let evidence = self.evidence(address, cluster);
        let impact = match &evidence {
            Evidence::Verdict(Verdict::Unknown(_)) => Impact::DataLoss,
            _ => Impact::WritePause,
        };
        let lost_its_data =
            cluster.election.reason != ElectionReason::Failover && matches!(evidence, Evidence::Verdict(_));
        // What a damaged one has more of is no reason not to promote another one: it takes no lead itself.
        let sound = |other| {
            let node = self.before.node(other);
            node.is_none_or(|node| node.damage.is_none())
        };
        let survivors = self.intended.nodes_of(&address.cluster).filter(|(other, _)| {
            let replays = before::server(self.observed, other).is_some_and(|facts| facts.in_recovery);
            *other != address && replays && sound(*other)
        });
        let action = Action::Promote {
            instance: Box::new(instance::server(context)),
            server: server(address, new),
            survivors: survivors.map(|(other, node)| server(other, node)).collect(),
            evidence,
        };
        let mut delta = vec![
            Edit::Switched(address.cluster.clone()),
            Edit::Succession {
                node: address.clone(),
                former: self.former(address, cluster).unwrap_or(address).node.clone(),
                rule: cluster.sync.before.clone(),
            },
            instance_edit(address, new),
            Edit::Role(address.clone(), new.role.clone()),
        ];
        delta.extend(old.into_iter().flat_map(|old| engine::leave_slot(address, old)));
        if lost_its_data {
            delta.extend(self.excluded(&address.cluster, true));
        }
        if old.is_some_and(|old| old.needs_rebuild) {
            delta.push(Edit::NeedsRebuild(address.clone(), false));
        }
        if old.is_some_and(|old| old.damage.is_some()) {
            delta.push(Edit::Damage(address.clone(), None));
        }
        delta.push(Edit::Unverified(address.cluster.clone()));
        let reason = format!("{} was elected, and no other node writes", address.node);
        self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
    }

    /// What shows that nothing is lost: the former primary's last record where it is shut down in order, else the count
    /// of those who answer.
    fn evidence(&self, address: &NodeAddress, cluster: &IntendedCluster) -> Evidence {
        match (cluster.fencing, self.former(address, cluster)) {
            (FenceMethod::ShutDown, Some(former)) => match self.generation(former) {
                Some(generation) => Evidence::ShutDown {
                    node: former.clone(),
                    version: cluster.cluster.version,
                    data: Data::directory(generation),
                },
                None => Evidence::Verdict(cluster.verdict.clone()),
            },
            _ => Evidence::Verdict(cluster.verdict.clone()),
        }
    }

    /// Returns the node that wrote before the one that was elected.
    fn former<'a>(&'a self, elected: &'a NodeAddress, cluster: &'a IntendedCluster) -> Option<&'a NodeAddress> {
        let fenced = self
            .before
            .nodes_of(&elected.cluster)
            .find(|(_, node)| matches!(node.role, Some(Role::Fenced { term, .. }) if term == cluster.election.term))
            .map(|(address, _)| address);
        cluster.deposed.as_ref().or(fenced)
    }

    /// A node that was fenced and elected again before anybody else was promoted: it goes on where it stopped.
    pub(crate) fn restore(
        &mut self,
        address: &NodeAddress,
        old: Option<&Node>,
        new: &IntendedNode,
        context: &NodeContext<'_>,
    ) {
        let action = Action::Start {
            instance: Box::new(self.instance(context)),
            server: server(address, new),
            in_recovery: false,
        };
        let mut delta = vec![
            instance_edit(address, new),
            Edit::Role(address.clone(), new.role.clone()),
            Edit::Power(address.clone(), Power::Running),
            Edit::StoppedByRequest(address.clone(), false),
            cleared_by_start(address),
        ];
        delta.extend(old.into_iter().flat_map(|old| engine::leave_slot(address, old)));
        let reason = "it leads again: no other node was promoted";
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    pub(crate) fn rewind(
        &mut self,
        address: &NodeAddress,
        generation: u32,
        old: Option<&Node>,
        context: &NodeContext<'_>,
        upstream: &Upstream,
        source: &Server,
    ) {
        let Some((old, from)) = old.and_then(|old| Some((old, old.data.as_ref()?))) else {
            return;
        };
        self.halt(address);
        let last = engine::last_run::last_run(old, self.facts(address));
        let action = Action::Rejoin {
            node: address.clone(),
            task: Box::new(instance::rewind(context, upstream, from.generation, last)),
            data: Data::directory(generation),
            source: source.clone(),
        };
        let mut delta = vec![Edit::Data {
            node: address.clone(),
            generation,
            origin: Origin::Rewound {
                from: upstream.address.node.clone(),
            },
            outside: from.outside.clone(),
        }];
        delta.extend(self.slots_gone_with(address));
        let reason = format!(
            "it may hold writes that {} does not have; if it cannot be rewound, it is cloned",
            upstream.address.node
        );
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    /// Whether this plan fences a node.
    pub(crate) fn is_deposed(&self, address: &NodeAddress) -> bool {
        let cluster = self.intended.clusters.get(&address.cluster);
        cluster.is_some_and(|cluster| cluster.deposed.as_ref() == Some(address))
    }

    /// Returns the record that a standby's data is to be made anew: once its server is down, nobody sees any more what it
    /// has that others have not.
    pub(crate) fn rebuilt_later(&self, address: &NodeAddress) -> Option<Edit> {
        let old = self.before.nodes.get(address)?;
        let new = self.intended.nodes.get(address)?;
        let replays = old.data.is_some() && matches!(old.role, Some(Role::Standby { .. }));
        let due = replays && matches!(new.data, DataGoal::Make { .. }) && !self.resyncs(address);
        due.then(|| Edit::NeedsRebuild(address.clone(), true))
    }

    /// Stops a server whose data is worked on next: somebody may have started one that was fenced, and it runs with the
    /// settings of the primary it was. One that is fenced in this plan is down by then.
    pub(crate) fn halt(&mut self, address: &NodeAddress) {
        if self.is_deposed(address) || !self.facts(address).is_some_and(|facts| facts.process.is_alive()) {
            return;
        }
        let writes = before::server(self.observed, address).is_some_and(|facts| !facts.in_recovery);
        let impact = if writes { Impact::DataLoss } else { Impact::Restart };
        let mut delta = vec![Edit::Power(address.clone(), Power::Stopped)];
        delta.extend(self.rebuilt_later(address));
        let action = Action::Stop { node: address.clone() };
        let reason = "its data is brought in line with the primary's";
        self.push(Draft::new(address.clone(), action, reason, delta).costing(impact));
    }
}
