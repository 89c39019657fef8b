//! Puts steps in order: each rule says what one kind of step waits for, whatever operation it is part of.
//!
//! No rule knows a procedure by name. What clones, follows or publishes waits for a source that serves; a slot comes
//! before the copy it protects; proof comes after everything that it is to prove; what goes, goes last.

mod graph;

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{self, Address, DatabaseAddress, EndpointAddress, NodeAddress, SeedAddress, UserAddress};
use simdb_state::delta::Edit;
use simdb_state::name::{ClusterName, NetworkName, NodeName};
use simdb_state::object::{Node, Power, Role, State, Term};

use self::graph::Waits;
use super::intend::{Intended, IntendedNode};
use super::lower::Draft;
use crate::desired::Desired;
use crate::desired::access::{database_address, user_address};
use crate::diagnostic::Diagnostic;
use crate::engine::pgbouncer;
use crate::engine::postgresql::instance::user;
use crate::engine::postgresql::sync;
use crate::plan::{Action, Server, Step, StepId};

/// Where the steps are that others wait for.
#[derive(Default)]
struct Index {
    network: BTreeMap<NetworkName, usize>,
    /// The step that lets a node that is down serve.
    up: BTreeMap<NodeAddress, usize>,
    /// The step after which a node serves with the data, role and parameters it should have.
    serves: BTreeMap<NodeAddress, usize>,
    slot: BTreeMap<NodeAddress, usize>,
    /// The slots that a node is to keep.
    slot_on: BTreeMap<NodeAddress, Vec<usize>>,
    data: BTreeMap<NodeAddress, usize>,
    stop: BTreeMap<NodeAddress, usize>,
    /// The step that starts, restarts or configures a server that is then to follow another one.
    starts: BTreeMap<NodeAddress, usize>,
    settings: BTreeMap<ClusterName, usize>,
    sync_names: BTreeMap<ClusterName, usize>,
    degrade: BTreeMap<ClusterName, usize>,
    /// The step after which commits no longer wait for who was lost.
    degraded: BTreeMap<ClusterName, usize>,
    drop_slots: BTreeMap<NodeAddress, Vec<usize>>,
    /// The step that starts a server whose role changes next.
    start: BTreeMap<NodeAddress, usize>,
    elect: BTreeMap<ClusterName, usize>,
    fence: BTreeMap<ClusterName, usize>,
    promote: BTreeMap<ClusterName, (NodeAddress, usize)>,
    /// The step that makes or changes the login that standbys stream with.
    replication_user: BTreeMap<ClusterName, usize>,
    /// The same step where it gives that login another password, and so writes files of all nodes.
    rotation: BTreeMap<ClusterName, usize>,
    user: BTreeMap<UserAddress, usize>,
    database: BTreeMap<DatabaseAddress, usize>,
    /// The seeds of a database in the order in which they run.
    seeds: BTreeMap<DatabaseAddress, Vec<(SeedAddress, usize)>>,
    drop_databases: BTreeMap<ClusterName, Vec<usize>>,
    /// Everything in a cluster that makes or changes something.
    builds: BTreeMap<ClusterName, Vec<usize>>,
    /// The steps after which the clients of a cluster's poolers wait.
    pause: BTreeMap<ClusterName, Vec<usize>>,
    /// The step after which an endpoint's pooler leads where it should.
    pooler: BTreeMap<EndpointAddress, usize>,
    endpoint: BTreeMap<EndpointAddress, usize>,
    drop_pooler: BTreeMap<EndpointAddress, usize>,
    follow: BTreeSet<NodeAddress>,
    drop_endpoints: BTreeMap<ClusterName, Vec<usize>>,
    drop_node: BTreeMap<NodeAddress, usize>,
    /// Everything in a cluster that removes something, the cluster itself aside.
    drops: BTreeMap<ClusterName, Vec<usize>>,
    drop_clusters: Vec<usize>,
}

impl Index {
    fn of(drafts: &[Draft]) -> Self {
        let mut index = Self::default();
        for (at, draft) in drafts.iter().enumerate() {
            index.add(at, draft);
        }
        index
    }

    fn add(&mut self, at: usize, draft: &Draft) {
        let cluster = draft.address.cluster();
        if let Action::Primary { server, .. } | Action::Start { server, .. } = &draft.action {
            self.up.entry(server.node.clone()).or_insert(at);
        }
        match &draft.action {
            Action::Network { network } => drop(self.network.insert(network.clone(), at)),
            Action::Primary { server, .. } | Action::Configure { server, .. } => {
                self.starts.insert(server.node.clone(), at);
                // A node that is to follow serves when it does.
                self.serves.entry(server.node.clone()).or_insert(at);
            }
            Action::Start { server, .. } => {
                self.start.insert(server.node.clone(), at);
                self.starts.insert(server.node.clone(), at);
                self.serves.entry(server.node.clone()).or_insert(at);
            }
            Action::Standby { server, .. } => {
                self.starts.insert(server.node.clone(), at);
                self.serves.insert(server.node.clone(), at);
            }
            Action::Follow { server, .. } => {
                self.serves.insert(server.node.clone(), at);
                self.follow.insert(server.node.clone());
            }
            Action::Cluster { cluster } => drop(self.settings.insert(cluster.clone(), at)),
            Action::SyncNames { cluster, .. } => {
                // Where commits stop waiting for who was lost first, that comes first.
                let last = self.sync_names.insert(cluster.clone(), at);
                self.degraded.extend(last.map(|first| (cluster.clone(), first)));
            }
            Action::Degrade { cluster, .. } => drop(self.degrade.insert(cluster.clone(), at)),
            Action::DropSlot { node, .. } => self.drop_slots.entry(node.clone()).or_default().push(at),
            Action::Elect { cluster, .. } => drop(self.elect.insert(cluster.clone(), at)),
            Action::Fence { server, .. } => {
                self.fence.insert(server.node.cluster.clone(), at);
                self.stop.insert(server.node.clone(), at);
            }
            Action::Promote { server, .. } => {
                self.serves.insert(server.node.clone(), at);
                self.up.insert(server.node.clone(), at);
                let cluster = server.node.cluster.clone();
                self.promote.insert(cluster, (server.node.clone(), at));
            }
            Action::Slot { node, server, .. } => {
                self.slot.insert(node.clone(), at);
                self.slot_on.entry(server.node.clone()).or_default().push(at);
            }
            Action::Basebackup { node, .. } | Action::Rewind { node, .. } => {
                self.data.insert(node.clone(), at);
            }
            Action::ReplicationUser { user, streams, .. } => {
                self.replication_user.insert(user.cluster.clone(), at);
                if !streams.is_empty() {
                    self.rotation.insert(user.cluster.clone(), at);
                }
            }
            Action::User { user, .. } => drop(self.user.insert(user.clone(), at)),
            Action::Database { database, .. } => drop(self.database.insert(database.clone(), at)),
            Action::Seed { seed, database, .. } => {
                let database = database_address(&seed.cluster, database);
                self.seeds.entry(database).or_default().push((seed.clone(), at));
            }
            Action::DropDatabase { database, .. } => {
                let drops = self.drop_databases.entry(database.cluster.clone());
                drops.or_default().push(at);
            }
            Action::DropNode { node } => drop(self.drop_node.insert(node.clone(), at)),
            Action::Stop { node } => drop(self.stop.insert(node.clone(), at)),
            Action::DropCluster { .. } => self.drop_clusters.push(at),
            Action::DropEndpoint { endpoint, .. } => {
                self.drop_endpoints
                    .entry(endpoint.cluster.clone())
                    .or_default()
                    .push(at);
            }
            Action::Pause { console, .. } => {
                let cluster = console.endpoint.cluster.clone();
                self.pause.entry(cluster).or_default().push(at);
            }
            Action::Pooler { console, .. } | Action::Repoint { console, .. } => {
                self.pooler.insert(console.endpoint.clone(), at);
            }
            Action::Endpoint { endpoint, .. } => drop(self.endpoint.insert(endpoint.clone(), at)),
            Action::DropPooler { endpoint } => drop(self.drop_pooler.insert(endpoint.clone(), at)),
            Action::VerifySync { .. }
            | Action::Resume { .. }
            | Action::Unpause { .. }
            | Action::StopPooler { .. }
            | Action::DropUser { .. }
            | Action::DropSeed { .. }
            | Action::DropNetwork { .. } => {}
        }
        let Some(cluster) = cluster else { return };
        let group = match &draft.action {
            Action::DropCluster { .. } | Action::VerifySync { .. } => return,
            action if action.name().starts_with("drop") => &mut self.drops,
            _ => &mut self.builds,
        };
        group.entry(cluster.clone()).or_default().push(at);
    }
}

/// What the rules look at.
struct Rules<'a> {
    index: Index,
    before: &'a State,
    intended: &'a Intended,
    verify: BTreeMap<ClusterName, usize>,
    /// The steps that drop a slot and keep the record of its node.
    left: BTreeSet<usize>,
    /// The node that is given other parameters just before another one.
    rolling: BTreeMap<NodeAddress, usize>,
}

impl Rules<'_> {
    /// Returns what one step waits for.
    #[expect(clippy::too_many_lines, reason = "one short arm for each kind of step")]
    fn waits_for(&self, draft: &Draft) -> Vec<usize> {
        let serves = |node: &NodeAddress| self.index.serves.get(node).copied();
        let index = &self.index;
        match &draft.action {
            Action::Network { .. }
            | Action::Elect { .. }
            | Action::Degrade { .. }
            | Action::Resume { .. }
            | Action::StopPooler { .. }
            | Action::DropSeed { .. } => Vec::new(),
            Action::Cluster { cluster } => self.network_of(cluster).into_iter().collect(),
            Action::Primary { server, .. } => self
                .network_of(&server.node.cluster)
                .into_iter()
                .chain(index.stop.get(&server.node).copied())
                .collect(),
            Action::Fence { server, .. } => {
                let mut waits = self.before_the_pause(&server.node);
                waits.extend(index.pause.get(&server.node.cluster).into_iter().flatten());
                waits
            }
            Action::Pause { server, .. } => self.before_the_pause(&server.node),
            Action::Pooler { console, .. } | Action::Repoint { console, .. } => {
                let user = user(&console.endpoint.cluster, pgbouncer::USER);
                let login = index.user.get(&user).copied();
                self.primary_serves(&console.endpoint.cluster)
                    .into_iter()
                    .chain(login)
                    .collect()
            }
            Action::Unpause { console } => self.unpause(&console.endpoint),
            Action::DropPooler { endpoint } => index.endpoint.get(endpoint).copied().into_iter().collect(),
            Action::DropEndpoint { endpoint, .. } => index.drop_pooler.get(endpoint).copied().into_iter().collect(),
            Action::Promote { server, .. } => self.promote(&server.node),
            // A slot can be made before its server writes, and then nobody waits for it while nobody writes.
            Action::Slot { server, .. } if self.replays(&server.node) => self.elected(&server.node),
            Action::Slot { server, .. } => serves(&server.node).into_iter().collect(),
            Action::ReplicationUser { server, .. } => index.up.get(&server.node).copied().into_iter().collect(),
            Action::User { .. } | Action::Database { .. } | Action::Seed { .. } => self.access(&draft.action),
            // Standbys of a cluster that stops receive the primary's last words before they stop too.
            Action::Stop { node } => self
                .upstream(node)
                .and_then(|upstream| index.stop.get(&upstream).copied())
                .into_iter()
                .chain(self.leaving(node))
                .chain(self.asked_by(node))
                .collect(),
            Action::SyncNames { cluster, names, .. } if self.loses(cluster, names) => {
                index.degrade.get(cluster).copied().into_iter().collect()
            }
            Action::SyncNames { cluster, server, .. } => {
                let mut waits = self.sync_names(cluster, &server.node);
                waits.extend(index.rotation.get(cluster));
                waits
            }
            Action::Follow { server, upstream, .. } => [
                index.slot.get(&server.node).copied(),
                index.replication_user.get(&server.node.cluster).copied(),
                index.starts.get(&server.node).copied(),
                self.loosened(&server.node),
                serves(&upstream.node),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Action::Basebackup { node, .. } | Action::Rewind { node, .. } => [
                index.stop.get(node).copied(),
                index.slot.get(node).copied(),
                index.replication_user.get(&node.cluster).copied(),
                self.upstream(node).and_then(|upstream| serves(&upstream)),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Action::Standby { server, upstream, .. } => [
                index.stop.get(&server.node).copied(),
                index.data.get(&server.node).copied(),
                index.slot.get(&server.node).copied(),
                index.replication_user.get(&server.node.cluster).copied(),
                serves(&upstream.node),
            ]
            .into_iter()
            .flatten()
            .collect(),
            // It is started to be shut down in order, or to lead.
            Action::Start {
                server,
                in_recovery: false,
                ..
            } => index.elect.get(&server.node.cluster).copied().into_iter().collect(),
            Action::Start { server, .. } => self
                .upstream(&server.node)
                .and_then(|upstream| serves(&upstream))
                .into_iter()
                .chain(index.slot.get(&server.node).copied())
                .chain(self.password_of(&server.node))
                .collect(),
            Action::Configure { server, .. } => [
                self.asked_by(&server.node),
                self.without_lost(&server.node.cluster),
                self.rolling.get(&server.node).copied(),
                index.rotation.get(&server.node.cluster).copied(),
            ]
            .into_iter()
            .flatten()
            .collect(),
            Action::Endpoint { endpoint, .. } => self.endpoint(endpoint),
            Action::VerifySync { cluster, .. } => index.builds.get(cluster).cloned().unwrap_or_default(),
            Action::DropNode { node } => self.drop_node(node),
            Action::DropSlot { node, .. } => self.drop_slot(node, draft),
            Action::DropUser { user, server } => self.drop_user(user, server.as_ref()),
            Action::DropDatabase { database, server } => self.drop_database(database, server.as_ref()),
            Action::DropCluster { cluster } => index.drops.get(cluster).cloned().unwrap_or_default(),
            Action::DropNetwork { .. } => {
                let moved = index.settings.values().copied();
                index.drop_clusters.iter().copied().chain(moved).collect()
            }
        }
    }

    /// The step after which commits no longer wait for who was lost: files written later leave them out, too.
    fn without_lost(&self, cluster: &ClusterName) -> Option<usize> {
        self.index.degrade.get(cluster)?;
        let first = self.index.degraded.get(cluster).or(self.index.sync_names.get(cluster));
        first.copied()
    }

    /// Returns whether names are those that commits wait for while others are lost.
    fn loses(&self, cluster: &ClusterName, names: &str) -> bool {
        let intended = &self.intended.clusters[cluster].names;
        intended.lost.is_some() && intended.before == names
    }

    /// Clients are to find a new primary as soon as there is one; those that are to replay come back later.
    fn endpoint(&self, endpoint: &EndpointAddress) -> Vec<usize> {
        if let Some(pooler) = self.index.pooler.get(endpoint) {
            return vec![*pooler];
        }
        if let Some((_, promote)) = self.index.promote.get(&endpoint.cluster) {
            return vec![*promote];
        }
        let serves = |node: &NodeName| {
            let address = NodeAddress {
                cluster: endpoint.cluster.clone(),
                node: node.clone(),
            };
            self.index.serves.get(&address).copied()
        };
        let entry = self.intended.endpoints.get(endpoint);
        let nodes = entry.into_iter().flat_map(|entry| &entry.nodes);
        nodes.filter_map(serves).collect()
    }

    fn primary_serves(&self, cluster: &ClusterName) -> Option<usize> {
        self.index.serves.get(&self.intended.primary(cluster)?).copied()
    }

    /// Clients go on when their pooler leads where it should, and when enough standbys stream for their commits to be
    /// acknowledged: those that only change whom they follow, or where they are too few, also who led before.
    fn unpause(&self, endpoint: &EndpointAddress) -> Vec<usize> {
        let mut waits: Vec<usize> = self.primary_serves(&endpoint.cluster).into_iter().collect();
        waits.extend(self.index.pooler.get(endpoint));
        let Some(cluster) = self.intended.clusters.get(&endpoint.cluster) else {
            return waits;
        };
        let (awaited, names) = sync::read(&cluster.names.after);
        let listed = self.intended.nodes_of(&endpoint.cluster).map(|(address, _)| address);
        let listed: Vec<&NodeAddress> = listed
            .filter(|address| names.contains(&address.node.identifier()))
            .collect();
        let follow = |address: &&&NodeAddress| self.index.follow.contains(**address);
        let enough = listed.iter().filter(follow).count() >= awaited as usize;
        let counted = listed
            .iter()
            .filter(|address| awaited > 0 && (!enough || follow(address)));
        waits.extend(counted.filter_map(|address| self.index.serves.get(*address)));
        waits
    }

    /// Whoever newly counts, or counts among more, streams before commits wait for it. Who was waited for already is not
    /// waited for here: a change that lets commits wait for fewer must not wait for one that is down.
    fn sync_names(&self, cluster: &ClusterName, primary: &NodeAddress) -> Vec<usize> {
        let names = &self.intended.clusters[cluster].names;
        let (awaited, listed) = sync::read(&names.before);
        let standbys = self
            .intended
            .nodes_of(cluster)
            .map(|(address, _)| address)
            .filter(|address| names.standbys.contains(&address.node.identifier()))
            .filter(|address| names.awaited > awaited || !listed.contains(&address.node.identifier()));
        std::iter::once(primary)
            .chain(standbys)
            .filter_map(|node| self.index.serves.get(node).copied())
            .chain(self.index.settings.get(cluster).copied())
            .chain(self.index.degraded.get(cluster).copied())
            .collect()
    }

    /// The step after which no commit waits for a node any more, where it is to leave those that commits wait for.
    fn loosened(&self, node: &NodeAddress) -> Option<usize> {
        let names = &self.intended.clusters.get(&node.cluster)?.names;
        let stays = names.standbys.contains(&node.node.identifier());
        self.index.sync_names.get(&node.cluster).copied().filter(|_| !stays)
    }

    /// Who stops on request, and not to make room for a start, first lets those go that wait for it or follow it.
    fn leaving(&self, node: &NodeAddress) -> Vec<usize> {
        let held = |intended: &IntendedNode| intended.power == Power::Stopped;
        if !self.intended.nodes.get(node).is_some_and(held) {
            return Vec::new();
        }
        let followed = |old: &Node| matches!(&old.role, Some(Role::Standby { follows }) if *follows == node.node);
        let moved = self
            .before
            .nodes_of(&node.cluster)
            .filter(|(other, old)| followed(old) && self.upstream(other).as_ref() != Some(node));
        let moved = moved.filter_map(|(other, _)| self.index.serves.get(other).copied());
        moved.chain(self.loosened(node)).collect()
    }

    /// A slot goes when its node streams through another one, or is gone; the last one takes the node's record along.
    fn drop_slot(&self, node: &NodeAddress, draft: &Draft) -> Vec<usize> {
        let index = &self.index;
        let last = draft.delta.0.iter().any(|edit| matches!(edit, Edit::Drop(_)));
        let others = index.drop_slots.get(node).into_iter().flatten();
        let others = others.copied().filter(|at| last && self.left.contains(at));
        let keeper = match &draft.action {
            Action::DropSlot { server, .. } => index.serves.get(&server.node),
            _ => None,
        };
        let moved = [
            index.drop_node.get(node),
            index.slot.get(node),
            index.serves.get(node),
            // Whoever leads again without having been away has left its slot when that is recorded.
            index.elect.get(&node.cluster),
            keeper,
        ];
        moved.into_iter().flatten().copied().chain(others).collect()
    }

    /// A login goes with the servers, or last of all that is dropped on them: a database it owns would keep it.
    fn drop_user(&self, user: &UserAddress, server: Option<&Server>) -> Vec<usize> {
        if server.is_none() {
            return self.node_drops(&user.cluster).map(|(_, at)| at).collect();
        }
        let databases = self.index.drop_databases.get(&user.cluster).into_iter().flatten();
        self.built(&user.cluster)
            .into_iter()
            .chain(databases.copied())
            .collect()
    }

    fn drop_database(&self, database: &DatabaseAddress, server: Option<&Server>) -> Vec<usize> {
        match server {
            Some(_) => self.built(&database.cluster),
            None => self.node_drops(&database.cluster).map(|(_, at)| at).collect(),
        }
    }

    fn promote(&self, node: &NodeAddress) -> Vec<usize> {
        let index = &self.index;
        let earlier = [
            index.elect.get(&node.cluster),
            index.start.get(node),
            index.fence.get(&node.cluster),
        ];
        earlier.into_iter().flatten().copied().collect()
    }

    /// Whoever is about to replay from another primary is left alone until that one is promoted: it is asked what it has,
    /// and commits wait for it.
    fn asked_by(&self, node: &NodeAddress) -> Option<usize> {
        let (promoted, at) = self.index.promote.get(&node.cluster)?;
        (promoted != node).then_some(*at)
    }

    /// Returns whether a node is to be promoted, and is known to replay until then.
    fn replays(&self, node: &NodeAddress) -> bool {
        let promoted = self.index.promote.get(&node.cluster);
        let role = self.before.nodes.get(node).and_then(|node| node.role.as_ref());
        promoted.is_some_and(|(promoted, _)| promoted == node)
            && (matches!(role, Some(Role::Standby { .. })) || self.index.start.contains_key(node))
    }

    /// Returns what is recorded of an election, and the start of a server that was elected while it was down.
    fn elected(&self, node: &NodeAddress) -> Vec<usize> {
        let elect = self.index.elect.get(&node.cluster);
        elect.into_iter().chain(self.index.start.get(node)).copied().collect()
    }

    /// Returns all that can be done while the former primary still writes: from when it is fenced, writes wait.
    fn before_the_pause(&self, node: &NodeAddress) -> Vec<usize> {
        let slots = self
            .index
            .slot_on
            .iter()
            .filter(|(server, _)| self.replays(server) && server.cluster == node.cluster);
        let mut earlier = self.elected(node);
        earlier.extend(slots.flat_map(|(_, slots)| slots.iter().copied()));
        earlier
    }

    fn network_of(&self, cluster: &ClusterName) -> Option<usize> {
        let cluster = &self.intended.clusters.get(cluster)?.cluster;
        self.index.network.get(&cluster.network).copied()
    }

    fn upstream(&self, node: &NodeAddress) -> Option<NodeAddress> {
        let follows = self.intended.nodes.get(node)?.role.follows()?;
        Some(NodeAddress {
            cluster: node.cluster.clone(),
            node: follows.clone(),
        })
    }

    fn node_drops<'a>(&'a self, cluster: &'a ClusterName) -> impl Iterator<Item = (&'a NodeAddress, usize)> {
        address::nodes_of(&self.index.drop_node, cluster).map(|(node, at)| (node, *at))
    }

    /// Returns what makes sure that everything is built: the proof of it where there is one.
    fn built(&self, cluster: &ClusterName) -> Vec<usize> {
        match self.verify.get(cluster) {
            Some(verify) => vec![*verify],
            None => self.index.builds.get(cluster).cloned().unwrap_or_default(),
        }
    }

    /// A standby that starts is to find the password it streams with.
    fn password_of(&self, node: &NodeAddress) -> Option<usize> {
        self.upstream(node)?;
        self.index.rotation.get(&node.cluster).copied()
    }

    /// Roles come before those who are members of them and before what they own, and a database before what runs in it.
    fn access(&self, action: &Action) -> Vec<usize> {
        let index = &self.index;
        let user = |cluster: &ClusterName, name: &str| {
            let address = user_address(cluster, &name.parse().ok()?);
            index.user.get(&address).copied()
        };
        let (server, more): (_, Vec<usize>) = match action {
            Action::User {
                user: address,
                attributes,
                server,
                ..
            } => {
                let roles = attributes.member_of.iter();
                (server, roles.filter_map(|role| user(&address.cluster, role)).collect())
            }
            Action::Database {
                database,
                attributes,
                server,
            } => (server, user(&database.cluster, &attributes.owner).into_iter().collect()),
            Action::Seed {
                seed,
                database,
                owner,
                server,
                ..
            } => {
                let database = database_address(&seed.cluster, database);
                let earlier = index.seeds.get(&database).into_iter().flatten();
                let earlier = earlier.take_while(|(other, _)| other != seed).map(|(_, at)| *at);
                let made = index.database.get(&database).copied();
                let owner = user(&seed.cluster, owner);
                (server, earlier.last().into_iter().chain(made).chain(owner).collect())
            }
            _ => return Vec::new(),
        };
        index
            .serves
            .get(&server.node)
            .copied()
            .into_iter()
            .chain(more)
            .collect()
    }

    /// A node goes after everything that is built, after the proof that the rest does without it, after the endpoints
    /// that led to it, and after the nodes that stream from it.
    fn drop_node(&self, node: &NodeAddress) -> Vec<usize> {
        let index = &self.index;
        let cluster = &node.cluster;
        let leads = self
            .before
            .elections
            .get(cluster)
            .is_some_and(|election| election.primary == node.node);
        let others = leads.then(|| self.node_drops(cluster)).into_iter().flatten();
        let followers = others.filter(|(other, _)| *other != node).map(|(_, at)| at);
        let endpoints = index.drop_endpoints.get(cluster).cloned().unwrap_or_default();
        followers.chain(self.built(cluster)).chain(endpoints).collect()
    }
}

/// Servers of a cluster are given other parameters one after the other, standbys first, so that the cluster is served
/// throughout. Where a setting that replay depends on is lowered the primary comes first: a standby with less than its
/// primary pauses replay.
fn rolling(drafts: &[Draft], before: &State, intended: &Intended) -> BTreeMap<NodeAddress, usize> {
    let mut turns: BTreeMap<&ClusterName, BTreeMap<(bool, &NodeAddress), usize>> = BTreeMap::new();
    for (at, draft) in drafts.iter().enumerate() {
        let Action::Configure {
            server, in_recovery, ..
        } = &draft.action
        else {
            continue;
        };
        let cluster = &server.node.cluster;
        let primary = intended.primary(cluster);
        let lowers = primary.is_some_and(|primary| intended.lowers_replay_limit(&primary, before));
        let later = *in_recovery == lowers;
        turns.entry(cluster).or_default().insert((later, &server.node), at);
    }
    let mut earlier = BTreeMap::new();
    for turns in turns.into_values() {
        let after_first = turns.keys().skip(1);
        earlier.extend(
            after_first
                .zip(turns.values())
                .map(|((_, node), before)| ((*node).clone(), *before)),
        );
    }
    earlier
}

/// Returns the steps in order, each with what it waits for last. Of steps that could come next, the one drafted first does.
pub(super) fn order(
    mut drafts: Vec<Draft>,
    before: &State,
    intended: &Intended,
    desired: &Desired,
) -> Result<Vec<Step>, Diagnostic> {
    let mut waits = waits(&drafts, before, intended);
    let sorted = waits.sort().map_err(|members| cycle(&members, &drafts, desired))?;
    waits.reduce(&sorted);
    let mut places = vec![StepId(0); drafts.len()];
    for (id, at) in (0..).map(StepId).zip(&sorted) {
        places[*at] = id;
    }
    for (step, waits) in drafts.iter_mut().zip(waits.into_rows()) {
        step.term = term(step, before, intended);
        step.after = waits.into_iter().map(|earlier| places[earlier]).collect();
    }
    arrange(&mut drafts, places);
    Ok(drafts)
}

/// Returns the election under which a step may run: the one that this plan holds, or the last one before it.
fn term(step: &Step, before: &State, intended: &Intended) -> Option<Term> {
    let cluster = step.address.cluster()?;
    let election = intended.clusters.get(cluster).map(|cluster| &cluster.election);
    Some(election.or_else(|| before.elections.get(cluster))?.term)
}

/// Asks the rules about every step.
fn waits(drafts: &[Draft], before: &State, intended: &Intended) -> Waits {
    let verify = drafts.iter().enumerate().filter_map(|(at, draft)| match &draft.action {
        Action::VerifySync { cluster, .. } => Some((cluster.clone(), at)),
        _ => None,
    });
    let left = drafts.iter().enumerate().filter_map(|(at, draft)| {
        let keeps = !draft.delta.0.iter().any(|edit| matches!(edit, Edit::Drop(_)));
        (keeps && matches!(draft.action, Action::DropSlot { .. })).then_some(at)
    });
    let rules = Rules {
        index: Index::of(drafts),
        before,
        intended,
        verify: verify.collect(),
        left: left.collect(),
        rolling: rolling(drafts, before, intended),
    };
    Waits::new(drafts.iter().map(|draft| rules.waits_for(draft).into_iter().collect()))
}

/// Moves every step to its place, without a second copy of all of them.
fn arrange(steps: &mut [Step], mut places: Vec<StepId>) {
    for at in 0..steps.len() {
        while places[at].index() != at {
            let to = places[at].index();
            steps.swap(at, to);
            places.swap(at, to);
        }
    }
}

/// Names every step of a cycle, and where what it is about is declared.
fn cycle(members: &[usize], drafts: &[Draft], desired: &Desired) -> Diagnostic {
    let name = |at: &usize| format!("{} of {}", drafts[*at].action.name(), drafts[*at].address);
    let next = members.iter().cycle().skip(1);
    let waits: Vec<String> = members
        .iter()
        .zip(next)
        .map(|(at, next)| format!("{} waits for {}", name(at), name(next)))
        .collect();
    let detail = format!("There is no order for these steps: {}.", waits.join(", and "));
    let mut diagnostic = Diagnostic::error("Steps wait for each other", detail);
    let mut addresses: Vec<&Address> = members.iter().map(|at| &drafts[*at].address).collect();
    addresses.sort();
    addresses.dedup();
    for address in addresses {
        let Some(span) = desired.declaration(address) else {
            continue;
        };
        diagnostic = match diagnostic.span {
            None => diagnostic.at(span.clone()),
            Some(_) => diagnostic.also(address.to_string(), span.clone()),
        };
    }
    diagnostic
}

#[cfg(test)]
mod tests;
