//! What a command asks for beside the configuration, and what is asked next where a role change did not come to its end.

use simdb_planner::config::Config;
use simdb_planner::plan::{Action, Impact, Plan, Step};
use simdb_planner::planner::scope::{Pattern, Scope};
use simdb_planner::planner::{Assurance, ElectionKind, ElectionRequest, Proposal};
use simdb_planner::watch::{self, Decision, Trace};
use simdb_providers::observe::Patience;
use simdb_state::address::{Address, NodeAddress};
use simdb_state::backend::Lease;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Damage, Election, ElectionReason, FailoverPolicy, Power, Role, State, Term};

use crate::args::Selection;
use crate::error::CliError;
use crate::target;

/// What a monitor decided, and on which grounds.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    /// The cluster.
    pub(crate) cluster: ClusterName,
    /// What is to be done.
    pub(crate) decision: Decision,
    /// The last election that the monitor knew of.
    pub(crate) term: Option<Term>,
    /// How many bytes the primary was last seen to be ahead of the most advanced standby, where that is known.
    pub(crate) unseen: Option<u64>,
    /// The holdings of the lock that were seen to stand still for longer than they may.
    pub(crate) stale: Vec<Lease>,
    /// What others do that ends for this, as far as it had come when the monitor decided.
    pub(crate) yielding: Vec<Trace>,
}

/// What a command asks for, as it was typed.
#[derive(Clone, Debug)]
pub(crate) enum Request<'a> {
    /// Nothing but the configuration, or a part of it.
    Configuration(&'a Selection),
    /// Servers of a cluster, or of one node, are to run or not.
    Power {
        /// The cluster or node.
        target: &'a str,
        /// What they are to be.
        power: Power,
    },
    /// Another node is to lead.
    Election {
        /// The cluster.
        cluster: &'a str,
        /// The node; absent, whoever is best suited.
        to: Option<&'a str>,
        /// Whether the node that leads serves, or is lost.
        kind: ElectionKind,
        /// What has to show that it takes no writes, where it cannot be looked at.
        assurance: Assurance,
        /// The worst impact that is allowed.
        allow: Option<Impact>,
    },
    /// Servers that were made without simdb become nodes, and nothing else happens.
    Import {
        /// What they become: a node or a cluster.
        address: &'a Address,
        /// What they are known by.
        id: &'a str,
    },
    /// A monitor decided it.
    Decided(&'a Decided),
    /// A node's data is to be brought in line.
    Resync {
        /// The cluster.
        cluster: &'a str,
        /// The node.
        node: &'a str,
    },
}

impl Request<'_> {
    /// Brings into the configuration what the command asks for there: of an import, nothing is left but what is imported and
    /// what is on record.
    pub(crate) fn adjust(&self, config: &mut Config, recorded: &State) -> Result<(), CliError> {
        let Request::Import { address, id } = self else {
            return Ok(());
        };
        let refused = |detail| CliError::refused("Server cannot be imported", detail);
        config.import(address, id, recorded).map_err(refused)
    }

    /// Returns the addresses that the plan is about.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            Request::Configuration(selection) => selection.scope(),
            Request::Import { address, .. } => Scope {
                targets: vec![Pattern::new(&address.to_string())],
                excludes: Vec::new(),
            },
            Request::Decided(Decided { cluster, .. }) => Scope {
                targets: vec![Pattern::new(&Address::Cluster(cluster.clone()).to_string())],
                excludes: Vec::new(),
            },
            _ => Scope::default(),
        }
    }

    /// Checks that the record is still the one that a monitor decided about.
    pub(crate) fn confirm(&self, recorded: &State) -> Result<(), CliError> {
        let Request::Decided(decided) = self else { return Ok(()) };
        let last = recorded.elections.get(&decided.cluster).map(|election| election.term);
        if last == decided.term {
            return Ok(());
        }
        let detail = "Another node was elected since the monitor looked. It looks again.";
        Err(CliError::refused("Decision is outdated", detail))
    }

    /// Checks that a monitor may run a plan without a person.
    pub(crate) fn permit(&self, plan: &Plan, config: &Config) -> Result<(), CliError> {
        let Request::Decided(decided) = self else { return Ok(()) };
        let Decided { cluster, decision, .. } = decided;
        let policy = config.desired.clusters.get(cluster).map(|spec| &spec.failover);
        let default = FailoverPolicy::default();
        let policy = policy.unwrap_or(&default);
        watch::permit(cluster, decision, policy, plan, decided.unseen)
            .map_err(|why| CliError::refused("Plan is more than the monitor may do", why))
    }

    /// Returns the cluster that a monitor decided about, and how long to wait for its nodes.
    pub(crate) fn decided_on(&self) -> Option<(&ClusterName, Patience)> {
        let Request::Decided(Decided { cluster, decision, .. }) = self else {
            return None;
        };
        let silent = match decision {
            Decision::Elect { lost, by, .. } if !by.is_certain() => Some(NodeAddress {
                cluster: cluster.clone(),
                node: lost.clone(),
            }),
            _ => None,
        };
        let limit = watch::DEADLINE;
        Some((cluster, Patience { limit, silent }))
    }

    /// Returns what is asked of the planner.
    pub(crate) fn proposal(&self, state: &State) -> Result<Option<Proposal>, CliError> {
        Ok(match self {
            Request::Configuration(selection) if selection.replace.is_empty() => None,
            Request::Configuration(selection) => {
                let nodes = selection.replace.iter().map(|given| replaced(state, given));
                Some(Proposal::resync(nodes.collect::<Result<Vec<_>, _>>()?))
            }
            Request::Power { target, power } => Some(Proposal::Power {
                nodes: target::nodes(state, target)?,
                power: *power,
            }),
            Request::Election {
                cluster,
                to,
                kind,
                assurance,
                allow,
            } => {
                let cluster = target::cluster(state, cluster)?;
                let to = to.map(|node| target::member(state, &cluster, node)).transpose()?;
                Some(Proposal::Election(ElectionRequest {
                    cluster,
                    kind: *kind,
                    to: to.map(|node| node.node),
                    lossy: *allow == Some(Impact::DataLoss),
                    assurance: *assurance,
                }))
            }
            Request::Import { .. } => None,
            Request::Decided(decided) => decided.decision.proposal(&decided.cluster),
            Request::Resync { cluster, node } => {
                let cluster = target::cluster(state, cluster)?;
                Some(Proposal::resync([target::member(state, &cluster, node)?]))
            }
        })
    }
}

/// Returns the node that is to be made anew.
fn replaced(state: &State, given: &str) -> Result<NodeAddress, CliError> {
    match given.parse::<Address>() {
        Ok(Address::Node(node)) if state.nodes.contains_key(&node) => Ok(node),
        Ok(Address::Node(_)) | Err(_) => {
            let detail = format!("The record has no node {given}. To list the addresses, run: simdb state list");
            Err(CliError::refused("Unknown address", detail))
        }
        Ok(other) => {
            let detail = format!(
                "{other} is changed in place. Only the data of a node can be made anew: -replace=cluster.NAME.node.NAME"
            );
            Err(CliError::refused("Address cannot be replaced", detail))
        }
    }
}

/// How a plan goes on that did not come to its end, inside the same approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Continuation {
    /// The new primary leads; what is left is to bring the former one back.
    Rejoin,
    /// The former primary could not hand over, so it goes on.
    GoBack(Proposal),
    /// Another node turned out to have more, so another election is held.
    ElectAgain(Proposal),
    /// The data of a standby turned out to be beyond recovery, so it is copied anew.
    CopyAgain(Option<Proposal>),
}

impl Continuation {
    /// Returns what is asked of the planner.
    pub(crate) fn proposal(&self) -> Option<&Proposal> {
        match self {
            Continuation::Rejoin => None,
            Continuation::GoBack(proposal) | Continuation::ElectAgain(proposal) => Some(proposal),
            Continuation::CopyAgain(proposal) => proposal.as_ref(),
        }
    }

    /// Says what happens next, and why.
    pub(crate) fn sentence(&self) -> &'static str {
        match self {
            Continuation::Rejoin => "The new primary leads. simdb plans the remaining steps anew.",
            Continuation::GoBack(_) => {
                "The primary could not hand over, and no other node was promoted. It goes on leading."
            }
            Continuation::ElectAgain(_) => "The node that was elected could not be promoted. Another election is held.",
            Continuation::CopyAgain(_) => "The data of a standby is beyond recovery. It is copied anew.",
        }
    }
}

/// Returns how a plan that failed goes on, where it changed a role, or found out more than was recorded before it ran.
pub(crate) fn continuation(
    plan: &Plan,
    before: &State,
    state: &State,
    proposal: Option<&Proposal>,
) -> Option<Continuation> {
    let is_held = |step: &Step| match &step.action {
        Action::Elect { cluster, election, .. } => {
            let last = state.elections.get(cluster);
            last.is_some_and(|last| last.term >= election.term)
        }
        _ => true,
    };
    // An election that was not held has changed nothing, and no role change has to go on.
    let held = plan.steps.iter().all(is_held);
    let mut clusters = plan.steps.iter().filter_map(|step| match &step.action {
        Action::Elect { cluster, .. } => Some(cluster),
        Action::Fence { server, .. } | Action::Promote { server, .. } => Some(&server.node.cluster),
        Action::Rejoin { node, .. } => Some(&node.cluster),
        _ => None,
    });
    // What a person answered for holds for another election inside the same approval.
    let assurance = match proposal {
        Some(Proposal::Election(request)) => request.assurance,
        _ => Assurance::Proof,
    };
    let changed = clusters.find_map(|cluster| of_cluster(cluster, state, assurance).filter(|_| held));
    changed.or_else(|| lost_data(before, state).then(|| Continuation::CopyAgain(proposal.cloned())))
}

/// Returns whether the data of a node was found to be beyond recovery.
fn lost_data(before: &State, state: &State) -> bool {
    let lost = |state: &State, address: &NodeAddress| {
        let damage = state.nodes.get(address).and_then(|node| node.damage.as_ref());
        matches!(damage, Some(Damage::Unrecoverable(_)))
    };
    let mut nodes = state.nodes.keys();
    nodes.any(|address| lost(state, address) && !lost(before, address))
}

fn of_cluster(cluster: &ClusterName, state: &State, assurance: Assurance) -> Option<Continuation> {
    let election = state.elections.get(cluster)?;
    let role = |node: &NodeName| {
        let address = NodeAddress {
            cluster: cluster.clone(),
            node: node.clone(),
        };
        state.nodes.get(&address)?.role.as_ref()
    };
    if role(&election.primary).is_some_and(|role| role.writes().is_some()) {
        return Some(Continuation::Rejoin);
    }
    let request = |kind, to| {
        Proposal::Election(ElectionRequest {
            cluster: cluster.clone(),
            kind,
            to,
            lossy: false,
            assurance,
        })
    };
    match election.reason {
        ElectionReason::Birth => None,
        ElectionReason::Failover => Some(Continuation::ElectAgain(request(ElectionKind::Failover, None))),
        ElectionReason::Switchover => {
            let former = former_leader(cluster, election, state)?;
            let back = request(ElectionKind::Switchover, Some(former));
            Some(Continuation::GoBack(back))
        }
    }
}

fn former_leader(cluster: &ClusterName, election: &Election, state: &State) -> Option<NodeName> {
    let led = |role: &Option<Role>| match role {
        Some(Role::Primary { .. }) => true,
        Some(Role::Fenced { term, .. }) => *term == election.term,
        _ => false,
    };
    let mut nodes = state.nodes_of(cluster);
    nodes
        .find(|(_, node)| led(&node.role))
        .map(|(address, _)| address.node.clone())
}
