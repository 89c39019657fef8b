//! Arguments of the commands that are about the configuration language.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::Variables;

/// Arguments of `init`.
#[derive(Debug, Args)]
pub struct Init {
    /// Let the sources of modules lead to the newest commits that they name, in place of the pinned ones.
    #[arg(long)]
    pub upgrade: bool,
}

/// Arguments of `validate`.
#[derive(Debug, Args)]
pub struct Validate {
    /// Values of variables.
    #[command(flatten)]
    pub variables: Variables,
    /// Ask the platforms, too, whether what is declared and not made yet could be made there: which right, class, quota or name is missing.
    #[arg(long)]
    pub platform: bool,
    /// Write a JSON document.
    #[arg(long)]
    pub json: bool,
    /// How to write what is wrong; github makes it show at its lines in a pull request.
    #[arg(long, value_name = "FORMAT", default_value = "human", conflicts_with = "json")]
    pub output: ValidateFormat,
}

/// How `validate` writes what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ValidateFormat {
    /// For people.
    Human,
    /// A JSON document, as with -json.
    Json,
    /// Workflow commands of GitHub Actions.
    Github,
}

/// Arguments of `fmt`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Fmt {
    /// Files or directories; - is standard input [default: the working directory]
    #[arg(value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Change nothing; exit with 3 where a file is not in canonical style.
    #[arg(long)]
    pub check: bool,
    /// Show what changes.
    #[arg(long)]
    pub diff: bool,
    /// Go into the directories below, too.
    #[arg(long)]
    pub recursive: bool,
    /// Whether to name the files that are not in canonical style.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    #[arg(require_equals = true, num_args = 0..=1, default_missing_value = "true")]
    pub list: bool,
    /// Whether to rewrite files.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = ArgAction::Set)]
    #[arg(require_equals = true, num_args = 0..=1, default_missing_value = "true")]
    pub write: bool,
}

/// Arguments of `console`.
#[derive(Debug, Args)]
pub struct Console {
    /// Values of variables.
    #[command(flatten)]
    pub variables: Variables,
}

/// `metadata` and what it describes.
#[derive(Debug, Subcommand)]
pub enum Metadata {
    /// Describe the functions of expressions
    Functions {
        /// Write a JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Describe every block and attribute
    Schema {
        /// Write a JSON document.
        #[arg(long)]
        json: bool,
    },
    /// Describe the document of a plan: show -json FILE, plan -output json
    Plan(Described),
    /// Describe the document of drift: drift -json
    Drift(Described),
    /// Describe the events that plan, apply and the like write with -json
    Events(Described),
    /// Describe what a command with -json writes where it fails
    Failure(Described),
    /// Write the roles that let simdb run servers in pods (RBAC)
    Rbac(Rbac),
}

/// Whom a role is written for.
#[derive(Clone, Debug, Args)]
pub struct Rbac {
    /// The namespace of the servers.
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
    /// The service account of that namespace that gets the roles.
    #[arg(long, value_name = "NAME", default_value = "simdb")]
    pub account: String,
    /// The namespace of the state, where that is kept in Secrets [default: it is kept elsewhere]
    #[arg(long, value_name = "NAME")]
    pub state: Option<String>,
}

/// How a document is described.
#[derive(Clone, Copy, Debug, Args)]
pub struct Described {
    /// Write its JSON schema.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `docs`.
#[derive(Debug, Args)]
pub struct Docs {
    /// The directory to write to; it is made where it is missing
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}
