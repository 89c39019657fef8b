//! Arguments of the commands that lead programs to servers.

use std::ffi::OsString;

use clap::Args;

use super::Variables;

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
