//! What a step needs and what it gives, told in one place per step.
//!
//! The graph lets a step wait for those that give what it needs; the guard asks the record for the same needs just before
//! the step runs. What a step only prefers is no need of it: the rules of `planner::order` say that.

use simdb_state::address::{EndpointAddress, NodeAddress};
use simdb_state::delta::Edit;
use simdb_state::name::{ClusterName, DatabaseName, NetworkName, PlatformName};
use simdb_state::object::{Slot, Term};

use super::{Action, Impact, Server, Step};

/// Something that holds of a network, a cluster or one of its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact<'a> {
    /// The network is there.
    Network(&'a NetworkName),
    /// Networks have a part on the platform.
    Part(&'a PlatformName),
    /// No cluster is in the network.
    Unused(&'a NetworkName),
    /// What is declared of the cluster as a whole is recorded.
    Settings(&'a ClusterName),
    /// Nothing is left of the cluster.
    Empty(&'a ClusterName),
    /// The cluster is forgotten.
    Forgotten(&'a ClusterName),
    /// No node of the cluster is left.
    NoNodes(&'a ClusterName),
    /// All that is made or changed in the cluster is.
    Built(&'a ClusterName),
    /// Replication is proven in the cluster.
    Verified(&'a ClusterName),

    /// The election is held under which the step runs.
    Decided(&'a ClusterName),
    /// This is the election after the last one.
    NextTerm(&'a ClusterName, Term),
    /// The node was elected.
    Elected(&'a NodeAddress),
    /// Another node was elected.
    Deposed(&'a NodeAddress),
    /// The clients of the cluster's poolers wait.
    Paused(&'a ClusterName),
    /// No node of the cluster writes but the one that the step is about.
    OnlyWriter(&'a ClusterName),
    /// The lead has passed to the node that was elected.
    Promoted(&'a ClusterName),

    /// The node has the data that it is to have.
    HasData(&'a NodeAddress),
    /// The node has data, though perhaps not yet the data that it is to have.
    HadData(&'a NodeAddress),
    /// No server runs on the node's data.
    Stopped(&'a NodeAddress),
    /// The node's server was started.
    Started(&'a NodeAddress),
    /// The node's server has the parameters that it is to have.
    Configured(&'a NodeAddress),
    /// The node serves as it is to: with its data, role and parameters.
    Serves(&'a NodeAddress),
    /// The node serves, though perhaps not yet as it is to.
    Served(&'a NodeAddress),
    /// The node writes.
    Leads(&'a NodeAddress),
    /// The node streams from the upstream that it is to have.
    Streams(&'a NodeAddress),
    /// No standby follows the node.
    Unfollowed(&'a NodeAddress),
    /// The node is gone.
    Gone(&'a NodeAddress),

    /// What the node has yet to receive is retained for it, on a node that serves.
    Retained(&'a NodeAddress),
    /// What the node has yet to receive is retained for it on this other one.
    RetainedOn(&'a NodeAddress, &'a NodeAddress),
    /// The node retains what others have yet to receive.
    Retains(&'a NodeAddress),
    /// No node streams through the slot of this one.
    Released(&'a NodeAddress, &'a Slot),
    /// Nothing is retained any more where the node streamed from before.
    LeavesNothing(&'a NodeAddress),
    /// It is recorded that commits no longer wait for standbys that were lost.
    Degraded(&'a ClusterName),
    /// Commits wait for whom they are to.
    CommitRule(&'a ClusterName),
    /// Clients are let in that were kept out.
    Opened(&'a ClusterName),

    /// The login is there that standbys stream with.
    StreamLogin(&'a ClusterName),
    /// That login has another password, which stands in the files of all nodes.
    Rotated(&'a ClusterName),
    /// The login is there.
    User(&'a ClusterName, &'a str),
    /// The database is there.
    Database(&'a ClusterName, &'a DatabaseName),
    /// A seed of the database has run.
    Seeded(&'a ClusterName, &'a DatabaseName),
    /// The databases are gone that are no longer declared.
    DatabasesGone(&'a ClusterName),

    /// The entry of the endpoint leads to its target.
    Entry(&'a EndpointAddress),
    /// The entries are gone that are no longer declared.
    EntriesGone(&'a ClusterName),
    /// The endpoint has a pooler that leads to its target.
    HasPooler(&'a EndpointAddress),
    /// The endpoint has a pooler, wherever that leads.
    HadPooler(&'a EndpointAddress),
    /// The pooler of the endpoint is gone.
    PoolerGone(&'a EndpointAddress),
}

/// What a step needs, and what it gives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    pub(crate) needs: Vec<Fact<'a>>,
    pub(crate) gives: Vec<Fact<'a>>,
}

impl<'a> Facts<'a> {
    /// Returns the facts of a step that needs these.
    pub(crate) fn needing(needs: impl IntoIterator<Item = Fact<'a>>) -> Self {
        Self::default().and_needing(needs)
    }

    /// Returns the facts of a step that gives these.
    pub(crate) fn giving(gives: impl IntoIterator<Item = Fact<'a>>) -> Self {
        Self::default().and_giving(gives)
    }

    pub(crate) fn and_needing(mut self, needs: impl IntoIterator<Item = Fact<'a>>) -> Self {
        self.needs.extend(needs);
        self
    }

    pub(crate) fn and_giving(mut self, gives: impl IntoIterator<Item = Fact<'a>>) -> Self {
        self.gives.extend(gives);
        self
    }
}

impl Step {
    /// Returns what the step needs, and what it gives.
    pub(crate) fn facts(&self) -> Facts<'_> {
        let mut facts = self.own_facts();
        for edit in &self.delta.0 {
            match edit {
                Edit::Cluster(_, cluster) => facts.needs.push(Fact::Network(&cluster.network)),
                Edit::Instance(instance) => facts.needs.extend(instance.platform.as_ref().map(Fact::Part)),
                _ => {}
            }
        }
        if let Some(cluster) = self.address.cluster() {
            match &self.action {
                Action::DropCluster { .. } | Action::Verify { .. } => {}
                action if action.removes() => facts.gives.push(Fact::Empty(cluster)),
                _ => facts.gives.push(Fact::Built(cluster)),
            }
        }
        facts
    }

    #[expect(clippy::too_many_lines, reason = "one arm for each kind of step")]
    fn own_facts(&self) -> Facts<'_> {
        match &self.action {
            Action::Network { network, attributes } => {
                Facts::giving([Fact::Network(network)]).and_giving(attributes.also_on.iter().map(Fact::Part))
            }
            Action::Primary {
                server: Server { node, .. },
                ..
            } => Facts::needing([Fact::Stopped(node), Fact::OnlyWriter(&node.cluster)])
                .and_giving([Fact::HasData(node), Fact::Leads(node)])
                .and_giving(started(node)),
            Action::Import {
                server: Server { node, .. },
                upstream: None,
                ..
            } => Facts::needing([Fact::OnlyWriter(&node.cluster)])
                .and_giving([Fact::HasData(node), Fact::Leads(node)])
                .and_giving(started(node)),
            Action::Import {
                server: Server { node, .. },
                upstream: Some(upstream),
                ..
            } => Facts::needing([Fact::RetainedOn(node, &upstream.node), Fact::Serves(&upstream.node)])
                .and_needing([Fact::StreamLogin(&node.cluster)])
                .and_giving([Fact::HasData(node), Fact::Streams(node)])
                .and_giving(started(node)),
            Action::Elect { cluster, election, .. } => {
                Facts::needing([Fact::NextTerm(cluster, election.term)]).and_giving([Fact::Decided(cluster)])
            }
            Action::Degrade { cluster, .. } => Facts::giving([Fact::Degraded(cluster)]),
            Action::Fence {
                server: Server { node, .. },
                ..
            } => {
                let cluster = &node.cluster;
                Facts::needing([
                    Fact::Decided(cluster),
                    Fact::Deposed(node),
                    Fact::Started(node),
                    Fact::Paused(cluster),
                ])
                .and_giving([Fact::Stopped(node), Fact::OnlyWriter(cluster)])
            }
            Action::Promote {
                server: Server { node, .. },
                ..
            } => {
                let cluster = &node.cluster;
                Facts::needing([Fact::Decided(cluster), Fact::Elected(node)])
                    .and_needing([Fact::Started(node), Fact::Configured(node), Fact::OnlyWriter(cluster)])
                    .and_giving([Fact::Promoted(cluster), Fact::Leads(node), Fact::Serves(node)])
            }
            Action::Rejoin { node, source, .. } => {
                Facts::needing([Fact::Stopped(node), Fact::RetainedOn(node, &source.node)])
                    .and_needing([Fact::Serves(&source.node), Fact::StreamLogin(&node.cluster)])
                    .and_giving([Fact::HasData(node)])
            }
            Action::ReplicationUser {
                user,
                server: Server { node, .. },
                streams,
                ..
            } => {
                let facts = Facts::giving([Fact::StreamLogin(&user.cluster)]);
                if streams.is_empty() {
                    return facts.and_needing([Fact::Serves(node)]);
                }
                // Streams get another password before anything moves.
                facts
                    .and_needing([Fact::Served(node), Fact::Started(node), Fact::Leads(node)])
                    .and_giving([Fact::Rotated(&user.cluster)])
            }
            Action::User {
                user,
                attributes,
                server,
                ..
            } => {
                let roles = attributes.member_of.iter();
                Facts::needing(roles.map(|role| Fact::User(&user.cluster, role)))
                    .and_needing([Fact::Serves(&server.node)])
                    .and_giving([Fact::User(&user.cluster, user.user.as_str())])
            }
            Action::Database {
                database,
                attributes,
                server,
            } => Facts::needing([
                Fact::Serves(&server.node),
                Fact::User(&database.cluster, &attributes.owner),
            ])
            .and_giving([Fact::Database(&database.cluster, &database.database)]),
            Action::Seed {
                seed,
                database,
                owner,
                server,
                ..
            } => {
                let cluster = &seed.cluster;
                // It runs as a client does, and clients may be kept out until then.
                Facts::needing([Fact::Serves(&server.node), Fact::Opened(cluster)])
                    .and_needing([Fact::Database(cluster, database), Fact::User(cluster, owner)])
                    .and_giving([Fact::Seeded(cluster, database)])
            }
            Action::Clone { node, .. } => Facts::needing([
                Fact::Stopped(node),
                Fact::Retained(node),
                Fact::StreamLogin(&node.cluster),
            ])
            .and_giving([Fact::HasData(node)]),
            Action::Join {
                server: Server { node, .. },
                upstream,
                ..
            } => Facts::needing([
                Fact::Stopped(node),
                Fact::HasData(node),
                Fact::RetainedOn(node, &upstream.node),
            ])
            .and_needing([Fact::Serves(&upstream.node), Fact::StreamLogin(&node.cluster)])
            .and_giving([Fact::Configured(node), Fact::Serves(node), Fact::Streams(node)]),
            Action::Start {
                server: Server { node, .. },
                in_recovery: true,
                ..
            } => Facts::needing([Fact::HasData(node)]).and_giving(started(node)),
            // It is started to be shut down in order, or to lead.
            Action::Start {
                server: Server { node, .. },
                in_recovery: false,
                ..
            } => Facts::needing([Fact::HadData(node), Fact::Decided(&node.cluster)])
                .and_giving([Fact::Leads(node)])
                .and_giving(started(node)),
            Action::Stop { node } if self.is_astray() => Facts::needing([Fact::Decided(&node.cluster)])
                .and_giving([Fact::Stopped(node), Fact::OnlyWriter(&node.cluster)]),
            Action::Stop { node } => Facts::giving([Fact::Stopped(node)]),
            Action::Configure {
                server: Server { node, .. },
                ..
            } => Facts::needing([Fact::HasData(node)]).and_giving([Fact::Configured(node), Fact::Serves(node)]),
            Action::Cluster { cluster } => Facts::giving([Fact::Settings(cluster)]),
            Action::Follow {
                server: Server { node, .. },
                upstream,
                ..
            } => Facts::needing([Fact::HasData(node), Fact::RetainedOn(node, &upstream.node)])
                .and_needing([Fact::Serves(&upstream.node), Fact::StreamLogin(&node.cluster)])
                .and_giving([Fact::Serves(node), Fact::Streams(node)]),
            Action::Verify {
                cluster,
                primary,
                standbys,
                ..
            } => {
                let servers = std::iter::once(primary).chain(standbys.values().map(|standby| &standby.server));
                Facts::needing(servers.map(|server| Fact::Serves(&server.node)))
                    .and_needing([Fact::Built(cluster)])
                    .and_giving([Fact::Verified(cluster)])
            }
            Action::Endpoint { endpoint, .. } => Facts::giving([Fact::Entry(endpoint)]),
            Action::DropNode { node } => {
                let cluster = &node.cluster;
                Facts::needing([Fact::Unfollowed(node), Fact::EntriesGone(cluster)])
                    .and_needing(built(cluster))
                    .and_giving([Fact::Gone(node), Fact::NoNodes(cluster)])
            }
            Action::DropEndpoint { endpoint, .. } => {
                Facts::needing([Fact::PoolerGone(endpoint)]).and_giving([Fact::EntriesGone(&endpoint.cluster)])
            }
            // What a server holds is removed there, or goes with all servers of its cluster.
            Action::DropUser { user, server: None } => Facts::needing([Fact::NoNodes(&user.cluster)]),
            // A database that the role owns would keep it.
            Action::DropUser {
                user,
                server: Some(server),
            } => Facts::needing([Fact::Serves(&server.node), Fact::DatabasesGone(&user.cluster)])
                .and_needing(built(&user.cluster)),
            Action::DropDatabase { database, server } => {
                let cluster = &database.cluster;
                let facts = Facts::giving([Fact::DatabasesGone(cluster)]);
                match server {
                    None => facts.and_needing([Fact::NoNodes(cluster)]),
                    Some(server) => facts
                        .and_needing(built(cluster))
                        .and_needing([Fact::Serves(&server.node)]),
                }
            }
            Action::DropCluster { cluster } => {
                Facts::needing([Fact::Empty(cluster)]).and_giving([Fact::Forgotten(cluster)])
            }
            Action::DropNetwork { network, on } if on.is_empty() => Facts::needing([Fact::Unused(network)]),
            Action::Record {} | Action::DropSeed { .. } | Action::DropNetwork { .. } => Facts::default(),
            Action::Engine(action) => action.facts(&self.delta),
        }
    }

    /// Returns whether the step stops a server that writes and was never to: no other stop costs data.
    pub(crate) fn is_astray(&self) -> bool {
        matches!(self.action, Action::Stop { .. }) && self.impact == Impact::DataLoss
    }
}

impl Action {
    /// Returns whether the step removes something. Such steps are called so.
    fn removes(&self) -> bool {
        self.name().starts_with("drop")
    }
}

/// What a server that was started gives, unless its role changes next.
fn started(node: &NodeAddress) -> [Fact<'_>; 3] {
    [Fact::Started(node), Fact::Configured(node), Fact::Serves(node)]
}

/// All that is made and changed in a cluster is, and is proven.
fn built(cluster: &ClusterName) -> [Fact<'_>; 2] {
    [Fact::Built(cluster), Fact::Verified(cluster)]
}
