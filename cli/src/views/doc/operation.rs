//! What a plan is for.

use serde::{Deserialize, Serialize};

/// What the plan is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// What runs is to match the configuration.
    Apply,
    /// Everything is to go.
    Destroy,
    /// Servers are to be down until they are started again.
    Stop,
    /// Servers that were stopped are to run again.
    Start,
    /// Another node is to lead, and the one that does hands over.
    Switchover,
    /// Another node is to lead, because the one that did is lost.
    Failover,
    /// A node's data is to be brought in line.
    Resync,
    /// The record is to take over what was seen, and nothing changes on servers.
    Refresh,
}

impl Operation {
    /// Returns the word that starts a sentence about it.
    pub fn title(self) -> &'static str {
        match self {
            Operation::Apply => "Apply",
            Operation::Destroy => "Destroy",
            Operation::Stop => "Stop",
            Operation::Start => "Start",
            Operation::Switchover => "Switchover",
            Operation::Failover => "Failover",
            Operation::Resync => "Resync",
            Operation::Refresh => "Refresh",
        }
    }

    /// Returns the command that does it.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Apply => "apply",
            Operation::Destroy => "destroy",
            Operation::Stop => "stop",
            Operation::Start => "start",
            Operation::Switchover => "switchover",
            Operation::Failover => "failover",
            Operation::Resync => "resync",
            Operation::Refresh => "refresh",
        }
    }
}
