//! Other spellings of commands.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Apply, Destroy, Failover, Power, Resync, Status, Switchover};

/// Arguments of `create`.
#[derive(Debug, Args)]
pub struct Create {
    /// The directory of the configuration, or a file in it [default: the working directory]
    #[arg(long, value_name = "PATH")]
    pub config: Option<PathBuf>,
    /// The rest is as with `apply`.
    #[command(flatten)]
    pub apply: Apply,
}

/// Arguments of `replication promote`.
#[derive(Debug, Args)]
pub struct Promote {
    /// The cluster
    pub cluster: String,
    /// The node that is to lead
    pub node: String,
    /// Show the plan, and leave it at that.
    #[arg(long)]
    pub plan: bool,
    /// The rest is as with `apply`, of which this is one.
    #[command(flatten)]
    pub apply: Apply,
}

impl From<Promote> for Switchover {
    fn from(promote: Promote) -> Self {
        Self {
            cluster: promote.cluster,
            to: Some(promote.node),
            plan: promote.plan,
            apply: promote.apply,
        }
    }
}

/// Other spellings of commands on clusters.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Like `apply`
    Create(Create),
    /// Like `start`
    Start(Power),
    /// Like `stop`
    Stop(Power),
    /// Like `status`
    Status(Status),
    /// Like `switchover`
    Switchover(Switchover),
    /// Like `failover`
    Failover(Failover),
    /// Like `destroy`
    Destroy(Destroy),
}

/// Other spellings of commands on replication.
#[derive(Debug, Subcommand)]
pub enum ReplicationCommand {
    /// Like `status`
    Status(Status),
    /// Like `failover`
    Failover(Failover),
    /// Like `switchover`, to the node that is named
    Promote(Promote),
    /// Like `resync`
    Resync(Resync),
}
