//! Who leads a cluster, and how that is known: elections, the roles of nodes, and what shows that a server takes no writes.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Term;
use crate::name::NodeName;
use crate::position::{Distance, Position};

/// Who leads a cluster, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Election {
    /// The number of this election.
    pub term: Term,
    /// The node that leads.
    pub primary: NodeName,
    /// What `primary =` said when it was held; only a different pin asks for another election.
    pub pin: Option<NodeName>,
    /// Why it was held.
    pub reason: ElectionReason,
    /// Whether simdb chose the winner; false where a person named it, and in records of earlier versions, which do not say.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub chosen: bool,
    /// How the lead passed to the winner; absent until it has, and at birth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub switch: Option<Switch>,
}

/// Why an election was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ElectionReason {
    /// The cluster was born.
    Birth,
    /// The lead was to pass from a node that serves.
    Switchover,
    /// The node that led was lost.
    Failover,
}

/// How the lead passed from one node to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Switch {
    /// The timeline that the winner writes; absent where its engine has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    /// The position from which the winner writes.
    pub point: Position,
    /// What became of the writes that were acknowledged before.
    pub verdict: Verdict,
}

impl Switch {
    /// Says which timeline the winner writes, as the rest of a list: `, timeline 2`. Empty where its engine has none.
    pub fn on_timeline(&self) -> String {
        self.timeline
            .map_or_else(String::new, |timeline| format!(", timeline {timeline}"))
    }
}

/// What is known of the writes that were acknowledged before a role change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Nothing is lost: the former primary was shut down in order, its last record is this checkpoint, and the new
    /// timeline begins after it.
    Proven {
        /// The shutdown checkpoint.
        checkpoint: Position,
    },
    /// Nothing is lost as long as commits waited as they were told to: every one was confirmed by `waited` of the
    /// `listed` standbys, so by one of the `responders` that were asked (R + W > N), and the one that had most leads.
    Argued {
        /// Listed standbys that answered (R).
        responders: u32,
        /// How many of them a commit waited for (W).
        waited: u32,
        /// How many are listed (N).
        listed: u32,
    },
    /// Acknowledged writes may be lost.
    Unknown(Loss),
}

/// How much was written and may be lost, at most; nothing where that cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "LossFields", into = "LossFields")]
pub struct Loss(pub Option<Distance>);

/// A [`Loss`] as it is written.
#[derive(Serialize, Deserialize)]
struct LossFields {
    bytes: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    transactions: Option<u64>,
}

impl From<LossFields> for Loss {
    fn from(LossFields { bytes, transactions }: LossFields) -> Self {
        let transactions = transactions.map(Distance::Transactions);
        Loss(bytes.map(Distance::Bytes).or(transactions))
    }
}

impl From<Loss> for LossFields {
    fn from(Loss(most): Loss) -> Self {
        let (bytes, transactions) = match most {
            None => (None, None),
            Some(Distance::Bytes(bytes)) => (Some(bytes), None),
            Some(Distance::Transactions(transactions)) => (None, Some(transactions)),
        };
        Self { bytes, transactions }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Proven { checkpoint } => {
                write!(
                    f,
                    "proven: nothing is lost, the former primary's last record {checkpoint} is there"
                )
            }
            Verdict::Argued {
                responders,
                waited,
                listed,
            } => write!(
                f,
                "argued: nothing is lost, commits waited for {waited} of {listed} standbys and {responders} answered"
            ),
            Verdict::Unknown(Loss(Some(most))) => write!(f, "unknown: up to {most} may be lost"),
            Verdict::Unknown(Loss(None)) => f.write_str("unknown: acknowledged writes may be lost"),
        }
    }
}

/// What a node is to its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It writes.
    Primary {
        /// The election that made it primary.
        term: Term,
    },
    /// It replays what another node writes.
    Standby {
        /// The node it streams from.
        follows: NodeName,
    },
    /// It led, and it is proven that it takes no writes any more, or a person answers for it.
    Fenced {
        /// The election that took the lead from it.
        term: Term,
        /// What shows it.
        proof: FenceProof,
        /// What counts as proof that nothing of its server runs any more.
        #[serde(default)]
        witness: Witness,
    },
}

/// What counts as proof that nothing of a server runs any more, and that its platform does not start it again by itself. That a
/// server cannot be reached is none of these: then a person answers for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Witness {
    /// The machine that alone could run it has no process of it.
    #[default]
    ProcessesGone,
    /// Its container has exited, and no other one has its data.
    ContainerExited,
    /// The node that ran its pod reported, while it was ready, that every container of it has ended.
    PodGone,
    /// No platform could tell: a person attests that the machine it ran on is off.
    NodeFenced,
    /// No platform could tell, and a person waived the proof: it may run, and take writes that are lost.
    Waived,
}

impl Witness {
    /// Returns whether a platform saw it; else a person answers for it.
    pub fn is_proof(self) -> bool {
        match self {
            Witness::ProcessesGone | Witness::ContainerExited | Witness::PodGone => true,
            Witness::NodeFenced | Witness::Waived => false,
        }
    }
}

/// How a former primary was brought down. Where a platform reached it, both kinds leave it so that it is started read-only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FenceProof {
    /// Its server was shut down in order.
    ShutDown {
        /// Its last record.
        checkpoint: Position,
    },
    /// Not in order: every process that used its data was killed, or a person answers for that none is left (see [`Witness`]). What
    /// it wrote last is not known.
    Killed,
}

impl Role {
    /// Returns the node it streams from, if it streams.
    pub fn follows(&self) -> Option<&NodeName> {
        match self {
            Role::Standby { follows } => Some(follows),
            Role::Primary { .. } | Role::Fenced { .. } => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Role::Primary { .. } => "primary",
            Role::Standby { .. } => "standby",
            Role::Fenced { .. } => "fenced",
        })
    }
}
