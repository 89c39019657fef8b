//! The servers of all projects.

use std::path::PathBuf;

use serde::Serialize;
use simdb_planner::observed::ProcessFacts;
use simdb_providers::platform::Surveyed;
use simdb_state::address::InstanceAddress;
use simdb_state::name::PlatformName;

use super::FORMAT_VERSION;

/// The servers that simdb made, of all projects.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PsDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// The servers, sorted by platform and by where their data is.
    pub servers: Vec<ServerDoc>,
    /// Why there may be more of them.
    pub unseen: Vec<String>,
}

impl Default for PsDoc {
    fn default() -> Self {
        Self {
            format_version: FORMAT_VERSION,
            servers: Vec::new(),
            unseen: Vec::new(),
        }
    }
}

/// What is known of the state that a server is recorded in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectState {
    /// It was found.
    Found,
    /// It is not where the server's project was.
    Lost,
    /// Where it should be was not noted.
    #[default]
    Unknown,
}

/// Where a server is recorded.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HomeDoc {
    /// The directory of its project's configuration, where it is known.
    pub project: Option<PathBuf>,
    /// The workspace whose state records it, where that was found.
    pub workspace: Option<String>,
    /// What is known of that state.
    pub state: ProjectState,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServerDoc {
    /// The platform that it runs on.
    pub platform: PlatformName,
    /// Where it is recorded.
    #[serde(flatten)]
    pub home: HomeDoc,
    /// What tells the project's state from others; absent where the server's directory was removed.
    pub lineage: Option<String>,
    /// Its address; absent where the server's directory was removed.
    pub address: Option<InstanceAddress>,
    /// `running`, `halted` (by a signal), `stopping`, `foreign` (not started by simdb) or `down`.
    pub status: &'static str,
    /// Its process number, where it runs.
    pub pid: Option<u32>,
    /// Where it listens, `HOST:PORT`: while it is down, where it last did.
    pub listen: Option<String>,
    /// Where its data is.
    pub data: String,
}

impl ServerDoc {
    /// Describes a server.
    pub fn new(platform: &PlatformName, server: Surveyed, home: HomeDoc) -> Self {
        let (status, pid) = match server.process {
            ProcessFacts::Down => ("down", None),
            ProcessFacts::Running { pid } => ("running", Some(pid)),
            ProcessFacts::Frozen { pid, .. } => ("halted", Some(pid)),
            ProcessFacts::Stopping { pid } => ("stopping", Some(pid)),
            ProcessFacts::Foreign { pid } => ("foreign", Some(pid)),
        };
        Self {
            platform: platform.clone(),
            home,
            lineage: server.lineage,
            address: server.address,
            status,
            pid,
            listen: server.listen.map(|bind| bind.to_string()),
            data: server.data,
        }
    }
}
