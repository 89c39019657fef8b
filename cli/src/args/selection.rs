//! Which part of what is declared a plan is about.

use clap::Args;
use serde::{Deserialize, Serialize};
use simdb_planner::planner::scope::{Pattern, Scope};

/// What a plan is confined to, and what it makes anew. Part of a saved plan, as it was typed.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// Plan for this address alone, and for what it needs; * stands for any text. May be given several times.
    #[arg(long = "target", value_name = "ADDRESS", conflicts_with = "exclude")]
    pub target: Vec<String>,
    /// Plan for everything but this address, and but what needs it.
    #[arg(long = "exclude", value_name = "ADDRESS")]
    pub exclude: Vec<String>,
    /// Make the data of this node anew, whatever it holds.
    #[arg(long = "replace", value_name = "ADDRESS")]
    pub replace: Vec<String>,
}

impl Selection {
    /// Returns the addresses that a plan is about.
    pub(crate) fn scope(&self) -> Scope {
        let patterns = |given: &[String]| given.iter().map(|given| Pattern::new(given)).collect();
        Scope {
            targets: patterns(&self.target),
            excludes: patterns(&self.exclude),
        }
    }
}
