//! What a plan says, line by line: each sentence that several cases expect stands here once.

use std::fmt::{Display, Formatter, Result};

/// A step with its impact and its reason, or why there is none.
pub(crate) enum Line {
    /// The server of a node is started.
    Started(&'static str),
    /// The server of a node is started, elsewhere than before.
    PortTaken(&'static str),
    /// A server that runs without simdb's settings gets them, with an impact.
    StartedByHand(&'static str, &'static str),
    /// The server of a node, which was halted, goes on.
    Woken(&'static str),
    /// The server of a node is stopped before its data is replaced.
    Stopped(&'static str),
    /// A slot is made for a node.
    Slot(&'static str),
    /// A node's data is copied, and its server started on it.
    Cloned(&'static str),
    /// A file of a node is written again.
    Rewritten(&'static str, &'static str),
    /// Clients of a primary that crashed are let in.
    Opened,
    /// Replication is proven.
    Verified,
    /// The user that standbys stream with is made or mended.
    ReplicationUser,
    /// Both endpoints get or lose a node.
    EndpointsLeadToOthers,
    /// Both endpoints have a node whose port changes.
    EndpointsListenElsewhere,
    /// A node is down because somebody wanted it so.
    StoppedOnRequest(&'static str),
    /// Refused: the primary's data is gone.
    PrimaryLost,
    /// Refused: a node's data is that of another cluster.
    Foreign(&'static str),
    /// Refused: a standby writes, or did, as the second text says.
    RoleChanged(&'static str, &'static str),
    /// In these words.
    Says(&'static str),
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Line::Started(node) => write!(
                f,
                "start node.{node} [none]: its server is down, and is started in place, on the same timeline"
            ),
            Line::PortTaken(node) => write!(
                f,
                "start node.{node} [none]: [TEST] (pid [PID]) took its port while it was down, and it moves to 127.0.0.1:[PORT]"
            ),
            Line::StartedByHand(node, impact) => write!(
                f,
                "configure node.{node} [{impact}]: drift: {node}'s server was started without simdb, with settings \
                 of its own"
            ),
            Line::Woken(node) => write!(
                f,
                "start node.{node} [none]: drift: a signal halted its server, which goes on now"
            ),
            Line::Stopped(node) => write!(f, "stop node.{node} [restart]: the data {node} runs on is replaced"),
            Line::Slot(node) => write!(
                f,
                "slot node.{node} [none]: a retains the WAL that {node} has yet to receive"
            ),
            Line::Cloned(node) => write!(
                f,
                "basebackup node.{node} [none]: {node} has no copy of a's data that it can stream on\n\
                 standby node.{node} [none]: {node} streams from a"
            ),
            Line::Rewritten(node, file) => write!(
                f,
                "configure node.{node} [reload]: drift: {file} of {node} does not hold what simdb wrote"
            ),
            Line::Opened => f.write_str("open node.a [none]: a crashed, and may show commits that no standby has yet"),
            Line::Verified => f.write_str(
                "verify-sync cluster.orders [none]: every standby must be seen to replay what the primary commits",
            ),
            Line::ReplicationUser => {
                f.write_str("replication-user user.replicator [none]: standbys stream with it, and with it alone")
            }
            Line::EndpointsLeadToOthers => f.write_str(
                "endpoint endpoint.ro [none]: orders-ro routes to other nodes than it should\n\
                 endpoint endpoint.rw [none]: orders-rw routes to other nodes than it should",
            ),
            Line::EndpointsListenElsewhere => f.write_str(
                "endpoint endpoint.ro [none]: a node that orders-ro routes to has another address\n\
                 endpoint endpoint.rw [none]: a node that orders-rw routes to has another address",
            ),
            Line::StoppedOnRequest(node) => write!(
                f,
                "note: cluster.orders.node.{node} is stopped on request. To start it, run: simdb start orders.{node}"
            ),
            Line::PrimaryLost => f.write_str(
                "Primary has lost its data: cluster.orders.node.a leads the cluster, and its data directory is gone. \
                 simdb makes no empty one in its place. Put the directory back, or destroy the cluster and create it \
                 anew.",
            ),
            Line::Foreign(node) => write!(
                f,
                "Foreign data: cluster.orders.node.{node} holds the data of another cluster: its system identifier is \
                 [SYSTEM], and the one on record is [SYSTEM]. simdb neither starts nor removes data that it did not \
                 make. Put the node's own data directory back; or, for a standby, move the foreign one away, and the \
                 next apply clones it again."
            ),
            Line::RoleChanged(node, how) => write!(
                f,
                "Role was changed without simdb: cluster.orders.node.{node} is a standby on record, and {how}. \
                 It was promoted or its start was changed without simdb, and two nodes of a cluster may have taken writes \
                 since. Nothing is done until that is settled: find out which node has the writes worth keeping. To \
                 give up those of cluster.orders.node.{node}, run: simdb resync orders {node}; to keep them, and give up the writes of the other nodes since, run: simdb failover orders -promote {node} -allow=data-loss"
            ),
            Line::Says(text) => f.write_str(text),
        }
    }
}
