//! When clients are let in again after their primary crashed.
//!
//! A commit that waited for its standbys when the primary died is there when it is back, and every session sees it, on no
//! node but this one: a failover would take it back. So a primary that crashed comes up for standbys and for simdb
//! alone, and its clients are let in when as many standbys as commits wait for have all that it has. After a shutdown in
//! order they have it already.

use simdb_state::address::{Address, NodeAddress};
use simdb_state::delta::Edit;
use simdb_state::instance::InstanceSpec;
use simdb_state::name::ClusterName;
use simdb_state::object::{Cluster, Node, Power};
use simdb_state::place::Place;

use crate::engine::postgresql::{Action, instance};
use crate::engine::{self, NodeContext};
use crate::observed::{Control, ProcessFacts};
use crate::planner::intended::{IntendedCluster, Lead};
use crate::planner::lower::{Draft, Lowering, server};

impl Lowering<'_> {
    /// Lets the clients of a primary in that came up without them.
    pub(crate) fn open(&mut self, name: &ClusterName, cluster: &IntendedCluster) {
        let Some((primary, node)) = self.intended.running_primary(name) else {
            return;
        };
        let mut context = self.intended.context(&primary, node, cluster);
        let Some(awaited) = self.held_back(&context) else {
            return;
        };
        if !self.intended.keeps_standbys(name, awaited) {
            // Commits wait for others by then.
            context.sync_rule.clone_from(&cluster.sync.after);
        }
        let action = engine::Action::from(Action::Open {
            instance: Box::new(instance::server(&context)),
            server: server(&primary, node),
            awaited,
        });
        let crashed = match self.facts(&primary).map(|facts| (&facts.process, &facts.control)) {
            Some((ProcessFacts::Stopping { .. }, _)) => "has not ended yet and may be killed".to_owned(),
            Some((_, Control::Unknown(reason))) => format!("may have crashed ({reason})"),
            None => "may have crashed (it was not looked at)".to_owned(),
            Some(_) => "crashed".to_owned(),
        };
        let reason = format!(
            "{} {crashed}, and may show commits that no standby has yet",
            primary.node
        );
        let delta = vec![Edit::Unverified(name.clone())];
        self.push(Draft::new(Address::Node(primary), action, reason, delta));
    }

    /// Returns the server of a node: without its clients where they are let in by a step of their own.
    pub(crate) fn instance(&self, context: &NodeContext<'_>) -> InstanceSpec {
        match self.held_back(context) {
            Some(_) => instance::without_clients(context),
            None => instance::server(context),
        }
    }

    /// Returns how many standbys must have all that a primary has before its clients are let in again: as many as commits
    /// waited for, and no more than they are to wait for. Nothing where clients are not held back.
    pub(crate) fn held_back(&self, context: &NodeContext<'_>) -> Option<u32> {
        let address = context.address;
        let declared = self.intended.clusters.get(&address.cluster)?.sync.awaited;
        let awaited = context.sync_rule.number.min(declared);
        let held_back = awaited > 0 && self.leads_on(address) && self.may_show_unconfirmed(address, context);
        held_back.then_some(awaited)
    }

    /// Returns whether a server may have commits that its standbys lack and that no client has seen. What cannot be
    /// shown to have been shut down in order counts as crashed; one that is still stopping may yet be killed.
    fn may_show_unconfirmed(&self, address: &NodeAddress, context: &NodeContext<'_>) -> bool {
        let Some(facts) = self.facts(address) else {
            return !self.is_proven_to_serve(address);
        };
        match facts.process {
            ProcessFacts::Down => !facts.control.was_shut_down(),
            ProcessFacts::Stopping { .. } => true,
            ProcessFacts::Running { .. } | ProcessFacts::Frozen { .. } | ProcessFacts::Foreign { .. } => {
                let seen = Place::seen(facts.listen, facts.published, Some(&context.place));
                instance::keeps_clients_out(facts, seen.as_ref().unwrap_or(&context.place))
            }
        }
    }

    /// Returns whether the record alone says that a server runs and that its clients were let in: every start clears the
    /// proof of replication, which comes after the clients.
    fn is_proven_to_serve(&self, address: &NodeAddress) -> bool {
        let runs = |node: &Node| node.power == Power::Running;
        let proven = |cluster: &Cluster| cluster.verified.is_some();
        self.before.node(address).is_some_and(runs) && self.before.clusters.get(&address.cluster).is_some_and(proven)
    }

    /// Whether a node led before, and leads on.
    fn leads_on(&self, address: &NodeAddress) -> bool {
        let cluster = self.intended.clusters.get(&address.cluster);
        cluster.is_some_and(|cluster| cluster.lead != Lead::Passes && cluster.election.primary == address.node)
            && self.before.nodes.get(address).is_some_and(|node| node.data.is_some())
    }
}
