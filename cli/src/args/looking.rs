//! Arguments of the commands that look at what is recorded, runs or has happened, and change nothing but `gc`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Folding, Format, Variables, Viewing, duration};

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
