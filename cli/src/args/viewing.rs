//! Arguments that say how much of a plan people are told.

use clap::Args;

/// Whether what is alike is told once.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Folding {
    /// Show alike changes one by one; without it they are shown once, as r[0..48].
    #[arg(long)]
    pub expand: bool,
}

/// How a plan is shown.
#[derive(Clone, Copy, Debug, Default, Args)]
pub struct Viewing {
    /// Whether alike changes are folded.
    #[command(flatten)]
    pub folding: Folding,
    /// Show a summary of one screen, the worst impact first.
    #[arg(long, conflicts_with = "expand")]
    pub summary: bool,
    /// Show of warnings their titles alone, each once.
    #[arg(long, visible_alias = "compact")]
    pub compact_warnings: bool,
}
