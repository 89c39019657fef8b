//! Arguments: what can be typed, and nothing about what it does.
//!
//! Long options take one dash or two, values follow after `=` or a space: see [`rewrite`].

pub(crate) mod complete;
pub(crate) mod json;
mod language;
mod monitor;
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

use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use simdb_state::address::Address;

pub use json::Shape;
pub use language::{Console, Described, Docs, Fmt, Init, Metadata, Rbac, Validate, ValidateFormat};
pub use monitor::{Monitor, MonitorCommand, MonitorPause, MonitorRun, MonitorUnpause};
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

/// Where the configuration's values come from and how the world is looked at.
#[derive(Debug, Args)]
pub struct Facts {
    /// Values of variables.
    #[command(flatten)]
    pub variables: Variables,
    /// Look at what runs before planning; without it the record is believed.
    #[arg(long, value_name = "BOOL", default_value_t = true, default_missing_value = "true",
          num_args = 0..=1, require_equals = true, action = ArgAction::Set)]
    pub refresh: bool,
}

/// How a plan is made and shown.
#[derive(Debug, Args)]
pub struct Planning {
    /// What it is made from.
    #[command(flatten)]
    pub facts: Facts,
    /// Write JSON lines.
    #[arg(long)]
    pub json: bool,
    /// Let a shell command judge the plan: it reads the JSON document, and where it fails the plan is refused with its words.
    #[arg(long, value_name = "COMMAND")]
    pub policy_command: Option<String>,
    /// How much of the plan is told.
    #[command(flatten)]
    pub viewing: Viewing,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub struct Plan {
    /// How to plan.
    #[command(flatten)]
    pub planning: Planning,
    /// What it is about.
    #[command(flatten)]
    pub selection: Selection,
    /// What an apply takes.
    #[command(flatten)]
    pub running: Running,
    /// Plan to destroy everything.
    #[arg(long)]
    pub destroy: bool,
    /// Plan to let the record take over what was seen, and to change nothing on servers.
    #[arg(long, conflicts_with_all = ["destroy", "refresh", "replace"])]
    pub refresh_only: bool,
    /// Exit with 2 where there is a difference.
    #[arg(long)]
    pub detailed_exitcode: bool,
    /// How to write the plan: markdown for a comment of a pull request, github as annotations.
    #[arg(long, value_name = "FORMAT", default_value = "human", conflicts_with = "json")]
    pub output: Format,
    /// Declare in a new file the clusters that import blocks name and that nothing declares, as their servers are seen.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["destroy", "refresh", "refresh_only"])]
    pub generate_config_out: Option<PathBuf>,
    /// Save the plan, sealed with the key of the state: `simdb apply FILE` runs exactly its steps.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// How a plan or drift is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Human,
    /// A JSON document.
    Json,
    /// A comment of a pull request.
    Markdown,
    /// Workflow commands of GitHub Actions.
    Github,
}

/// Arguments of `graph`.
#[derive(Debug, Args)]
pub struct Graph {
    /// What the plan is made from.
    #[command(flatten)]
    pub facts: Facts,
    /// Draw the plan that destroys everything.
    #[arg(long)]
    pub destroy: bool,
    /// The language: dot for Graphviz, mermaid for Markdown.
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t = GraphType::Dot)]
    pub kind: GraphType,
}

/// What a graph is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphType {
    /// Graphviz.
    Dot,
    /// Mermaid.
    Mermaid,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub struct ApplyPlan {
    /// A plan that `simdb plan -out` saved: exactly its steps run, without a question [default: plan now]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Let the record take over what was seen, and change nothing on servers.
    #[arg(long, conflicts_with_all = ["file", "refresh", "replace"])]
    pub refresh_only: bool,
    /// Destroy everything, as `destroy` does.
    #[arg(long, conflicts_with_all = ["file", "refresh_only", "replace"])]
    pub destroy: bool,
    /// What is planned.
    #[command(flatten)]
    pub selection: Selection,
    /// The rest.
    #[command(flatten)]
    pub apply: Apply,
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

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct Show {
    /// A plan that `simdb plan -out` saved [default: what is recorded]
    pub file: Option<PathBuf>,
    /// How much of a saved plan is told.
    #[command(flatten)]
    pub viewing: Viewing,
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
    /// How to write a saved plan.
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "human",
        conflicts_with = "json",
        requires = "file"
    )]
    pub output: Format,
}

/// Arguments of `output`.
#[derive(Debug, Args)]
pub struct Output {
    /// One output [default: all]
    pub name: Option<String>,
    /// Write JSON, sensitive values included.
    #[arg(long, conflicts_with = "raw")]
    pub json: bool,
    /// Write the value of one output as it is, for scripts.
    #[arg(long, requires = "name")]
    pub raw: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Values of variables.
    #[command(flatten)]
    pub variables: Variables,
    /// One cluster [default: all]
    pub cluster: Option<String>,
    /// Go on until interrupted, and show what changes.
    #[arg(long)]
    pub watch: bool,
    /// How often to look.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = duration, requires = "watch")]
    pub interval: Duration,
    /// Write a JSON document; with -watch one a line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `drift`.
#[derive(Debug, Args)]
pub struct Drift {
    /// Values of variables.
    #[command(flatten)]
    pub variables: Variables,
    /// One cluster [default: all]
    pub cluster: Option<String>,
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
    /// How much is told.
    #[command(flatten)]
    pub folding: Folding,
    /// How to write what differs.
    #[arg(long, value_name = "FORMAT", default_value = "human", conflicts_with = "json")]
    pub output: Format,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// Values of variables.
    #[command(flatten)]
    pub variables: Variables,
    /// The cluster [default: the only one]
    pub cluster: Option<String>,
    /// Write for so long, whatever happens to the servers meanwhile, and account for every row.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub load: Option<Duration>,
    /// How many clients write.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=100), requires = "load")]
    pub clients: u32,
    /// How long nodes may take to hold the same, and a moment in which nobody writes to come.
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `events`.
#[derive(Debug, Args)]
pub struct Events {
    /// One cluster [default: all]
    pub cluster: Option<String>,
    /// Only what happened in the last so long, such as 1h.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub since: Option<Duration>,
    /// Go on until interrupted, as things happen.
    #[arg(short, long)]
    pub follow: bool,
    /// Write a JSON document; with -follow one event a line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ps`.
#[derive(Debug, Args)]
pub struct Ps {
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// Projects by the lineage of their state, or at least eight of its first letters [default: those whose state is lost]
    #[arg(value_name = "LINEAGE")]
    pub lineages: Vec<String>,
    /// Remove them without asking.
    #[arg(long)]
    pub force: bool,
    /// Write a JSON document, and remove nothing without -force.
    #[arg(long)]
    pub json: bool,
}

/// Commands of `runs`.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List the runs that are kept, the newest first
    List {
        /// Write a JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Show what a run did, step by step
    Show {
        /// The run [default: the newest]
        run: Option<String>,
        /// Write a JSON document.
        #[arg(long)]
        json: bool,
    },
}

/// Arguments of `env`.
#[derive(Debug, Args)]
pub struct Env {
    /// The cluster [default: the only one]
    pub cluster: Option<String>,
    /// The endpoint that PG* lead to [default: the first that routes to the primary]
    pub endpoint: Option<String>,
    /// The login.
    #[arg(long, value_name = "USER", default_value = "postgres")]
    pub user: String,
    /// The database.
    #[arg(long, value_name = "DATABASE", default_value = "postgres")]
    pub database: String,
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Other spellings of commands on clusters.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Like `apply`
    Create {
        /// The directory of the configuration, or a file in it [default: the working directory]
        #[arg(long, value_name = "PATH")]
        config: Option<PathBuf>,
        /// The rest is as with `apply`.
        #[command(flatten)]
        apply: Apply,
    },
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
    /// Like `resync`
    Resync(Resync),
}

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct Logs {
    /// Values of variables.
    #[command(flatten)]
    pub variables: Variables,
    /// The node: cluster.orders.node.a, orders.a, or a where one cluster has it
    pub node: String,
    /// How many lines.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub lines: usize,
    /// Go on as lines are written.
    #[arg(short, long)]
    pub follow: bool,
}

/// Arguments of `psql`.
#[derive(Debug, Args)]
pub struct Psql {
    /// Values of variables.
    #[command(flatten)]
    pub variables: Variables,
    /// A cluster (its primary) or a node [default: the only cluster]
    pub target: Option<String>,
    /// What psql is called with.
    #[arg(last = true, value_name = "PSQL ARGUMENTS")]
    pub arguments: Vec<OsString>,
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
