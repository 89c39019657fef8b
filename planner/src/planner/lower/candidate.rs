//! The node that was elected, until it is promoted: its server is started where it is down, and restarted where it has too
//! little to replay its log.

use simdb_state::address::{NodeAddress, node_made_as};
use simdb_state::delta::Edit;
use simdb_state::instance::InstanceSpec;
use simdb_state::object::{Node, Power, Role};
use simdb_state::sync::SyncRule;

use super::{Draft, Lowering, cleared_by_start, instance_edit, server};
use crate::engine::instance::superuser_password;
use crate::engine::parameters::Release;
use crate::engine::{NodeContext, Upstream, instance};
use crate::plan::{Action, Impact, Server};
use crate::planner::before;
use crate::planner::intended::{IntendedCluster, IntendedNode};

impl Lowering<'_> {
    /// Returns the server of a node that was elected, as it replays until it is promoted, and the node it streams from.
    fn candidate(
        &self,
        address: &NodeAddress,
        old: &Node,
        new: &IntendedNode,
        cluster: &IntendedCluster,
    ) -> Option<(InstanceSpec, NodeAddress)> {
        // Its slot may be gone, or it may have had none: it is started all the same, to replay, and whether it has
        // everything the promotion finds out.
        let followed = old.role.as_ref().and_then(Role::follows);
        let deposed = cluster.deposed.as_ref().map(|deposed| &deposed.node);
        let others = self.before.nodes_of(&address.cluster).map(|(other, _)| &other.node);
        let slot = old.slot.as_ref().map(|slot| &slot.upstream);
        let upstreams = slot.into_iter().chain(followed).chain(deposed).chain(others);
        let mut upstreams = upstreams.filter(|other| **other != address.node).filter_map(|other| {
            let upstream = address.sibling(other);
            let at = self.before.nodes.get(&upstream)?.reached_from(old.platform.as_ref());
            Some((at?, upstream))
        });
        let (at, upstream) = upstreams.next()?;
        let context = NodeContext {
            address,
            made_as: node_made_as(&self.before.made_as, address),
            release: Release::from(&cluster.cluster),
            place: new.place.clone(),
            has_peers_elsewhere: self
                .intended
                .has_peers_elsewhere(&address.cluster, new.platform.as_ref()),
            image: new.image.known().cloned(),
            resources: new.resources,
            parameters: &new.parameters,
            generation: new.data.generation(),
            outside: new.data.outside().is_some(),
            upstream: Some(Upstream {
                address: upstream.clone(),
                at,
                slot: address.node.identifier(),
            }),
            sync_rule: SyncRule::default(),
            replication_password: self.intended.replication_password(&address.cluster),
        };
        Some((instance::server(&context), upstream))
    }

    pub(crate) fn start_candidate(
        &mut self,
        address: &NodeAddress,
        old: &Node,
        new: &IntendedNode,
        cluster: &IntendedCluster,
    ) {
        let Some((instance, upstream)) = self.candidate(address, old, new, cluster) else {
            return;
        };
        let replays = Role::Standby {
            follows: upstream.node.clone(),
        };
        let action = Action::Start {
            instance: Box::new(instance),
            server: server(address, new),
            in_recovery: true,
        };
        let delta = vec![
            instance_edit(address, new),
            Edit::Role(address.clone(), replays),
            Edit::Power(address.clone(), Power::Running),
            Edit::StoppedByRequest(address.clone(), false),
            cleared_by_start(address),
        ];
        let reason = "it was elected, and its server is down";
        self.push(Draft::new(address.clone(), action, reason, delta));
    }

    /// A standby that paused its replay because it has less than its log asks for ends where it is promoted, and one that is made
    /// from another image would pause writes once it leads: it is restarted first.
    pub(crate) fn restart_candidate(
        &mut self,
        address: &NodeAddress,
        old: &Node,
        new: &IntendedNode,
        cluster: &IntendedCluster,
        reason: String,
    ) {
        let Some((instance, upstream)) = self.candidate(address, old, new, cluster) else {
            return;
        };
        let action = Action::Configure {
            instance: Box::new(instance),
            server: server(address, new),
            restart: true,
            in_recovery: true,
            upstream: self.writing(&upstream),
        };
        let delta = vec![instance_edit(address, new), cleared_by_start(address)];
        let draft = Draft::new(address.clone(), action, reason, delta);
        let identifier = address.node.identifier();
        let awaited = self
            .before
            .clusters
            .get(&address.cluster)
            .map(|cluster| &cluster.sync_rule);
        let needed = awaited
            .is_some_and(|rule| rule.standbys.contains(&identifier) && rule.standbys.len() <= rule.number as usize);
        let impact = if needed { Impact::WritePause } else { Impact::Restart };
        self.push(draft.costing(impact));
    }

    /// Returns the server of a node that was seen to write: who is restarted streams from it again before it is fenced.
    fn writing(&self, address: &NodeAddress) -> Option<Server> {
        before::server(self.observed, address).filter(|server| !server.in_recovery)?;
        Some(Server {
            node: address.clone(),
            place: Box::new(before::place(self.before, self.observed, address)?),
            password: superuser_password(&address.cluster),
        })
    }

    /// A run that was cut off promoted it, and then it went down: it may have acknowledged writes. Started to replay it
    /// would no longer be known from one that was never promoted.
    pub(crate) fn start_promoted(&mut self, address: &NodeAddress, new: &IntendedNode, context: &NodeContext<'_>) {
        let action = Action::Start {
            instance: Box::new(instance::without_clients(context)),
            server: server(address, new),
            in_recovery: false,
        };
        let delta = vec![
            instance_edit(address, new),
            Edit::Power(address.clone(), Power::Running),
            Edit::StoppedByRequest(address.clone(), false),
            cleared_by_start(address),
        ];
        let reason = "it was promoted already, and its server is down";
        self.push(Draft::new(address.clone(), action, reason, delta));
    }
}
