//! The platforms that there are, one line each, and how they are opened for a project.

use std::path::Path;
use std::sync::Arc;

use simdb_planner::desired::LocalSettings;
use simdb_state::store::Grant;

use super::{Provider, Providers, local};

/// What a platform is told of the project it works for.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The directory of the configuration.
    pub directory: &'a Path,
    /// What tells this project's servers from those of others. Without a record there is none of them yet.
    pub lineage: Option<&'a str>,
    /// The settings of processes on this machine.
    pub local: &'a LocalSettings,
    /// What lets it be changed; absent where it is only looked at.
    pub grant: Option<Grant>,
}

/// Opens a platform. What is wrong with its settings is a problem in its facts.
type Open = fn(&Setup<'_>) -> Arc<dyn Provider>;

const PLATFORMS: &[(&str, Open)] = &[("local", local::setup::open)];

/// Opens every platform.
pub fn open(setup: &Setup<'_>) -> Providers {
    let named = |(name, open): &(&str, Open)| (name.parse().expect("platforms have names"), open(setup));
    PLATFORMS.iter().map(named).collect()
}
