//! How plans are made, and how they are shown without being run.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};

use super::{Apply, Running, Selection, Variables, Viewing};

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
