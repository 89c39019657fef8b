//! What a monitor decides, what it holds back, and what it warns of.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use simdb_state::address::NodeAddress;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Power, State};

use super::condition::LostBy;
use crate::planner::{Assurance, ElectionKind, ElectionRequest, Proposal};

/// What is to be done with a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Another node takes over from the one that is lost.
    Elect {
        /// The node that led.
        lost: NodeName,
        /// By what that is known.
        by: LostBy,
        /// Whether the policy lets acknowledged writes be lost.
        lossy: bool,
    },
    /// A role change that was cut off is carried through.
    Finish {
        /// Its winner.
        winner: NodeName,
    },
    /// The node that led takes the lead back, for the one that was elected cannot take over.
    GoBack {
        /// The node that led.
        to: NodeName,
    },
    /// A server that ended is started again.
    Restart {
        /// The node.
        node: NodeName,
    },
    /// Commits stop waiting for a standby that is away.
    Degrade {
        /// The standby.
        away: NodeName,
    },
    /// Commits wait for all standbys again that they are to wait for.
    Restore,
    /// The data of a standby is brought in line again.
    Rebuild {
        /// The standby.
        node: NodeName,
        /// Why, as a clause.
        why: &'static str,
    },
    /// A server that writes beside the primary is shut down.
    Fence {
        /// The node.
        node: NodeName,
    },
    /// The cluster is paused, for it fails over again and again.
    Pause {
        /// How many failovers there were within an hour.
        failovers: usize,
    },
}

impl Decision {
    /// Returns what is asked of the planner beside what is recorded.
    pub fn proposal(&self, cluster: &ClusterName) -> Option<Proposal> {
        let address = |node: &NodeName| NodeAddress {
            cluster: cluster.clone(),
            node: node.clone(),
        };
        match self {
            Decision::Elect { lossy, .. } => Some(Proposal::Election(ElectionRequest {
                cluster: cluster.clone(),
                kind: ElectionKind::Failover,
                to: None,
                lossy: *lossy,
                assurance: Assurance::Proof,
            })),
            Decision::GoBack { to } => Some(Proposal::Election(ElectionRequest {
                cluster: cluster.clone(),
                kind: ElectionKind::Switchover,
                to: Some(to.clone()),
                lossy: false,
                assurance: Assurance::Proof,
            })),
            Decision::Rebuild { node, .. } => Some(Proposal::resync([address(node)])),
            Decision::Fence { node } => Some(Proposal::Power {
                nodes: BTreeSet::from([address(node)]),
                power: Power::Stopped,
            }),
            Decision::Finish { .. }
            | Decision::Restart { .. }
            | Decision::Degrade { .. }
            | Decision::Restore
            | Decision::Pause { .. } => None,
        }
    }

    /// Returns what it is about.
    pub fn subject(&self) -> Subject {
        match self {
            Decision::Elect { .. } | Decision::Finish { .. } | Decision::GoBack { .. } | Decision::Pause { .. } => {
                Subject::Lead
            }
            Decision::Degrade { .. } | Decision::Restore => Subject::Commits,
            Decision::Restart { node } | Decision::Rebuild { node, .. } | Decision::Fence { node } => {
                Subject::Node(node.clone())
            }
        }
    }

    /// Returns whether it is about the primary of a cluster, or about there being none: it does not wait for what yields.
    pub fn is_urgent(&self, cluster: &ClusterName, recorded: &State) -> bool {
        match self.subject() {
            Subject::Lead => true,
            Subject::Node(node) => recorded.leader(cluster).is_some_and(|leader| leader.node == node),
            Subject::Commits => false,
        }
    }

    /// Returns for how long it waits after it did not help once, and at most.
    pub(super) fn patience(&self) -> (Duration, Duration) {
        let (seconds, minutes) = (Duration::from_secs, Duration::from_mins);
        match self {
            Decision::Elect { .. } | Decision::Finish { .. } | Decision::GoBack { .. } => (seconds(1), seconds(30)),
            Decision::Rebuild { .. } => (minutes(1), minutes(60)),
            Decision::Restart { .. }
            | Decision::Degrade { .. }
            | Decision::Restore
            | Decision::Fence { .. }
            | Decision::Pause { .. } => (seconds(2), minutes(1)),
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Decision::Elect { lost, by, .. } => write!(f, "fail over from {lost}: {by}"),
            Decision::Finish { winner } => write!(f, "finish the role change to {winner}, which was cut off"),
            Decision::GoBack { to } => write!(f, "let {to} lead again"),
            Decision::Restart { node } => write!(f, "start {node}"),
            Decision::Degrade { away } => write!(f, "let commits go on without {away}"),
            Decision::Restore => f.write_str("let commits wait for all standbys again"),
            Decision::Rebuild { node, why } => write!(f, "make {node} anew: {why}"),
            Decision::Fence { node } => write!(f, "shut down {node}, which writes beside the primary"),
            Decision::Pause { failovers } => write!(f, "pause after {failovers} failovers within an hour"),
        }
    }
}

/// What a decision is about. What did not help is tried again, later and later, by its subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// Who leads.
    Lead,
    /// For whom commits wait.
    Commits,
    /// One node.
    Node(NodeName),
}

/// Why something is not done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Held {
    /// The monitor only observes; why, as a clause.
    Observes(String),
    /// The monitor started a moment ago.
    Warming,
    /// A person paused it.
    Paused,
    /// A maintenance window is open.
    Maintained,
    /// The policy leaves it to a person.
    Manual,
    /// No node of any cluster answers: the monitor takes itself for cut off.
    Blind,
    /// Somebody else is at work on the cluster.
    AtWork(String),
    /// The last failover was too short a while ago for one that is not proven to lose nothing.
    Cooldown(Duration),
    /// No node could take over.
    NoCandidate,
    /// A standby has a later branch of the log than the primary on record.
    Ahead(NodeName),
    /// The primary may come back by itself within this time.
    Restarting(Duration),
    /// It was refused, or failed, and is tried again after this time.
    Again(Duration),
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |left: &Duration| format!("{:.0} s", left.as_secs_f64().ceil());
        match self {
            Held::Observes(why) => write!(f, "this monitor only observes: {why}"),
            Held::Warming => f.write_str("the monitor has just started"),
            Held::Paused => f.write_str("the monitor is paused for this cluster"),
            Held::Maintained => f.write_str("a maintenance window is open"),
            Held::Manual => f.write_str("failover.mode is \"manual\""),
            Held::Blind => f.write_str("no node answers, so the monitor takes itself for cut off"),
            Held::AtWork(who) => write!(f, "{who} is at work"),
            Held::Cooldown(left) => write!(f, "the last failover was a moment ago; wait {}", seconds(left)),
            Held::NoCandidate => f.write_str("no standby could take over"),
            Held::Ahead(node) => write!(f, "{node} is on a later timeline than the primary on record"),
            Held::Restarting(left) => write!(f, "the primary has {} to come back", seconds(left)),
            Held::Again(left) => write!(f, "the last attempt failed; the next one is in {}", seconds(left)),
        }
    }
}

/// Something that a person should know while it holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alarm {
    /// A standby has more to replay than it may.
    Lag(NodeName),
    /// Commits wait, and too few standbys confirm them.
    CommitsWait,
    /// The log that a standby needs is about to go.
    Slot(NodeName),
    /// The log of a node cannot be archived, and is retained until it can.
    Archive(NodeName),
    /// A node does not do its part.
    NodeLost(NodeName),
    /// More than one node writes.
    SplitBrain(NodeName),
    /// The monitor does not reach a node that lives.
    Unreached(NodeName),
    /// Nothing answers.
    Blind,
}

impl Alarm {
    /// Returns the node that it is about, where it is about one.
    pub fn node(&self) -> Option<&NodeName> {
        match self {
            Alarm::Lag(node)
            | Alarm::Slot(node)
            | Alarm::Archive(node)
            | Alarm::NodeLost(node)
            | Alarm::SplitBrain(node)
            | Alarm::Unreached(node) => Some(node),
            Alarm::CommitsWait | Alarm::Blind => None,
        }
    }
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Alarm::Lag(node) => write!(f, "{node} lags"),
            Alarm::CommitsWait => f.write_str("commits wait for standbys"),
            Alarm::Slot(node) => write!(f, "the log that {node} needs is about to be removed"),
            Alarm::Archive(node) => write!(f, "the log of {node} cannot be archived"),
            Alarm::NodeLost(node) => write!(f, "{node} is lost"),
            Alarm::SplitBrain(node) => write!(f, "{node} writes beside the primary"),
            Alarm::Unreached(node) => write!(f, "{node} does not answer, and something shows that it lives"),
            Alarm::Blind => f.write_str("no node answers"),
        }
    }
}
