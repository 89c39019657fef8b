//! Arguments: what can be typed, and nothing about what it does.
//!
//! Long options take one dash or two, values follow after `=` or a space: see [`rewrite`].

mod aliases;
pub(crate) mod complete;
pub(crate) mod json;
mod language;
mod looking;
mod monitor;
mod planning;
mod reach;
mod rewrite;
mod run;
mod selection;
mod state;
pub(crate) mod usage;
mod variables;
mod viewing;
mod workspace;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use simdb_state::address::Address;

pub use aliases::{ClusterCommand, Create, Promote, ReplicationCommand};
pub use json::Shape;
pub use language::{Console, Described, Docs, Fmt, Init, Metadata, Rbac, Validate, ValidateFormat};
pub use looking::{Drift, Events, Gc, Logs, Output, Ps, Runs, Show, Status, Verify};
pub use monitor::{Monitor, MonitorCommand, MonitorPause, MonitorRun, MonitorUnpause};
pub use planning::{ApplyPlan, Facts, Format, Graph, GraphType, Plan, Planning};
pub use reach::{Env, Psql};
pub use run::{Apply, Running, StepLimit};
pub use selection::Selection;
pub use state::{State, StateList, StateMv, StatePush, StateRekey, StateRepair, StateRm, StateShow};
pub use variables::{VariableArgument, Variables};
pub use viewing::{Folding, Viewing};
pub use workspace::{Workspace, WorkspaceDelete, WorkspaceList, WorkspaceNew, WorkspaceSelect};

/// Parses a command line, program name included.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
    let command = Arguments::command();
    let argv = rewrite::long_options(&command, argv.into_iter().collect());
    let matches = command.try_get_matches_from(argv)?;
    let mut arguments = Arguments::from_arg_matches(&matches)?;
    arguments.global.json = json::of_matches(&matches);
    Ok(arguments)
}

/// Plan and apply for database topologies.
///
/// Declare clusters in *.simdb.hcl, look at the plan, apply it. Long options take one dash or two.
#[derive(Debug, Parser)]
#[command(
    name = "simdb",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Arguments {
    /// What every command understands.
    #[command(flatten)]
    pub global: Global,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command understands.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Work in another directory.
    #[arg(long, global = true, value_name = "DIR")]
    pub chdir: Option<PathBuf>,
    /// Write no colours.
    #[arg(long, global = true)]
    pub no_color: bool,
    /// What JSON the command is asked for, if any.
    #[arg(skip)]
    pub json: Option<Shape>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write a commented starter configuration, or get the modules of the one that is here
    Init(Init),
    /// Check the configuration without looking at what runs
    Validate(Validate),
    /// Rewrite configuration files in canonical style
    Fmt(Fmt),
    /// Evaluate expressions against the configuration and the last apply
    Console(Console),
    /// Describe the configuration language and the documents for other programs
    #[command(subcommand)]
    Metadata(Metadata),
    /// Write the reference of the configuration language: pages, and a grammar and a schema for editors
    Docs(Docs),
    /// Show what an apply would do
    Plan(Plan),
    /// Make what runs match the configuration
    Apply(ApplyPlan),
    /// Stop and remove everything that is recorded, data included
    Destroy(Destroy),
    /// Stop the servers of a cluster, or one node, until they are started again
    Stop(Power),
    /// Start servers that were stopped
    Start(Power),
    /// Let another node lead, without loss: the primary hands over in order
    Switchover(Switchover),
    /// Let another node lead because the primary is lost
    Failover(Failover),
    /// Copy a node's data anew from the node that it follows
    Resync(Resync),
    /// Make a node of a server that was made without simdb, and of its data
    ///
    /// The node is declared. Its data stays where it is, and its server is restarted with the settings that are declared.
    Import(Import),
    /// Show everything that is recorded
    Show(Show),
    /// Show outputs of the last apply
    Output(Output),
    /// Show the health of clusters (exit code 5: not healthy)
    Status(Status),
    /// Watch clusters, and let standbys take over from primaries that are lost where that is declared
    Monitor(Monitor),
    /// Another spelling of monitor pause
    #[command(hide = true)]
    Pause(MonitorPause),
    /// Another spelling of monitor unpause
    #[command(hide = true)]
    Unpause(MonitorUnpause),
    /// Show what differs from what the last apply left (exit code 2: something does)
    Drift(Drift),
    /// Check that the nodes of a cluster hold the same, and under load that no write is lost (exit code 5: not so)
    Verify(Verify),
    /// Show what happened to clusters
    Events(Events),
    /// List the servers of all projects of this machine, those included whose state is lost
    Ps(Ps),
    /// Remove what is left of projects whose state is lost: containers, volumes and networks, with all data in them
    ///
    /// Lists them and asks. What a state knows, or may know on another machine, goes only where its lineage is named.
    Gc(Gc),
    /// Show the runs that are kept: who began them, when, and how long their steps took
    #[command(subcommand)]
    Runs(Runs),
    /// Draw the steps of a plan, or what is there where nothing changes, as a graph
    Graph(Graph),
    /// Look into the state
    #[command(subcommand)]
    State(State),
    /// Let one configuration have several states
    #[command(subcommand)]
    Workspace(Workspace),
    /// Show the log of a node's server
    Logs(Logs),
    /// Run psql on the primary of a cluster, or on a node
    Psql(Psql),
    /// Write the variables that lead programs to a cluster: eval "$(simdb env orders)"
    Env(Env),
    /// Like `apply`
    Create(Create),
    /// Other spellings of commands on clusters
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Other spellings of commands on replication
    #[command(subcommand)]
    Replication(ReplicationCommand),
    /// Break the lock of a simdb that cannot give it back
    ForceUnlock(ForceUnlock),
    /// Show the version
    Version(Version),
    /// Write a completion script for a shell
    Completions(Completions),
    /// Write what the last of some words can be, for completion scripts
    #[command(hide = true)]
    Complete(Complete),
}

/// Arguments of `destroy`.
#[derive(Debug, Args)]
pub struct Destroy {
    /// What goes.
    #[command(flatten)]
    pub selection: Selection,
    /// The rest.
    #[command(flatten)]
    pub apply: Apply,
}

/// Arguments of `stop` and `start`.
#[derive(Debug, Args)]
pub struct Power {
    /// A cluster, or a node: orders, cluster.orders.node.a, orders.a, or a where one cluster has it
    pub target: String,
    /// The rest is as with `apply`, of which this is one.
    #[command(flatten)]
    pub apply: Apply,
}

/// Arguments of `switchover`.
#[derive(Debug, Args)]
pub struct Switchover {
    /// The cluster
    pub cluster: String,
    /// The node that is to lead [default: the standby best suited]
    #[arg(long, value_name = "NODE")]
    pub to: Option<String>,
    /// Show the plan, and leave it at that.
    #[arg(long)]
    pub plan: bool,
    /// The rest is as with `apply`, of which this is one.
    #[command(flatten)]
    pub apply: Apply,
}

/// Arguments of `failover`.
#[derive(Debug, Args)]
pub struct Failover {
    /// The cluster
    pub cluster: String,
    /// The node that is to lead [default: the most advanced standby]
    #[arg(long, value_name = "NODE")]
    pub promote: Option<String>,
    /// What takes the place of a proof.
    #[command(flatten)]
    pub unproven: Unproven,
    /// Set `primary` to the new primary in the configuration file that has it.
    #[arg(long)]
    pub write: bool,
    /// Show the plan, and leave it at that.
    #[arg(long)]
    pub plan: bool,
    /// The rest is as with `apply`, of which this is one.
    #[command(flatten)]
    pub apply: Apply,
}

/// What takes the place of a proof where the platform of a primary cannot look at it.
#[derive(Clone, Copy, Debug, Args)]
pub struct Unproven {
    /// Attest that the machine of the primary is off, and stays off, where its platform cannot look at it: no proof that it takes no
    /// writes is asked for, and the record says who answers for it.
    #[arg(long)]
    pub fenced_by_operator: bool,
    /// Go on without knowing whether the primary takes writes, where its platform cannot look at it. What it writes is lost: this takes
    /// -allow=data-loss.
    #[arg(long, conflicts_with = "fenced_by_operator")]
    pub force: bool,
}

/// Arguments of `resync`.
#[derive(Debug, Args)]
pub struct Resync {
    /// The cluster
    pub cluster: String,
    /// The node
    pub node: String,
    /// Show the plan, and leave it at that.
    #[arg(long)]
    pub plan: bool,
    /// The rest is as with `apply`, of which this is one.
    #[command(flatten)]
    pub apply: Apply,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The node, such as cluster.orders.node.a, or the cluster
    pub address: Address,
    /// The directory of its data, or where its server listens, such as 127.0.0.1:5432; for a cluster a=/srv/pg/a,b=/srv/pg/b, or
    /// the directory that holds the data of all nodes in directories of their names
    pub id: String,
    /// Show the plan, and leave it at that.
    #[arg(long)]
    pub dry_run: bool,
    /// The rest is as with `apply`, of which this is one.
    #[command(flatten)]
    pub apply: Apply,
}

/// Arguments of `force-unlock`.
#[derive(Debug, Args)]
pub struct ForceUnlock {
    /// The lock's ID, as the message about it says
    pub id: String,
    /// Do not ask.
    #[arg(long)]
    pub force: bool,
}

/// Arguments of `version`.
#[derive(Debug, Args)]
pub struct Version {
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// Arguments of `complete`.
#[derive(Debug, Args)]
pub struct Complete {
    /// The words after the name of the program, the last one as far as it was typed.
    #[arg(last = true, value_name = "WORD")]
    pub words: Vec<String>,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = text.parse::<jiff::SignedDuration>().ok();
    parsed
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "it must be a number with a unit, such as 30s or 5m".to_owned())
}

#[cfg(test)]
mod tests;
