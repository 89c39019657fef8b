//! What a person asks of a monitor while it runs: the watcher carries it out as it does its own decisions, one thing at a time.

use std::fmt;

use simdb_planner::planner::{Assurance, ElectionKind};
use simdb_planner::watch::Subject;
use simdb_state::name::{ClusterName, NodeName};
use simdb_state::object::{Impact, Power};
use tokio::sync::{mpsc, oneshot};

use super::outcome::Outcome;
use crate::request::Request;
use crate::views::doc::Operation;

/// How many orders wait at most until the watcher looks at them.
const BACKLOG: usize = 16;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Another node takes the lead over from the one that has it.
    Switchover {
        /// The node; absent, the one that is best suited.
        to: Option<NodeName>,
    },
    /// Another node takes the lead, for the one that has it is lost.
    Failover {
        /// The node; absent, the one that has most.
        to: Option<NodeName>,
        /// Whether acknowledged writes may be lost.
        lossy: bool,
    },
    /// A server is stopped and started.
    Restart {
        /// The node.
        node: NodeName,
    },
    /// The data of a standby is brought in line again.
    Resync {
        /// The standby.
        node: NodeName,
    },
}

impl Order {
    /// Returns what it is about.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Order::Switchover { .. } | Order::Failover { .. } => Subject::Lead,
            Order::Restart { node } | Order::Resync { node } => Subject::Node(node.clone()),
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Order::Switchover { to: Some(to) } => write!(f, "switch over to {to}"),
            Order::Switchover { to: None } => f.write_str("switch over"),
            Order::Failover { to: Some(to), .. } => write!(f, "fail over to {to}"),
            Order::Failover { to: None, .. } => f.write_str("fail over"),
            Order::Restart { node } => write!(f, "restart {node}"),
            Order::Resync { node } => write!(f, "make {node} anew"),
        }
    }
}

/// An order, of which cluster it is, and who gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ordered {
    pub(crate) cluster: ClusterName,
    pub(crate) order: Order,
    /// Who, as a clause: `127.0.0.1, over the API`.
    pub(crate) who: String,
}

/// One run of an order: what it is called, and the worst impact that it may have.
pub(super) struct Errand<'a> {
    pub(super) operation: Operation,
    pub(super) request: Request<'a>,
    /// The worst impact that is allowed; absent, what a command allows that runs unattended.
    pub(super) allow: Option<Impact>,
}

/// The words that an order becomes a command of.
pub(super) struct Words {
    cluster: String,
    node: Option<String>,
    /// A node with its cluster, as `stop` and `start` take it.
    target: String,
}

impl Ordered {
    pub(super) fn words(&self) -> Words {
        let node = match &self.order {
            Order::Switchover { to } | Order::Failover { to, .. } => to.as_ref(),
            Order::Restart { node } | Order::Resync { node } => Some(node),
        };
        let node = node.map(ToString::to_string);
        let cluster = self.cluster.to_string();
        let target = node
            .as_ref()
            .map_or_else(|| cluster.clone(), |node| format!("{cluster}.{node}"));
        Words { cluster, node, target }
    }

    /// Returns the commands that do what is asked for, in their order.
    pub(super) fn errands<'a>(&self, words: &'a Words) -> Vec<Errand<'a>> {
        let election = |operation, kind, allow| Errand {
            operation,
            request: Request::Election {
                cluster: &words.cluster,
                to: words.node.as_deref(),
                kind,
                assurance: Assurance::Proof,
                allow,
            },
            allow,
        };
        let power = |operation, power| Errand {
            operation,
            request: Request::Power {
                target: &words.target,
                power,
            },
            allow: None,
        };
        match &self.order {
            Order::Switchover { .. } => vec![election(Operation::Switchover, ElectionKind::Switchover, None)],
            Order::Failover { lossy, .. } => {
                let allow = lossy.then_some(Impact::DataLoss);
                vec![election(Operation::Failover, ElectionKind::Failover, allow)]
            }
            // Where the monitor is killed between the two, the node is on record as stopped, and `status` shows it.
            Order::Restart { .. } => vec![
                power(Operation::Stop, Power::Stopped),
                power(Operation::Start, Power::Running),
            ],
            Order::Resync { .. } => vec![Errand {
                operation: Operation::Resync,
                request: Request::Resync {
                    cluster: &words.cluster,
                    node: words.node.as_deref().unwrap_or_default(),
                },
                allow: None,
            }],
        }
    }
}

/// What the watcher says to an order.
#[derive(Debug)]
pub(crate) enum Reply {
    /// It has begun; what came of it arrives later.
    Begun(oneshot::Receiver<Outcome>),
    /// Something else is being done; what, as a clause.
    Busy(String),
}

/// An order on its way to the watcher.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) ordered: Ordered,
    pub(super) reply: oneshot::Sender<Reply>,
}

/// Where orders are given. Cloning it makes another giver.
#[derive(Clone, Debug)]
pub(crate) struct Orders(mpsc::Sender<Asked>);

impl Orders {
    /// Makes where orders are given, and where they are taken.
    pub(super) fn new() -> (Self, mpsc::Receiver<Asked>) {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        (Self(sender), receiver)
    }

    /// Gives an order; nothing where the monitor ends.
    pub(crate) async fn give(&self, ordered: Ordered) -> Option<Reply> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Asked { ordered, reply }).await.ok()?;
        answer.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(order: Order) -> Vec<(&'static str, Option<Impact>)> {
        let ordered = Ordered {
            cluster: "orders".parse().unwrap(),
            order,
            who: "a test".to_owned(),
        };
        let words = ordered.words();
        let errands = ordered.errands(&words);
        errands
            .iter()
            .map(|errand| (errand.operation.name(), errand.allow))
            .collect()
    }

    #[test]
    fn an_order_is_the_command_of_its_name_and_data_is_lost_only_where_that_is_asked_for() {
        let node: NodeName = "r[0]".parse().unwrap();
        let failover = |lossy| operations(Order::Failover { to: None, lossy });
        assert_eq!(failover(false), [("failover", None)]);
        assert_eq!(failover(true), [("failover", Some(Impact::DataLoss))]);
        assert_eq!(
            operations(Order::Switchover { to: Some(node.clone()) }),
            [("switchover", None)]
        );
        assert_eq!(operations(Order::Resync { node: node.clone() }), [("resync", None)]);
        assert_eq!(operations(Order::Restart { node }), [("stop", None), ("start", None)]);
    }
}
