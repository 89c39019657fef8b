//! Arguments of `monitor`.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::duration;

/// Arguments of `monitor`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Monitor {
    /// What is asked of monitors; without it, one runs.
    #[command(subcommand)]
    pub command: Option<MonitorCommand>,
    /// How it runs.
    #[command(flatten)]
    pub run: MonitorRun,
}

/// Commands of `monitor`.
#[derive(Debug, Subcommand)]
pub enum MonitorCommand {
    /// Let monitors do nothing with a cluster by themselves; they go on watching it
    Pause(MonitorPause),
    /// Let monitors act again
    #[command(visible_alias = "resume")]
    Unpause(MonitorUnpause),
}

/// How a monitor runs.
#[derive(Debug, Args)]
pub struct MonitorRun {
    /// Serve health checks, metrics and events over HTTP at this address of this machine, such as 127.0.0.1:8008 [default: "listen" of the
    /// monitor block]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,
    /// Write events and runs as JSON lines.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `monitor pause`.
#[derive(Debug, Args)]
pub struct MonitorPause {
    /// The cluster
    pub cluster: String,
    /// How long, such as 30m or 2h [default: until it is unpaused]
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    pub duration: Option<Duration>,
    /// Why, for those who look at its status.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Arguments of `monitor unpause`.
#[derive(Debug, Args)]
pub struct MonitorUnpause {
    /// The cluster
    pub cluster: String,
}
