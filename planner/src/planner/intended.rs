//! What every object should be: what `intend` decides, and the later stages read.

use std::collections::{BTreeMap, BTreeSet};

use simdb_state::address::{
    self, DatabaseAddress, EndpointAddress, MadeAs, NodeAddress, SeedAddress, UserAddress, node_made_as,
};
use simdb_state::name::{ClusterName, NetworkName, NodeName, PlatformName};
use simdb_state::object::{
    Cluster, Data, Database, Election, Endpoint, Image, Network, Origin, Power, Resources, Role, Seed, Slot, State,
    User, Verdict,
};
use simdb_state::place::Place;
use simdb_state::position::Position;
use simdb_state::sensitive::SecretName;
use simdb_state::sync::SyncRule;

use super::drift::Drift;
use super::imports::Import;
use crate::diagnostic::Diagnostic;
use crate::engine::instance::{self, REPLICATION_USER};
use crate::engine::parameters::Release;
use crate::engine::replay::ReplayLimits;
use crate::engine::{NodeContext, Upstream};
use crate::plan::FenceMethod;

/// What every object should be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Intended {
    pub(crate) networks: BTreeMap<NetworkName, Network>,
    pub(crate) clusters: BTreeMap<ClusterName, IntendedCluster>,
    pub(crate) nodes: BTreeMap<NodeAddress, IntendedNode>,
    pub(crate) users: BTreeMap<UserAddress, User>,
    pub(crate) databases: BTreeMap<DatabaseAddress, Database>,
    pub(crate) seeds: BTreeMap<SeedAddress, IntendedSeed>,
    pub(crate) endpoints: BTreeMap<EndpointAddress, Endpoint>,
    /// The servers that become nodes.
    pub(crate) imports: BTreeMap<NodeAddress, Import>,
    /// What the running servers' configurations differ in, where they do.
    pub(crate) drift: BTreeMap<NodeAddress, Drift>,
    /// What replay depends on, where it changes or is missing.
    pub(crate) limits: Limits,
    /// The addresses that instances had when they were made, of those that were moved since.
    pub(crate) made_as: MadeAs,
    /// The clusters whose nodes are not all on one platform.
    pub(crate) spread: BTreeSet<ClusterName>,
}

/// What a cluster should be.
#[derive(Clone, Debug)]
pub(crate) struct IntendedCluster {
    pub(crate) cluster: Cluster,
    pub(crate) election: Election,
    pub(crate) sync: Sync,
    /// How whoever was elected comes to lead.
    pub(crate) lead: Lead,
    /// The node that led until now, and is to be fenced.
    pub(crate) deposed: Option<NodeAddress>,
    /// How it is brought down.
    pub(crate) fencing: FenceMethod,
    /// What is known of the acknowledged writes if the node that led cannot be asked.
    pub(crate) verdict: Verdict,
    /// Who becomes primary with a later plan.
    pub(crate) postponed: Option<Postponed>,
    /// The digest of who is in it, where, and what they are to each other: what a verification proves.
    pub(crate) topology: String,
}

/// A node that `primary` names and that cannot take over yet.
#[derive(Clone, Debug)]
pub(crate) struct Postponed {
    pub(crate) winner: NodeName,
    /// Why not, as a clause.
    pub(crate) reason: String,
    /// What is said where the plan mends nothing of it.
    pub(crate) refusal: Diagnostic,
}

/// How the node that was elected comes to lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lead {
    /// It leads already, or is about to be born.
    Stays,
    /// It was fenced, and nobody has led since: it goes on where it stopped.
    Resumes,
    /// It replays, and is promoted.
    Passes,
}

/// What a node should be.
#[derive(Clone, Debug)]
pub(crate) struct IntendedNode {
    /// The platform that its server runs on; absent where that is the one of its cluster.
    pub(crate) platform: Option<PlatformName>,
    pub(crate) place: Place,
    pub(crate) image: ImageGoal,
    /// How much of its machine its server may take.
    pub(crate) resources: Resources,
    pub(crate) parameters: BTreeMap<String, String>,
    pub(crate) data: DataGoal,
    pub(crate) role: Role,
    pub(crate) slot: Option<Slot>,
    pub(crate) power: Power,
    /// Whether it may not be removed.
    pub(crate) prevent_destroy: bool,
}

impl IntendedNode {
    /// Returns the place of another node of the cluster as this one has it.
    ///
    /// That depends on the pair: on the same platform it is the address within their network, as in clusters on one platform alone, so
    /// that such streams pass through no port that the platform publishes and need none of it. Between platforms it is the published
    /// address.
    pub(crate) fn sees(&self, other: &IntendedNode, place: Place) -> Place {
        if self.platform == other.platform {
            place
        } else {
            place.from_elsewhere()
        }
    }
}

/// The image that the server of a node is to be made from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ImageGoal {
    /// Its platform has no images, or does not say which.
    None,
    /// The one that its version has once it was fetched.
    Fetched,
    /// This one.
    Known(Image),
}

impl ImageGoal {
    pub(crate) fn known(&self) -> Option<&Image> {
        match self {
            ImageGoal::Known(image) => Some(image),
            ImageGoal::None | ImageGoal::Fetched => None,
        }
    }
}

/// What should become of a node's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataGoal {
    /// It stays as it is.
    Keep(Data),
    /// It is made, unless its directory is there already: then it is looked at and recorded.
    Make {
        generation: u32,
        origin: Origin,
        /// Why what the node has, or had, is no good; absent where there was nothing.
        because: Option<String>,
        /// The directory that holds it, where that is not below the node's instance directory.
        outside: Option<String>,
    },
}

impl DataGoal {
    pub(crate) fn generation(&self) -> u32 {
        match self {
            DataGoal::Keep(data) => data.generation,
            DataGoal::Make { generation, .. } => *generation,
        }
    }

    /// Returns the directory that holds it, where that is not below the node's instance directory.
    pub(crate) fn outside(&self) -> Option<&String> {
        match self {
            DataGoal::Keep(data) => data.outside.as_ref(),
            DataGoal::Make { outside, .. } => outside.as_ref(),
        }
    }
}

impl Intended {
    /// Returns the node that leads a cluster.
    pub(crate) fn primary(&self, cluster: &ClusterName) -> Option<NodeAddress> {
        let election = &self.clusters.get(cluster)?.election;
        Some(NodeAddress {
            cluster: cluster.clone(),
            node: election.primary.clone(),
        })
    }

    /// Returns how many nodes a node streams through: 0 for the primary.
    pub(crate) fn depth(&self, node: &NodeAddress) -> usize {
        let upstream = |node: &NodeAddress| {
            let follows = self.nodes.get(node)?.role.follows()?;
            Some(NodeAddress {
                cluster: node.cluster.clone(),
                node: follows.clone(),
            })
        };
        // Nodes that follow a circle are refused elsewhere.
        std::iter::successors(upstream(node), upstream)
            .take(self.nodes.len())
            .count()
    }

    /// Returns whether the settings of a node change in a way that takes a restart.
    pub(crate) fn restarts(&self, node: &NodeAddress, before: &State) -> bool {
        let (Some(old), Some(new)) = (before.nodes.get(node), self.nodes.get(node)) else {
            return false;
        };
        let release = Release::from(&self.clusters[&node.cluster].cluster);
        !release.restarting(&old.parameters, &new.parameters).is_empty()
    }

    /// Returns the node that leads a cluster, where it is meant to run.
    pub(crate) fn running_primary(&self, cluster: &ClusterName) -> Option<(NodeAddress, &IntendedNode)> {
        let primary = self.primary(cluster)?;
        let node = self.nodes.get(&primary).filter(|node| node.power == Power::Running)?;
        Some((primary, node))
    }

    /// Returns whether so many of those that commits wait for go on streaming from the primary with the data they have.
    pub(crate) fn keeps_standbys(&self, cluster: &ClusterName, number: u32) -> bool {
        let IntendedCluster { sync, election, .. } = &self.clusters[cluster];
        let stays = |(address, node): &(&NodeAddress, &IntendedNode)| {
            sync.before.standbys.contains(&address.node.identifier())
                && node.power == Power::Running
                && node.role.follows() == Some(&election.primary)
                && matches!(node.data, DataGoal::Keep(_))
        };
        self.nodes_of(cluster).filter(stays).count() >= number as usize
    }

    /// Returns a node that is meant to run.
    pub(crate) fn serving(&self, node: &NodeAddress) -> Option<&IntendedNode> {
        self.nodes.get(node).filter(|node| node.power == Power::Running)
    }

    /// Returns what the server of a node depends on.
    pub(crate) fn context<'a>(
        &self,
        address: &'a NodeAddress,
        node: &'a IntendedNode,
        cluster: &IntendedCluster,
    ) -> NodeContext<'a> {
        let upstream = match (&node.role, &node.slot) {
            (Role::Standby { follows }, Some(slot)) => {
                let address = NodeAddress {
                    cluster: address.cluster.clone(),
                    node: follows.clone(),
                };
                let upstream = self.nodes.get(&address);
                let at = upstream.map(|upstream| node.sees(upstream, upstream.place.clone()).peers);
                at.map(|at| Upstream {
                    address,
                    at,
                    slot: slot.name.clone(),
                })
            }
            _ => None,
        };
        NodeContext {
            address,
            made_as: node_made_as(&self.made_as, address),
            release: Release::from(&cluster.cluster),
            place: node.place.clone(),
            has_peers_elsewhere: self.has_peers_elsewhere(&address.cluster, node.platform.as_ref()),
            image: node.image.known().cloned(),
            resources: node.resources,
            parameters: &node.parameters,
            generation: node.data.generation(),
            outside: node.data.outside().is_some(),
            upstream,
            // What is in force when the server is started or configured; changing it is a step of its own.
            sync_rule: match node.role {
                Role::Primary { .. } => cluster.sync.before.clone(),
                Role::Standby { .. } | Role::Fenced { .. } => SyncRule::default(),
            },
            replication_password: self.replication_password(&address.cluster),
        }
    }

    /// Returns the name of the password that the standbys of a cluster stream with.
    pub(crate) fn replication_password(&self, cluster: &ClusterName) -> SecretName {
        replication_password(&self.users, cluster)
    }

    /// Returns whether nodes of a cluster are on other platforms than one, given where that is not the one of the cluster.
    pub(crate) fn has_peers_elsewhere(&self, cluster: &ClusterName, platform: Option<&PlatformName>) -> bool {
        let first = self.nodes_of(cluster).next();
        first.is_some_and(|(_, node)| node.platform.as_ref() != platform) || self.spread.contains(cluster)
    }

    /// Returns whether the nodes of a cluster are not all on one platform.
    pub(crate) fn is_spread(&self, cluster: &ClusterName) -> bool {
        let mut platforms = self.nodes_of(cluster).map(|(_, node)| &node.platform);
        let first = platforms.next();
        platforms.any(|platform| Some(platform) != first)
    }

    /// Returns the nodes of one cluster.
    pub(crate) fn nodes_of<'a>(
        &'a self,
        cluster: &'a ClusterName,
    ) -> impl Iterator<Item = (&'a NodeAddress, &'a IntendedNode)> {
        address::nodes_of(&self.nodes, cluster)
    }
}

/// What the nodes of all clusters have and get of the settings that replay depends on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Limits {
    /// Clusters in which a node gets less: the primary is given it before its standbys are, and before they are started.
    pub(crate) lowered: BTreeSet<ClusterName>,
    /// Standbys that have more than they get, and keep it while their primary is stopped: their log asks for it until then.
    pub(crate) waiting: BTreeSet<NodeAddress>,
    /// Standbys that paused their replay because they have less than the log asks for.
    pub(crate) lacking: BTreeMap<NodeAddress, Lacking>,
}

/// What a standby has less of than the log asks for that it replays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lacking {
    pub(crate) settings: Vec<&'static str>,
    pub(crate) needs: ReplayLimits,
}

impl Lacking {
    /// Says why the standby is restarted, as a fragment that follows "because".
    pub(crate) fn reason(&self, node: &NodeName) -> String {
        let needed = |name: &&str| Some(format!("{name} = {}", self.needs.value(name)?));
        let needed: Vec<String> = self.settings.iter().filter_map(needed).collect();
        format!("{node} paused its replay: the log asks for {}", needed.join(", "))
    }
}

/// What should become of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntendedSeed {
    /// What is recorded once it has run.
    pub(crate) seed: Seed,
    /// The file it runs.
    pub(crate) file: String,
    /// The owner of its database, as whom it runs.
    pub(crate) owner: String,
    /// Its place in the order of declaration.
    pub(crate) position: usize,
}

/// Whom commits wait for now, and whom they are to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sync {
    /// The rule that the primary has now.
    pub(crate) present: SyncRule,
    /// The rule until the plan changes it, those who are lost left out.
    pub(crate) before: SyncRule,
    /// The rule that it gets.
    pub(crate) after: SyncRule,
    /// Whether it is to be set: also where it has been set already and nobody recorded that.
    pub(crate) due: bool,
    /// The standbys that are listed afterwards, by identifier.
    pub(crate) standbys: BTreeSet<String>,
    /// How many of them commits wait for.
    pub(crate) awaited: u32,
    /// Whom commits have to stop waiting for first, because they are lost.
    pub(crate) lost: Option<Lost>,
}

/// Standbys that commits wait for and that do not stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lost {
    /// Their identifiers.
    pub(crate) standbys: BTreeSet<String>,
    /// How many of the others commits wait for meanwhile.
    pub(crate) awaited: u32,
    /// How far the primary had written when that was seen.
    pub(crate) since: Position,
}

/// Returns the name of the password of the login that streams, as it stands among those logins.
pub(crate) fn replication_password(users: &BTreeMap<UserAddress, User>, cluster: &ClusterName) -> SecretName {
    let address = instance::user(cluster, REPLICATION_USER);
    let user = users.get(&address);
    user.map_or_else(
        || instance::replication_password(cluster),
        |user| user.password(&address),
    )
}
