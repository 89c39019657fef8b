//! PostgreSQL's servers in the simulated world: what their logs hold, what their settings say, and what role changes make
//! of them.

mod log;
mod retained;
mod role;

pub use self::log::Log;

use std::collections::BTreeMap;

use simdb_state::instance::{FilePart, InstanceSpec};
use simdb_state::object::Listen;
use simdb_state::sync::SyncRule;

use super::sync::STANDBY_NAMES;
use crate::simulate::Home;

impl Home {
    /// Returns where its server streams from, if it does.
    pub(crate) fn upstream(&self) -> Option<Listen> {
        self.server.as_ref().filter(|server| server.replays)?;
        let conninfo = self.configured.get("primary_conninfo")?;
        let part = |name| {
            conninfo
                .split(' ')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        Some(Listen {
            host: part("host")?.parse().ok()?,
            port: part("port")?.parse().ok()?,
        })
    }

    /// Returns whom the commits on its server wait for.
    pub(crate) fn sync_rule(&self) -> SyncRule {
        let names = self.configured.get(STANDBY_NAMES);
        names.map(|names| names.as_str().into()).unwrap_or_default()
    }
}

/// Reads the settings that a server would take from its `postgresql.conf`.
pub(crate) fn read_settings(instance: &InstanceSpec) -> BTreeMap<String, String> {
    let parts = instance
        .files
        .get("postgresql.conf")
        .into_iter()
        .flat_map(|file| &file.0);
    let text: String = parts
        .filter_map(|part| {
            if let FilePart::Text(text) = part {
                Some(text.as_str())
            } else {
                None
            }
        })
        .collect();
    let unquoted = |value: &str| value.trim_matches('\'').replace("''", "'").replace("\\\\", "\\");
    text.lines()
        .filter_map(|line| line.split_once(" = "))
        .map(|(name, value)| (name.to_owned(), unquoted(value)))
        .collect()
}

pub(crate) fn generation_of(directory: Option<&str>) -> u32 {
    let number = directory
        .and_then(|directory| directory.strip_prefix("data-"))
        .and_then(|number| number.parse().ok());
    number.expect("data directories are called data-N")
}
