//! What is left of projects.

use serde::Serialize;
use simdb_providers::platform::Leftover;
use simdb_state::name::PlatformName;

use super::FORMAT_VERSION;
use super::ps::HomeDoc;

/// What is left of projects whose state is lost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GcDoc {
    /// The document's version.
    pub format_version: &'static str,
    /// What is removed: projects whose state is lost, or those that were named.
    pub projects: Vec<LeftProjectDoc>,
    /// What stays: projects whose state was found, or may be elsewhere.
    pub others: Vec<LeftProjectDoc>,
    /// Whether the first were removed.
    pub removed: bool,
    /// Why there may be more.
    pub unseen: Vec<String>,
}

impl Default for GcDoc {
    fn default() -> Self {
        Self {
            format_version: FORMAT_VERSION,
            projects: Vec::new(),
            others: Vec::new(),
            removed: false,
            unseen: Vec::new(),
        }
    }
}

/// What is there of one project.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeftProjectDoc {
    /// The platform.
    pub platform: PlatformName,
    /// Where it is recorded.
    #[serde(flatten)]
    pub home: HomeDoc,
    /// What tells its state from others.
    pub lineage: String,
    /// What is there.
    pub objects: Vec<LeftoverDoc>,
}

/// One object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LeftoverDoc {
    /// What it is, in the words of its platform.
    pub kind: &'static str,
    /// What its platform calls it.
    pub name: String,
    /// What it was made for.
    pub address: Option<String>,
    /// Whether it runs.
    pub running: bool,
}

impl From<Leftover> for LeftoverDoc {
    fn from(leftover: Leftover) -> Self {
        Self {
            kind: leftover.kind,
            name: leftover.name,
            address: leftover.address,
            running: leftover.runs,
        }
    }
}
