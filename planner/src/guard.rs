//! What must stand in the record before a step may run. The executor and the simulator ask the same function.
//!
//! A plan in order satisfies every guard; a guard that refuses has found a defect, or a record that somebody else
//! changed. It refuses before anything is touched.

use simdb_state::address::{Address, DatabaseAddress, EndpointAddress, NodeAddress};
use simdb_state::delta::Edit;
use simdb_state::name::{ClusterName, DatabaseName, NetworkName, PlatformName};
use simdb_state::object::{Node, Role, Slot, State, Term};
use thiserror::Error;

use crate::desired::access::database_address;
use crate::plan::Step;
use crate::plan::fact::Fact;

/// Why a step may not run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Another node of the cluster is recorded as the one that writes.
    #[error("{0} is recorded as the primary already")]
    SecondPrimary(NodeAddress),
    /// A node that must serve first does not, as far as is recorded.
    #[error("{0} is not recorded as serving")]
    NotServing(NodeAddress),
    /// A node has no slot that keeps the log for it.
    #[error("no slot is recorded for {0}")]
    NoSlot(NodeAddress),
    /// A node has no data.
    #[error("no data is recorded for {0}")]
    NoData(NodeAddress),
    /// A network is not there.
    #[error("network.{0} is not recorded")]
    NoNetwork(NetworkName),
    /// The network of the step's cluster has no part on a platform.
    #[error("the network of its cluster is not recorded to have a part on {0}")]
    NoPart(PlatformName),
    /// The election that the step belongs to was not held.
    #[error("the election of term {0} was not held")]
    NotHeld(u64),
    /// Another election was held since the plan was made.
    #[error("the last election has term {0}")]
    OtherElection(u64),
    /// The step belongs to an election that another one followed.
    #[error("it belongs to the election of term {0}, and one of term {1} was held since")]
    OldTerm(u64, u64),
    /// The node that is to stop writing is the one that was elected.
    #[error("{0} is the one that was elected")]
    Elected(NodeAddress),
    /// The node that is to write was not elected.
    #[error("{0} was not elected")]
    NotElected(NodeAddress),
    /// A database is not there.
    #[error("{0} is not recorded")]
    NoDatabase(DatabaseAddress),
    /// Another node streams from the one that is to go.
    #[error("{0} still streams from it")]
    Followed(NodeAddress),
    /// An endpoint has no pooler whose clients could wait or go on.
    #[error("no pooler is recorded for {0}")]
    NoPooler(EndpointAddress),
    /// Something that belongs to it is still there.
    #[error("{0} is still there")]
    StillThere(String),
}

/// Returns whether a step may run on this record.
pub fn check(step: &Step, state: &State) -> Result<(), Refusal> {
    not_outdated(step, state)?;
    step.facts().needs.iter().try_for_each(|need| met(need, step, state))
}

fn met(need: &Fact<'_>, step: &Step, state: &State) -> Result<(), Refusal> {
    match need {
        Fact::Network(network) => has_network(state, network),
        Fact::Part(platform) => has_part(state, step, platform),
        Fact::Unused(network) => {
            let user = state.clusters.iter().find(|(_, cluster)| cluster.network == **network);
            user.map_or(Ok(()), |(name, _)| Err(Refusal::StillThere(format!("cluster.{name}"))))
        }
        Fact::Empty(cluster) | Fact::NoNodes(cluster) => no_nodes(state, cluster),
        Fact::Decided(cluster) => decided(state, cluster, step.term),
        Fact::NextTerm(cluster, term) => next_term(state, cluster, *term),
        Fact::Elected(node) => match elected(state, node) {
            Some(true) => Ok(()),
            Some(false) | None => Err(Refusal::NotElected((*node).clone())),
        },
        Fact::Deposed(node) => match elected(state, node) {
            Some(true) | None => Err(Refusal::Elected((*node).clone())),
            Some(false) => Ok(()),
        },
        Fact::OnlyWriter(_) => no_other_writer(state, &step.address),
        Fact::HasData(node) | Fact::HadData(node) => has_data(state, node),
        Fact::Serves(node) | Fact::Served(node) => serving(state, node),
        Fact::Unfollowed(node) => nobody_follows(state, node),
        Fact::Retained(node) => {
            let slot = state.nodes.get(node).and_then(|node| node.slot.as_ref());
            let slot = slot.ok_or_else(|| Refusal::NoSlot((*node).clone()))?;
            serving(state, &node.sibling(&slot.upstream))
        }
        Fact::RetainedOn(node, upstream) => has_slot_on(state, node, upstream),
        Fact::Released(node, slot) => gone(state.nodes.get(node).is_some_and(|node| streams(node, slot)), node),
        Fact::Database(cluster, database) => has_database(state, cluster, database),
        Fact::HasPooler(endpoint) | Fact::HadPooler(endpoint) => has_pooler(state, endpoint),
        // The record does not say so; whether it was so without a step was seen when the plan was made.
        Fact::Settings(_)
        | Fact::Forgotten(_)
        | Fact::Built(_)
        | Fact::Verified(_)
        | Fact::Paused(_)
        | Fact::Promoted(_)
        | Fact::Stopped(_)
        | Fact::Started(_)
        | Fact::Configured(_)
        | Fact::Leads(_)
        | Fact::Streams(_)
        | Fact::Gone(_)
        | Fact::Retains(_)
        | Fact::LeavesNothing(_)
        | Fact::Degraded(_)
        | Fact::CommitRule(_)
        | Fact::Opened(_)
        | Fact::StreamLogin(_)
        | Fact::Rotated(_)
        | Fact::User(..)
        | Fact::Seeded(..)
        | Fact::DatabasesGone(_)
        | Fact::Entry(_)
        | Fact::EntriesGone(_)
        | Fact::PoolerGone(_) => Ok(()),
    }
}

/// A plan that was made before the last election knows nothing of who leads now.
fn not_outdated(step: &Step, state: &State) -> Result<(), Refusal> {
    let cluster = step.address.cluster();
    let last = cluster.and_then(|cluster| state.elections.get(cluster));
    match (step.term, last) {
        (Some(term), Some(last)) if last.term > term => Err(Refusal::OldTerm(term.0, last.term.0)),
        _ => Ok(()),
    }
}

/// Returns whether the election was held under which a step runs. With the first node of a cluster it is recorded.
fn decided(state: &State, cluster: &ClusterName, term: Option<Term>) -> Result<(), Refusal> {
    let last = state.elections.get(cluster).map(|last| last.term);
    match (term, last) {
        (Some(term), Some(last)) if last != term => Err(Refusal::NotHeld(term.0)),
        _ => Ok(()),
    }
}

fn next_term(state: &State, cluster: &ClusterName, term: Term) -> Result<(), Refusal> {
    let last = state.elections.get(cluster).map_or(0, |last| last.term.0);
    if last + 1 == term.0 {
        Ok(())
    } else {
        Err(Refusal::OtherElection(last))
    }
}

/// Returns whether a node won the last election of its cluster, where one was held.
fn elected(state: &State, address: &NodeAddress) -> Option<bool> {
    let election = state.elections.get(&address.cluster)?;
    Some(election.primary == address.node)
}

fn node_of<'a>(state: &'a State, address: &NodeAddress) -> Option<&'a Node> {
    state.node(address)
}

fn serving(state: &State, address: &NodeAddress) -> Result<(), Refusal> {
    let has_role = |node: &Node| matches!(node.role, Some(Role::Primary { .. } | Role::Standby { .. }));
    let serves = node_of(state, address).is_some_and(|node| has_role(node) && node.place.is_some());
    if serves {
        Ok(())
    } else {
        Err(Refusal::NotServing(address.clone()))
    }
}

fn has_slot_on(state: &State, address: &NodeAddress, upstream: &NodeAddress) -> Result<(), Refusal> {
    let slot = node_of(state, address).and_then(|node| node.slot.as_ref());
    if slot.is_some_and(|slot| slot.upstream == upstream.node) {
        Ok(())
    } else {
        Err(Refusal::NoSlot(address.clone()))
    }
}

/// Whether a node is there that streams through a slot, or is meant to. Who leads streams from nobody.
fn streams(node: &Node, slot: &Slot) -> bool {
    let streams = match &node.role {
        Some(Role::Primary { .. }) => false,
        // One that was imported streamed through another slot there.
        Some(Role::Standby { follows }) if *follows == slot.upstream => {
            node.slot.as_ref().is_none_or(|own| own.name == slot.name)
        }
        _ => node.slot.as_ref() == Some(slot),
    };
    node.place.is_some() && streams
}

fn has_network(state: &State, network: &NetworkName) -> Result<(), Refusal> {
    if state.networks.contains_key(network) {
        Ok(())
    } else {
        Err(Refusal::NoNetwork(network.clone()))
    }
}

/// A cluster that the step itself records is in the network that it records.
fn has_part(state: &State, step: &Step, platform: &PlatformName) -> Result<(), Refusal> {
    let recorded = step.address.cluster().and_then(|name| state.clusters.get(name));
    let recorded = recorded.map(|cluster| &cluster.network);
    let network = recorded.or_else(|| {
        step.delta.0.iter().find_map(|edit| match edit {
            Edit::Cluster(_, cluster) => Some(&cluster.network),
            _ => None,
        })
    });
    let network = network.and_then(|name| state.networks.get(name));
    if network.is_some_and(|network| network.platforms().any(|own| own == platform)) {
        Ok(())
    } else {
        Err(Refusal::NoPart(platform.clone()))
    }
}

fn has_database(state: &State, cluster: &ClusterName, database: &DatabaseName) -> Result<(), Refusal> {
    let address = database_address(cluster, database);
    if state.databases.contains_key(&address) {
        Ok(())
    } else {
        Err(Refusal::NoDatabase(address))
    }
}

fn has_pooler(state: &State, endpoint: &EndpointAddress) -> Result<(), Refusal> {
    let found = state.endpoints.get(endpoint);
    let pooler = found.and_then(|endpoint| endpoint.pooler.as_ref());
    pooler.map_or_else(|| Err(Refusal::NoPooler(endpoint.clone())), |_| Ok(()))
}

fn has_data(state: &State, address: &NodeAddress) -> Result<(), Refusal> {
    let has = node_of(state, address).is_some_and(|node| node.data.is_some());
    if has {
        Ok(())
    } else {
        Err(Refusal::NoData(address.clone()))
    }
}

/// Nothing that is about another object than a node lets a node write.
fn no_other_writer(state: &State, own: &Address) -> Result<(), Refusal> {
    let Address::Node(own) = own else { return Ok(()) };
    let other = state.writer_against(own);
    other.map_or(Ok(()), |other| Err(Refusal::SecondPrimary(other.clone())))
}

fn nobody_follows(state: &State, address: &NodeAddress) -> Result<(), Refusal> {
    let follows = |node: &Node| matches!(&node.role, Some(Role::Standby { follows }) if *follows == address.node);
    let Some(node) = node_of(state, address) else {
        return Ok(());
    };
    if !node.writes() {
        return Ok(());
    }
    let follower = state.nodes_of(&address.cluster).find(|(_, node)| follows(node));
    follower.map_or(Ok(()), |(follower, _)| Err(Refusal::Followed(follower.clone())))
}

fn gone(there: bool, address: &NodeAddress) -> Result<(), Refusal> {
    if there {
        Err(Refusal::StillThere(address.to_string()))
    } else {
        Ok(())
    }
}

fn no_nodes(state: &State, cluster: &ClusterName) -> Result<(), Refusal> {
    let left = state.nodes_of(cluster).next();
    left.map_or(Ok(()), |(address, _)| Err(Refusal::StillThere(address.to_string())))
}
