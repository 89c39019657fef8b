//! Changes to steps: what each difference takes, with its delta, its impact and its reason. Order comes later.

mod candidate;
mod cluster;
mod database;
mod endpoint;
mod import;
mod leave;
mod network;
mod node;
mod orphan;
mod replication;
mod role;
mod user;

pub(crate) use self::orphan::ORPHAN;

use std::collections::BTreeSet;

use simdb_state::address::{Address, NodeAddress};
use simdb_state::delta::{Delta, Edit, Instance};
use simdb_state::name::ClusterName;
use simdb_state::object::{Endpoint, State, first_platform};
use simdb_state::sensitive::SecretName;

use super::intended::{Intended, IntendedNode};
use super::pairs::pairs;
use super::{Inputs, Proposal, before};
use crate::desired::Desired;
use crate::engine::instance::superuser_password;
use crate::observed::{Observed, PlatformFacts, ServerFacts};
use crate::plan::{Action, Impact, Server, Step};

/// Why a step runs that changes nothing any more.
const UNRECORDED: &str = "it is as declared, and the record does not say so yet";

/// A step before it has a place: it does not say yet what it waits for.
pub(crate) type Draft = Step;

impl Draft {
    pub(crate) fn new(
        address: impl Into<Address>,
        action: impl Into<Action>,
        reason: impl Into<String>,
        mut delta: Vec<Edit>,
    ) -> Self {
        // A plan may have tens of thousands of them.
        delta.shrink_to_fit();
        Self {
            address: address.into(),
            action: action.into(),
            term: None,
            after: BTreeSet::new(),
            impact: Impact::None,
            reason: reason.into(),
            delta: Delta(delta),
            generates: BTreeSet::new(),
        }
    }

    pub(crate) fn costing(mut self, impact: Impact) -> Self {
        self.impact = impact;
        self
    }

    pub(crate) fn generating(mut self, secret: SecretName) -> Self {
        self.generates.insert(secret);
        self
    }
}

/// Returns the steps that lead from what is there to what should be.
pub(super) fn lower(inputs: Inputs<'_>, before: &State, intended: &Intended) -> Vec<Draft> {
    let gone = match inputs.proposal {
        Some(Proposal::Destroy) => "the plan destroys everything",
        _ => "the configuration no longer declares it",
    };
    let lowering = Lowering {
        desired: inputs.desired,
        recorded: inputs.recorded,
        before,
        intended,
        observed: inputs.observed,
        proposal: inputs.proposal,
        gone,
        drafts: Vec::new(),
    };
    lowering.all()
}

pub(crate) struct Lowering<'a> {
    /// What is declared.
    desired: &'a Desired,
    /// What the state holds.
    pub(crate) recorded: &'a State,
    /// What was seen, and where nothing was, what the state holds.
    pub(crate) before: &'a State,
    pub(crate) intended: &'a Intended,
    pub(crate) observed: &'a Observed,
    proposal: Option<&'a Proposal>,
    /// Why what is recorded and not intended goes.
    pub(crate) gone: &'static str,
    drafts: Vec<Draft>,
}

impl<'a> Lowering<'a> {
    /// Returns what the platform of a node offers.
    pub(crate) fn platform_of(&self, address: &NodeAddress) -> &'a PlatformFacts {
        let intended = self.intended.nodes.get(address).map(|node| &node.platform);
        let recorded = self.before.nodes.get(address).map(|node| &node.platform);
        match intended.or(recorded) {
            Some(Some(platform)) => self.observed.platform(platform),
            _ => self.platform(&address.cluster),
        }
    }

    /// Returns what the platform of a cluster offers.
    pub(crate) fn platform(&self, cluster: &ClusterName) -> &'a PlatformFacts {
        let intended = self.intended.clusters.get(cluster).map(|new| &new.cluster);
        let cluster = intended.or_else(|| self.before.clusters.get(cluster));
        let name = cluster.map_or_else(first_platform, |cluster| cluster.platform.clone());
        self.observed.platform(&name)
    }
}

impl Lowering<'_> {
    fn all(mut self) -> Vec<Draft> {
        self.networks();
        self.elections();
        for (address, old, new) in pairs(&self.before.nodes, &self.intended.nodes) {
            let old = old.map(|old| &**old);
            match new {
                Some(new) => self.node(address, old, new),
                None => self.drop_node(address, old),
            }
        }
        self.orphans();
        self.orphaned_networks();
        self.orphaned_routes();
        self.orphaned_poolers();
        for (address, old, new) in pairs(&self.before.users, &self.intended.users) {
            self.user(address, old, new);
        }
        for (address, old, new) in pairs(&self.before.databases, &self.intended.databases) {
            self.database(address, old, new);
        }
        self.seeds();
        for (address, old, new) in pairs(&self.before.endpoints, &self.intended.endpoints) {
            let pooler = |endpoint: &'_ Endpoint| endpoint.pooler.clone();
            self.pooler(address, old.and_then(pooler).as_ref(), new.and_then(pooler).as_ref());
            self.endpoint(address, old, new);
        }
        self.protections();
        self.images();
        for (name, new) in &self.intended.clusters {
            self.settings(name, new);
            self.sync_names(name, new);
            self.open(name, new);
        }
        let cleared: BTreeSet<ClusterName> = self
            .drafts
            .iter()
            .flat_map(|draft| &draft.delta.0)
            .filter_map(cleared)
            .collect();
        for (name, _, new) in pairs(&self.before.clusters, &self.intended.clusters) {
            self.cluster(name, new, cleared.contains(name));
        }
        self.drafts
    }

    pub(crate) fn push(&mut self, draft: Draft) {
        self.drafts.push(draft);
    }

    /// Returns whether somebody asked for a node's data to be made anew.
    fn resyncs(&self, address: &NodeAddress) -> bool {
        self.proposal
            .is_some_and(|proposal| proposal.resyncs(address).is_some())
    }

    /// Takes an object out of the record that stays where it is, and returns whether that is what becomes of it.
    fn forget(&mut self, address: &(impl Clone + Into<Address>)) -> bool {
        let address = address.clone().into();
        let forgets = self.desired.forgets(&address);
        if forgets {
            let reason = "configuration: a removed block leaves it where it is";
            let delta = vec![Edit::Drop(address.clone())];
            self.push(Draft::new(address, Action::Record {}, reason, delta));
        }
        forgets
    }

    /// Records which nodes may not be removed: with the step that records the rest of the node, or by itself.
    fn protections(&mut self) {
        for (address, new) in &self.intended.nodes {
            let old = self.before.nodes.get(address);
            if old.is_some_and(|old| old.prevent_destroy) == new.prevent_destroy {
                continue;
            }
            let edit = Edit::Protected(address.clone(), new.prevent_destroy);
            let of_node = |edit: &Edit| matches!(edit, Edit::Instance(instance) if instance.node == *address);
            let mut drafts = self.drafts.iter_mut();
            match drafts.find(|draft| draft.delta.0.iter().any(of_node)) {
                Some(draft) => draft.delta.0.push(edit),
                None if old.is_some() => {
                    let reason = if new.prevent_destroy {
                        "configuration: prevent_destroy = true"
                    } else {
                        "configuration: no prevent_destroy any more"
                    };
                    self.push(Draft::new(address.clone(), Action::Record {}, reason, vec![edit]));
                }
                None => {}
            }
        }
    }

    /// Records the image of a server that was made anew without simdb, from the one that it is to have: where no other step does.
    fn images(&mut self) {
        let noted = |address: &NodeAddress| self.recorded.nodes.get(address)?.image.as_ref();
        let seen = |address: &NodeAddress| self.before.nodes.get(address)?.image.as_ref();
        let taken_over: Vec<_> = self
            .intended
            .nodes
            .iter()
            .filter(|(address, new)| {
                let other = noted(address)
                    .zip(seen(address))
                    .filter(|(noted, seen)| !noted.is_same(seen));
                other.is_some_and(|(_, seen)| new.image.known() == Some(seen))
            })
            .collect();
        for (address, new) in taken_over {
            let of_node = |edit: &Edit| matches!(edit, Edit::Instance(instance) if instance.node == *address);
            if self.drafts.iter().any(|draft| draft.delta.0.iter().any(of_node)) {
                continue;
            }
            let reason = "the record takes over what was seen: image";
            let delta = vec![instance_edit(address, new)];
            self.push(Draft::new(address.clone(), Action::Record {}, reason, delta));
        }
    }

    /// Returns what the server of a cluster's primary says of itself: the one that leads, or becomes its primary with this plan.
    pub(crate) fn primary_facts(&self, cluster: &ClusterName) -> Option<&ServerFacts> {
        let led = before::primary_server(self.before, self.observed, cluster);
        led.or_else(|| {
            self.intended
                .imports
                .get(&self.intended.primary(cluster)?)?
                .server
                .as_ref()
        })
    }

    fn primary_server(&self, cluster: &ClusterName) -> Option<Server> {
        let (primary, node) = self.intended.running_primary(cluster)?;
        Some(server(&primary, node))
    }
}

/// Returns how the server of a node is reached.
pub(crate) fn server(address: &NodeAddress, node: &IntendedNode) -> Server {
    Server {
        node: address.clone(),
        place: Box::new(node.place.clone()),
        password: superuser_password(&address.cluster),
    }
}

/// Returns how the server of a node is reached by another node of its cluster.
pub(crate) fn server_for(reader: &IntendedNode, address: &NodeAddress, node: &IntendedNode) -> Server {
    let server = server(address, node);
    Server {
        place: Box::new(reader.sees(node, *server.place)),
        ..server
    }
}

/// Records where a server listens, and with which parameters it runs.
fn instance_edit(address: &NodeAddress, node: &IntendedNode) -> Edit {
    Edit::Instance(Box::new(Instance {
        node: address.clone(),
        platform: node.platform.clone(),
        place: node.place.clone(),
        image: node.image.known().cloned(),
        resources: node.resources,
        parameters: node.parameters.clone(),
    }))
}

/// A server that starts has yet to prove that it is in sync.
fn cleared_by_start(address: &NodeAddress) -> Edit {
    Edit::Unverified(address.cluster.clone())
}

/// The cluster whose last proof an edit clears.
fn cleared(edit: &Edit) -> Option<ClusterName> {
    match edit {
        Edit::Unverified(cluster) => Some(cluster.clone()),
        _ => None,
    }
}
